package task

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
)

func (u *user3) action(sig unix.Signal, handler, flags uint64) {
	u.must(func(t *Thread) error {
		_, err := t.Action(int(sig), &SigAction{Handler: handler, Flags: flags | saRestorer, Restorer: restorerAddr})
		return err
	})
}

func (u *user3) kill(pid int, sig unix.Signal) error {
	return u.do(func(t *Thread) error { return t.Kill(pid, int(sig)) })
}

// until spins until f holds.
func (u *user3) until(f func() bool) {
	for !f() {
		u.must(func(t *Thread) error { t.Yield(); return nil })
	}
}

func TestOrphansAreReapedUnlessTheFirstProcessWantsThem(t *testing.T) {
	for _, subreaper := range []bool{false, true} {
		boot(t, func(u *user3) {
			u.must(func(t *Thread) error { t.Process.SetSubreaper(subreaper); return nil })
			var release atomic.Bool
			var grandchild atomic.Int64
			child := u.fork(func(u *user3) {
				grandchild.Store(int64(u.fork(func(u *user3) {
					u.until(release.Load)
					if ppid, _ := u.sys(func(t *Thread) (uintptr, error) { return uintptr(t.Process.PPID()), nil }); ppid != 1 {
						t.Errorf("orphan's parent is %d", ppid)
					}
					u.exit(5)
				})))
				u.exit(0)
			})
			if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: child}); err != nil || r.PID != child {
				t.Errorf("wait for child: %+v %v", r, err)
			}
			release.Store(true)
			r, err := u.wait(WaitFor{Type: unix.P_ALL})
			if subreaper && (err != nil || r.PID != int(grandchild.Load()) || r.Status != 5<<8) {
				t.Errorf("subreaper: %+v %v", r, err)
			}
			if !subreaper {
				if err != unix.ECHILD {
					t.Errorf("orphan is visible: %+v %v", r, err)
				}
				u.until(func() bool { return FindProcess(int(grandchild.Load())) == nil })
			}
		})
	}
}

func TestWaitSelectsChildren(t *testing.T) {
	boot(t, func(u *user3) {
		a := u.fork(func(u *user3) { u.exit(1) })
		b := u.fork(func(u *user3) {
			u.must(func(t *Thread) error { return t.Setpgid(0, 0) })
			u.exit(2)
		})
		c, err := u.clone(0, 0, func(u *user3) { u.exit(3) }) // no exit signal: a "clone child"
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			w    WaitFor
			pid  int
			want error
		}{
			{WaitFor{Type: unix.P_PID, ID: 999}, 0, unix.ECHILD},
			{WaitFor{Type: unix.P_PID, ID: b, Options: unix.WEXITED | unix.WNOWAIT}, b, nil},
			{WaitFor{Type: unix.P_PGID, ID: b}, b, nil},
			{WaitFor{Type: unix.P_PGID, ID: b}, 0, unix.ECHILD},
			{WaitFor{Type: unix.P_ALL}, a, nil},
			{WaitFor{Type: unix.P_ALL}, 0, unix.ECHILD},
			{WaitFor{Type: unix.P_ALL, Options: unix.WEXITED | wClone}, c, nil},
			{WaitFor{Type: unix.P_ALL, Options: unix.WEXITED | wAll}, 0, unix.ECHILD},
		} {
			if r, err := u.wait(test.w); r.PID != test.pid || err != test.want {
				t.Errorf("%+v: %+v %v, want %d %v", test.w, r, err, test.pid, test.want)
			}
		}
		var hold atomic.Bool
		d := u.fork(func(u *user3) { u.until(hold.Load) })
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: d, Options: unix.WEXITED | unix.WNOHANG}); r.PID != 0 || err != nil {
			t.Errorf("WNOHANG: %+v %v", r, err)
		}
		hold.Store(true)
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: d}); r.PID != d || err != nil {
			t.Errorf("after WNOHANG: %+v %v", r, err)
		}
	})
}

func TestIgnoredChildrenVanish(t *testing.T) {
	boot(t, func(u *user3) {
		u.action(unix.SIGCHLD, sigIgn, 0)
		pid := u.fork(func(u *user3) { u.exit(1) })
		if _, err := u.wait(WaitFor{Type: unix.P_ALL}); err != unix.ECHILD {
			t.Errorf("wait: %v", err)
		}
		u.until(func() bool { return FindProcess(pid) == nil })
	})
}

