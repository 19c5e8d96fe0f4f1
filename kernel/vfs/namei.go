package vfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls that make, remove and move names. Each walks to the parent,
// locks it, looks the last component up under the lock, checks in the order
// in which Linux checks, changes the file system and then the dentry cache.

// creation walks to the parent of a name to be made and locks it. On success
// the caller unlocks dir.Inode().DirMu. wantDir says that slashes may follow.
func creation(c Caller, start *Path, path string, wantDir bool) (dir Path, d *Dentry, err error) {
	var w walk
	if err := w.begin(c, start, path, 0); err != nil {
		return Path{}, nil, err
	}
	if err := w.parent(); err != nil {
		return Path{}, nil, err
	}
	if w.kind != lastNormal {
		return Path{}, nil, unix.EEXIST
	}
	dir = w.path
	i := dir.Inode()
	i.DirMu.Lock()
	d, err = dir.Dentry.childLocked(c, w.last)
	switch {
	case err != nil:
	case d.Inode() != nil:
		err = unix.EEXIST
	case w.trailing && !wantDir, noNegative(i):
		err = unix.ENOENT
	default:
		if err = dir.Mount.writable(); err == nil {
			err = mayCreate(c.Cred(), dir)
		}
	}
	if err != nil {
		i.DirMu.Unlock()
		return Path{}, nil, err
	}
	return dir, d, nil
}

// noNegative reports that a name missing in dir cannot be made either: in
// /proc a look-up fails rather than find nothing.
func noNegative(dir *Inode) bool { return dir.FS != nil && dir.FS.Magic == unix.PROC_SUPER_MAGIC }

// Mkdir serves mkdir(2).
func Mkdir(c Caller, start *Path, path string, mode uint32) error {
	dir, d, err := creation(c, start, path, true)
	if err != nil {
		return err
	}
	i := dir.Inode()
	defer i.DirMu.Unlock()
	uid, gid, mode := newOwner(c.Cred(), i, mode&0o1777&^c.FS().Umask()|unix.S_IFDIR)
	n, err := i.Ops.Mkdir(c, i, d.Name(), mode, uid, gid)
	if err != nil {
		return err
	}
	d.instantiate(n)
	notifyDir(i, d.Name(), inCreate|inIsDir)
	return nil
}

// Mknod serves mknod(2); mode has a type, S_IFREG if none.
func Mknod(c Caller, start *Path, path string, mode uint32, rdev uint64) error {
	_, err := MknodAt(c, start, path, mode, rdev)
	return err
}

// MknodAt is Mknod that returns the new place (bind(2) of a Unix socket).
func MknodAt(c Caller, start *Path, path string, mode uint32, rdev uint64) (Path, error) {
	switch mode & unix.S_IFMT {
	case 0:
		mode |= unix.S_IFREG
	case unix.S_IFREG, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
	case unix.S_IFDIR:
		return Path{}, unix.EPERM
	default:
		return Path{}, unix.EINVAL
	}
	dir, d, err := creation(c, start, path, false)
	if err != nil {
		return Path{}, err
	}
	i := dir.Inode()
	defer i.DirMu.Unlock()
	kind := mode & unix.S_IFMT
	if kind == unix.S_IFCHR && rdev != 0 || kind == unix.S_IFBLK {
		if !c.Cred().Has(unix.CAP_MKNOD) {
			return Path{}, unix.EPERM
		}
	}
	uid, gid, mode := newOwner(c.Cred(), i, mode&^c.FS().Umask())
	var n *Inode
	if kind == unix.S_IFREG {
		n, err = i.Ops.Create(c, i, d.Name(), mode, uid, gid)
	} else {
		n, err = i.Ops.Mknod(c, i, d.Name(), mode, rdev, uid, gid)
	}
	if err != nil {
		return Path{}, err
	}
	d.instantiate(n)
	notifyDir(i, d.Name(), inCreate)
	return Path{dir.Mount, d}, nil
}

// Symlink serves symlink(2).
func Symlink(c Caller, target string, start *Path, path string) error {
	if target == "" {
		return unix.ENOENT
	}
	if len(target) >= unix.PathMax {
		return unix.ENAMETOOLONG
	}
	dir, d, err := creation(c, start, path, false)
	if err != nil {
		return err
	}
	i := dir.Inode()
	defer i.DirMu.Unlock()
	uid, gid, _ := newOwner(c.Cred(), i, unix.S_IFLNK)
	n, err := i.Ops.Symlink(c, i, d.Name(), target, uid, gid)
	if err != nil {
		return err
	}
	d.instantiate(n)
	notifyDir(i, d.Name(), inCreate)
	return nil
}

