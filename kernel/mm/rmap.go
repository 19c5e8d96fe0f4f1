package mm

import "husk/kernel/cpu"

// The reverse map: from a cache to the VMAs that map it. A VMA is on its
// cache's list before it has entries and leaves it before its tables are
// freed, so that whoever holds mapMu may walk the tables of the listed VMAs
// without their address space's lock. A table that fork shares is changed in
// place: what is unmapped here is unmapped for all who share it.
//
// A child's VMA stands behind its parent's. A walk thus clears the parent's
// entry before it looks at the child's: what fork copied is either cleared
// there or was cleared before it could be copied.

// unmap removes the pages [first, last) from all mappings; with cows set also
// private copies.
func (c *PageCache) unmap(first, last uint64, cows bool) {
	c.mapMu.Lock()
	if c.firstMap == nil {
		c.mapMu.Unlock()
		return
	}
	var freed []uint32
	for v := c.firstMap; v != nil; v = v.nextMap {
		if lo, hi := v.part(first, last); lo < hi {
			freed = v.clearPages(lo, hi, cows, freed)
		}
	}
	c.mapMu.Unlock()
	for _, n := range freed {
		putFrame(n)
	}
}

// part is the part of v that maps the pages [first, last).
func (v *VMA) part(first, last uint64) (lo, hi Addr) {
	end := v.off + v.size()>>PageShift
	first, last = max(first, v.off), min(last, end)
	if first >= last {
		return 0, 0
	}
	return v.start + Addr(first-v.off)<<PageShift, v.start + Addr(last-v.off)<<PageShift
}

// clearPages empties the entries of [lo, hi), forgets them in the TLBs and
// appends the frames they held.
func (v *VMA) clearPages(lo, hi Addr, cows bool, freed []uint32) []uint32 {
	found := false
	v.eachTable(lo, hi, func(t []uint64, f *frame) {
		found = true
		for i := range t {
			e := load(&t[i])
			if !holdsFrame(e) || !cows && isAnon(pteFrame(e)) {
				continue
			}
			store(&t[i], 0)
			if counts(e) {
				f.flags--
			}
			freed = append(freed, pteFrame(e))
		}
	})
	if found {
		// Also when nothing was there: another who shares the table may
		// have cleared it, and our TLB still holds it.
		cpu.FlushRange(v.as.root, uintptr(lo), uintptr(hi))
	}
	return freed
}

// protect makes the pages [first, last) read-only in all shared mappings.
func (c *PageCache) protect(first, last uint64) {
	c.mapMu.Lock()
	defer c.mapMu.Unlock()
	for v := c.firstMap; v != nil; v = v.nextMap {
		lo, hi := v.part(first, last)
		if lo >= hi || v.private() {
			continue
		}
		found := false
		v.eachTable(lo, hi, func(t []uint64, _ *frame) {
			for i := range t {
				if e := load(&t[i]); e&(ptePresent|pteWrite) == ptePresent|pteWrite {
					store(&t[i], e&^pteWrite)
					found = true
				}
			}
		})
		if found {
			cpu.FlushRange(v.as.root, uintptr(lo), uintptr(hi))
		}
	}
}

// eachTable calls do with the entries of [lo, hi), one table at a time, under
// the table's lock. The cache's mapMu is held.
func (v *VMA) eachTable(lo, hi Addr, do func([]uint64, *frame)) {
	for a := lo; a < hi; {
		p, at := v.as.nextTable(a, hi)
		if p == nil {
			return
		}
		e := load(p)
		n := pteFrame(e)
		f := &frames[n]
		f.mu.Lock()
		// A fault may have unshared the table: then look at the new one.
		if pteFrame(load(p)) != n {
			f.mu.Unlock()
			a = at
			continue
		}
		end := min(hi, at&^(tableSpan-1)+tableSpan)
		do(tableAt(n)[slot(at):slot(end-1)+1], f)
		f.mu.Unlock()
		a = end
	}
}

// WritablyMapped tells whether a shared mapping of the cache exists that is
// or may be made writable (F_SEAL_WRITE needs to know).
func (c *PageCache) WritablyMapped() bool {
	c.mapMu.Lock()
	defer c.mapMu.Unlock()
	for v := c.firstMap; v != nil; v = v.nextMap {
		if v.flags&(vmShared|vmMayWrite) == vmShared|vmMayWrite {
			return true
		}
	}
	return false
}

// Mapped tells whether the cache is mapped anywhere.
func (c *PageCache) Mapped() bool {
	c.mapMu.Lock()
	defer c.mapMu.Unlock()
	return c.firstMap != nil
}
