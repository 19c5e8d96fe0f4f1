package task

import (
	"golang.org/x/sys/unix"
)

// This file is who traces whom (ptrace(2)); stops are in ptrace_stop.go, what
// a tracer may ask of a stopped thread in ptrace_request.go.
//
// A thread that is traced has a ptrace structure. The tracer is a thread, too:
// its process gets the news by SIGCHLD and wait, but only the thread itself
// may make requests.

// The bits of Thread.watched: why system calls take the long way.
const (
	WatchStrace  = 1 << iota // the machine traces calls for the host
	WatchPtrace              // another thread traces this one
	WatchSeccomp             // a filter or strict mode
)

// Options of PTRACE_SETOPTIONS, and the numbers of events.
const (
	TraceSysGood    = 1 << 0
	TraceExitKill   = 1 << 20
	TraceNoSeccomp  = 1 << 21 // PTRACE_O_SUSPEND_SECCOMP
	TraceOptionMask = 0xff | TraceExitKill | TraceNoSeccomp

	eventFork      = 1
	eventVfork     = 2
	eventClone     = 3
	eventExec      = 4
	eventVforkDone = 5
	eventExit      = 6
	EventSeccomp   = 7
	eventStop      = 128
)

// ResumeMode is how far a thread runs.
type ResumeMode uint8

// The modes: to the next signal, and to the next system call or instruction.
const (
	ResumeSyscall ResumeMode = 1 << iota // PTRACE_SYSCALL
	ResumeEmulate                        // PTRACE_SYSEMU
	ResumeStep                           // PTRACE_SINGLESTEP
)

// ptrace is the tracing of one thread.
type ptrace struct {
	seized bool // by PTRACE_SEIZE; never changes

	tracer *Thread // guarded by tasks.mu; nil once detached

	// Guarded by the traced thread's Process.mu. The tracer writes options
	// and mode only while the thread is stopped, so that the thread itself
	// reads them without.
	options  uint32
	mode     ResumeMode
	stepping bool // the trap flag is the tracer's

	stopped   bool // until resumed
	frozen    bool // the tracer looks at it: not even a kill lets it go on
	listening bool // PTRACE_LISTEN
	reported  bool // wait has seen the stop
	killed    bool // while stopped at its exit
	trapStop  bool // a PTRACE_EVENT_STOP is due, or the stop of an attached thread
	trapNews  bool // the group's stop state has changed for a seized thread
	hasInfo   bool
	why       int32 // CLD_TRAPPED or CLD_STOPPED
	code      int   // of the stop, as in bits 8 and up of a wait status
	data      int   // the signal that the tracer gave with the resumption
	info      SigInfo
	message   uint64 // PTRACE_GETEVENTMSG
}

// Watched tells whether calls of the thread take the long way, and why.
func (t *Thread) Watched() uint32 { return t.watched.Load() }

// Tracer is the number of the thread that traces t, 0 when none does.
func (t *Thread) Tracer() int {
	if t.pt.Load() == nil {
		return 0
	}
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if pt := t.pt.Load(); pt != nil {
		return pt.tracer.TID
	}
	return 0
}

// TraceMe makes the parent the tracer of the calling thread.
func (t *Thread) TraceMe() error {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p := t.Process
	parent := p.parent
	if parent == nil || parent.state != alive || t.pt.Load() != nil {
		return unix.EPERM
	}
	tracer := p.creator
	parent.mu.Lock()
	for i := 0; (tracer == nil || tracer.gone) && i < len(parent.threads); i++ {
		tracer = parent.threads[i]
	}
	gone := tracer.gone
	parent.mu.Unlock()
	if gone {
		return unix.EPERM
	}
	p.mu.Lock()
	tracer.link(t, &ptrace{})
	p.mu.Unlock()
	return nil
}

// Attach makes the calling thread the tracer of target, which must be allowed.
func (t *Thread) Attach(target *Thread, seize bool, options uint32) error {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p := target.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	if target.gone || target.pt.Load() != nil || p == t.Process {
		return unix.EPERM
	}
	pt := &ptrace{seized: seize, options: options}
	t.link(target, pt)
	if !seize {
		_ = target.queueThread(&SigInfo{Signo: int32(unix.SIGSTOP), Code: siKernel}, nil)
	}
	if target.stopped {
		// A stop of the group becomes one of the tracer's.
		target.stopped, pt.trapStop = false, true
		target.signalWake(nil)
		target.Wake()
	}
	return nil
}

// link makes t the tracer of c. tasks.mu is held for writing, and c's
// Process.mu if c can run.
func (t *Thread) link(c *Thread, pt *ptrace) {
	pt.tracer = t
	t.tracees = append(t.tracees, c)
	t.Process.tracing++
	c.pt.Store(pt)
	c.watch(WatchPtrace)
}

// unlink ends the tracing of c and lets it run. sig is delivered if c stopped
// for a signal. tasks.mu is held for writing, c's Process.mu too.
func (c *Thread) unlink(sig int) {
	pt := c.pt.Load()
	if pt == nil {
		return
	}
	tracer := pt.tracer
	for i, o := range tracer.tracees {
		if o == c {
			last := len(tracer.tracees) - 1
			tracer.tracees[i], tracer.tracees[last] = tracer.tracees[last], nil
			tracer.tracees = tracer.tracees[:last]
			break
		}
	}
	tracer.Process.tracing--
	pt.tracer = nil
	c.pt.Store(nil)
	c.watched.And(^uint32(WatchPtrace))
	p := c.Process
	if p.stop.sig != 0 && !c.gone && !c.jobStop {
		c.jobStop = true // back to the group's stop
		p.stop.remaining++
		c.signalWake(nil)
	}
	pt.resume(c, 0, sig)
}

