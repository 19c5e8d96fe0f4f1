package vfs

import (
	"math"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

func (f *File) init(p Path, flags uint32, ops FileOps) {
	f.Path, f.Ops = p, ops
	if p.Dentry != nil {
		if f.Inode = p.Dentry.Inode(); f.Inode != nil {
			f.Inode.Get()
		}
	}
	p.Mount.get()
	f.refs.Store(1)
	f.flags.Store(flags)
	f.seekable = ops != nil && ops.Seekable()
}

// Get takes a reference.
func (f *File) Get() { f.refs.Add(1) }

// tryGet takes a reference unless the last one is gone already.
func (f *File) tryGet() bool {
	for {
		n := f.refs.Load()
		if n <= 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Put drops a reference and releases the file with the last.
func (f *File) Put() {
	if f.refs.Add(-1) == 0 {
		f.release()
	}
}

func (f *File) release() {
	f.watches.gone()
	if watching.Load() != 0 && f.flags.Load()&unix.O_PATH == 0 {
		if f.writable() {
			f.notify(inCloseWrite)
		} else {
			f.notify(inCloseNoWrite)
		}
	}
	if f.locked.Load() {
		f.Inode.releaseFileLocks(f)
	}
	f.Ops.Release(f)
	i := f.Inode
	if i == nil {
		return
	}
	if f.writer {
		i.writes.Add(-1)
	}
	i.Put()
	f.Path.Mount.put()
}

func (f *File) readable() bool {
	m := f.flags.Load() & (unix.O_ACCMODE | unix.O_PATH)
	return m == unix.O_RDONLY || m == unix.O_RDWR
}

func (f *File) writable() bool {
	m := f.flags.Load() & (unix.O_ACCMODE | unix.O_PATH)
	return m == unix.O_WRONLY || m == unix.O_RDWR
}

// Readable and Writable report the access mode the file was opened with.
func (f *File) Readable() bool { return f.readable() }

// Writable reports whether the file was opened for writing.
func (f *File) Writable() bool { return f.writable() }

// IsPath reports whether the file was opened with O_PATH.
func (f *File) IsPath() bool { return f.flags.Load()&unix.O_PATH != 0 }

// SetStatusFlags changes the flags that F_SETFL may change.
func (f *File) SetStatusFlags(flags uint32) error {
	const settable = unix.O_APPEND | unix.O_NONBLOCK | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME
	old := f.flags.Load()
	flags = old&^settable | flags&settable
	if flags == old {
		return nil
	}
	if err := f.Ops.SetFlags(f, flags); err != nil {
		return err
	}
	for !f.flags.CompareAndSwap(old, old&^settable|flags&settable) {
		old = f.flags.Load()
	}
	return nil
}

// Owner returns what SetOwner set, nil if nothing.
func (f *File) Owner() *Owner { return f.owner.Load() }

// SetOwner serves F_SETOWN and F_SETOWN_EX.
func (f *File) SetOwner(o *Owner) { f.owner.Store(o) }

// Signal is F_GETSIG's number; SetSignal sets it.
func (f *File) Signal() int32 { return f.sig.Load() }

// SetSignal serves F_SETSIG.
func (f *File) SetSignal(n int32) { f.sig.Store(n) }

// PageCache makes File an mm.Mappable: the cache to map, nil if there is none.
func (f *File) PageCache() *mm.PageCache {
	c, err := f.Ops.Mmap(f)
	if err != nil {
		return nil
	}
	return c
}

// MapName is the name that /proc/self/maps shows.
func (f *File) MapName() string { return f.Path.Name() }

// MapDev is the device that /proc/self/maps shows.
func (f *File) MapDev() uint64 { return f.Inode.Dev() }

// MapIno is the inode number that /proc/self/maps shows.
func (f *File) MapIno() uint64 { return f.Inode.Ino }

// Pos returns the file position.
func (f *File) Pos() int64 {
	f.posMu.Lock()
	defer f.posMu.Unlock()
	return f.pos
}

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
	if err == unix.EAGAIN && n == 0 && !f.NonBlock() {
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
	if err == unix.EAGAIN && n == 0 && !f.NonBlock() {
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
	if err == unix.EAGAIN && !f.NonBlock() {
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
	if err == unix.EAGAIN && !f.NonBlock() {
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

// fileWaiter is a registration that wakes a thread; they are pooled, since
// every blocking read needs one.
type fileWaiter struct {
	wait.Waiter
	s wait.Sleeper
}

var waiters = sync.Pool{New: func() any {
	w := &fileWaiter{}
	w.Wake = func(*wait.Waiter, wait.Events) bool {
		w.s.Wake()
		return true
	}
	return w
}}

// block calls try until it does something else than to return EAGAIN,
// sleeping on q for the events ev in between. timeout is in nanoseconds, 0
// for none.
func block(c Caller, q *wait.Queue, ev wait.Events, timeout int64, try func() error) error {
	w := waiters.Get().(*fileWaiter)
	w.s, w.Mask = c, ev
	deadline := wait.NoDeadline
	if timeout > 0 {
		deadline = clock.Now() + timeout
	}
	q.Add(&w.Waiter)
	var err error
	for {
		if err = try(); err != unix.EAGAIN {
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
	q.Remove(&w.Waiter)
	w.s = nil
	waiters.Put(w)
	return err
}

func (f *File) waitRead(c Caller, b *mm.Buffer) (int, error) { return f.waitReadAt(c, b, -1) }

func (f *File) waitReadAt(c Caller, b *mm.Buffer, off int64) (n int, err error) {
	q := f.Ops.Queue(f)
	if q == nil {
		return 0, unix.EAGAIN
	}
	var timeout int64
	if t, ok := f.Ops.(Timeouts); ok {
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
	if t, ok := f.Ops.(Timeouts); ok {
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

// CheckWrite is what a file system asks before it writes n bytes of a regular
// file at off, with the inode's DirMu held: RLIMIT_FSIZE (SIGXFSZ and EFBIG)
// and the largest offset. It returns how many bytes may be written.
func CheckWrite(c Caller, f *File, off int64, n int) (int, error) {
	if limit := c.FileSizeLimit(); uint64(off)+uint64(n) > limit {
		if uint64(off) >= limit {
			c.Raise(int(unix.SIGXFSZ))
			return 0, unix.EFBIG
		}
		n = int(limit - uint64(off))
	}
	max := int64(math.MaxInt64)
	if f.Inode.FS != nil && f.Inode.FS.MaxBytes != 0 {
		max = f.Inode.FS.MaxBytes
	}
	if off >= max {
		return 0, unix.EFBIG
	}
	if int64(n) > max-off {
		n = int(max - off)
	}
	return n, nil
}

// Lseek serves lseek(2).
func (f *File) Lseek(c Caller, off int64, whence int) (int64, error) {
	if f.IsPath() {
		return 0, unix.EBADF
	}
	if whence < 0 || whence > unix.SEEK_HOLE {
		return 0, unix.EINVAL
	}
	if !f.seekable {
		if f.Inode != nil && f.Inode.IsDir() {
			return 0, unix.EINVAL
		}
		return f.Ops.Seek(c, f, off, whence)
	}
	f.posMu.Lock()
	defer f.posMu.Unlock()
	kind := f.Inode.Type()
	switch whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		if off == 0 {
			return f.pos, nil
		}
		if off > 0 && f.pos > math.MaxInt64-off {
			return 0, unix.EINVAL
		}
		off += f.pos
	case unix.SEEK_END:
		if kind == unix.S_IFDIR || kind == unix.S_IFCHR {
			n, err := f.Ops.Seek(c, f, off, whence)
			if err == unix.ESPIPE {
				err = unix.EINVAL
			}
			if err == nil {
				f.pos = n
			}
			return n, err
		}
		if err := f.Inode.Ops.Getattr(c, f.Inode); err != nil {
			return 0, err
		}
		size := f.Inode.Size()
		if off > math.MaxInt64-size {
			return 0, unix.EINVAL
		}
		off += size
	default:
		n, err := f.Ops.Seek(c, f, off, whence)
		if err == unix.ESPIPE { // no opinion: all data up to the end
			n, err = SeekData(f.Inode.Size(), off, whence)
			if kind == unix.S_IFDIR {
				err = unix.EINVAL
			}
		}
		if err == nil {
			f.pos = n
		}
		return n, err
	}
	if off < 0 {
		return 0, unix.EINVAL
	}
	if fs := f.Inode.FS; kind == unix.S_IFREG && fs != nil && fs.MaxBytes != 0 && off > fs.MaxBytes {
		return 0, unix.EINVAL
	}
	f.pos = off
	return off, nil
}

// SeekData serves SEEK_DATA and SEEK_HOLE of a file without holes.
func SeekData(size, off int64, whence int) (int64, error) {
	if off < 0 || off >= size {
		return 0, unix.ENXIO
	}
	if whence == unix.SEEK_HOLE {
		return size, nil
	}
	return off, nil
}

// ReadDir serves getdents64(2): emit gets entries from the file's position
// on until it returns false.
func (f *File) ReadDir(c Caller, emit func(Dirent) bool) error {
	if f.IsPath() {
		return unix.EBADF
	}
	i := f.Inode
	if i == nil || !i.IsDir() {
		return unix.ENOTDIR
	}
	f.posMu.Lock()
	defer f.posMu.Unlock()
	if f.Path.Dentry.Deleted() {
		return unix.ENOENT
	}
	err := f.Ops.ReadDir(c, f, &f.pos, emit)
	i.Accessed(f.Path.Mount)
	if watching.Load() != 0 {
		f.notify(inAccess)
	}
	return err
}

// Ioctl passes a request to the file.
func (f *File) Ioctl(c Caller, request uint32, arg uintptr) (uintptr, error) {
	if f.IsPath() {
		return 0, unix.EBADF
	}
	return f.Ops.Ioctl(c, f, request, arg)
}

// Sync serves fsync(2) and fdatasync(2).
func (f *File) Sync(c Caller, dataOnly bool) error {
	if f.IsPath() {
		return unix.EBADF
	}
	return f.Ops.Sync(c, f, dataOnly)
}

// The modes of fallocate(2).
const (
	fallocKeepSize  = 0x01
	fallocPunchHole = 0x02
	fallocCollapse  = 0x08
	fallocZeroRange = 0x10
	fallocInsert    = 0x20
	fallocUnshare   = 0x40
	fallocKnown     = fallocKeepSize | fallocPunchHole | fallocCollapse | fallocZeroRange | fallocInsert | fallocUnshare
)

// Allocate serves fallocate(2).
func (f *File) Allocate(c Caller, mode uint32, off, n int64) error {
	if f.IsPath() {
		return unix.EBADF
	}
	if off < 0 || n <= 0 {
		return unix.EINVAL
	}
	if mode&^fallocKnown != 0 {
		return unix.EOPNOTSUPP
	}
	switch mode &^ fallocKeepSize {
	case 0, fallocUnshare, fallocZeroRange:
	case fallocPunchHole:
		if mode&fallocKeepSize == 0 {
			return unix.EOPNOTSUPP
		}
	case fallocCollapse, fallocInsert:
		if mode&fallocKeepSize != 0 {
			return unix.EINVAL
		}
	default:
		return unix.EOPNOTSUPP
	}
	if !f.writable() {
		return unix.EBADF
	}
	if mode&^fallocKeepSize != 0 && f.flags.Load()&unix.O_APPEND != 0 && f.Inode.appendOnly() {
		return unix.EPERM
	}
	switch f.Inode.Type() {
	case unix.S_IFREG, unix.S_IFBLK:
	case unix.S_IFIFO:
		return unix.ESPIPE
	case unix.S_IFDIR:
		return unix.EISDIR
	default:
		return unix.ENODEV
	}
	max := int64(math.MaxInt64)
	if f.Inode.FS != nil && f.Inode.FS.MaxBytes != 0 {
		max = f.Inode.FS.MaxBytes
	}
	if n > max-off {
		return unix.EFBIG
	}
	if err := f.Ops.Allocate(c, f, mode, off, n); err != nil {
		return err
	}
	if watching.Load() != 0 {
		f.notify(inModify)
	}
	return nil
}

func (i *Inode) appendOnly() bool { return false }

// Accessed updates the access time after a read, unless O_NOATIME forbids it.
func (f *File) Accessed() {
	if f.Inode.stale.Load() && f.flags.Load()&unix.O_NOATIME == 0 {
		f.Inode.Accessed(f.Path.Mount)
	}
}

// Appending reports whether this write goes to the end of the file.
func (f *File) Appending() bool { return f.flags.Load()&unix.O_APPEND != 0 }

// OpenInode opens an inode that has no path: for the kernel's own use, without
// any check.
func OpenInode(c Caller, i *Inode, flags uint32) (*File, error) {
	f, err := open(c, Path{Dentry: newDentry(nil, "/", 0, i)}, flags)
	return f, err
}

// DeletedPath returns a place that reads "/name (deleted)" and leads to i.
func DeletedPath(name string, i *Inode) Path {
	d := newDentry(nil, "/"+name+" (deleted)", 0, i)
	d.flags.Or(dentryAnon | dentryDeleted)
	return Path{Dentry: d}
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

// SharedWritable reports whether a shared mapping of i may write to it.
func SharedWritable(i *Inode) bool { return i.Cache != nil && i.Cache.WritablyMapped() }
