package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// atSyncType is the mask of AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC.
const atSyncType = 0x6000

// stat shows the attributes of a file (stat(2)).
func (t Thread) stat(pathname, statbuf mm.Addr) error {
	p, err := t.lookup(unix.AT_FDCWD, pathname, vfs.Follow)
	if err != nil {
		return err
	}
	return t.putStat(p.Inode(), statbuf)
}

// lstat is stat that does not follow the last link (stat(2)).
func (t Thread) lstat(pathname, statbuf mm.Addr) error {
	p, err := t.lookup(unix.AT_FDCWD, pathname, 0)
	if err != nil {
		return err
	}
	return t.putStat(p.Inode(), statbuf)
}

// fstat shows the attributes of an open file (stat(2)).
func (t Thread) fstat(fd int32, statbuf mm.Addr) error {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return err
	}
	err = t.putStat(f.Inode, statbuf)
	f.Put()
	return err
}

// newfstatat is stat relative to a directory (stat(2)).
func (t Thread) newfstatat(dirfd int32, pathname, statbuf mm.Addr, flags int32) error {
	const known = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	p, err := t.lookupAt(dirfd, pathname, flags, known|atSyncType, false)
	if err != nil {
		return err
	}
	return t.putStat(p.Inode(), statbuf)
}

func (t Thread) putStat(i *vfs.Inode, statbuf mm.Addr) error {
	if i == nil {
		return unix.ENOENT
	}
	var a vfs.Attr
	if err := i.Stat(t.Thread, &a); err != nil {
		return err
	}
	st := unix.Stat_t{
		Dev: i.Dev(), Ino: i.Ino, Nlink: uint64(a.Nlink), Mode: a.Mode, Uid: a.UID, Gid: a.GID,
		Rdev: a.Rdev, Size: a.Size, Blksize: int64(blockSize(&a)), Blocks: a.Blocks,
		Atim: a.Atime, Mtim: a.Mtime, Ctim: a.Ctime,
	}
	return put(t, statbuf, &st)
}

func blockSize(a *vfs.Attr) uint32 {
	if a.BlockSize == 0 {
		return mm.PageSize
	}
	return a.BlockSize
}

// statx shows the attributes asked for, and more (statx(2)).
func (t Thread) statx(dirfd int32, pathname mm.Addr, flags int32, mask uint32, buf mm.Addr) error {
	const known = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH | atSyncType
	const reserved = 0x80000000
	if mask&reserved != 0 || flags&atSyncType == atSyncType {
		return unix.EINVAL
	}
	p, err := t.lookupAt(dirfd, pathname, flags, known, false)
	if err != nil {
		return err
	}
	i := p.Inode()
	if i == nil {
		return unix.ENOENT
	}
	var a vfs.Attr
	if err := i.Stat(t.Thread, &a); err != nil {
		return err
	}
	dev := i.Dev()
	stx := unix.Statx_t{
		Mask:    unix.STATX_BASIC_STATS,
		Blksize: blockSize(&a), Nlink: a.Nlink, Uid: a.UID, Gid: a.GID, Mode: uint16(a.Mode),
		Ino: i.Ino, Size: uint64(a.Size), Blocks: uint64(a.Blocks),
		Atime: statxTime(a.Atime), Mtime: statxTime(a.Mtime), Ctime: statxTime(a.Ctime),
		Rdev_major: unix.Major(a.Rdev), Rdev_minor: unix.Minor(a.Rdev),
		Dev_major: unix.Major(dev), Dev_minor: unix.Minor(dev),
	}
	if a.Btime != (unix.Timespec{}) {
		stx.Mask |= unix.STATX_BTIME
		stx.Btime = statxTime(a.Btime)
	}
	stx.Attributes_mask = unix.STATX_ATTR_MOUNT_ROOT
	if p.Mount != nil {
		stx.Mask |= unix.STATX_MNT_ID
		stx.Mnt_id = uint64(p.Mount.ID)
		if p.Dentry == p.Mount.Root {
			stx.Attributes |= unix.STATX_ATTR_MOUNT_ROOT
		}
	}
	return put(t, buf, &stx)
}

func statxTime(ts unix.Timespec) unix.StatxTimestamp {
	return unix.StatxTimestamp{Sec: ts.Sec, Nsec: uint32(ts.Nsec)}
}

// access checks what the real user may do with a file (access(2)).
func (t Thread) access(pathname mm.Addr, mode uint32) error {
	return t.faccessat2(unix.AT_FDCWD, pathname, mode, 0)
}

// faccessat is access relative to a directory (access(2)).
func (t Thread) faccessat(dirfd int32, pathname mm.Addr, mode uint32) error {
	return t.faccessat2(dirfd, pathname, mode, 0)
}