func TestStopAndContinueAreReported(t *testing.T) {
	boot(t, func(u *user3) {
		var turns atomic.Int64
		pid := u.fork(func(u *user3) {
			u.thread(func(u *user3) { u.until(func() bool { return false }) })
			u.until(func() bool { turns.Add(1); return false })
		})
		u.until(func() bool { return turns.Load() > 0 })
		_ = u.kill(pid, unix.SIGSTOP)
		r, err := u.wait(WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WSTOPPED})
		if err != nil || r.Code != CldStopped || r.Value != int(unix.SIGSTOP) || r.Status != int(unix.SIGSTOP)<<8|0x7f {
			t.Errorf("stop: %+v %v", r, err)
		}
		p := FindProcess(pid)
		for _, th := range p.Threads() {
			if s := th.State(); s != 'T' {
				t.Errorf("a thread of a stopped process is in state %c", s)
			}
		}
		_ = u.kill(pid, unix.SIGCONT)
		r, err = u.wait(WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WCONTINUED})
		if err != nil || r.Code != CldContinued || r.Status != 0xffff {
			t.Errorf("continue: %+v %v", r, err)
		}
		before := turns.Load()
		u.until(func() bool { return turns.Load() > before })
		_ = u.kill(pid, unix.SIGSTOP)
		if _, err = u.wait(WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WSTOPPED}); err != nil {
			t.Error(err)
		}
		_ = u.kill(pid, unix.SIGKILL) // wins over a stop
		if r, err = u.wait(WaitFor{Type: unix.P_PID, ID: pid}); err != nil || r.Status != int(unix.SIGKILL) {
			t.Errorf("kill: %+v %v", r, err)
		}
	})
}

func TestExitGroupEndsSleepersAndRunners(t *testing.T) {
	end := boot(t, func(u *user3) {
		u.thread(func(u *user3) { u.until(func() bool { return false }) })
		u.thread(func(u *user3) { _ = u.do(func(t *Thread) error { return t.Pause() }) })
		u.thread(func(u *user3) {
			_ = u.do(func(t *Thread) error { return t.FutexWait(u.m.mem, 0, 1, 1<<62, true) })
		})
		u.exit(9)
	})
	if end.Status != 9<<8 {
		t.Errorf("status %#x", end.Status)
	}
}

func TestLeaderMayEndFirst(t *testing.T) {
	end := boot(t, func(u *user3) {
		pid := u.fork(func(u *user3) {
			u.thread(func(u *user3) { u.exit(4) })
			u.calls <- func(t *Thread) (uintptr, error) { t.ExitThread(6); return 0, nil }
		})
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: pid}); err != nil || r.Status != 4<<8 {
			t.Errorf("%+v %v", r, err)
		}
		u.thread(func(u *user3) { u.until(func() bool { return testLeaderGone() }) })
		u.calls <- func(t *Thread) (uintptr, error) { t.ExitThread(7); return 0, nil }
	})
	if end.Status != 7<<8 {
		t.Errorf("status %#x: that of the leader is wanted", end.Status)
	}
}

func testLeaderGone() bool {
	p := InitProcess()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leader.gone
}

func TestVforkWaitsForTheChild(t *testing.T) {
	boot(t, func(u *user3) {
		var ended atomic.Bool
		pid, err := u.clone(unix.CLONE_VM|unix.CLONE_VFORK, int(unix.SIGCHLD), func(u *user3) {
			for range 100 {
				u.must(func(t *Thread) error { t.Yield(); return nil })
			}
			ended.Store(true)
			u.exit(0)
		})
		if err != nil || !ended.Load() {
			t.Errorf("vfork returned before its child ended: %v", err)
		}
		_, _ = u.wait(WaitFor{Type: unix.P_PID, ID: pid})
	})
}

func TestForkCopiesMemoryAndCloneSharesIt(t *testing.T) {
	boot(t, func(u *user3) {
		a := u.m.mem
		store := func(v uint32) func(u *user3) {
			return func(u *user3) {
				u.must(func(t *Thread) error { return t.mem.Store32(a, v) })
				u.exit(0)
			}
		}
		u.must(func(t *Thread) error { return t.mem.Store32(a, 1) })
		load := func() (v uint32) {
			u.must(func(t *Thread) (err error) { v, err = t.mem.Load32(a); return err })
			return v
		}
		u.fork(store(2))
		_, _ = u.wait(WaitFor{Type: unix.P_ALL})
		if v := load(); v != 1 {
			t.Errorf("after fork: %d", v)
		}
		if _, err := u.clone(unix.CLONE_VM, int(unix.SIGCHLD), store(3)); err != nil {
			t.Error(err)
		}
		_, _ = u.wait(WaitFor{Type: unix.P_ALL})
		if v := load(); v != 3 {
			t.Errorf("after CLONE_VM: %d", v)
		}
	})
}

