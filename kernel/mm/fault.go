package mm

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// FaultError says how a fault could not be served: the signal to raise.
type FaultError struct {
	Signal unix.Signal // SIGSEGV, SIGBUS; SIGKILL when out of memory
	Code   int32       // si_code: SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR
	Addr   Addr
}

// The si_codes of FaultError (siginfo.h).
const (
	SegvMapErr = 1
	SegvAccErr = 2
	BusAdrErr  = 2
)

// outcome is what one attempt at a fault came to.
type outcome uint8

const (
	faultDone outcome = iota
	faultRetry
	faultFill // the page must be read first
	faultMapErr
	faultAccErr
	faultBus
	faultNoMemory
)

// OutOfMemory is called when a fault of as finds no memory even after
// eviction. It chooses and kills a victim; true means that memory may have
// become free and the fault should be tried again, false that as itself is the
// victim. It is set once at boot.
var OutOfMemory func(as *AddressSpace) bool

// maxAhead is the most pages that one anonymous fault maps; aroundPages the
// window around a file fault (Linux's fault_around_bytes, 64 KiB); missPages
// the window that is read when the page is not in the cache (Linux's 128 KiB).
const (
	maxAhead    = 64
	aroundPages = 16
	missPages   = 32
)

// Fault makes addr accessible, for the fault handler and for copying. It
// returns nil when the access may be retried, or why it may not.
func (as *AddressSpace) Fault(addr Addr, access Access) *FaultError {
	return as.fault(addr, access, 0)
}

// fault is Fault; want asks for that many pages from addr on to be mapped at
// once if they are anonymous and of the same VMA and table (0: let the
// history decide).
func (as *AddressSpace) fault(addr Addr, access Access, want int) *FaultError {
	for {
		as.mu.RLock()
		v := as.find(addr)
		if v == nil {
			as.mu.RUnlock()
			if addr < userMax && as.growStack(addr) {
				continue
			}
			return &FaultError{unix.SIGSEGV, SegvMapErr, addr}
		}
		if !v.allows(access) {
			as.mu.RUnlock()
			return &FaultError{unix.SIGSEGV, SegvAccErr, addr}
		}
		o := as.faultIn(v, addr, access&Write != 0, want)
		if o == faultFill {
			o = as.fillForFault(v, addr) // releases mu
		} else {
			as.mu.RUnlock()
		}
		switch o {
		case faultDone:
			return nil
		case faultRetry:
		case faultBus:
			return &FaultError{unix.SIGBUS, BusAdrErr, addr}
		case faultMapErr:
			return &FaultError{unix.SIGSEGV, SegvMapErr, addr}
		default:
			if OutOfMemory == nil || !OutOfMemory(as) {
				return &FaultError{unix.SIGKILL, 0, addr}
			}
		}
	}
}

// faultIn makes the entry for addr, which lies in v and may be accessed so.
// mu is held for reading.
func (as *AddressSpace) faultIn(v *VMA, addr Addr, write bool, want int) outcome {
	t, f := as.ownTable(addr)
	if t == nil {
		return faultNoMemory
	}
	p := &t[slot(addr)]
	e := load(p)
	switch {
	case e&ptePresent != 0:
		if !write || e&pteWrite != 0 {
			return faultDone // another thread was here, or a stale TLB
		}
		return as.faultWrite(v, addr, p, f)
	case e == pteGuard:
		return faultMapErr
	case e != 0:
		return faultDone // PROT_NONE was lifted meanwhile: look again
	case v.cache == nil:
		if write {
			return as.faultZero(v, addr, t, f, want)
		}
		return as.faultReadZero(v, addr, t, f, want)
	case write && v.private():
		return as.faultCopy(v, addr, p, f)
	}
	return as.faultFile(v, addr, write, t, f, want)
}

// window is how many pages a fault at addr maps: more each time a fault
// follows on the last one, never past the VMA or the table.
func (v *VMA) window(addr Addr, want int) int {
	if want == 0 {
		want = 1
		if s := v.ahead.Load(); s>>8 == uint64(addr>>PageShift) {
			want = min(int(s&0xff)*2, maxAhead)
		}
	}
	if want > 1 {
		want = min(want, int((v.end-addr.pageDown())>>PageShift), 512-slot(addr), maxAhead)
	}
	return want
}

func (v *VMA) mapped(addr Addr, n int) {
	v.ahead.Store((uint64(addr>>PageShift)+uint64(n))<<8 | uint64(n))
}

