// Package stream is the program's standard input, output and error when they
// are not a terminal: ports of the virtio console behind the behaviour of
// pipes. It stands between vfs, whose files it makes, and virtio, which moves
// the bytes; it has no locks and no goroutines of its own.
package stream

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/virtio"
	"husk/kernel/wait"
	"husk/spec"
)

// The buffers of the ports. A receive page is what QEMU delivers at a time;
// a transmit buffer holds what a pipe of Linux does.
const (
	stdinPages   = 16
	outputBytes  = 64 << 10
	errorBytes   = 16 << 10
	controlPages = 2
	controlBytes = 8 << 10
)

// Streams are the ports of one machine. Those the host did not make are nil:
// Console is there with a terminal, Stdin, Stdout and Stderr without.
type Streams struct {
	Stdin, Stdout, Stderr *virtio.Port
	Console               *virtio.Port
	Control               *virtio.Port
	Trace                 *virtio.Port
	// StdinWanted, set before Stdio, is called once: when the program first
	// reads stdin or asks whether it can. Locks may be held.
	StdinWanted func()
}

// Open finds the ports by their names and opens them.
func Open(c *virtio.Console) (*Streams, error) {
	s := &Streams{}
	for _, p := range []struct {
		name   string
		to     **virtio.Port
		rx, tx int
	}{
		{spec.PortControl, &s.Control, controlPages, controlBytes},
		{spec.PortStdin, &s.Stdin, stdinPages, 0},
		{spec.PortStdout, &s.Stdout, 0, outputBytes},
		{spec.PortStderr, &s.Stderr, 0, errorBytes},
		{spec.PortConsole, &s.Console, stdinPages, outputBytes},
		{spec.PortTrace, &s.Trace, 0, outputBytes},
	} {
		port := c.Find(p.name)
		if port == nil {
			continue
		}
		if err := port.Open(p.rx, p.tx); err != nil {
			return nil, err
		}
		*p.to = port
	}
	return s, nil
}

// Flush waits until the host has taken everything that was written to the
// program's streams, or until the deadline, and puts the numbers of bytes
// into the report.
func (s *Streams) Flush(w wait.Sleeper, deadline int64, e *spec.Exit) {
	for _, p := range []*virtio.Port{s.Stdout, s.Stderr, s.Console, s.Trace} {
		if p != nil {
			_ = p.Flush(w, deadline) // what is late is lost; the counts tell
		}
	}
	count := func(p *virtio.Port) uint64 {
		if p == nil {
			return 0
		}
		return p.Written()
	}
	e.Stdout = count(s.Stdout) + count(s.Console)
	e.Stderr = count(s.Stderr)
	e.Trace = count(s.Trace)
}

// SetEnd says how many bytes stdin has in all. After those of a terminal the
// user's own has gone.
func (s *Streams) SetEnd(total uint64) {
	if s.Stdin != nil {
		s.Stdin.SetEnd(total)
	}
	if s.Console != nil {
		s.Console.SetEnd(total)
	}
}

// Stdio returns the files for descriptors 0, 1 and 2, each with a reference;
// nil where there is no such port. Without one for stderr it is stdout: the
// host has one file for both, and what is written keeps its order.
func (s *Streams) Stdio() (in, out, err *vfs.File) {
	if s.Stdin != nil {
		in = newFile(s.Stdin, unix.O_RDONLY, s.StdinWanted)
	}
	if s.Stdout != nil {
		out = NewFile(s.Stdout, unix.O_WRONLY)
	}
	switch {
	case s.Stderr != nil:
		err = NewFile(s.Stderr, unix.O_WRONLY)
	case out != nil:
		out.Get()
		err = out
	}
	return in, out, err
}

// NewFile makes an open file of one direction of a port. It looks like the
// end of a pipe, whose other end the host holds.
func NewFile(p *virtio.Port, flags uint32) *vfs.File { return newFile(p, flags, nil) }

func newFile(p *virtio.Port, flags uint32, wanted func()) *vfs.File {
	f := &file{port: p, wanted: wanted, access: flags}
	f.asked.Store(wanted == nil)
	v := vfs.NewAnonFile("pipe:", unix.S_IFIFO|0o600, flags, f)
	v.Inode.Attach(f)
	return v
}

type file struct {
	vfs.BaseOps
	port   *virtio.Port
	wanted func()
	access uint32      // O_RDONLY or O_WRONLY, as the port was opened first
	asked  atomic.Bool // wanted was called, or there is none
}

// Reopen implements vfs.Reopener: a program opened /dev/stdout or the like. The
// other end of a port is the host's, so there is only one way to open it.
func (s *file) Reopen(_ vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	if f.Flags()&unix.O_ACCMODE != s.access {
		return nil, unix.EACCES
	}
	return s, nil
}

// want tells, once, that the program wants input.
func (s *file) want() {
	if !s.asked.Load() && s.asked.CompareAndSwap(false, true) {
		s.wanted()
	}
}

func (s *file) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	s.want()
	return s.port.ReadInto(b)
}

func (s *file) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n, err := s.port.WriteFrom(b)
	if err == unix.EPIPE {
		c.Raise(int(unix.SIGPIPE))
	}
	return n, 0, err
}

// Poll shows one direction only: a port is opened for one.
func (s *file) Poll(f *vfs.File) wait.Events {
	const forReader, forWriter = wait.Readable | wait.Hup, wait.Writable | wait.Err
	if f.Flags()&unix.O_ACCMODE == unix.O_WRONLY {
		return s.port.Ready() & forWriter
	}
	s.want()
	return s.port.Ready() & forReader
}

func (s *file) Queue(*vfs.File) *wait.Queue { return s.port.Queue() }

// Ioctl serves FIONREAD, as pipes do.
func (s *file) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	if request != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	s.want()
	return 0, c.AddressSpace().Store32(mm.Addr(arg), uint32(s.port.Buffered()))
}
