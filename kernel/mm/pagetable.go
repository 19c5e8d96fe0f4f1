package mm

import (
	"sync/atomic"

	"husk/kernel/cpu"
)

// Bits of a page-table entry (Intel SDM vol. 3, 4.5). Accessed and dirty are
// set when an entry is made, which spares the hardware a locked update; what
// is dirty is known from write faults (see PageCache.dirty).
const (
	ptePresent  = 1 << 0
	pteWrite    = 1 << 1
	pteUser     = 1 << 2
	pteAccessed = 1 << 5
	pteDirty    = 1 << 6
	pteNoExec   = 1 << 63
	pteAddr     = 0x000ffffffffff000

	// Entries that are not present have bits of our own.
	pteNone  = 1 << 8 // holds a frame, no access: PROT_NONE
	pteGuard = 1 << 9 // holds nothing and raises SIGSEGV: MADV_GUARD_INSTALL

	// tableBits are the bits of entries above the last level.
	tableBits = ptePresent | pteWrite | pteUser | pteAccessed

	tableShift = 21 // a last-level table maps 2 MiB
	tableSpan  = Addr(1) << tableShift
)

func pteFrame(e uint64) uint32 { return uint32(e & pteAddr >> PageShift) }

// holdsFrame tells whether the entry owns a reference to a frame.
func holdsFrame(e uint64) bool { return e&(ptePresent|pteNone) != 0 }

