package task

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// NSignals is the highest signal number; realtime signals start at sigRTMin.
const (
	NSignals = 64
	sigRTMin = 32
)

// SigSet is a set of signals, bit n-1 for signal n, as sigset_t.
type SigSet uint64

func sigBit(sig int) SigSet { return 1 << (sig - 1) }

// Has reports whether sig is in the set.
func (s SigSet) Has(sig int) bool { return s&sigBit(sig) != 0 }

// sigSetOf makes a set of signals.
func sigSetOf(sigs ...unix.Signal) SigSet {
	var s SigSet
	for _, sig := range sigs {
		s |= sigBit(int(sig))
	}
	return s
}

// The classes of signals, by bit of SigSet.
const (
	maskKill   = SigSet(1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1)) // cannot be caught, blocked or ignored
	maskCont   = SigSet(1 << (unix.SIGCONT - 1))
	maskStop   = SigSet(1<<(unix.SIGSTOP-1) | 1<<(unix.SIGTSTP-1) | 1<<(unix.SIGTTIN-1) | 1<<(unix.SIGTTOU-1))
	maskIgnore = SigSet(1<<(unix.SIGCHLD-1) | 1<<(unix.SIGCONT-1) | 1<<(unix.SIGURG-1) | 1<<(unix.SIGWINCH-1))
	maskCore   = SigSet(1<<(unix.SIGQUIT-1) | 1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGABRT-1) |
		1<<(unix.SIGBUS-1) | 1<<(unix.SIGFPE-1) | 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGXCPU-1) |
		1<<(unix.SIGXFSZ-1) | 1<<(unix.SIGSYS-1))
	// maskSync are the signals that the thread's own code raises; they are
	// delivered before others.
	maskSync = SigSet(1<<(unix.SIGSEGV-1) | 1<<(unix.SIGBUS-1) | 1<<(unix.SIGILL-1) |
		1<<(unix.SIGTRAP-1) | 1<<(unix.SIGFPE-1) | 1<<(unix.SIGSYS-1))
)

// si_code values, sigaction(2).
const (
	siUser     = 0
	siKernel   = 0x80
	siQueue    = -1
	siTimer    = -2
	siMessage  = -3
	siTKill    = -6
	segvMapErr = 1
	busAdrAln  = 1
	trapBrkpt  = 1
	trapTrace  = 2
	trapHwBkpt = 4
	illIllOpn  = 2
	fpeIntDiv  = 1
	fpeFltDiv  = 3
	fpeFltOvf  = 4
	fpeFltUnd  = 5
	fpeFltRes  = 6
	fpeFltInv  = 7

	// CldExited and so on are si_code of SIGCHLD.
	CldExited    = 1
	CldKilled    = 2
	CldDumped    = 3
	CldTrapped   = 4
	CldStopped   = 5
	CldContinued = 6
)

// SigInfo is siginfo_t of amd64: 128 bytes, Fields being its union.
type SigInfo struct {
	Signo, Errno, Code int32
	// inside is not 0 for signals from which the first process is protected:
	// those of other processes and of terminals that hang up. It lies in what
	// programs see as padding and is 0 there.
	inside int32
	Fields [14]uint64
}

// shielded reports whether a signal from inside the machine is kept from the
// first process: where the default action would end or stop it, as on Linux.
// What its own code causes and what the user sends from outside is not, for
// the first process may be any program, which knows nothing of being init. A
// blocked signal is kept, since the program may wait for it. mu is held.
func (p *Process) shielded(si *SigInfo) bool {
	sig := int(si.Signo)
	return si.inside != 0 && p.tgid == 1 && sig != int(unix.SIGCONT) && p.handlers.get(sig).Handler == sigDfl &&
		(maskKill.Has(sig) || !p.leader.blocked.Has(sig))
}

// setSender fills in si_pid and si_uid.
func (si *SigInfo) setSender(pid int, uid uint32) {
	si.Fields[0] = uint64(uint32(pid)) | uint64(uid)<<32
}

// UserSignal is the siginfo of kill(2) by t.
func (t *Thread) UserSignal(sig int) *SigInfo {
	si := &SigInfo{Signo: int32(sig), Code: siUser}
	si.setSender(t.Process.tgid, uint32(t.Cred().UID))
	return si
}

