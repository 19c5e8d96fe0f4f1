package task

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
)

// record makes the machine's handler append the signals that it sees.
func (u *user3) record() func() []SigInfo {
	var mu sync.Mutex
	var got []SigInfo
	u.m.handler = func(_ *user3, _ int, info *SigInfo) {
		mu.Lock()
		got = append(got, *info)
		mu.Unlock()
	}
	return func() []SigInfo {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

func (u *user3) mask(m SigSet) { u.must(func(t *Thread) error { t.SetMask(m); return nil }) }

func (u *user3) queue(sig int, value uint64) error {
	return u.do(func(t *Thread) error {
		si := &SigInfo{Signo: int32(sig), Code: siQueue}
		si.setSender(t.Process.tgid, 0)
		si.Fields[1] = value
		return t.KillProcess(t.Process, si)
	})
}

func TestRealtimeSignalsQueueAndStandardOnesMerge(t *testing.T) {
	boot(t, func(u *user3) {
		got := u.record()
		for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGTERM, 34, 40} {
			u.action(sig, handlerAddr, saSigInfo)
		}
		u.mask(^SigSet(0))
		for i := uint64(0); i < 3; i++ {
			_ = u.queue(40, 100+i)
			_ = u.queue(34, i)
			_ = u.kill(1, unix.SIGUSR1)
			_ = u.kill(1, unix.SIGTERM)
		}
		u.must(func(th *Thread) error {
			if p := th.Pending(); p != sigSetOf(unix.SIGUSR1, unix.SIGTERM, 34, 40) {
				t.Errorf("pending %#x", p)
			}
			return nil
		})
		u.mask(0)
		var order []int
		for _, si := range got() {
			order = append(order, int(si.Signo))
			if si.Signo >= sigRTMin {
				order = append(order, int(si.Fields[1]))
			}
		}
		// The lowest number is delivered first and the next nests on it, so
		// the handlers run from the highest down; one that runs blocks its
		// own signal, so realtime signals come in the order of queueing.
		want := []int{40, 100, 40, 101, 40, 102, 34, 0, 34, 1, 34, 2, int(unix.SIGTERM), int(unix.SIGUSR1)}
		if !slices.Equal(order, want) {
			t.Errorf("handlers saw %v, want %v", order, want)
		}
	})
}

func TestSigpendingLimitsTheQueue(t *testing.T) {
	boot(t, func(u *user3) {
		u.mask(^SigSet(0))
		u.must(func(t *Thread) error {
			_, err := t.SetRlimit(t.Process, RlimitSigpending, &Rlimit{2, 2})
			return err
		})
		for i, want := range []error{nil, nil, unix.EAGAIN} {
			if err := u.queue(35, 0); err != want {
				t.Errorf("signal %d: %v, want %v", i, err, want)
			}
		}
		if err := u.kill(1, unix.SIGUSR1); err != nil { // never fails for want of room
			t.Error(err)
		}
		u.must(func(th *Thread) error {
			si, err := th.Sigtimedwait(sigSetOf(unix.SIGUSR1), 0)
			if err != nil || si.Signo != int32(unix.SIGUSR1) {
				t.Errorf("%+v %v", si, err)
			}
			return nil
		})
	})
}

func TestSleepIsInterruptedAndRestarted(t *testing.T) {
	boot(t, func(u *user3) {
		got := u.record()
		u.action(unix.SIGUSR1, handlerAddr, saRestart)
		u.action(unix.SIGUSR2, handlerAddr, 0)
		main := func() *Thread { return InitProcess().leader }
		asleep := func() bool { return main().sleep.word.Load()&parked != 0 }
		var calls atomic.Int64
		sleepy := func(err error) func(*Thread) error {
			return func(th *Thread) error {
				if calls.Add(1) > 1 {
					return nil
				}
				for th.Sleep(clock.Never) == nil {
				}
				return err
			}
		}
		for _, test := range []struct {
			sig   unix.Signal
			err   error
			want  error
			calls int64
		}{
			{unix.SIGUSR1, abi.ErrRestartSys, nil, 2},
			{unix.SIGUSR2, abi.ErrRestartSys, unix.EINTR, 1},
			{unix.SIGUSR1, abi.ErrRestartNoHnd, unix.EINTR, 1},
			{unix.SIGUSR2, abi.ErrRestartNoInt, nil, 2},
		} {
			calls.Store(0)
			u.thread(func(u *user3) {
				u.until(asleep)
				_ = u.do(func(t *Thread) error { return t.Tgkill(1, 1, int(test.sig)) })
			})
			if err := u.do(sleepy(test.err)); err != test.want || calls.Load() != test.calls {
				t.Errorf("%v during %v: %v after %d calls", test.sig, test.err, err, calls.Load())
			}
		}
		if n := len(got()); n != 4 {
			t.Errorf("%d handlers ran", n)
		}
		// A signal without handler: restart_syscall continues.
		calls.Store(0)
		u.thread(func(u *user3) {
			u.until(asleep)
			_ = u.do(func(t *Thread) error { return t.Tgkill(1, 1, int(unix.SIGSTOP)) })
		})
		pid := u.fork(func(u *user3) {
			u.until(func() bool { return main().State() == 'T' })
			_ = u.kill(1, unix.SIGCONT)
		})
		err := u.do(func(th *Thread) error {
			for th.Sleep(clock.Never) == nil {
			}
			return th.SetRestart(func(*Thread) (uintptr, error) { calls.Add(1); return 0, nil })
		})
		if err != nil || calls.Load() != 1 {
			t.Errorf("restart block: %v after %d calls", err, calls.Load())
		}
		_, _ = u.wait(WaitFor{Type: unix.P_PID, ID: pid})
	})
}

func TestSigsuspendRestoresTheMaskAfterTheHandler(t *testing.T) {
	boot(t, func(u *user3) {
		var during SigSet
		u.m.handler = func(*user3, int, *SigInfo) { during = InitProcess().leader.blocked }
		u.action(unix.SIGUSR1, handlerAddr, 0)
		u.mask(sigSetOf(unix.SIGUSR1, unix.SIGHUP))
		_ = u.kill(1, unix.SIGUSR1)
		if err := u.do(func(t *Thread) error { return t.Sigsuspend(sigSetOf(unix.SIGTERM)) }); err != unix.EINTR {
			t.Errorf("sigsuspend: %v", err)
		}
		if want := sigSetOf(unix.SIGTERM, unix.SIGUSR1); during != want {
			t.Errorf("mask in the handler %#x, want %#x", during, want)
		}
		u.must(func(th *Thread) error {
			if want := sigSetOf(unix.SIGUSR1, unix.SIGHUP); th.blocked != want {
				t.Errorf("mask afterwards %#x, want %#x", th.blocked, want)
			}
			return nil
		})
	})
}

func TestSigtimedwait(t *testing.T) {
	boot(t, func(u *user3) {
		u.mask(sigSetOf(unix.SIGUSR1))
		if err := u.do(func(t *Thread) error {
			_, err := t.Sigtimedwait(sigSetOf(unix.SIGUSR1), clock.Now()+100_000)
			return err
		}); err != unix.EAGAIN {
			t.Errorf("timeout: %v", err)
		}
		u.thread(func(u *user3) {
			u.until(func() bool { return InitProcess().leader.sleep.word.Load()&parked != 0 })
			_ = u.kill(1, unix.SIGUSR1)
		})
		u.must(func(th *Thread) error {
			si, err := th.Sigtimedwait(sigSetOf(unix.SIGUSR1), clock.Never)
			if si.Signo != int32(unix.SIGUSR1) || th.blocked != sigSetOf(unix.SIGUSR1) {
				t.Errorf("%+v, mask %#x", si, th.blocked)
			}
			return err
		})
	})
}

func TestProcessSignalsGoToAThreadThatTakesThem(t *testing.T) {
	boot(t, func(u *user3) {
		got := make(chan int, 1)
		u.m.handler = func(v *user3, _ int, _ *SigInfo) {
			if v == u {
				t.Error("the leader, which blocks the signal, took it")
			}
			got <- 1
		}
		u.action(unix.SIGUSR1, handlerAddr, 0)
		var done atomic.Bool
		u.thread(func(u *user3) { u.until(done.Load) })
		u.mask(sigSetOf(unix.SIGUSR1))
		_ = u.kill(1, unix.SIGUSR1)
		<-got
		done.Store(true)
	})
}

func TestUnblockingThreadLeavesSignalsToOthers(t *testing.T) {
	boot(t, func(u *user3) {
		got := make(chan int, 1)
		u.m.handler = func(*user3, int, *SigInfo) { got <- 1 }
		u.action(unix.SIGUSR1, handlerAddr, 0)
		var blocked, done atomic.Bool
		u.thread(func(u *user3) {
			u.mask(sigSetOf(unix.SIGUSR1))
			blocked.Store(true)
			u.until(done.Load)
		})
		u.mask(sigSetOf(unix.SIGUSR1))
		u.until(blocked.Load)
		_ = u.kill(1, unix.SIGUSR1) // nobody takes it
		u.mask(0)
		<-got
		done.Store(true)
	})
}

func TestForcedSignalKillsWhoBlocksOrIgnoresIt(t *testing.T) {
	for _, how := range []string{"blocked", "ignored", "default"} {
		e := boot(t, func(u *user3) {
			switch how {
			case "blocked":
				u.action(unix.SIGSEGV, handlerAddr, 0)
				u.mask(sigSetOf(unix.SIGSEGV))
			case "ignored":
				u.action(unix.SIGSEGV, sigIgn, 0)
			}
			_ = u.do(func(t *Thread) error {
				t.force(&SigInfo{Signo: int32(unix.SIGSEGV), Code: segvMapErr})
				return nil
			})
		})
		if e.Status != int(unix.SIGSEGV) || e.Crash == nil || e.Crash.Code != segvMapErr {
			t.Errorf("%s: %+v", how, e)
		}
	}
}

func TestAltstack(t *testing.T) {
	boot(t, func(u *user3) {
		stack := AltStack{SP: uint64(u.m.mem), Size: 0x4000}
		var sp uint64
		var flags uint32
		u.m.handler = func(v *user3, _ int, _ *SigInfo) {
			th := InitProcess().leader
			sp, flags = th.RSP, th.altstack.status(th.RSP)
		}
		u.action(unix.SIGUSR1, handlerAddr, saOnStack)
		for _, auto := range []uint32{0, ssAutodisarm} {
			stack.Flags = auto
			u.must(func(t *Thread) error { _, err := t.Sigaltstack(&stack); return err })
			_ = u.kill(1, unix.SIGUSR1)
			if sp < stack.SP || sp >= stack.SP+stack.Size {
				t.Errorf("handler ran at %#x", sp)
			}
			if want := map[uint32]uint32{0: ssOnStack, ssAutodisarm: ssDisable}[auto]; flags != want {
				t.Errorf("flags in the handler %#x, want %#x", flags, want)
			}
			u.must(func(th *Thread) error {
				if th.altstack != stack {
					t.Errorf("stack afterwards %+v, want %+v", th.altstack, stack)
				}
				return nil
			})
		}
		small := AltStack{SP: 1, Size: minSigStackSize - 1}
		if err := u.do(func(t *Thread) error { _, err := t.Sigaltstack(&small); return err }); err != unix.ENOMEM {
			t.Errorf("small stack: %v", err)
		}
	})
}

func TestHandlerFlags(t *testing.T) {
	boot(t, func(u *user3) {
		var masks []SigSet
		u.m.handler = func(*user3, int, *SigInfo) { masks = append(masks, InitProcess().leader.blocked) }
		u.action(unix.SIGUSR1, handlerAddr, saNoDefer|saResetHand)
		_ = u.kill(1, unix.SIGUSR1)
		u.must(func(th *Thread) error {
			if a := th.Process.handlers.get(int(unix.SIGUSR1)); a.Handler != sigDfl {
				t.Error("SA_RESETHAND did not reset")
			}
			return nil
		})
		u.action(unix.SIGUSR1, handlerAddr, 0)
		_ = u.kill(1, unix.SIGUSR1)
		if want := []SigSet{0, sigSetOf(unix.SIGUSR1)}; !slices.Equal(masks, want) {
			t.Errorf("masks %#x, want %#x", masks, want)
		}
	})
}

func TestKillPermission(t *testing.T) {
	boot(t, func(u *user3) {
		var ready, hold atomic.Bool
		other := u.fork(func(u *user3) {
			ready.Store(true)
			u.until(hold.Load)
		})
		u.until(ready.Load)
		u.must(func(t *Thread) error {
			c := t.Cred().Clone()
			c.UID, c.EUID, c.SUID, c.Effective = 1000, 1000, 1000, 0
			t.SetCred(c)
			return nil
		})
		for _, test := range []struct {
			sig  unix.Signal
			want error
		}{{unix.SIGTERM, unix.EPERM}, {0, unix.EPERM}, {unix.SIGCONT, nil}, {65, unix.EINVAL}, {-1, unix.EINVAL}} {
			if err := u.kill(other, test.sig); err != test.want {
				t.Errorf("signal %d: %v, want %v", test.sig, err, test.want)
			}
		}
		if err := u.kill(4711, 0); err != unix.ESRCH {
			t.Errorf("no such process: %v", err)
		}
		hold.Store(true)
	})
}

func TestItimersAndPosixTimers(t *testing.T) {
	boot(t, func(u *user3) {
		got := u.record()
		u.action(unix.SIGALRM, handlerAddr, 0)
		u.action(40, handlerAddr, saSigInfo)
		u.must(func(t *Thread) error {
			t.Process.SetItimer(ItimerReal, 1_000_000, 0)
			if left, _ := t.Process.Itimer(ItimerReal); left <= 0 || left > 1_000_000 {
				u.m.t.Errorf("%d ns left", left)
			}
			return nil
		})
		u.until(func() bool { return len(got()) == 1 })
		u.must(func(th *Thread) error {
			id, err := th.TimerCreate(TimerSpec{Clock: unix.CLOCK_MONOTONIC, Signo: 40, Value: 77})
			if err != nil {
				return err
			}
			th.SetMask(sigSetOf(40))
			if _, _, err = th.TimerSettime(id, false, 100_000, 100_000); err != nil {
				return err
			}
			for range 2 {
				si, err := th.Sigtimedwait(sigSetOf(40), clock.Never)
				if err != nil || si.Code != siTimer || si.Fields[1] != 77 || uint32(si.Fields[0]) != uint32(id) {
					t.Errorf("%+v %v", si, err)
				}
			}
			// Leave it pending for a while: overruns are counted.
			for missed := uint64(0); missed < 5; {
				th.Yield()
				th.Process.mu.Lock()
				missed = th.Process.posix.timers[id].missed
				th.Process.mu.Unlock()
			}
			si, _ := th.Sigtimedwait(sigSetOf(40), clock.Never)
			if n, err := th.TimerGetoverrun(id); n < 5 || err != nil || uint64(n) != si.Fields[0]>>32 {
				t.Errorf("overrun %d (%v), siginfo %d", n, err, si.Fields[0]>>32)
			}
			if err := th.TimerDelete(id); err != nil {
				return err
			}
			if _, _, err := th.TimerGettime(id); err != unix.EINVAL {
				t.Errorf("deleted timer: %v", err)
			}
			return nil
		})
	})
}

func TestSignalfdHooks(t *testing.T) {
	boot(t, func(u *user3) {
		u.mask(sigSetOf(unix.SIGUSR1))
		_ = u.kill(1, unix.SIGUSR1)
		u.must(func(th *Thread) error {
			if th.PendingSignals() != uint64(sigSetOf(unix.SIGUSR1)) {
				t.Errorf("pending %#x", th.PendingSignals())
			}
			info, ok := th.TakeSignal(uint64(sigSetOf(unix.SIGUSR1)))
			if !ok || info.Signo != int32(unix.SIGUSR1) || info.PID != 1 {
				t.Errorf("%+v %v", info, ok)
			}
			if _, ok := th.TakeSignal(^uint64(0)); ok {
				t.Error("a signal was taken twice")
			}
			return nil
		})
	})
}

func TestTemporaryMaskCountsOnlyForInterruptedCalls(t *testing.T) {
	boot(t, func(u *user3) {
		got := u.record()
		u.action(unix.SIGUSR1, handlerAddr, 0)
		u.mask(sigSetOf(unix.SIGUSR1))
		_ = u.kill(1, unix.SIGUSR1)
		// ppoll with a ready descriptor, and then without.
		if n, err := u.sys(func(th *Thread) (uintptr, error) { th.SwapMask(0); return 1, nil }); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n := len(got()); n != 0 {
			t.Errorf("%d handlers ran after a call that had a result", n)
		}
		if err := u.do(func(th *Thread) error { th.SwapMask(0); return th.Pause() }); err != unix.EINTR {
			t.Error(err)
		}
		if n := len(got()); n != 1 {
			t.Errorf("%d handlers ran after an interrupted call", n)
		}
		u.must(func(th *Thread) error {
			if th.blocked != sigSetOf(unix.SIGUSR1) {
				t.Errorf("mask %#x", th.blocked)
			}
			return nil
		})
	})
}
