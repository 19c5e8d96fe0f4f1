package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// mkdir makes a directory (mkdir(2)).
func (t Thread) mkdir(pathname mm.Addr, mode uint32) error {
	return t.mkdirat(unix.AT_FDCWD, pathname, mode)
}

// mkdirat is mkdir relative to a directory (mkdir(2)).
func (t Thread) mkdirat(dirfd int32, pathname mm.Addr, mode uint32) error {
	path, at, err := t.nameArg(dirfd, pathname)
	if err != nil {
		return err
	}
	return vfs.Mkdir(t.Thread, at.start(), path, mode)
}

// anchor is the starting point of a walk; ok is false for the working
// directory.
type anchor struct {
	place vfs.Path
	ok    bool
}

func (a *anchor) start() *vfs.Path {
	if a.ok {
		return &a.place
	}
	return nil
}

// nameArg reads a path argument and finds where its walk begins.
func (t Thread) nameArg(dirfd int32, pathname mm.Addr) (path string, at anchor, err error) {
	if path, err = t.pathArg(pathname); err != nil {
		return "", at, err
	}
	start, err := t.start(dirfd, path, &at.place)
	at.ok = start != nil
	return path, at, err
}

// rmdir removes an empty directory (rmdir(2)).
func (t Thread) rmdir(pathname mm.Addr) error {
	return t.unlinkat(unix.AT_FDCWD, pathname, unix.AT_REMOVEDIR)
}

// unlink removes a name (unlink(2)).
func (t Thread) unlink(pathname mm.Addr) error {
	return t.unlinkat(unix.AT_FDCWD, pathname, 0)
}

// unlinkat removes a name relative to a directory (unlink(2)).
func (t Thread) unlinkat(dirfd int32, pathname mm.Addr, flags int32) error {
	if flags&^unix.AT_REMOVEDIR != 0 {
		return unix.EINVAL
	}
	path, at, err := t.nameArg(dirfd, pathname)
	if err != nil {
		return err
	}
	if flags&unix.AT_REMOVEDIR != 0 {
		return vfs.Rmdir(t.Thread, at.start(), path)
	}
	return vfs.Unlink(t.Thread, at.start(), path)
}

// rename moves a name (rename(2)).
func (t Thread) rename(oldpath, newpath mm.Addr) error {
	return t.renameat2(unix.AT_FDCWD, oldpath, unix.AT_FDCWD, newpath, 0)
}

// renameat is rename relative to directories (rename(2)).
func (t Thread) renameat(olddirfd int32, oldpath mm.Addr, newdirfd int32, newpath mm.Addr) error {
	return t.renameat2(olddirfd, oldpath, newdirfd, newpath, 0)
}

// renameat2 is renameat with flags (rename(2)).
func (t Thread) renameat2(olddirfd int32, oldpath mm.Addr, newdirfd int32, newpath mm.Addr, flags uint32) error {
	from, fromAt, err := t.nameArg(olddirfd, oldpath)
	if err != nil {
		return err
	}
	to, toAt, err := t.nameArg(newdirfd, newpath)
	if err != nil {
		return err
	}
	return vfs.Rename(t.Thread, fromAt.start(), from, toAt.start(), to, flags)
}

// link makes a new name for a file (link(2)).
func (t Thread) link(oldpath, newpath mm.Addr) error {
	return t.linkat(unix.AT_FDCWD, oldpath, unix.AT_FDCWD, newpath, 0)
}

// linkat is link relative to directories (link(2)).
func (t Thread) linkat(olddirfd int32, oldpath mm.Addr, newdirfd int32, newpath mm.Addr, flags int32) error {
	if flags&^(unix.AT_SYMLINK_FOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return unix.EINVAL
	}
	old, err := t.lookupAt(olddirfd, oldpath, flags, flags, true)
	if err != nil {
		return err
	}
	path, at, err := t.nameArg(newdirfd, newpath)
	if err != nil {
		return err
	}
	return vfs.Link(t.Thread, old, at.start(), path)
}

// symlink makes a symbolic link (symlink(2)).
func (t Thread) symlink(target, linkpath mm.Addr) error {
	return t.symlinkat(target, unix.AT_FDCWD, linkpath)
}