// faultZero maps fresh pages for a write to private anonymous memory.
func (as *AddressSpace) faultZero(v *VMA, addr Addr, t *table, f *frame, want int) outcome {
	bits := v.pte | pteWrite | pteDirty
	i := slot(addr)
	n := v.window(addr, want)
	if n == 1 {
		fresh := allocFrame(frameAnon)
		if fresh == 0 {
			return faultNoMemory
		}
		cpu.ZeroFrame(cpu.PhysAddr(fresh) << PageShift)
		f.mu.Lock()
		if load(&t[i]) != 0 {
			f.mu.Unlock()
			putFrame(fresh)
			return faultRetry
		}
		store(&t[i], uint64(fresh)<<PageShift|bits)
		f.flags++
		f.mu.Unlock()
		v.mapped(addr, 1)
		return faultDone
	}
	var batch [maxAhead]uint32
	n = allocFrames(batch[:n], frameAnon)
	if n == 0 {
		return faultNoMemory
	}
	for _, fresh := range batch[:n] {
		cpu.ZeroFrame(cpu.PhysAddr(fresh) << PageShift)
	}
	used := 0
	f.mu.Lock()
	for k := range t[i : i+n] {
		if p := &t[i+k]; load(p) == 0 {
			store(p, uint64(batch[used&(maxAhead-1)])<<PageShift|bits)
			used++
		}
	}
	f.flags += uint32(used)
	f.mu.Unlock()
	for ; used < n; used++ { // another thread was here
		putFrame(batch[used])
	}
	v.mapped(addr, n)
	return faultDone
}

// faultReadZero maps the zero page for a read of private anonymous memory.
func (as *AddressSpace) faultReadZero(v *VMA, addr Addr, t *table, f *frame, want int) outcome {
	i := slot(addr)
	n := v.window(addr, want)
	e := uint64(zeroFrame)<<PageShift | v.pte
	f.mu.Lock()
	for k := range n {
		if load(&t[i+k]) == 0 {
			getFrame(zeroFrame)
			store(&t[i+k], e)
		}
	}
	f.mu.Unlock()
	v.mapped(addr, n)
	return faultDone
}

// faultWrite serves a write to a page that is mapped read-only.
func (as *AddressSpace) faultWrite(v *VMA, addr Addr, p *uint64, f *frame) outcome {
	if !v.private() {
		f.mu.Lock()
		e := load(p)
		if e&ptePresent != 0 && e&pteWrite == 0 {
			if !v.cache.markDirty(v.page(addr), pteFrame(e)) {
				f.mu.Unlock()
				return faultFill // truncated meanwhile
			}
			store(p, e|pteWrite|pteDirty)
		}
		f.mu.Unlock()
		return faultDone
	}
	// Alone with the page: it may be written where it is.
	e := load(p)
	if n := pteFrame(e); isAnon(n) && frames[n].refs.Load() == 1 {
		f.mu.Lock()
		if e = load(p); e&ptePresent != 0 && pteFrame(e) == n && frames[n].refs.Load() == 1 {
			store(p, e|pteWrite|pteDirty)
			f.mu.Unlock()
			return faultDone
		}
		f.mu.Unlock()
	}
	fresh := allocFrame(frameAnon)
	if fresh == 0 {
		return faultNoMemory
	}
	f.mu.Lock()
	e = load(p)
	if e&ptePresent == 0 || e&pteWrite != 0 {
		f.mu.Unlock()
		putFrame(fresh)
		return faultRetry
	}
	old := pteFrame(e)
	if old == zeroFrame {
		cpu.ZeroFrame(cpu.PhysAddr(fresh) << PageShift)
		f.flags++
	} else {
		cpu.CopyDirect(pageAt(fresh)[:], pageAt(old)[:])
	}
	store(p, uint64(fresh)<<PageShift|v.pte|pteWrite|pteDirty)
	f.mu.Unlock()
	flushPage(as, addr)
	putFrame(old)
	return faultDone
}

// faultCopy serves the first write to a page of a private file mapping.
func (as *AddressSpace) faultCopy(v *VMA, addr Addr, p *uint64, f *frame) outcome {
	c, idx := v.cache, v.page(addr)
	if c.beyond(idx) {
		return faultBus
	}
	src := c.get(idx)
	if src == 0 {
		return faultFill
	}
	fresh := allocFrame(frameAnon)
	if fresh == 0 {
		putFrame(src)
		return faultNoMemory
	}
	cpu.CopyDirect(pageAt(fresh)[:], pageAt(src)[:])
	f.mu.Lock()
	ok := load(p) == 0 && c.holds(idx, src)
	if ok {
		f.flags++
		store(p, uint64(fresh)<<PageShift|v.pte|pteWrite|pteDirty)
	}
	f.mu.Unlock()
	putFrame(src)
	if !ok {
		putFrame(fresh)
		return faultRetry
	}
	return faultDone
}

// faultFile maps pages of the cache, those that it has around addr included.
func (as *AddressSpace) faultFile(v *VMA, addr Addr, write bool, t *table, f *frame, want int) outcome {
	c := v.cache
	if c.beyond(v.page(addr)) {
		return faultBus
	}
	lo := max(addr&^(aroundPages<<PageShift-1), v.start)
	hi := min(addr&^(aroundPages<<PageShift-1)+aroundPages<<PageShift, v.end)
	bits := v.pte
	// Memory that is its own home needs no dirty tracking.
	if c.store == nil && v.flags&(vmShared|vmWrite) == vmShared|vmWrite {
		bits |= pteWrite | pteDirty
	}
	f.mu.Lock()
	found := c.mapAround(v.page(lo), int((hi-lo)>>PageShift), t[slot(lo):], f, bits, int((addr-lo)>>PageShift), write)
	f.mu.Unlock()
	if !found {
		return faultFill
	}
	return faultDone
}