// Flags of sigaction(2).
const (
	saNoCldStop = 0x1
	saNoCldWait = 0x2
	saSigInfo   = 0x4
	saTagBits   = 0x800 // SA_EXPOSE_TAGBITS: means nothing on amd64, but is kept
	saRestorer  = 0x04000000
	saOnStack   = 0x08000000
	saRestart   = 0x10000000
	saNoDefer   = 0x40000000
	saResetHand = 0x80000000
	// saKnown are the flags that Linux 6.1 keeps; others are cleared, which
	// is how programs find out.
	saKnown = saTagBits | saNoCldStop | saNoCldWait | saSigInfo | saRestorer | saOnStack | saRestart | saNoDefer | saResetHand
)

// Handlers that are no addresses.
const (
	sigDfl = 0
	sigIgn = 1
)

// SigAction is the kernel's struct sigaction.
type SigAction struct {
	Handler  uint64
	Flags    uint64
	Restorer uint64
	Mask     SigSet
}

// sigHandlers is what CLONE_SIGHAND shares.
type sigHandlers struct {
	refs atomic.Int32
	mu   sync.Mutex
	act  [NSignals + 1]SigAction
}

func newHandlers() *sigHandlers {
	h := new(sigHandlers)
	h.refs.Store(1)
	return h
}

func (h *sigHandlers) clone() *sigHandlers {
	n := newHandlers()
	h.mu.Lock()
	n.act = h.act
	h.mu.Unlock()
	return n
}

func (h *sigHandlers) get(sig int) SigAction {
	h.mu.Lock()
	a := h.act[sig]
	h.mu.Unlock()
	return a
}

// reset makes caught signals default, and ignored ones too when all is set.
func (h *sigHandlers) reset(all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.act {
		handler := uint64(sigDfl)
		if h.act[i].Handler == sigIgn && !all {
			handler = sigIgn
		}
		h.act[i] = SigAction{Handler: handler}
	}
}

// ignores reports whether a signal with this action is discarded.
func (a *SigAction) ignores(sig int) bool {
	return a.Handler == sigIgn || a.Handler == sigDfl && maskIgnore.Has(sig)
}

// queued is one pending signal with its information.
type queued struct {
	next  *queued
	info  SigInfo
	user  *user       // whose count it is in; nil when in none
	timer *posixTimer // the timer that owns it; nil for others
}

// sigQueue is a set of pending signals. A signal may be in the set without an
// element when there was no room for one.
type sigQueue struct {
	set        SigSet
	head, tail *queued
	spare      *queued // kept, so that signals one by one allocate nothing
}

func (q *sigQueue) push(e *queued) {
	e.next = nil
	if q.tail != nil {
		q.tail.next = e
	} else {
		q.head = e
	}
	q.tail = e
}

// take removes the first element of a signal and fills in si.
func (q *sigQueue) take(sig int, si *SigInfo) {
	if e := q.head; e != nil && e == q.tail && int(e.info.Signo) == sig && e.timer == nil {
		q.set &^= sigBit(sig)
		q.head, q.tail = nil, nil
		*si = e.info
		if e.user != nil {
			e.user.sigpending.Add(-1) // and is likely to be the next one's
		}
		q.spare = e
		return
	}
	var prev, found *queued
	more := false
	for p, e := (*queued)(nil), q.head; e != nil; p, e = e, e.next {
		if int(e.info.Signo) != sig {
			continue
		}
		if found != nil {
			more = true
			break
		}
		prev, found = p, e
	}
	if !more {
		q.set &^= sigBit(sig)
	}
	if found == nil { // the information was lost
		*si = SigInfo{Signo: int32(sig), Code: siUser}
		return
	}
	q.unlink(prev, found)
	*si = found.info
	found.drop(si)
	if found.timer == nil {
		q.spare = found
	}
}

func (q *sigQueue) unlink(prev, e *queued) {
	if prev != nil {
		prev.next = e.next
	} else {
		q.head = e.next
	}
	if q.tail == e {
		q.tail = prev
	}
	e.next = nil
}

// drop ends the life of an element that is off its queue. A timer's element
// comes back with the next expiry; si then gets the overrun count.
func (e *queued) drop(si *SigInfo) {
	if e.user != nil {
		e.user.sigpending.Add(-1)
		e.user = nil
	}
	if e.timer != nil {
		e.timer.delivered(si)
	}
}

