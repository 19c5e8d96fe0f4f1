package vfs

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cred"
)

// The accesses that permissions are checked for; they equal access(2)'s.
const (
	mayExec  = 1
	mayWrite = 2
	mayRead  = 4
)

// Access checks that cr may access i in the ways of mask (R_OK, W_OK, X_OK).
// m may be nil; a read-only one forbids writing to files and directories.
func Access(cr *cred.Cred, m *Mount, i *Inode, mask uint32) error {
	mode := i.mode.Load()
	if mask&mayWrite != 0 {
		switch mode & unix.S_IFMT {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
			if err := m.writable(); err != nil {
				return err
			}
		}
	}
	return permission(cr, i, mode, mask)
}

// search checks that cr may look names up in directory i. Directories open to
// everybody, which is nearly all, need one load.
func search(cr *cred.Cred, i *Inode) error {
	mode := i.mode.Load()
	if mode&0o111 == 0o111 {
		return nil
	}
	return permission(cr, i, mode, mayExec)
}

func permission(cr *cred.Cred, i *Inode, mode, mask uint32) error {
	i.mu.RLock()
	uid, gid := i.attr.UID, i.attr.GID
	i.mu.RUnlock()
	bits := mode
	switch {
	case uint32(cr.FSUID) == uid:
		bits >>= 6
	case cr.InGroup(cred.GID(gid)):
		bits >>= 3
	}
	if mask&^bits&7 == 0 {
		return nil
	}
	if mode&unix.S_IFMT == unix.S_IFDIR {
		if mask&mayWrite == 0 && cr.Has(unix.CAP_DAC_READ_SEARCH) || cr.Has(unix.CAP_DAC_OVERRIDE) {
			return nil
		}
		return unix.EACCES
	}
	if mask == mayRead && cr.Has(unix.CAP_DAC_READ_SEARCH) {
		return nil
	}
	if (mask&mayExec == 0 || mode&0o111 != 0) && cr.Has(unix.CAP_DAC_OVERRIDE) {
		return nil
	}
	return unix.EACCES
}

// owns reports whether cr owns i or may act as the owner.
func owns(cr *cred.Cred, i *Inode) bool {
	i.mu.RLock()
	uid := i.attr.UID
	i.mu.RUnlock()
	return uint32(cr.FSUID) == uid || cr.Has(unix.CAP_FOWNER)
}

// mayCreate checks that a name may be added to directory dir.
func mayCreate(cr *cred.Cred, dir Path) error {
	if dir.Dentry.Deleted() {
		return unix.ENOENT
	}
	return Access(cr, dir.Mount, dir.Inode(), mayWrite|mayExec)
}

// mayDelete checks that victim's name may be taken from dir: what unlink,
// rmdir and rename demand. isDir says which kind the caller expects.
func mayDelete(cr *cred.Cred, dir Path, victim *Dentry, isDir bool) error {
	i := victim.Inode()
	d := dir.Inode()
	if err := Access(cr, dir.Mount, d, mayWrite|mayExec); err != nil {
		return err
	}
	if sticky(cr, d, i) {
		return unix.EPERM
	}
	if isDir {
		if !i.IsDir() {
			return unix.ENOTDIR
		}
	} else if i.IsDir() {
		return unix.EISDIR
	}
	if dir.Dentry.Deleted() {
		return unix.ENOENT
	}
	return nil
}

// sticky reports whether the sticky bit of dir forbids cr to remove i.
func sticky(cr *cred.Cred, dir, i *Inode) bool {
	if dir.mode.Load()&unix.S_ISVTX == 0 {
		return false
	}
	dir.mu.RLock()
	duid := dir.attr.UID
	dir.mu.RUnlock()
	i.mu.RLock()
	uid := i.attr.UID
	i.mu.RUnlock()
	fsuid := uint32(cr.FSUID)
	return uid != fsuid && duid != fsuid && !cr.Has(unix.CAP_FOWNER)
}

// newOwner returns the owner of what cr creates in dir, and mode as the
// set-group-ID rules of directories alter it.
func newOwner(cr *cred.Cred, dir *Inode, mode uint32) (uid, gid, newMode uint32) {
	uid, gid = uint32(cr.FSUID), uint32(cr.FSGID)
	if dir.mode.Load()&unix.S_ISGID == 0 {
		return uid, gid, mode
	}
	dir.mu.RLock()
	gid = dir.attr.GID
	dir.mu.RUnlock()
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return uid, gid, mode | unix.S_ISGID
	}
	if mode&(unix.S_ISGID|0o010) == unix.S_ISGID|0o010 && !cr.InGroup(cred.GID(gid)) && !cr.Has(unix.CAP_FSETID) {
		mode &^= unix.S_ISGID
	}
	return uid, gid, mode
}
