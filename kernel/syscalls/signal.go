package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/task"
)

const (
	sigsetSize = 8
	siTkill    = -6 // SI_TKILL
)

// rt_sigaction sets what a signal does (sigaction(2)).
func (t Thread) rt_sigaction(sig int32, act, old mm.Addr, size uint64) error {
	if size != sigsetSize {
		return unix.EINVAL
	}
	var b [32]byte
	var set *task.SigAction
	if act != 0 {
		if err := t.copyIn(b[:], act); err != nil {
			return err
		}
		set = &task.SigAction{
			Handler: le.Uint64(b[:]), Flags: le.Uint64(b[8:]),
			Restorer: le.Uint64(b[16:]), Mask: task.SigSet(le.Uint64(b[24:])),
		}
	}
	was, err := t.Action(int(sig), set)
	if err != nil || old == 0 {
		return err
	}
	le.PutUint64(b[:], was.Handler)
	le.PutUint64(b[8:], was.Flags)
	le.PutUint64(b[16:], was.Restorer)
	le.PutUint64(b[24:], uint64(was.Mask))
	return t.copyOut(old, b[:])
}

func (t Thread) sigsetIn(a mm.Addr) (task.SigSet, error) {
	var b [sigsetSize]byte
	err := t.copyIn(b[:], a)
	return task.SigSet(le.Uint64(b[:])), err
}

func (t Thread) sigsetOut(a mm.Addr, s task.SigSet) error {
	var b [sigsetSize]byte
	le.PutUint64(b[:], uint64(s))
	return t.copyOut(a, b[:])
}

// rt_sigprocmask changes the blocked signals (sigprocmask(2)).
func (t Thread) rt_sigprocmask(how int32, set, old mm.Addr, size uint64) error {
	if size != sigsetSize {
		return unix.EINVAL
	}
	was := t.Mask()
	if set != 0 {
		s, err := t.sigsetIn(set)
		if err != nil {
			return err
		}
		switch how {
		case unix.SIG_BLOCK:
			s |= was
		case unix.SIG_UNBLOCK:
			s = was &^ s
		case unix.SIG_SETMASK:
		default:
			return unix.EINVAL
		}
		t.SetMask(s)
	}
	if old != 0 {
		return t.sigsetOut(old, was)
	}
	return nil
}

// rt_sigreturn returns from a handler (sigreturn(2)).
func (t Thread) rt_sigreturn() (uintptr, error) { return t.Sigreturn(), nil }

// rt_sigpending tells which blocked signals are pending (sigpending(2)).
func (t Thread) rt_sigpending(set mm.Addr, size uint64) error {
	if size > sigsetSize {
		return unix.EINVAL
	}
	var b [sigsetSize]byte
	le.PutUint64(b[:], uint64(t.Pending()))
	return t.copyOut(set, b[:size])
}

// rt_sigtimedwait takes a pending signal (sigtimedwait(2)).
func (t Thread) rt_sigtimedwait(set, info, timeout mm.Addr, size uint64) (int, error) {
	if size != sigsetSize {
		return 0, unix.EINVAL
	}
	s, err := t.sigsetIn(set)
	if err != nil {
		return 0, err
	}
	deadline, err := t.deadlineIn(timeout)
	if err != nil {
		return 0, err
	}
	si, err := t.Sigtimedwait(s, deadline)
	if err != nil {
		return 0, err
	}
	if info != 0 {
		b := si.Encode()
		if err := t.copyOut(info, b[:]); err != nil {
			return 0, err
		}
	}
	return int(si.Signo), nil
}

// rt_sigsuspend waits for a signal with another mask (sigsuspend(2)).
func (t Thread) rt_sigsuspend(mask mm.Addr, size uint64) error {
	if size != sigsetSize {
		return unix.EINVAL
	}
	s, err := t.sigsetIn(mask)
	if err != nil {
		return err
	}
	return t.Sigsuspend(s)
}

func (t Thread) pause() error { return t.Pause() }

func (t Thread) siginfoIn(a mm.Addr) (task.SigInfo, error) {
	var b [128]byte
	err := t.copyIn(b[:], a)
	return task.DecodeSigInfo(&b), err
}

