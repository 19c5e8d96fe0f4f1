package mm

import "golang.org/x/sys/unix"

// Advice beyond what package unix names (asm-generic/mman-common.h).
const (
	madvDontNeedLocked = 24
	madvCollapse       = 25
	madvGuardInstall   = 102
	madvGuardRemove    = 103

	vmMergeable vmFlags = 0x80000000
)

// Advise serves madvise(2).
func (as *AddressSpace) Advise(start Addr, n uint64, advice int) error {
	if start&pageMask != 0 || !validAdvice(advice) {
		return unix.EINVAL
	}
	size := pages(n) << PageShift
	if n != 0 && size == 0 {
		return unix.EINVAL
	}
	end := start + Addr(size)
	switch {
	case end < start:
		return unix.EINVAL
	case end == start:
		return nil
	}
	switch advice {
	case unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE:
		return as.advisePopulate(start, end, advice == unix.MADV_POPULATE_WRITE)
	case unix.MADV_NORMAL, unix.MADV_RANDOM, unix.MADV_SEQUENTIAL, unix.MADV_DONTFORK,
		unix.MADV_DOFORK, unix.MADV_WIPEONFORK, unix.MADV_KEEPONFORK, unix.MADV_DONTDUMP,
		unix.MADV_DODUMP, unix.MADV_HUGEPAGE, unix.MADV_NOHUGEPAGE, unix.MADV_MERGEABLE,
		unix.MADV_UNMERGEABLE:
		return as.adviseFlags(start, end, advice)
	case madvGuardInstall, madvGuardRemove:
		return as.adviseGuard(start, end, advice == madvGuardInstall)
	}
	return as.advisePages(start, end, advice)
}

func validAdvice(advice int) bool {
	switch advice {
	case unix.MADV_NORMAL, unix.MADV_RANDOM, unix.MADV_SEQUENTIAL, unix.MADV_WILLNEED,
		unix.MADV_DONTNEED, unix.MADV_FREE, unix.MADV_REMOVE, unix.MADV_DONTFORK,
		unix.MADV_DOFORK, unix.MADV_MERGEABLE, unix.MADV_UNMERGEABLE, unix.MADV_HUGEPAGE,
		unix.MADV_NOHUGEPAGE, unix.MADV_DONTDUMP, unix.MADV_DODUMP, unix.MADV_WIPEONFORK,
		unix.MADV_KEEPONFORK, unix.MADV_COLD, unix.MADV_PAGEOUT, unix.MADV_POPULATE_READ,
		unix.MADV_POPULATE_WRITE, madvDontNeedLocked, madvGuardInstall, madvGuardRemove:
		return true
	}
	return false // MADV_COLLAPSE and MADV_HWPOISON too, as in a kernel without them
}

// adviseFlags serves the advice that is a property of VMAs.
func (as *AddressSpace) adviseFlags(start, end Addr, advice int) error {
	return as.eachVMA(start, end, func(v *VMA, a, stop Addr) error {
		flags, err := v.advised(advice)
		if err == nil && flags != v.flags {
			_, err = as.setFlags(a, stop, flags)
		}
		return err
	})
}

// eachVMA lets f change the VMAs of [start, end), each with the part of it
// that lies in the range, with mu held. Gaps are passed over and reported at
// the end: ENOMEM.
func (as *AddressSpace) eachVMA(start, end Addr, f func(v *VMA, start, end Addr) error) error {
	as.mu.Lock()
	defer as.unlock()
	var gap error
	for a := start; a < end; {
		i := as.index(a)
		if i == len(as.vmas) || as.vmas[i].start >= end {
			return unix.ENOMEM
		}
		v := as.vmas[i]
		if v.start > a {
			gap = unix.ENOMEM
			a = v.start
		}
		stop := min(v.end, end)
		if err := f(v, a, stop); err != nil {
			return err
		}
		a = stop
	}
	return gap
}

