package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// open opens a file (open(2)).
func (t Thread) open(pathname mm.Addr, flags, mode uint32) (int, error) {
	return t.openat(unix.AT_FDCWD, pathname, flags, mode)
}

// creat creates and opens a file (open(2)).
func (t Thread) creat(pathname mm.Addr, mode uint32) (int, error) {
	return t.openat(unix.AT_FDCWD, pathname, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, mode)
}

// openat opens a file relative to a directory (open(2)).
func (t Thread) openat(dirfd int32, pathname mm.Addr, flags, mode uint32) (int, error) {
	f, m, err := vfs.CheckOpenFlags(uint64(flags), mode, false)
	if err != nil {
		return 0, err
	}
	return t.doOpen(dirfd, pathname, f, m, 0)
}

func (t Thread) doOpen(dirfd int32, pathname mm.Addr, flags, mode uint32, resolve vfs.LookupFlags) (int, error) {
	path, err := t.pathArg(pathname)
	if err != nil {
		return 0, err
	}
	var at vfs.Path
	start, err := t.start(dirfd, path, &at)
	if err != nil {
		return 0, err
	}
	if resolve&(vfs.ResolveBeneath|vfs.ResolveInRoot) != 0 && start == nil && dirfd != unix.AT_FDCWD {
		// An absolute path under RESOLVE_IN_ROOT still begins at dirfd.
		d, err := t.Files().Get(int(dirfd))
		if err != nil {
			return 0, err
		}
		at = d.Path
		d.Put()
		start = &at
	}
	f, err := vfs.OpenAt(t.Thread, start, path, flags, mode, resolve)
	if err != nil {
		return 0, err
	}
	return t.install(f, flags&unix.O_CLOEXEC != 0)
}

// openat2 opens a file with limits on how its path is resolved (openat2(2)).
func (t Thread) openat2(dirfd int32, pathname, how mm.Addr, size uint64) (int, error) {
	var h unix.OpenHow
	known := uint64(len(bytesOf(&h)))
	if size < known {
		return 0, unix.EINVAL
	}
	if size > mm.PageSize {
		return 0, unix.E2BIG
	}
	if err := get(t, how, &h); err != nil {
		return 0, err
	}
	for a := known; a < size; a++ { // what this kernel does not know must be zero
		var b [1]byte
		if err := get(t, how+mm.Addr(a), &b); err != nil {
			return 0, err
		}
		if b[0] != 0 {
			return 0, unix.E2BIG
		}
	}
	var lf vfs.LookupFlags
	for bit, f := range resolveFlags {
		if h.Resolve&(1<<bit) != 0 {
			lf |= f
		}
	}
	const cached = 0x20
	if h.Resolve&^0x3f != 0 || lf&(vfs.ResolveBeneath|vfs.ResolveInRoot) == vfs.ResolveBeneath|vfs.ResolveInRoot {
		return 0, unix.EINVAL
	}
	if h.Mode > 0o7777 {
		return 0, unix.EINVAL
	}
	flags, mode, err := vfs.CheckOpenFlags(h.Flags, uint32(h.Mode), true)
	if err != nil {
		return 0, err
	}
	if h.Resolve&cached != 0 {
		if flags&(unix.O_TRUNC|unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0 {
			return 0, unix.EINVAL
		}
		return 0, unix.EAGAIN // always allowed: the caller tries again without
	}
	return t.doOpen(dirfd, pathname, flags, mode, lf)
}

// resolveFlags is what the bits of open_how.resolve mean to a walk, from bit 0.
var resolveFlags = [...]vfs.LookupFlags{
	vfs.ResolveNoXDev, vfs.ResolveNoMagicLinks, vfs.ResolveNoSymlinks, vfs.ResolveBeneath, vfs.ResolveInRoot,
}

// close closes a descriptor (close(2)).
func (t Thread) close(fd int32) error {
	err := t.Files().Close(t.Thread, int(fd))
	if err != nil {
		err = closeError(err)
	}
	return err
}

// closeError makes the restart errors EINTR: the descriptor is gone.
func closeError(err error) error {
	if e, ok := err.(unix.Errno); ok && e >= 512 {
		return unix.EINTR
	}
	return err
}

// close_range closes a range of descriptors (close_range(2)).
func (t Thread) close_range(first, last, flags uint32) error {
	if flags&^(unix.CLOSE_RANGE_UNSHARE|unix.CLOSE_RANGE_CLOEXEC) != 0 || first > last {
		return unix.EINVAL
	}
	if flags&unix.CLOSE_RANGE_UNSHARE != 0 {
		t.Unshare(true, false, false)
	}
	files := t.Files()
	const most = 1 << 20
	lo, hi := int(min(first, most)), int(min(last, most))
	if flags&unix.CLOSE_RANGE_CLOEXEC != 0 {
		files.CloexecRange(lo, hi)
	} else {
		files.CloseRange(t.Thread, lo, hi)
	}
	return nil
}

// dup duplicates a descriptor (dup(2)).
func (t Thread) dup(oldfd int32) (int, error) {
	f, err := t.Files().Get(int(oldfd))
	if err != nil {
		return 0, err
	}
	return t.install(f, false)
}

// dup2 duplicates a descriptor onto another (dup(2)).
func (t Thread) dup2(oldfd, newfd int32) (int, error) {
	if oldfd == newfd {
		f, err := t.Files().Get(int(oldfd))
		if err != nil {
			return 0, err
		}
		f.Put()
		return int(newfd), nil
	}
	return t.dupTo(oldfd, newfd, false)
}

// dup3 is dup2 with flags, and without the tolerance for equal numbers (dup(2)).
func (t Thread) dup3(oldfd, newfd int32, flags uint32) (int, error) {
	if flags&^unix.O_CLOEXEC != 0 || oldfd == newfd {
		return 0, unix.EINVAL
	}
	return t.dupTo(oldfd, newfd, flags&unix.O_CLOEXEC != 0)
}

func (t Thread) dupTo(oldfd, newfd int32, cloexec bool) (int, error) {
	if newfd < 0 || uint64(newfd) >= t.fdLimit() {
		return 0, unix.EBADF
	}
	f, err := t.Files().Get(int(oldfd))
	if err != nil {
		return 0, err
	}
	if err := t.Files().InstallAt(t.Thread, f, int(newfd), cloexec, t.fdLimit()); err != nil {
		f.Put()
		return 0, err
	}
	return int(newfd), nil
}
