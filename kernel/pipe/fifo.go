package pipe

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// A fifo is an open end of a named pipe. opened is the number of writers
// ever seen when it was opened for reading without one: until another comes
// there is no hang-up to report.
type fifo struct {
	*Pipe
	opened uint32
}

// Poll is a pipe's, less the hang-up of a writer that never was.
func (o *fifo) Poll(f *vfs.File) wait.Events { return o.poll(f, o.opened) }

// Register makes this package the opener of FIFOs on every file system.
func Register() { vfs.RegisterFIFO(OpenFIFO) }

// OpenFIFO serves open(2) of a FIFO: it waits for the other end, fails with
// ENXIO when O_NONBLOCK|O_WRONLY finds no reader, and never waits for
// O_RDWR, which is both ends (fifo(7)).
func OpenFIFO(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	p := f.Inode.Attached(func() any { return newPipe() }).(*Pipe)
	o := &fifo{Pipe: p}
	nonblock := f.NonBlock()
	p.mu.Lock()
	var err error
	switch f.Flags() & unix.O_ACCMODE {
	case unix.O_RDONLY:
		p.reads++
		p.readers++
		if p.writers > 0 || p.unnamed {
			break
		}
		if nonblock {
			o.opened = p.writes
			break
		}
		err = p.partner(c, &p.writes)
	case unix.O_WRONLY:
		if nonblock && p.readers == 0 && !p.unnamed {
			p.mu.Unlock()
			return nil, unix.ENXIO
		}
		p.writes++
		p.writers++
		if p.readers == 0 && !p.unnamed {
			err = p.partner(c, &p.reads)
		}
	case unix.O_RDWR:
		p.reads++
		p.writes++
		p.readers++
		p.writers++
	default:
		p.mu.Unlock()
		return nil, unix.EINVAL
	}
	p.mu.Unlock()
	if err != nil {
		p.Release(f)
		return nil, err
	}
	p.rw.Notify(opened)
	return o, nil
}

// opened is what an open announces: those who wait for a partner look for
// it, and nobody's poll does.
const opened wait.Events = 1 << 31

// partner waits until *count, which is the opens of the other side, moves.
// p.mu is held on entry and on return.
func (p *Pipe) partner(c vfs.Caller, count *uint32) error {
	before := *count
	p.mu.Unlock()
	p.rw.Notify(opened)
	err := p.rw.Until(c, opened, wait.NoDeadline, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return *count != before
	})
	p.mu.Lock()
	return err
}
