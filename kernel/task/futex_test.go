package task

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
)

const anyBits = ^uint32(0)

// lockFutex and unlockFutex are the mutex of "Futexes Are Tricky", with 0
// free, 1 locked, 2 locked with waiters.
func lockFutex(t *Thread, a mm.Addr) error {
	c, ok, err := t.mem.CompareAndSwap32(a, 0, 1)
	for !ok && err == nil {
		if c == 1 {
			c, _, err = t.mem.CompareAndSwap32(a, 1, 2)
			if err != nil {
				return err
			}
		}
		if c != 0 {
			if err := t.FutexWait(a, 2, anyBits, clock.Never, true); err != nil && err != unix.EAGAIN {
				return err
			}
		}
		c, ok, err = t.mem.CompareAndSwap32(a, 0, 2)
	}
	return err
}

func unlockFutex(t *Thread, a mm.Addr) error {
	for {
		v, err := t.mem.Load32(a)
		if err != nil {
			return err
		}
		if _, ok, err := t.mem.CompareAndSwap32(a, v, 0); err != nil {
			return err
		} else if ok {
			if v == 2 {
				_, err = t.FutexWake(a, 1, anyBits, true)
			}
			return err
		}
	}
}

// contend lets several threads add to a counter under a lock.
func contend(t *testing.T, lock, unlock func(*Thread, mm.Addr) error) {
	const threads, rounds = 4, 200
	boot(t, func(u *user3) {
		word := u.m.mem
		counter := 0 // guarded by the lock under test; the race detector watches
		var done atomic.Int32
		for range threads {
			u.thread(func(u *user3) {
				for range rounds {
					u.must(func(th *Thread) error {
						if err := lock(th, word); err != nil {
							return err
						}
						counter++
						return unlock(th, word)
					})
				}
				done.Add(1)
			})
		}
		u.until(func() bool { return done.Load() == threads })
		if counter != threads*rounds {
			t.Errorf("counter is %d", counter)
		}
		u.must(func(th *Thread) error {
			if v, _ := th.mem.Load32(word); v != 0 {
				t.Errorf("the free lock holds %#x", v)
			}
			return nil
		})
	})
}

func TestMutexOfWaitAndWake(t *testing.T) { contend(t, lockFutex, unlockFutex) }

func TestMutexOfPIOperations(t *testing.T) {
	contend(t, func(t *Thread, a mm.Addr) error {
		if _, ok, _ := t.mem.CompareAndSwap32(a, 0, uint32(t.TID)); ok {
			return nil
		}
		return t.FutexLockPI(a, clock.Never, false, true)
	}, func(t *Thread, a mm.Addr) error {
		if _, ok, _ := t.mem.CompareAndSwap32(a, uint32(t.TID), 0); ok {
			return nil
		}
		return t.FutexUnlockPI(a, true)
	})
}

