package virtio

import (
	"strconv"

	"husk/kernel/cpu"
)

// PCI configuration space by port I/O (PCI Local Bus Specification 3.0,
// 3.2.2.3.2) and the registers of its header.
const (
	pciAddressPort = 0xcf8
	pciDataPort    = 0xcfc

	pciVendorDevice = 0x00
	pciCommand      = 0x04
	pciHeaderType   = 0x0c // in bits 16 to 23
	pciBAR0         = 0x10
	pciSubsystem    = 0x2c
	pciCapabilities = 0x34
	pciInterrupt    = 0x3c

	pciCommandMemory  = 1 << 1
	pciCommandMaster  = 1 << 2
	pciCommandNoINTx  = 1 << 10
	pciStatusHasCaps  = 1 << 20 // status is the upper half of the command word
	pciCapVendor      = 0x09
	pciCapMSIX        = 0x11
	pciVendorVirtio   = 0x1af4
	pciFirstDevice    = 0x1000
	pciFirstModern    = 0x1040
	pciLastDevice     = 0x107f
	pciBARIsIO        = 1
	pciBARIs64        = 2 << 1
	pciBARTypeMask    = 3 << 1
	pciInterruptNone  = 0xff
	pciMaxCapWalk     = 48
	pciMultiFunction  = 1 << 23
	pciNoDevice       = 0xffffffff
	pciMaxMappedBytes = 1 << 20
)

// MSI-X (PCI Local Bus Specification 3.0, 6.8.2): bits of the message control,
// which is the upper half of the capability's first word, and the table.
const (
	msixEnable    = 1 << 31
	msixMaskAll   = 1 << 30
	msixTable     = 4 // register: BAR in the low three bits, offset
	msixEntrySize = 16
	msixAddress   = 0
	msixData      = 8
	msixControl   = 12
)

// Structures that virtio's vendor capabilities locate (4.1.4).
const (
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capDevice = 4
)

// Common configuration structure (4.1.4.3).
const (
	commonDeviceSel  = 0x00
	commonDevice     = 0x04
	commonDriverSel  = 0x08
	commonDriver     = 0x0c
	commonMSIX       = 0x10
	commonStatus     = 0x14
	commonGeneration = 0x15
	commonQueueSel   = 0x16
	commonQueueSize  = 0x18
	commonQueueMSIX  = 0x1a
	commonQueueOn    = 0x1c
	commonQueueOff   = 0x1e
	commonQueueDesc  = 0x20
	commonQueueAvail = 0x28
	commonQueueUsed  = 0x30
	commonSize       = 0x38

	msixNoVector = 0xffff
)

// pciDevice is a device behind the PCI transport with its modern interface.
type pciDevice struct {
	where      uint32 // bus, device, function as in the address port
	kind       Kind
	irq        int
	common     registers
	notify     registers
	isr        registers
	config     registers
	multiplier uint32
	offsets    []uint16 // queue_notify_off by queue
	queues     []int    // those that were set
	msix       uint32   // where the capability is, 0 when there is none
	message    bool     // interrupts are messages: nothing to acknowledge
}

func pciRead(where uint32, off uint32) uint32 {
	cpu.Out32(pciAddressPort, 1<<31|where|off&^3)
	return cpu.In32(pciDataPort)
}

func pciWrite(where uint32, off uint32, v uint32) {
	cpu.Out32(pciAddressPort, 1<<31|where|off&^3)
	cpu.Out32(pciDataPort, v)
}

// probePCI looks at bus 0, where husk puts all devices. It runs during boot,
// on one goroutine: the address port has no lock.
func probePCI() (found []Transport, problems []error) {
	for dev := uint32(0); dev < 32; dev++ {
		functions := uint32(1)
		for fn := uint32(0); fn < functions; fn++ {
			where := dev<<11 | fn<<8
			id := pciRead(where, pciVendorDevice)
			if id == pciNoDevice {
				if dev == 0 && fn == 0 {
					return nil, nil // no host bridge: there is no PCI
				}
				continue
			}
			if fn == 0 && pciRead(where, pciHeaderType)&pciMultiFunction != 0 {
				functions = 8
			}
			device := id >> 16
			if id&0xffff != pciVendorVirtio || device < pciFirstDevice || device > pciLastDevice {
				continue
			}
			d := &pciDevice{where: where, kind: Kind(device - pciFirstModern)}
			if device < pciFirstModern { // transitional (4.1.2.3)
				d.kind = Kind(pciRead(where, pciSubsystem) >> 16)
			}
			if err := d.locate(); err != nil {
				problems = append(problems, err)
				continue
			}
			found = append(found, d)
		}
	}
	return found, problems
}

