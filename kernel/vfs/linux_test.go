package vfs_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sut is a system under test: the same calls, on ours and on Linux.
type sut interface {
	become(uid int)
	open(path string, flags int, mode uint32) (fd int, err error)
	close(fd int) error
	read(fd int, n int, off int64) (string, error) // off < 0: read(2)
	write(fd int, data string, off int64) (int, error)
	lseek(fd int, off int64, whence int) (int64, error)
	ftruncate(fd int, size int64) error
	fallocate(fd int, mode uint32, off, n int64) error
	truncate(path string, size int64) error
	mkdir(path string, mode uint32) error
	rmdir(path string) error
	unlink(path string) error
	rename(a, b string, flags int) error
	link(a, b string, follow bool) error
	symlink(target, path string) error
	readlink(path string) (string, error)
	stat(path string, follow bool) (string, error)
	fstat(fd int) (string, error)
	chmod(path string, mode uint32) error
	chown(path string, uid, gid int, follow bool) error
	access(path string, mode uint32) error
	mknod(path string, mode uint32, dev int) error
	list(path string) (string, error)
	setxattr(path, name, value string, flags int) error
	getxattr(path, name string) (string, error)
	listxattr(path string) (string, error)
	removexattr(path, name string) error
	utimes(path string, times *[2]unix.Timespec, follow bool) error
	chdir(path string) error
	getcwd() (string, error)
	linkfd(fd int, path string) error

	watch(path string, mask uint32) (wd int, err error)
	unwatch(wd int) error
	// events reads all queued inotify events.
	events() []byte
	// startInotify makes the instance for the calls above.
	startInotify()
	stopInotify()
}

// showEvents decodes inotify events; cookies are numbered from 1 on.
func showEvents(b []byte, cookies map[uint32]int) string {
	var s strings.Builder
	for len(b) >= 16 {
		wd, mask, cookie := int32(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:])
		n := int(le.Uint32(b[12:]))
		name := strings.TrimRight(string(b[16:16+n]), "\x00")
		if len(name) > 20 {
			name = name[:20]
		}
		if cookie != 0 && cookies[cookie] == 0 {
			cookies[cookie] = len(cookies) + 1
		}
		b = b[16+n:]
		if name != "" && name[0] == '#' { // O_TMPFILE: the inode number
			name, n = "#", 16
		}
		fmt.Fprintf(&s, " [%d %x %d %d%s]", wd, mask, cookies[cookie], n, name)
	}
	return s.String()
}

var le = binary.LittleEndian

func show(mode, nlink, uid, gid uint32, size int64, rdev uint64, atime, mtime unix.Timespec) string {
	s := fmt.Sprintf("%o n%d %d:%d r%x", mode, nlink, uid, gid, rdev)
	if mode&unix.S_IFMT != unix.S_IFDIR {
		s += fmt.Sprintf(" s%d", size)
	}
	if mtime.Sec < 1e9 {
		s += fmt.Sprintf(" m%d.%d", mtime.Sec, mtime.Nsec)
	}
	return s
}

// linux runs calls on the real kernel, chrooted into a fresh directory. Its
// thread is locked: root, working directory and fsuid are the thread's own.
type linux struct{ in int }

func (l *linux) startInotify() { l.in, _ = unix.InotifyInit1(unix.IN_NONBLOCK) }
func (l *linux) stopInotify()  { _ = unix.Close(l.in) }
func (l *linux) watch(path string, mask uint32) (int, error) {
	return unix.InotifyAddWatch(l.in, path, mask)
}

func (l *linux) unwatch(wd int) error {
	_, err := unix.InotifyRmWatch(l.in, uint32(wd))
	return err
}

func (l *linux) events() []byte {
	b := make([]byte, 1<<16)
	n, _ := unix.Read(l.in, b)
	return b[:max(n, 0)]
}

func (*linux) become(uid int) {
	unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	unix.RawSyscall(unix.SYS_SETFSGID, uintptr(uid), 0, 0)
}

func (*linux) open(path string, flags int, mode uint32) (int, error) {
	return unix.Openat(unix.AT_FDCWD, path, flags, mode)
}
func (*linux) close(fd int) error { return unix.Close(fd) }
func (*linux) read(fd, n int, off int64) (string, error) {
	b := make([]byte, n)
	var err error
	if off < 0 {
		n, err = unix.Read(fd, b)
	} else {
		n, err = unix.Pread(fd, b, off)
	}
	return string(b[:max(n, 0)]), err
}

func (*linux) write(fd int, data string, off int64) (int, error) {
	if off < 0 {
		return unix.Write(fd, []byte(data))
	}
	return unix.Pwrite(fd, []byte(data), off)
}

