// Package wait is the one readiness mechanism of the kernel: files, sockets,
// pipes, ttys, child processes and futexes announce events on a Queue, and
// threads, epoll and poll register Waiters on it.
//
// A wake-up is a hint, never a fact: whoever is woken looks again. The
// pattern is that of Linux: register, test the condition, sleep, and
// unregister, so that an event between the test and the sleep is not lost.
//
// Locks: Queue.mu is a leaf. Wake functions run with it held and may take
// no lock but those documented as ordered after wait.Queue.mu.
package wait

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Events is a set of poll(2) events.
type Events uint32

// The events of poll(2) and epoll_ctl(2).
const (
	In     Events = unix.POLLIN
	Pri    Events = unix.POLLPRI
	Out    Events = unix.POLLOUT
	Err    Events = unix.POLLERR
	Hup    Events = unix.POLLHUP
	Nval   Events = unix.POLLNVAL
	RdNorm Events = 0x40
	RdBand Events = 0x80
	WrNorm Events = 0x100
	WrBand Events = 0x200
	RdHup  Events = unix.POLLRDHUP

	// Readable and Writable are what a ready stream reports.
	Readable = In | RdNorm
	Writable = Out | WrNorm
)

// Sleeper is a thread that can block: task.Thread in the kernel, a fake in tests.
type Sleeper interface {
	// Sleep parks the calling thread until Wake is called (a Wake before
	// Sleep counts), deadline passes, or a signal that interrupts it is
	// pending. deadline is monotonic nanoseconds as of clock.Now; NoDeadline
	// never passes. It returns nil after Wake, unix.ETIMEDOUT after the
	// deadline, and abi.ErrRestartSys when interrupted.
	Sleep(deadline int64) error
	// Wake makes the current or next Sleep return. It never blocks and may
	// be called from any goroutine, with any lock held.
	Wake()
	// WakeFrom is Wake by a thread that is likely to sleep soon, on whose
	// goroutine the call is made: the one that wakes up may be kept until
	// then, to go on in its place.
	WakeFrom(by any)
}

// NoDeadline is the deadline that never passes.
const NoDeadline = int64(1<<63 - 1)

// Waiter is one registration on a Queue. It belongs to whoever registered
// it; its links belong to the queue while it is registered.
type Waiter struct {
	// Mask is the events that concern the waiter; Err and Hup always do.
	Mask Events
	// Exclusive waiters are woken one per Notify (EPOLLEXCLUSIVE, accept).
	Exclusive bool
	// Wake is called with the queue's lock held; it must not block. It
	// returns whether it consumed an exclusive wake-up.
	Wake func(w *Waiter, ev Events) bool
	// Sleeper is woken, consuming an exclusive wake-up, when Wake is nil.
	Sleeper Sleeper
	// Owner is for Wake's use: what the registration belongs to.
	Owner any
	// Once has the first event that wakes the waiter unregister it as well.
	Once bool

	next, prev *Waiter
	queue      *Queue        // the last it was added to, by its owner
	listed     atomic.Uint32 // 1 while it is there; written under its mu
}

// Registered reports whether w is on a queue. It is for its owner, who alone
// adds and removes it.
func (w *Waiter) Registered() bool { return w.listed.Load() != 0 }

// Unregister takes w off its queue if it is on one.
func (w *Waiter) Unregister() {
	if w.Registered() {
		w.queue.Remove(w)
	}
}

// Queue is a list of waiters. The zero value is an empty queue.
type Queue struct {
	mu         sync.Mutex
	head, tail *Waiter
	// interest is what the waiters have asked for since there was none, written
	// under mu; 0 means that there is none. Notify reads it without: a waiter
	// adds itself before it tests its condition, and the notifier changes the
	// condition before it reads interest, so by the total order of atomics and
	// locks one of them sees the other.
	interest atomic.Uint32
}

// Add registers w, which must not be registered anywhere. As in Linux, the
// exclusive wait in line behind the others, of whom the last is first.
func (q *Queue) Add(w *Waiter) {
	q.mu.Lock()
	w.queue = q
	w.listed.Store(1)
	switch {
	case q.head == nil:
		q.head, q.tail = w, w
	case w.Exclusive:
		w.prev, q.tail.next = q.tail, w
		q.tail = w
	default:
		w.next, q.head.prev = q.head, w
		q.head = w
	}
	q.interest.Store(q.interest.Load() | uint32(w.Mask|Err|Hup))
	q.mu.Unlock()
}

// Remove takes w off the queue; it is a no-op when w is not registered on q.
// When Remove returns, w.Wake is not running and will not run again.
func (q *Queue) Remove(w *Waiter) {
	q.mu.Lock()
	if w.queue == q && w.listed.Load() != 0 {
		q.unlink(w)
	}
	q.mu.Unlock()
}

func (q *Queue) unlink(w *Waiter) {
	w.listed.Store(0)
	if q.head == q.tail { // as mostly
		q.head, q.tail = nil, nil
		q.interest.Store(0)
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	w.next, w.prev = nil, nil
}

// Notify announces ev: every non-exclusive waiter whose mask matches is
// woken, and the first exclusive one that consumes it.
func (q *Queue) Notify(ev Events) {
	if q.interest.Load()&uint32(ev) != 0 {
		q.notify(ev, nil)
	}
}

// NotifyFrom is Notify by a thread that has handed something to who waits and
// is likely to wait for the answer: see Sleeper.WakeFrom.
func (q *Queue) NotifyFrom(by any, ev Events) {
	if q.interest.Load()&uint32(ev) != 0 {
		q.notify(ev, by)
	}
}

func (q *Queue) notify(ev Events, by any) {
	q.mu.Lock()
	consumed := false
	for w := q.head; w != nil; {
		next := w.next // Wake may not unlink others, but spare the reader the proof
		if ev&(w.Mask|Err|Hup) != 0 && !(w.Exclusive && consumed) {
			if w.Once {
				q.unlink(w)
			}
			if w.wake(ev, by) && w.Exclusive {
				consumed = true
			}
		}
		w = next
	}
	q.mu.Unlock()
}

func (w *Waiter) wake(ev Events, by any) bool {
	if w.Wake != nil {
		return w.Wake(w, ev)
	}
	if by == nil {
		w.Sleeper.Wake()
	} else {
		w.Sleeper.WakeFrom(by)
	}
	return true
}

// Empty reports whether nobody is registered. It is a hint when others add
// or remove concurrently.
func (q *Queue) Empty() bool { return q.interest.Load() == 0 }

// WakeSleeper returns a Wake function for a waiter that wakes s.
func WakeSleeper(s Sleeper) func(*Waiter, Events) bool {
	return func(*Waiter, Events) bool {
		s.Wake()
		return true
	}
}
