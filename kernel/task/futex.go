package task

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

// Bits of a PI or robust futex word.
const (
	futexWaiters   = 0x80000000
	futexOwnerDied = 0x40000000
	futexTIDMask   = 0x3fffffff
)

// futexBuckets is the number of chains; a power of two.
const futexBuckets = 256

// futexBucket is a chain of waiters in the order in which they came. A
// waiter's key and bucket change, by requeue, only with both buckets locked.
// Two buckets are locked in the order of their addresses.
type futexBucket struct {
	mu         sync.Mutex
	head, tail *futexWaiter
}

var futexTable [futexBuckets]futexBucket

// futexWaiter is one thread's wait for one futex. All fields but thread are
// guarded by the lock of the bucket.
type futexWaiter struct {
	thread     *Thread
	key        mm.FutexKey
	bitset     uint32
	next, prev *futexWaiter
	// bucket is nil when the waiter is in none: it has been woken. It changes
	// with the lock of the bucket held and is read without to find that lock.
	bucket atomic.Pointer[futexBucket]

	pi        bool        // waits to own the PI futex at addr
	requeuePI bool        // FUTEX_WAIT_REQUEUE_PI, before the requeue
	addr      mm.Addr     // of the PI futex in the waiter's memory
	target    mm.FutexKey // where it expects to be requeued

	group *waitvGroup // futex_waitv
	slot  int         // index in group
}

// waitvGroup is one futex_waitv call. Guarded by mu, which is inside buckets.
type waitvGroup struct {
	mu    sync.Mutex
	woken int // index of the first that was woken; -1
}

func bucketOf(k mm.FutexKey) *futexBucket {
	h := (objectWord(k.Object)>>4 ^ k.Offset>>2) * 0x9e3779b97f4a7c15
	return &futexTable[h>>56]
}

func (b *futexBucket) add(w *futexWaiter) {
	w.bucket.Store(b)
	w.next, w.prev = nil, b.tail
	if b.tail != nil {
		b.tail.next = w
	} else {
		b.head = w
	}
	b.tail = w
}

func (b *futexBucket) remove(w *futexWaiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		b.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		b.tail = w.prev
	}
	w.bucket.Store(nil)
	w.next, w.prev = nil, nil
}

