//go:build baremetal

package metal

import "unsafe"

// What the boot loader hands over: PVH's hvm_start_info
// (xen/include/public/arch-x86/hvm/start_info.h) or Linux's boot_params
// (Documentation/arch/x86/zero-page.rst). Both say where memory is in the
// E820 way.

const (
	memoryRAM  = 1
	memoryACPI = 3

	maxMemory  = 64
	maxModules = 8
)

type memoryRange struct {
	start, end uint64
	kind       uint32
}

var boot struct {
	memory      [maxMemory]memoryRange
	memoryCount int
	modules     [maxModules]struct{ addr, size uint64 }
	moduleCount int
	cmdline     uint64
	cmdlineLen  uintptr
	rsdp        uint64
	protocol    uintptr
}

const (
	protocolPVH   = 0
	protocolLinux = 1
)

func addMemory(start, size uint64, kind uint32) {
	if boot.memoryCount < maxMemory && size != 0 && start+size > start {
		boot.memory[boot.memoryCount] = memoryRange{start, start + size, kind}
		boot.memoryCount++
	}
}

func addModule(addr, size uint64) {
	if boot.moduleCount < maxModules && size != 0 {
		boot.modules[boot.moduleCount].addr = addr
		boot.modules[boot.moduleCount].size = size
		boot.moduleCount++
	}
}

// readBootInfo fills boot from the structure at physical address pa, below
// 1 GiB as is all it points to.
func readBootInfo(pa uint64, protocol uintptr) {
	boot.protocol = protocol
	if protocol == protocolLinux {
		readLinux(direct(pa))
	} else {
		readPVH(direct(pa))
	}
	if boot.cmdline != 0 {
		p := direct(boot.cmdline)
		for boot.cmdlineLen < 4096 && *at[byte](p + boot.cmdlineLen) != 0 {
			boot.cmdlineLen++
		}
	}
}

func readPVH(p uintptr) {
	info := at[struct {
		magic, version, flags, modules uint32
		modlist, cmdline, rsdp, memmap uint64
		memmapEntries, _               uint32
	}](p)
	const magic = 0x336ec578
	if info.magic != magic {
		die("PVH start_info has a wrong magic number", uint64(info.magic), nil)
	}
	boot.cmdline = info.cmdline
	boot.rsdp = info.rsdp
	for i := range uintptr(min(info.modules, maxModules)) {
		m := at[[4]uint64](direct(info.modlist) + i*32)
		addModule(m[0], m[1])
	}
	if info.version >= 1 {
		for i := range uintptr(info.memmapEntries) {
			e := at[struct {
				addr, size uint64
				kind, _    uint32
			}](direct(info.memmap) + i*24)
			addMemory(e.addr, e.size, e.kind)
		}
	}
}

func readLinux(p uintptr) {
	read32 := func(off uintptr) uint64 { return uint64(*at[uint32](p + off)) }
	boot.cmdline = read32(0x228) | read32(0xc8)<<32
	boot.rsdp = *at[uint64](p + 0x70)
	addModule(read32(0x218)|read32(0xc0)<<32, read32(0x21c)|read32(0xc4)<<32)
	for i := range uintptr(*at[byte](p + 0x1e8)) {
		e := at[[5]uint32](p + 0x2d0 + i*20)
		addMemory(uint64(e[0])|uint64(e[1])<<32, uint64(e[2])|uint64(e[3])<<32, e[4])
	}
}

// giveMemory hands RAM to the frame allocator, all but what is taken: the
// first MiB (boot structures, firmware, the application processors'
// trampoline), the image, the modules and the command line.
func giveMemory() {
	taken := [maxModules + 4]memoryRange{
		{start: 0, end: 1 << 20},
		{start: image.start - imageBase, end: image.holeStart - imageBase},
		{start: image.holeEnd - imageBase, end: image.end - imageBase},
		{start: boot.cmdline, end: boot.cmdline + uint64(boot.cmdlineLen) + 1},
	}
	n := 4
	for i := range boot.moduleCount {
		m := &boot.modules[i]
		taken[n] = memoryRange{start: m.addr, end: m.addr + m.size}
		n++
	}
	for i := range boot.memoryCount {
		if r := &boot.memory[i]; r.kind == memoryRAM {
			giveRange(r.start, min(r.end, directEnd), taken[:n])
		}
	}
	setReserve()
}

// giveRange gives [start, end) without the ranges taken.
func giveRange(start, end uint64, taken []memoryRange) {
	for start < end {
		// The first taken range that cuts what is left.
		cut, cutEnd := end, end
		for i := range taken {
			t := &taken[i]
			if t.end > start && t.start < cut {
				cut, cutEnd = max(t.start, start), t.end
			}
		}
		addRegion(start, cut)
		start = max(cutEnd&^(pageSize-1), cutEnd)
		start = (start + pageSize - 1) &^ (pageSize - 1)
	}
}

// memoryEnd returns where the memory ends that must be in the direct map.
func memoryEnd() uint64 {
	end := uint64(0)
	for i := range boot.memoryCount {
		if r := &boot.memory[i]; r.kind == memoryRAM || r.kind == memoryACPI {
			end = max(end, r.end)
		}
	}
	return min((end+1<<21-1)&^(1<<21-1), slotSize)
}

// commandLine returns the bytes of the command line.
func commandLine() []byte {
	if boot.cmdline == 0 {
		return nil
	}
	return unsafe.Slice(at[byte](direct(boot.cmdline)), boot.cmdlineLen)
}

// commandNumber returns the decimal number after key, a word's start in the
// command line, or 0.
func commandNumber(key string) uint64 {
	line := commandLine()
words:
	for i := 0; i+len(key) <= len(line); i++ {
		if i > 0 && line[i-1] != ' ' {
			continue
		}
		for j := range len(key) {
			if line[i+j] != key[j] {
				continue words
			}
		}
		n := uint64(0)
		for _, b := range line[i+len(key):] {
			if b < '0' || b > '9' {
				break
			}
			n = n*10 + uint64(b-'0')
		}
		return n
	}
	return 0
}
