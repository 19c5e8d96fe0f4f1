package mm

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// RemapRequest is one mremap call; MayLock is the caller's CAP_IPC_LOCK.
type RemapRequest struct {
	Old     Addr
	OldLen  uint64
	NewLen  uint64
	Flags   int
	New     Addr
	MayLock bool
}

// Remap serves mremap(2). The checks come in the order of Linux 6.17, which
// first allowed a move, without a change of size, of several VMAs at once.
func (as *AddressSpace) Remap(r RemapRequest) (Addr, error) {
	const known = unix.MREMAP_FIXED | unix.MREMAP_MAYMOVE | unix.MREMAP_DONTUNMAP
	r.OldLen, r.NewLen = pages(r.OldLen)<<PageShift, pages(r.NewLen)<<PageShift
	if r.Flags&^known != 0 || r.Old&pageMask != 0 || r.NewLen == 0 || r.NewLen > uint64(userMax) {
		return 0, unix.EINVAL
	}
	elsewhere := r.Flags&(unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP) != 0
	if elsewhere {
		switch {
		case r.New&pageMask != 0, r.New > userMax-Addr(r.NewLen),
			r.Flags&unix.MREMAP_MAYMOVE == 0,
			r.Flags&unix.MREMAP_DONTUNMAP != 0 && r.OldLen != r.NewLen,
			r.Old+Addr(r.OldLen) > r.New && r.New+Addr(r.NewLen) > r.Old:
			return 0, unix.EINVAL
		}
	}
	as.mu.Lock()
	var a Addr
	var err error
	switch {
	case elsewhere && as.mapsFull(2):
		err = unix.ENOMEM
	case r.Flags&unix.MREMAP_FIXED != 0 && r.OldLen == r.NewLen:
		a, err = as.remapAll(&r)
	case elsewhere:
		a, err = as.remapTo(&r)
	default:
		a, err = as.remapHere(&r)
	}
	populate := false
	if err == nil && r.NewLen > r.OldLen {
		v := as.find(a)
		populate = v != nil && v.flags&(vmLocked|vmLockOnFault) == vmLocked
	}
	as.unlock()
	if populate {
		_ = as.populate(a+Addr(r.OldLen), a+Addr(r.NewLen), true)
	}
	return a, err
}

// remapHere shrinks or grows in place, or moves to a place of our choice.
func (as *AddressSpace) remapHere(r *RemapRequest) (Addr, error) {
	v := as.find(r.Old)
	if v == nil {
		return 0, unix.EFAULT
	}
	if r.OldLen >= r.NewLen {
		start, end := r.Old+Addr(r.NewLen), r.Old+Addr(r.OldLen)
		if end < start || end > userMax {
			return 0, unix.EINVAL
		}
		return r.Old, as.unmapLocked(start, end)
	}
	if err := as.mayResize(v, r); err != nil {
		return 0, err
	}
	if end := r.Old + Addr(r.NewLen); r.Old+Addr(r.OldLen) == v.end && end <= userMax && !as.overlaps(v.end, end) {
		as.account(v.flags, int64((r.NewLen-r.OldLen)>>PageShift))
		v.resize(v.start, end)
		as.mergeAt(as.index(r.Old) + 1)
		return r.Old, nil
	}
	if r.Flags&unix.MREMAP_MAYMOVE == 0 {
		return 0, unix.ENOMEM
	}
	to, ok := as.unmappedArea(0, r.NewLen, false)
	if !ok {
		return 0, unix.ENOMEM
	}
	return to, as.move(v, r, to)
}

// remapTo is mremap to an address of the caller's, or one that leaves the old
// range mapped.
func (as *AddressSpace) remapTo(r *RemapRequest) (Addr, error) {
	v := as.find(r.Old)
	if v == nil {
		return 0, unix.EFAULT
	}
	if err := as.mayResize(v, r); err != nil {
		return 0, err
	}
	if r.Flags&unix.MREMAP_DONTUNMAP != 0 && !as.mayExpand(v.flags, r.OldLen>>PageShift) {
		return 0, unix.ENOMEM
	}
	to := r.New
	if r.Flags&unix.MREMAP_FIXED == 0 {
		var ok bool
		if to, ok = as.unmappedArea(r.New, r.NewLen, false); !ok {
			return 0, unix.ENOMEM
		}
		return to, as.move(v, r, to)
	}
	if to < MinAddr {
		return 0, unix.EPERM
	}
	if err := as.unmapLocked(to, to+Addr(r.NewLen)); err != nil {
		return 0, err
	}
	if r.OldLen > r.NewLen {
		if err := as.unmapLocked(r.Old+Addr(r.NewLen), r.Old+Addr(r.OldLen)); err != nil {
			return 0, err
		}
		r.OldLen = r.NewLen
	}
	if v = as.find(r.Old); v == nil { // old length 0, and the source was in the way
		return 0, unix.EFAULT
	}
	return to, as.move(v, r, to)
}

