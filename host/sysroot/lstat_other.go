//go:build !linux && !darwin

package sysroot

import (
	"io/fs"
	"os"
)

// lstat on a host without Unix metadata: every file is root's, readable and
// executable, and has no identity.
func lstat(host string) (Info, error) {
	st, err := os.Lstat(host)
	if err != nil {
		return Info{}, err
	}
	i := Info{Mode: TypeReg | 0o755, Nlink: 1, Size: st.Size(), Mtime: st.ModTime().UnixNano()}
	switch st.Mode() & fs.ModeType {
	case 0:
	case fs.ModeDir:
		i.Mode, i.Nlink = TypeDir|0o755, 2
	case fs.ModeSymlink:
		i.Mode = TypeLink | 0o777
	default:
		i.Mode = TypeSock | 0o600
	}
	return i, nil
}
