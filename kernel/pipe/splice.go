package pipe

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// The functions of this file never block: EAGAIN says that the pipe is empty
// or full, and the system call waits on its Queue.

// Move serves splice(2) between two pipes: it moves at most n bytes, whole
// pages by reference. EAGAIN says that src is empty (wait for it to become
// readable) or dst full.
func Move(c vfs.Caller, dst, src *Pipe, n int) (int, error) {
	return transfer(c, dst, src, n, true)
}

// Tee serves tee(2): dst shares what src keeps.
func Tee(c vfs.Caller, dst, src *Pipe, n int) (int, error) {
	return transfer(c, dst, src, n, false)
}

func transfer(c vfs.Caller, dst, src *Pipe, n int, move bool) (int, error) {
	if dst == src {
		return 0, unix.EINVAL
	}
	if n == 0 {
		return 0, nil
	}
	lockBoth(dst, src)
	if dst.readers == 0 {
		unlockBoth(dst, src)
		c.Raise(int(unix.SIGPIPE))
		return 0, unix.EPIPE
	}
	wasFull := src.full()
	done := 0
	var err error
	for i := uint32(0); done < n; {
		if i >= src.used {
			if done == 0 && src.writers > 0 {
				err = unix.EAGAIN
			}
			break
		}
		if dst.full() {
			if done == 0 {
				err = unix.EAGAIN
			}
			break
		}
		from := src.at(i)
		take := min(from.n, n-done)
		s := *from
		s.n = take
		// Two slots that share a page must not be appended to: the bytes
		// behind one belong to the other. A part of a packet is no packet.
		if take < from.n || !move {
			from.merge, s.merge = false, false
		}
		if take < from.n {
			s.packet = false
		}
		s.pg.refs.Add(1)
		dst.push(s)
		done += take
		switch {
		case !move:
			i++
		case take == from.n:
			src.pop()
		default:
			from.off += take
			from.n -= take
		}
	}
	freed := move && wasFull && !src.full()
	unlockBoth(dst, src)
	if done > 0 {
		dst.readable(wait.Readable)
	}
	if freed {
		src.writable(wait.Writable)
	}
	return done, err
}

func lockBoth(a, b *Pipe) {
	if a.number > b.number {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
}

func unlockBoth(a, b *Pipe) {
	a.mu.Unlock()
	b.mu.Unlock()
}

// Fill reads at most n bytes into new pages of the pipe with read, which
// never blocks and is called without the pipe's lock, as long as there is
// room. It stops at a short read.
func (p *Pipe) Fill(c vfs.Caller, n int, read func(b *mm.Buffer) (int, error)) (int, error) {
	done := 0
	for done < n {
		p.mu.Lock()
		if p.readers == 0 {
			p.mu.Unlock()
			c.Raise(int(unix.SIGPIPE))
			if done > 0 {
				return done, nil
			}
			return 0, unix.EPIPE
		}
		if p.full() {
			p.mu.Unlock()
			if done == 0 {
				return 0, unix.EAGAIN
			}
			return done, nil
		}
		p.held++
		pg := p.take()
		p.mu.Unlock()

		want := min(n-done, pageSize)
		b := mm.KernelBuffer(pg.data[:want])
		got, err := read(&b)

		p.mu.Lock()
		p.held--
		if got > 0 {
			p.push(slot{pg: pg, n: got})
		} else {
			p.drop(pg)
		}
		p.mu.Unlock()
		if got > 0 {
			p.readable(wait.Readable)
		} else {
			p.writable(wait.Writable)
		}
		done += max(got, 0)
		if err != nil && done == 0 {
			return 0, err
		}
		if err != nil || got < want {
			break
		}
	}
	return done, nil
}

// Drain hands at most n bytes of the pipe to write, page by page, and drops
// what it took. write must not block and must not touch this pipe. An error
// counts only when nothing was taken before it.
func (p *Pipe) Drain(n int, write func(b *mm.Buffer) (int, error)) (int, error) {
	if n == 0 {
		return 0, nil
	}
	p.mu.Lock()
	if p.used == 0 {
		err := error(nil)
		if p.writers > 0 {
			err = unix.EAGAIN
		}
		p.mu.Unlock()
		return 0, err
	}
	wasFull := p.full()
	done := 0
	var err error
	for p.used > 0 && done < n {
		s := p.at(0)
		want := min(s.n, n-done)
		b := mm.KernelBuffer(s.pg.data[s.off : s.off+want])
		var got int
		got, err = write(&b)
		done += got
		s.off += got
		s.n -= got
		if s.n == 0 {
			p.pop()
		}
		if err != nil || got < want {
			break
		}
	}
	freed := wasFull && !p.full()
	p.mu.Unlock()
	if freed {
		p.writable(wait.Writable)
	}
	if done > 0 {
		return done, nil
	}
	return 0, err
}

// Ready reports whether the pipe has data or will never have any more
// (readable), and whether it has room or nobody reads it (writable).
func (p *Pipe) Ready() (readable, writable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used > 0 || p.writers == 0, !p.full() || p.readers == 0
}
