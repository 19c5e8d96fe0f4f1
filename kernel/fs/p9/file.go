package p9

import (
	"runtime"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// file is an open regular file. All data goes through the page cache, and
// what is written goes on to the host at once.
type file struct {
	vfs.BaseOps
	n *node
}

func (o *file) Seekable() bool { return true }

func (o *file) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	size := o.n.h.size.Load()
	if uint64(off) >= size {
		// A reader who waits for a file to grow sees it grow.
		if err := o.n.Getattr(c, f.Inode); err != nil {
			return 0, err
		}
		if size = o.n.h.size.Load(); uint64(off) >= size {
			return 0, nil
		}
	}
	n, err := f.Inode.Cache.ReadAt(b, uint64(off), size)
	runtime.KeepAlive(f)
	return n, err
}

func (o *file) Write(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	i, h := f.Inode, o.n.h
	if o.n.fs.readOnly {
		return 0, off, unix.EROFS
	}
	if b.Len() == 0 {
		return 0, off, nil
	}
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	if f.Flags()&unix.O_APPEND != 0 {
		if err := o.n.refresh(i); err != nil {
			return 0, off, err
		}
		off = int64(h.size.Load())
	}
	count, err := vfs.CheckWrite(c, f, off, b.Len())
	if err != nil {
		return 0, off, err
	}
	vfs.DropPrivileges(c, i)
	b.Limit(count)
	done, err := i.Cache.WriteAt(b, uint64(off))
	if done > 0 {
		end := off + int64(done)
		if uint64(end) > h.size.Load() {
			h.size.Store(uint64(end))
		}
		now := vfs.Now()
		i.Update(func(a *vfs.Attr) {
			a.Size = max(a.Size, end)
			a.Mtime, a.Ctime = now, now
		})
		if e := i.Cache.Sync(uint64(off), uint64(done)); e != nil {
			return 0, off, e
		}
		o.n.stale()
		runtime.KeepAlive(f)
		return done, end, nil
	}
	return 0, off, err
}

func (o *file) Seek(_ vfs.Caller, f *vfs.File, off int64, whence int) (int64, error) {
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, unix.EINVAL
	}
	return vfs.SeekData(f.Inode.Size(), off, whence)
}

func (o *file) Mmap(f *vfs.File) (*mm.PageCache, error) { return f.Inode.Cache, nil }

func (o *file) Sync(_ vfs.Caller, f *vfs.File, dataOnly bool) error {
	if o.n.fs.readOnly {
		return nil
	}
	if err := f.Inode.Cache.Sync(0, 0); err != nil {
		return err
	}
	w, err := o.n.h.forWriting()
	if err != nil {
		return nil // opened for reading only: there is nothing of ours to sync
	}
	k, err := o.n.fs.c.get(tfsync)
	if err != nil {
		return err
	}
	k.u32(w)
	only := uint32(0)
	if dataOnly {
		only = 1
	}
	k.u32(only)
	return o.n.fs.c.simple(k)
}

func (o *file) Allocate(vfs.Caller, *vfs.File, uint32, int64, int64) error {
	if o.n.fs.readOnly {
		return unix.EROFS
	}
	return unix.EOPNOTSUPP
}

// directory is an open directory. Positions count entries, in the list as it
// was when position 0 was read.
type directory struct {
	vfs.BaseOps
	n    *node
	list []entry // guarded by the file's position lock
}

func (o *directory) Seekable() bool { return true }

func (o *directory) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) {
	return 0, unix.EISDIR
}

func (o *directory) Sync(vfs.Caller, *vfs.File, bool) error { return nil }

func (o *directory) Seek(_ vfs.Caller, _ *vfs.File, off int64, whence int) (int64, error) {
	if whence != unix.SEEK_SET || off < 0 {
		return 0, unix.EINVAL
	}
	return off, nil
}

func (o *directory) ReadDir(_ vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	if *pos == 0 || o.list == nil {
		list, err := o.n.entries(f.Inode)
		if err != nil {
			return err
		}
		o.list = list
		runtime.KeepAlive(f)
	}
	for *pos >= 0 && *pos < int64(len(o.list)) {
		e := &o.list[*pos]
		if !emit(vfs.Dirent{Name: e.name, Ino: e.ino, Type: e.kind, Next: *pos + 1}) {
			return nil
		}
		*pos++
	}
	return nil
}

// entries returns the directory's entries, from memory if the directory has
// not changed. The list must not be changed.
func (n *node) entries(i *vfs.Inode) ([]entry, error) {
	if n.old() {
		if err := n.refresh(i); err != nil && err != error(unix.ESTALE) {
			return nil, err
		}
	}
	n.mu.Lock()
	list, listed, mtime := n.list, n.listed, n.mtime
	n.mu.Unlock()
	if listed {
		return list, nil
	}
	c := n.fs.c
	f, _, err := c.walk(n.h.walkable(), "")
	if err != nil {
		return nil, err
	}
	defer c.clunk(f)
	if _, err := c.open(f, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return nil, err
	}
	list = make([]entry, 0, 16)
	malformed, last := false, uint64(0)
	err = c.readAll(f, treaddir, func(data []byte) (uint64, bool) {
		var next uint64
		var ok bool
		before := len(list)
		list, next, ok = parseEntries(data, list)
		malformed = !ok
		// A server that does not move on would keep us here for ever.
		stuck := next == last || len(list) == before
		last = next
		return next, ok && !stuck
	})
	if err == nil && malformed {
		err = unix.EIO
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	if n.mtime == mtime && len(list) <= maxListed {
		n.list, n.listed = list, true
	}
	n.mu.Unlock()
	return list, nil
}

var (
	_ vfs.FileOps = (*file)(nil)
	_ vfs.FileOps = (*directory)(nil)
)
