package vfs

import (
	"golang.org/x/sys/unix"
)

// oLargeFile is O_LARGEFILE as the kernel sees it; x/sys calls it 0 on amd64.
const oLargeFile = 0o100000

// openFlagsValid are the flags that openat2(2) accepts; open(2) drops others.
const openFlagsValid = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC |
	unix.O_APPEND | unix.O_NONBLOCK | unix.O_SYNC | unix.O_DSYNC | unix.O_ASYNC | unix.O_DIRECT |
	oLargeFile | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NOATIME | unix.O_CLOEXEC | unix.O_PATH | unix.O_TMPFILE

const tmpfileBit = unix.O_TMPFILE &^ unix.O_DIRECTORY

// CheckOpenFlags brings the flags of open(2), which are never refused for
// being unknown, into the form that OpenAt wants; openat2(2) refuses.
func CheckOpenFlags(flags uint64, mode uint32, strict bool) (uint32, uint32, error) {
	if strict {
		if flags&^uint64(openFlagsValid) != 0 || mode&^0o7777 != 0 {
			return 0, 0, unix.EINVAL
		}
		if mode != 0 && flags&(unix.O_CREAT|tmpfileBit) == 0 {
			return 0, 0, unix.EINVAL
		}
		if flags&unix.O_PATH != 0 && flags&^(unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC) != 0 {
			return 0, 0, unix.EINVAL
		}
	}
	f := uint32(flags)&openFlagsValid | oLargeFile
	mode &= 0o7777
	if f&unix.O_PATH != 0 {
		f &= unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	}
	if f&tmpfileBit != 0 {
		if f&unix.O_TMPFILE != unix.O_TMPFILE || f&unix.O_CREAT != 0 || f&unix.O_ACCMODE == unix.O_RDONLY {
			return 0, 0, unix.EINVAL
		}
	} else if f&(unix.O_DIRECTORY|unix.O_CREAT) == unix.O_DIRECTORY|unix.O_CREAT {
		return 0, 0, unix.EINVAL
	}
	if f&(unix.O_CREAT|tmpfileBit) == 0 {
		mode = 0
	}
	return f, mode, nil
}

// Open opens path as open(2) does with the working directory as start: the
// door for the kernel's own needs.
func Open(c Caller, path string, flags uint32, mode uint32) (*File, error) {
	f, m, err := CheckOpenFlags(uint64(flags), mode, false)
	if err != nil {
		return nil, err
	}
	return OpenAt(c, nil, path, f, m, 0)
}

// OpenAt opens path from start (nil: the working directory); flags and mode
// come from CheckOpenFlags, resolve holds Resolve flags.
func OpenAt(c Caller, start *Path, path string, flags, mode uint32, resolve LookupFlags) (*File, error) {
	lf := resolve
	if flags&unix.O_DIRECTORY != 0 {
		lf |= Directory
	}
	follow := flags&unix.O_NOFOLLOW == 0
	var w walk
	if err := w.begin(c, start, path, lf); err != nil {
		return nil, err
	}
	if flags&tmpfileBit != 0 {
		return openTmpfile(c, &w, flags, mode, follow)
	}
	if err := w.parent(); err != nil {
		return nil, err
	}
	if flags&unix.O_CREAT != 0 {
		return openCreate(c, &w, flags, mode, follow)
	}
	if err := w.finish(follow); err != nil {
		return nil, err
	}
	if flags&unix.O_PATH != 0 {
		return NewFile(w.path, flags, pathOps{}), nil
	}
	return openPath(c, w.path, flags)
}

// openCreate opens or creates the final component.
func openCreate(c Caller, w *walk, flags, mode uint32, follow bool) (*File, error) {
	if flags&unix.O_EXCL != 0 {
		follow = false
	}
	for {
		if w.kind != lastNormal {
			if err := w.finish(follow); err != nil {
				return nil, err
			}
			return openExisting(c, Path{}, w.path, flags)
		}
		if w.trailing {
			return nil, unix.EISDIR
		}
		d, err := w.path.Dentry.child(c, w.last)
		if err != nil {
			return nil, err
		}
		if d.Inode() == nil {
			f, d2, err := createLast(c, w, flags, mode)
			if err != nil || f != nil {
				return f, err
			}
			d = d2 // somebody else was faster
		}
		w.rest = ""
		dir := w.path
		if err := w.enter(d, follow); err != nil {
			return nil, err
		}
		if w.rest == "" {
			return openExisting(c, dir, w.path, flags)
		}
		if err := w.parent(); err != nil {
			return nil, err
		}
	}
}

