//go:build baremetal

package metal

// The free frames of the machine. A frame that was never used lies in a
// region from which frames are cut off at the front; one that was given back
// is in a list threaded through the frames themselves. Nothing is per frame,
// so boot costs the same for any amount of memory.

type region struct{ next, end uint64 }

var (
	frameLock   spinlock
	regions     [32]region
	regionCount int
	regionFirst int    // those before it are used up
	freeList    uint64 // physical address of the first, 0 when empty
	framesFree  uint64
	framesTotal uint64
	frameEnd    uint64 // end of the highest frame

	// The kernel's own memory: its page faults cannot fail, so frames are
	// kept for it. kernelFrames is how many it uses, kernelGoal how many it
	// may come to use while programs do not get the last ones (the runtime
	// collects garbage to stay below, see GOMEMLIMIT), and frameReserve what
	// is kept even when it uses more than that.
	kernelFrames uint64
	kernelGoal   uint64
	frameReserve uint64
)

const pageSize = 4096

// directBase is the kernel's address of physical address 0.
const directBase = 0xffff888000000000

func direct(pa uint64) uintptr { return directBase + uintptr(pa) }

// addRegion gives [start, end) to the allocator.
func addRegion(start, end uint64) {
	start = (start + pageSize - 1) &^ (pageSize - 1)
	end &^= pageSize - 1
	if start >= end || regionCount == len(regions) {
		return
	}
	regions[regionCount] = region{start, end}
	regionCount++
	framesFree += (end - start) / pageSize
	framesTotal += (end - start) / pageSize
	frameEnd = max(frameEnd, end)
}

// setReserve is called once all regions are known.
func setReserve() {
	frameReserve = min(max(framesTotal/32, 96), 4096)
	kernelGoal = framesTotal / 8
}

// heapLimit is what the runtime is told to stay below, in bytes. It counts
// memory of its own that it never touches.
func heapLimit() uint64 {
	const untouched = 5 << 19
	return max(kernelGoal*pageSize, 3<<19) + untouched
}

// kernelMost is how many frames the kernel may use before it is short of them.
// From about there on the runtime would collect garbage without pause.
func kernelMost() uint64 {
	const least = 640
	return max(kernelGoal/8*7, least)
}

// kept is how many free frames are not for programs. frameLock is held, or
// the answer is an estimate.
func kept() uint64 {
	if kernelFrames+frameReserve >= kernelGoal {
		return frameReserve
	}
	return kernelGoal - kernelFrames
}

// takeFrame returns a frame, contents undefined, or 0. frameLock is held.
func takeFrame() uint64 {
	if pa := freeList; pa != 0 {
		freeList = *at[uint64](direct(pa))
		framesFree--
		return pa
	}
	// From below: while the direct map is made, only the first GiB is in it.
	for ; regionFirst < regionCount; regionFirst++ {
		if r := &regions[regionFirst]; r.next < r.end {
			pa := r.next
			r.next += pageSize
			framesFree--
			return pa
		}
	}
	return 0
}

func putFrame(pa uint64) {
	*at[uint64](direct(pa)) = freeList
	freeList = pa
	framesFree++
}

// faulting is the address of the frame of the last exception, for the report
// of a machine that has no memory left: it shows who asked.
var faulting uintptr

// kernelFrame returns a zeroed frame for the kernel itself. There must be
// one: the reserve is kept for this.
func kernelFrame() uint64 {
	frameLock.lock()
	pa := takeFrame()
	kernelFrames++
	scarce := framesFree < frameReserve/2
	frameLock.unlock()
	if scarce {
		// No more than the bit: this may be a page fault of code that
		// holds schedLock, or of code that does not. Whoever enters
		// ring 3 next sees it, or the CPU that has nothing to do.
		setPending(pressureSlot)
	}
	if pa == 0 {
		die("out of memory: the kernel's reserve of frames is used up", framesTotal, at[Frame](faulting))
	}
	zeroPage(direct(pa))
	return pa
}

func freeKernelFrame(pa uint64) {
	frameLock.lock()
	kernelFrames--
	putFrame(pa)
	frameLock.unlock()
}

// kcallAllocFrames fills n words at dst with frames and returns how many.
func kcallAllocFrames(dst, n uintptr) uint64 {
	// The destination's page faults take frameLock: have them first.
	populate(dst, n*8)
	frameLock.lock()
	i, keep := uintptr(0), kept()
	for ; i < n && framesFree > keep; i++ {
		pa := takeFrame()
		if pa == 0 {
			break
		}
		*at[uint64](dst + i*8) = pa
	}
	frameLock.unlock()
	return uint64(i)
}

func kcallFreeFrames(src, n uintptr) {
	populate(src, n*8)
	frameLock.lock()
	for i := range n {
		putFrame(*at[uint64](src + i*8))
	}
	frameLock.unlock()
}

// kcallAllocContiguous returns n zeroed frames in a row, from the end of a
// region that was not used up to there, or 0.
func kcallAllocContiguous(n uint64) uint64 {
	pa := uint64(0)
	frameLock.lock()
	for i := range regionCount {
		r := &regions[i]
		if (r.end-r.next)/pageSize >= n && framesFree > frameReserve+n {
			r.end -= n * pageSize
			framesFree -= n
			pa = r.end
			break
		}
	}
	frameLock.unlock()
	if pa != 0 {
		for i := range n {
			zeroPage(direct(pa + i*pageSize))
		}
	}
	return pa
}
