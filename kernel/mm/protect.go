package mm

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

const protSem = 0x8 // PROT_SEM, accepted and without meaning

// Protect serves mprotect(2).
func (as *AddressSpace) Protect(a Addr, n uint64, prot int) error {
	grows := prot & (unix.PROT_GROWSDOWN | unix.PROT_GROWSUP)
	prot &^= grows
	if grows == unix.PROT_GROWSDOWN|unix.PROT_GROWSUP || a&pageMask != 0 {
		return unix.EINVAL
	}
	if n == 0 {
		return nil
	}
	end := (a + Addr(n)).pageUp()
	if uint64(a)+n < n || end <= a {
		return unix.ENOMEM
	}
	if prot&^(unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC|protSem) != 0 {
		return unix.EINVAL
	}
	as.mu.Lock()
	var broken span
	err := as.protectChecked(a, end, vmProt(prot), grows, &broken)
	as.unlock()
	if broken.start < broken.end {
		_ = as.populateIf(broken.start, broken.end, true, vmLocked|vmWrite)
	}
	return err
}

// span is a range of addresses.
type span struct{ start, end Addr }

// protectChecked is Protect under the lock. locked becomes the range of
// private locked memory that became writable: its pages are to be copied now,
// not at the first write, which must not wait.
func (as *AddressSpace) protectChecked(a, end Addr, access vmFlags, grows int, locked *span) error {
	i := as.index(a)
	if i == len(as.vmas) {
		return unix.ENOMEM
	}
	v := as.vmas[i]
	switch {
	case grows&unix.PROT_GROWSDOWN != 0:
		if v.start >= end {
			return unix.ENOMEM
		}
		if v.flags&vmGrowsDown == 0 {
			return unix.EINVAL
		}
		a = v.start
	case v.start > a:
		return unix.ENOMEM
	case grows&unix.PROT_GROWSUP != 0:
		return unix.EINVAL // no mapping grows up on this architecture
	}
	return as.protectLocked(a, end, access, locked)
}

// protectLocked changes the protection of [start, end) as far as it is mapped
// without a gap; what came before a gap or a refusal stays changed.
func (as *AddressSpace) protectLocked(start, end Addr, access vmFlags, locked *span) error {
	for a := start; a < end; {
		i := as.index(a)
		if i == len(as.vmas) || as.vmas[i].start > a {
			return unix.ENOMEM
		}
		v := as.vmas[i]
		stop := min(v.end, end)
		if access&^(v.flags>>4) != 0 {
			return unix.EACCES
		}
		flags := v.flags&^vmAccess | access
		if v.flags&(vmWrite|vmShared|vmLocked|vmLockOnFault) == vmLocked && access&vmWrite != 0 {
			if locked.end == 0 {
				locked.start = a
			}
			locked.end = stop
		}
		if flags != v.flags {
			if err := as.protectVMA(a, stop, flags); err != nil {
				return err
			}
		}
		a = stop
	}
	return nil
}

// protectVMA gives [start, end), part of one VMA, new flags.
func (as *AddressSpace) protectVMA(start, end Addr, flags vmFlags) error {
	n := uint64(end-start) >> PageShift
	old := as.vmas[as.index(start)]
	if isData(flags) && !isData(old.flags) && as.dataPages+n > as.Limits.Data.Load()>>PageShift {
		return unix.ENOMEM
	}
	if accountable(flags) && old.flags&vmAccount == 0 {
		if !mayCommit(n, as.totalPages) {
			return unix.ENOMEM
		}
		flags |= vmAccount
	}
	if !as.ownRange(start, end) {
		return unix.ENOMEM
	}
	v, err := as.setFlags(start, end, flags)
	if err != nil {
		return err
	}
	as.protectEntries(v, start, end)
	return nil
}

// setFlags gives [start, end), part of one VMA, new flags, splitting and
// joining as needed, and returns the VMA that then covers it.
func (as *AddressSpace) setFlags(start, end Addr, flags vmFlags) (*VMA, error) {
	i, j, err := as.carve(start, end)
	if err != nil {
		return nil, err
	}
	v := as.vmas[i]
	n := int64(v.size() >> PageShift)
	as.account(v.flags, -n)
	v.changeFlags(flags)
	as.account(flags, n)
	as.mergeRange(i, j)
	return as.vmas[as.index(start)], nil
}

// ownRange makes all tables of [start, end) this address space's own.
func (as *AddressSpace) ownRange(start, end Addr) bool {
	for a := start; a < end; {
		p, at := as.nextTable(a, end)
		if p == nil {
			return true
		}
		if !as.unshare(p, at) {
			return false
		}
		a = at&^(tableSpan-1) + tableSpan
	}
	return true
}

// protectEntries brings the entries of [start, end) in line with v's flags.
// Write permission comes back with the next write fault.
func (as *AddressSpace) protectEntries(v *VMA, start, end Addr) {
	narrowed := false
	for a := start; a < end; {
		p, at := as.nextTable(a, end)
		if p == nil {
			break
		}
		n := pteFrame(load(p))
		t, f := tableAt(n), &frames[n]
		stop := min(end, at&^(tableSpan-1)+tableSpan)
		f.mu.Lock()
		for i, last := slot(at), slot(stop-1); i <= last; i++ {
			e := load(&t[i])
			if !holdsFrame(e) {
				continue
			}
			bits := v.pte
			if bits == 0 {
				bits = pteNone
			} else if v.flags&vmWrite != 0 && v.private() && isAnon(pteFrame(e)) && frames[pteFrame(e)].refs.Load() == 1 {
				bits |= pteWrite | pteDirty // ours alone: spare the fault
			} else if v.flags&vmWrite != 0 && !v.private() && e&pteWrite != 0 {
				bits |= pteWrite | pteDirty
			}
			if fresh := e&pteAddr | bits; fresh != e {
				store(&t[i], fresh)
				narrowed = narrowed || narrows(e, fresh)
			}
		}
		f.mu.Unlock()
		a = stop
	}
	if narrowed {
		cpu.FlushRange(as.root, uintptr(start), uintptr(end))
	}
}

// narrows tells whether an entry permits less than before. A TLB that knows
// the wider one must forget it; one that knows the narrower finds out by a
// fault that needs nothing done.
func narrows(old, fresh uint64) bool {
	if old&ptePresent == 0 {
		return false
	}
	return fresh&ptePresent == 0 || old&pteWrite&^fresh != 0 || fresh&pteNoExec&^old != 0
}