func (*linux) lseek(fd int, off int64, whence int) (int64, error) { return unix.Seek(fd, off, whence) }

func (*linux) ftruncate(fd int, size int64) error { return unix.Ftruncate(fd, size) }

func (*linux) fallocate(fd int, mode uint32, off, n int64) error {
	return unix.Fallocate(fd, mode, off, n)
}
func (*linux) truncate(path string, size int64) error { return unix.Truncate(path, size) }
func (*linux) mkdir(path string, mode uint32) error   { return unix.Mkdir(path, mode) }
func (*linux) rmdir(path string) error                { return unix.Rmdir(path) }
func (*linux) unlink(path string) error               { return unix.Unlink(path) }
func (*linux) rename(a, b string, flags int) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, uint(flags))
}

func (*linux) link(a, b string, follow bool) error {
	flags := 0
	if follow {
		flags = unix.AT_SYMLINK_FOLLOW
	}
	return unix.Linkat(unix.AT_FDCWD, a, unix.AT_FDCWD, b, flags)
}
func (*linux) symlink(target, path string) error { return unix.Symlink(target, path) }
func (*linux) readlink(path string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Readlink(path, b)
	return string(b[:max(n, 0)]), err
}

func showStat(st *unix.Stat_t) string {
	return show(st.Mode, uint32(st.Nlink), st.Uid, st.Gid, st.Size, st.Rdev, st.Atim, st.Mtim)
}

func (*linux) stat(path string, follow bool) (string, error) {
	var st unix.Stat_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	err := unix.Fstatat(unix.AT_FDCWD, path, &st, flags)
	return showStat(&st), err
}

func (*linux) fstat(fd int) (string, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return showStat(&st), err
}
func (*linux) chmod(path string, mode uint32) error { return unix.Chmod(path, mode) }
func (*linux) chown(path string, uid, gid int, follow bool) error {
	if follow {
		return unix.Chown(path, uid, gid)
	}
	return unix.Lchown(path, uid, gid)
}

func (*linux) access(path string, mode uint32) error {
	// AT_EACCESS: access(2) itself uses the real uid, which become leaves.
	p, _ := unix.BytePtrFromString(path)
	_, _, e := unix.RawSyscall6(unix.SYS_FACCESSAT2, ^uintptr(99), uintptr(unsafe.Pointer(p)), uintptr(mode), unix.AT_EACCESS, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
func (*linux) mknod(path string, mode uint32, dev int) error { return unix.Mknod(path, mode, dev) }
func (*linux) list(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 1<<16)
	var names []string
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return "", err
		}
		if n <= 0 {
			break
		}
		for b := buf[:n]; len(b) > 0; {
			reclen := int(*(*uint16)(unsafe.Pointer(&b[16])))
			name, _, _ := bytes.Cut(b[19:reclen], []byte{0})
			names = append(names, fmt.Sprintf("%s/%d", name, b[18]))
			b = b[reclen:]
		}
	}
	slices.Sort(names)
	return strings.Join(names, " "), nil
}

func (*linux) setxattr(path, name, value string, flags int) error {
	return unix.Lsetxattr(path, name, []byte(value), flags)
}

func (*linux) getxattr(path, name string) (string, error) {
	b := make([]byte, 256)
	n, err := unix.Lgetxattr(path, name, b)
	return string(b[:max(n, 0)]), err
}

func (*linux) listxattr(path string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Llistxattr(path, b)
	names := strings.Split(strings.TrimRight(string(b[:max(n, 0)]), "\x00"), "\x00")
	names = slices.DeleteFunc(names, func(s string) bool { return strings.HasPrefix(s, "security.") })
	slices.Sort(names)
	return strings.Join(names, " "), err
}
func (*linux) removexattr(path, name string) error { return unix.Lremovexattr(path, name) }
func (*linux) utimes(path string, times *[2]unix.Timespec, follow bool) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	if times == nil {
		p, _ := unix.BytePtrFromString(path)
		_, _, e := unix.RawSyscall6(unix.SYS_UTIMENSAT, ^uintptr(99), uintptr(unsafe.Pointer(p)), 0, uintptr(flags), 0, 0)
		if e != 0 {
			return e
		}
		return nil
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, times[:], flags)
}
func (*linux) chdir(path string) error { return unix.Chdir(path) }
func (*linux) getcwd() (string, error) {
	b := make([]byte, 4096)
	n, _, e := unix.RawSyscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(&b[0])), 4096, 0)
	if e != 0 {
		return "", e
	}
	return string(b[:n-1]), nil
}

func (*linux) linkfd(fd int, path string) error {
	return unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
}