func TestFutexErrors(t *testing.T) {
	boot(t, func(u *user3) {
		a := u.m.mem
		for _, test := range []struct {
			name string
			f    func(*Thread) error
			want error
		}{
			{"value differs", func(t *Thread) error { return t.FutexWait(a, 1, anyBits, clock.Never, true) }, unix.EAGAIN},
			{"no bits", func(t *Thread) error { return t.FutexWait(a, 0, 0, clock.Never, true) }, unix.EINVAL},
			{"misaligned", func(t *Thread) error { return t.FutexWait(a+1, 0, anyBits, clock.Never, true) }, unix.EINVAL},
			{"bad address", func(t *Thread) error { return t.FutexWait(4096, 0, anyBits, clock.Never, true) }, unix.EFAULT},
			{"bad shared address", func(t *Thread) error { return t.FutexWait(4096, 0, anyBits, clock.Never, false) }, unix.EFAULT},
			{"timeout", func(t *Thread) error { return t.FutexWait(a, 0, anyBits, clock.Now()+1000, true) }, unix.ETIMEDOUT},
			{"unlock of another's", func(t *Thread) error { return t.FutexUnlockPI(a, true) }, unix.EPERM},
			{"requeue changed", func(t *Thread) error { v := uint32(5); _, err := t.FutexRequeue(a, a+4, 1, 1, &v, true); return err }, unix.EAGAIN},
			{"requeue negative", func(t *Thread) error { _, err := t.FutexRequeue(a, a+4, -1, 1, nil, true); return err }, unix.EINVAL},
			{"requeue PI of two", func(t *Thread) error { _, err := t.FutexCmpRequeuePI(a, a+4, 2, 1, 0, true); return err }, unix.EINVAL},
			{"owner unknown", func(t *Thread) error {
				_ = t.mem.Store32(a+8, 12345)
				return t.FutexLockPI(a+8, clock.Never, false, true)
			}, unix.ESRCH},
			{"own lock again", func(t *Thread) error {
				_ = t.mem.Store32(a+8, uint32(t.TID))
				return t.FutexLockPI(a+8, clock.Never, false, true)
			}, unix.EDEADLK},
			{"trylock", func(t *Thread) error {
				_ = t.mem.Store32(a+8, 12345)
				return t.FutexLockPI(a+8, clock.Never, true, true)
			}, unix.EAGAIN},
		} {
			if err := u.do(test.f); err != test.want {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		}
	})
}

// sleepers starts n threads that wait at a with a bit each, and returns the
// count of those that have been woken.
func sleepers(u *user3, a mm.Addr, n int) *atomic.Int32 {
	woken := new(atomic.Int32)
	for i := range n {
		u.thread(func(u *user3) {
			u.must(func(t *Thread) error { return t.FutexWait(a, 0, 1<<i, clock.Never, true) })
			woken.Add(1)
		})
	}
	u.until(func() bool { return waitersAt(a) == n })
	return woken
}

// waitersAt counts the waiters of a private futex of the first process.
func waitersAt(a mm.Addr) int {
	k, _ := InitProcess().leader.mem.FutexKey(a, true)
	b := bucketOf(k)
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for w := b.head; w != nil; w = w.next {
		if w.key == k {
			n++
		}
	}
	return n
}

func TestBitsetRequeueAndWakeOp(t *testing.T) {
	boot(t, func(u *user3) {
		a, b := u.m.mem, u.m.mem+4
		woken := sleepers(u, a, 4)
		expect := func(what string, f func(*Thread) (int, error), n int, total int32) {
			u.must(func(th *Thread) error {
				got, err := f(th)
				if got != n {
					t.Errorf("%s returns %d, want %d", what, got, n)
				}
				return err
			})
			u.until(func() bool { return woken.Load() >= total })
			if woken.Load() != total {
				t.Errorf("%s: %d woken, want %d", what, woken.Load(), total)
			}
		}
		expect("wake of no bit", func(t *Thread) (int, error) { return t.FutexWake(a, 9, 1<<9, true) }, 0, 0)
		expect("wake of a bit", func(t *Thread) (int, error) { return t.FutexWake(a, 9, 1<<2, true) }, 1, 1)
		zero := uint32(0)
		expect("requeue", func(t *Thread) (int, error) { return t.FutexRequeue(a, b, 1, 1, &zero, true) }, 2, 2)
		if waitersAt(a) != 1 || waitersAt(b) != 1 {
			t.Errorf("%d and %d waiters", waitersAt(a), waitersAt(b))
		}
		// FUTEX_OP_SET 7, FUTEX_OP_CMP_EQ 0: *b = 7, and wake there too if it was 0.
		op := uint32(7 << 12)
		expect("wake op", func(t *Thread) (int, error) { return t.FutexWakeOp(a, b, 1, 1, op, true) }, 2, 4)
		u.must(func(th *Thread) error {
			if v, _ := th.mem.Load32(b); v != 7 {
				t.Errorf("the word is %d", v)
			}
			return nil
		})
	})
}

func TestFutexOpArithmetic(t *testing.T) {
	boot(t, func(u *user3) {
		a := u.m.mem
		for _, test := range []struct {
			op, arg, cmp, cmparg uint32
			before, after        uint32
			holds                bool
		}{
			{0, 5, 0, 9, 9, 5, true},
			{1, 3, 1, 9, 9, 12, false},
			{2, 6, 2, 2, 1, 7, true},
			{3, 4, 3, 7, 7, 3, true},
			{4, 7, 4, 3, 2, 5, false},
			{1, 0xfff, 5, 2, 2, 1, true},
			{8, 4, 0, 0, 0, 16, true},
			{9, 33, 0, 1, 1, 3, true},
		} {
			op := test.op<<28 | test.cmp<<24 | test.arg<<12 | test.cmparg
			u.must(func(th *Thread) error {
				_ = th.mem.Store32(a, test.before)
				holds, err := th.futexOp(a, op)
				if v, _ := th.mem.Load32(a); v != test.after || holds != test.holds {
					t.Errorf("%+v: %d, %v", test, v, holds)
				}
				return err
			})
		}
	})
}

func TestWaitV(t *testing.T) {
	boot(t, func(u *user3) {
		v := []FutexV{{Addr: u.m.mem, Private: true}, {Addr: u.m.mem + 4, Private: true}, {Addr: u.m.mem + 8}}
		u.thread(func(u *user3) {
			u.until(func() bool { return waitersAt(v[1].Addr) == 1 })
			u.must(func(t *Thread) error { _, err := t.FutexWake(v[1].Addr, 1, anyBits, true); return err })
		})
		if n, err := u.sys(func(t *Thread) (uintptr, error) { n, err := t.FutexWaitV(v, clock.Never); return uintptr(n), err }); n != 1 || err != nil {
			t.Errorf("index %d, %v", n, err)
		}
		if waitersAt(v[0].Addr)+waitersAt(v[1].Addr) != 0 {
			t.Error("waiters stay behind")
		}
		v[2].Val = 1
		if err := u.do(func(t *Thread) error { _, err := t.FutexWaitV(v, clock.Never); return err }); err != unix.EAGAIN {
			t.Errorf("value differs: %v", err)
		}
	})
}

func TestPIOwnerDies(t *testing.T) {
	boot(t, func(u *user3) {
		a := u.m.mem
		var held atomic.Bool
		u.thread(func(u *user3) {
			u.must(func(t *Thread) error {
				err := t.FutexLockPI(a, clock.Never, false, true)
				held.Store(true)
				return err
			})
			u.until(func() bool { return waitersAt(a) == 1 })
		})
		u.until(held.Load)
		u.must(func(th *Thread) error {
			err := th.FutexLockPI(a, clock.Never, false, true)
			if v, _ := th.mem.Load32(a); v&futexTIDMask != uint32(th.TID) || v&futexOwnerDied == 0 {
				t.Errorf("the word is %#x", v)
			}
			return err
		})
	})
}

func TestPIDeadlockIsFound(t *testing.T) {
	boot(t, func(u *user3) {
		a, b := u.m.mem, u.m.mem+4
		var ready atomic.Bool
		u.must(func(t *Thread) error { return t.FutexLockPI(a, clock.Never, false, true) })
		u.thread(func(u *user3) {
			u.must(func(t *Thread) error { return t.FutexLockPI(b, clock.Never, false, true) })
			ready.Store(true)
			u.must(func(t *Thread) error { return t.FutexLockPI(a, clock.Never, false, true) })
		})
		u.until(func() bool { return ready.Load() && waitersAt(a) == 1 })
		if err := u.do(func(t *Thread) error { return t.FutexLockPI(b, clock.Never, false, true) }); err != unix.EDEADLK {
			t.Errorf("deadlock: %v", err)
		}
		u.must(func(t *Thread) error { return t.FutexUnlockPI(a, true) })
	})
}

func TestRequeuePI(t *testing.T) {
	boot(t, func(u *user3) {
		cond, lock := u.m.mem, u.m.mem+4
		var got atomic.Int32
		for range 3 {
			u.thread(func(u *user3) {
				u.must(func(t *Thread) error {
					if err := t.FutexWaitRequeuePI(cond, 0, anyBits, lock, clock.Never, true); err != nil {
						return err
					}
					got.Add(1)
					return t.FutexUnlockPI(lock, true)
				})
			})
		}
		u.until(func() bool { return waitersAt(cond) == 3 })
		if n, err := u.sys(func(t *Thread) (uintptr, error) {
			n, err := t.FutexCmpRequeuePI(cond, lock, 1, 9, 0, true)
			return uintptr(n), err
		}); n != 3 || err != nil {
			t.Errorf("requeued %d, %v", n, err)
		}
		u.until(func() bool { return got.Load() == 3 })
	})
}

func TestSharedFutexMeetsAcrossProcesses(t *testing.T) {
	boot(t, func(u *user3) {
		var a mm.Addr
		u.must(func(t *Thread) (err error) {
			a, err = t.mem.Map(mm.MapRequest{Len: 4096, Prot: unix.PROT_READ | unix.PROT_WRITE, Flags: unix.MAP_SHARED | unix.MAP_ANONYMOUS})
			return err
		})
		u.fork(func(u *user3) {
			u.must(func(t *Thread) error { return t.mem.Store32(a, 1) })
			u.until(func() bool {
				n := 0
				u.must(func(t *Thread) (err error) { n, err = t.FutexWake(a, 1, anyBits, false); return err })
				return n == 1
			})
			u.exit(0)
		})
		u.until(func() bool { v, _ := InitProcess().leader.mem.Load32(a); return v == 1 })
		u.must(func(t *Thread) error { return t.FutexWait(a, 1, anyBits, clock.Never, false) })
		_, _ = u.wait(WaitFor{Type: unix.P_ALL})
	})
}
