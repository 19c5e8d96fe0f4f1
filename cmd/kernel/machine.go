package main

import (
	"strconv"
	"sync"

	"husk/kernel/clock"
	"husk/kernel/control"
	"husk/kernel/cpu"
	"husk/kernel/stream"
	"husk/kernel/task"
	"husk/kernel/virtio"
	"husk/spec"
)

// machine is what boot finds and the end needs.
type machine struct {
	spec    *spec.Spec
	verbose bool

	disks  []*virtio.Block
	shares []*virtio.Share

	streams *stream.Streams
	control *control.Control
	tracer  *control.Sleeper // who waits for the trace port
	traceMu sync.Mutex       // held while a recorded name is sent

	init  *task.Thread
	ended chan task.End
}

// failure is why the machine could not be brought up.
type failure struct{ what, why string }

func (f failure) Error() string { return f.what + ": " + f.why }

func fail(what, why string) error { return failure{what, why} }

// wrap adds what failed to an error.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return failure{what, err.Error()}
}

// log writes a line to the serial port when the user asked for it.
func (m *machine) log(text string) {
	if !m.verbose {
		return
	}
	us := clock.Now() / 1000
	line := append(strconv.AppendInt([]byte("["), us/1000000, 10), '.')
	fraction := strconv.AppendInt(nil, us%1000000+1000000, 10)[1:]
	line = append(append(line, fraction...), "] "...)
	cpu.WriteSerial(append(append(line, text...), '\n'))
}

// unknownCall names a system call that the kernel does not have, once.
func (m *machine) unknownCall(name string, nr uint64) {
	if name == "" {
		name = "number " + strconv.FormatUint(nr, 10)
	}
	m.log("system call " + name + " is not implemented: ENOSYS")
}