// rt_sigqueueinfo sends a signal with information (rt_sigqueueinfo(2)).
func (t Thread) rt_sigqueueinfo(pid, sig int32, info mm.Addr) error {
	si, err := t.siginfoIn(info)
	if err != nil {
		return err
	}
	if (si.Code >= 0 || si.Code == siTkill) && int(pid) != t.TGID() {
		return unix.EPERM
	}
	if sig < 0 || sig > task.NSignals {
		return unix.EINVAL
	}
	si.Signo = sig
	p := task.FindProcess(int(pid))
	if p == nil {
		return unix.ESRCH
	}
	return t.KillProcess(p, &si)
}

// rt_tgsigqueueinfo does that for a thread (rt_sigqueueinfo(2)).
func (t Thread) rt_tgsigqueueinfo(tgid, tid, sig int32, info mm.Addr) error {
	si, err := t.siginfoIn(info)
	if err != nil {
		return err
	}
	if tgid <= 0 || tid <= 0 {
		return unix.EINVAL
	}
	if (si.Code >= 0 || si.Code == siTkill) && int(tid) != t.TID {
		return unix.EPERM
	}
	if sig < 0 || sig > task.NSignals {
		return unix.EINVAL
	}
	si.Signo = sig
	return t.KillThread(int(tgid), int(tid), &si)
}

func (t Thread) kill(pid, sig int32) error { return t.Kill(int(pid), int(sig)) }
func (t Thread) tkill(tid, sig int32) error {
	return t.Tgkill(-1, int(tid), int(sig))
}

// tgkill sends a signal to a thread (tgkill(2)).
func (t Thread) tgkill(tgid, tid, sig int32) error {
	if tgid <= 0 {
		return unix.EINVAL
	}
	return t.Tgkill(int(tgid), int(tid), int(sig))
}

// sigaltstack sets the alternate signal stack (sigaltstack(2)).
func (t Thread) sigaltstack(ss, old mm.Addr) error {
	var b [24]byte
	var set *task.AltStack
	if ss != 0 {
		if err := t.copyIn(b[:], ss); err != nil {
			return err
		}
		set = &task.AltStack{SP: le.Uint64(b[:]), Flags: le.Uint32(b[8:]), Size: le.Uint64(b[16:])}
	}
	was, err := t.Sigaltstack(set)
	if err != nil || old == 0 {
		return err
	}
	le.PutUint64(b[:], was.SP)
	le.PutUint64(b[8:], uint64(was.Flags))
	le.PutUint64(b[16:], was.Size)
	return t.copyOut(old, b[:])
}

// restart_syscall continues an interrupted call (restart_syscall(2)).
func (t Thread) restart_syscall() (uintptr, error) { return t.RestartSyscall() }

// alarm arms the real interval timer (alarm(2)).
func (t Thread) alarm(seconds uint32) (uint64, error) {
	left, _ := t.Process.SetItimer(task.ItimerReal, int64(seconds)*clock.Second, 0)
	// An armed timer never shows 0; otherwise round to the nearest second.
	s := (left + clock.Second/2) / clock.Second
	if left > 0 && s == 0 {
		s = 1
	}
	return uint64(s), nil
}

// getitimer returns an interval timer (getitimer(2)).
func (t Thread) getitimer(which int32, value mm.Addr) error {
	if which < task.ItimerReal || which > task.ItimerProf {
		return unix.EINVAL
	}
	left, period := t.Process.Itimer(int(which))
	return t.itimervalOut(value, left, period)
}

func (t Thread) itimervalOut(a mm.Addr, left, period int64) error {
	var b [32]byte
	putTimeval(b[:], period)
	putTimeval(b[16:], left)
	return t.copyOut(a, b[:])
}