// locate finds the register structures through the capability list.
func (d *pciDevice) locate() error {
	if pciRead(d.where, pciCommand)&pciStatusHasCaps == 0 {
		return Error(d.Name() + ": only a legacy interface is offered")
	}
	pciWrite(d.where, pciCommand, pciRead(d.where, pciCommand)&0xffff&^pciCommandNoINTx|pciCommandMemory|pciCommandMaster)
	at := pciRead(d.where, pciCapabilities) & 0xfc
	for range pciMaxCapWalk {
		if at < 0x40 {
			break
		}
		head := pciRead(d.where, at)
		switch head & 0xff {
		case pciCapVendor:
			d.structure(at, head>>24)
		case pciCapMSIX:
			d.msix = at
		}
		at = head >> 8 & 0xfc
	}
	if d.common.size < commonSize || d.notify.size == 0 || d.isr.size == 0 {
		return Error(d.Name() + ": the modern interface is missing or its memory is not assigned")
	}
	d.irq = int(pciRead(d.where, pciInterrupt) & 0xff)
	if d.msix == 0 && (d.irq == 0 || d.irq == pciInterruptNone) {
		return Error(d.Name() + ": no interrupt: the firmware assigned no line")
	}
	return nil
}

// structure maps what one vendor capability points to (4.1.4): the first of
// each type that can be reached wins.
func (d *pciDevice) structure(at, kind uint32) {
	bar := pciRead(d.where, at+4) & 0xff
	off, size := pciRead(d.where, at+8), pciRead(d.where, at+12)
	if bar > 5 || size == 0 || off > 1<<30 {
		return
	}
	size = min(size, pciMaxMappedBytes)
	var where *registers
	switch kind {
	case capCommon:
		where = &d.common
	case capNotify:
		where = &d.notify
	case capISR:
		where = &d.isr
	case capDevice:
		where = &d.config
	}
	if where == nil || where.size != 0 {
		return
	}
	if kind == capNotify {
		d.multiplier = pciRead(d.where, at+16)
	}
	*where = d.mapBAR(bar, off, size)
}

// mapBAR maps a part of one of the device's memory ranges; the result is empty
// when that is not memory or has no address.
func (d *pciDevice) mapBAR(bar, off, size uint32) registers {
	low := pciRead(d.where, pciBAR0+4*bar)
	if low&pciBARIsIO != 0 {
		return registers{}
	}
	base := uint64(low &^ 15)
	if low&pciBARTypeMask == pciBARIs64 && bar < 5 {
		base |= uint64(pciRead(d.where, pciBAR0+4*bar+4)) << 32
	}
	if base == 0 {
		return registers{}
	}
	pa := cpu.PhysAddr(base) + cpu.PhysAddr(off)
	offset := uintptr(pa % cpu.PageSize)
	length := (offset + uintptr(size) + cpu.PageSize - 1) &^ (cpu.PageSize - 1)
	return registers{base: cpu.MapMMIO(pa-cpu.PhysAddr(offset), length) + offset, size: uintptr(size)}
}

func (d *pciDevice) Name() string {
	return "pci 00:" + strconv.FormatUint(uint64(d.where>>11), 16) + "." + strconv.FormatUint(uint64(d.where>>8&7), 16)
}

func (d *pciDevice) Kind() Kind { return d.kind }

func (d *pciDevice) Reset() {
	d.common.write8(commonStatus, 0)
	for range resetPatience {
		if d.common.read8(commonStatus) == 0 {
			break
		}
	}
	d.common.write8(commonStatus, statusAcknowledge|statusDriver)
}

func (d *pciDevice) Features() uint64 {
	d.common.write32(commonDeviceSel, 0)
	f := uint64(d.common.read32(commonDevice))
	d.common.write32(commonDeviceSel, 1)
	return f | uint64(d.common.read32(commonDevice))<<32
}

func (d *pciDevice) Accept(f uint64) bool {
	d.common.write32(commonDriverSel, 0)
	d.common.write32(commonDriver, uint32(f))
	d.common.write32(commonDriverSel, 1)
	d.common.write32(commonDriver, uint32(f>>32))
	d.common.write8(commonStatus, statusAcknowledge|statusDriver|statusFeaturesOK)
	d.common.write16(commonMSIX, msixNoVector)
	return d.common.read8(commonStatus)&statusFeaturesOK != 0
}