// discard removes all signals of a set.
func (q *sigQueue) discard(set SigSet) {
	if q.set&set == 0 {
		return
	}
	q.set &^= set
	var prev *queued
	for e := q.head; e != nil; {
		next := e.next
		if set.Has(int(e.info.Signo)) {
			q.unlink(prev, e)
			e.drop(nil)
		} else {
			prev = e
		}
		e = next
	}
}

// next returns the signal of set that is delivered first, 0 when none.
func next(set SigSet) int {
	if set == 0 {
		return 0
	}
	if s := set & maskSync; s != 0 {
		set = s
	}
	return bits.TrailingZeros64(uint64(set)) + 1
}

// dequeue takes a pending signal that is not in blocked. mu is held.
func (t *Thread) dequeue(blocked SigSet, si *SigInfo) int {
	if sig := next(t.pending.set &^ blocked); sig != 0 {
		t.pending.take(sig, si)
		return sig
	}
	p := t.Process
	if sig := next(p.shared.set &^ blocked); sig != 0 {
		p.shared.take(sig, si)
		return sig
	}
	return 0
}

// recalc sets workSignal according to what is pending. mu is held; only the
// thread itself may call it, for the bit must not vanish under it.
func (t *Thread) recalc() {
	if (t.pending.set|t.Process.shared.set)&^t.blocked != 0 || t.jobStop || t.Process.stop.notify != 0 || t.trapPending() {
		t.work.Or(workSignal)
	} else {
		t.work.And(^uint32(workSignal))
	}
}

// signalWake makes t look at its signals. mu is held. by is the thread on whose
// goroutine that happens, if it is likely to wait soon.
func (t *Thread) signalWake(by *Thread) {
	t.work.Or(workSignal)
	if t != by { // which looks when its call returns
		t.interrupt(by)
	}
}

// kill makes t end. Process.mu is held.
func (t *Thread) kill() {
	t.work.Or(workKill)
	t.interrupt(nil)
}

// exitGroup makes all threads of the process end with a wait status, unless
// that has been decided before. mu is held.
func (p *Process) exitGroup(status int) {
	if p.exiting {
		return
	}
	p.exiting, p.exitStatus = true, status
	for _, t := range p.threads {
		if !t.gone {
			t.kill()
		}
	}
}

// ignored reports whether sig would be thrown away if sent to t now. A blocked
// signal is kept, since its action may change before it is unblocked.
func (t *Thread) ignored(sig int) bool {
	if t.blocked.Has(sig) || t.pt.Load() != nil && sig != int(unix.SIGKILL) {
		return false // a tracer wants to see it
	}
	h := t.Process.handlers
	h.mu.Lock()
	yes := h.act[sig].ignores(sig)
	h.mu.Unlock()
	return yes
}

// prepare does what sending a stop or continue signal does at once, and
// reports whether the signal is to be queued. mu is held; t is any thread.
func (t *Thread) prepare(sig int) bool {
	p := t.Process
	if p.exiting || p.live == 0 {
		return false
	}
	switch {
	case maskStop.Has(sig):
		p.discardAll(maskCont)
	case sig == int(unix.SIGCONT):
		p.discardAll(maskStop)
		p.resume()
	}
	return !t.ignored(sig)
}

// discardAll removes signals from all queues of the process. mu is held.
func (p *Process) discardAll(set SigSet) {
	p.shared.discard(set)
	for _, t := range p.threads {
		t.pending.discard(set)
	}
}

// wants reports whether t could take a process-wide signal now. mu is held.
func (t *Thread) wants(sig int) bool {
	return !t.gone && !t.blocked.Has(sig) && t.work.Load()&workKill == 0 && (sig == int(unix.SIGKILL) || !t.stopped && !t.traceStopped())
}

