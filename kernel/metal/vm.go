//go:build baremetal

package metal

// The runtime's address space. It reserves a lot (1.3 GB at start) and uses
// little: addresses are handed out and never taken back, frames come with the
// first touch of a page. What is reserved and what is committed is not told
// apart: a stray access to reserved memory reads zeros instead of faulting,
// which costs a diagnosis and saves keeping a list of mappings.

// heapBase is where the runtime's memory lies: arenas of its heap in the
// upper half of the slot, so that they stay contiguous, all else in the lower.
const (
	heapBase  = 0xffffc00000000000
	arenaBase = heapBase + slotSize/2
	heapEnd   = heapBase + slotSize

	// arenaSize is the runtime's; it asks for twice that to align it.
	arenaSize = 64 << 20
)

var (
	vmLock    spinlock
	heapNext  uintptr = heapBase
	arenaNext uintptr = arenaBase
)

const (
	mapFixed = 0x10

	madvDontneed = 4
	madvFree     = 8
	madvCollapse = 25
)

func inHeap(addr uintptr) bool {
	return addr-heapBase < heapNext-heapBase || addr-arenaBase < arenaNext-arenaBase
}

// sysMmap serves mmap(2) as the runtime calls it: always anonymous.
func sysMmap(addr, n uintptr, prot, flags uint64) uint64 {
	n = (n + pageSize - 1) &^ (pageSize - 1)
	if n == 0 || n > slotSize/4 {
		return errno(enomem)
	}
	if flags&mapFixed != 0 {
		if !inHeap(addr) {
			return errno(enomem)
		}
		if prot == 0 {
			unmapHeap(addr, n)
		}
		return uint64(addr)
	}
	if addr != 0 && addr < arenaBase {
		// A hint elsewhere, such as those in the lower half, which is
		// the user's. The runtime takes no for an answer.
		return errno(enomem)
	}
	result := errno(enomem)
	vmLock.lock()
	switch {
	case addr != 0:
		if addr == arenaNext && arenaNext+n <= heapEnd {
			result = uint64(addr) // a heap growing behind itself
			arenaNext += n
		}
	case prot == 0 && n == 2*arenaSize && arenaNext+n <= heapEnd:
		result = uint64(arenaNext)
		arenaNext += n
	case heapNext+n <= arenaBase:
		result = uint64(heapNext)
		heapNext += n
	}
	vmLock.unlock()
	return result
}

func sysMunmap(addr, n uintptr) uint64 {
	n = (n + pageSize - 1) &^ (pageSize - 1)
	if !inHeap(addr) {
		return errno(einval)
	}
	unmapHeap(addr, n)
	vmLock.lock()
	if addr+n == arenaNext {
		arenaNext = addr // the alignment's excess: the next arena goes there
	} else if addr+n == heapNext {
		heapNext = addr
	}
	vmLock.unlock()
	return 0
}

func sysMadvise(addr, n uintptr, advice uint64) uint64 {
	switch advice {
	case madvDontneed, madvFree:
		if !inHeap(addr) {
			return errno(einval)
		}
		unmapHeap(addr, (n+pageSize-1)&^(pageSize-1))
	case madvCollapse:
		return errno(einval)
	}
	return 0
}

// unmapHeap frees the frames behind [addr, addr+n). They go back only after
// no CPU can reach them.
func unmapHeap(addr, n uintptr) {
	var batch [64]uint64
	end := addr + n
	for addr < end {
		vmLock.lock()
		start, count := addr, 0
		for addr < end && count < len(batch) {
			e := findEntry(addr)
			if e == nil {
				addr = (addr + 1<<21) &^ (1<<21 - 1)
				continue
			}
			if *e&ptePresent != 0 {
				batch[count] = *e & pteAddr
				count++
				*e = 0
			}
			addr += pageSize
		}
		if count > 0 {
			flushAll(0, start, min(addr, end))
		}
		vmLock.unlock()
		if count > 0 {
			frameLock.lock()
			kernelFrames -= uint64(count)
			for _, pa := range batch[:count] {
				putFrame(pa)
			}
			frameLock.unlock()
		}
	}
}

// demand gives the page at addr memory if it is the kernel's to have some.
func demand(addr uintptr) bool {
	if !inHeap(addr) && uint64(addr)-image.demandStart >= image.demandEnd-image.demandStart {
		return false
	}
	vmLock.lock()
	if e := makeEntry(addr); e != nil && *e&ptePresent == 0 {
		*e = kernelFrame() | ptePresent | pteWrite | pteGlobal | pteNX
	}
	vmLock.unlock()
	return true
}

// populate gives memory to all pages of [addr, addr+n), for code that must
// not fault on them. It reports whether the range is the kernel's.
func populate(addr, n uintptr) bool {
	for p := addr &^ (pageSize - 1); p < addr+n; p += pageSize {
		if p >= imageBase && uint64(p) < image.end {
			continue
		}
		if !demand(p) {
			return false
		}
	}
	return true
}
