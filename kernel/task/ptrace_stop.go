package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

// traceStop stops the thread until its tracer lets it go on. code and why are
// what wait reports; si is what PTRACE_GETSIGINFO does, and may be changed. It
// returns the signal that the tracer gave. stopped is false when there is no
// tracer any more or the thread has been killed. No lock is held.
func (t *Thread) traceStop(pt *ptrace, code int, why int32, si *SigInfo, message uint64) (sig int, stopped bool) {
	p := t.Process
	leaving := code>>8 == eventExit
	tasks.mu.RLock()
	p.mu.Lock()
	tracer := pt.tracer
	if tracer == nil || !leaving && t.work.Load()&workKill != 0 {
		p.mu.Unlock()
		tasks.mu.RUnlock()
		return 0, false
	}
	pt.stopped, pt.reported, pt.killed, pt.data = true, false, false, 0
	pt.code, pt.why, pt.message, pt.hasInfo = code, why, message, si != nil
	pt.trapStop = false
	if si != nil {
		pt.info = *si
		if int(si.Code)>>8 == eventStop {
			pt.trapNews = false
		}
	}
	told := code & 0x7f
	if why == CldStopped {
		told = p.stop.sig
	}
	p.mu.Unlock()
	tracer.Process.hearOf(t, why, told, true)
	tasks.mu.RUnlock()

	p.mu.Lock()
	for {
		dying := pt.killed || !leaving && t.work.Load()&workKill != 0
		if !pt.frozen && (!pt.stopped || dying) {
			break
		}
		interruptedBy := uint32(workKill)
		if leaving || dying {
			interruptedBy = 0
		}
		p.mu.Unlock()
		_ = t.sleepFor(wait.NoDeadline, interruptedBy)
		p.mu.Lock()
	}
	pt.stopped, pt.listening = false, false
	if si != nil {
		*si = pt.info
	}
	sig = pt.data
	t.setStep(pt)
	t.recalcFrom() // signals that found the thread stopped
	stepping := pt.stepping
	p.mu.Unlock()
	t.armDebug(stepping)
	return sig, true
}

// resume lets a stopped thread go on. Its Process.mu is held.
func (pt *ptrace) resume(t *Thread, mode ResumeMode, sig int) {
	if !pt.stopped {
		return
	}
	pt.mode, pt.data = mode, sig
	pt.stopped, pt.listening = false, false
	t.Wake()
}

// setStep arms or disarms the trap flag as the tracer asked. A program that
// has it set itself keeps it. Process.mu is held.
func (t *Thread) setStep(pt *ptrace) {
	step := pt.mode&ResumeStep != 0 && t.pt.Load() == pt
	switch {
	case step && t.RFLAGS&flagTF == 0:
		t.RFLAGS |= flagTF
		pt.stepping = true
	case !step && pt.stepping:
		t.RFLAGS &^= flagTF
		pt.stepping = false
	}
}

// traceInfo is the siginfo_t of stops that are no signals.
func (t *Thread) traceInfo(sig, code int) *SigInfo {
	si := &SigInfo{Signo: int32(sig), Code: int32(code)}
	si.setSender(t.TID, uint32(t.Cred().UID))
	return si
}

// traceNotify is a stop with SIGTRAP; bits 8 and up of code are the event.
func (t *Thread) traceNotify(pt *ptrace, code int, message uint64) (sig int, stopped bool) {
	return t.traceStop(pt, code, CldTrapped, t.traceInfo(int(unix.SIGTRAP), code), message)
}

// traceEvent stops for an event that the tracer asked for with an option. It
// reports whether it had asked.
func (t *Thread) traceEvent(event int, message uint64) bool {
	pt := t.pt.Load()
	if pt == nil || pt.options>>event&1 == 0 {
		return false
	}
	t.traceNotify(pt, int(unix.SIGTRAP)|event<<8, message)
	return true
}

// traceExec tells the tracer of an exec: old tracers by a signal.
func (t *Thread) traceExec(old int) {
	pt := t.pt.Load()
	if pt != nil && !t.traceEvent(eventExec, uint64(old)) && !pt.seized {
		t.Raise(int(unix.SIGTRAP))
	}
}

