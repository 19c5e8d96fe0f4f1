//go:build baremetal

package metal

import "sync/atomic"

// futexBuckets hold the waiters as lists of threads, in order of arrival.
var futexBuckets [64]int32

func initFutexes() {
	for i := range futexBuckets {
		futexBuckets[i] = -1
	}
}

func futexBucket(addr uintptr) *int32 {
	return &futexBuckets[(addr>>2^addr>>8^addr>>14)%uintptr(len(futexBuckets))]
}

// sysFutex serves the two operations that the runtime uses, both private. It
// reports whether the current thread blocked.
func sysFutex(c *percpu, f *Frame) bool {
	addr := uintptr(f.RDI)
	switch f.RSI &^ 128 {
	case 0: // FUTEX_WAIT
		if atomic.LoadUint32(at[uint32](addr)) != uint32(f.RDX) {
			f.RAX = errno(eagain)
			return false
		}
		n := c.current
		t := &threads[n]
		t.state = threadFutex
		t.futex = addr
		t.next = -1
		p := futexBucket(addr)
		for *p >= 0 {
			p = &threads[*p].next
		}
		*p = n
		if f.R10 != 0 {
			c.sleepUntil(Nanotime() + timespec(uintptr(f.R10)))
		}
		c.schedule()
		return true
	case 1: // FUTEX_WAKE
		woken := uint64(0)
		for p := futexBucket(addr); *p >= 0 && woken < f.RDX; {
			n := *p
			if threads[n].futex != addr {
				p = &threads[n].next
				continue
			}
			*p = threads[n].next
			wake(n, 0)
			woken++
		}
		f.RAX = woken
		return false
	}
	f.RAX = errno(enosys)
	return false
}

// futexForget takes a waiter out of its bucket.
func futexForget(n int32) {
	for p := futexBucket(threads[n].futex); *p >= 0; p = &threads[*p].next {
		if *p == n {
			*p = threads[n].next
			return
		}
	}
}
