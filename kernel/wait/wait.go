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

	next, prev *Waiter
	queue      *Queue
}

// Registered reports whether w is on a queue. It is for its owner, who alone
// adds and removes it.
func (w *Waiter) Registered() bool { return w.queue != nil }

// Queue is a list of waiters. The zero value is an empty queue.
type Queue struct {
	mu         sync.Mutex
	head, tail *Waiter
	// count is the number of waiters, written under mu. Notify reads it
	// without: a waiter adds itself before it tests its condition, and the
	// notifier changes the condition before it reads count, so by the total
	// order of atomics and locks one of them sees the other.
	count atomic.Int32
}

// Add registers w, which must not be registered anywhere. As in Linux, the
// exclusive wait in line behind the others, of whom the last is first.
func (q *Queue) Add(w *Waiter) {
	q.mu.Lock()
	w.queue = q
	if w.Exclusive {
		w.prev, w.next = q.tail, nil
	} else {
		w.prev, w.next = nil, q.head
	}
	if w.prev != nil {
		w.prev.next = w
	} else {
		q.head = w
	}
	if w.next != nil {
		w.next.prev = w
	} else {
		q.tail = w
	}
	q.count.Add(1)
	q.mu.Unlock()
}

// Remove takes w off the queue; it is a no-op when w is not registered on q.
// When Remove returns, w.Wake is not running and will not run again.
func (q *Queue) Remove(w *Waiter) {
	q.mu.Lock()
	if w.queue == q {
		q.unlink(w)
	}
	q.mu.Unlock()
}

func (q *Queue) unlink(w *Waiter) {
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
	w.next, w.prev, w.queue = nil, nil, nil
	q.count.Add(-1)
}

// Notify announces ev: every non-exclusive waiter whose mask matches is
// woken, and the first exclusive one that consumes it.
func (q *Queue) Notify(ev Events) {
	if q.count.Load() != 0 {
		q.notify(ev)
	}
}

func (q *Queue) notify(ev Events) {
	q.mu.Lock()
	consumed := false
	for w := q.head; w != nil; {
		next := w.next // Wake may not unlink others, but spare the reader the proof
		if ev&(w.Mask|Err|Hup) != 0 && !(w.Exclusive && consumed) {
			if w.wake(ev) && w.Exclusive {
				consumed = true
			}
		}
		w = next
	}
	q.mu.Unlock()
}

func (w *Waiter) wake(ev Events) bool {
	if w.Wake == nil {
		w.Sleeper.Wake()
		return true
	}
	return w.Wake(w, ev)
}

// Empty reports whether nobody is registered. It is a hint when others add
// or remove concurrently.
func (q *Queue) Empty() bool { return q.count.Load() == 0 }

// WakeSleeper returns a Wake function for a waiter that wakes s.
func WakeSleeper(s Sleeper) func(*Waiter, Events) bool {
	return func(*Waiter, Events) bool {
		s.Wake()
		return true
	}
}
