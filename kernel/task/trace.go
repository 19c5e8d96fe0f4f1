package task

import "golang.org/x/sys/unix"

// Tracer is told of what happens to threads between system calls; package
// trace implements it.
type Tracer interface {
	// Signal: a signal is delivered. info is siginfo_t, 128 bytes.
	Signal(tid int, info []byte)
	// Exited: the thread has ended with this wait status.
	Exited(tid int, status unix.WaitStatus)
}

// tracer is set once, before the first thread runs; nil when tracing is off.
var tracer Tracer

// SetTracer turns tracing on. It must be called before the first thread runs.
func SetTracer(tr Tracer) { tracer = tr }

// traceSignal tells the tracer of a signal that is about to be delivered. No
// lock may be held: the tracer writes to the host.
func (t *Thread) traceSignal(si *SigInfo) {
	if tracer != nil {
		t.tellSignal(si)
	}
}

func (t *Thread) tellSignal(si *SigInfo) {
	raw := si.Encode()
	tracer.Signal(t.TID, raw[:])
}

// traceExit tells the tracer of the thread's end. p.mu is not held.
func (t *Thread) traceExit() {
	if tracer == nil {
		return
	}
	p := t.Process
	p.mu.Lock()
	status := t.exitCode
	if p.exiting {
		status = p.exitStatus
	}
	p.mu.Unlock()
	tracer.Exited(t.TID, unix.WaitStatus(status))
}
