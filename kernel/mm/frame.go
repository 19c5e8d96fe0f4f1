package mm

import (
	"runtime"
	"sync"
	"sync/atomic"

	"husk/kernel/cpu"
)

// frame describes one page of physical memory. The table of them is indexed
// by frame number and holds no pointers; what is never used of it is never
// touched, and so costs no memory.
type frame struct {
	refs atomic.Int32
	// flags is frameAnon or 0, written while the frame has one owner. In a
	// last-level page table it is instead the number of pages mapped, the
	// zero page not among them, guarded by mu.
	flags uint32
	mu    sync.Mutex // page tables: guards the entries
}

const (
	// frameAnon marks a page that belongs to the mappings that hold it and
	// to no file: with a single reference it may be written in place.
	frameAnon = 1 << iota
)

// counts tells whether entry e adds to its table's number of mapped pages.
func counts(e uint64) bool { return holdsFrame(e) && pteFrame(e) != zeroFrame }

// forever is a reference count that no program can bring to zero: the zero
// page's, and that of memory which is not ours to free.
const forever = 1 << 30

var (
	frameInit sync.Once
	frames    []frame
	zeroFrame uint32 // always all zero, mapped read-only

	// framesHeld counts the frames taken from package cpu and not returned,
	// those that lie free in the shards included.
	framesHeld atomic.Int64
	// tableFrames counts the frames that are page tables.
	tableFrames atomic.Int64
	// memoryTight is set while package cpu has no frames left: nothing is
	// then allocated ahead of need.
	memoryTight atomic.Bool
)

// A frameShard is a small stock of free frames, one for each CPU, so that a
// fault takes one uncontended lock and no walk into the layer below.
type frameShard struct {
	mu   sync.Mutex
	n    int
	list [shardMax]uint32
	_    [64]byte // keep neighbours out of each other's cache lines
}

const (
	shardMax   = 64
	shardBatch = 32
	shardCount = 8
)

var shards [shardCount]frameShard

func initFrames() {
	frames = make([]frame, cpu.MaxFrame())
	var pa [1]cpu.PhysAddr
	if cpu.AllocFrames(pa[:]) == 0 {
		return // every allocation will fail too and say so
	}
	cpu.ZeroFrame(pa[0])
	zeroFrame = uint32(pa[0] >> PageShift)
	frames[zeroFrame].refs.Store(forever)
	framesHeld.Add(1)
}

// allocFrame returns a frame of undefined contents with one reference, or 0
// when there is none even after eviction. flags become the frame's.
func allocFrame(flags uint32) uint32 {
	s := &shards[cpu.CurrentCPU()&(shardCount-1)]
	s.mu.Lock()
	if s.n == 0 && !s.refill() {
		s.mu.Unlock()
		return allocSlow(flags)
	}
	s.n--
	n := s.list[s.n]
	s.mu.Unlock()
	f := &frames[n]
	f.flags = flags
	f.refs.Store(1)
	return n
}

// allocFrames fills dst as far as it can and returns how many it found, at
// least one unless memory is exhausted. Only the first is worth an eviction.
func allocFrames(dst []uint32, flags uint32) int {
	if memoryTight.Load() {
		dst = dst[:1]
	}
	got := 0
	s := &shards[cpu.CurrentCPU()&(shardCount-1)]
	s.mu.Lock()
	for got < len(dst) && (s.n > 0 || s.refill()) {
		k := copy(dst[got:], s.list[:s.n])
		copy(s.list[:], s.list[k:s.n])
		s.n -= k
		got += k
	}
	s.mu.Unlock()
	table := frames
	for _, n := range dst[:got] {
		f := &table[n]
		f.flags = flags
		f.refs.Store(1)
	}
	if got == 0 {
		n := allocSlow(flags)
		if n == 0 {
			return 0
		}
		dst[0], got = n, 1
	}
	return got
}

// refill takes a batch from the layer below. s.mu is held.
func (s *frameShard) refill() bool {
	frameInit.Do(initFrames)
	var batch [shardBatch]cpu.PhysAddr
	got := cpu.AllocFrames(batch[:])
	for i, pa := range batch[:got] {
		s.list[i] = uint32(pa >> PageShift)
	}
	s.n = got
	framesHeld.Add(int64(got))
	if tight := got < shardBatch; tight != memoryTight.Load() {
		memoryTight.Store(tight)
	}
	if total, free := cpu.FrameStats(); free < total/lowWater {
		wakeReclaimer()
	}
	return got > 0
}

// allocSlow looks in the other shards and then evicts.
func allocSlow(flags uint32) uint32 {
	for idle := 0; ; {
		for i := range shards {
			s := &shards[i]
			s.mu.Lock()
			if s.n > 0 || s.refill() {
				s.n--
				n := s.list[s.n]
				s.mu.Unlock()
				f := &frames[n]
				f.flags = flags
				f.refs.Store(1)
				return n
			}
			s.mu.Unlock()
		}
		if Reclaim(2*shardBatch) > 0 {
			continue
		}
		// Another may be at it, with what it has evicted on its way here.
		if idle++; idle == 4 {
			return 0
		}
		runtime.Gosched()
	}
}

// allocZeroed returns a zeroed frame, or 0.
func allocZeroed(flags uint32) uint32 {
	n := allocFrame(flags)
	if n != 0 {
		cpu.ZeroFrame(cpu.PhysAddr(n) << PageShift)
	}
	return n
}

// getFrame takes a reference. Frames beyond the table are device memory. The
// zero page is not counted.
func getFrame(n uint32) {
	if int(n) < len(frames) && n != zeroFrame {
		frames[n].refs.Add(1)
	}
}

// putFrame drops a reference and frees the frame with the last.
func putFrame(n uint32) {
	if int(n) < len(frames) && n != zeroFrame && frames[n].refs.Add(-1) == 0 {
		freeFrame(n)
	}
}

func freeFrame(n uint32) {
	s := &shards[cpu.CurrentCPU()&(shardCount-1)]
	s.mu.Lock()
	limit := shardMax
	if memoryTight.Load() {
		limit = shardBatch // the layer below, and the Go heap, go first
	}
	if s.n >= limit {
		s.spill()
	}
	s.list[s.n] = n
	s.n++
	s.mu.Unlock()
}

// spill gives a batch back to the layer below. s.mu is held.
func (s *frameShard) spill() {
	var batch [shardBatch]cpu.PhysAddr
	k := min(shardBatch, s.n)
	for i := range k {
		s.n--
		batch[i] = cpu.PhysAddr(s.list[s.n]) << PageShift
	}
	framesHeld.Add(-int64(k))
	cpu.FreeFrames(batch[:k])
}

// adoptFrame gives memory that mm did not allocate a reference count that
// never ends.
func adoptFrame(n uint32) {
	if int(n) < len(frames) && frames[n].refs.Load() == 0 {
		frames[n].refs.CompareAndSwap(0, forever)
	}
}

// isAnon tells whether frame n belongs to mappings and to no file.
func isAnon(n uint32) bool { return int(n) < len(frames) && frames[n].flags&frameAnon != 0 }

// shardFree counts the frames that lie free in the shards.
func shardFree() int {
	free := 0
	for i := range shards {
		s := &shards[i]
		s.mu.Lock()
		free += s.n
		s.mu.Unlock()
	}
	return free
}
