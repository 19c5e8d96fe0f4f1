package vfs

import (
	"math"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
)

// Chmod serves chmod(2) and its kin for what is at p.
func Chmod(c Caller, p Path, mode uint32) error {
	i := p.Inode()
	if err := p.Mount.writable(); err != nil {
		return err
	}
	if i.Type() == unix.S_IFLNK {
		return unix.EOPNOTSUPP
	}
	cr := c.Cred()
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	if !owns(cr, i) {
		return unix.EPERM
	}
	mode &= 0o7777
	i.mu.RLock()
	gid := i.attr.GID
	i.mu.RUnlock()
	if !cr.InGroup(cred.GID(gid)) && !cr.Has(unix.CAP_FSETID) {
		mode &^= unix.S_ISGID
	}
	if err := i.Ops.Setattr(c, i, &SetAttr{Valid: SetMode, Mode: mode}); err != nil {
		return err
	}
	notifyPath(p, inAttrib)
	return nil
}

// KeepID as an argument of Chown leaves the owner or the group alone.
const KeepID = ^uint32(0)

// Chown serves chown(2) and its kin for what is at p.
func Chown(c Caller, p Path, uid, gid uint32) error {
	i := p.Inode()
	if err := p.Mount.writable(); err != nil {
		return err
	}
	cr := c.Cred()
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	a := i.Attr()
	s := SetAttr{UID: uid, GID: gid}
	fsuid := uint32(cr.FSUID)
	if uid != KeepID {
		if (fsuid != a.UID || uid != a.UID) && !cr.Has(unix.CAP_CHOWN) {
			return unix.EPERM
		}
		s.Valid |= SetUID
	}
	if gid != KeepID {
		if (fsuid != a.UID || gid != a.GID && !cr.InGroup(cred.GID(gid))) && !cr.Has(unix.CAP_CHOWN) {
			return unix.EPERM
		}
		s.Valid |= SetGID
	}
	if a.Mode&unix.S_IFMT != unix.S_IFDIR {
		mode := a.Mode &^ unix.S_ISUID
		if dropsSetGID(c, i, mode) {
			mode &^= unix.S_ISGID
		}
		if mode != a.Mode {
			if !owns(cr, i) {
				return unix.EPERM
			}
			s.Valid |= SetMode
			s.Mode = mode & 0o7777
		}
	}
	if err := i.Ops.Setattr(c, i, &s); err != nil {
		return err
	}
	if s.Valid != 0 {
		notifyPath(p, inAttrib)
	}
	return nil
}

// Utimes serves utimensat(2): nil times mean now; UTIME_NOW and UTIME_OMIT
// may stand in Nsec.
func Utimes(c Caller, p Path, times *[2]unix.Timespec) error {
	i := p.Inode()
	var s SetAttr
	now := Now()
	owner := false // only the owner may set explicit times
	if times == nil {
		s = SetAttr{Valid: SetAtime | SetMtime, Atime: now, Mtime: now}
	} else {
		for n := range times {
			t := &times[n]
			if t.Nsec != unix.UTIME_NOW && t.Nsec != unix.UTIME_OMIT && (t.Nsec < 0 || t.Nsec >= 1e9) {
				return unix.EINVAL
			}
		}
		a, m := times[0], times[1]
		if a.Nsec == unix.UTIME_OMIT && m.Nsec == unix.UTIME_OMIT {
			return nil
		}
		owner = a.Nsec != unix.UTIME_NOW || m.Nsec != unix.UTIME_NOW
		if a.Nsec == unix.UTIME_NOW {
			a = now
		}
		if m.Nsec == unix.UTIME_NOW {
			m = now
		}
		if a.Nsec != unix.UTIME_OMIT {
			s.Valid |= SetAtime
			s.Atime = a
		}
		if m.Nsec != unix.UTIME_OMIT {
			s.Valid |= SetMtime
			s.Mtime = m
		}
	}
	if err := p.Mount.writable(); err != nil {
		return err
	}
	cr := c.Cred()
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	if !owns(cr, i) {
		if owner {
			return unix.EPERM
		}
		if err := Access(cr, p.Mount, i, mayWrite); err != nil {
			return unix.EACCES
		}
	}
	if err := i.Ops.Setattr(c, i, &s); err != nil {
		return err
	}
	ev := uint32(inAttrib)
	switch s.Valid {
	case SetAtime:
		ev = inAccess
	case SetMtime:
		ev = inModify
	}
	notifyPath(p, ev)
	return nil
}

