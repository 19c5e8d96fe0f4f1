package tmpfs

import (
	"runtime"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// regular is the behaviour of an open regular file.
type regular struct{ vfs.BaseOps }

func (regular) Seekable() bool { return true }

func (regular) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	i := f.Inode
	n, err := i.Ops.(*node).data.Load().ReadAt(b, uint64(off), uint64(i.Size()))
	f.Accessed()
	runtime.KeepAlive(f) // it keeps the lower inode, which keeps its pages
	return n, err
}

func (regular) Write(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	i := f.Inode
	n := i.Ops.(*node)
	if b.Len() == 0 {
		return 0, off, nil
	}
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	size := i.Size()
	if f.Appending() {
		off = size
	}
	count, err := vfs.CheckWrite(c, f, off, b.Len())
	if err != nil {
		return 0, off, err
	}
	if seals := n.seals.Load(); seals&(sealWrite|sealFutureWrite|sealGrow) != 0 {
		if seals&(sealWrite|sealFutureWrite) != 0 {
			return 0, off, unix.EPERM
		}
		if off+int64(count) > size {
			// Linux looks at each page that is written for itself.
			if count = int(max(size&^(mm.PageSize-1)-off, 0)); count == 0 {
				return 0, off, unix.EPERM
			}
		}
	}
	if n.lower != nil {
		if err := n.copyUp(c, -1); err != nil {
			return 0, off, err
		}
	}
	f.DropPrivileges(c)
	b.Limit(count)
	done, err := n.write(b, off, count)
	if done > 0 {
		end := off + int64(done)
		if end > size {
			i.Grow(end)
		} else {
			i.Touch()
		}
		off = end
		err = nil
	}
	return done, off, err
}

// write copies into the page cache within the size= limit.
func (n *node) write(b *mm.Buffer, off int64, count int) (int, error) {
	data := n.data.Load()
	if n.fs.room(pagesOf(off, int64(count))) {
		done, err := data.WriteAt(b, uint64(off))
		n.charge()
		return done, noSpace(err)
	}
	// Near the limit: as far as there is a page or room for one.
	room := n.fs.maxPages.Load() - n.fs.pages.Load()
	start := uint64(off)
	end := start
	for end < start+uint64(count) {
		if next, ok := data.NextData(end); !ok || next != end {
			if room <= 0 {
				break
			}
			room--
		}
		end = (end + mm.PageSize) &^ (mm.PageSize - 1)
	}
	if end <= start {
		return 0, unix.ENOSPC
	}
	b.Limit(int(min(end-start, uint64(count))))
	done, err := data.WriteAt(b, uint64(off))
	n.charge()
	return done, noSpace(err)
}

// noSpace is the error of a write for which there was no memory.
func noSpace(err error) error {
	if err == unix.ENOMEM {
		return unix.ENOSPC
	}
	return err
}

func (regular) Seek(c vfs.Caller, f *vfs.File, off int64, whence int) (int64, error) {
	i := f.Inode
	n := i.Ops.(*node)
	size := i.Size()
	if !n.ownData() {
		return vfs.SeekData(size, off, whence)
	}
	if off < 0 || off >= size {
		return 0, unix.ENXIO
	}
	data := n.data.Load()
	if whence == unix.SEEK_HOLE {
		return min(int64(data.NextHole(uint64(off))), size), nil
	}
	next, ok := data.NextData(uint64(off))
	if !ok || int64(next) >= size {
		return 0, unix.ENXIO
	}
	return int64(next), nil
}

func (regular) Mmap(f *vfs.File) (*mm.PageCache, error) {
	return f.Inode.Ops.(*node).data.Load(), nil
}

// CheckMap refuses mappings that the seals of a memfd forbid.
func (regular) CheckMap(f *vfs.File, shared, write bool) error {
	if shared && write && f.Inode.Ops.(*node).seals.Load()&(sealWrite|sealFutureWrite) != 0 {
		return unix.EPERM
	}
	return nil
}

func (regular) Sync(vfs.Caller, *vfs.File, bool) error { return nil }

const (
	fallocKeepSize  = 0x01
	fallocPunchHole = 0x02
)

func (regular) Allocate(c vfs.Caller, f *vfs.File, mode uint32, off, count int64) error {
	if mode&^(fallocKeepSize|fallocPunchHole) != 0 {
		return unix.EOPNOTSUPP
	}
	i := f.Inode
	n := i.Ops.(*node)
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	seals := n.seals.Load()
	end := off + count
	f.DropPrivileges(c)
	if mode&fallocPunchHole != 0 {
		if seals&(sealWrite|sealFutureWrite) != 0 {
			return unix.EPERM
		}
		if err := n.copyUp(c, -1); err != nil {
			return err
		}
		n.data.Load().PunchHole(uint64(off), uint64(count))
		n.charge()
		i.Touch()
		return nil
	}
	size := i.Size()
	if mode&fallocKeepSize == 0 && end > size {
		if err := vfs.CheckSize(c, i, end); err != nil {
			return err
		}
	}
	if seals&sealGrow != 0 && end > size {
		return unix.EPERM
	}
	if err := n.copyUp(c, -1); err != nil {
		return err
	}
	data := n.data.Load()
	if !n.fs.room(pagesOf(off, count)) {
		return unix.ENOSPC
	}
	// Give every page of the range that lies within the file a frame.
	newSize := size
	if mode&fallocKeepSize == 0 && end > size {
		newSize = end
	}
	last := min(end, newSize)
	data.Truncate(uint64(newSize))
	if last > off {
		if err := data.Allocate(uint64(off), uint64(last-off)); err != nil {
			data.Truncate(uint64(size))
			n.charge()
			return noSpace(err)
		}
	}
	n.charge()
	if newSize > size {
		i.Grow(newSize)
	} else {
		i.Touch()
	}
	return nil
}
