package vfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// The sizes that xattr(7) fixes.
const (
	xattrNameMax  = 255
	xattrSizeMax  = 65536
	xattrCreate   = 1
	xattrReplace  = 2
	xattrUser     = "user."
	xattrTrusted  = "trusted."
	xattrSecurity = "security."
	xattrSystem   = "system."
)

// xattrPermission checks what the name space of name demands.
func xattrPermission(c Caller, p Path, i *Inode, name string, mask uint32) error {
	if mask&mayWrite != 0 {
		if err := p.Mount.writable(); err != nil {
			return err
		}
	}
	switch {
	case strings.HasPrefix(name, xattrSecurity):
		return nil
	case strings.HasPrefix(name, xattrSystem):
		if mask&mayWrite != 0 && !owns(c.Cred(), i) {
			return unix.EPERM
		}
		return nil
	case strings.HasPrefix(name, xattrTrusted):
		if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
			if mask&mayWrite != 0 {
				return unix.EPERM
			}
			return unix.ENODATA
		}
		return nil
	case strings.HasPrefix(name, xattrUser):
		kind := i.Type()
		if kind != unix.S_IFREG && kind != unix.S_IFDIR {
			if mask&mayWrite != 0 {
				return unix.EPERM
			}
			return unix.ENODATA
		}
		if kind == unix.S_IFDIR && mask&mayWrite != 0 && i.Mode()&unix.S_ISVTX != 0 && !owns(c.Cred(), i) {
			return unix.EPERM
		}
	}
	return Access(c.Cred(), p.Mount, i, mask)
}

func xattrName(name string) error {
	if name == "" || len(name) > xattrNameMax {
		return unix.ERANGE
	}
	return nil
}

// xattrHandled reports whether Linux has a handler for the name space.
func xattrHandled(name string) bool {
	for _, p := range [...]string{xattrUser, xattrTrusted, xattrSecurity} {
		if len(name) > len(p) && strings.HasPrefix(name, p) {
			return true
		}
	}
	return name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// Getxattr serves getxattr(2).
func Getxattr(c Caller, p Path, name string) ([]byte, error) {
	if err := xattrName(name); err != nil {
		return nil, err
	}
	i := p.Inode()
	if err := xattrPermission(c, p, i, name, mayRead); err != nil {
		return nil, err
	}
	if !xattrHandled(name) {
		return nil, xattrUnknown(name)
	}
	return i.Ops.Getxattr(c, i, name)
}

// xattrUnknown is EINVAL for a bare name-space prefix, EOPNOTSUPP otherwise.
func xattrUnknown(name string) error {
	if name == xattrUser || name == xattrTrusted || name == xattrSecurity {
		return unix.EINVAL
	}
	return unix.EOPNOTSUPP
}

// Setxattr serves setxattr(2).
func Setxattr(c Caller, p Path, name string, value []byte, flags int) error {
	if flags&^(xattrCreate|xattrReplace) != 0 {
		return unix.EINVAL
	}
	if err := xattrName(name); err != nil {
		return err
	}
	if len(value) > xattrSizeMax {
		return unix.E2BIG
	}
	i := p.Inode()
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	if err := xattrPermission(c, p, i, name, mayWrite); err != nil {
		return err
	}
	if !xattrHandled(name) {
		return xattrUnknown(name)
	}
	if err := i.Ops.Setxattr(c, i, name, value, flags); err != nil {
		return err
	}
	notifyPath(p, inAttrib)
	return nil
}

// Removexattr serves removexattr(2).
func Removexattr(c Caller, p Path, name string) error {
	if err := xattrName(name); err != nil {
		return err
	}
	i := p.Inode()
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	if err := xattrPermission(c, p, i, name, mayWrite); err != nil {
		return err
	}
	if !xattrHandled(name) {
		return xattrUnknown(name)
	}
	if err := i.Ops.Removexattr(c, i, name); err != nil {
		return err
	}
	notifyPath(p, inAttrib)
	return nil
}

// Listxattr serves listxattr(2): the names that the caller may see.
func Listxattr(c Caller, p Path) ([]string, error) {
	i := p.Inode()
	names, err := i.Ops.Listxattr(c, i)
	if err != nil || c.Cred().Has(unix.CAP_SYS_ADMIN) {
		return names, err
	}
	var seen []string
	for _, n := range names {
		if !strings.HasPrefix(n, xattrTrusted) {
			seen = append(seen, n)
		}
	}
	return seen, nil
}