func (v *VMA) advised(advice int) (vmFlags, error) {
	f := v.flags
	switch advice {
	case unix.MADV_NORMAL:
		f &^= vmSeqRead | vmRandRead
	case unix.MADV_SEQUENTIAL:
		f = f&^vmRandRead | vmSeqRead
	case unix.MADV_RANDOM:
		f = f&^vmSeqRead | vmRandRead
	case unix.MADV_DONTFORK:
		f |= vmDontFork
	case unix.MADV_DOFORK:
		f &^= vmDontFork
	case unix.MADV_WIPEONFORK:
		if v.cache != nil {
			return 0, unix.EINVAL
		}
		f |= vmWipeOnFork
	case unix.MADV_KEEPONFORK:
		f &^= vmWipeOnFork
	case unix.MADV_DONTDUMP:
		f |= vmDontDump
	case unix.MADV_DODUMP:
		f &^= vmDontDump
	case unix.MADV_HUGEPAGE:
		f = f&^vmNoHugePage | vmHugePage
	case unix.MADV_NOHUGEPAGE:
		f = f&^vmHugePage | vmNoHugePage
	case unix.MADV_MERGEABLE:
		if v.private() {
			f |= vmMergeable
		}
	case unix.MADV_UNMERGEABLE:
		f &^= vmMergeable
	}
	return f, nil
}

// advisePages serves the advice that concerns pages.
func (as *AddressSpace) advisePages(start, end Addr, advice int) error {
	var gap error
	for a := start; a < end; {
		as.mu.RLock()
		i := as.index(a)
		if i == len(as.vmas) || as.vmas[i].start >= end {
			as.mu.RUnlock()
			return unix.ENOMEM
		}
		v := as.vmas[i]
		if v.start > a {
			gap = unix.ENOMEM
			a = v.start
		}
		stop := min(v.end, end)
		err := as.adviseVMA(v, a, stop, advice) // releases mu
		if err != nil {
			return err
		}
		a = stop
	}
	return gap
}

// holePuncher is what MADV_REMOVE needs of a file with a store.
type holePuncher interface {
	PunchHole(off, n uint64) error
}

// adviseVMA serves advice on [start, end), part of v. mu is held for reading
// and is released.
func (as *AddressSpace) adviseVMA(v *VMA, start, end Addr, advice int) error {
	locked := v.flags&vmLocked != 0
	switch advice {
	case unix.MADV_DONTNEED, madvDontNeedLocked, unix.MADV_FREE:
		defer as.mu.RUnlock()
		if locked && advice != madvDontNeedLocked || advice == unix.MADV_FREE && v.cache != nil {
			return unix.EINVAL
		}
		return as.forget(start, end)
	case unix.MADV_COLD, unix.MADV_PAGEOUT:
		defer as.mu.RUnlock()
		if locked {
			return unix.EINVAL
		}
		return nil // there is no swap, and the clock finds cold pages itself
	}
	c, file := v.cache, v.file
	off, n := v.page(start)<<PageShift, uint64(end-start)
	flags := v.flags
	if file != nil {
		file.Get()
	}
	as.mu.RUnlock()
	if file != nil {
		defer file.Put()
	}
	switch advice {
	case unix.MADV_WILLNEED:
		if c != nil {
			c.WillNeed(off, n)
		}
	case unix.MADV_REMOVE:
		switch {
		case locked || c == nil:
			return unix.EINVAL
		case flags&(vmShared|vmMayWrite) != vmShared|vmMayWrite:
			return unix.EACCES
		case c.store == nil:
			c.PunchHole(off, n)
		default:
			if p, ok := file.(holePuncher); ok {
				return p.PunchHole(off, n)
			}
			return unix.EOPNOTSUPP
		}
	}
	return nil
}

// forget empties [start, end) of pages, leaving guards. mu is held.
func (as *AddressSpace) forget(start, end Addr) error {
	if end-start >= notableSize {
		as.notePeak()
	}
	g := gather{as: as, start: start, end: end}
	for a := start; a < end; {
		p, at := as.nextTable(a, end)
		if p == nil {
			break
		}
		if !as.unshare(p, at) {
			g.flush()
			return unix.ENOMEM
		}
		a = min(at&^(tableSpan-1)+tableSpan, end)
		zapEntries(&g, pteFrame(load(p)), at, a, true)
	}
	g.flush()
	return nil
}

