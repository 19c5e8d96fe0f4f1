package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/pipe"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK | unix.SPLICE_F_MORE | unix.SPLICE_F_GIFT

// awaitFile sleeps until try does something else than to return EAGAIN,
// looking again after events of f.
func (t Thread) awaitFile(f *vfs.File, ev wait.Events, try func() error) error {
	q := f.Ops.Queue(f)
	if q == nil {
		return unix.EAGAIN
	}
	var result error
	err := q.Until(t.Thread, ev, wait.NoDeadline, func() bool {
		result = try()
		return result != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return result
}

// splice moves data between a pipe and a file (splice(2)).
func (t Thread) splice(fdIn int32, offIn mm.Addr, fdOut int32, offOut mm.Addr, length uint64, flags uint32) (int, error) {
	if length == 0 {
		return 0, nil
	}
	if flags&^spliceFlags != 0 {
		return 0, unix.EINVAL
	}
	in, err := t.file(fdIn)
	if err != nil {
		return 0, err
	}
	defer in.Put()
	out, err := t.file(fdOut)
	if err != nil {
		return 0, err
	}
	defer out.Put()
	src, dst := pipe.Of(in), pipe.Of(out)
	if src != nil && offIn != 0 || dst != nil && offOut != 0 {
		return 0, unix.ESPIPE
	}
	posIn, posOut := int64(-1), int64(-1)
	for _, o := range []struct {
		a   mm.Addr
		pos *int64
	}{{offOut, &posOut}, {offIn, &posIn}} {
		if o.a == 0 {
			continue
		}
		var b [8]byte
		if err := t.copyIn(b[:], o.a); err != nil {
			return 0, err
		}
		if *o.pos = int64(le.Uint64(b[:])); *o.pos < 0 {
			return 0, unix.EINVAL
		}
	}
	if !in.Readable() || !out.Writable() {
		return 0, unix.EBADF
	}
	n := int(min(length, maxRW))
	nonblock := flags&unix.SPLICE_F_NONBLOCK != 0
	switch {
	case src != nil && dst != nil:
		return t.splicePipes(in, out, n, nonblock || in.NonBlock() || out.NonBlock(), pipe.Move)
	case src != nil:
		if offOut != 0 && !out.Ops.Seekable() || out.Flags()&unix.O_APPEND != 0 {
			return 0, unix.EINVAL
		}
		done, err := t.spliceOut(in, out, &posOut, n, nonblock)
		return t.spliced(done, err, offOut, posOut)
	case dst != nil:
		if offIn != 0 && !in.Ops.Seekable() {
			return 0, unix.EINVAL
		}
		done, err := t.spliceIn(in, out, &posIn, n, nonblock || out.NonBlock())
		return t.spliced(done, err, offIn, posIn)
	}
	return 0, unix.EINVAL
}

// spliced stores the new offset where there is one.
func (t Thread) spliced(done int, err error, off mm.Addr, pos int64) (int, error) {
	if off == 0 || done <= 0 {
		return done, err
	}
	var b [8]byte
	le.PutUint64(b[:], uint64(pos))
	if err := t.copyOut(off, b[:]); err != nil {
		return 0, err
	}
	return done, err
}

// splicePipes moves or duplicates between two pipes.
func (t Thread) splicePipes(in, out *vfs.File, n int, nonblock bool, transfer func(c vfs.Caller, dst, src *pipe.Pipe, n int) (int, error)) (int, error) {
	src, dst := pipe.Of(in), pipe.Of(out)
	for {
		done, err := transfer(t.Thread, dst, src, n)
		if err != unix.EAGAIN || nonblock {
			return done, err
		}
		if readable, _ := src.Ready(); !readable {
			err = t.awaitFile(in, wait.In, func() error {
				if readable, _ := src.Ready(); readable {
					return nil
				}
				return unix.EAGAIN
			})
		} else {
			err = t.awaitFile(out, wait.Out, func() error {
				if _, writable := dst.Ready(); writable {
					return nil
				}
				return unix.EAGAIN
			})
		}
		if err != nil {
			return 0, err
		}
	}
}

// spliceOut writes what a pipe holds to a file.
func (t Thread) spliceOut(in, out *vfs.File, pos *int64, n int, nonblock bool) (int, error) {
	p := pipe.Of(in)
	full := false // it is the file that cannot go on
	write := func(b *mm.Buffer) (int, error) {
		if !out.Ops.Seekable() {
			k, _, err := out.Ops.Write(t.Thread, out, b, -1)
			full = err == unix.EAGAIN
			if k > 0 {
				err = nil
			}
			return k, err
		}
		if *pos < 0 {
			return out.Write(t.Thread, b)
		}
		k, err := out.Pwrite(t.Thread, b, *pos)
		*pos += int64(k)
		return k, err
	}
	for {
		full = false
		done, err := p.Drain(n, write)
		if err != unix.EAGAIN {
			return done, err
		}
		if full {
			if out.NonBlock() {
				return 0, err
			}
			err = t.awaitFile(out, wait.Out, func() error {
				if out.Ops.Poll(out)&(wait.Out|wait.Err|wait.Hup) != 0 {
					return nil
				}
				return unix.EAGAIN
			})
		} else {
			if nonblock {
				return 0, err
			}
			err = t.awaitFile(in, wait.In, func() error {
				if readable, _ := p.Ready(); readable {
					return nil
				}
				return unix.EAGAIN
			})
		}
		if err != nil {
			return 0, err
		}
	}
}

// spliceIn reads a file into a pipe.
func (t Thread) spliceIn(in, out *vfs.File, pos *int64, n int, nonblock bool) (int, error) {
	p := pipe.Of(out)
	empty := false // it is the file that has nothing
	read := func(b *mm.Buffer) (int, error) {
		if !in.Ops.Seekable() {
			k, err := in.Ops.Read(t.Thread, in, b, -1)
			empty = err == unix.EAGAIN
			return k, err
		}
		if *pos < 0 {
			return in.Read(t.Thread, b)
		}
		k, err := in.Pread(t.Thread, b, *pos)
		*pos += int64(k)
		return k, err
	}
	for {
		empty = false
		done, err := p.Fill(t.Thread, n, read)
		if err != unix.EAGAIN {
			return done, err
		}
		if empty {
			if in.NonBlock() {
				return 0, err
			}
			err = t.awaitFile(in, wait.In, func() error {
				if in.Ops.Poll(in)&(wait.In|wait.Err|wait.Hup|wait.RdHup) != 0 {
					return nil
				}
				return unix.EAGAIN
			})
		} else {
			if nonblock {
				return 0, err
			}
			err = t.awaitFile(out, wait.Out, func() error {
				if _, writable := p.Ready(); writable {
					return nil
				}
				return unix.EAGAIN
			})
		}
		if err != nil {
			return 0, err
		}
	}
}

// tee duplicates what one pipe holds into another (tee(2)).
func (t Thread) tee(fdIn, fdOut int32, length uint64, flags uint32) (int, error) {
	if flags&^spliceFlags != 0 {
		return 0, unix.EINVAL
	}
	if length == 0 {
		return 0, nil
	}
	in, err := t.file(fdIn)
	if err != nil {
		return 0, err
	}
	defer in.Put()
	out, err := t.file(fdOut)
	if err != nil {
		return 0, err
	}
	defer out.Put()
	if !in.Readable() || !out.Writable() {
		return 0, unix.EBADF
	}
	if pipe.Of(in) == nil || pipe.Of(out) == nil {
		return 0, unix.EINVAL
	}
	nonblock := flags&unix.SPLICE_F_NONBLOCK != 0 || in.NonBlock() || out.NonBlock()
	return t.splicePipes(in, out, int(min(length, maxRW)), nonblock, pipe.Tee)
}

// vmsplice moves between user memory and a pipe (vmsplice(2)). It copies: a
// program may not touch pages it has given away, so it cannot tell.
func (t Thread) vmsplice(fd int32, iov mm.Addr, nrSegs uint64, flags uint32) (int, error) {
	if flags&^spliceFlags != 0 {
		return 0, unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	if !f.Writable() && !f.Readable() {
		return 0, unix.EBADF
	}
	if nrSegs > maxIOV {
		return 0, unix.EINVAL
	}
	b, err := t.vector(iov, int32(nrSegs))
	if err != nil {
		return 0, err
	}
	if b.Len() == 0 {
		return 0, nil
	}
	if pipe.Of(f) == nil {
		return 0, unix.EBADF
	}
	done := 0
	ev := wait.Out
	try := func() error {
		n, _, err := f.Ops.Write(t.Thread, f, b, -1)
		done += n
		return err
	}
	if !f.Writable() {
		ev = wait.In
		try = func() error {
			n, err := f.Ops.Read(t.Thread, f, b, -1)
			done += n
			return err
		}
	}
	err = try()
	if err == unix.EAGAIN && flags&unix.SPLICE_F_NONBLOCK == 0 {
		err = t.awaitFile(f, ev, try)
	}
	if done > 0 {
		return done, nil
	}
	return 0, err
}
