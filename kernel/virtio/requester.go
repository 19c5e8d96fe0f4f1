package virtio

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
)

// pollNanos is how long a request is polled for before its goroutine parks. A
// read that the host has in memory takes 50 to 80 us under QEMU, busy hosts
// more; parking, the interrupt and the wake-up add 60 us and more. Yielding in
// between was tried and is worse: with several CPUs every yield wakes one.
// Probe may change it.
var pollNanos int64 = 200_000

// counted says that time is counted in instructions (PollWord). Waiting for
// the host then counts, but a look at the device lets the host catch up.
var counted bool

// requester runs requests over one queue for many goroutines: each adds its
// request, polls for a moment and then parks until the interrupt. Interrupts
// are asked for only while somebody is parked.
type requester struct {
	t Transport
	q *Queue

	mu     sync.Mutex // q, slots, free, parked
	room   sync.Cond  // somebody gave back a slot or descriptors
	slots  []slot
	free   []uint16
	parked int // how many wait for the interrupt
}

// slot is one request in flight. It belongs to the goroutine that took it;
// n and failed are written before done is set.
type slot struct {
	done   atomic.Bool
	parked bool // requester.mu: waits for wake
	failed bool
	n      uint32
	wake   chan struct{}
}

func newRequester(t Transport, q *Queue, slots int) *requester {
	r := &requester{t: t, q: q, slots: make([]slot, slots), free: make([]uint16, slots)}
	r.room.L = &r.mu
	for i := range r.slots {
		r.slots[i].wake = make(chan struct{}, 1)
		r.free[i] = uint16(slots - 1 - i)
	}
	return r
}

// acquire takes a slot, waiting for one if need be.
func (r *requester) acquire() uint16 {
	r.mu.Lock()
	for len(r.free) == 0 {
		r.room.Wait()
	}
	id := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.mu.Unlock()
	return id
}

// tryAcquire is acquire for those who must not wait.
func (r *requester) tryAcquire() (uint16, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) == 0 {
		return 0, false
	}
	id := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	return id, true
}

// release gives a slot back.
func (r *requester) release(id uint16) {
	r.mu.Lock()
	r.free = append(r.free, id)
	r.mu.Unlock()
	r.room.Signal()
}

// do runs one request in slot id and returns how many bytes the device wrote.
func (r *requester) do(id uint16, out, in []Segment) (uint32, error) {
	if err := r.start(id, out, in); err != nil {
		return 0, err
	}
	return r.finish(id)
}

// start hands a request to the device.
func (r *requester) start(id uint16, out, in []Segment) error {
	s := &r.slots[id]
	s.done.Store(false)
	s.failed = false
	if len(out)+len(in) > r.q.MaxSegments() {
		return unix.EINVAL
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.q.Add(out, in, uint32(id)) {
		if r.q.Broken() {
			return unix.EIO
		}
		// Others hold the descriptors; their completion signals room.
		r.reap()
		if r.q.Free() < len(out)+len(in) {
			r.parked++
			if !r.q.Arm() {
				r.room.Wait()
			}
			r.parked--
		}
	}
	r.q.Kick()
	return nil
}

// finish waits for the request in slot id.
func (r *requester) finish(id uint16) (uint32, error) {
	s := &r.slots[id]
	if !s.done.Load() {
		r.await(s)
	}
	if s.failed {
		return 0, unix.EIO
	}
	return s.n, nil
}

func (r *requester) await(s *slot) {
	for start := cpu.Nanotime(); cpu.Nanotime()-start < pollNanos; {
		// The clock is read rarely: it may cost more than a look at the ring.
		for range 16 {
			if r.look(s) {
				return
			}
			if counted {
				r.t.Config8(0)
			}
		}
	}
	if r.park(s) {
		<-s.wake
	}
}

// look reaps if nobody else does and reports whether s is done.
func (r *requester) look(s *slot) bool {
	if r.mu.TryLock() {
		r.reap()
		r.mu.Unlock()
	}
	return s.done.Load()
}

// park asks for the interrupt that will finish s; it reports false when s is
// done already.
func (r *requester) park(s *slot) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for again := true; again; {
		again = r.q.Arm()
		r.reap()
		if s.done.Load() {
			return false
		}
	}
	s.parked = true
	r.parked++
	return true
}

// reap takes finished requests off the ring and wakes whoever is parked. It
// is called with mu held.
func (r *requester) reap() {
	woke := false
	for {
		id, n, ok := r.q.Pop()
		if !ok {
			break
		}
		if int(id) < len(r.slots) {
			r.complete(&r.slots[id], n, false)
			woke = true
		}
	}
	if r.q.Broken() {
		for i := range r.slots {
			if s := &r.slots[i]; !s.done.Load() {
				r.complete(s, 0, true)
			}
		}
		woke = true
	}
	if woke {
		r.room.Broadcast()
	}
}

func (r *requester) complete(s *slot, n uint32, failed bool) {
	s.n, s.failed = n, failed
	s.done.Store(true)
	if s.parked {
		s.parked = false
		r.parked--
		s.wake <- struct{}{} // has room: one wake-up per parking
	}
}

// service is the interrupt function.
func (r *requester) service() {
	r.t.Acknowledge()
	r.mu.Lock()
	for {
		r.reap()
		if r.parked == 0 {
			r.q.Disarm()
			break
		}
		if !r.q.Arm() {
			break
		}
	}
	r.mu.Unlock()
}