// trapPending reports whether a stop is due that no signal caused. Process.mu
// is held.
func (t *Thread) trapPending() bool {
	pt := t.pt.Load()
	return pt != nil && (pt.trapStop || pt.trapNews)
}

// traceStopped reports whether the tracer has stopped t. Process.mu is held.
func (t *Thread) traceStopped() bool {
	pt := t.pt.Load()
	return pt != nil && pt.stopped
}

// traceTrap is the stop of a thread that was attached to, interrupted, or takes
// part in a stop of its group. sig is what stopped the group, 0 when it runs.
func (t *Thread) traceTrap(pt *ptrace, sig int) {
	if !pt.seized {
		t.traceStop(pt, sig, CldStopped, nil, 0)
		return
	}
	if sig == 0 {
		sig = int(unix.SIGTRAP)
	}
	code := sig | eventStop<<8
	t.traceStop(pt, code, CldStopped, t.traceInfo(sig, code), 0)
}

// traceSignalStop shows the tracer a signal that is about to be delivered. It
// returns the signal that is delivered in its place, 0 for none. Process.mu is
// held and released for the time.
func (t *Thread) traceSignalStop(pt *ptrace, sig int, si *SigInfo) int {
	p := t.Process
	p.mu.Unlock()
	given, stopped := t.traceStop(pt, sig, CldTrapped, si, 0)
	p.mu.Lock()
	if !stopped {
		return sig
	}
	if given == 0 {
		return 0
	}
	if given != int(si.Signo) {
		*si = SigInfo{Signo: int32(given), Code: siUser}
		if tracer := pt.tracer; tracer != nil {
			si.setSender(tracer.TID, uint32(tracer.Cred().UID))
		}
	}
	if t.blocked.Has(given) {
		_ = t.queue(&t.pending, si, nil)
		return 0
	}
	return given
}

// SyscallEntry is the stop before a system call, if the tracer wants one. It
// may change the registers. The result is false when the call must not be made.
func (t *Thread) SyscallEntry() bool {
	pt := t.pt.Load()
	if pt == nil || pt.mode&(ResumeSyscall|ResumeEmulate) == 0 {
		return true
	}
	emulate := pt.mode&ResumeEmulate != 0
	t.syscallStop(pt, 1) // PTRACE_EVENTMSG_SYSCALL_ENTRY
	return !emulate && t.work.Load()&workKill == 0
}

// SyscallExit is the stop after a system call, if the tracer wants one.
func (t *Thread) SyscallExit() {
	pt := t.pt.Load()
	switch {
	case pt == nil:
	case pt.stepping && pt.mode&ResumeStep != 0:
		// The processor does not trap after SYSCALL.
		t.force(&SigInfo{Signo: int32(unix.SIGTRAP), Code: trapBrkpt, Fields: [14]uint64{t.RIP}})
	case pt.mode&ResumeSyscall != 0:
		t.syscallStop(pt, 2) // PTRACE_EVENTMSG_SYSCALL_EXIT
	}
}

func (t *Thread) syscallStop(pt *ptrace, message uint64) {
	code := int(unix.SIGTRAP)
	if pt.options&TraceSysGood != 0 {
		code |= 0x80
	}
	if sig, _ := t.traceNotify(pt, code, message); sig != 0 {
		_ = t.Signal(&SigInfo{Signo: int32(sig), Code: siKernel})
	}
}

// traceLeave is the stop at the end of a thread.
func (t *Thread) traceLeave() {
	if t.pt.Load() == nil {
		return
	}
	p := t.Process
	p.mu.Lock()
	status := t.endStatus()
	p.mu.Unlock()
	t.traceEvent(eventExit, uint64(status))
}

// killStopped has the threads that are stopped at their exit go on: SIGKILL was
// sent once more. mu is held.
func (p *Process) killStopped() {
	for _, t := range p.threads {
		if pt := t.pt.Load(); pt != nil && pt.stopped && !pt.killed {
			pt.killed = true
			t.Wake()
		}
	}
}