func load(p *uint64) uint64     { return atomic.LoadUint64(p) }
func store(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

// flushPage forgets the translation of a, and how it was found.
func flushPage(as *AddressSpace, a Addr) {
	a = a.pageDown()
	cpu.FlushRange(as.root, uintptr(a), uintptr(a+PageSize))
}

func slot(a Addr) int { return int(a>>PageShift) & 511 }

// A near remembers the table of the second level that maps the GiB of some
// address: one more than its number, and below that the frame of the table.
// It is forgotten where such tables are dropped, with mu held for writing.
type near = atomic.Uint64

// nears is how many an address space has: programs use few places at a time,
// such as stack, heap and libraries.
const nears = 16

func (as *AddressSpace) near(a Addr) *near {
	return &as.nearTables[uint32(a>>30)*0x9e3779b1>>28]
}

// pde returns the entry that names the last-level table of a, or nil when the
// levels above it do not exist.
func (as *AddressSpace) pde(a Addr) *uint64 {
	if w := as.near(a).Load(); w>>32 == uint64(a>>30)+1 {
		return &tableAt(uint32(w))[a>>tableShift&511]
	}
	return as.walk(a)
}

// walk is pde for what is not remembered.
func (as *AddressSpace) walk(a Addr) *uint64 {
	e := load(&tableAt(as.rootFrame)[a>>39&511])
	if e == 0 {
		return nil
	}
	e = load(&tableAt(pteFrame(e))[a>>30&511])
	if e == 0 {
		return nil
	}
	as.near(a).Store(uint64(a>>30+1)<<32 | uint64(pteFrame(e)))
	return &tableAt(pteFrame(e))[a>>tableShift&511]
}

// makePDE is pde, making the levels that are missing; nil when memory is out.
func (as *AddressSpace) makePDE(a Addr) *uint64 {
	if p := as.pde(a); p != nil {
		return p
	}
	t := tableAt(as.rootFrame)
	for shift := 39; shift > tableShift; shift -= 9 {
		p := &t[a>>shift&511]
		if load(p) == 0 && !as.addTable(p) {
			return nil
		}
		t = tableAt(pteFrame(load(p)))
	}
	return &t[a>>tableShift&511]
}

// addTable puts an empty table at p unless another thread was quicker.
func (as *AddressSpace) addTable(p *uint64) bool {
	n := allocZeroed(0)
	if n == 0 {
		return false
	}
	as.tables.Lock()
	if load(p) == 0 {
		store(p, uint64(n)<<PageShift|tableBits)
		as.tables.Unlock()
		as.nTables.Add(1)
		tableFrames.Add(1)
		return true
	}
	as.tables.Unlock()
	putFrame(n)
	return true
}

// ownTable returns the last-level table of a, made if it was missing and
// unshared if it was shared, and the frame whose lock guards its entries. It
// is nil when memory is out. The table stays this address space's own as long
// as mu is held, for only fork shares tables.
func (as *AddressSpace) ownTable(a Addr) (*table, *frame) {
	p := as.makePDE(a)
	if p == nil {
		return nil, nil
	}
	for {
		e := load(p)
		switch {
		case e&pteWrite != 0:
			n := pteFrame(e)
			return tableAt(n), &frames[n]
		case e == 0:
			if !as.addTable(p) {
				return nil, nil
			}
		default:
			if !as.unshare(p, a) {
				return nil, nil
			}
		}
	}
}

// unshare makes the table at p this address space's own: by lifting the write
// protection when the others are gone, else by a copy, whose pages become
// copy-on-write on both sides. It reports false when memory is out.
func (as *AddressSpace) unshare(p *uint64, a Addr) bool {
	e := load(p)
	if e == 0 || e&pteWrite != 0 {
		return true
	}
	old := pteFrame(e)
	f := &frames[old]
	var fresh uint32
	if f.refs.Load() > 1 {
		if fresh = allocFrame(0); fresh == 0 {
			return false
		}
	}
	f.mu.Lock()
	if load(p) != e { // another thread of this address space did it
		f.mu.Unlock()
		if fresh != 0 {
			putFrame(fresh)
		}
		return true
	}
	if f.refs.Load() == 1 {
		store(p, e|pteWrite)
		f.mu.Unlock()
		if fresh != 0 {
			putFrame(fresh)
		}
		return true
	}
	if fresh == 0 { // a fork came between: not while mu is held
		f.mu.Unlock()
		return true
	}
	copyEntries(tableAt(old), tableAt(fresh))
	frames[fresh].flags = f.flags
	f.refs.Add(-1)
	store(p, uint64(fresh)<<PageShift|tableBits)
	f.mu.Unlock()
	tableFrames.Add(1)
	// CPUs may have cached the way to the old table.
	flushPage(as, a)
	return true
}

// copyEntries makes to, of undefined contents, a copy of a table whose lock is
// held; pages that may be written become copy-on-write on both sides.
func copyEntries(from, to *table) {
	zero, end := zeroFrame, uint32(len(frames))
	for i := 0; i < len(from); i += 8 {
		// Most of a table is empty: eight entries at a look.
		r, w := (*[8]uint64)(from[i:]), (*[8]uint64)(to[i:])
		if r[0]|r[1]|r[2]|r[3]|r[4]|r[5]|r[6]|r[7] == 0 {
			*w = [8]uint64{}
			continue
		}
		for k := range r {
			e := load(&r[k])
			if holdsFrame(e) {
				if n := pteFrame(e); n != zero && n < end {
					frameAt(n).refs.Add(1)
				}
				if e&pteWrite != 0 {
					e &^= pteWrite
					store(&r[k], e)
				}
			}
			w[k] = e
		}
	}
}

// putTable drops a reference to a last-level table and with the last one
// frees it and all it maps. The table is out of reach of the hardware.
func putTable(n uint32) {
	f := &frames[n]
	f.mu.Lock()
	left := f.refs.Add(-1)
	f.mu.Unlock()
	if left > 0 {
		return
	}
	t := tableAt(n)
	mapped := f.flags
	zero, end := zeroFrame, uint32(len(frames))
	for i := 0; i < len(t) && mapped > 0; i += 8 {
		w := (*[8]uint64)(t[i:])
		if w[0]|w[1]|w[2]|w[3]|w[4]|w[5]|w[6]|w[7] == 0 {
			continue
		}
		for _, e := range w {
			if n := pteFrame(e); holdsFrame(e) && n != zero {
				if n < end && frameAt(n).refs.Add(-1) == 0 {
					freeFrame(n)
				}
				mapped--
			}
		}
	}
	tableFrames.Add(-1)
	freeFrame(n)
}

// nextTable finds the first last-level table in [a, end): its entry and the
// first address at or above a that it maps; nil when there is none.
func (as *AddressSpace) nextTable(a, end Addr) (*uint64, Addr) {
	root := tableAt(as.rootFrame)
	for a < end {
		e := load(&root[a>>39&511])
		if e == 0 {
			a = (a>>39 + 1) << 39
			continue
		}
		e = load(&tableAt(pteFrame(e))[a>>30&511])
		if e == 0 {
			a = (a>>30 + 1) << 30
			continue
		}
		pd := tableAt(pteFrame(e))
		for {
			if p := &pd[a>>tableShift&511]; load(p) != 0 {
				return p, a
			}
			a = (a>>tableShift + 1) << tableShift
			if a >= end {
				return nil, end
			}
			if a>>tableShift&511 == 0 {
				break
			}
		}
	}
	return nil, end
}

// gather collects what an unmapping took out of the tables. Frames are freed
// only after the TLBs have forgotten them.
type gather struct {
	as         *AddressSpace
	start, end Addr // what is to be flushed
	dead       bool // the address space is on no CPU: nothing to flush
	nPages     int
	nTables    int
	pages      [128]uint32
	tables     [16]uint32
}

func (g *gather) page(n uint32) {
	if g.nPages == len(g.pages) {
		g.flush()
	}
	g.pages[g.nPages] = n
	g.nPages++
}

func (g *gather) table(n uint32) {
	if g.nTables == len(g.tables) {
		g.flush()
	}
	g.tables[g.nTables] = n
	g.nTables++
}

// flush must not be called with a table's lock held when tables were gathered.
func (g *gather) flush() {
	if g.nPages|g.nTables == 0 {
		return
	}
	if !g.dead {
		cpu.FlushRange(g.as.root, uintptr(g.start), uintptr(g.end))
	}
	for _, n := range g.pages[:g.nPages] {
		putFrame(n)
	}
	for _, n := range g.tables[:g.nTables] {
		putTable(n)
	}
	g.as.nTables.Add(-int64(g.nTables))
	g.nPages, g.nTables = 0, 0
}

// zap empties [start, end). Tables that lie wholly within [floor, ceil),
// which holds no VMA but those in [start, end), are dropped as they are, be
// they shared or not; the others must have been unshared at the edges
// (ownEdges), else they are skipped. mu is held for writing.
func (as *AddressSpace) zap(start, end, floor, ceil Addr, dead bool) {
	g := gather{as: as, start: start, end: end, dead: dead}
	for a := start; a < end; {
		p, at := as.nextTable(a, end)
		if p == nil {
			break
		}
		lo := at &^ (tableSpan - 1)
		hi := lo + tableSpan
		a = hi
		e := load(p)
		n := pteFrame(e)
		if lo >= floor && hi <= ceil {
			store(p, 0)
			g.table(n)
			continue
		}
		if e&pteWrite == 0 {
			continue
		}
		zapEntries(&g, n, at, min(hi, end), false)
	}
	g.flush()
	as.dropUpper(start, end, floor, ceil, dead)
}

// zapEntries empties the entries of table n that map [a, end); guard markers
// stay when keepGuards is set.
func zapEntries(g *gather, n uint32, a, end Addr, keepGuards bool) {
	t, f := tableAt(n), &frames[n]
	f.mu.Lock()
	for i, last := slot(a), slot(end-1); i <= last; i++ {
		// Most of a table is empty where a thread's stack was: step over that
		// by the line.
		if i&7 == 0 && i+7 <= last {
			r := (*[8]uint64)(t[i:])
			if load(&r[0])|load(&r[1])|load(&r[2])|load(&r[3])|load(&r[4])|load(&r[5])|load(&r[6])|load(&r[7]) == 0 {
				i += 7
				continue
			}
		}
		e := load(&t[i])
		if e == 0 || keepGuards && e == pteGuard {
			continue
		}
		store(&t[i], 0)
		if counts(e) {
			f.flags--
		}
		if holdsFrame(e) {
			if g.nPages == len(g.pages) {
				f.mu.Unlock()
				g.flush()
				f.mu.Lock()
			}
			g.page(pteFrame(e))
		}
	}
	f.mu.Unlock()
}

// ownEdges makes the tables at both ends of [start, end) this address space's
// own, so that zap and protect need no memory for them.
func (as *AddressSpace) ownEdges(start, end Addr) bool {
	if start&(tableSpan-1) != 0 && !as.ownAt(start) {
		return false
	}
	return end&(tableSpan-1) == 0 || as.ownAt(end-1)
}

func (as *AddressSpace) ownAt(a Addr) bool {
	p := as.pde(a)
	return p == nil || load(p) == 0 || as.unshare(p, a)
}

// dropUpper frees the upper-level tables that map nothing but [floor, ceil).
func (as *AddressSpace) dropUpper(start, end, floor, ceil Addr, dead bool) {
	const gig, half = Addr(1) << 30, Addr(1) << 39
	if ceil-floor < gig {
		return
	}
	root := tableAt(as.rootFrame)
	for top := start &^ (half - 1); top < end; top += half {
		p := &root[top>>39&511]
		e := load(p)
		if e == 0 {
			continue
		}
		t := tableAt(pteFrame(e))
		for a := max(start&^(gig-1), top); a < min(end, top+half); a += gig {
			q := &t[a>>30&511]
			if d := load(q); d != 0 && a >= floor && a+gig <= ceil {
				store(q, 0)
				as.dropUpperTable(pteFrame(d), a, dead)
			}
		}
		if top >= floor && top+half <= ceil {
			store(p, 0)
			as.dropUpperTable(pteFrame(e), top, dead)
		}
	}
}

func (as *AddressSpace) dropUpperTable(n uint32, a Addr, dead bool) {
	for i := range as.nearTables {
		as.nearTables[i].Store(0)
	}
	if !dead {
		flushPage(as, a)
	}
	as.nTables.Add(-1)
	tableFrames.Add(-1)
	putFrame(n)
}
