package virtio

import (
	"strconv"
	"strings"

	"husk/kernel/cpu"
)

// Registers of the memory-mapped transport (4.2.2).
const (
	mmioMagic          = 0x000
	mmioVersion        = 0x004
	mmioDeviceID       = 0x008
	mmioDeviceFeatures = 0x010
	mmioDeviceSel      = 0x014
	mmioDriverFeatures = 0x020
	mmioDriverSel      = 0x024
	mmioQueueSel       = 0x030
	mmioQueueNumMax    = 0x034
	mmioQueueNum       = 0x038
	mmioQueueReady     = 0x044
	mmioQueueNotify    = 0x050
	mmioInterruptACK   = 0x064
	mmioStatus         = 0x070
	mmioQueueDesc      = 0x080
	mmioQueueDriver    = 0x090
	mmioQueueDevice    = 0x0a0
	mmioGeneration     = 0x0fc
	mmioConfig         = 0x100

	mmioMagicValue = 0x74726976 // "virt"
	mmioVersionOne = 1          // legacy
	mmioVersionTwo = 2
)

// mmioDevice is a device behind memory-mapped registers.
type mmioDevice struct {
	regs registers
	base cpu.PhysAddr
	irq  int
	kind Kind
}

// probeMMIO reads "virtio_mmio.device=SIZE@BASE:IRQ[:ID]" words, the form in
// which microvm and Firecracker name their devices.
func probeMMIO(commandLine string) (found []Transport, problems []error) {
	for word := range strings.FieldsSeq(commandLine) {
		value, ok := strings.CutPrefix(word, "virtio_mmio.device=")
		if !ok {
			continue
		}
		size, base, irq, ok := parseMMIODevice(value)
		if !ok {
			problems = append(problems, Error("cannot read "+word))
			continue
		}
		d := &mmioDevice{base: base, irq: irq}
		offset := uintptr(base % cpu.PageSize)
		d.regs = registers{base: cpu.MapMMIO(base-cpu.PhysAddr(offset), (offset+size+cpu.PageSize-1)&^(cpu.PageSize-1)) + offset, size: size}
		ok, err := d.identify()
		if err != nil {
			problems = append(problems, err)
		} else if ok {
			found = append(found, d)
		}
	}
	return found, problems
}

// parseMMIODevice reads SIZE@BASE:IRQ[:ID]; SIZE may end in K or M.
func parseMMIODevice(s string) (size uintptr, base cpu.PhysAddr, irq int, ok bool) {
	sizeText, rest, ok := strings.Cut(s, "@")
	if !ok {
		return 0, 0, 0, false
	}
	unit := uint64(1)
	switch {
	case strings.HasSuffix(sizeText, "K"), strings.HasSuffix(sizeText, "k"):
		unit = 1 << 10
	case strings.HasSuffix(sizeText, "M"), strings.HasSuffix(sizeText, "m"):
		unit = 1 << 20
	}
	if unit > 1 {
		sizeText = sizeText[:len(sizeText)-1]
	}
	baseText, irqText, ok := strings.Cut(rest, ":")
	if !ok {
		return 0, 0, 0, false
	}
	irqText, _, _ = strings.Cut(irqText, ":")
	n, err1 := strconv.ParseUint(sizeText, 0, 32)
	b, err2 := strconv.ParseUint(baseText, 0, 48)
	i, err3 := strconv.ParseUint(irqText, 0, 16)
	n *= unit
	if err1 != nil || err2 != nil || err3 != nil || n < mmioConfig || n > 1<<20 {
		return 0, 0, 0, false
	}
	return uintptr(n), cpu.PhysAddr(b), int(i), true
}

// identify reports whether a device is behind the registers; place holders
// have the device ID 0 and are passed over in silence.
func (d *mmioDevice) identify() (bool, error) {
	if d.regs.read32(mmioMagic) != mmioMagicValue {
		return false, Error(d.Name() + ": no device is there")
	}
	d.kind = Kind(d.regs.read32(mmioDeviceID))
	if d.kind == 0 {
		return false, nil
	}
	switch v := d.regs.read32(mmioVersion); v {
	case mmioVersionTwo:
		return true, nil
	case mmioVersionOne:
		return false, Error(d.Name() + ": legacy registers are not supported (start QEMU with -global virtio-mmio.force-legacy=false)")
	default:
		return false, Error(d.Name() + ": unknown register version " + strconv.Itoa(int(v)))
	}
}