// Link serves link(2): a new name for what is at old.
func Link(c Caller, old Path, start *Path, path string) error {
	dir, d, err := creation(c, start, path, false)
	if err != nil {
		return err
	}
	i := dir.Inode()
	defer i.DirMu.Unlock()
	target := old.Inode()
	switch {
	case old.Mount != dir.Mount && (old.Mount != nil || target.FS != i.FS):
		return unix.EXDEV
	case target.FS != i.FS:
		return unix.EXDEV
	case target.IsDir():
		return unix.EPERM
	}
	target.mu.RLock()
	nlink := target.attr.Nlink
	target.mu.RUnlock()
	if nlink == 0 && target.FS != nil && !old.Dentry.tmpfile() {
		return unix.ENOENT
	}
	if err := i.Ops.Link(c, i, d.Name(), target); err != nil {
		return err
	}
	if old.Dentry.tmpfile() {
		old.Dentry.flags.And(^uint32(dentryTmpfile))
	}
	d.instantiate(target)
	notifyInode(target, inAttrib)
	notifyDir(i, d.Name(), inCreate)
	return nil
}

func (d *Dentry) tmpfile() bool { return d.flags.Load()&dentryTmpfile != 0 }

// Unlink serves unlink(2).
func Unlink(c Caller, start *Path, path string) error {
	var w walk
	if err := w.begin(c, start, path, 0); err != nil {
		return err
	}
	if err := w.parent(); err != nil {
		return err
	}
	if w.kind != lastNormal {
		return unix.EISDIR
	}
	if err := w.path.Mount.writable(); err != nil {
		return err
	}
	dir := w.path.Inode()
	dir.DirMu.Lock()
	d, err := w.path.Dentry.childLocked(c, w.last)
	if err == nil {
		err = unlinkLocked(c, w.path, d, w.trailing)
	}
	dir.DirMu.Unlock()
	if err != nil {
		return err
	}
	i := d.Inode()
	notifyInode(i, inAttrib)
	i.gone()
	notifyDir(dir, w.last, inDelete)
	return nil
}

func unlinkLocked(c Caller, dir Path, d *Dentry, trailing bool) error {
	i := d.Inode()
	if i == nil {
		return unix.ENOENT
	}
	if trailing {
		if i.IsDir() {
			return unix.EISDIR
		}
		return unix.ENOTDIR
	}
	if err := mayDelete(c.Cred(), dir, d, false); err != nil {
		return err
	}
	if (Path{dir.Mount, d}).isMountPoint() {
		return unix.EBUSY
	}
	if err := dir.Inode().Ops.Unlink(c, dir.Inode(), d.Name(), i); err != nil {
		return err
	}
	d.kill()
	return nil
}

// gone is called when a name of i was removed: without others and without
// users the inode ends. IN_DELETE_SELF is told when it does, or when the last
// file is closed.
func (i *Inode) gone() {
	i.evictIfUnused()
}

// Rmdir serves rmdir(2).
func Rmdir(c Caller, start *Path, path string) error {
	var w walk
	if err := w.begin(c, start, path, 0); err != nil {
		return err
	}
	if err := w.parent(); err != nil {
		return err
	}
	switch w.kind {
	case lastDotDot:
		return unix.ENOTEMPTY
	case lastDot:
		return unix.EINVAL
	case lastRoot:
		return unix.EBUSY
	}
	if err := w.path.Mount.writable(); err != nil {
		return err
	}
	dir := w.path.Inode()
	dir.DirMu.Lock()
	d, err := w.path.Dentry.childLocked(c, w.last)
	if err == nil {
		err = rmdirLocked(c, w.path, d)
	}
	dir.DirMu.Unlock()
	if err != nil {
		return err
	}
	d.Inode().gone()
	notifyDir(dir, w.last, inDelete|inIsDir)
	return nil
}

func rmdirLocked(c Caller, dir Path, d *Dentry) error {
	i := d.Inode()
	if i == nil {
		return unix.ENOENT
	}
	if err := mayDelete(c.Cred(), dir, d, true); err != nil {
		return err
	}
	if d.mounted.Load() != 0 {
		return unix.EBUSY
	}
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	if err := dir.Inode().Ops.Rmdir(c, dir.Inode(), d.Name(), i); err != nil {
		return err
	}
	d.kill()
	return nil
}

// lockDirs locks two directories for a rename: an ancestor before its
// descendant, strangers by address; the superblock's renameMu, held by the
// caller when they differ, keeps the ancestry still.
func lockDirs(a, b *Dentry) (unlock func()) {
	ia, ib := a.Inode(), b.Inode()
	if ia == ib {
		ia.DirMu.Lock()
		return ia.DirMu.Unlock
	}
	if a.under(b) || !b.under(a) && uintptr(unsafe.Pointer(ia)) > uintptr(unsafe.Pointer(ib)) {
		ia, ib = ib, ia
	}
	ia.DirMu.Lock()
	ib.DirMu.Lock()
	return func() { ib.DirMu.Unlock(); ia.DirMu.Unlock() }
}

