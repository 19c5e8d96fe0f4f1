package vfs

import (
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// maxIO is the most that one call transfers: Linux's MAX_RW_COUNT.
const maxIO = math.MaxInt32 &^ (mm.PageSize - 1)

// RWF flags of preadv2(2) and pwritev2(2) that the layer below looks at.
const (
	rwfHiPri   = 1
	rwfDSync   = 2
	rwfSync    = 4
	rwfNoWait  = 8
	rwfAppend  = 16
	rwfNoAppnd = 32
	rwfAtomic  = 64
)

// again reports whether err is EAGAIN; comparing interfaces costs more.
func again(err error) bool {
	e, ok := err.(unix.Errno)
	return ok && e == unix.EAGAIN
}

// Read serves read(2) and readv(2).
func (f *File) Read(c Caller, b *mm.Buffer) (int, error) {
	if !f.readable() {
		return 0, unix.EBADF
	}
	b.Limit(maxIO)
	var n int
	var err error
	if f.seekable {
		f.posMu.Lock()
		n, err = f.Ops.Read(c, f, b, f.pos)
		if n > 0 {
			f.pos += int64(n)
		}
		f.posMu.Unlock()
	} else {
		n, err = f.Ops.Read(c, f, b, -1)
	}
	if again(err) && n == 0 && !f.NonBlock() {
		n, err = f.waitRead(c, b)
	}
	if n > 0 {
		if watching.Load() != 0 {
			f.notifyIO(inAccess)
		}
		return n, nil
	}
	return 0, err
}

// ReadNow is Read of a stream that returns EAGAIN instead of waiting.
func (f *File) ReadNow(c Caller, b *mm.Buffer) (int, error) {
	n, err := f.Ops.Read(c, f, b, -1)
	if n > 0 {
		f.WasRead()
		return n, nil
	}
	return 0, err
}

// WasRead and WasWritten tell those who watch. They are what remains to be
// done after ReadPlain and WritePlain.
func (f *File) WasRead() {
	if watching.Load() != 0 {
		f.notifyIO(inAccess)
	}
}

// WasWritten is described at WasRead.
func (f *File) WasWritten() {
	if watching.Load()|asyncPending.Load() != 0 {
		f.tellWritten()
	}
}

func (f *File) tellWritten() {
	f.notifyIO(inModify)
	SendAsync()
}

// Plain is a short way for the calls by which programs hand some bytes to and
// fro. Its methods do the whole of a read or write of n bytes of user memory
// at a, if that is simple, and return how many were moved; or they do
// nothing, return 0, and FileOps has the answer.
type Plain interface {
	// ReadPlain may register w, if it is not nil: it does where Read would
	// have to wait, and then nothing has come before it was registered.
	ReadPlain(as *mm.AddressSpace, a mm.Addr, n int, w *wait.Waiter) int
	WritePlain(c Caller, as *mm.AddressSpace, a mm.Addr, n int) int
}

// Pread serves pread64(2) and preadv(2).
func (f *File) Pread(c Caller, b *mm.Buffer, off int64) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	if !f.seekable {
		return 0, f.noOffset()
	}
	if !f.readable() {
		return 0, unix.EBADF
	}
	b.Limit(maxIO)
	n, err := f.Ops.Read(c, f, b, off)
	if again(err) && n == 0 && !f.NonBlock() {
		n, err = f.waitReadAt(c, b, off)
	}
	if n > 0 {
		if watching.Load() != 0 {
			f.notifyIO(inAccess)
		}
		return n, nil
	}
	return 0, err
}

// noOffset is the error of a call with an offset on a file that has none.
func (f *File) noOffset() error {
	if f.IsPath() {
		return unix.EBADF
	}
	return unix.ESPIPE
}

// Write serves write(2) and writev(2).
func (f *File) Write(c Caller, b *mm.Buffer) (int, error) {
	if !f.writable() {
		return 0, unix.EBADF
	}
	b.Limit(maxIO)
	var n int
	var err error
	if f.seekable {
		var end int64
		f.posMu.Lock()
		n, end, err = f.Ops.Write(c, f, b, f.pos)
		if n > 0 {
			f.pos = end
		}
		f.posMu.Unlock()
	} else {
		n, _, err = f.Ops.Write(c, f, b, -1)
	}
	if again(err) && !f.NonBlock() {
		n, err = f.waitWrite(c, b, -1, n)
	}
	return f.wrote(c, n, err)
}