// fillForFault has the page of addr read into the cache and releases mu for
// that time.
func (as *AddressSpace) fillForFault(v *VMA, addr Addr) outcome {
	c, idx, file := v.cache, v.page(addr), v.file
	if c == nil {
		as.mu.RUnlock()
		return faultRetry
	}
	n := 1
	if c.store == nil {
		n = v.window(addr, 0)
		v.mapped(addr, n)
	} else if v.flags&vmRandRead == 0 {
		first := idx &^ (missPages - 1)
		n = missPages
		idx = max(first, v.off)
		n -= int(idx - first)
	}
	if file != nil {
		file.Get()
	}
	target := v.page(addr)
	as.mu.RUnlock()
	var err error
	if c.beyond(target) {
		err = unix.EIO
	} else if c.store != nil {
		err = c.fill(target, idx, n)
	} else {
		err = c.fillZero(idx, n)
	}
	if file != nil {
		file.Put()
	}
	switch err {
	case nil:
		return faultRetry
	case unix.ENOMEM:
		return faultNoMemory
	}
	return faultBus
}

// growStack extends the stack below which addr lies, if there is one that may
// grow so far (Linux's expand_downwards).
func (as *AddressSpace) growStack(addr Addr) bool {
	addr = addr.pageDown()
	as.mu.Lock()
	defer as.unlock()
	i := as.index(addr)
	if i == len(as.vmas) || addr < MinAddr {
		return false
	}
	v := as.vmas[i]
	if v.start <= addr {
		return true // another thread has grown it
	}
	if v.flags&vmGrowsDown == 0 {
		return false
	}
	if i > 0 {
		w := as.vmas[i-1]
		if w.flags&vmGrowsDown == 0 && w.flags&vmAccess != 0 && addr-w.end < stackGuardGap {
			return false
		}
	}
	n := uint64(v.start-addr) >> PageShift
	switch {
	case uint64(v.end-addr) > as.Limits.Stack.Load(), !as.mayExpand(v.flags, n),
		v.flags&vmLocked != 0 && !as.mayLock(n, false), !mayCommit(n, as.totalPages):
		return false
	}
	as.account(v.flags, int64(n))
	v.resize(addr, v.end)
	return true
}

// populate faults in [start, end) as far as it is mapped (MAP_POPULATE,
// mlock). It returns the error of the first page that could not be, unless it
// is lenient: then it goes on with the next VMA.
func (as *AddressSpace) populate(start, end Addr, lenient bool) error {
	return as.populateIf(start, end, lenient, 0)
}

// populateIf is populate of the VMAs that have all flags in need.
func (as *AddressSpace) populateIf(start, end Addr, lenient bool, need vmFlags) error {
	for a := start; a < end; {
		as.mu.RLock()
		i := as.index(a)
		if i == len(as.vmas) || as.vmas[i].start >= end {
			as.mu.RUnlock()
			return nil
		}
		v := as.vmas[i]
		a = max(a, v.start)
		stop := min(v.end, end)
		access := Read
		if v.flags&(vmWrite|vmShared) == vmWrite {
			access = Write
		}
		closed := v.flags&vmAccess == 0 || v.flags&need != need
		as.mu.RUnlock()
		if closed {
			if !lenient {
				return unix.EFAULT
			}
			a = stop
			continue
		}
		if err := as.populateRun(a, stop, access); err != nil && !lenient {
			return err
		}
		a = stop
	}
	return nil
}

func (as *AddressSpace) populateRun(a, stop Addr, access Access) error {
	for a < stop {
		n := min(int((stop-a)>>PageShift), maxAhead, 512-slot(a))
		if fe := as.fault(a, access, n); fe != nil {
			if fe.Signal == unix.SIGKILL {
				return unix.ENOMEM
			}
			return unix.EFAULT
		}
		a += PageSize
		for a < stop && as.mappedFor(a, access) {
			a += PageSize
		}
	}
	return nil
}

// mappedFor tells whether the page is mapped so that access would not fault.
func (as *AddressSpace) mappedFor(a Addr, access Access) bool {
	as.mu.RLock()
	defer as.mu.RUnlock()
	p := as.pde(a)
	if p == nil {
		return false
	}
	e := load(p)
	if e == 0 || access&Write != 0 && e&pteWrite == 0 {
		return false
	}
	e = load(&tableAt(pteFrame(e))[slot(a)])
	return e&ptePresent != 0 && (access&Write == 0 || e&pteWrite != 0)
}
