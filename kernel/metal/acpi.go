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

func load64(b []byte) uint64 { return uint64(load32(b)) | uint64(load32(b[4:]))<<32 }

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
	n := uint64(load32(h[4:]))
	if n < 36 {
		return nil
	}
	return physical(pa, n)
}

// discoverMachine fills machine in from ACPI's MADT, from an MP table, or
// with what every PC has. Searching memory is the last resort: it costs tens
// of thousands of instructions.
func discoverMachine() {
	if boot.rsdp == 0 && boot.protocol == protocolLinux {
		boot.rsdp = findRSDP() // a PVH loader says where it is, or that it is not
	}
	if rsdp := physical(boot.rsdp, 36); hasSignature(rsdp, "RSD PTR ") {
		readACPI(rsdp)
	}
	if machine.cpuCount == 0 && configuredCPUs() != 1 {
		readMP()
	}
	if machine.cpuCount == 0 {
		machine.addCPU(cpu0.apicID)
	}
	if machine.ioapicCount == 0 {
		machine.addIOAPIC(0xfec00000, 0)
	}
}

// configuredCPUs asks QEMU's firmware configuration device
// (docs/specs/fw_cfg) how many CPUs there are; 0 if there is no such device.
func configuredCPUs() int {
	const (
		selector = 0x510
		data     = 0x511
		keyCPUs  = 5
	)
	Out16(selector, 0)
	for _, b := range [4]byte{'Q', 'E', 'M', 'U'} {
		if In8(data) != b {
			return 0
		}
	}
	Out16(selector, keyCPUs)
	n := int(In8(data))
	return n | int(In8(data))<<8
}

// findRSDP searches where a PC's firmware leaves the pointer.
func findRSDP() uint64 {
	for p := direct(0xe0000); p < direct(0x100000); p += 16 {
		if *at[uint64](p) == 0x2052545020445352 { // "RSD PTR "
			return uint64(p - directBase)
		}
	}
	return 0
}

func readACPI(rsdp []byte) {
	root, size := uint64(load32(rsdp[16:])), 4
	if rsdp[15] >= 2 && load64(rsdp[24:]) != 0 {
		root, size = load64(rsdp[24:]), 8
	}
	t := acpiTable(root)
	if t == nil {
		return
	}
	for t = t[36:]; len(t) >= size; t = t[size:] {
		pa := uint64(load32(t))
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
	for q := direct(start); q < direct(end); q += 16 {
		if *at[uint32](q) != 0x5f504d5f { // "_MP_"
			continue
		}
		p := physical(uint64(q-directBase), 16)
		table := uint64(load32(p[4:]))
		if h := physical(table, 44); h != nil {
			machine.parseMP(physical(table, uint64(load16(h[4:]))))
			return machine.cpuCount != 0
		}
	}
	return false
}