// Rename serves renameat2(2).
func Rename(c Caller, start *Path, path string, newStart *Path, newPath string, flags uint32) error {
	const known = unix.RENAME_NOREPLACE | unix.RENAME_EXCHANGE | unix.RENAME_WHITEOUT
	if flags&^known != 0 ||
		flags&unix.RENAME_EXCHANGE != 0 && flags&(unix.RENAME_NOREPLACE|unix.RENAME_WHITEOUT) != 0 {
		return unix.EINVAL
	}
	var from, to walk
	if err := from.begin(c, start, path, 0); err != nil {
		return err
	}
	if err := from.parent(); err != nil {
		return err
	}
	if err := to.begin(c, newStart, newPath, 0); err != nil {
		return err
	}
	if err := to.parent(); err != nil {
		return err
	}
	switch {
	case from.path.Mount != to.path.Mount:
		return unix.EXDEV
	case from.kind != lastNormal:
		return unix.EBUSY
	case to.kind != lastNormal && flags&unix.RENAME_NOREPLACE != 0:
		return unix.EEXIST
	case to.kind != lastNormal:
		return unix.EBUSY
	}
	if err := from.path.Mount.writable(); err != nil {
		return err
	}
	dir, newDir := from.path.Dentry, to.path.Dentry
	di, ndi := dir.Inode(), newDir.Inode()
	if di != ndi && di.FS != nil {
		di.FS.renameMu.Lock()
		defer di.FS.renameMu.Unlock()
	}
	unlock := lockDirs(dir, newDir)
	src, dst, err := renameLocked(c, &from, &to, flags)
	unlock()
	if err != nil || src == nil {
		return err
	}
	if flags&unix.RENAME_EXCHANGE != 0 {
		notifyMove(di, from.last, ndi, to.last, src, nil)
		notifyMove(ndi, to.last, di, from.last, dst, nil)
		return nil
	}
	notifyMove(di, from.last, ndi, to.last, src, dst)
	if dst != nil {
		dst.gone()
	}
	return nil
}

// renameLocked does the work under the directories' locks. It returns the
// inodes that took part, or a nil src when there was nothing to do.
func renameLocked(c Caller, from, to *walk, flags uint32) (src, dst *Inode, err error) {
	dir, newDir := from.path.Dentry, to.path.Dentry
	d, err := dir.childLocked(c, from.last)
	if err != nil {
		return nil, nil, err
	}
	if src = d.Inode(); src == nil {
		return nil, nil, unix.ENOENT
	}
	nd, err := newDir.childLocked(c, to.last)
	if err != nil {
		return nil, nil, err
	}
	dst = nd.Inode()
	swap := flags&unix.RENAME_EXCHANGE != 0
	if dst != nil && flags&unix.RENAME_NOREPLACE != 0 {
		return nil, nil, unix.EEXIST
	}
	if swap {
		if dst == nil {
			return nil, nil, unix.ENOENT
		}
		if !dst.IsDir() && to.trailing {
			return nil, nil, unix.ENOTDIR
		}
	}
	if !src.IsDir() && (from.trailing || !swap && to.trailing) {
		return nil, nil, unix.ENOTDIR
	}
	if newDir.under(d) {
		return nil, nil, unix.EINVAL
	}
	if dir.under(nd) {
		if swap {
			return nil, nil, unix.EINVAL
		}
		return nil, nil, unix.ENOTEMPTY
	}
	if src == dst {
		return nil, nil, nil
	}
	cr := c.Cred()
	if err := mayDelete(cr, from.path, d, src.IsDir()); err != nil {
		return nil, nil, err
	}
	if dst == nil {
		err = mayCreate(cr, to.path)
	} else if swap {
		err = mayDelete(cr, to.path, nd, dst.IsDir())
	} else {
		err = mayDelete(cr, to.path, nd, src.IsDir())
	}
	if err != nil {
		return nil, nil, err
	}
	if dir != newDir {
		if src.IsDir() {
			if err := Access(cr, nil, src, mayWrite); err != nil {
				return nil, nil, err
			}
		}
		if swap && dst.IsDir() {
			if err := Access(cr, nil, dst, mayWrite); err != nil {
				return nil, nil, err
			}
		}
	}
	if (Path{from.path.Mount, d}).isMountPoint() || (Path{to.path.Mount, nd}).isMountPoint() {
		return nil, nil, unix.EBUSY
	}
	if err := dir.Inode().Ops.Rename(c, dir.Inode(), from.last, src, newDir.Inode(), to.last, dst, flags); err != nil {
		return nil, nil, err
	}
	if swap {
		exchange(d, nd)
	} else {
		d.move(newDir, to.last, nd)
	}
	return src, dst, nil
}