// faccessat2 is faccessat with flags (access(2)).
func (t Thread) faccessat2(dirfd int32, pathname mm.Addr, mode uint32, flags int32) error {
	const known = unix.AT_EACCESS | unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH
	if mode&^7 != 0 || flags&^known != 0 {
		return unix.EINVAL
	}
	cr := t.Cred()
	c := vfs.Caller(t.Thread)
	if flags&unix.AT_EACCESS == 0 && (cr.FSUID != cr.UID || cr.FSGID != cr.GID) {
		real := cr.Clone()
		real.FSUID, real.FSGID = cr.UID, cr.GID
		if real.UID == 0 {
			real.Effective = real.Permitted
		} else {
			real.Effective = 0
		}
		cr, c = real, vfs.WithCred(c, real)
	}
	path, err := t.accessPath(pathname, flags)
	if err != nil {
		return err
	}
	var at vfs.Path
	start, err := t.start(dirfd, path, &at)
	if err != nil {
		return err
	}
	lf := vfs.Follow
	if flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		lf = 0
	}
	if flags&unix.AT_EMPTY_PATH != 0 {
		lf |= vfs.Empty
	}
	p, err := vfs.Lookup(c, start, path, lf)
	if err != nil {
		return err
	}
	i := p.Inode()
	if mode&unix.X_OK != 0 && i.Type() == unix.S_IFREG && p.Mount != nil && p.Mount.Flags()&unix.MS_NOEXEC != 0 {
		return unix.EACCES
	}
	if mode == 0 {
		return nil
	}
	return vfs.Access(cr, p.Mount, i, mode)
}

func (t Thread) accessPath(pathname mm.Addr, flags int32) (string, error) {
	if flags&unix.AT_EMPTY_PATH != 0 && pathname == 0 {
		return "", nil
	}
	return t.pathArg(pathname)
}

// readlink reads a symbolic link (readlink(2)).
func (t Thread) readlink(pathname, buf mm.Addr, size int32) (int, error) {
	return t.readlinkat(unix.AT_FDCWD, pathname, buf, size)
}

// readlinkat is readlink relative to a directory; an empty path means the
// link that dirfd itself is (readlink(2)).
func (t Thread) readlinkat(dirfd int32, pathname, buf mm.Addr, size int32) (int, error) {
	if size <= 0 {
		return 0, unix.EINVAL
	}
	path, err := t.pathArg(pathname)
	if err != nil {
		return 0, err
	}
	p, err := t.lookupString(dirfd, path, vfs.Empty)
	if err != nil {
		return 0, err
	}
	if path == "" && (dirfd == unix.AT_FDCWD || p.Inode().Type() != unix.S_IFLNK) {
		return 0, unix.ENOENT
	}
	target, err := vfs.Readlink(t.Thread, p)
	if err != nil {
		return 0, err
	}
	n := min(len(target), int(size))
	return n, t.putString(buf, target[:n])
}

// putString copies s to user memory without a NUL.
func (t Thread) putString(a mm.Addr, s string) error {
	var small [256]byte
	b := append(small[:0], s...)
	_, err := t.AddressSpace().CopyOut(a, b)
	return err
}

// statfs shows the file system that holds a path (statfs(2)).
func (t Thread) statfs(path, buf mm.Addr) error {
	p, err := t.lookup(unix.AT_FDCWD, path, vfs.Follow)
	if err != nil {
		return err
	}
	return t.putStatfs(p, buf)
}

// fstatfs shows the file system of an open file (statfs(2)).
func (t Thread) fstatfs(fd int32, buf mm.Addr) error {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return err
	}
	defer f.Put()
	return t.putStatfs(f.Path, buf)
}

func (t Thread) putStatfs(p vfs.Path, buf mm.Addr) error {
	var st unix.Statfs_t
	if err := vfs.Statfs(p, &st); err != nil {
		return err
	}
	return put(t, buf, &st)
}

// ustat shows statistics of a mounted device (ustat(2)).
func (t Thread) ustat(dev uint32, ubuf mm.Addr) error {
	sb := t.FS().Root().Mount.Namespace().FindDev(uint64(dev))
	if sb == nil {
		return unix.EINVAL
	}
	var st unix.Statfs_t
	if err := vfs.Statfs(vfs.Path{Dentry: sb.RootDentry()}, &st); err != nil {
		return err
	}
	u := struct {
		free  int32
		_     int32
		inode uint64
		name  [6]byte
		pack  [6]byte
		_     [4]byte
	}{free: int32(st.Bfree), inode: st.Ffree}
	return put(t, ubuf, &u)
}
