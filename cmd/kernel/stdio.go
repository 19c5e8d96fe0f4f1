package main

import (
	"golang.org/x/sys/unix"

	"husk/kernel/task"
	"husk/kernel/tty"
	"husk/kernel/vfs"
	"husk/kernel/wait"
	"husk/spec"
)

// stdio returns the files of the standard streams; nil stands for /dev/null.
func (m *machine) stdio() (in, out, errs *vfs.File, err error) {
	if m.streams.Console != nil {
		return m.console()
	}
	in, out, errs = m.streams.Stdio()
	if in != nil && m.spec.Annotations[spec.AnnotationStdin] == "none" {
		in.Put()
		in = nil
	}
	return in, out, errs, nil
}

// console makes the terminal of the console's port the controlling terminal of
// the first process, and its three standard streams.
func (m *machine) console() (in, out, errs *vfs.File, err error) {
	t := tty.OpenConsole(m.streams.Console, winsize(m.spec.Process.ConsoleSize))
	if s := m.spec.Annotations[spec.AnnotationTermios]; s != "" {
		t.Restore(s)
		task.ReportStops(m.stopped)
	}
	f, err := vfs.Open(m.init, "/dev/console", unix.O_RDWR, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	task.OnInit(func(first *task.Thread) { t.Adopt(first) })
	f.Get()
	f.Get()
	return f, f, f, nil
}

// stopped tells the host that a signal has stopped the first process. It is
// called where it must not wait.
func (m *machine) stopped(sig int) {
	go func() { _ = m.control.Send(&spec.Message{Type: spec.TypeStopped, Signal: sig}) }()
}

func winsize(s spec.ConsoleSize) unix.Winsize {
	return unix.Winsize{Row: s.Height, Col: s.Width}
}

// setWinsize is told of the size of the user's terminal.
func (m *machine) setWinsize(s spec.ConsoleSize) {
	if t := tty.Console(); t != nil {
		t.SetWinsize(winsize(s))
	}
}

// recordName sends a name that a program came by, as spec.AnnotationFiles has
// it.
func (m *machine) recordName(kind byte, name string) {
	b := append(make([]byte, 0, len(name)+2), kind)
	b = append(append(b, name...), 0)
	m.traceMu.Lock()
	m.writeTrace(b)
	m.traceMu.Unlock()
}

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