// remapAll moves all VMAs of the old range, keeping the gaps between them.
func (as *AddressSpace) remapAll(r *RemapRequest) (Addr, error) {
	if as.find(r.Old) == nil {
		return 0, unix.EFAULT
	}
	end := r.Old + Addr(r.OldLen)
	for a := r.Old; a < end; {
		i := as.index(a)
		if i == len(as.vmas) || as.vmas[i].start >= end {
			break
		}
		v := as.vmas[i]
		a = max(a, v.start)
		stop := min(v.end, end)
		part := *r
		part.Old, part.New = a, r.New+(a-r.Old)
		part.OldLen, part.NewLen = uint64(stop-a), uint64(stop-a)
		if _, err := as.remapTo(&part); err != nil {
			return 0, err
		}
		a = stop
	}
	return r.New, nil
}

// mayResize is Linux's vma_to_resize: may [Old, OldLen) of v become NewLen.
func (as *AddressSpace) mayResize(v *VMA, r *RemapRequest) error {
	switch {
	case r.OldLen == 0 && v.private():
		return unix.EINVAL
	case r.Flags&unix.MREMAP_DONTUNMAP != 0 && v.flags&vmDontExpand != 0:
		return unix.EINVAL
	case min(r.OldLen, r.NewLen) > uint64(v.end-r.Old):
		return unix.EFAULT
	case r.NewLen <= r.OldLen:
		return nil
	case v.page(r.Old)+r.NewLen>>PageShift < v.page(r.Old):
		return unix.EINVAL
	case v.flags&vmDontExpand != 0:
		return unix.EFAULT
	}
	n := (r.NewLen - r.OldLen) >> PageShift
	switch {
	case v.flags&vmLocked != 0 && !as.mayLock(n, r.MayLock):
		return unix.EAGAIN
	case !as.mayExpand(v.flags, n), v.flags&vmAccount != 0 && !mayCommit(n, as.totalPages):
		return unix.ENOMEM
	}
	return nil
}

// move maps to, NewLen long, like [Old, OldLen) of v, takes the pages there
// and unmaps the old range, or leaves it empty when the caller asks so.
func (as *AddressSpace) move(v *VMA, r *RemapRequest, to Addr) error {
	if as.mapsFull(3) {
		return unix.ENOMEM
	}
	from, n := r.Old, Addr(r.OldLen)
	if !as.prepareMove(from, to, n) {
		return unix.ENOMEM
	}
	off := v.page(from)
	cache := v.cache
	if cache == nil {
		// Linux keeps the old number once there are pages, for its reverse
		// map; without one the new number lets neighbours join.
		off = uint64(to) >> PageShift
	}
	as.place(to, to+Addr(r.NewLen), v.flags, cache, v.file, off, v.name)
	if cache != nil {
		cache.mapMu.Lock() // the reverse map must find each page here or there
	}
	as.moveEntries(from, to, n)
	if cache != nil {
		cache.mapMu.Unlock()
	}
	if r.OldLen == 0 {
		return nil // a second mapping of shared memory
	}
	if r.Flags&unix.MREMAP_DONTUNMAP == 0 {
		return as.unmapLocked(from, from+n)
	}
	// Linux unlocks the whole of the VMA that it leaves behind.
	if v = as.find(from); v.flags&vmLocked != 0 {
		_, err := as.setFlags(v.start, v.end, v.flags&^(vmLocked|vmLockOnFault))
		return err
	}
	return nil
}

// prepareMove makes all tables that moveEntries will touch this address
// space's own.
func (as *AddressSpace) prepareMove(from, to, n Addr) bool {
	if !as.ownRange(from, from+n) {
		return false
	}
	for a := from; a < from+n; {
		p, at := as.nextTable(a, from+n)
		if p == nil {
			return true
		}
		stop := min(at&^(tableSpan-1)+tableSpan, from+n)
		first, last := to+(at-from), to+(stop-1-from)
		if t, _ := as.ownTable(first); t == nil {
			return false
		}
		if t, _ := as.ownTable(last); t == nil {
			return false
		}
		a = stop
	}
	return true
}

// moveEntries moves the entries of [from, from+n) to to. prepareMove has been
// here, so that nothing is allocated.
func (as *AddressSpace) moveEntries(from, to, n Addr) {
	found := false
	for a := from; a < from+n; {
		p, at := as.nextTable(a, from+n)
		if p == nil {
			break
		}
		dst := to + (at - from)
		// As far as both tables reach.
		k := min(tableSpan-at&(tableSpan-1), tableSpan-dst&(tableSpan-1), from+n-at)
		src := pteFrame(load(p))
		t, f := tableAt(src), &frames[src]
		u, g := as.ownTable(dst)
		f.mu.Lock()
		if g != f {
			g.mu.Lock() // only here are two tables locked, and mu is ours
		}
		for i, j, end := slot(at), slot(dst), slot(at)+int(k>>PageShift); i < end; i, j = i+1, j+1 {
			if e := load(&t[i]); e != 0 {
				store(&t[i], 0)
				store(&u[j], e)
				if counts(e) {
					f.flags--
					g.flags++
				}
				found = true
			}
		}
		if g != f {
			g.mu.Unlock()
		}
		f.mu.Unlock()
		a = at + k
	}
	if found {
		cpu.FlushRange(as.root, uintptr(from), uintptr(from+n))
	}
}
