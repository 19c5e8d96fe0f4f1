package cpu

// CPUID executes the CPUID instruction (Intel SDM vol. 2A). It may be used at
// any privilege level and so needs no machine.
func CPUID(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// Hwcap returns AT_HWCAP (CPUID 1, EDX) and AT_HWCAP2 of the auxiliary vector.
func Hwcap() (hwcap, hwcap2 uint64) {
	_, _, _, edx := CPUID(1, 0)
	if userFSGSBase() {
		const hwcap2FSGSBase = 1 << 1
		hwcap2 = hwcap2FSGSBase
	}
	return uint64(edx), hwcap2
}

// Cache is one cache of the processor as deterministic cache parameters
// describe it (CPUID 4, on AMD 0x8000001D).
type Cache struct {
	Level                  uint32
	Type                   uint32 // 1 data, 2 instruction, 3 unified
	Size                   uint32 // bytes
	Line, Partitions, Ways uint32
	Sets                   uint32
	Sharing                uint32 // CPUs that may share it
}

// CacheLevel describes the processor's cache number i, from 0 up; ok is false
// when there is none.
func CacheLevel(i int) (c Cache, ok bool) {
	leaf := uint32(4)
	if _, _, ecx, _ := CPUID(0, 0); ecx == 0x444d4163 || ecx == 0x656e6975 { // AuthenticAMD, HygonGenuine
		leaf = 0x8000001d
	}
	if top, _, _, _ := CPUID(leaf&0x80000000, 0); top < leaf {
		return oldCache(i, top)
	}
	eax, ebx, ecx, _ := CPUID(leaf, uint32(i))
	if eax&0x1f == 0 {
		return Cache{}, false
	}
	c = Cache{
		Type: eax & 0x1f, Level: eax >> 5 & 7, Sharing: eax>>14&0xfff + 1,
		Line: ebx&0xfff + 1, Partitions: ebx>>12&0x3ff + 1, Ways: ebx>>22 + 1, Sets: ecx + 1,
	}
	c.Size = c.Line * c.Partitions * c.Ways * c.Sets
	return c, true
}

// oldCache describes the caches of AMD processors without topology extensions
// (CPUID 0x80000005 and 0x80000006), up to the second level.
func oldCache(i int, top uint32) (c Cache, ok bool) {
	if top < 0x80000006 || i > 2 {
		return Cache{}, false
	}
	_, _, data, code := CPUID(0x80000005, 0)
	_, _, second, _ := CPUID(0x80000006, 0)
	c = Cache{Level: 1, Type: uint32(i + 1), Partitions: 1, Sharing: 1}
	word := data
	switch i {
	case 1:
		word = code
	case 2:
		c.Level = 2
		c.Line, c.Size = second&0xff, second>>16<<10
		encoded := [16]uint32{1: 1, 2: 2, 4: 4, 6: 8, 8: 16, 10: 32, 11: 48, 12: 64, 13: 96, 14: 128}
		c.Ways = encoded[second>>12&0xf]
	}
	if i < 2 {
		c.Line, c.Ways, c.Size = word&0xff, word>>16&0xff, word>>24<<10
	}
	if c.Line == 0 || c.Ways == 0 || c.Size == 0 {
		return Cache{}, false
	}
	c.Sets = c.Size / c.Line / c.Ways
	return c, true
}