// openExisting opens with O_CREAT what exists already, in dir if that is known.
func openExisting(c Caller, dir, p Path, flags uint32) (*File, error) {
	if flags&unix.O_EXCL != 0 {
		return nil, unix.EEXIST
	}
	i := p.Inode()
	switch i.Type() {
	case unix.S_IFDIR:
		return nil, unix.EISDIR
	case unix.S_IFREG, unix.S_IFIFO: // fs.protected_regular and _fifos are 0
	default:
		if dir.Valid() && foreignInSticky(c, dir.Inode(), i) {
			return nil, unix.EACCES
		}
	}
	return openPath(c, p, flags)
}

// foreignInSticky reports whether i belongs to somebody else and lies in a
// sticky directory that everybody may write to, whose owner does not own it
// either.
func foreignInSticky(c Caller, dir, i *Inode) bool {
	if dir.Mode()&(unix.S_ISVTX|0o002) != unix.S_ISVTX|0o002 {
		return false
	}
	uid := i.Attr().UID
	return uid != dir.Attr().UID && uid != uint32(c.Cred().FSUID)
}

// createLast makes the final component a regular file and opens it; when the
// name exists after all it returns the dentry only.
func createLast(c Caller, w *walk, flags, mode uint32) (*File, *Dentry, error) {
	dir := w.path.Inode()
	dir.DirMu.Lock()
	d, err := w.path.Dentry.childLocked(c, w.last)
	if err != nil || d.Inode() != nil {
		dir.DirMu.Unlock()
		return nil, d, err
	}
	if noNegative(dir) {
		err = unix.ENOENT
	} else if err = w.path.Mount.writable(); err == nil {
		err = mayCreate(c.Cred(), w.path)
	}
	if err != nil {
		dir.DirMu.Unlock()
		return nil, nil, err
	}
	uid, gid, mode := newOwner(c.Cred(), dir, mode&^c.FS().Umask()|unix.S_IFREG)
	i, err := dir.Ops.Create(c, dir, w.last, mode, uid, gid)
	if err != nil {
		dir.DirMu.Unlock()
		return nil, nil, err
	}
	d.instantiate(i)
	dir.DirMu.Unlock()
	notifyDir(dir, w.last, inCreate)
	f, err := open(c, Path{w.path.Mount, d}, flags&^unix.O_TRUNC)
	return f, d, err
}

func openTmpfile(c Caller, w *walk, flags, mode uint32, follow bool) (*File, error) {
	if err := w.parent(); err != nil {
		return nil, err
	}
	if err := w.finish(follow); err != nil {
		return nil, err
	}
	p := w.path
	dir := p.Inode()
	if err := p.Mount.writable(); err != nil {
		return nil, err
	}
	if err := Access(c.Cred(), p.Mount, dir, mayWrite|mayExec); err != nil {
		return nil, err
	}
	maker, ok := dir.Ops.(TmpfileMaker)
	if !ok {
		return nil, unix.EOPNOTSUPP
	}
	uid, gid, mode := newOwner(c.Cred(), dir, mode&^c.FS().Umask()|unix.S_IFREG)
	i, err := maker.Tmpfile(c, dir, mode, uid, gid)
	if err != nil {
		return nil, err
	}
	// The name is what Linux shows: "#" and the inode number, deleted.
	d := newDentry(p.Dentry, "#"+utoa(i.Ino), 0, i)
	d.flags.Or(dentryDeleted)
	if flags&unix.O_EXCL == 0 {
		d.flags.Or(dentryTmpfile)
	}
	return open(c, Path{p.Mount, d}, flags&^(unix.O_TRUNC|unix.O_EXCL))
}

