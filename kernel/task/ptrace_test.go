package task

import (
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/seccomp"
)

// spin is a program that goes on until it is killed.
func spin(u *user3) { u.until(func() bool { return false }) }

// tracee makes a request about a thread that has stopped.
func (u *user3) tracee(tid int, f func(c Tracee)) error {
	return u.do(func(t *Thread) error {
		c, err := t.Tracee(tid)
		if err == nil {
			f(c)
		}
		return err
	})
}

func (u *user3) resume(tid, sig int) error { return u.tracee(tid, func(c Tracee) { c.Resume(0, sig) }) }

func TestTracerSeesSignalsFirst(t *testing.T) {
	boot(t, func(u *user3) {
		child := u.fork(func(u *user3) {
			u.must((*Thread).TraceMe)
			if err := u.do((*Thread).TraceMe); err != unix.EPERM {
				t.Errorf("traced twice: %v", err)
			}
			_ = u.kill(FindProcessOf(u), unix.SIGUSR1)
			u.exit(3)
		})
		stop := func(sig unix.Signal) {
			r, err := u.wait(WaitFor{Type: unix.P_PID, ID: child})
			if err != nil || r.Code != CldTrapped || r.Value != int(sig) {
				t.Errorf("%+v %v, want a stop by %d", r, err, sig)
			}
		}
		stop(unix.SIGUSR1)
		if s := FindThread(child).State(); s != 't' {
			t.Errorf("state %c", s)
		}
		if err := u.tracee(child, func(c Tracee) {
			if si, ok := c.Info(); !ok || si.Signo != int32(unix.SIGUSR1) {
				t.Errorf("%+v %v", si, ok)
			}
			if c.Thread.Tracer() != 1 {
				t.Errorf("tracer %d", c.Thread.Tracer())
			}
			c.Thaw()
		}); err != nil {
			t.Error(err)
		}
		if err := u.resume(child, 0); err != nil {
			t.Error(err)
		}
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: child}); err != nil || r.Status != 3<<8 {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// FindProcessOf is the number of the process that u runs in.
func FindProcessOf(u *user3) int {
	n, _ := u.sys(func(t *Thread) (uintptr, error) { return uintptr(t.TGID()), nil })
	return int(n)
}

func TestTracerMayBeKilledByItsTracees(t *testing.T) {
	boot(t, func(u *user3) {
		for range 30 {
			victim := u.fork(spin)
			tracer := u.fork(func(u *user3) {
				u.must(func(th *Thread) error { return th.Attach(FindThread(victim), true, TraceExitKill) })
				u.must(func(th *Thread) error { return th.Interrupt(victim) })
				spin(u)
			})
			u.until(func() bool { return FindThread(victim).State() == 't' })
			_ = u.kill(tracer, unix.SIGKILL)
			for _, pid := range []int{tracer, victim} {
				if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: pid}); err != nil || r.Code != CldKilled {
					t.Errorf("%+v %v", r, err)
				}
			}
		}
	})
}

// TestTracingSurvivesKills has threads killed while their tracer looks at them.
func TestTracingSurvivesKills(t *testing.T) {
	boot(t, func(u *user3) {
		for i := range 60 {
			victim := u.fork(func(u *user3) {
				u.thread(spin)
				spin(u)
			})
			options := uint32(0)
			if i%2 == 0 {
				options = 1 << eventExit
			}
			if err := u.do(func(th *Thread) error { return th.Attach(FindThread(victim), true, options) }); err != nil {
				t.Fatal(err)
			}
			u.must(func(th *Thread) error { return th.Interrupt(victim) })
			if _, err := u.wait(WaitFor{Type: unix.P_PID, ID: victim}); err != nil {
				t.Error(err)
			}
			u.fork(func(u *user3) {
				_ = u.kill(victim, unix.SIGKILL)
				u.exit(0)
			})
			for range 5 {
				_ = u.tracee(victim, func(c Tracee) { c.SetFlags(c.Flags()); c.Thaw() })
				_ = u.resume(victim, 0)
				_ = u.do(func(th *Thread) error { return th.Interrupt(victim) })
			}
			for done := 0; done < 2; {
				r, err := u.wait(WaitFor{Type: unix.P_ALL})
				switch {
				case err != nil:
					t.Fatal(err)
				case r.Code == CldTrapped:
					_ = u.resume(r.PID, 0)
				default:
					done++
				}
			}
		}
		if p := InitProcess(); p.tracing != 0 || len(p.leader.tracees) != 0 {
			t.Errorf("%d are still traced", p.tracing)
		}
	})
}

func TestFiltersReachEveryThread(t *testing.T) {
	boot(t, func(u *user3) {
		allow := []byte{unix.BPF_RET | unix.BPF_K, 0, 0, 0, 0, 0, 0xff, 0x7f}
		f, err := seccomp.New(allow, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			u.thread(spin)
		}
		u.must(func(th *Thread) error { th.SetFilter(f, true); return nil })
		u.thread(spin)
		for _, th := range InitProcess().Threads() {
			if mode, n := th.SeccompMode(); mode != unix.SECCOMP_MODE_FILTER || n != 1 {
				t.Errorf("thread %d has mode %d with %d filters", th.TID, mode, n)
			}
		}
		child := u.fork(func(u *user3) {
			g, _ := seccomp.New(allow, nil)
			u.thread(func(u *user3) {
				u.must(func(th *Thread) error { th.SetFilter(g, false); return nil })
				spin(u)
			})
			u.until(func() bool {
				conflict := 0
				u.must(func(th *Thread) error { conflict = th.SetFilter(f, true); return nil })
				return conflict != 0
			})
			u.exit(0)
		})
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: child}); err != nil || r.Status != 0 {
			t.Errorf("%+v %v", r, err)
		}
		u.exit(0)
	})
}