// Pwrite serves pwrite64(2) and pwritev(2).
func (f *File) Pwrite(c Caller, b *mm.Buffer, off int64) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	if !f.seekable {
		return 0, f.noOffset()
	}
	if !f.writable() {
		return 0, unix.EBADF
	}
	b.Limit(maxIO)
	n, _, err := f.Ops.Write(c, f, b, off)
	if again(err) && !f.NonBlock() {
		n, err = f.waitWrite(c, b, off, n)
	}
	return f.wrote(c, n, err)
}

// wrote finishes every write: what was written counts more than the error.
func (f *File) wrote(c Caller, n int, err error) (int, error) {
	if n <= 0 {
		return 0, err
	}
	if watching.Load() != 0 {
		f.notifyIO(inModify)
	}
	SendAsync()
	if !f.seekable && f.Path.Mount != nil && f.Inode.Type() == unix.S_IFIFO {
		f.Inode.Touch()
	}
	if f.flags.Load()&unix.O_DSYNC != 0 {
		if err := f.Ops.Sync(c, f, f.flags.Load()&unix.O_SYNC != unix.O_SYNC); err != nil && err != unix.EINVAL {
			return 0, err
		}
	}
	return n, nil
}

// waiterOwner is a Caller that keeps a registration for its blocking calls,
// with itself as the Sleeper, so that none need be made for each.
type waiterOwner interface {
	// Waiter returns it, or nil when it is in use.
	Waiter() *wait.Waiter
}

// block calls try until it does something else than to return EAGAIN,
// sleeping on q for the events ev in between. timeout is in nanoseconds, 0
// for none.
func block(c Caller, q *wait.Queue, ev wait.Events, timeout int64, try func() error) error {
	var w *wait.Waiter
	if o, ok := c.(waiterOwner); ok {
		w = o.Waiter()
	}
	if w == nil {
		w = &wait.Waiter{Sleeper: c}
	}
	w.Mask = ev
	deadline := wait.NoDeadline
	if timeout > 0 {
		deadline = clock.Now() + timeout
	}
	q.Add(w)
	var err error
	for {
		if err = try(); !again(err) {
			break
		}
		if err = c.Sleep(deadline); err != nil {
			switch {
			case err == unix.ETIMEDOUT:
				err = unix.EAGAIN
			case timeout > 0 && err == abi.ErrRestartSys:
				err = unix.EINTR
			}
			break
		}
	}
	q.Remove(w)
	return err
}

func (f *File) waitRead(c Caller, b *mm.Buffer) (int, error) { return f.waitReadAt(c, b, -1) }

func (f *File) waitReadAt(c Caller, b *mm.Buffer, off int64) (n int, err error) {
	q := f.Ops.Queue(f)
	if q == nil {
		return 0, unix.EAGAIN
	}
	var timeout int64
	if t := f.timeouts; t != nil {
		timeout = t.ReadTimeout()
	}
	err = block(c, q, wait.In|wait.RdNorm|wait.RdHup, timeout, func() error {
		var err error
		n, err = f.Ops.Read(c, f, b, off)
		return err
	})
	return n, err
}

func (f *File) waitWrite(c Caller, b *mm.Buffer, off int64, done int) (int, error) {
	q := f.Ops.Queue(f)
	if q == nil {
		return done, unix.EAGAIN
	}
	var timeout int64
	if t := f.timeouts; t != nil {
		timeout = t.WriteTimeout()
	}
	err := block(c, q, wait.Out|wait.WrNorm, timeout, func() error {
		n, _, err := f.Ops.Write(c, f, b, off)
		done += n
		return err
	})
	return done, err
}

// Poll returns the events that hold now.
func (f *File) Poll() wait.Events {
	if f.IsPath() {
		return wait.Nval
	}
	return f.Ops.Poll(f)
}

// Grow records that the file now ends at size and was written.
func (i *Inode) Grow(size int64) {
	now := Now()
	i.mu.Lock()
	i.attr.Size = size
	i.attr.Mtime, i.attr.Ctime = now, now
	i.size.Store(size)
	i.stale.Store(true)
	i.mu.Unlock()
}