// inheritTrace has the tracer of t trace a new thread of it, too, when it asked
// for that. It returns the event to tell the tracer of, 0 for none. tasks.mu is
// held for writing; c does not run yet.
func (t *Thread) inheritTrace(c *Thread, a *CloneArgs) (event int) {
	pt := t.pt.Load()
	if pt == nil {
		return 0
	}
	if a.Flags&unix.CLONE_UNTRACED == 0 {
		switch {
		case a.Flags&unix.CLONE_VFORK != 0:
			event = eventVfork
		case a.Flags&unix.CLONE_THREAD != 0 || a.ExitSignal != int(unix.SIGCHLD):
			event = eventClone
		default:
			event = eventFork
		}
		if pt.options>>event&1 == 0 {
			event = 0
		}
	}
	if event == 0 && a.Flags&unix.CLONE_PTRACE == 0 {
		return 0
	}
	child := &ptrace{seized: pt.seized, options: pt.options, trapStop: pt.seized}
	if !pt.seized {
		c.pending.set |= sigBit(int(unix.SIGSTOP))
	}
	pt.tracer.link(c, child)
	c.work.Or(workSignal)
	return event
}

// leaveTracees lets go of all that t traces, as it ends. tasks.mu is held for
// writing.
func (t *Thread) leaveTracees() {
	for len(t.tracees) > 0 {
		c := t.tracees[len(t.tracees)-1]
		p := c.Process
		p.mu.Lock()
		kill := c.pt.Load().options&TraceExitKill != 0
		c.unlink(0)
		if kill {
			_ = c.queueThread(&SigInfo{Signo: int32(unix.SIGKILL), Code: siKernel}, nil)
		}
		if c.gone && c != p.leader {
			p.removeThread(c)
		}
		p.mu.Unlock()
		if p.state != zombie || c != p.leader {
			continue
		}
		if p.parent != t.Process {
			p.report()
		} else if a := t.Process.handlers.get(int(unix.SIGCHLD)); a.Handler == sigIgn || a.Flags&saNoCldWait != 0 {
			p.reap()
		}
	}
}

// reportTraced tells the tracer of the end of a thread. It reports false when
// there is no tracer. tasks.mu is held for writing.
func (t *Thread) reportTraced(status int) bool {
	pt := t.pt.Load()
	if pt == nil {
		return false
	}
	code, value := exitCode(status)
	pt.tracer.Process.hearOf(t, code, value, false)
	return true
}

// hearOf tells a tracer's process what has become of a thread that it traces.
// tasks.mu is held.
func (p *Process) hearOf(t *Thread, code int32, status int, stop bool) {
	user, sys := t.time.split()
	si := SigInfo{Signo: int32(unix.SIGCHLD), Code: code}
	si.setSender(t.TID, uint32(t.Cred().UID))
	si.Fields[1] = uint64(uint32(status))
	si.Fields[2], si.Fields[3] = uint64(user/10_000_000), uint64(sys/10_000_000)
	p.mu.Lock()
	if a := p.handlers.get(int(unix.SIGCHLD)); a.Handler != sigIgn && (!stop || a.Flags&saNoCldStop == 0) {
		_ = p.queueShared(&si)
	}
	p.mu.Unlock()
	p.childWait.Notify(signalEvent)
}

// byParent reports whether p's parent is the tracer. No lock is held.
func (pt *ptrace) byParent(p *Process) bool {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return pt.tracer != nil && pt.tracer.Process == p.parent
}

// endStatus is the wait status of a thread that has ended. Process.mu is held.
func (t *Thread) endStatus() int {
	if t.Process.exiting {
		return t.Process.exitStatus
	}
	return t.exitCode
}

// collectTraced looks through what the process, or with __WNOTHREAD the thread,
// traces. tasks.mu is held for writing.
func (t *Thread) collectTraced(w *WaitFor) (r WaitResult, candidates bool) {
	for _, tracer := range t.Process.threads {
		if w.Options&wNoThread != 0 && tracer != t {
			continue
		}
		for _, c := range tracer.tracees {
			if !t.named(c.Process, c.TID, w) || w.Type == unix.P_PIDFD && c != c.Process.leader {
				continue
			}
			candidates = true
			if r = t.collectTracee(c, w); r.PID != 0 {
				return r, true
			}
		}
	}
	return r, candidates
}

// collectTracee returns what is to be told of one traced thread.
func (t *Thread) collectTracee(c *Thread, w *WaitFor) (r WaitResult) {
	p := c.Process
	if c == p.leader && p.state == zombie {
		if w.Options&unix.WEXITED == 0 {
			return r
		}
		remove := w.Options&unix.WNOWAIT == 0
		own := p.parent == t.Process
		r = t.collectZombie(p, remove && own)
		if remove && !own {
			p.mu.Lock()
			c.unlink(0)
			p.mu.Unlock()
			p.report() // now it is the parent's turn
		}
		return r
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := c.pt.Load()
	switch {
	case c.gone:
		if c == p.leader || w.Options&unix.WEXITED == 0 {
			return r
		}
		r.Status = c.endStatus()
		r.Code, r.Value = exitCode(r.Status)
	case pt.stopped && !pt.listening && !pt.reported:
		pt.reported = w.Options&unix.WNOWAIT == 0
		r.Code, r.Value, r.Status = CldTrapped, pt.code, pt.code<<8|0x7f
	default:
		return r
	}
	s := p.stats()
	r.PID, r.UID, r.Usage = c.TID, uint32(c.Cred().UID), s.rusage(peakRSS(p.mem))
	if c.gone && w.Options&unix.WNOWAIT == 0 {
		c.unlink(0)
		p.removeThread(c)
	}
	return r
}
