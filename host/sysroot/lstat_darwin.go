package sysroot

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

func lstat(host string) (Info, error) {
	var st unix.Stat_t
	if err := unix.Lstat(host, &st); err != nil {
		return Info{}, &fs.PathError{Op: "lstat", Path: host, Err: err}
	}
	return Info{
		Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink),
		Major: unix.Major(uint64(uint32(st.Rdev))), Minor: unix.Minor(uint64(uint32(st.Rdev))),
		Dev: uint64(uint32(st.Dev)), Ino: st.Ino, Size: st.Size,
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}, nil
}
