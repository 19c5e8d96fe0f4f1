package main

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/control"
	"husk/kernel/cpu"
	"husk/kernel/task"
	"husk/spec"
)

// Exit statuses as a shell has them.
const (
	statusFailed        = 125
	statusNotExecutable = 126
	statusNotFound      = 127
)

// flushLimit is how long the host may take, in nanoseconds, for the last of
// the program's output. It is long: the reader may be a person's pager.
const flushLimit = int64(24 * 3600 * 1e9)

// notStarted is the failure to execute the program.
type notStarted struct {
	path string
	err  error
}

func (n notStarted) Error() string { return "execute " + n.path + ": " + n.err.Error() }

// status is what a shell would end with.
func (n notStarted) status() int {
	switch n.err {
	case unix.ENOENT, unix.ENOTDIR:
		return statusNotFound
	}
	return statusNotExecutable
}

// abort ends a machine that did not come up.
func (m *machine) abort(err error) {
	e := &spec.Exit{Code: statusFailed, Error: err.Error()}
	if n, ok := err.(notStarted); ok {
		// The host knows the program by the name that the user typed.
		e.Code, e.Error = n.status(), n.err.Error()
	}
	m.report(e)
}

// finish ends the machine after its first process.
func (m *machine) finish(end task.End) {
	status := unix.WaitStatus(end.Status)
	e := &spec.Exit{Code: status.ExitStatus(), Crash: end.Crash}
	if status.Signaled() {
		e.Code, e.Signal = 0, int(status.Signal())
	}
	m.report(e)
}

// report flushes the streams, tells the host, and stops the machine.
func (m *machine) report(e *spec.Exit) {
	if m.control == nil {
		cpu.WriteSerial([]byte("husk: " + e.Error + "\n"))
		cpu.PowerOff(statusFailed)
	}
	if e.Error != "" {
		m.log(e.Error)
	}
	m.streams.Flush(control.NewSleeper(), clock.Now()+flushLimit, e)
	if err := m.control.Exit(e); err != nil {
		m.log("report the end: " + err.Error())
	}
	cpu.PowerOff(0)
}
