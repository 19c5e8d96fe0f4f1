package vfs

import (
	"golang.org/x/sys/unix"
)

// Statfs fills in what statfs(2) shows of the file system at p.
func Statfs(p Path, st *unix.Statfs_t) error {
	i := p.Inode()
	sb := i.FS
	*st = unix.Statfs_t{}
	if sb == nil {
		return unix.ENOSYS
	}
	st.Type, st.Bsize, st.Namelen = sb.Magic, 4096, unix.NAME_MAX
	st.Fsid.Val = [2]int32{int32(sb.Dev), int32(sb.Dev >> 32)}
	if sb.Statfs != nil {
		sb.Statfs(st)
	}
	if st.Frsize == 0 {
		st.Frsize = st.Bsize
	}
	const stValid = 0x20
	st.Flags |= stValid
	if p.Mount != nil {
		f := p.Mount.Flags()
		for _, m := range [...][2]uint32{
			{unix.MS_RDONLY, unix.ST_RDONLY},
			{unix.MS_NOSUID, unix.ST_NOSUID},
			{unix.MS_NODEV, unix.ST_NODEV},
			{unix.MS_NOEXEC, unix.ST_NOEXEC},
			{unix.MS_NOATIME, unix.ST_NOATIME},
			{unix.MS_NODIRATIME, unix.ST_NODIRATIME},
			{unix.MS_RELATIME, unix.ST_RELATIME},
		} {
			if f&m[0] != 0 {
				st.Flags |= int64(m[1])
			}
		}
	}
	return nil
}
