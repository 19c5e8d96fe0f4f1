package mm

import (
	"sync/atomic"

	"husk/kernel/cpu"
)

// MinAddr is the lowest address that programs may map (vm.mmap_min_addr).
const MinAddr Addr = 65536

const (
	// The window of MAP_32BIT (arch/x86 find_start_end).
	low32, high32 Addr = 0x40000000, 0x80000000
	// mmapBits is the randomness of the mmap base in pages, stackBits that
	// of the stack (mmap_rnd_bits, STACK_RND_MASK on x86-64).
	mmapBits  = 28
	stackBits = 22
)

// randomState is a splitmix64 stream seeded once from the machine: layout
// needs unpredictability from outside, not one call to the hardware a page.
var randomState atomic.Uint64

// RandomBits returns n random bits, for the layout of address spaces.
func RandomBits(n uint) uint64 {
	if randomState.Load() == 0 {
		var seed [8]byte
		cpu.Random(seed[:])
		var s uint64
		for _, b := range seed {
			s = s<<8 | uint64(b)
		}
		randomState.CompareAndSwap(0, s|1)
	}
	z := randomState.Add(0x9e3779b97f4a7c15)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) >> (64 - n)
}

// SetLayout chooses where mmap places what has no address: top-down from
// below the largest stack that the limit allows (arch/x86/mm/mmap.c). It is
// called before anything is mapped. NewAddressSpace has done it with 8 MiB and
// randomly.
func (as *AddressSpace) SetLayout(stackLimit uint64, randomize bool) {
	const minGap, maxGap = 128 << 20, uint64(userMax) / 6 * 5
	gap := stackLimit
	pad := uint64(stackGuardGap)
	if randomize {
		pad += (1<<stackBits - 1) << PageShift
	}
	if gap+pad > gap {
		gap += pad
	}
	gap = min(max(gap, minGap), maxGap)
	var rnd uint64
	if randomize {
		rnd = RandomBits(mmapBits) << PageShift
	}
	as.mu.Lock()
	as.mmapBase = (userMax - Addr(gap) - Addr(rnd)).pageUp()
	as.searchTop, as.skipped = as.mmapBase, 0
	as.mu.Unlock()
}

// MmapBase is the address below which mmap places mappings.
func (as *AddressSpace) MmapBase() Addr { return as.mmapBase }

// StackTop returns a random page-aligned top for the main thread's stack.
func StackTop(randomize bool) Addr {
	top := userMax
	if randomize {
		top -= Addr(RandomBits(stackBits) << PageShift)
	}
	return top
}

// unmappedArea finds room for n bytes (a multiple of the page size): at the
// hint if that is free, else the highest gap below mmapBase, else the lowest
// gap anywhere. mu is held for writing.
func (as *AddressSpace) unmappedArea(hint Addr, n uint64, low bool) (Addr, bool) {
	if n > uint64(userMax) {
		return 0, false
	}
	size := Addr(n)
	limit := userMax
	if low {
		limit = high32
	}
	if hint != 0 {
		hint = hint.pageDown()
		if hint < MinAddr {
			hint = MinAddr
		}
		if hint <= limit-min(size, limit) && as.fits(hint, size) {
			return hint, true
		}
	}
	if low {
		return as.bottomUp(size, low32, high32)
	}
	if a, ok := as.topDown(size); ok {
		return a, true
	}
	return as.bottomUp(size, (userMax / 3).pageUp(), userMax)
}

// fits tells whether [a, a+size) is free and clear of stack guard gaps.
func (as *AddressSpace) fits(a, size Addr) bool {
	i := as.index(a)
	return i == len(as.vmas) || a+size <= as.vmas[i].guardStart()
}

// topDown finds the highest gap of the size below mmapBase. Gaps above
// searchTop are known to be no larger than skipped, so that a run of mmap
// calls does not walk all VMAs each time.
func (as *AddressSpace) topDown(size Addr) (Addr, bool) {
	if size <= as.skipped {
		as.searchTop, as.skipped = as.mmapBase, 0
	}
	end := as.searchTop
	i := as.index(end)
	if i < len(as.vmas) {
		end = min(end, as.vmas[i].guardStart())
	}
	for i--; ; i-- {
		lo := MinAddr
		if i >= 0 {
			lo = max(lo, as.vmas[i].end)
		}
		if end > lo {
			if end-lo >= size {
				as.searchTop = end
				return end - size, true
			}
			as.skipped = max(as.skipped, end-lo)
		}
		if i < 0 {
			return 0, false
		}
		end = as.vmas[i].guardStart()
	}
}

// freed tells the search that [.., end) is free up to the next VMA.
func (as *AddressSpace) freed(end Addr) {
	if i := as.index(end); i < len(as.vmas) {
		end = as.vmas[i].start
	} else {
		end = as.mmapBase
	}
	if end > as.searchTop {
		as.searchTop = min(end, as.mmapBase)
	}
}

// bottomUp finds the lowest gap of the size in [low, high).
func (as *AddressSpace) bottomUp(size, low, high Addr) (Addr, bool) {
	a := low
	for i := as.index(a); ; i++ {
		end := high
		if i < len(as.vmas) {
			end = min(end, as.vmas[i].guardStart())
		}
		if a < end && end-a >= size {
			return a, true
		}
		if i == len(as.vmas) || as.vmas[i].end >= high {
			return 0, false
		}
		a = max(a, as.vmas[i].end)
	}
}
