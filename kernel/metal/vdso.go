//go:build baremetal

package metal

// The runtime reads the clock through a vDSO if it finds one: a system call
// less for every look at the time. This one is as small as the runtime's
// reader (runtime/vdso_linux.go) allows: a segment, a dynamic table, one
// symbol, whose value may point anywhere, here into the kernel's text.

type vdsoImage struct {
	ehdr struct {
		ident                      [16]byte
		typ, machine               uint16
		version                    uint32
		entry, phoff, shoff        uint64
		flags                      uint32
		ehsize, phentsize, phnum   uint16
		shentsize, shnum, shstrndx uint16
	}
	phdr [2]struct {
		typ, flags                           uint32
		off, vaddr, paddr, filesz, memsz, al uint64
	}
	dyn [5][2]uint64
	sym [2]struct {
		name        uint32
		info, other uint8
		shndx       uint16
		value, size uint64
	}
	hash   [5]uint32
	verdef [5]uint32
	str    [32]byte
}

var vdso vdsoImage

// buildVDSO fills the image in and returns its address, for AT_SYSINFO_EHDR.
func buildVDSO() uintptr {
	const (
		ptLoad, ptDynamic = 1, 2

		dtHash, dtStrtab, dtSymtab, dtVerdef = 4, 5, 6, 0x6ffffffc
	)
	v := &vdso
	base := addressOf(v)
	offset := func(p uintptr) uint64 { return uint64(p - base) }

	v.ehdr.phoff = offset(addressOf(&v.phdr))
	v.ehdr.phnum = 2
	v.phdr[0].typ = ptLoad
	v.phdr[0].memsz = pageSize
	v.phdr[1].typ = ptDynamic
	v.phdr[1].off = offset(addressOf(&v.dyn))
	v.dyn = [5][2]uint64{
		{dtStrtab, offset(addressOf(&v.str))},
		{dtSymtab, offset(addressOf(&v.sym))},
		{dtHash, offset(addressOf(&v.hash))},
		{dtVerdef, offset(addressOf(&v.verdef))},
	}
	const name = "__vdso_clock_gettime"
	for i := range len(name) {
		v.str[1+i] = name[i]
	}
	v.sym[1].name = 1
	v.sym[1].info = 1<<4 | 2 // global function
	v.sym[1].shndx = 1
	v.sym[1].value = offset(vdsoClockGettimeAddr())
	v.hash = [5]uint32{1, 2, 1, 0, 0} // one bucket, which starts at symbol 1
	// A version must be defined and, being the base, is not looked at.
	v.verdef = [5]uint32{1 | 1<<16, 0, 0, 0, 0}
	return base
}