func (d *pciDevice) QueueMax(i int) int {
	d.common.write16(commonQueueSel, uint16(i))
	if d.common.read16(commonQueueOn) != 0 {
		return 0
	}
	return int(min(d.common.read16(commonQueueSize), 1<<15))
}

// SetQueue follows 4.1.5.1.3.
func (d *pciDevice) SetQueue(i, size int, desc, driver, device cpu.PhysAddr) {
	d.common.write16(commonQueueSel, uint16(i))
	d.common.write16(commonQueueSize, uint16(size))
	d.common.write16(commonQueueMSIX, msixNoVector)
	d.address(commonQueueDesc, desc)
	d.address(commonQueueAvail, driver)
	d.address(commonQueueUsed, device)
	for len(d.offsets) <= i {
		d.offsets = append(d.offsets, 0)
	}
	d.offsets[i] = d.common.read16(commonQueueOff)
	d.queues = append(d.queues, i)
	d.common.write16(commonQueueOn, 1)
}

func (d *pciDevice) address(reg uintptr, pa cpu.PhysAddr) {
	d.common.write32(reg, uint32(pa))
	d.common.write32(reg+4, uint32(pa>>32))
}

func (d *pciDevice) Start() {
	d.common.write8(commonStatus, statusAcknowledge|statusDriver|statusFeaturesOK|statusDriverOK)
}

func (d *pciDevice) Fail() {
	d.common.write8(commonStatus, d.common.read8(commonStatus)|statusFailed)
}

// Notify writes the queue's number at its address (4.1.4.4).
func (d *pciDevice) Notify(i int) {
	d.notify.write16(uintptr(d.offsets[i])*uintptr(d.multiplier), uint16(i))
}

// Acknowledge reads the ISR status, which clears it (4.1.4.5).
func (d *pciDevice) Acknowledge() {
	if !d.message {
		d.isr.read8(0)
	}
}

func (d *pciDevice) Config8(off int) uint8   { return d.config.read8(uintptr(off)) }
func (d *pciDevice) Config16(off int) uint16 { return d.config.read16(uintptr(off)) }
func (d *pciDevice) Config32(off int) uint32 { return d.config.read32(uintptr(off)) }

func (d *pciDevice) Config64(off int) uint64 {
	for tries := 0; ; tries++ {
		g := d.common.read8(commonGeneration)
		v := uint64(d.Config32(off)) | uint64(d.Config32(off+4))<<32
		if d.common.read8(commonGeneration) == g || tries == generationPatience {
			return v
		}
	}
}

// HandleIRQ takes messages (MSI-X) where the device has them, else its line.
func (d *pciDevice) HandleIRQ(fn func()) error {
	if d.handleMSIX(fn) {
		return nil
	}
	if d.irq == 0 || d.irq == pciInterruptNone {
		return Error(d.Name() + ": no interrupt: the firmware assigned no line")
	}
	return handleLine(d.irq, fn)
}

// handleMSIX gives all queues the first vector (4.1.5.1.2); it reports false,
// with MSI-X off, when the device does not take it.
func (d *pciDevice) handleMSIX(fn func()) bool {
	if d.msix == 0 {
		return false
	}
	where := pciRead(d.where, d.msix+msixTable)
	table := d.mapBAR(where&7, where&^7, msixEntrySize)
	if table.size == 0 {
		return false
	}
	addr, data, err := cpu.HandleMSI(fn)
	if err != nil {
		return false
	}
	head := pciRead(d.where, d.msix)
	pciWrite(d.where, d.msix, head|msixEnable|msixMaskAll)
	table.write32(msixAddress, uint32(addr))
	table.write32(msixAddress+4, uint32(addr>>32))
	table.write32(msixData, data)
	table.write32(msixControl, 0)
	for _, i := range d.queues {
		d.common.write16(commonQueueSel, uint16(i))
		d.common.write16(commonQueueMSIX, 0)
		if d.common.read16(commonQueueMSIX) != 0 {
			pciWrite(d.where, d.msix, head&^(msixEnable|msixMaskAll))
			return false
		}
	}
	pciWrite(d.where, d.msix, head&^msixMaskAll|msixEnable)
	d.message = true
	return true
}
