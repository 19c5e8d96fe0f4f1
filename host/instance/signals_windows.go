package instance

import (
	"io"
	"syscall"

	"husk/spec"
)

// Signals that Windows does not have: numbers that nobody sends.
const (
	sigUSR1  = syscall.Signal(0x101)
	sigUSR2  = syscall.Signal(0x102)
	sigTSTP  = syscall.Signal(0x103)
	sigCONT  = syscall.Signal(0x104)
	sigWINCH = syscall.Signal(0x105)
)

// suspend has no counterpart: there is no job control.
func (r *run) suspend() {}

// stopped lets a program that was stopped go on.
func (r *run) stopped(int) { r.send(&spec.Message{Type: spec.TypeSignal, Signal: 18}) }

// awaitKeys is for Linux alone.
func awaitKeys(io.Reader) func() { return func() {} }
