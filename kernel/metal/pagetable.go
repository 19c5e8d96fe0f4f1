//go:build baremetal

package metal

// Page-table entry bits (Intel SDM vol. 3, 4.5).
const (
	ptePresent  = 1 << 0
	pteWrite    = 1 << 1
	pteWT       = 1 << 3
	pteUncached = 1 << 4
	pteLarge    = 1 << 7
	pteGlobal   = 1 << 8
	pteNX       = 1 << 63

	pteAddr = 0x000ffffffffff000
)

// The kernel's half of every address space, one PML4 slot each. The slots
// are filled at boot and never change, so that roots need no upkeep.
const (
	directSlot = 273 // directBase
	heapSlot   = 384 // heapBase
	mmioSlot   = 448 // mmioBase
	imageSlot  = 511

	slotSize = 1 << 39
)

var (
	kernelRoot  uint64
	kernelSlots [4]uint64 // the PML4 entries of the slots above
	slotNumbers = [4]uintptr{directSlot, heapSlot, mmioSlot, imageSlot}
	directEnd   uint64 // end of the direct map, physical
)

// table returns the page table behind an entry.
func table(entry uint64) *[512]uint64 { return at[[512]uint64](direct(entry & pteAddr)) }

// initKernelTables makes the direct map of [0, end) and the kernel's slots.
// The first GiB comes first, with the two tables that mkkernel reserved: the
// other tables are reached through it.
func initKernelTables(end uint64) {
	const flags = ptePresent | pteWrite
	root := at[[512]uint64](uintptr(image.pml4))
	root[0] = 0 // the trampoline's identity map: nil must fault
	pdpt := at[[512]uint64](uintptr(image.direct))
	pd := at[[512]uint64](uintptr(image.direct) + pageSize)
	root[directSlot] = image.direct - imageBase | flags
	pdpt[0] = image.direct - imageBase + pageSize | flags
	if features.gigabytePages {
		pdpt[0] = flags | pteLarge | pteGlobal | pteNX
	} else {
		for i := uint64(0); i < 512 && i<<21 < end; i++ {
			pd[i] = i<<21 | flags | pteLarge | pteGlobal | pteNX
		}
	}
	directEnd = end
	kernelRoot = image.pml4 - imageBase
	writeCR3(kernelRoot)
}

// extendDirect maps what lies above the first GiB. It needs frames.
func extendDirect() {
	const flags = ptePresent | pteWrite
	pdpt := at[[512]uint64](uintptr(image.direct))
	for g := uint64(1); g<<30 < directEnd; g++ {
		if features.gigabytePages {
			pdpt[g] = g<<30 | flags | pteLarge | pteGlobal | pteNX
			continue
		}
		pa := kernelFrame()
		pd := table(pa)
		for i := range uint64(512) {
			pd[i] = g<<30 | i<<21 | flags | pteLarge | pteGlobal | pteNX
		}
		pdpt[g] = pa | flags
	}
	root := table(kernelRoot)
	root[heapSlot] = kernelFrame() | flags
	root[mmioSlot] = kernelFrame() | flags
	for i, n := range slotNumbers {
		kernelSlots[i] = root[n]
	}
}

// initRoot makes the frame a root with an empty user half.
func initRoot(pa uint64) {
	zeroPage(direct(pa))
	t := table(pa)
	for i, n := range slotNumbers {
		t[n] = kernelSlots[i]
	}
}

// makeEntry returns the 4 KiB page-table entry for a kernel address, making
// the tables above it, or nil where the address is mapped by larger pages.
func makeEntry(addr uintptr) *uint64 {
	t := table(kernelRoot)
	for shift := uint(39); shift > 12; shift -= 9 {
		e := &t[addr>>shift&511]
		if *e&ptePresent == 0 {
			*e = kernelFrame() | ptePresent | pteWrite
		}
		if *e&pteLarge != 0 {
			return nil
		}
		t = table(*e)
	}
	return &t[addr>>12&511]
}

// findEntry returns the entry if the tables above it are there, or nil.
func findEntry(addr uintptr) *uint64 {
	t := table(kernelRoot)
	for shift := uint(39); shift > 12; shift -= 9 {
		e := t[addr>>shift&511]
		if e&ptePresent == 0 || e&pteLarge != 0 {
			return nil
		}
		t = table(e)
	}
	return &t[addr>>12&511]
}

const mmioBase = 0xffffe00000000000

var mmioNext uintptr = mmioBase

// mapMMIO maps device memory uncached. vmLock is held, or there is one CPU.
func mapMMIO(pa uint64, size uintptr) uintptr {
	start := pa &^ (pageSize - 1)
	va := mmioNext
	for p := start; p < pa+uint64(size); p += pageSize {
		*makeEntry(mmioNext) = p | ptePresent | pteWrite | pteUncached | pteWT | pteGlobal | pteNX
		mmioNext += pageSize
	}
	mmioNext += pageSize // a hole, against runaway accesses
	return va + uintptr(pa-start)
}
