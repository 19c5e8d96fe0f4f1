package mm

// SetBrk sets the heap's start (the loader's work); Brk serves brk(2).
func (as *AddressSpace) SetBrk(start Addr) {
	as.mu.Lock()
	as.brkStart, as.brk = start, start
	as.mu.Unlock()
}

// Brk moves the program break and returns the resulting one, which is the old
// one when the request cannot be met.
func (as *AddressSpace) Brk(to Addr) Addr {
	as.mu.Lock()
	ok := as.moveBrk(to)
	old := as.brk
	if ok {
		as.brk = to
	}
	now := as.brk
	populate := ok && now > old && as.lockFuture&(vmLocked|vmLockOnFault) == vmLocked
	as.unlock()
	if populate {
		_ = as.populate(old.pageUp(), now.pageUp(), true)
	}
	return now
}

// moveBrk maps or unmaps what lies between the old break and the new.
func (as *AddressSpace) moveBrk(to Addr) bool {
	if to < as.brkStart || to >= userMax || as.brkStart == 0 {
		return false
	}
	if uint64(to-as.brkStart) > as.Limits.Data.Load() {
		return false
	}
	start, end := as.brk.pageUp(), to.pageUp()
	switch {
	case end < start:
		return as.unmapLocked(end, start) == nil
	case end == start:
		return true
	}
	n := uint64(end-start) >> PageShift
	const heap = vmRead | vmWrite | vmMayRead | vmMayWrite | vmMayExec | vmAccount
	flags := heap | as.lockFuture
	i := as.index(start)
	if i < len(as.vmas) && as.vmas[i].guardStart() < end {
		return false
	}
	if !as.mayExpand(flags, n) || as.mapsFull(0) || !mayCommit(n, as.totalPages) ||
		flags&vmLocked != 0 && !as.mayLock(n, false) {
		return false
	}
	as.place(start, end, flags, nil, nil, uint64(start)>>PageShift, "")
	return true
}

// SetStack tells where the main thread's stack is, for growth and its limit.
func (as *AddressSpace) SetStack(top Addr, limit uint64) {
	as.mu.Lock()
	as.stackTop = top
	as.mu.Unlock()
	as.Limits.Stack.Store(limit)
}