func TestCloneFlagsThatDoNotFit(t *testing.T) {
	boot(t, func(u *user3) {
		for _, test := range []struct {
			flags uint64
			want  error
		}{
			{unix.CLONE_THREAD, unix.EINVAL},
			{unix.CLONE_SIGHAND, unix.EINVAL},
			{unix.CLONE_THREAD | unix.CLONE_SIGHAND, unix.EINVAL},
			{unix.CLONE_FS | unix.CLONE_NEWNS, unix.EINVAL},
			{unix.CLONE_NEWUSER, unix.EINVAL},
			{unix.CLONE_NEWPID, unix.EINVAL},
			{unix.CLONE_PIDFD | threadFlags, unix.EINVAL},
			{cloneClearSighand | unix.CLONE_SIGHAND | unix.CLONE_VM, unix.EINVAL},
		} {
			if _, err := u.clone(test.flags, int(unix.SIGCHLD), func(*user3) {}); err != test.want {
				t.Errorf("%#x: %v, want %v", test.flags, err, test.want)
			}
		}
		u.must(func(t *Thread) error {
			c := t.Cred().Clone()
			c.Effective = 0
			t.SetCred(c)
			return nil
		})
		if _, err := u.clone(unix.CLONE_NEWPID, 0, func(*user3) {}); err != unix.EPERM {
			t.Errorf("namespace without privilege: %v", err)
		}
	})
}

func TestTIDWords(t *testing.T) {
	boot(t, func(u *user3) {
		parent, child := u.m.mem, u.m.mem+4
		a := CloneArgs{
			Flags:     threadFlags | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID,
			ParentTID: parent, ChildTID: child, Stack: u.m.stackFor(func(*user3) {}),
		}
		tid, err := u.sys(func(t *Thread) (uintptr, error) { n, err := t.Clone(&a); return uintptr(n), err })
		if err != nil {
			t.Fatal(err)
		}
		u.must(func(th *Thread) error {
			if v, _ := th.mem.Load32(parent); uint64(v) != tid {
				t.Errorf("parent's word is %d, the thread %d", v, tid)
			}
			for { // what pthread_join does
				v, _ := th.mem.Load32(child)
				if v == 0 {
					return nil
				}
				if uint64(v) != tid {
					t.Errorf("child's word is %d", v)
				}
				if err := th.FutexWait(child, v, ^uint32(0), 1<<62, false); err != nil && err != unix.EAGAIN {
					return err
				}
			}
		})
	})
}

func TestProcessGroupsAndSessions(t *testing.T) {
	boot(t, func(u *user3) {
		id := func(u *user3) (pgid, sid int) {
			u.must(func(t *Thread) error { pgid, sid = t.Process.PGID(), t.Process.SID(); return nil })
			return pgid, sid
		}
		if g, s := id(u); g != 1 || s != 1 {
			t.Errorf("first process: group %d, session %d", g, s)
		}
		if err := u.do(func(t *Thread) error { _, err := t.Setsid(); return err }); err != unix.EPERM {
			t.Errorf("setsid of a leader: %v", err)
		}
		pid := u.fork(func(u *user3) {
			if g, _ := id(u); g != 1 {
				t.Errorf("child's group is %d", g)
			}
			u.must(func(t *Thread) error { _, err := t.Setsid(); return err })
			if g, s := id(u); g != s || g == 1 {
				t.Errorf("after setsid: group %d, session %d", g, s)
			}
			if err := u.do(func(t *Thread) error { return t.Setpgid(0, 1) }); err != unix.EPERM {
				t.Errorf("setpgid of a session leader: %v", err)
			}
			u.exit(0)
		})
		_, _ = u.wait(WaitFor{Type: unix.P_ALL})
		if lookupPID(pid) {
			t.Error("a number is in use after its process, group and session are gone")
		}
	})
}

func lookupPID(nr int) bool {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return tasks.pids[nr] != nil
}

func TestNothingStaysInThePidTable(t *testing.T) {
	boot(t, func(u *user3) {
		for range 50 {
			u.fork(func(u *user3) {
				u.thread(func(u *user3) {})
				u.thread(func(u *user3) { u.exit(0) })
				u.until(func() bool { return false })
			})
		}
		for {
			if _, err := u.wait(WaitFor{Type: unix.P_ALL}); err == unix.ECHILD {
				break
			}
		}
		u.until(func() bool {
			tasks.mu.RLock()
			defer tasks.mu.RUnlock()
			return len(tasks.pids) == 1 && tasks.threads == 1
		})
		if n := InitProcess().leader.user.processes.Load(); n != 1 {
			t.Errorf("the user has %d processes", n)
		}
	})
}

