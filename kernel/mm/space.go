package mm

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// AddressSpace is the memory of one process (Linux's mm_struct). Threads
// share it by reference; Fork copies it.
type AddressSpace struct {
	refs atomic.Int32

	root      cpu.PhysAddr // immutable
	rootFrame uint32       // the same as a frame number

	// Limits are the process's, kept up to date by prlimit(2).
	Limits Limits

	mu   sync.RWMutex // see the package comment
	vmas []*VMA       // in the order of addresses, never overlapping
	last atomic.Pointer[VMA]
	drop []Mappable // to be given up when mu is released

	mmapBase  Addr
	searchTop Addr // see topDown
	skipped   Addr

	brkStart, brk Addr
	stackTop      Addr
	lockFuture    vmFlags // vmLocked, vmLockOnFault after mlockall(MCL_FUTURE)

	// Sizes in pages, of VMAs, not of what is resident.
	totalPages, dataPages, stackPages, execPages, lockedPages uint64

	// Membarrier holds the MEMBARRIER_CMD_REGISTER_* commands that were given.
	Membarrier atomic.Uint32

	// Attached is set once a segment of shared memory was mapped.
	Attached atomic.Bool

	prevSpace, nextSpace *AddressSpace // guarded by spaces.mu

	nearTables [nears]near // see pde

	tables  sync.Mutex    // guards the adding of upper-level tables
	nTables atomic.Int64  // page tables of all levels, the root included
	peakVM  uint64        // the highest totalPages, for VmPeak
	peakRSS atomic.Uint64 // the highest residency seen, pages
	spare   *VMA          // a VMA to be used again
}

// Limits are the resource limits that bind an address space, in bytes.
type Limits struct {
	AS, Data, Stack, Memlock atomic.Uint64
}

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)

func (l *Limits) copyFrom(o *Limits) {
	l.AS.Store(o.AS.Load())
	l.Data.Store(o.Data.Load())
	l.Stack.Store(o.Stack.Load())
	l.Memlock.Store(o.Memlock.Load())
}

// NewAddressSpace returns an empty address space with one reference.
func NewAddressSpace() (*AddressSpace, error) {
	as := new(AddressSpace)
	n := allocFrame(0)
	if n == 0 {
		return nil, unix.ENOMEM
	}
	as.rootFrame, as.root = n, cpu.PhysAddr(n)<<PageShift
	cpu.InitRoot(as.root)
	tableFrames.Add(1)
	as.nTables.Store(1)
	as.refs.Store(1)
	as.Limits.AS.Store(Unlimited)
	as.Limits.Data.Store(Unlimited)
	as.Limits.Stack.Store(8 << 20)
	as.Limits.Memlock.Store(8 << 20)
	as.SetLayout(8<<20, true)
	as.enlist()
	return as, nil
}

// Get takes a reference (CLONE_VM), Put drops one; the last frees everything.
func (as *AddressSpace) Get() { as.refs.Add(1) }

// Put drops a reference.
func (as *AddressSpace) Put() {
	if as.refs.Add(-1) > 0 {
		return
	}
	as.delist()
	if !as.mu.TryLock() {
		// Nobody can hold it now, unless the kernel failed in a call that
		// did: then this memory is lost, and the rest goes on.
		return
	}
	cpu.ReleaseRoot(as.root)
	vmas := as.vmas
	as.vmas = nil
	as.last.Store(nil)
	for _, v := range vmas {
		as.discard(v)
		as.account(v.flags, -int64(v.size()>>PageShift))
	}
	for i := 0; i < len(vmas); {
		start, end := vmas[i].start, vmas[i].end
		for i++; i < len(vmas) && vmas[i].start < end+tableSpan; i++ {
			end = vmas[i].end
		}
		ceil := userMax + PageSize
		if i < len(vmas) {
			ceil = vmas[i].start
		}
		as.zap(start, end, 0, ceil, true)
	}
	tableFrames.Add(-1)
	as.unlock()
	putFrame(as.rootFrame)
}

// Root is the page-table root for cpu.Switch.
func (as *AddressSpace) Root() cpu.PhysAddr { return as.root }