// queue adds a signal to q, a queue of t or of its process. It reports EAGAIN
// when a realtime signal sent with information finds no room. mu is held.
func (t *Thread) queue(q *sigQueue, si *SigInfo, timer *queued) error {
	sig := int(si.Signo)
	if sig < sigRTMin && q.set.Has(sig) {
		return nil
	}
	e := timer
	if e == nil {
		if e = q.spare; e != nil {
			q.spare = nil
			e.info = *si
		} else {
			e = &queued{info: *si}
		}
		u := t.user
		if n := u.sigpending.Add(1); sig >= sigRTMin && (uint64(n) > t.Process.Limit(RlimitSigpending) || cpu.KernelShort()) {
			u.sigpending.Add(-1)
			if si.Code != siUser && si.Code < 0 {
				return unix.EAGAIN
			}
			q.set |= sigBit(sig)
			return nil
		}
		if e.user != u {
			e.user = u
		}
	}
	q.push(e)
	q.set |= sigBit(sig)
	return nil
}

// queueShared sends a signal to the process and chooses the thread that will
// take it. mu is held.
func (p *Process) queueShared(si *SigInfo) error { return p.queueSharedElement(si, nil, nil) }

// queueSharedElement is queueShared with the element of a timer, or by a thread
// as signalWake wants to know it.
func (p *Process) queueSharedElement(si *SigInfo, timer *queued, by *Thread) error {
	sig := int(si.Signo)
	t := p.leader
	if p.shielded(si) || !t.prepare(sig) {
		return nil
	}
	if sig == int(unix.SIGKILL) {
		p.exitGroup(sig)
		p.killStopped()
		return nil
	}
	if err := t.queue(&p.shared, si, timer); err != nil {
		return err
	}
	p.sigWatch.Notify(signalEvent)
	if t = p.taker(sig); t != nil {
		t.signalWake(by)
	}
	return nil
}

// taker chooses a thread for a process-wide signal: the leader if it can, else
// any; nil when all block it. mu is held.
func (p *Process) taker(sig int) *Thread {
	if sig == int(unix.SIGPROF) || sig == int(unix.SIGVTALRM) {
		if t := p.busy(sig); t != nil {
			return t
		}
	}
	if p.leader.wants(sig) {
		return p.leader
	}
	var found *Thread
	for _, t := range p.threads {
		if t.wants(sig) {
			if t.work.Load()&workSignal == 0 {
				return t
			}
			found = t
		}
	}
	return found
}

// busy chooses, of the threads that run, one that can take a signal, each in
// its turn: a profiler wants to interrupt what uses the time. mu is held.
func (p *Process) busy(sig int) *Thread {
	n := len(p.threads)
	for range n {
		p.turn++
		if t := p.threads[p.turn%uint(n)]; t.time.running() && t.wants(sig) {
			return t
		}
	}
	return nil
}

// queueThread sends a signal to one thread. mu is held.
func (t *Thread) queueThread(si *SigInfo, timer *queued) error {
	sig := int(si.Signo)
	if t.gone || t.Process.shielded(si) || !t.prepare(sig) {
		return nil
	}
	if sig == int(unix.SIGKILL) {
		t.Process.exitGroup(sig)
		t.Process.killStopped()
		return nil
	}
	if err := t.queue(&t.pending, si, timer); err != nil {
		return err
	}
	t.Process.sigWatch.Notify(signalEvent)
	if !t.blocked.Has(sig) {
		t.signalWake(nil)
	}
	return nil
}

// Signal sends a signal to the process, without asking for permission.
func (p *Process) Signal(si *SigInfo) error { return p.signalFrom(nil, si) }

// signalFrom is Signal by a thread as signalWake wants to know it.
func (p *Process) signalFrom(by *Thread, si *SigInfo) error {
	p.mu.Lock()
	err := p.queueSharedElement(si, nil, by)
	p.mu.Unlock()
	return err
}

// Signal sends a signal to the thread, without asking for permission.
func (t *Thread) Signal(si *SigInfo) error {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return t.queueThread(si, nil)
}

// Raise sends a signal to the calling thread (SIGPIPE, SIGXFSZ).
func (t *Thread) Raise(sig int) { _ = t.Signal(t.UserSignal(sig)) }

// SignalFromHost sends a signal to the first process as the user outside
// would: the kernel is its sender.
func SignalFromHost(sig int) {
	p := InitProcess()
	if p == nil || sig <= 0 || sig > NSignals {
		return
	}
	if sig == int(unix.SIGCONT) {
		SignalGroup(p.PGID(), sig) // as a shell continues a job
	} else {
		_ = p.Signal(&SigInfo{Signo: int32(sig), Code: siUser})
	}
}

