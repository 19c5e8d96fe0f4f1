package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/ipc"
	"husk/kernel/mm"
	"husk/kernel/wait"
	"husk/spec"
)

// Crash is the report about a fatal signal.
type Crash = spec.Crash

// End is how the first process ended: its wait status, as wait4(2) encodes it,
// and the report if a fault was the cause.
type End struct {
	Status int
	Crash  *Crash
}

// onEnd is told of the end of the first process.
var onEnd = func(End) {}

// OnEnd sets what is called, on the goroutine of its last thread, when the
// first process has ended. The machine should then stop.
func OnEnd(f func(End)) { onEnd = f }

// OnSessionEnd is called when a session's leader has ended and the session has
// a controlling terminal, with no lock held. Package tty hangs it up. It is
// set at boot.
var OnSessionEnd = func(s *Session, tty any) {}

// ExitThread makes the calling thread end with a status as exit(2) takes it.
func (t *Thread) ExitThread(status int) {
	t.exitCode = status & 0xff << 8
	t.work.Or(workKill)
}

// ExitProcess makes the calling thread's process end, as exit_group(2).
func (t *Thread) ExitProcess(status int) {
	p := t.Process
	p.mu.Lock()
	p.exitGroup(status & 0xff << 8)
	p.mu.Unlock()
	t.work.Or(workKill)
}

// exit is the end of a thread, run by its goroutine after the loop.
func (t *Thread) exit() {
	p := t.Process
	defer func() {
		// A panic while exiting must not take the machine with it; what was
		// not released yet is lost.
		if r := recover(); r != nil {
			t.panicked(r)
		}
	}()
	t.joinDump()
	t.traceLeave()
	t.leaveMemory()
	t.dropSemUndo()
	t.traceExit()

	p.mu.Lock()
	t.gone = true
	t.missDump()
	p.live--
	last := p.live == 0
	p.exitStats.addThread(t)
	countEnded(t)
	stopped := t.leaveStop()
	t.dropFilter()
	t.pending.discard(^SigSet(0))
	if last {
		p.shared.discard(^SigSet(0))
		p.stopTimers()
		if !p.exiting {
			p.exitStatus = p.leader.exitCode
		}
	} else {
		p.offer(p.shared.set &^ t.blocked)
	}
	files, fs := t.files, t.fs
	t.files, t.fs = nil, nil
	p.mu.Unlock()
	if stopped {
		p.tellParent(CldStopped)
	}

	files.Unref(t)
	fs.Put()
	t.Context.Release()
	t.user.processes.Add(-1)
	if last {
		p.mu.Lock()
		as, exe := p.mem, p.exe
		p.mem, p.exe = nil, nil
		p.reaped.maxRSS = max(p.reaped.maxRSS, peakRSS(as))
		p.mu.Unlock()
		ipc.Leave(as, p.tgid)
		as.Put()
		putExe(exe)
	}

	tasks.mu.Lock()
	for _, c := range p.children {
		if c.creator == t {
			c.creator = nil
			c.parentDied(p)
		}
	}
	t.leaveTracees()
	p.mu.Lock()
	execer := p.execer
	status := t.endStatus()
	if t != p.leader && t.pt.Load() == nil {
		p.removeThread(t)
	}
	p.mu.Unlock()
	if t != p.leader {
		t.reportTraced(status)
	}
	var after func()
	if last {
		after = p.becomeZombie()
	}
	tasks.mu.Unlock()
	t.time.pause()
	if execer != nil {
		execer.Wake()
	}
	if after != nil {
		after()
	}
}

// leaveMemory does what must be done while the thread's memory is there, at
// its end and before an exec: robust futexes, the tid word, a vfork parent.
func (t *Thread) leaveMemory() {
	t.exitRobust()
	t.exitPI()
	if a := t.clearTID; a != 0 {
		t.clearTID = 0
		if t.mem.Store32(a, 0) == nil {
			_, _ = t.FutexWake(a, 1, ^uint32(0), false)
		}
	}
	if v := t.vfork; v != nil {
		t.vfork = nil
		v.done.Store(true)
		v.parent.Wake()
	}
}