// Truncate serves truncate(2) for what is at p.
func Truncate(c Caller, p Path, size int64) error {
	if size < 0 {
		return unix.EINVAL
	}
	i := p.Inode()
	switch i.Type() {
	case unix.S_IFDIR:
		return unix.EISDIR
	case unix.S_IFREG:
	default:
		return unix.EINVAL
	}
	if err := p.Mount.writable(); err != nil {
		return err
	}
	if err := Access(c.Cred(), p.Mount, i, mayWrite); err != nil {
		return err
	}
	if err := i.getWrite(); err != nil {
		return err
	}
	defer i.writes.Add(-1)
	if err := CheckSize(c, i, size); err != nil {
		return err
	}
	return truncate(c, p, size)
}

// Truncate serves ftruncate(2).
func (f *File) Truncate(c Caller, size int64) error {
	if size < 0 {
		return unix.EINVAL
	}
	if f.IsPath() {
		return unix.EBADF
	}
	if f.Inode == nil || f.Inode.Type() != unix.S_IFREG || !f.writable() {
		return unix.EINVAL
	}
	if err := CheckSize(c, f.Inode, size); err != nil {
		return err
	}
	return truncate(c, f.Path, size)
}

// CheckSize checks a new size against RLIMIT_FSIZE and the largest offset.
func CheckSize(c Caller, i *Inode, size int64) error {
	if size > i.Size() && uint64(size) > c.FileSizeLimit() {
		c.Raise(int(unix.SIGXFSZ))
		return unix.EFBIG
	}
	max := int64(math.MaxInt64)
	if i.FS != nil && i.FS.MaxBytes != 0 {
		max = i.FS.MaxBytes
	}
	if size > max {
		return unix.EFBIG
	}
	return nil
}

// truncate sets the size of what is at p, drops the set-ID bits as a write
// does, and tells inotify.
func truncate(c Caller, p Path, size int64) error {
	i := p.Inode()
	s := SetAttr{Valid: SetSize, Size: size}
	ev := uint32(inModify)
	i.DirMu.Lock()
	if mode, ok := withoutPrivileges(c, i); ok {
		s.Valid |= SetMode
		s.Mode = mode
		ev |= inAttrib
	}
	err := i.Ops.Setattr(c, i, &s)
	i.DirMu.Unlock()
	if err == nil {
		notifyPath(p, ev)
	}
	return err
}

// withoutPrivileges returns the mode that i has after a write by c: set-ID
// bits fall unless c has CAP_FSETID. ok is false when nothing changes.
func withoutPrivileges(c Caller, i *Inode) (mode uint32, ok bool) {
	mode = i.mode.Load()
	if mode&(unix.S_ISUID|unix.S_ISGID) == 0 || mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false
	}
	kill := mode & unix.S_ISUID
	if dropsSetGID(c, i, mode) {
		kill |= unix.S_ISGID
	}
	if kill == 0 || c.Cred().Has(unix.CAP_FSETID) {
		return 0, false
	}
	return (mode &^ kill) & 0o7777, true
}

// dropsSetGID reports whether a change by c takes the set-group-ID bit away:
// always from what the group may execute, else unless c is of the group.
func dropsSetGID(c Caller, i *Inode, mode uint32) bool {
	if mode&unix.S_ISGID == 0 {
		return false
	}
	cr := c.Cred()
	return mode&0o010 != 0 || !cr.InGroup(cred.GID(i.Attr().GID)) && !cr.Has(unix.CAP_FSETID)
}

// DropPrivileges is called by file systems before they write to a regular
// file, with its DirMu held.
func DropPrivileges(c Caller, i *Inode) bool {
	mode, ok := withoutPrivileges(c, i)
	if ok {
		_ = i.Ops.Setattr(c, i, &SetAttr{Valid: SetMode, Mode: mode})
	}
	return ok
}

// DropPrivileges is the function of that name for an open file; inotify hears
// of it.
func (f *File) DropPrivileges(c Caller) {
	if DropPrivileges(c, f.Inode) {
		notifyPath(f.Path, inAttrib)
	}
}