// setitimer sets an interval timer (setitimer(2)).
func (t Thread) setitimer(which int32, value, old mm.Addr) error {
	if which < task.ItimerReal || which > task.ItimerProf {
		return unix.EINVAL
	}
	var period, left int64
	if value != 0 { // Linux takes a null pointer for zeroes
		var b [32]byte
		if err := t.copyIn(b[:], value); err != nil {
			return err
		}
		var err error
		if period, err = timeval(b[:]); err != nil {
			return err
		}
		if left, err = timeval(b[16:]); err != nil {
			return err
		}
	}
	wasLeft, wasPeriod := t.Process.SetItimer(int(which), left, period)
	if old == 0 {
		return nil
	}
	return t.itimervalOut(old, wasLeft, wasPeriod)
}

// Notifications of timer_create(2).
const (
	sigevSignal   = 0
	sigevNone     = 1
	sigevThread   = 2
	sigevThreadID = 4
)

// timer_create makes a POSIX timer (timer_create(2)).
func (t Thread) timer_create(clockid int32, sevp, id mm.Addr) error {
	s := task.TimerSpec{Clock: clockid, Signo: int(unix.SIGALRM), DefaultValue: true}
	if sevp != 0 {
		ev, err := t.sigeventIn(sevp)
		if err != nil {
			return err
		}
		s.DefaultValue, s.Value, s.Signo = false, ev.value, int(ev.signo)
		switch ev.notify {
		case sigevNone:
			s.Signo = 0
		case sigevSignal, sigevThread:
			if s.Signo < 1 {
				return unix.EINVAL
			}
		case sigevSignal | sigevThreadID:
			s.Thread = int(ev.thread)
			if s.Signo < 1 || s.Thread <= 0 {
				return unix.EINVAL
			}
		default:
			return unix.EINVAL
		}
	}
	if pid, thread, ok := cpuClockOf(clockid); ok {
		o := t.Thread
		if pid != 0 {
			o = task.FindThread(pid)
		}
		if o == nil || o.Process != t.Process || !thread && pid != 0 && pid != t.TGID() {
			return unix.EINVAL
		}
		s.Clock = unix.CLOCK_PROCESS_CPUTIME_ID
		if thread {
			s.Clock, s.CPUOf = unix.CLOCK_THREAD_CPUTIME_ID, o
		}
	}
	n, err := t.TimerCreate(s)
	if err != nil {
		return err
	}
	if err := t.store32(id, uint32(n)); err != nil {
		_ = t.TimerDelete(n)
		return err
	}
	return nil
}

// sigevent is struct sigevent.
type sigevent struct {
	value                 uint64
	signo, notify, thread int32
}

func (t Thread) sigeventIn(a mm.Addr) (ev sigevent, err error) {
	var b [64]byte
	err = t.copyIn(b[:], a)
	ev.value, ev.signo = le.Uint64(b[:]), int32(le.Uint32(b[8:]))
	ev.notify, ev.thread = int32(le.Uint32(b[12:])), int32(le.Uint32(b[16:]))
	return ev, err
}

func (t Thread) itimerspecOut(a mm.Addr, left, period int64) error {
	if err := t.timespecOut(a, period); err != nil {
		return err
	}
	return t.timespecOut(a+16, left)
}

// timer_settime arms a POSIX timer (timer_settime(2)).
func (t Thread) timer_settime(id, flags int32, value, old mm.Addr) error {
	if value == 0 {
		return unix.EINVAL
	}
	period, err := t.timespecIn(value)
	if err != nil {
		return err
	}
	first, err := t.timespecIn(value + 16)
	if err != nil {
		return err
	}
	left, was, err := t.TimerSettime(int(id), flags&unix.TIMER_ABSTIME != 0, clock.Nanoseconds(first), clock.Nanoseconds(period))
	if err != nil || old == 0 {
		return err
	}
	return t.itimerspecOut(old, left, was)
}

// timer_gettime returns a POSIX timer's setting (timer_gettime(2)).
func (t Thread) timer_gettime(id int32, value mm.Addr) error {
	left, period, err := t.TimerGettime(int(id))
	if err != nil {
		return err
	}
	return t.itimerspecOut(value, left, period)
}

func (t Thread) timer_getoverrun(id int32) (int, error) { return t.TimerGetoverrun(int(id)) }
func (t Thread) timer_delete(id int32) error            { return t.TimerDelete(int(id)) }