func (d *mmioDevice) Name() string { return "mmio 0x" + strconv.FormatUint(uint64(d.base), 16) }
func (d *mmioDevice) Kind() Kind   { return d.kind }

// Reset follows 3.1.1 and 4.2.3.1.1.
func (d *mmioDevice) Reset() {
	d.regs.write32(mmioStatus, 0)
	for range resetPatience {
		if d.regs.read32(mmioStatus) == 0 {
			break
		}
	}
	d.regs.write32(mmioStatus, statusAcknowledge|statusDriver)
}

// resetPatience bounds the wait for a reset, in reads of the status register.
const resetPatience = 1 << 20

// generationPatience bounds how often a value is read anew because the device
// changed its configuration meanwhile.
const generationPatience = 100

func (d *mmioDevice) Features() uint64 {
	d.regs.write32(mmioDeviceSel, 0)
	f := uint64(d.regs.read32(mmioDeviceFeatures))
	d.regs.write32(mmioDeviceSel, 1)
	return f | uint64(d.regs.read32(mmioDeviceFeatures))<<32
}

func (d *mmioDevice) Accept(f uint64) bool {
	d.regs.write32(mmioDriverSel, 0)
	d.regs.write32(mmioDriverFeatures, uint32(f))
	d.regs.write32(mmioDriverSel, 1)
	d.regs.write32(mmioDriverFeatures, uint32(f>>32))
	d.regs.write32(mmioStatus, statusAcknowledge|statusDriver|statusFeaturesOK)
	return d.regs.read32(mmioStatus)&statusFeaturesOK != 0
}

func (d *mmioDevice) QueueMax(i int) int {
	d.regs.write32(mmioQueueSel, uint32(i))
	if d.regs.read32(mmioQueueReady) != 0 {
		return 0
	}
	return int(min(d.regs.read32(mmioQueueNumMax), 1<<15))
}

// SetQueue follows 4.2.3.2.
func (d *mmioDevice) SetQueue(i, size int, desc, driver, device cpu.PhysAddr) {
	d.regs.write32(mmioQueueSel, uint32(i))
	d.regs.write32(mmioQueueNum, uint32(size))
	d.address(mmioQueueDesc, desc)
	d.address(mmioQueueDriver, driver)
	d.address(mmioQueueDevice, device)
	d.regs.write32(mmioQueueReady, 1)
}

func (d *mmioDevice) address(reg uintptr, pa cpu.PhysAddr) {
	d.regs.write32(reg, uint32(pa))
	d.regs.write32(reg+4, uint32(pa>>32))
}

func (d *mmioDevice) Start() {
	d.regs.write32(mmioStatus, statusAcknowledge|statusDriver|statusFeaturesOK|statusDriverOK)
}

func (d *mmioDevice) Fail() {
	d.regs.write32(mmioStatus, d.regs.read32(mmioStatus)|statusFailed)
}

func (d *mmioDevice) Notify(i int) { d.regs.write32(mmioQueueNotify, uint32(i)) }

// Acknowledge clears both reasons without asking which it was: the caller
// looks at its rings in any case, and the read would be an exit of its own.
func (d *mmioDevice) Acknowledge() { d.regs.write32(mmioInterruptACK, 3) }

func (d *mmioDevice) Config8(off int) uint8 { return d.regs.read8(mmioConfig + uintptr(off)) }

func (d *mmioDevice) Config16(off int) uint16 { return d.regs.read16(mmioConfig + uintptr(off)) }

func (d *mmioDevice) Config32(off int) uint32 { return d.regs.read32(mmioConfig + uintptr(off)) }

// Config64 reads two halves of one generation (2.5.1).
func (d *mmioDevice) Config64(off int) uint64 {
	for tries := 0; ; tries++ {
		g := d.regs.read32(mmioGeneration)
		v := uint64(d.Config32(off)) | uint64(d.Config32(off+4))<<32
		if d.regs.read32(mmioGeneration) == g || tries == generationPatience {
			return v
		}
	}
}

func (d *mmioDevice) HandleIRQ(fn func()) error { return handleLine(d.irq, fn) }
