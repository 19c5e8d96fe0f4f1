package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// The limits of xattr(7).
const (
	xattrNameMax = 255
	xattrSizeMax = 65536
)

// xattrName reads the name of an attribute: ERANGE when it is empty or long.
func (t Thread) xattrName(a mm.Addr) (string, error) {
	s, err := t.AddressSpace().CopyInString(a, xattrNameMax+1)
	if err == unix.ENAMETOOLONG || err == nil && s == "" {
		err = unix.ERANGE
	}
	return s, err
}

// xattrPlace finds the place a call is about: a path or an open file.
func (t Thread) xattrPlace(path mm.Addr, flags vfs.LookupFlags) (vfs.Path, error) {
	return t.lookup(unix.AT_FDCWD, path, flags)
}

func (t Thread) xattrFile(fd int32) (vfs.Path, error) {
	f, err := t.file(fd)
	if err != nil {
		return vfs.Path{}, err
	}
	p := f.Path
	f.Put()
	return p, nil
}

func (t Thread) setxattrAt(p vfs.Path, err error, name, value mm.Addr, size uint64, flags int32) error {
	if flags&^(unix.XATTR_CREATE|unix.XATTR_REPLACE) != 0 {
		return unix.EINVAL
	}
	n, e := t.xattrName(name)
	if e != nil {
		return e
	}
	if size > xattrSizeMax {
		return unix.E2BIG
	}
	v := make([]byte, size)
	if size > 0 {
		if _, e := t.AddressSpace().CopyIn(v, value); e != nil {
			return e
		}
	}
	if err != nil {
		return err
	}
	return vfs.Setxattr(t.Thread, p, n, v, int(flags))
}

// setxattr sets an extended attribute (setxattr(2)).
func (t Thread) setxattr(path, name, value mm.Addr, size uint64, flags int32) error {
	p, err := t.xattrPlace(path, vfs.Follow)
	return t.setxattrAt(p, err, name, value, size, flags)
}

// lsetxattr is setxattr that does not follow the last link (setxattr(2)).
func (t Thread) lsetxattr(path, name, value mm.Addr, size uint64, flags int32) error {
	p, err := t.xattrPlace(path, 0)
	return t.setxattrAt(p, err, name, value, size, flags)
}

// fsetxattr is setxattr for an open file (setxattr(2)).
func (t Thread) fsetxattr(fd int32, name, value mm.Addr, size uint64, flags int32) error {
	p, err := t.xattrFile(fd)
	return t.setxattrAt(p, err, name, value, size, flags)
}

func (t Thread) getxattrAt(p vfs.Path, err error, name, value mm.Addr, size uint64) (int, error) {
	n, e := t.xattrName(name)
	if e != nil {
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	v, err := vfs.Getxattr(t.Thread, p, n)
	if err != nil || size == 0 {
		return len(v), err
	}
	if uint64(len(v)) > size {
		return 0, unix.ERANGE
	}
	if len(v) > 0 {
		_, err = t.AddressSpace().CopyOut(value, v)
	}
	return len(v), err
}

// getxattr reads an extended attribute (getxattr(2)).
func (t Thread) getxattr(path, name, value mm.Addr, size uint64) (int, error) {
	p, err := t.xattrPlace(path, vfs.Follow)
	return t.getxattrAt(p, err, name, value, size)
}

// lgetxattr is getxattr that does not follow the last link (getxattr(2)).
func (t Thread) lgetxattr(path, name, value mm.Addr, size uint64) (int, error) {
	p, err := t.xattrPlace(path, 0)
	return t.getxattrAt(p, err, name, value, size)
}

// fgetxattr is getxattr for an open file (getxattr(2)).
func (t Thread) fgetxattr(fd int32, name, value mm.Addr, size uint64) (int, error) {
	p, err := t.xattrFile(fd)
	return t.getxattrAt(p, err, name, value, size)
}

func (t Thread) listxattrAt(p vfs.Path, err error, list mm.Addr, size uint64) (int, error) {
	if err != nil {
		return 0, err
	}
	names, err := vfs.Listxattr(t.Thread, p)
	if err != nil {
		return 0, err
	}
	var b []byte
	for _, n := range names {
		b = append(append(b, n...), 0)
	}
	if size == 0 || len(b) == 0 {
		return len(b), nil
	}
	if uint64(len(b)) > size {
		return 0, unix.ERANGE
	}
	_, err = t.AddressSpace().CopyOut(list, b)
	return len(b), err
}

// listxattr lists the extended attributes (listxattr(2)).
func (t Thread) listxattr(path, list mm.Addr, size uint64) (int, error) {
	p, err := t.xattrPlace(path, vfs.Follow)
	return t.listxattrAt(p, err, list, size)
}

// llistxattr is listxattr that does not follow the last link (listxattr(2)).
func (t Thread) llistxattr(path, list mm.Addr, size uint64) (int, error) {
	p, err := t.xattrPlace(path, 0)
	return t.listxattrAt(p, err, list, size)
}

// flistxattr is listxattr for an open file (listxattr(2)).
func (t Thread) flistxattr(fd int32, list mm.Addr, size uint64) (int, error) {
	p, err := t.xattrFile(fd)
	return t.listxattrAt(p, err, list, size)
}

func (t Thread) removexattrAt(p vfs.Path, err error, name mm.Addr) error {
	n, e := t.xattrName(name)
	if e != nil {
		return e
	}
	if err != nil {
		return err
	}
	return vfs.Removexattr(t.Thread, p, n)
}

// removexattr removes an extended attribute (removexattr(2)).
func (t Thread) removexattr(path, name mm.Addr) error {
	p, err := t.xattrPlace(path, vfs.Follow)
	return t.removexattrAt(p, err, name)
}

// lremovexattr is removexattr that does not follow the last link (removexattr(2)).
func (t Thread) lremovexattr(path, name mm.Addr) error {
	p, err := t.xattrPlace(path, 0)
	return t.removexattrAt(p, err, name)
}

// fremovexattr is removexattr for an open file (removexattr(2)).
func (t Thread) fremovexattr(fd int32, name mm.Addr) error {
	p, err := t.xattrFile(fd)
	return t.removexattrAt(p, err, name)
}