// removeThread takes a thread off the process and the pid table. tasks.mu and
// mu are held.
func (p *Process) removeThread(t *Thread) {
	if t.unlisted {
		return
	}
	t.unlisted = true
	last := len(p.threads) - 1
	p.threads[t.index] = p.threads[last]
	p.threads[t.index].index = t.index
	p.threads[last] = nil
	p.threads = p.threads[:last]
	tasks.threads--
	if e := tasks.pids[t.TID]; e != nil && e.thread == t {
		e.thread = nil
		release(t.TID, e)
	}
}

// parentDied sends the parent-death signals that the threads of p asked for,
// as if by the parent. tasks.mu is held.
func (p *Process) parentDied(parent *Process) {
	uid := parent.Leader().Cred().UID
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.threads {
		if sig := t.deathSignal.Load(); sig != 0 && !t.gone {
			si := &SigInfo{Signo: sig, Code: siUser}
			si.setSender(parent.tgid, uint32(uid))
			_ = p.queueShared(si)
		}
	}
}

// becomeZombie tells the parent and the children that the process has ended.
// tasks.mu is held; the result, if any, is to be called without it.
func (p *Process) becomeZombie() (after func()) {
	if p == tasks.init {
		p.state = zombie
		end := End{p.exitStatus, p.crash}
		return func() { p.ended.Notify(wait.In); onEnd(end) }
	}
	p.abandonChildren()
	s := p.group.session
	if s.leader == p {
		s.leader = nil
		if tty := s.tty; tty != nil {
			after = func() { OnSessionEnd(s, tty) }
		}
	}
	p.state = zombie
	// Only the last tie to the session outside the group can orphan it by going.
	if q := p.parent; q != nil && q.group != nil && q.group != p.group && q.group.session == p.group.session {
		p.group.hangupIfOrphaned(p)
	}
	p.report()
	p.ended.Notify(wait.In)
	return after
}

// abandonChildren gives the children to the nearest ancestor that collects
// orphans, or else to the first process. tasks.mu is held.
func (p *Process) abandonChildren() {
	if len(p.children) == 0 {
		return
	}
	reaper := p.parent
	for reaper != nil && reaper != tasks.init && (!reaper.subreaper.Load() || reaper.state != alive) {
		reaper = reaper.parent
	}
	if reaper == nil {
		reaper = tasks.init
	}
	for len(p.children) > 0 {
		c := p.children[len(p.children)-1]
		p.removeChild(c)
		c.creator = nil
		// The first process may be any program, which knows nothing of
		// orphans: the machine reaps them for it unless it asked for them.
		c.adopted = reaper == tasks.init && !reaper.subreaper.Load()
		reaper.addChild(c)
		c.parentDied(p)
		c.exitSignal = int(unix.SIGCHLD)
		if c.state == zombie {
			c.report()
		} else if c.group != p.group && c.group.session == p.group.session {
			c.group.hangupIfOrphaned(nil)
		}
	}
}

// hangupIfOrphaned sends SIGHUP and SIGCONT to a group that has become
// orphaned and has stopped members. The first process is spared: its group
// never had anybody to continue it. tasks.mu is held.
func (g *Group) hangupIfOrphaned(without *Process) {
	if !g.orphaned(without) {
		return
	}
	stopped := false
	for _, p := range g.members {
		if p != without && p.state == alive {
			p.mu.Lock()
			stopped = stopped || p.stop.complete
			p.mu.Unlock()
		}
	}
	if !stopped {
		return
	}
	for _, p := range g.members {
		if p == tasks.init {
			continue
		}
		p.mu.Lock()
		_ = p.queueShared(&SigInfo{Signo: int32(unix.SIGHUP), Code: siKernel})
		_ = p.queueShared(&SigInfo{Signo: int32(unix.SIGCONT), Code: siKernel})
		p.mu.Unlock()
	}
}