// force sends a signal that the thread's own code caused. It cannot be
// blocked or ignored: then it ends the process.
func (t *Thread) force(si *SigInfo) {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	sig := int(si.Signo)
	h := p.handlers
	h.mu.Lock()
	if t.blocked.Has(sig) || h.act[sig].Handler == sigIgn {
		h.act[sig] = SigAction{}
		t.blocked &^= sigBit(sig)
	}
	h.mu.Unlock()
	t.pending.discard(sigBit(sig))
	_ = t.queue(&t.pending, si, nil)
	t.work.Or(workSignal)
}

// setMask replaces the blocked set. Process-wide signals that the thread no
// longer takes are offered to others.
func (t *Thread) setMask(m SigSet) {
	m &^= maskKill
	if m == t.blocked {
		return
	}
	p := t.Process
	p.mu.Lock()
	t.setMaskLocked(m)
	p.mu.Unlock()
}

// setMaskLocked is setMask with mu held and nothing in m that cannot be blocked.
func (t *Thread) setMaskLocked(m SigSet) {
	p := t.Process
	more := p.shared.set & m &^ t.blocked
	t.blocked = m
	if more != 0 && p.live > 1 {
		p.offer(more)
	}
	t.recalc()
}

// maskForHandler has the thread block what it does while a handler runs and
// returns the mask that the handler's return brings back. mu is held.
func (t *Thread) maskForHandler(sig int, act *SigAction) (old SigSet) {
	old = t.blocked
	m := old | act.Mask
	if t.work.Load()&workRestoreMask != 0 {
		old = t.savedMask
		t.work.And(^uint32(workRestoreMask)) // the frame restores it
	}
	if act.Flags&saNoDefer == 0 {
		m |= sigBit(sig)
	}
	t.setMaskLocked(m &^ maskKill)
	return old
}

// offer looks for threads to take pending process-wide signals. mu is held.
func (p *Process) offer(set SigSet) {
	for set &= p.shared.set; set != 0; {
		sig := bits.TrailingZeros64(uint64(set)) + 1
		set &^= sigBit(sig)
		if t := p.taker(sig); t != nil && t.work.Load()&workSignal == 0 {
			t.signalWake(nil)
		}
	}
}

// Mask returns the blocked signals.
func (t *Thread) Mask() SigSet { return t.blocked }

// SetMask serves the parts of calls that change the mask for good.
func (t *Thread) SetMask(m SigSet) { t.setMask(m) }

// SwapMask sets the mask for the duration of one call (ppoll, pselect,
// epoll_pwait): the old one returns after a handler has run with the new one,
// or at once when none does. Call it once, before sleeping.
func (t *Thread) SwapMask(m SigSet) {
	if t.work.Load()&workRestoreMask == 0 {
		t.savedMask = t.blocked
		t.work.Or(workRestoreMask)
	}
	t.setMask(m)
}

// UnswapMask ends what SwapMask began when the call was not interrupted: the
// old mask returns at once, before any signal is delivered.
func (t *Thread) UnswapMask() {
	if t.work.Load()&workRestoreMask != 0 {
		t.work.And(^uint32(workRestoreMask))
		t.setMask(t.savedMask)
	}
}

// Pending returns the signals that are pending and blocked.
func (t *Thread) Pending() SigSet {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	return (t.pending.set | p.shared.set) & t.blocked
}

// Action serves rt_sigaction(2): it sets the action of sig when set is not nil
// and returns the old one.
func (t *Thread) Action(sig int, set *SigAction) (SigAction, error) {
	if sig < 1 || sig > NSignals || set != nil && maskKill.Has(sig) {
		return SigAction{}, unix.EINVAL
	}
	p := t.Process
	h := p.handlers
	h.mu.Lock()
	old := h.act[sig]
	if set == nil {
		h.mu.Unlock()
		return old, nil
	}
	a := *set
	a.Flags &= saKnown
	a.Mask &^= maskKill
	h.act[sig] = a
	h.mu.Unlock()
	if a.ignores(sig) {
		p.mu.Lock()
		p.discardAll(sigBit(sig))
		p.mu.Unlock()
	}
	return old, nil
}

// HasSignal reports whether an interruptible sleep would end now.
func (t *Thread) HasSignal() bool { return t.work.Load()&workInterrupt != 0 }
