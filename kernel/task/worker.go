package task

import (
	"sync"
	"sync/atomic"

	"husk/kernel/cpu"
)

// worker is a goroutine that runs one thread after the other. A fresh
// goroutine's stack is small and grows several times on the way through the
// first system calls, each time by copying: 10,000 instructions in all, more
// than everything else that a short thread costs. One that has run a thread
// has the stack already.
type worker struct {
	state atomic.Uint32
	park  cpu.Parker
	// thread is the one that the worker runs. Only depart and loop change it.
	thread *Thread
	next   *Thread // valid once state is workerCalled; nil: the worker is not needed any more
}

// Values of worker.state.
const (
	workerBusy   = iota
	workerParked // waits for a thread
	workerCalled // has been given one
)

// maxIdle is how many workers wait for a thread to run.
const maxIdle = 32

// idle are the workers that wait, the last to come first. mu is a leaf.
var idle struct {
	mu      sync.Mutex
	workers []*worker
}

// begin starts a thread that is in the tables.
func (t *Thread) begin() {
	idle.mu.Lock()
	n := len(idle.workers)
	if n == 0 {
		idle.mu.Unlock()
		go new(worker).run(t)
		return
	}
	w := idle.workers[n-1]
	idle.workers = idle.workers[:n-1]
	idle.mu.Unlock()
	w.call(t)
}

// call gives a worker that waits, or is about to, a thread to run.
func (w *worker) call(t *Thread) {
	w.next = t
	if w.state.Swap(workerCalled) == workerParked {
		w.park.Ready()
	}
}

// retire makes a worker that waits, or is about to, one that anybody may
// call. It reports false when there are enough of them.
func (w *worker) retire() bool {
	idle.mu.Lock()
	enough := len(idle.workers) >= maxIdle
	if !enough {
		idle.workers = append(idle.workers, w)
	}
	idle.mu.Unlock()
	return !enough
}

// idle waits for a thread to run and returns it, nil if there are enough
// idle workers.
func (w *worker) idle() *Thread {
	if !w.retire() {
		return nil
	}
	return w.await()
}

// await waits until the worker is called.
func (w *worker) await() *Thread {
	w.park.Park(&w.state, workerBusy, workerParked)
	t := w.next
	w.next = nil
	w.state.Store(workerBusy)
	if t != nil && t.away {
		t.time.resume()
	}
	return t
}
