package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// read reads from a file (read(2)).
func (t Thread) read(fd int32, buf mm.Addr, count uint64) (int, error) {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return 0, err
	}
	if p := f.PlainReader; p != nil && inUser(buf, count) {
		w := t.plainWaiter(f)
		if n := p.ReadPlain(t.AddressSpace(), buf, int(count), w); n > 0 {
			f.WasRead()
			f.Put()
			return n, nil
		}
		if w != nil && w.Registered() {
			return t.Leave(f, readAgain)
		}
	}
	b, err := t.userBuffer(buf, count)
	n := 0
	if err == nil {
		n, err = f.Read(t.Thread, b)
	} else if !f.Readable() {
		err = unix.EBADF
	}
	f.Put()
	return n, err
}

// plainWaiter is what ReadPlain may register, nil when the call must not wait
// or may not leave.
func (t Thread) plainWaiter(f *vfs.File) *wait.Waiter {
	if f.NonBlock() || !t.CanLeave() {
		return nil
	}
	return t.Recall()
}

// readAgain goes on with a read or recvfrom that was left.
func readAgain(t *task.Thread, f *vfs.File) (int, error) {
	a, n := mm.Addr(t.RSI), t.RDX
	if n := f.PlainReader.ReadPlain(t.AddressSpace(), a, int(n), t.Recall()); n > 0 {
		f.WasRead()
		return n, nil
	}
	if t.Recall().Registered() {
		return 0, unix.EAGAIN
	}
	b, err := Thread{t}.userBuffer(a, n)
	if err != nil {
		return 0, err
	}
	return f.ReadNow(t, b)
}

// inUser reports whether a buffer lies in user space, has at least one byte
// and no more than one call moves.
func inUser(a mm.Addr, n uint64) bool {
	return n-1 < maxRW && uint64(a) <= userTop-n
}

// write writes to a file (write(2)).
func (t Thread) write(fd int32, buf mm.Addr, count uint64) (int, error) {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return 0, err
	}
	if p := f.PlainWriter; p != nil && inUser(buf, count) {
		if n := p.WritePlain(t.Thread, t.AddressSpace(), buf, int(count)); n > 0 {
			f.WasWritten()
			f.Put()
			return n, nil
		}
	}
	b, err := t.userBuffer(buf, count)
	n := 0
	if err == nil {
		n, err = f.Write(t.Thread, b)
	} else if !f.Writable() {
		err = unix.EBADF
	}
	f.Put()
	return n, err
}

// pread64 reads at an offset (pread(2)).
func (t Thread) pread64(fd int32, buf mm.Addr, count uint64, offset int64) (int, error) {
	if offset < 0 {
		return 0, unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	b, err := t.userBuffer(buf, count)
	n := 0
	if err == nil {
		n, err = f.Pread(t.Thread, b, offset)
	}
	f.Put()
	return n, err
}

// pwrite64 writes at an offset (pwrite(2)).
func (t Thread) pwrite64(fd int32, buf mm.Addr, count uint64, offset int64) (int, error) {
	if offset < 0 {
		return 0, unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	b, err := t.userBuffer(buf, count)
	n := 0
	if err == nil {
		n, err = f.Pwrite(t.Thread, b, offset)
	}
	f.Put()
	return n, err
}

// vectored does what readv(2) and its kin have in common; pos of -1 means the
// file's position.
func (t Thread) vectored(fd int32, iov mm.Addr, iovcnt int32, pos int64, flags uint32, write bool) (int, error) {
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	if write && !f.Writable() || !write && !f.Readable() {
		return 0, unix.EBADF
	}
	b, err := t.vector(iov, iovcnt)
	if err != nil {
		return 0, err
	}
	return f.Vectored(t.Thread, b, pos, flags, write)
}

// readv reads into several buffers (readv(2)).
func (t Thread) readv(fd int32, iov mm.Addr, iovcnt int32) (int, error) {
	return t.vectored(fd, iov, iovcnt, -1, 0, false)
}

// writev writes several buffers (readv(2)).
func (t Thread) writev(fd int32, iov mm.Addr, iovcnt int32) (int, error) {
	return t.vectored(fd, iov, iovcnt, -1, 0, true)
}

// preadv reads into several buffers at an offset (readv(2)).
func (t Thread) preadv(fd int32, iov mm.Addr, iovcnt int32, pos int64) (int, error) {
	if pos < 0 {
		return 0, unix.EINVAL
	}
	return t.vectored(fd, iov, iovcnt, pos, 0, false)
}

// pwritev writes several buffers at an offset (readv(2)).
func (t Thread) pwritev(fd int32, iov mm.Addr, iovcnt int32, pos int64) (int, error) {
	if pos < 0 {
		return 0, unix.EINVAL
	}
	return t.vectored(fd, iov, iovcnt, pos, 0, true)
}

// preadv2 is preadv with flags; an offset of -1 is the file's position.
func (t Thread) preadv2(fd int32, iov mm.Addr, iovcnt int32, pos int64, posHigh uint64, flags uint32) (int, error) {
	if pos < -1 {
		return 0, unix.EINVAL
	}
	return t.vectored(fd, iov, iovcnt, pos, flags, false)
}

// pwritev2 is pwritev with flags; an offset of -1 is the file's position.
func (t Thread) pwritev2(fd int32, iov mm.Addr, iovcnt int32, pos int64, posHigh uint64, flags uint32) (int, error) {
	if pos < -1 {
		return 0, unix.EINVAL
	}
	return t.vectored(fd, iov, iovcnt, pos, flags, true)
}

// lseek moves the file position (lseek(2)).
func (t Thread) lseek(fd int32, offset int64, whence int32) (int64, error) {
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	n, err := f.Lseek(t.Thread, offset, int(whence))
	f.Put()
	return n, err
}

// sendfile copies between files inside the kernel (sendfile(2)).
func (t Thread) sendfile(outFD, inFD int32, offset mm.Addr, count uint64) (int, error) {
	var off int64 = -1
	if offset != 0 {
		if err := get(t, offset, &off); err != nil {
			return 0, err
		}
		if off < 0 {
			return 0, unix.EINVAL
		}
	}
	in, err := t.file(inFD)
	if err != nil {
		return 0, err
	}
	defer in.Put()
	out, err := t.file(outFD)
	if err != nil {
		return 0, err
	}
	defer out.Put()
	n, err := vfs.SendFile(t.Thread, out, in, &off, count)
	if offset != 0 {
		if e := put(t, offset, &off); e != nil {
			return 0, e
		}
	}
	return n, err
}

// copy_file_range copies a range between regular files (copy_file_range(2)).
func (t Thread) copy_file_range(fdIn int32, offIn mm.Addr, fdOut int32, offOut mm.Addr, n uint64, flags uint32) (int, error) {
	if flags != 0 {
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
	var a, b int64 = -1, -1
	if offIn != 0 {
		if err := get(t, offIn, &a); err != nil {
			return 0, err
		}
	}
	if offOut != 0 {
		if err := get(t, offOut, &b); err != nil {
			return 0, err
		}
	}
	done, err := vfs.CopyFileRange(t.Thread, in, offIn != 0, &a, out, offOut != 0, &b, n)
	if err != nil {
		return 0, err
	}
	if offIn != 0 {
		if err := put(t, offIn, &a); err != nil {
			return 0, err
		}
	}
	if offOut != 0 {
		if err := put(t, offOut, &b); err != nil {
			return 0, err
		}
	}
	return done, nil
}