// signal sends a signal to each member. tasks.mu is held.
func (g *Group) signal(si *SigInfo) {
	for _, p := range g.members {
		p.mu.Lock()
		_ = p.queueShared(si)
		p.mu.Unlock()
	}
}

// report tells the parent of a zombie, or reaps it when nobody cares.
// tasks.mu is held.
func (p *Process) report() {
	parent := p.parent
	if p.leader.reportTraced(p.exitStatus) {
		return // the tracer sees it first
	}
	if p.adopted || parent == nil {
		p.reap()
		return
	}
	auto := false
	if sig := p.exitSignal; sig != 0 && sig <= NSignals { // clone(2) does not check it
		p.mu.Lock()
		si := p.childInfo(exitCode(p.exitStatus))
		p.mu.Unlock()
		si.Signo = int32(sig)
		parent.mu.Lock()
		a := parent.handlers.get(int(unix.SIGCHLD))
		ignored := sig == int(unix.SIGCHLD) && a.Handler == sigIgn
		auto = ignored || sig == int(unix.SIGCHLD) && a.Flags&saNoCldWait != 0
		if !ignored {
			_ = parent.queueShared(&si)
		}
		parent.mu.Unlock()
	}
	if auto {
		p.reap()
	}
	parent.childWait.Notify(wait.In)
}

// coreDumped is the bit of a wait status that says so.
const coreDumped = 0x80

// exitCode splits a wait status into si_code and si_status.
func exitCode(status int) (code int32, value int) {
	switch sig := status & 0x7f; {
	case sig == 0:
		return CldExited, status >> 8 & 0xff
	case status&coreDumped != 0:
		return CldDumped, sig
	default:
		return CldKilled, sig
	}
}

// reap makes a zombie disappear. tasks.mu is held.
func (p *Process) reap() {
	p.state = dead
	if p.parent != nil {
		p.parent.removeChild(p)
	}
	p.group.remove(p)
	p.mu.Lock()
	p.leader.unlink(0)
	p.removeThread(p.leader)
	h := p.handlers
	p.mu.Unlock()
	h.refs.Add(-1)
	if e := tasks.pids[p.tgid]; e != nil {
		e.process = nil
		release(p.tgid, e)
	}
}

// exitRobust walks the list of robust futexes that the thread holds
// (get_robust_list(2)): each is marked and one waiter woken.
func (t *Thread) exitRobust() {
	head := mm.Addr(t.robustList.Swap(0))
	if head == 0 {
		return
	}
	const limit = 2048
	next, err := t.mem.Load64(head)
	offset, err2 := t.mem.Load64(head + 8)
	pending, err3 := t.mem.Load64(head + 16)
	if err != nil || err2 != nil || err3 != nil {
		return
	}
	for i := 0; mm.Addr(next&^1) != head && i < limit; i++ {
		at, pi := mm.Addr(next&^1), next&1 != 0
		after, err := t.mem.Load64(at)
		if next != pending {
			t.ownerDied(at+mm.Addr(offset), pi, false)
		}
		if err != nil {
			return
		}
		next = after
	}
	if pending != 0 {
		t.ownerDied(mm.Addr(pending&^1)+mm.Addr(offset), pending&1 != 0, true)
	}
}

// ownerDied marks one robust futex whose owner ends.
func (t *Thread) ownerDied(a mm.Addr, pi, pending bool) {
	for {
		v, err := t.mem.Load32(a)
		if err != nil {
			return
		}
		if v&futexTIDMask != uint32(t.TID) {
			// Unlocked between the store of 0 and the wake-up: somebody must
			// still be woken, or sleeps for good.
			if pending && !pi && v == 0 {
				_, _ = t.FutexWake(a, 1, ^uint32(0), false)
			}
			return
		}
		_, ok, err := t.mem.CompareAndSwap32(a, v, v&futexWaiters|futexOwnerDied)
		if err != nil {
			return
		}
		if ok {
			if !pi && v&futexWaiters != 0 {
				_, _ = t.FutexWake(a, 1, ^uint32(0), false)
			}
			return
		}
	}
}
