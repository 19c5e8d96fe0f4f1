package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

// signalEvent is what sigWatch announces.
const signalEvent = wait.In

// stopState is the job control of a process. Guarded by Process.mu.
type stopState struct {
	sig       int  // that stops the process; 0 when it runs
	remaining int  // threads that have not stopped yet
	complete  bool // all threads have stopped
	// reported and continued are what waitid has yet to see.
	reported  bool // the stop was collected by wait
	continued bool // a continuation was not collected by wait
	// notify is the si_code that the parent has yet to be told of by the
	// first thread that runs; 0 when none.
	notify int32
}

// beginStop starts a group stop. mu is held; t, the caller, then takes part.
func (t *Thread) beginStop(sig int) {
	p := t.Process
	if p.stop.sig != 0 {
		// One is under way or complete: a tracer had let this thread go on.
		if !t.jobStop {
			t.jobStop = true
			p.stop.remaining++
		}
		return
	}
	p.stop.sig, p.stop.remaining, p.stop.reported, p.stop.continued = sig, 0, false, false
	for _, o := range p.threads {
		if !o.gone && !o.stopped {
			o.jobStop = true
			p.stop.remaining++
			o.signalWake(nil)
		}
	}
}

// takePart stops the thread until the process continues or ends. mu is held
// on entry and released.
func (t *Thread) takePart() {
	p := t.Process
	pt := t.pt.Load()
	sig := p.stop.sig
	t.jobStop, t.stopped = false, pt == nil
	if p.stop.remaining--; p.stop.remaining == 0 && p.stop.sig != 0 && !p.stop.complete {
		p.stop.complete = true
		p.mu.Unlock()
		if pt == nil || !pt.byParent(p) { // else it hears of the thread's stop
			p.tellParent(CldStopped)
		}
		if p == InitProcess() && tasks.onStop != nil && pt == nil {
			tasks.onStop(sig)
		}
		p.mu.Lock()
	}
	if pt != nil {
		p.mu.Unlock()
		t.traceTrap(pt, sig)
		return
	}
	for t.stopped && t.work.Load()&workKill == 0 {
		p.mu.Unlock()
		_ = t.SleepKillable(wait.NoDeadline)
		p.mu.Lock()
	}
	t.stopped = false
	p.mu.Unlock()
}

// resume continues a stopped process. mu is held.
func (p *Process) resume() {
	if p.stop.sig == 0 {
		return
	}
	if p.stop.complete {
		p.stop.notify, p.stop.continued = CldContinued, true
	} else {
		p.stop.notify = CldStopped // it would have stopped: Linux tells that
	}
	p.stop.sig, p.stop.complete, p.stop.remaining = 0, false, 0
	for _, t := range p.threads {
		t.jobStop, t.stopped = false, false
		if pt := t.pt.Load(); pt != nil && pt.seized {
			pt.trapNews = true
			if pt.listening {
				pt.resume(t, pt.mode, 0)
			}
		}
		if !t.gone {
			t.signalWake(nil)
			t.Wake()
		}
	}
}

// leaveStop accounts for a thread that ends while a stop is under way, and
// reports whether the stop became complete by it. mu is held.
func (t *Thread) leaveStop() bool {
	p := t.Process
	if !t.jobStop {
		return false
	}
	t.jobStop = false
	if p.stop.remaining--; p.stop.remaining == 0 && p.stop.sig != 0 && p.live > 0 && !p.stop.complete {
		p.stop.complete = true
		return true
	}
	return false
}

// tellParent tells the parent that the process stopped or continued.
func (p *Process) tellParent(code int32) {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	parent := p.parent
	if parent == nil || p.adopted {
		return
	}
	p.mu.Lock()
	si := p.childInfo(code, p.stop.sig)
	p.mu.Unlock()
	if code == CldContinued {
		si.Fields[1] = uint64(unix.SIGCONT)
	}
	parent.mu.Lock()
	if a := parent.handlers.get(int(unix.SIGCHLD)); a.Handler != sigIgn && a.Flags&saNoCldStop == 0 {
		_ = parent.queueShared(&si)
	}
	parent.mu.Unlock()
	parent.childWait.Notify(wait.In)
}

// childInfo is the SIGCHLD information about p. mu is held.
func (p *Process) childInfo(code int32, status int) SigInfo {
	si := SigInfo{Signo: int32(unix.SIGCHLD), Code: code}
	si.setSender(p.tgid, uint32(p.leader.Cred().UID))
	s := p.stats()
	si.Fields[1] = uint64(uint32(status))
	si.Fields[2] = uint64(s.user / 10_000_000) // clock ticks of 100 Hz
	si.Fields[3] = uint64(s.sys / 10_000_000)
	return si
}

// ReportStops has f called, with the signal, when the first process is
// stopped: whoever waits for the machine continues it with SIGCONT. Called
// before the first process runs. f must not block.
func ReportStops(f func(sig int)) { tasks.onStop = f }
