//go:build baremetal

package metal

// The I/O APICs (82093AA data sheet). Redirection entries are written with
// interrupts off and schedLock held.

type ioapic struct {
	base  uintptr
	first uint32 // global system interrupt of pin 0
	pins  uint32
}

var (
	ioapics     [8]ioapic
	ioapicCount int
)

const (
	redirLevel  = 1 << 15
	redirMasked = 1 << 16
	redirLow    = 1 << 13 // active low
)

func (a *ioapic) read(reg uint32) uint32 {
	mmioWrite(a.base, reg)
	return *at[uint32](a.base + 0x10)
}

func (a *ioapic) write(reg, v uint32) {
	mmioWrite(a.base, reg)
	mmioWrite(a.base+0x10, v)
}

func initIOAPICs() {
	// The old interrupt controllers must keep quiet.
	Out8(0x21, 0xff)
	Out8(0xa1, 0xff)
	m := &machine
	for i := range m.ioapicCount {
		a := &ioapics[ioapicCount]
		a.base = mapMMIO(uint64(m.ioapics[i].addr), pageSize)
		a.first = m.ioapics[i].first
		a.pins = a.read(1)>>16&0xff + 1
		ioapicCount++
	}
}

func ioapicFor(gsi uint32) (*ioapic, uint32) {
	for i := range ioapicCount {
		if a := &ioapics[i]; gsi-a.first < a.pins {
			return a, gsi - a.first
		}
	}
	return nil, 0
}

// routeLine sends the line to a vector of the boot CPU, masked. ISA lines are
// edge-triggered and the rest level-triggered unless the firmware says
// otherwise.
func routeLine(gsi, vector uint32) (level, ok bool) {
	a, pin := ioapicFor(gsi)
	if a == nil {
		return false, false
	}
	level, low := gsi >= 16, false
	for i := range machine.overrideCount {
		if o := &machine.overrides[i]; o.gsi == gsi {
			if o.flags&0xc != 0 {
				level = o.flags&0xc == 0xc
			}
			low = o.flags&3 == 3
		}
	}
	entry := vector | redirMasked
	if level {
		entry |= redirLevel
	}
	if low {
		entry |= redirLow
	}
	a.write(0x11+2*pin, cpu0.apicID<<24)
	a.write(0x10+2*pin, entry)
	return level, true
}

func maskLine(gsi uint32, masked bool) {
	a, pin := ioapicFor(gsi)
	if a == nil {
		return
	}
	entry := a.read(0x10+2*pin) &^ redirMasked
	if masked {
		entry |= redirMasked
	}
	a.write(0x10+2*pin, entry)
}
