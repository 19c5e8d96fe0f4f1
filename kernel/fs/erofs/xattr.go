package erofs

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// Extended attributes lie behind the inode: a header with the number of
// shared ones, their places in the shared area, then entries of the file's
// own. An entry is 4 bytes, the name without its prefix, the value; padded.
const xattrHeader = 12

// xattrPrefix is the beginning of the names with an index, "" if unknown.
func xattrPrefix(index uint8) string {
	switch index {
	case 1:
		return "user."
	case 2:
		return "system.posix_acl_access"
	case 3:
		return "system.posix_acl_default"
	case 4:
		return "trusted."
	case 6:
		return "security."
	}
	return ""
}

// Getxattr implements vfs.InodeOps.
func (n *node) Getxattr(_ vfs.Caller, _ *vfs.Inode, name string) ([]byte, error) {
	var value []byte
	err := n.xattrs(func(prefix string, rest, v []byte) bool {
		if len(name) == len(prefix)+len(rest) && name[:len(prefix)] == prefix && name[len(prefix):] == string(rest) {
			value = append([]byte{}, v...)
			return false
		}
		return true
	})
	if err == nil && value == nil {
		err = unix.ENODATA
	}
	return value, err
}

// Listxattr implements vfs.InodeOps.
func (n *node) Listxattr(vfs.Caller, *vfs.Inode) ([]string, error) {
	var names []string
	err := n.xattrs(func(prefix string, rest, _ []byte) bool {
		names = append(names, prefix+string(rest))
		return true
	})
	return names, err
}

// xattrs calls f for every attribute until it returns false.
func (n *node) xattrs(f func(prefix string, rest, value []byte) bool) error {
	if n.xattrBytes == 0 {
		return nil
	}
	b := make([]byte, n.xattrBytes)
	if err := n.fs.read(b, n.xattr); err != nil {
		return err
	}
	shared := int(b[4])
	if xattrHeader+4*shared > len(b) {
		return unix.EUCLEAN
	}
	for i := range shared {
		id := uint64(binary.LittleEndian.Uint32(b[xattrHeader+4*i:]))
		pos := n.fs.xattrStart + 4*id
		var head [4]byte
		if err := n.fs.read(head[:], pos); err != nil {
			return err
		}
		e := make([]byte, 4+int(head[0])+int(binary.LittleEndian.Uint16(head[2:])))
		if err := n.fs.read(e, pos); err != nil {
			return err
		}
		if _, more, err := xattrEntry(e, f); err != nil || !more {
			return err
		}
	}
	for b = b[xattrHeader+4*shared:]; len(b) >= 4; {
		size, more, err := xattrEntry(b, f)
		if err != nil || !more {
			return err
		}
		b = b[min(size, len(b)):]
	}
	return nil
}

// xattrEntry decodes one entry and tells how long it is. Names with an
// unknown prefix are passed over.
func xattrEntry(b []byte, f func(prefix string, rest, value []byte) bool) (size int, more bool, err error) {
	name, value := int(b[0]), int(binary.LittleEndian.Uint16(b[2:]))
	size = 4 + name + value
	if size > len(b) {
		return 0, false, unix.EUCLEAN
	}
	more = true
	if prefix := xattrPrefix(b[1]); prefix != "" {
		more = f(prefix, b[4:4+name], b[4+name:size])
	}
	return (size + 3) &^ 3, more, nil
}