// Fork returns a copy-on-write copy with one reference.
func (as *AddressSpace) Fork() (*AddressSpace, error) {
	child, err := NewAddressSpace()
	if err != nil {
		return nil, err
	}
	child.Limits.copyFrom(&as.Limits)
	child.Membarrier.Store(as.Membarrier.Load())
	child.Attached.Store(as.Attached.Load())
	as.mu.Lock()
	if !as.mayCommitFork() {
		as.mu.Unlock()
		child.Put()
		return nil, unix.ENOMEM
	}
	child.mmapBase, child.searchTop, child.skipped = as.mmapBase, as.searchTop, as.skipped
	child.brkStart, child.brk, child.stackTop = as.brkStart, as.brk, as.stackTop
	child.vmas = make([]*VMA, 0, len(as.vmas)+4)
	slab := make([]VMA, len(as.vmas)) // one allocation for them all
	for _, v := range as.vmas {
		if v.flags&vmDontFork != 0 {
			child.searchTop, child.skipped = child.mmapBase, 0
			continue
		}
		w := &slab[len(child.vmas)]
		w.as = child
		v.cloneTo(w)
		w.setFlags(v.flags &^ (vmLocked | vmLockOnFault))
		w.link() // before its entries are copied, see unmapAll
		child.vmas = append(child.vmas, w)
		child.account(w.flags, int64(w.size()>>PageShift))
	}
	ok := as.shareTables(child)
	cpu.FlushRange(as.root, 0, 0)
	as.mu.Unlock()
	if !ok {
		child.Put()
		return nil, unix.ENOMEM
	}
	return child, nil
}

// shareTables gives child the pages of as, by sharing last-level tables where
// the child inherits all that they map and by copying entries elsewhere.
func (as *AddressSpace) shareTables(child *AddressSpace) bool {
	a := Addr(0)
	for i, v := range as.vmas {
		for a = max(a, v.start); a < v.end; {
			p, at := as.nextTable(a, v.end)
			if p == nil {
				break
			}
			lo := at &^ (tableSpan - 1)
			a = lo + tableSpan
			if !as.shareTable(child, p, i, lo) {
				return false
			}
		}
	}
	return true
}

// fewPages is how many pages a table may map for a copy of it to cost less
// than sharing: parent and child soon write to the tables of their stacks and
// data, and each would scan a shared one to take its own.
const fewPages = 64

// shareTable shares or copies the table at p, which maps from lo on. The VMA
// at position i is the first that it maps a part of.
func (as *AddressSpace) shareTable(child *AddressSpace, p *uint64, i int, lo Addr) bool {
	hi := lo + tableSpan
	f := &frames[pteFrame(load(p))]
	f.mu.Lock()
	few := f.flags <= fewPages
	f.mu.Unlock()
	if few {
		return as.copyTable(child, p, i, lo, hi)
	}
	for j := i; j < len(as.vmas) && as.vmas[j].start < hi; j++ {
		if as.vmas[j].flags&(vmDontFork|vmWipeOnFork) != 0 {
			return as.copyTable(child, p, i, lo, hi)
		}
	}
	q := child.makePDE(lo)
	if q == nil {
		return false
	}
	f.mu.Lock()
	f.refs.Add(1)
	e := load(p) &^ pteWrite
	store(p, e)
	store(q, e)
	f.mu.Unlock()
	child.nTables.Add(1)
	return true
}

// copyTable copies the entries of the table at p, which maps [lo, hi), except
// those of VMAs that the child does not inherit filled.
func (as *AddressSpace) copyTable(child *AddressSpace, p *uint64, i int, lo, hi Addr) bool {
	to, g := child.ownTable(lo)
	if to == nil {
		return false
	}
	n := pteFrame(load(p))
	from, f := tableAt(n), &frames[n]
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; i < len(as.vmas) && as.vmas[i].start < hi; i++ {
		v := as.vmas[i]
		if v.flags&(vmDontFork|vmWipeOnFork) != 0 {
			continue
		}
		for k, last := slot(max(v.start, lo)), slot(min(v.end, hi)-1); k <= last; k++ {
			if k&7 == 0 && k+7 <= last {
				if r := (*[8]uint64)(from[k:]); r[0]|r[1]|r[2]|r[3]|r[4]|r[5]|r[6]|r[7] == 0 {
					k += 7
					continue
				}
			}
			e := load(&from[k])
			if e == 0 {
				continue
			}
			if holdsFrame(e) {
				getFrame(pteFrame(e))
				if e&pteWrite != 0 {
					e &^= pteWrite
					store(&from[k], e)
				}
				if counts(e) {
					g.flags++
				}
			}
			store(&to[k], e)
		}
	}
	return true
}
