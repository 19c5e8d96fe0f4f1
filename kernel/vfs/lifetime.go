package vfs

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

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
	f.timeouts, _ = ops.(Timeouts)
}

// Get takes a reference.
func (f *File) Get() { f.refs.Add(1) }

// References is how many there are: a hint unless they cannot change.
func (f *File) References() int64 { return f.refs.Load() }

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

// SharedWritable reports whether a shared mapping of i may write to it.
func SharedWritable(i *Inode) bool { return i.Cache != nil && i.Cache.WritablyMapped() }