func TestNprocStopsAForkBomb(t *testing.T) {
	boot(t, func(u *user3) {
		u.must(func(t *Thread) error {
			c := t.Cred().Clone()
			c.UID, c.EUID, c.SUID, c.Effective, c.Permitted = 1000, 1000, 1000, 0, 0
			t.SetCred(c)
			_, err := t.SetRlimit(t.Process, RlimitNproc, &Rlimit{3, 3})
			return err
		})
		var hold atomic.Bool
		child := func(u *user3) { u.until(hold.Load) }
		u.fork(child)
		u.fork(child)
		if _, err := u.clone(0, int(unix.SIGCHLD), child); err != unix.EAGAIN {
			t.Errorf("fork over the limit: %v", err)
		}
		hold.Store(true)
	})
}

func TestDethreadMakesTheCallerTheLeader(t *testing.T) {
	boot(t, func(u *user3) {
		pid := u.fork(func(u *user3) {
			u.thread(func(u *user3) { u.until(func() bool { return false }) })
			u.thread(func(u *user3) {
				u.must(func(th *Thread) error {
					if err := th.dethread(); err != nil {
						return err
					}
					if th.TID != th.Process.tgid || th.Process.leader != th || len(th.Process.threads) != 1 || FindThread(th.TID) != th {
						t.Errorf("tid %d of process %d", th.TID, th.Process.tgid)
					}
					return nil
				})
				u.exit(8)
			})
			_ = u.do(func(t *Thread) error { return t.Pause() })
		})
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: pid}); err != nil || r.Status != 8<<8 {
			t.Errorf("%+v %v", r, err)
		}
	})
}

func TestParentDeathSignal(t *testing.T) {
	boot(t, func(u *user3) {
		u.must(func(t *Thread) error { t.Process.SetSubreaper(true); return nil })
		u.fork(func(u *user3) {
			var ready atomic.Bool
			u.fork(func(u *user3) {
				u.must(func(t *Thread) error { t.SetDeathSignal(int(unix.SIGTERM)); return nil })
				ready.Store(true)
				u.until(func() bool { return false })
			})
			u.until(ready.Load)
			u.exit(0)
		})
		for _, want := range []int{0, int(unix.SIGTERM)} {
			if r, err := u.wait(WaitFor{Type: unix.P_ALL}); err != nil || r.Status != want {
				t.Errorf("%+v %v, want status %#x", r, err, want)
			}
		}
	})
}

func TestPanicInAHandlerKillsTheProcessOnly(t *testing.T) {
	boot(t, func(u *user3) {
		reported := false
		PanicHook = func(*Thread, any, []byte) { reported = true }
		defer func() { PanicHook = func(*Thread, any, []byte) {} }()
		pid := u.fork(func(u *user3) {
			_ = u.do(func(*Thread) error { panic("oops") })
		})
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: pid}); err != nil || r.Status != int(unix.SIGKILL) {
			t.Errorf("%+v %v", r, err)
		}
		if !reported {
			t.Error("no report")
		}
	})
}

func TestPIDFD(t *testing.T) {
	boot(t, func(u *user3) {
		var hold atomic.Bool
		at := u.m.mem
		a := CloneArgs{Flags: unix.CLONE_PIDFD, ExitSignal: int(unix.SIGCHLD), PIDFD: at, Stack: u.m.stackFor(func(u *user3) { u.until(hold.Load) })}
		pid, err := u.sys(func(t *Thread) (uintptr, error) { n, err := t.Clone(&a); return uintptr(n), err })
		if err != nil {
			t.Fatal(err)
		}
		u.must(func(th *Thread) error {
			fd, _ := th.mem.Load32(at)
			f, err := th.Files().Get(int(fd))
			if err != nil {
				return err
			}
			defer f.Put()
			p, err := PIDFDProcess(f)
			if err != nil || p.tgid != int(pid) {
				t.Errorf("pidfd refers to %v (%v)", p, err)
			}
			if f.Ops.Poll(f) != 0 {
				t.Error("pidfd of a live process is ready")
			}
			return nil
		})
		hold.Store(true)
		r, err := u.wait(WaitFor{Type: unix.P_PIDFD, Process: FindProcess(int(pid))})
		if err != nil || r.PID != int(pid) {
			t.Errorf("%+v %v", r, err)
		}
	})
}

