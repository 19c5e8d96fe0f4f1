package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// chmod changes the permissions of a file (chmod(2)).
func (t Thread) chmod(pathname mm.Addr, mode uint32) error {
	return t.fchmodat(unix.AT_FDCWD, pathname, mode)
}

// fchmod changes the permissions of an open file (chmod(2)).
func (t Thread) fchmod(fd int32, mode uint32) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return vfs.Chmod(t.Thread, f.Path, mode)
}

// fchmodat is chmod relative to a directory (chmod(2)).
func (t Thread) fchmodat(dirfd int32, pathname mm.Addr, mode uint32) error {
	return t.fchmodat2(dirfd, pathname, mode, 0)
}

// fchmodat2 is fchmodat with flags (chmod(2)).
func (t Thread) fchmodat2(dirfd int32, pathname mm.Addr, mode uint32, flags int32) error {
	p, err := t.lookupAt(dirfd, pathname, flags, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH, false)
	if err != nil {
		return err
	}
	return vfs.Chmod(t.Thread, p, mode)
}

// chown changes the owner of a file (chown(2)).
func (t Thread) chown(pathname mm.Addr, owner, group uint32) error {
	return t.fchownat(unix.AT_FDCWD, pathname, owner, group, 0)
}

// lchown is chown that does not follow the last link (chown(2)).
func (t Thread) lchown(pathname mm.Addr, owner, group uint32) error {
	return t.fchownat(unix.AT_FDCWD, pathname, owner, group, unix.AT_SYMLINK_NOFOLLOW)
}

// fchown changes the owner of an open file (chown(2)).
func (t Thread) fchown(fd int32, owner, group uint32) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return vfs.Chown(t.Thread, f.Path, owner, group)
}

// fchownat is chown relative to a directory (chown(2)).
func (t Thread) fchownat(dirfd int32, pathname mm.Addr, owner, group uint32, flags int32) error {
	p, err := t.lookupAt(dirfd, pathname, flags, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH, false)
	if err != nil {
		return err
	}
	return vfs.Chown(t.Thread, p, owner, group)
}

// truncate sets the size of a file (truncate(2)).
func (t Thread) truncate(path mm.Addr, length int64) error {
	if length < 0 {
		return unix.EINVAL
	}
	p, err := t.lookup(unix.AT_FDCWD, path, vfs.Follow)
	if err != nil {
		return err
	}
	return vfs.Truncate(t.Thread, p, length)
}

// ftruncate sets the size of an open file (truncate(2)).
func (t Thread) ftruncate(fd int32, length int64) error {
	if length < 0 {
		return unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Truncate(t.Thread, length)
}

// fallocate manipulates the space of a file (fallocate(2)).
func (t Thread) fallocate(fd int32, mode uint32, offset, length int64) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Allocate(t.Thread, mode, offset, length)
}

// fadvise64 announces a pattern of access (posix_fadvise(2)).
func (t Thread) fadvise64(fd int32, offset, length int64, advice int32) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Advise(offset, length, advice)
}

// readahead fills the page cache (readahead(2)).
func (t Thread) readahead(fd int32, offset int64, count uint64) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	if !f.Readable() {
		return unix.EBADF
	}
	if f.Inode.Type() != unix.S_IFREG && f.Inode.Type() != unix.S_IFBLK {
		return unix.EINVAL
	}
	return f.Advise(offset, int64(min(count, maxRW)), unix.FADV_WILLNEED)
}

// sync writes all file systems back (sync(2)).
func (t Thread) sync() error {
	t.FS().Root().Mount.Namespace().SyncAll()
	return nil
}

// syncfs writes one file system back (sync(2)).
func (t Thread) syncfs(fd int32) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	if sb := f.Inode.FS; sb != nil && sb.Sync != nil {
		return sb.Sync()
	}
	return nil
}

// fsync writes a file back (fsync(2)).
func (t Thread) fsync(fd int32) error { return t.syncFile(fd, false) }

// fdatasync writes the data of a file back (fsync(2)).
func (t Thread) fdatasync(fd int32) error { return t.syncFile(fd, true) }

func (t Thread) syncFile(fd int32, dataOnly bool) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Sync(t.Thread, dataOnly)
}

// sync_file_range writes a part of a file back (sync_file_range(2)).
func (t Thread) sync_file_range(fd int32, offset, nbytes int64, flags uint32) error {
	if flags&^(unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER) != 0 {
		return unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	if offset < 0 || nbytes < 0 || offset+nbytes < offset {
		return unix.EINVAL
	}
	switch f.Inode.Type() {
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR, unix.S_IFLNK:
	default:
		return unix.ESPIPE
	}
	if flags == 0 {
		return nil
	}
	return f.Sync(t.Thread, true)
}

// utime sets the times of a file in seconds (utime(2)).
func (t Thread) utime(filename, times mm.Addr) error {
	var ts *[2]unix.Timespec
	if times != 0 {
		var u [2]int64
		if err := get(t, times, &u); err != nil {
			return err
		}
		ts = &[2]unix.Timespec{{Sec: u[0]}, {Sec: u[1]}}
	}
	return t.setTimes(unix.AT_FDCWD, filename, ts, 0)
}

// utimes sets the times of a file in microseconds (utime(2)).
func (t Thread) utimes(filename, times mm.Addr) error {
	return t.futimesat(unix.AT_FDCWD, filename, times)
}

// futimesat is utimes relative to a directory (futimesat(2)).
func (t Thread) futimesat(dirfd int32, pathname, times mm.Addr) error {
	var ts *[2]unix.Timespec
	if times != 0 {
		var u [2]unix.Timeval
		if err := get(t, times, &u); err != nil {
			return err
		}
		ts = new([2]unix.Timespec)
		for i := range u {
			if u[i].Usec < 0 || u[i].Usec >= 1e6 {
				return unix.EINVAL
			}
			ts[i] = unix.Timespec{Sec: u[i].Sec, Nsec: u[i].Usec * 1000}
		}
	}
	if pathname == 0 {
		return t.setFileTimes(dirfd, ts)
	}
	return t.setTimes(dirfd, pathname, ts, 0)
}

// utimensat sets the times of a file in nanoseconds (utimensat(2)).
func (t Thread) utimensat(dirfd int32, pathname, times mm.Addr, flags int32) error {
	var ts *[2]unix.Timespec
	if times != 0 {
		ts = new([2]unix.Timespec)
		if err := get(t, times, ts); err != nil {
			return err
		}
		if ts[0].Nsec == unix.UTIME_OMIT && ts[1].Nsec == unix.UTIME_OMIT {
			return nil
		}
	}
	if pathname == 0 && dirfd != unix.AT_FDCWD {
		if flags != 0 {
			return unix.EINVAL
		}
		return t.setFileTimes(dirfd, ts)
	}
	return t.setTimes(dirfd, pathname, ts, flags)
}

func (t Thread) setTimes(dirfd int32, pathname mm.Addr, ts *[2]unix.Timespec, flags int32) error {
	p, err := t.lookupAt(dirfd, pathname, flags, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH, false)
	if err != nil {
		return err
	}
	return vfs.Utimes(t.Thread, p, ts)
}

func (t Thread) setFileTimes(fd int32, ts *[2]unix.Timespec) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return vfs.Utimes(t.Thread, f.Path, ts)
}