// OpenPath opens what is at p as open(2) would open a path that leads there.
func OpenPath(c Caller, p Path, flags uint32) (*File, error) {
	if flags&unix.O_PATH != 0 {
		return NewFile(p, flags, pathOps{}), nil
	}
	return openPath(c, p, flags)
}

// openPath checks that what is at p may be opened, opens and truncates it.
func openPath(c Caller, p Path, flags uint32) (*File, error) {
	i := p.Inode()
	if i == nil {
		return nil, unix.ENOENT
	}
	if flags&unix.O_DIRECTORY != 0 && !i.IsDir() {
		return nil, unix.ENOTDIR
	}
	mask := accessMask(flags)
	if flags&unix.O_TRUNC != 0 {
		mask |= mayWrite
	}
	kind := i.Type()
	if kind != unix.S_IFREG {
		flags &^= unix.O_TRUNC
	} else if flags&unix.O_TRUNC != 0 {
		if err := p.Mount.writable(); err != nil {
			return nil, err
		}
	}
	switch kind {
	case unix.S_IFLNK:
		return nil, unix.ELOOP
	case unix.S_IFDIR:
		if mask&mayWrite != 0 {
			return nil, unix.EISDIR
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		if p.Mount != nil && p.Mount.Flags()&unix.MS_NODEV != 0 {
			return nil, unix.EACCES
		}
	}
	if err := Access(c.Cred(), p.Mount, i, mask); err != nil {
		return nil, err
	}
	if flags&unix.O_NOATIME != 0 && !owns(c.Cred(), i) {
		return nil, unix.EPERM
	}
	f, err := open(c, p, flags)
	if err != nil {
		return nil, err
	}
	if flags&unix.O_TRUNC != 0 {
		if err := truncate(c, p, 0); err != nil {
			f.Put()
			return nil, err
		}
	}
	return f, nil
}

func accessMask(flags uint32) uint32 {
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return mayRead
	case unix.O_WRONLY:
		return mayWrite
	}
	return mayRead | mayWrite
}

// open makes the open file of p without any check.
func open(c Caller, p Path, flags uint32) (*File, error) {
	i := p.Inode()
	if err := i.pass(c); err != nil {
		return nil, err
	}
	if !i.Get() { // unlinked and gone since it was looked up
		return nil, unix.ENOENT
	}
	kind := i.Type()
	if kind == unix.S_IFREG && flags&unix.O_ACCMODE != unix.O_RDONLY {
		if err := i.getWrite(); err != nil {
			i.Put()
			return nil, err
		}
	}
	f := &File{Path: p, Inode: i, writer: kind == unix.S_IFREG && flags&unix.O_ACCMODE != unix.O_RDONLY}
	f.refs.Store(1)
	const transient = unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_CLOEXEC
	f.flags.Store(flags)
	p.Mount.get()
	ops, err := i.openOps(c, f, kind)
	if err != nil {
		f.undo()
		return nil, err
	}
	f.Ops = ops
	f.flags.And(^uint32(transient))
	f.seekable = ops.Seekable()
	f.timeouts, _ = ops.(Timeouts)
	if watching.Load() != 0 {
		f.notify(inOpen)
	}
	return f, nil
}

// openOps finds the behaviour of a new file: special files by what is
// registered for them, everything else by its inode.
func (i *Inode) openOps(c Caller, f *File, kind uint32) (FileOps, error) {
	switch kind {
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO:
		ops, err := OpenSpecial(c, f)
		if err != unix.ENXIO {
			return ops, err
		}
	case unix.S_IFSOCK:
		return nil, unix.ENXIO
	}
	return i.Ops.Open(c, f)
}

// undo drops an open file whose opening failed.
func (f *File) undo() {
	if f.writer {
		f.Inode.writes.Add(-1)
	}
	f.Path.Mount.put()
	f.Inode.Put()
}

// pathOps is the behaviour of O_PATH files: none (EBADF, given by the generic
// layer before it comes here).
type pathOps struct{ BaseOps }