func TestRestartRules(t *testing.T) {
	const orig = 35
	for _, test := range []struct {
		err     unix.Errno
		handler bool
		flags   uint64
		rax     uint64 // wanted
		back    bool   // RIP goes back to the call
	}{
		{abi.ERESTARTSYS, false, 0, orig, true},
		{abi.ERESTARTSYS, true, 0, negated(unix.EINTR), false},
		{abi.ERESTARTSYS, true, saRestart, orig, true},
		{abi.ERESTARTNOINTR, false, 0, orig, true},
		{abi.ERESTARTNOINTR, true, 0, orig, true},
		{abi.ERESTARTNOHAND, false, 0, orig, true},
		{abi.ERESTARTNOHAND, true, saRestart, negated(unix.EINTR), false},
		{abi.ERESTART_RESTARTBLOCK, false, 0, unix.SYS_RESTART_SYSCALL, true},
		{abi.ERESTART_RESTARTBLOCK, true, saRestart, negated(unix.EINTR), false},
		{unix.EINTR, true, saRestart, negated(unix.EINTR), false},
		{unix.EINTR, false, 0, negated(unix.EINTR), false},
	} {
		th := new(Thread)
		th.RAX, th.OrigRAX, th.RIP = negated(test.err), orig, 0x1002
		if test.handler {
			th.restartForHandler(&SigAction{Handler: 2, Flags: test.flags})
		} else {
			th.restartWithoutHandler()
		}
		if th.RAX != test.rax || (th.RIP == 0x1000) != test.back {
			t.Errorf("%d, handler %v, flags %#x: rax %d, rip %#x", test.err, test.handler, test.flags, int64(th.RAX), th.RIP)
		}
	}
	// A program's own -512 after a fault is a value, not a request.
	th := new(Thread)
	th.RAX, th.OrigRAX, th.RIP = negated(abi.ERESTARTSYS), notSyscall, 0x1002
	th.restartWithoutHandler()
	if th.RIP != 0x1002 {
		t.Error("a restart without a call")
	}
}

func TestRobustListMarksDeadOwners(t *testing.T) {
	boot(t, func(u *user3) {
		head, lock := u.m.mem, u.m.mem+0x100
		node := lock + 8
		u.thread(func(u *user3) {
			u.must(func(t *Thread) error {
				m := t.mem
				_ = m.Store64(head, uint64(node))
				_ = m.Store64(node, uint64(head))
				_ = m.Store64(head+8, ^uint64(7)) // the word is 8 before the node
				_ = m.Store64(head+16, 0)
				_ = m.Store32(lock, uint32(t.TID)|futexWaiters)
				t.SetRobustList(head)
				return nil
			})
		})
		u.must(func(th *Thread) error {
			for {
				v, err := th.mem.Load32(lock)
				if err != nil {
					return err
				}
				if v == futexWaiters|futexOwnerDied {
					return nil
				}
				if err := th.FutexWait(lock, v, ^uint32(0), clock.Now()+1_000_000, true); err != nil && err != unix.EAGAIN && err != unix.ETIMEDOUT {
					return err
				}
			}
		})
	})
}

func TestStoppedOrphanedGroupsAreHungUp(t *testing.T) {
	boot(t, func(u *user3) {
		var stopped atomic.Int64
		// The middle process links its child's group to the session.
		middle := u.fork(func(u *user3) {
			pid := u.fork(func(u *user3) {
				u.must(func(t *Thread) error { return t.Setpgid(0, 0) })
				_ = u.do(func(t *Thread) error { return t.Kill(t.Process.tgid, int(unix.SIGSTOP)) })
				u.until(func() bool { return false })
			})
			_, _ = u.wait(WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WSTOPPED})
			stopped.Store(int64(pid))
			u.exit(0)
		})
		if _, err := u.wait(WaitFor{Type: unix.P_PID, ID: middle}); err != nil {
			t.Error(err)
		}
		u.until(func() bool { return FindProcess(int(stopped.Load())) == nil }) // hung up, and reaped
		// The end of a stopped member of our own group hangs up nobody.
		pid := u.fork(func(u *user3) {
			_ = u.do(func(t *Thread) error { return t.Kill(t.Process.tgid, int(unix.SIGSTOP)) })
			u.until(func() bool { return false })
		})
		other := u.fork(func(u *user3) { u.exit(0) })
		_, _ = u.wait(WaitFor{Type: unix.P_PID, ID: pid, Options: unix.WSTOPPED})
		_, _ = u.wait(WaitFor{Type: unix.P_PID, ID: other})
		_ = u.kill(pid, unix.SIGKILL)
		if r, err := u.wait(WaitFor{Type: unix.P_PID, ID: pid}); err != nil || r.Status != int(unix.SIGKILL) {
			t.Errorf("%+v %v", r, err)
		}
	})
}
