package sysroot

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Xattrs are a host file's extended attributes that mean something in a
// machine: capabilities, access control lists, and the user's own.
func Xattrs(host string) (map[string][]byte, error) {
	var list [4096]byte
	n, err := unix.Llistxattr(host, list[:])
	names := list[:]
	if err == unix.ERANGE {
		names = make([]byte, 64<<10) // as long as Linux lets it be
		n, err = unix.Llistxattr(host, names)
	}
	if err == unix.ENOTSUP || n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string][]byte
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		switch {
		case name == "security.capability", strings.HasPrefix(name, "user."), strings.HasPrefix(name, "trusted."), strings.HasPrefix(name, "system.posix_acl_"):
		default:
			continue // labels of the host's own security modules
		}
		value := make([]byte, 64<<10)
		m, err := unix.Lgetxattr(host, name, value)
		if err != nil {
			continue // gone since
		}
		if out == nil {
			out = map[string][]byte{}
		}
		out[name] = append([]byte(nil), value[:m]...)
	}
	return out, nil
}
