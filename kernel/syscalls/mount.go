package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// mount attaches a file system, or changes an attachment (mount(2)).
func (t Thread) mount(source, target, fstype mm.Addr, flags uint64, data mm.Addr) error {
	kind, err := t.optionalString(fstype, mm.PageSize)
	if err != nil {
		return err
	}
	from, err := t.optionalString(source, unix.PathMax)
	if err != nil {
		return err
	}
	options, err := t.mountData(data)
	if err != nil {
		return err
	}
	to, err := t.pathArg(target)
	if err != nil {
		return err
	}
	return vfs.MountCall(t.Thread, from, to, kind, uint32(flags), options)
}

func (t Thread) optionalString(a mm.Addr, limit int) (string, error) {
	if a == 0 {
		return "", nil
	}
	s, err := t.AddressSpace().CopyInString(a, limit)
	if err == unix.ENAMETOOLONG && limit == mm.PageSize {
		err = unix.EINVAL
	}
	return s, err
}

// mountData reads the option string: at most a page, cut at its NUL.
func (t Thread) mountData(a mm.Addr) (string, error) {
	if a == 0 {
		return "", nil
	}
	page := make([]byte, mm.PageSize)
	n, err := t.AddressSpace().CopyIn(page, a)
	if n == 0 && err != nil {
		return "", unix.EFAULT
	}
	for i, b := range page[:n] {
		if b == 0 {
			return string(page[:i]), nil
		}
	}
	return string(page[:n]), nil
}

// umount2 detaches a file system (umount(2)).
func (t Thread) umount2(target mm.Addr, flags int32) error {
	if flags&^(unix.MNT_FORCE|unix.MNT_DETACH|unix.MNT_EXPIRE|unix.UMOUNT_NOFOLLOW) != 0 {
		return unix.EINVAL
	}
	path, err := t.pathArg(target)
	if err != nil {
		return err
	}
	return vfs.Unmount(t.Thread, path, int(flags))
}

// pivot_root changes the root mount (pivot_root(2)).
func (t Thread) pivot_root(newRoot, putOld mm.Addr) error {
	n, err := t.pathArg(newRoot)
	if err != nil {
		return err
	}
	old, err := t.pathArg(putOld)
	if err != nil {
		return err
	}
	return vfs.PivotRoot(t.Thread, n, old)
}

// name_to_handle_at makes a handle of a path (open_by_handle_at(2)): no file
// system here can export handles.
func (t Thread) name_to_handle_at(dirfd int32, pathname, handle, mountID mm.Addr, flags int32) error {
	const fid = 0x200 // AT_HANDLE_FID
	if flags&^(unix.AT_SYMLINK_FOLLOW|unix.AT_EMPTY_PATH|fid) != 0 {
		return unix.EINVAL
	}
	if _, err := t.lookupAt(dirfd, pathname, flags&^fid, flags, true); err != nil {
		return err
	}
	return unix.EOPNOTSUPP
}

// open_by_handle_at opens a handle (open_by_handle_at(2)).
func (t Thread) open_by_handle_at(mountFD int32, handle mm.Addr, flags uint32) error {
	if !t.Cred().Has(unix.CAP_DAC_READ_SEARCH) {
		return unix.EPERM
	}
	return unix.ESTALE
}

// fanotify_init makes a fanotify group (fanotify_init(2)): there are none.
func (t Thread) fanotify_init(flags, eventFlags uint32) error {
	if !t.Cred().Has(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	return unix.ENOSYS
}

// fanotify_mark marks an object (fanotify_mark(2)).
func (t Thread) fanotify_mark(fd int32, flags uint32, mask uint64, dirfd int32, pathname mm.Addr) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	f.Put()
	return unix.EINVAL
}
