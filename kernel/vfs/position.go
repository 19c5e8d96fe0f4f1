package vfs

import (
	"math"

	"golang.org/x/sys/unix"
)

// Pos returns the file position.
func (f *File) Pos() int64 {
	f.posMu.Lock()
	defer f.posMu.Unlock()
	return f.pos
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
	if recorder != nil && f.pos == 0 {
		recordPath(NameListed, f.Path)
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
