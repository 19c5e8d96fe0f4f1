package rootfs

import (
	"os"
	"path/filepath"

	"husk/host/sysroot"
)

// HostFile makes a node of one file of the host, for a place of the caller's
// choosing. With follow a symbolic link becomes what it leads to. Of a
// directory only itself is taken.
func HostFile(host string, follow bool) (*Node, error) {
	if follow {
		real, err := filepath.EvalSymlinks(host)
		if err != nil {
			return nil, err
		}
		host = real
	}
	host, err := filepath.Abs(host)
	if err != nil {
		return nil, err
	}
	info, err := sysroot.Stat(host)
	if err != nil {
		return nil, err
	}
	target := ""
	if info.Type() == sysroot.TypeLink {
		if target, err = os.Readlink(host); err != nil {
			return nil, err
		}
	}
	return NewTree().hostNode(host, &info, target), nil
}
