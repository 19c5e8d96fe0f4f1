//go:build baremetal

package metal

import "unsafe"

var machine machineInfo

// physical returns n bytes at a physical address, or nil if they are not in
// the direct map.
func physical(pa, n uint64) []byte {
	if pa == 0 || pa >= directEnd || n > directEnd-pa {
		return nil
	}
	return unsafe.Slice(at[byte](direct(pa)), n)
}

func load32(b []byte) uint64 {
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24
}

func load64(b []byte) uint64 { return load32(b) | load32(b[4:])<<32 }

func hasSignature(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		if b[i] != s[i] {
			return false
		}
	}
	return true
}

// acpiTable returns the table at pa, whole.
func acpiTable(pa uint64) []byte {
	h := physical(pa, 36)
	if h == nil {
		return nil
	}
	n := load32(h[4:])
	if n < 36 {
		return nil
	}
	return physical(pa, n)
}

// discoverMachine fills machine in from ACPI's MADT, from an MP table, or
// with what every PC has.
func discoverMachine() {
	if boot.rsdp == 0 {
		boot.rsdp = findRSDP()
	}
	if rsdp := physical(boot.rsdp, 36); hasSignature(rsdp, "RSD PTR ") {
		readACPI(rsdp)
	}
	if machine.cpuCount == 0 {
		readMP()
	}
	if machine.cpuCount == 0 {
		machine.addCPU(cpu0.apicID)
	}
	if machine.ioapicCount == 0 {
		machine.addIOAPIC(0xfec00000, 0)
	}
}

// findRSDP searches where a PC's firmware leaves the pointer.
func findRSDP() uint64 {
	for pa := uint64(0xe0000); pa < 0x100000; pa += 16 {
		if *at[uint64](direct(pa)) == 0x2052545020445352 { // "RSD PTR "
			return pa
		}
	}
	return 0
}

func readACPI(rsdp []byte) {
	root, size := load32(rsdp[16:]), 4
	if rsdp[15] >= 2 && load64(rsdp[24:]) != 0 {
		root, size = load64(rsdp[24:]), 8
	}
	t := acpiTable(root)
	if t == nil {
		return
	}
	for t = t[36:]; len(t) >= size; t = t[size:] {
		pa := load32(t)
		if size == 8 {
			pa = load64(t)
		}
		if m := acpiTable(pa); hasSignature(m, "APIC") {
			machine.parseMADT(m)
		}
	}
}

// readMP looks for an MP floating pointer in the last KiB of base memory and
// in the firmware's space.
func readMP() {
	_ = searchMP(0x9fc00, 0xa0000) || searchMP(0xf0000, 0x100000)
}

func searchMP(start, end uint64) bool {
	for pa := start; pa < end; pa += 16 {
		p := physical(pa, 16)
		if !hasSignature(p, "_MP_") {
			continue
		}
		if h := physical(load32(p[4:]), 44); h != nil {
			machine.parseMP(physical(load32(p[4:]), load32(h[4:])&0xffff))
			return machine.cpuCount != 0
		}
	}
	return false
}
