package task

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/mm"
)

// A PI futex holds the owner's number. The kernel hands it from owner to
// owner; since all threads have the same right to run here, there is no
// priority to inherit, and waiters get it in the order in which they came.

// piState is who a thread waits for and how many wait for it.
type piState struct {
	waitsFor *Thread // guarded by piOwners.mu
	waiters  int     // guarded by piOwners.mu
}

// piOwners guards the graph of who waits for whom. It is a leaf.
var piOwners sync.Mutex

// waitFor makes t wait for owner: EDEADLK if owner waits for t.
func (t *Thread) waitFor(owner *Thread) error {
	piOwners.Lock()
	defer piOwners.Unlock()
	for o := owner; o != nil; o = o.pi.waitsFor {
		if o == t {
			return unix.EDEADLK
		}
	}
	t.pi.waitsFor = owner
	owner.pi.waiters++
	return nil
}

// waitNoMore undoes waitFor.
func (t *Thread) waitNoMore() {
	piOwners.Lock()
	if o := t.pi.waitsFor; o != nil {
		o.pi.waiters--
		t.pi.waitsFor = nil
	}
	piOwners.Unlock()
}

// waitInstead makes t, which waits, wait for another owner.
func (t *Thread) waitInstead(owner *Thread) {
	piOwners.Lock()
	if o := t.pi.waitsFor; o != nil {
		o.pi.waiters--
	}
	t.pi.waitsFor = owner
	owner.pi.waiters++
	piOwners.Unlock()
}

// piAcquire tries to make w's thread own the word at a, in as, or to make it
// wait for the owner. The bucket of the word is locked. It returns true when
// the word is owned; EAGAIN means that the owner is just ending.
func piAcquire(as *mm.AddressSpace, a mm.Addr, t *Thread, try, more bool) (bool, error) {
	for {
		v, err := as.Load32(a)
		if err != nil {
			return false, err
		}
		holder := v & futexTIDMask
		if holder == uint32(t.TID) {
			return false, unix.EDEADLK
		}
		if holder == 0 {
			n := v&futexOwnerDied | uint32(t.TID)
			if more {
				n |= futexWaiters
			}
			_, ok, err := as.CompareAndSwap32(a, v, n)
			if err != nil {
				return false, err
			}
			if ok {
				return true, nil
			}
			continue
		}
		if try {
			return false, unix.EAGAIN
		}
		if v&futexWaiters == 0 {
			if _, ok, err := as.CompareAndSwap32(a, v, v|futexWaiters); err != nil {
				return false, err
			} else if !ok {
				continue
			}
		}
		owner := FindThread(int(holder))
		if owner == nil {
			return false, unix.ESRCH
		}
		owner.Process.mu.Lock()
		gone := owner.gone
		owner.Process.mu.Unlock()
		if gone {
			return false, unix.EAGAIN
		}
		return false, t.waitFor(owner)
	}
}

// hasWaiter reports whether a thread waits for the PI futex of key.
func (b *futexBucket) firstPI(key mm.FutexKey) *futexWaiter {
	for w := b.head; w != nil; w = w.next {
		if w.key == key && w.pi {
			return w
		}
	}
	return nil
}

// FutexLockPI serves FUTEX_LOCK_PI, FUTEX_LOCK_PI2 and FUTEX_TRYLOCK_PI.
func (t *Thread) FutexLockPI(a mm.Addr, deadline int64, try, private bool) error {
	key, err := t.futexKey(a, private)
	if err != nil {
		return err
	}
	w := &t.waiter
	for {
		*w = futexWaiter{thread: t, key: key, bitset: ^uint32(0), pi: true, addr: a}
		t.futexWoken.Store(false)
		b := bucketOf(key)
		b.mu.Lock()
		owned, err := piAcquire(t.mem, a, t, try, b.firstPI(key) != nil)
		if err == nil && !owned {
			b.add(w)
		}
		b.mu.Unlock()
		switch {
		case owned:
			return nil
		case err == unix.EAGAIN && !try:
			// The owner is on its way out and will have let go soon.
			if t.HasSignal() {
				return abi.ErrRestartNoInt
			}
			runtime.Gosched()
			continue
		case err != nil:
			return err
		}
		err = t.futexSleep(w, deadline)
		if err != nil {
			t.waitNoMore()
		}
		if err == abi.ErrRestartSys {
			return abi.ErrRestartNoInt
		}
		return err
	}
}

// FutexUnlockPI serves FUTEX_UNLOCK_PI.
func (t *Thread) FutexUnlockPI(a mm.Addr, private bool) error {
	key, err := t.futexKey(a, private)
	if err != nil {
		return err
	}
	b := bucketOf(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		v, err := t.mem.Load32(a)
		if err != nil {
			return err
		}
		if v&futexTIDMask != uint32(t.TID) {
			return unix.EPERM
		}
		w := b.firstPI(key)
		n := uint32(0)
		if w != nil {
			n = futexWaiters | uint32(w.thread.TID)
		}
		_, ok, err := t.mem.CompareAndSwap32(a, v, n)
		if err != nil {
			return err
		}
		if ok {
			if w != nil {
				b.handOver(w)
			}
			return nil
		}
	}
}

