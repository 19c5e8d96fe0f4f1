package mm

import "golang.org/x/sys/unix"

// Lock serves mlock(2) and mlock2(2); capable is the caller's CAP_IPC_LOCK.
func (as *AddressSpace) Lock(start Addr, n uint64, onFault, capable bool) error {
	if err := as.canLock(capable); err != nil {
		return err
	}
	n = pages(n+uint64(start&pageMask)) << PageShift
	start = start.pageDown()
	end := start + Addr(n)
	as.mu.Lock()
	count := n >> PageShift
	if !as.mayLock(count, capable) && !as.mayLock(count-min(count, as.lockedIn(start, end)), capable) {
		as.unlock()
		return unix.ENOMEM
	}
	set := vmLocked
	if onFault {
		set |= vmLockOnFault
	}
	err := as.setLocked(start, end, set)
	as.unlock()
	if err != nil || onFault {
		return err
	}
	switch err := as.populate(start, end, false); err {
	case unix.ENOMEM:
		return unix.EAGAIN
	case unix.EFAULT:
		return unix.ENOMEM
	default:
		return err
	}
}

// Unlock serves munlock(2).
func (as *AddressSpace) Unlock(start Addr, n uint64) error {
	n = pages(n+uint64(start&pageMask)) << PageShift
	start = start.pageDown()
	as.mu.Lock()
	defer as.unlock()
	return as.setLocked(start, start+Addr(n), 0)
}

// lockedIn counts the pages of locked VMAs in [start, end).
func (as *AddressSpace) lockedIn(start, end Addr) uint64 {
	var n uint64
	for i := as.index(start); i < len(as.vmas) && as.vmas[i].start < end; i++ {
		if v := as.vmas[i]; v.flags&vmLocked != 0 {
			n += uint64(min(end, v.end)-max(start, v.start)) >> PageShift
		}
	}
	return n
}

// setLocked gives the VMAs of [start, end) the lock flags in set; what came
// before a gap stays changed.
func (as *AddressSpace) setLocked(start, end Addr, set vmFlags) error {
	if end < start {
		return unix.EINVAL
	}
	for a := start; a < end; {
		v := as.find(a)
		if v == nil {
			return unix.ENOMEM
		}
		stop := min(v.end, end)
		if flags := v.flags&^(vmLocked|vmLockOnFault) | set; flags != v.flags {
			if _, err := as.setFlags(a, stop, flags); err != nil {
				return err
			}
		}
		a = stop
	}
	return nil
}

// LockAll serves mlockall(2).
func (as *AddressSpace) LockAll(flags int, capable bool) error {
	if flags == 0 || flags&^(unix.MCL_CURRENT|unix.MCL_FUTURE|unix.MCL_ONFAULT) != 0 || flags == unix.MCL_ONFAULT {
		return unix.EINVAL
	}
	if err := as.canLock(capable); err != nil {
		return err
	}
	set := vmLocked
	if flags&unix.MCL_ONFAULT != 0 {
		set |= vmLockOnFault
	}
	as.mu.Lock()
	if flags&unix.MCL_CURRENT != 0 && !capable && as.totalPages > as.Limits.Memlock.Load()>>PageShift {
		as.unlock()
		return unix.ENOMEM
	}
	as.lockFuture = 0
	if flags&unix.MCL_FUTURE != 0 {
		as.lockFuture = set
	}
	if flags&unix.MCL_CURRENT != 0 {
		as.setLockedAll(set)
	}
	as.unlock()
	if flags&unix.MCL_CURRENT != 0 && flags&unix.MCL_ONFAULT == 0 {
		_ = as.populate(0, userMax, true)
	}
	return nil
}

// UnlockAll serves munlockall(2).
func (as *AddressSpace) UnlockAll() {
	as.mu.Lock()
	as.lockFuture = 0
	as.setLockedAll(0)
	as.unlock()
}

func (as *AddressSpace) setLockedAll(set vmFlags) {
	for a := Addr(0); ; {
		i := as.index(a)
		if i == len(as.vmas) {
			return
		}
		v := as.vmas[i]
		a = v.end
		if flags := v.flags&^(vmLocked|vmLockOnFault) | set; flags != v.flags {
			_, _ = as.setFlags(v.start, v.end, flags)
		}
	}
}
