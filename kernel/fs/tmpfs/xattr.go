package tmpfs

import (
	"encoding/binary"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

const (
	xattrCreate  = 1
	xattrReplace = 2

	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

func (n *node) Getxattr(c vfs.Caller, i *vfs.Inode, name string) ([]byte, error) {
	i.DirMu.RLock()
	defer i.DirMu.RUnlock()
	if n.lower != nil && !n.lower.xattrs {
		return n.lower.inode.Ops.Getxattr(c, n.lower.inode, name)
	}
	v, ok := n.xattrs[name]
	if !ok {
		return nil, unix.ENODATA
	}
	return v, nil
}

// Setxattr is called with DirMu held.
func (n *node) Setxattr(c vfs.Caller, i *vfs.Inode, name string, value []byte, flags int) error {
	if name == aclAccess || name == aclDefault {
		if i.Type() == unix.S_IFLNK {
			return unix.EOPNOTSUPP
		}
		if name == aclDefault && !i.IsDir() {
			return unix.EACCES
		}
		mode, minimal, err := aclMode(value)
		if err != nil {
			return err
		}
		n.change()
		n.ownXattrs(c)
		if name == aclAccess {
			i.Apply(&vfs.SetAttr{Valid: vfs.SetMode, Mode: i.Mode()&0o7000 | mode})
			if minimal { // the mode says it all
				delete(n.xattrs, name)
				return nil
			}
		}
		return n.set(i, name, value, 0)
	}
	n.change()
	n.ownXattrs(c)
	return n.set(i, name, value, flags)
}

func (n *node) set(i *vfs.Inode, name string, value []byte, flags int) error {
	_, exists := n.xattrs[name]
	if exists && flags&xattrCreate != 0 {
		return unix.EEXIST
	}
	if !exists && flags&xattrReplace != 0 {
		return unix.ENODATA
	}
	if n.xattrs == nil {
		n.xattrs = make(map[string][]byte)
	}
	n.xattrs[cloneName(name)] = slices.Clone(value)
	i.TouchCtime()
	return nil
}

// Removexattr is called with DirMu held.
func (n *node) Removexattr(c vfs.Caller, i *vfs.Inode, name string) error {
	n.ownXattrs(c)
	if _, ok := n.xattrs[name]; !ok {
		return unix.ENODATA
	}
	n.change()
	delete(n.xattrs, name)
	i.TouchCtime()
	return nil
}

func (n *node) Listxattr(c vfs.Caller, i *vfs.Inode) ([]string, error) {
	i.DirMu.RLock()
	defer i.DirMu.RUnlock()
	if n.lower != nil && !n.lower.xattrs {
		return n.lower.inode.Ops.Listxattr(c, n.lower.inode)
	}
	return slices.Sorted(maps.Keys(n.xattrs)), nil
}

// aclMode returns the permission bits that an access control list of acl(5)
// in its xattr form implies, and whether it says nothing beyond them.
func aclMode(v []byte) (mode uint32, minimal bool, err error) {
	const (
		version = 2
		userObj = 1
		user    = 2
		grpObj  = 4
		group   = 8
		mask    = 16
		other   = 32
	)
	if len(v) < 4 || (len(v)-4)%8 != 0 || binary.LittleEndian.Uint32(v) != version {
		return 0, false, unix.EINVAL
	}
	minimal = true
	hasMask := false
	var seen uint16
	for v = v[4:]; len(v) > 0; v = v[8:] {
		tag, perm := binary.LittleEndian.Uint16(v), uint32(binary.LittleEndian.Uint16(v[2:]))
		if perm > 7 {
			return 0, false, unix.EINVAL
		}
		seen |= tag
		switch tag {
		case userObj:
			mode |= perm << 6
		case grpObj:
			if !hasMask {
				mode |= perm << 3
			}
		case mask:
			mode = mode&^0o070 | perm<<3
			hasMask, minimal = true, false
		case other:
			mode |= perm
		case user, group:
			minimal = false
		default:
			return 0, false, unix.EINVAL
		}
	}
	if seen&(userObj|grpObj|other) != userObj|grpObj|other || seen&(user|group) != 0 && !hasMask {
		return 0, false, unix.EINVAL
	}
	return mode, minimal, nil
}