// adviseGuard puts guard markers into [start, end) or takes them out.
func (as *AddressSpace) adviseGuard(start, end Addr, install bool) error {
	return as.eachVMA(start, end, func(v *VMA, a, stop Addr) error {
		if install {
			if v.flags&vmLocked != 0 {
				return unix.EINVAL
			}
			if err := as.forget(a, stop); err != nil {
				return err
			}
		}
		return as.markGuards(a, stop, install)
	})
}

func (as *AddressSpace) markGuards(start, end Addr, install bool) error {
	for a := start; a < end; a = min(a&^(tableSpan-1)+tableSpan, end) {
		if !install {
			if p := as.pde(a); p == nil || load(p) == 0 {
				continue
			}
		}
		t, f := as.ownTable(a)
		if t == nil {
			return unix.ENOMEM
		}
		from, to := uint64(0), uint64(pteGuard)
		if !install {
			from, to = to, from
		}
		f.mu.Lock()
		for i, last := slot(a), slot(min(a&^(tableSpan-1)+tableSpan, end)-1); i <= last; i++ {
			if load(&t[i]) == from {
				store(&t[i], to)
			}
		}
		f.mu.Unlock()
	}
	return nil
}

// advisePopulate faults all pages in and says what was wrong with the first
// that could not be.
func (as *AddressSpace) advisePopulate(start, end Addr, write bool) error {
	access, need := Read, vmRead
	if write {
		access, need = Write, vmWrite
	}
	for a := start; a < end; {
		as.mu.RLock()
		v := as.find(a)
		if v == nil {
			as.mu.RUnlock()
			return unix.ENOMEM
		}
		stop, allowed := min(v.end, end), v.flags&need != 0
		as.mu.RUnlock()
		if !allowed {
			return unix.EINVAL
		}
		if err := as.populateRun(a, stop, access); err != nil {
			return err
		}
		a = stop
	}
	return nil
}

// Resident serves mincore(2): it sets a byte of vec to 1 for each page from
// start on that is in memory. ENOMEM when something is not mapped.
func (as *AddressSpace) Resident(start Addr, vec []byte) error {
	as.mu.RLock()
	defer as.mu.RUnlock()
	for k := 0; k < len(vec); {
		a := start + Addr(k)<<PageShift
		v := as.find(a)
		if v == nil {
			return unix.ENOMEM
		}
		for stop := min(v.end, start+Addr(len(vec))<<PageShift); a < stop; a += PageSize {
			vec[k] = 0
			p := as.pde(a)
			if p != nil && load(p) != 0 && holdsFrame(load(&tableAt(pteFrame(load(p)))[slot(a)])) {
				vec[k] = 1
			} else if v.cache != nil {
				if n := v.cache.get(v.page(a)); n != 0 {
					putFrame(n)
					vec[k] = 1
				}
			}
			k++
		}
	}
	return nil
}

// Sync serves msync(2).
func (as *AddressSpace) Sync(start Addr, n uint64, flags int) error {
	if flags&^(unix.MS_ASYNC|unix.MS_INVALIDATE|unix.MS_SYNC) != 0 || start&pageMask != 0 ||
		flags&(unix.MS_ASYNC|unix.MS_SYNC) == unix.MS_ASYNC|unix.MS_SYNC {
		return unix.EINVAL
	}
	end := start + Addr(pages(n)<<PageShift)
	switch {
	case end < start:
		return unix.ENOMEM
	case end == start:
		return nil
	}
	var gap error
	for a := start; a < end; {
		as.mu.RLock()
		i := as.index(a)
		if i == len(as.vmas) || as.vmas[i].start >= end {
			as.mu.RUnlock()
			return unix.ENOMEM
		}
		v := as.vmas[i]
		if v.start > a {
			gap = unix.ENOMEM
			a = v.start
		}
		stop := min(v.end, end)
		if flags&unix.MS_INVALIDATE != 0 && v.flags&vmLocked != 0 {
			as.mu.RUnlock()
			return unix.EBUSY
		}
		c, file, shared := v.cache, v.file, !v.private()
		off := v.page(a) << PageShift
		if flags&unix.MS_SYNC == 0 || c == nil || file == nil || !shared {
			as.mu.RUnlock()
			a = stop
			continue
		}
		file.Get()
		as.mu.RUnlock()
		err := c.Sync(off, uint64(stop-a))
		file.Put()
		if err != nil {
			return err
		}
		a = stop
	}
	return gap
}