func lockBuckets(a, b *futexBucket) {
	if a == b {
		a.mu.Lock()
		return
	}
	if before(b, a) {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
}

func unlockBuckets(a, b *futexBucket) {
	a.mu.Unlock()
	if a != b {
		b.mu.Unlock()
	}
}

// lock locks the bucket that w is in and returns it; nil, with nothing locked,
// when w is in none.
func (w *futexWaiter) lock() *futexBucket {
	for {
		b := w.bucket.Load()
		if b == nil {
			return nil
		}
		b.mu.Lock()
		if w.bucket.Load() == b {
			return b
		}
		b.mu.Unlock()
	}
}

// wakeLocked takes w out of its bucket, which is locked, and wakes it.
func (b *futexBucket) wakeLocked(w *futexWaiter) {
	b.remove(w)
	if g := w.group; g != nil {
		g.mu.Lock()
		if g.woken < 0 {
			g.woken = w.slot
		}
		g.mu.Unlock()
	}
	w.thread.futexWoken.Store(true)
	w.thread.Wake()
}

// futexKey is mm's key of an aligned word.
func (t *Thread) futexKey(a mm.Addr, private bool) (mm.FutexKey, error) {
	if a%4 != 0 {
		return mm.FutexKey{}, unix.EINVAL
	}
	return t.mem.FutexKey(a, private)
}

// FutexDeadline converts a timeout to a monotonic deadline.
func FutexDeadline(ts *unix.Timespec, absolute, realtime bool) (int64, error) {
	if ts == nil {
		return wait.NoDeadline, nil
	}
	if ts.Sec < 0 || ts.Nsec < 0 || ts.Nsec >= clock.Second {
		return 0, unix.EINVAL
	}
	ns := clock.Nanoseconds(*ts)
	switch {
	case !absolute:
		return clock.Add(clock.Now(), ns), nil
	case realtime && ns != clock.Never:
		return max(ns-clock.RealtimeOffset(), 0), nil
	}
	return ns, nil
}

// FutexWait serves FUTEX_WAIT and FUTEX_WAIT_BITSET: deadline is monotonic.
// relative says that a restart must keep the deadline.
func (t *Thread) FutexWait(a mm.Addr, val, bitset uint32, deadline int64, private bool) error {
	if bitset == 0 {
		return unix.EINVAL
	}
	key, err := t.futexKey(a, private)
	if err != nil {
		return err
	}
	// Look without the lock first: it may need a page, and often decides.
	if v, err := t.mem.Load32(a); err != nil {
		return err
	} else if v != val {
		return unix.EAGAIN
	}
	w := &t.waiter
	*w = futexWaiter{thread: t, key: key, bitset: bitset}
	t.futexWoken.Store(false)
	b := bucketOf(key)
	b.mu.Lock()
	v, err := t.mem.Load32(a)
	if err != nil || v != val {
		b.mu.Unlock()
		if err == nil {
			err = unix.EAGAIN
		}
		return err
	}
	b.add(w)
	b.mu.Unlock()
	return t.futexSleep(w, deadline)
}

// futexSleep waits until w is woken and takes it out of its bucket otherwise.
func (t *Thread) futexSleep(w *futexWaiter, deadline int64) error {
	for {
		err := t.Sleep(deadline)
		if t.futexWoken.Load() {
			return nil
		}
		if err == nil {
			continue // a wake-up for something else
		}
		b := w.lock()
		if b == nil {
			return nil // woken in the meantime
		}
		b.remove(w)
		b.mu.Unlock()
		return err
	}
}

// FutexWaitCall is FutexWait with the timeout of the system call and Linux's
// rule for interruption: a timed wait is continued by restart_syscall with
// the deadline that it had, an untimed one is restarted.
func (t *Thread) FutexWaitCall(a mm.Addr, val, bitset uint32, deadline int64, private bool) error {
	err := t.FutexWait(a, val, bitset, deadline, private)
	if err == abi.ErrRestartSys && deadline != wait.NoDeadline {
		return t.SetRestart(func(t *Thread) (uintptr, error) {
			return 0, t.FutexWaitCall(a, val, bitset, deadline, private)
		})
	}
	return err
}

// FutexWake serves FUTEX_WAKE and FUTEX_WAKE_BITSET: it wakes up to n waiters
// and returns how many.
func (t *Thread) FutexWake(a mm.Addr, n int32, bitset uint32, private bool) (int, error) {
	if bitset == 0 {
		return 0, unix.EINVAL
	}
	key, err := t.futexKey(a, private)
	if err != nil {
		return 0, err
	}
	b := bucketOf(key)
	b.mu.Lock()
	woken, err := b.wake(key, n, bitset)
	b.mu.Unlock()
	return woken, err
}

// wake wakes up to n waiters for key, at least one. The bucket is locked.
func (b *futexBucket) wake(key mm.FutexKey, n int32, bitset uint32) (int, error) {
	woken := 0
	for w := b.head; w != nil; {
		next := w.next
		if w.key == key && w.bitset&bitset != 0 {
			if w.pi || w.requeuePI {
				return woken, unix.EINVAL
			}
			b.wakeLocked(w)
			if woken++; woken >= int(n) {
				break
			}
		}
		w = next
	}
	return woken, nil
}

// FutexRequeue serves FUTEX_REQUEUE and, with cmp not nil, FUTEX_CMP_REQUEUE.
func (t *Thread) FutexRequeue(a, a2 mm.Addr, wake, requeue int32, cmp *uint32, private bool) (int, error) {
	if wake < 0 || requeue < 0 {
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
	b, b2 := bucketOf(key), bucketOf(key2)
	lockBuckets(b, b2)
	defer unlockBuckets(b, b2)
	if cmp != nil {
		v, err := t.mem.Load32(a)
		if err != nil {
			return 0, err
		}
		if v != *cmp {
			return 0, unix.EAGAIN
		}
	}
	woken, moved := 0, 0
	for w := b.head; w != nil && (woken < int(wake) || moved < int(requeue)); {
		next := w.next
		if w.key == key {
			switch {
			case w.pi || w.requeuePI:
				return woken + moved, unix.EINVAL
			case woken < int(wake):
				b.wakeLocked(w)
				woken++
			case key == key2:
				moved++
			default:
				b.remove(w)
				w.key = key2
				b2.add(w)
				moved++
			}
		}
		w = next
	}
	if cmp == nil {
		return woken, nil // FUTEX_REQUEUE counts the woken only
	}
	return woken + moved, nil
}

// FutexWakeOp serves FUTEX_WAKE_OP.
func (t *Thread) FutexWakeOp(a, a2 mm.Addr, n, n2 int32, op uint32, private bool) (int, error) {
	key, err := t.futexKey(a, private)
	if err != nil {
		return 0, err
	}
	key2, err := t.futexKey(a2, private)
	if err != nil {
		return 0, err
	}
	b, b2 := bucketOf(key), bucketOf(key2)
	lockBuckets(b, b2)
	defer unlockBuckets(b, b2)
	holds, err := t.futexOp(a2, op)
	if err != nil {
		return 0, err
	}
	woken, err := b.wake(key, n, ^uint32(0))
	if err == nil && holds {
		var more int
		more, err = b2.wake(key2, n2, ^uint32(0))
		woken += more
	}
	return woken, err
}

// futexOp applies an encoded operation (futex(2), FUTEX_WAKE_OP) to a word
// and reports whether its comparison held for the old value.
func (t *Thread) futexOp(a mm.Addr, op uint32) (bool, error) {
	arg := uint32(int32(op<<8) >> 20)
	cmparg := int32(op<<20) >> 20
	if op>>28&8 != 0 { // FUTEX_OP_ARG_SHIFT
		arg = 1 << (arg & 31)
	}
	var old uint32
	for {
		var err error
		if old, err = t.mem.Load32(a); err != nil {
			return false, err
		}
		v := old
		switch op >> 28 & 7 {
		case 0:
			v = arg
		case 1:
			v += arg
		case 2:
			v |= arg
		case 3:
			v &^= arg
		case 4:
			v ^= arg
		default:
			return false, unix.ENOSYS
		}
		_, ok, err := t.mem.CompareAndSwap32(a, old, v)
		if err != nil {
			return false, err
		}
		if ok {
			break
		}
	}
	o := int32(old)
	switch op >> 24 & 15 {
	case 0:
		return o == cmparg, nil
	case 1:
		return o != cmparg, nil
	case 2:
		return o < cmparg, nil
	case 3:
		return o <= cmparg, nil
	case 4:
		return o > cmparg, nil
	case 5:
		return o >= cmparg, nil
	}
	return false, unix.ENOSYS
}

// FutexV is one element of futex_waitv(2).
type FutexV struct {
	Val     uint32
	Addr    mm.Addr
	Private bool
}

// FutexWaitV waits for the first of several futexes and returns its index.
func (t *Thread) FutexWaitV(v []FutexV, deadline int64) (int, error) {
	ws := make([]futexWaiter, len(v))
	g := &waitvGroup{woken: -1}
	for i := range v {
		key, err := t.futexKey(v[i].Addr, v[i].Private)
		if err != nil {
			return 0, err
		}
		ws[i] = futexWaiter{thread: t, key: key, bitset: ^uint32(0), group: g, slot: i}
	}
	t.futexWoken.Store(false)
	// leave takes all out and returns the index of one that was woken.
	leave := func(n int) int {
		for i := range ws[:n] {
			if b := ws[i].lock(); b != nil {
				b.remove(&ws[i])
				b.mu.Unlock()
			}
		}
		return g.woken // nobody else sees g any more
	}
	for i := range ws {
		b := bucketOf(ws[i].key)
		b.mu.Lock()
		val, err := t.mem.Load32(v[i].Addr)
		if err == nil && val == v[i].Val {
			b.add(&ws[i])
			b.mu.Unlock()
			continue
		}
		b.mu.Unlock()
		if woken := leave(i); woken >= 0 {
			return woken, nil
		}
		if err == nil {
			err = unix.EAGAIN
		}
		return 0, err
	}
	for {
		err := t.Sleep(deadline)
		if err == nil && !t.futexWoken.Load() {
			continue
		}
		if woken := leave(len(ws)); woken >= 0 {
			return woken, nil
		}
		return 0, err
	}
}