// handOver wakes w, whose thread has become the owner, and makes the others
// wait for it. The bucket is locked.
func (b *futexBucket) handOver(w *futexWaiter) {
	key, owner := w.key, w.thread
	owner.waitNoMore()
	b.wakeLocked(w)
	for o := b.head; o != nil; o = o.next {
		if o.key == key && o.pi {
			o.thread.waitInstead(owner)
		}
	}
}

// exitPI hands the PI futexes that the thread still owns to their waiters.
func (t *Thread) exitPI() {
	piOwners.Lock()
	waiters := t.pi.waiters
	piOwners.Unlock()
	if waiters == 0 {
		return
	}
	for i := range futexTable {
		b := &futexTable[i]
		b.mu.Lock()
		for w := b.head; w != nil; {
			next := w.next
			if w.pi && w.owner() == t {
				b.inherit(w)
				next = b.head // handOver may have woken any
			}
			w = next
		}
		b.mu.Unlock()
	}
}

func (w *futexWaiter) owner() *Thread {
	piOwners.Lock()
	defer piOwners.Unlock()
	return w.thread.pi.waitsFor
}

// inherit makes w's thread the owner of a futex whose owner ended. The bucket
// is locked; the waiter sleeps, so its memory stays.
func (b *futexBucket) inherit(w *futexWaiter) {
	as := w.thread.mem
	for {
		v, err := as.Load32(w.addr)
		if err != nil {
			break
		}
		if _, ok, err := as.CompareAndSwap32(w.addr, v, futexOwnerDied|futexWaiters|uint32(w.thread.TID)); err != nil || ok {
			break
		}
	}
	b.handOver(w)
}

// FutexWaitRequeuePI serves FUTEX_WAIT_REQUEUE_PI: wait at a until moved to
// the PI futex at a2, and then until that is owned.
func (t *Thread) FutexWaitRequeuePI(a mm.Addr, val, bitset uint32, a2 mm.Addr, deadline int64, private bool) error {
	if a == a2 || bitset == 0 {
		return unix.EINVAL
	}
	key, err := t.futexKey(a, private)
	if err != nil {
		return err
	}
	target, err := t.futexKey(a2, private)
	if err != nil {
		return err
	}
	if key == target {
		return unix.EINVAL
	}
	w := &t.waiter
	*w = futexWaiter{thread: t, key: key, bitset: bitset, requeuePI: true, target: target, addr: a2}
	t.futexWoken.Store(false)
	b := bucketOf(key)
	b.mu.Lock()
	v, err := t.mem.Load32(a)
	if err == nil && v != val {
		err = unix.EAGAIN
	}
	if err != nil {
		b.mu.Unlock()
		return err
	}
	b.add(w)
	b.mu.Unlock()
	err = t.futexSleep(w, deadline)
	if err == nil {
		return nil
	}
	t.waitNoMore()
	if err == abi.ErrRestartSys {
		if w.pi { // moved already: the condition must be looked at again
			return unix.EAGAIN
		}
		return abi.ErrRestartNoInt
	}
	return err
}

// FutexCmpRequeuePI serves FUTEX_CMP_REQUEUE_PI.
func (t *Thread) FutexCmpRequeuePI(a, a2 mm.Addr, wake, requeue int32, cmp uint32, private bool) (int, error) {
	if wake != 1 || requeue < 0 {
		return 0, unix.EINVAL
	}
	key, err := t.futexKey(a, private)
	if err != nil {
		return 0, err
	}
	key2, err := t.futexKey(a2, private)
	if err != nil {
		return 0, err
	}
	if key == key2 {
		return 0, unix.EINVAL
	}
	for {
		n, err := t.cmpRequeuePI(key, key2, a, a2, requeue, cmp)
		if err != unix.EAGAIN || n >= 0 {
			return n, err
		}
		if t.HasSignal() {
			return 0, abi.ErrRestartNoInt
		}
		runtime.Gosched() // the owner is just ending
	}
}

// cmpRequeuePI does it once; -1 and EAGAIN ask for another attempt.
func (t *Thread) cmpRequeuePI(key, key2 mm.FutexKey, a, a2 mm.Addr, requeue int32, cmp uint32) (int, error) {
	b, b2 := bucketOf(key), bucketOf(key2)
	lockBuckets(b, b2)
	defer unlockBuckets(b, b2)
	v, err := t.mem.Load32(a)
	if err != nil {
		return 0, err
	}
	if v != cmp {
		return 0, unix.EAGAIN
	}
	n := 0
	for w := b.head; w != nil && n < int(requeue)+1; {
		next := w.next
		if w.key == key {
			if !w.requeuePI || w.target != key2 {
				return n, unix.EINVAL
			}
			owned, err := piAcquire(t.mem, a2, w.thread, false, b2.firstPI(key2) != nil || more(w, key))
			if err == unix.EAGAIN && n == 0 {
				return -1, err
			}
			if err != nil {
				return n, err
			}
			if owned {
				b.wakeLocked(w)
			} else {
				b.remove(w)
				w.key, w.pi, w.requeuePI = key2, true, false
				b2.add(w)
			}
			n++
		}
		w = next
	}
	return n, nil
}

// more reports whether another waiter for key follows w.
func more(w *futexWaiter, key mm.FutexKey) bool {
	for w = w.next; w != nil; w = w.next {
		if w.key == key {
			return true
		}
	}
	return false
}
