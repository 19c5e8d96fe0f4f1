package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/abi"
)

// deliverSignals takes pending signals until a handler is set up or none is
// left, and then settles an interrupted system call.
func (t *Thread) deliverSignals() {
	var si SigInfo
	for {
		act, mask, ok := t.takeSignal(&si)
		if !ok {
			break
		}
		t.restartForHandler(&act)
		pt := t.pt.Load()
		stepping := pt != nil && pt.stepping
		if stepping {
			t.RFLAGS &^= flagTF // not the program's
			pt.stepping = false
		}
		if t.setupFrame(&si, &act, mask) {
			// The call is settled; further signals nest on the new frame.
			t.OrigRAX = notSyscall
			if stepping {
				t.traceNotify(pt, int(unix.SIGTRAP), 0)
			}
			if t.work.Load()&(workSignal|workKill) == 0 {
				return
			}
			continue
		}
		t.setMask(mask)
		t.frameFailed(int(si.Signo))
	}
	if t.work.Load()&workKill == 0 {
		t.restartWithoutHandler()
	}
}

// takeSignal returns the next signal that has a handler, with the mask that was
// in effect before it, and serves default actions. ok is false when no signal
// is left or the thread must end.
func (t *Thread) takeSignal(si *SigInfo) (act SigAction, mask SigSet, ok bool) {
	p := t.Process
	for {
		p.mu.Lock()
		if t.work.Load()&workKill != 0 {
			p.mu.Unlock()
			return act, 0, false
		}
		if code := p.stop.notify; code != 0 {
			p.stop.notify = 0
			p.mu.Unlock()
			p.tellParent(code)
			continue
		}
		pt := t.pt.Load()
		if t.jobStop {
			t.takePart()
			continue
		}
		if pt != nil && (pt.trapStop || pt.trapNews) {
			stop := p.stop.sig
			pt.trapStop, pt.trapNews = false, false
			p.mu.Unlock()
			t.traceTrap(pt, stop)
			continue
		}
		sig := t.dequeue(t.blocked, si)
		if sig == 0 {
			t.recalc()
			p.mu.Unlock()
			return act, 0, false
		}
		if pt != nil {
			if sig = t.traceSignalStop(pt, sig, si); sig == 0 || t.work.Load()&workKill != 0 {
				p.mu.Unlock()
				continue
			}
		}
		h := p.handlers
		h.mu.Lock()
		act = h.act[sig]
		if act.Handler > sigIgn && act.Flags&saResetHand != 0 {
			h.act[sig].Handler = sigDfl
		}
		h.mu.Unlock()
		switch {
		case act.Handler > sigIgn:
			mask = t.maskForHandler(sig, &act)
			p.mu.Unlock()
			t.traceSignal(si)
			return act, mask, true
		case act.ignores(sig), si.inside != 0 && p.tgid == 1:
			p.mu.Unlock()
			t.traceSignal(si)
		case maskStop.Has(sig):
			if sig != int(unix.SIGSTOP) {
				p.mu.Unlock()
				tasks.mu.RLock()
				orphaned := p.group.orphaned(nil)
				tasks.mu.RUnlock()
				if orphaned {
					continue
				}
				p.mu.Lock()
				if p.shared.set.Has(int(unix.SIGCONT)) || t.work.Load()&workKill != 0 {
					p.mu.Unlock()
					continue
				}
			}
			t.beginStop(sig)
			if t.jobStop {
				t.takePart()
			} else {
				p.mu.Unlock()
			}
		default:
			p.mu.Unlock()
			t.traceSignal(si)
			t.fatal(sig, si)
			return act, 0, false
		}
	}
}

// fatal ends the process by a signal.
func (t *Thread) fatal(sig int, si *SigInfo) {
	p := t.Process
	var crash *Crash
	if maskCore.Has(sig) {
		crash = t.crashReport(si, "")
		if t.dumpCore(sig, si, crash) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crash == nil && !p.exiting {
		p.crash = crash
	}
	p.exitGroup(sig)
}

// frameFailed ends the process because there is no room for a signal frame,
// unless it can still handle SIGSEGV.
func (t *Thread) frameFailed(sig int) {
	if sig == int(unix.SIGSEGV) {
		p := t.Process
		p.handlers.mu.Lock()
		p.handlers.act[sig] = SigAction{}
		p.handlers.mu.Unlock()
	}
	t.forceSegv()
}

// inCall reports whether the thread is on its way out of a system call whose
// result is one of the restart errors.
func (t *Thread) inCall() bool {
	return t.OrigRAX != notSyscall && t.RAX-firstRestart <= 516-512
}

// restartForHandler settles an interrupted call before a handler runs.
func (t *Thread) restartForHandler(act *SigAction) {
	if !t.inCall() {
		return
	}
	switch unix.Errno(-t.RAX) {
	case abi.ERESTARTSYS:
		if act.Flags&saRestart == 0 {
			t.RAX = negated(unix.EINTR)
			return
		}
	case abi.ERESTARTNOINTR:
	default:
		t.RAX = negated(unix.EINTR)
		return
	}
	t.RAX = t.OrigRAX
	t.RIP -= 2 // the length of SYSCALL
}

// restartWithoutHandler settles an interrupted call when no handler runs.
func (t *Thread) restartWithoutHandler() {
	if !t.inCall() {
		return
	}
	if unix.Errno(-t.RAX) == abi.ERESTART_RESTARTBLOCK {
		t.RAX = unix.SYS_RESTART_SYSCALL
	} else {
		t.RAX = t.OrigRAX
	}
	t.RIP -= 2
	t.OrigRAX = notSyscall
}

// SetRestart says how restart_syscall continues the call that is about to
// return abi.ErrRestartBlock.
func (t *Thread) SetRestart(f func(*Thread) (uintptr, error)) error {
	t.restart = f
	return abi.ErrRestartBlock
}

// RestartSyscall serves restart_syscall(2).
func (t *Thread) RestartSyscall() (uintptr, error) {
	f := t.restart
	if f == nil {
		return 0, unix.EINTR
	}
	t.restart = nil
	return f(t)
}

// negated is the value of RAX for an error.
func negated(e unix.Errno) uint64 { return -uint64(e) }
