package main

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
	"husk/kernel/wait"
	"husk/spec"
)

// stdio returns the files of the standard streams; nil stands for /dev/null.
func (m *machine) stdio() (in, out, errs *vfs.File, err error) {
	in, out, errs = m.streams.Stdio()
	if in != nil && m.spec.Annotations[spec.AnnotationStdin] == "none" {
		in.Put()
		in = nil
	}
	return in, out, errs, nil
}

// setWinsize is told of the size of the user's terminal.
func (m *machine) setWinsize(spec.ConsoleSize) {}

// writeTrace sends traced text to the host and waits when the host is slow. The
// tracer calls it with its lock held, so that lines stay whole.
func (m *machine) writeTrace(p []byte) {
	port, s := m.streams.Trace, m.tracer
	w := wait.Waiter{Mask: wait.Writable, Wake: wait.WakeSleeper(s)}
	for len(p) > 0 {
		n, err := port.Write(p)
		p = p[n:]
		if n > 0 {
			continue
		}
		if err != unix.EAGAIN {
			return // the host is gone; there is nobody to tell
		}
		port.Queue().Add(&w)
		if port.Ready()&wait.Writable == 0 {
			_ = s.Sleep(wait.NoDeadline)
		}
		port.Queue().Remove(&w)
	}
}
