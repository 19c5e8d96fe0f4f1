package metal

// machineInfo is what the firmware's tables say about processors and
// interrupt controllers.
type machineInfo struct {
	apicIDs       [8]uint32
	cpuCount      int
	ioapics       [8]struct{ addr, first uint32 }
	ioapicCount   int
	overrides     [32]struct{ gsi, flags uint32 }
	overrideCount int
}

func (m *machineInfo) addCPU(id uint32) {
	if m.cpuCount < len(m.apicIDs) {
		m.apicIDs[m.cpuCount] = id
		m.cpuCount++
	}
}

func (m *machineInfo) addIOAPIC(addr, first uint32) {
	if m.ioapicCount < len(m.ioapics) && addr != 0 {
		m.ioapics[m.ioapicCount].addr = addr
		m.ioapics[m.ioapicCount].first = first
		m.ioapicCount++
	}
}

// parseMADT reads an ACPI Multiple APIC Description Table (ACPI 6.5, 5.2.12).
func (m *machineInfo) parseMADT(b []byte) {
	const header = 44
	if len(b) < header {
		return
	}
	for b = b[header:]; len(b) >= 2; {
		kind, n := b[0], int(b[1])
		if n < 2 || n > len(b) {
			return
		}
		e := b[:n]
		b = b[n:]
		switch {
		case kind == 0 && n >= 8: // local APIC
			if load32(e[4:])&3 != 0 {
				m.addCPU(uint32(e[3]))
			}
		case kind == 9 && n >= 16: // local x2APIC
			if load32(e[8:])&3 != 0 {
				m.addCPU(load32(e[4:]))
			}
		case kind == 1 && n >= 12:
			m.addIOAPIC(load32(e[4:]), load32(e[8:]))
		case kind == 2 && n >= 10: // interrupt source override
			if m.overrideCount < len(m.overrides) {
				m.overrides[m.overrideCount].gsi = load32(e[4:])
				m.overrides[m.overrideCount].flags = load16(e[8:])
				m.overrideCount++
			}
		}
	}
}

// parseMP reads an MP configuration table (MultiProcessor Specification 1.4,
// chapter 4), which monitors without ACPI offer.
func (m *machineInfo) parseMP(b []byte) {
	const header = 44
	if len(b) < header || string(b[:4]) != "PCMP" {
		return
	}
	b = b[:min(len(b), int(load16(b[4:])))]
	gsi := uint32(0)
	for b = b[min(header, len(b)):]; len(b) > 0; {
		n := 8
		if b[0] == 0 {
			n = 20
		}
		if n > len(b) {
			return
		}
		switch e := b[:n]; e[0] {
		case 0: // processor, usable
			if e[3]&1 != 0 {
				m.addCPU(uint32(e[1]))
			}
		case 2: // I/O APIC, usable
			if e[3]&1 != 0 {
				m.addIOAPIC(load32(e[4:]), gsi)
				gsi += 24
			}
		}
		b = b[n:]
	}
}

func load16(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 }

func load32(b []byte) uint32 { return load16(b) | load16(b[2:])<<16 }