// symlinkat is symlink relative to a directory (symlink(2)).
func (t Thread) symlinkat(target mm.Addr, newdirfd int32, linkpath mm.Addr) error {
	s, err := t.pathArg(target)
	if err != nil {
		return err
	}
	path, at, err := t.nameArg(newdirfd, linkpath)
	if err != nil {
		return err
	}
	return vfs.Symlink(t.Thread, s, at.start(), path)
}

// mknod makes a special file (mknod(2)).
func (t Thread) mknod(pathname mm.Addr, mode, dev uint32) error {
	return t.mknodat(unix.AT_FDCWD, pathname, mode, dev)
}

// mknodat is mknod relative to a directory (mknod(2)).
func (t Thread) mknodat(dirfd int32, pathname mm.Addr, mode, dev uint32) error {
	path, at, err := t.nameArg(dirfd, pathname)
	if err != nil {
		return err
	}
	return vfs.Mknod(t.Thread, at.start(), path, mode, uint64(dev))
}

// umask sets the file mode creation mask (umask(2)).
func (t Thread) umask(mask uint32) (uint32, error) { return t.FS().SetUmask(mask), nil }

// getcwd returns the working directory with its NUL (getcwd(2)).
func (t Thread) getcwd(buf mm.Addr, size uint64) (int, error) {
	s, err := vfs.Getcwd(t.Thread)
	if err != nil {
		return 0, err
	}
	if uint64(len(s)) >= size {
		return 0, unix.ERANGE
	}
	return len(s) + 1, t.putString(buf, s+"\x00")
}

// chdir changes the working directory (chdir(2)).
func (t Thread) chdir(path mm.Addr) error {
	p, err := t.lookup(unix.AT_FDCWD, path, vfs.Follow|vfs.Directory)
	if err != nil {
		return err
	}
	return vfs.Chdir(t.Thread, p)
}

// fchdir changes the working directory to an open one (chdir(2)).
func (t Thread) fchdir(fd int32) error {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return err
	}
	defer f.Put()
	return vfs.Chdir(t.Thread, f.Path)
}

// chroot changes the root directory (chroot(2)).
func (t Thread) chroot(path mm.Addr) error {
	p, err := t.lookup(unix.AT_FDCWD, path, vfs.Follow|vfs.Directory)
	if err != nil {
		return err
	}
	return vfs.Chroot(t.Thread, p)
}

// getdents lists a directory in the old format (getdents(2)).
func (t Thread) getdents(fd int32, dirp mm.Addr, count uint32) (int, error) {
	return t.listDir(fd, dirp, count, true)
}

// getdents64 lists a directory (getdents(2)).
func (t Thread) getdents64(fd int32, dirp mm.Addr, count uint32) (int, error) {
	return t.listDir(fd, dirp, count, false)
}

// listDir gathers entries in the kernel and copies them out in one piece, so
// that no lock of the directory is held while user memory is touched.
func (t Thread) listDir(fd int32, dirp mm.Addr, count uint32, old bool) (int, error) {
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	room := int(min(count, 1<<20))
	buf := make([]byte, 0, min(room, 4096))
	tooSmall := false
	before := f.Pos()
	err = f.ReadDir(t.Thread, func(e vfs.Dirent) bool {
		n := 19 + len(e.Name) + 1 // d_ino, d_off, d_reclen, d_type, name, NUL
		n = (n + 7) &^ 7
		if len(buf)+n > room {
			tooSmall = len(buf) == 0
			return false
		}
		at := len(buf)
		buf = append(buf, make([]byte, n)...)
		d := buf[at:]
		putLE64(d, e.Ino)
		putLE64(d[8:], uint64(e.Next))
		d[16], d[17] = byte(n), byte(n>>8)
		if old {
			copy(d[18:], e.Name)
			d[n-1] = e.Type
		} else {
			d[18] = e.Type
			copy(d[19:], e.Name)
		}
		return true
	})
	if len(buf) > 0 {
		if _, err := t.AddressSpace().CopyOut(dirp, buf); err != nil {
			_, _ = f.Lseek(t.Thread, before, unix.SEEK_SET)
			return 0, unix.EFAULT
		}
		return len(buf), nil
	}
	if err == nil && tooSmall {
		err = unix.EINVAL
	}
	return 0, err
}

func putLE64(b []byte, v uint64) {
	_ = b[7]
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}
