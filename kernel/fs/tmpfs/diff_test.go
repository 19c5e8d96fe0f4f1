package tmpfs_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/pipe"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
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

// husk runs them on package vfs.
type husk struct {
	c   *vfstest.Caller
	fds *vfs.FDTable
	in  *vfs.File
}

func (h *husk) startInotify() { h.in, _ = vfs.NewInotify(unix.O_NONBLOCK) }
func (h *husk) stopInotify()  { h.in.Put(); h.in = nil }
func (h *husk) watch(path string, mask uint32) (int, error) {
	lf := vfs.Follow
	if mask&unix.IN_DONT_FOLLOW != 0 {
		lf = 0
	}
	if mask&unix.IN_ONLYDIR != 0 {
		lf |= vfs.Directory
	}
	p, err := vfs.Lookup(h.c, nil, path, lf)
	if err != nil {
		return -1, err
	}
	if err := vfs.Access(h.c.Cred(), p.Mount, p.Inode(), unix.R_OK); err != nil {
		return -1, err
	}
	return h.in.Ops.(*vfs.Inotify).Add(p, mask)
}
func (h *husk) unwatch(wd int) error { return h.in.Ops.(*vfs.Inotify).Remove(wd) }
func (h *husk) events() []byte {
	b := make([]byte, 1<<16)
	buf := mm.KernelBuffer(b)
	n, _ := h.in.Read(h.c, &buf)
	return b[:n]
}

func newHusk(t testing.TB, sb *vfs.Superblock) *husk {
	c := vfstest.New()
	ns := vfs.NewMountNamespace(sb, 0)
	fs := vfs.NewFSContext(ns.Root())
	fs.SetUmask(0o022)
	c.SetFS(fs)
	return &husk{c: c, fds: vfs.NewFDTable()}
}

func (h *husk) become(uid int) {
	if uid == 0 {
		h.c.SetCred(cred.Root())
	} else {
		// setfsuid(2) takes just the capabilities about files away.
		c := cred.User(cred.UID(uid), cred.GID(uid), nil).Clone()
		const files = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER |
			1<<unix.CAP_FSETID | 1<<unix.CAP_LINUX_IMMUTABLE | 1<<unix.CAP_MKNOD | 1<<unix.CAP_MAC_OVERRIDE
		c.Effective = cred.AllCaps &^ files
		h.c.SetCred(c)
	}
}

func (h *husk) open(path string, flags int, mode uint32) (int, error) {
	f, err := vfs.Open(h.c, path, uint32(flags), mode)
	if err != nil {
		return -1, err
	}
	return h.fds.Install(f, 0, false, 1024)
}
func (h *husk) close(fd int) error { return h.fds.Close(h.c, fd) }
func (h *husk) file(fd int) (*vfs.File, error) {
	return h.fds.Get(fd)
}

func (h *husk) read(fd, n int, off int64) (string, error) {
	f, err := h.file(fd)
	if err != nil {
		return "", err
	}
	defer f.Put()
	p := make([]byte, n)
	b := mm.KernelBuffer(p)
	if off < 0 {
		n, err = f.Read(h.c, &b)
	} else {
		n, err = f.Pread(h.c, &b, off)
	}
	return string(p[:n]), err
}

func (h *husk) write(fd int, data string, off int64) (int, error) {
	f, err := h.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	b := mm.KernelBuffer([]byte(data))
	if off < 0 {
		return f.Write(h.c, &b)
	}
	return f.Pwrite(h.c, &b, off)
}

func (h *husk) lseek(fd int, off int64, whence int) (int64, error) {
	f, err := h.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	return f.Lseek(h.c, off, whence)
}

func (h *husk) ftruncate(fd int, size int64) error {
	f, err := h.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Truncate(h.c, size)
}

func (h *husk) fallocate(fd int, mode uint32, off, n int64) error {
	f, err := h.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Allocate(h.c, mode, off, n)
}

func (h *husk) at(path string, follow bool) (vfs.Path, error) {
	flags := vfs.LookupFlags(0)
	if follow {
		flags = vfs.Follow
	}
	return vfs.Lookup(h.c, nil, path, flags)
}

func (h *husk) truncate(path string, size int64) error {
	if size < 0 {
		return unix.EINVAL
	}
	p, err := h.at(path, true)
	if err != nil {
		return err
	}
	return vfs.Truncate(h.c, p, size)
}
func (h *husk) mkdir(path string, mode uint32) error { return vfs.Mkdir(h.c, nil, path, mode) }
func (h *husk) rmdir(path string) error              { return vfs.Rmdir(h.c, nil, path) }
func (h *husk) unlink(path string) error             { return vfs.Unlink(h.c, nil, path) }
func (h *husk) rename(a, b string, flags int) error {
	return vfs.Rename(h.c, nil, a, nil, b, uint32(flags))
}

func (h *husk) link(a, b string, follow bool) error {
	p, err := h.at(a, follow)
	if err != nil {
		return err
	}
	return vfs.Link(h.c, p, nil, b)
}
func (h *husk) symlink(target, path string) error { return vfs.Symlink(h.c, target, nil, path) }
func (h *husk) readlink(path string) (string, error) {
	p, err := h.at(path, false)
	if err != nil {
		return "", err
	}
	return vfs.Readlink(h.c, p)
}

func showAttr(a *vfs.Attr) string {
	return show(a.Mode, a.Nlink, a.UID, a.GID, a.Size, a.Rdev, a.Atime, a.Mtime)
}

func (h *husk) stat(path string, follow bool) (string, error) {
	p, err := h.at(path, follow)
	if err != nil {
		return "", err
	}
	var a vfs.Attr
	err = vfs.Stat(h.c, p, &a)
	return showAttr(&a), err
}

func (h *husk) fstat(fd int) (string, error) {
	f, err := h.file(fd)
	if err != nil {
		return "", err
	}
	defer f.Put()
	var a vfs.Attr
	err = f.Inode.Stat(h.c, &a)
	return showAttr(&a), err
}

func (h *husk) chmod(path string, mode uint32) error {
	p, err := h.at(path, true)
	if err != nil {
		return err
	}
	return vfs.Chmod(h.c, p, mode)
}

func (h *husk) chown(path string, uid, gid int, follow bool) error {
	p, err := h.at(path, follow)
	if err != nil {
		return err
	}
	return vfs.Chown(h.c, p, uint32(uid), uint32(gid))
}

func (h *husk) access(path string, mode uint32) error {
	p, err := h.at(path, true)
	if err != nil {
		return err
	}
	return vfs.Access(h.c.Cred(), p.Mount, p.Inode(), mode)
}

func (h *husk) mknod(path string, mode uint32, dev int) error {
	return vfs.Mknod(h.c, nil, path, mode, uint64(dev))
}

func (h *husk) list(path string) (string, error) {
	f, err := vfs.Open(h.c, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer f.Put()
	var names []string
	for {
		k := len(names)
		err := f.ReadDir(h.c, func(e vfs.Dirent) bool {
			if h.in == nil && len(names)-k == 3 {
				return false
			}
			names = append(names, fmt.Sprintf("%s/%d", e.Name, e.Type))
			return true
		})
		if err != nil {
			return "", err
		}
		if len(names) == k {
			break
		}
	}
	slices.Sort(names)
	return strings.Join(names, " "), nil
}

func (h *husk) setxattr(path, name, value string, flags int) error {
	p, err := h.at(path, false)
	if err != nil {
		return err
	}
	return vfs.Setxattr(h.c, p, name, []byte(value), flags)
}

func (h *husk) getxattr(path, name string) (string, error) {
	p, err := h.at(path, false)
	if err != nil {
		return "", err
	}
	v, err := vfs.Getxattr(h.c, p, name)
	return string(v), err
}

func (h *husk) listxattr(path string) (string, error) {
	p, err := h.at(path, false)
	if err != nil {
		return "", err
	}
	v, err := vfs.Listxattr(h.c, p)
	v = slices.DeleteFunc(v, func(s string) bool { return strings.HasPrefix(s, "security.") })
	return strings.Join(v, " "), err
}

func (h *husk) removexattr(path, name string) error {
	p, err := h.at(path, false)
	if err != nil {
		return err
	}
	return vfs.Removexattr(h.c, p, name)
}

func (h *husk) utimes(path string, times *[2]unix.Timespec, follow bool) error {
	if times != nil && times[0].Nsec == unix.UTIME_OMIT && times[1].Nsec == unix.UTIME_OMIT {
		return nil // the system call looks no further
	}
	p, err := h.at(path, follow)
	if err != nil {
		return err
	}
	return vfs.Utimes(h.c, p, times)
}

func (h *husk) chdir(path string) error {
	p, err := h.at(path, true)
	if err != nil {
		return err
	}
	return vfs.Chdir(h.c, p)
}
func (h *husk) getcwd() (string, error) { return vfs.Getcwd(h.c) }
func (h *husk) linkfd(fd int, path string) error {
	f, err := h.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	if !h.c.Cred().Has(unix.CAP_DAC_READ_SEARCH) {
		return unix.ENOENT
	}
	return vfs.Link(h.c, f.Path, nil, path)
}

// steps makes the same random calls on a system and returns what each gave.
// Descriptors are named by the order in which they were opened.
func steps(seed uint64, n int, s sut) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	var log []string
	type open struct{ fd int }
	var fds []open
	uid := 0
	watching := seed%3 == 0
	cookies := map[uint32]int{}
	if watching {
		s.startInotify()
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	name := func() string { return pick("a", "b", "c", "d", "e") }
	path := func() string {
		p := name()
		for r.IntN(3) == 0 {
			p = pick("a", "b", "c", "d", "e", "..", ".", "") + "/" + p
		}
		switch r.IntN(24) {
		case 0:
			p += "/"
		case 1:
			p += "/."
		case 2:
			p += "/.."
		case 3, 4, 5:
			p = "/" + p
		case 6:
			return ""
		case 7:
			p += "//"
		case 8:
			return strings.Repeat("n", 254+r.IntN(3))
		case 9:
			return "/"
		}
		return p
	}
	flag := func(list ...int) int {
		f := 0
		for _, x := range list {
			if r.IntN(4) == 0 {
				f |= x
			}
		}
		return f
	}
	for range n {
		var what string
		var res any
		var err error
		fd := -1
		if len(fds) > 0 {
			fd = fds[r.IntN(len(fds))].fd
		}
		off := int64(r.IntN(20000))
		if r.IntN(6) == 0 {
			off = int64(r.IntN(5)) * 4096
		}
		kinds := 40
		if watching {
			kinds = 43
		}
		switch k := r.IntN(kinds); k {
		case 40, 41:
			p := path()
			masks := []uint32{unix.IN_ALL_EVENTS, unix.IN_ALL_EVENTS, unix.IN_CREATE | unix.IN_DELETE, unix.IN_MOVE, unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF}
			mask := masks[r.IntN(len(masks))] | uint32(flag(unix.IN_ONLYDIR, unix.IN_DONT_FOLLOW, unix.IN_MASK_ADD, unix.IN_ONESHOT&0x7fffffff))
			if r.IntN(6) == 0 {
				mask |= unix.IN_EXCL_UNLINK
			}
			if r.IntN(10) == 0 {
				mask |= unix.IN_ONESHOT
			}
			what = fmt.Sprintf("watch(%q, %#x)", p, mask)
			res, err = s.watch(p, mask)
		case 42:
			wd := r.IntN(20)
			what = fmt.Sprintf("unwatch(%d)", wd)
			err = s.unwatch(wd)
		case 0, 1, 2, 3, 4:
			p := path()
			fl := r.IntN(3) | flag(unix.O_CREAT, unix.O_CREAT, unix.O_EXCL, unix.O_TRUNC, unix.O_APPEND, unix.O_NOFOLLOW, unix.O_DIRECTORY, unix.O_NONBLOCK)
			fl |= unix.O_NONBLOCK // never wait for a FIFO's other end
			switch r.IntN(12) {
			case 0:
				fl |= unix.O_PATH
			case 1:
				fl |= unix.O_TMPFILE
			case 2:
				fl |= unix.O_NOATIME
			}
			mode := []uint32{0o644, 0o600, 0o777, 0o4755, 0o2711, 0}[r.IntN(6)]
			what = fmt.Sprintf("open(%q, %#x, %#o)", p, fl, mode)
			var d int
			d, err = s.open(p, fl, mode)
			if err == nil {
				fds = append(fds, open{d})
				if len(fds) > 12 {
					_ = s.close(fds[0].fd)
					fds = fds[1:]
				}
			}
		case 5:
			if fd < 0 {
				continue
			}
			what, err = "close", s.close(fd)
			fds = slices.DeleteFunc(fds, func(o open) bool { return o.fd == fd })
		case 6, 7:
			if r.IntN(2) == 0 {
				off = -1
			}
			n := r.IntN(9000)
			what = fmt.Sprintf("read(%d, %d)", n, off)
			res, err = s.read(fd, n, off)
		case 8, 9, 10:
			if r.IntN(2) == 0 {
				off = -1
			}
			data := strings.Repeat(string(rune('A'+r.IntN(26))), r.IntN(9000))
			what = fmt.Sprintf("write(%d, %d)", len(data), off)
			res, err = s.write(fd, data, off)
		case 11, 12:
			whence := r.IntN(6)
			if seed%2 == 0 && whence >= unix.SEEK_DATA {
				continue // Linux takes pages of fallocate for holes until they are written
			}
			if r.IntN(3) == 0 {
				off = -off
			}
			what = fmt.Sprintf("lseek(%d, %d)", off, whence)
			res, err = s.lseek(fd, off, whence)
		case 13:
			what = fmt.Sprintf("ftruncate(%d)", off)
			err = s.ftruncate(fd, off)
		case 14:
			mode := uint32([]int{0, 1, 2, 3, 8, 0x10, 0x11, 0x20, 0x40}[r.IntN(9)])
			n := int64(r.IntN(20000)) - 100
			if seed%2 == 1 {
				mode |= 2
			}
			what = fmt.Sprintf("fallocate(%#x, %d, %d)", mode, off, n)
			err = s.fallocate(fd, mode, off, n)
		case 15:
			p := path()
			off -= 500
			what = fmt.Sprintf("truncate(%q, %d)", p, off)
			err = s.truncate(p, off)
		case 16, 17, 18:
			p := path()
			mode := []uint32{0o755, 0o700, 0o1777, 0o2775, 0o777}[r.IntN(5)]
			what = fmt.Sprintf("mkdir(%q, %#o)", p, mode)
			err = s.mkdir(p, mode)
		case 19:
			p := path()
			what = fmt.Sprintf("rmdir(%q)", p)
			err = s.rmdir(p)
		case 20:
			p := path()
			what = fmt.Sprintf("unlink(%q)", p)
			err = s.unlink(p)
		case 21, 22, 23:
			p, q := path(), path()
			fl := flag(1, 2, 4)
			if r.IntN(2) == 0 {
				fl = 0
			}
			what = fmt.Sprintf("rename(%q, %q, %d)", p, q, fl)
			err = s.rename(p, q, fl)
		case 24:
			p, q := path(), path()
			follow := r.IntN(2) == 0
			if uid != 0 {
				continue // fs.protected_hardlinks may be set on the host
			}
			what = fmt.Sprintf("link(%q, %q, %v)", p, q, follow)
			err = s.link(p, q, follow)
		case 25, 26:
			target, p := path(), path()
			if len(target) > 200 {
				target = "/a/b"
			}
			what = fmt.Sprintf("symlink(%q, %q)", target, p)
			err = s.symlink(target, p)
		case 27:
			p := path()
			what = fmt.Sprintf("readlink(%q)", p)
			res, err = s.readlink(p)
		case 28, 29:
			p := path()
			follow := r.IntN(2) == 0
			what = fmt.Sprintf("stat(%q, %v)", p, follow)
			res, err = s.stat(p, follow)
		case 30:
			what = "fstat"
			res, err = s.fstat(fd)
		case 31:
			p := path()
			mode := uint32(r.IntN(0o10000))
			what = fmt.Sprintf("chmod(%q, %#o)", p, mode)
			err = s.chmod(p, mode)
		case 32:
			p := path()
			ids := []int{-1, 0, 1000, 1001}
			u, g, follow := ids[r.IntN(4)], ids[r.IntN(4)], r.IntN(2) == 0
			what = fmt.Sprintf("chown(%q, %d, %d, %v)", p, u, g, follow)
			err = s.chown(p, u, g, follow)
		case 33:
			p := path()
			mode := uint32(r.IntN(8))
			what = fmt.Sprintf("access(%q, %d)", p, mode)
			err = s.access(p, mode)
		case 34:
			p := path()
			mode := []uint32{unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFREG, 0, unix.S_IFDIR, unix.S_IFCHR, unix.S_IFLNK}[r.IntN(7)] | 0o664
			what = fmt.Sprintf("mknod(%q, %#o)", p, mode)
			err = s.mknod(p, mode, 0)
		case 35:
			p := path()
			what = fmt.Sprintf("list(%q)", p)
			res, err = s.list(p)
		case 36, 37:
			p := path()
			x := pick("user.x", "user.y", "trusted.z", "user.", "other.x", "x", "security.q")
			switch r.IntN(4) {
			case 0:
				v := strings.Repeat("v", r.IntN(5))
				fl := r.IntN(3)
				what = fmt.Sprintf("setxattr(%q, %s, %q, %d)", p, x, v, fl)
				err = s.setxattr(p, x, v, fl)
			case 1:
				what = fmt.Sprintf("getxattr(%q, %s)", p, x)
				res, err = s.getxattr(p, x)
			case 2:
				what = fmt.Sprintf("listxattr(%q)", p)
				res, err = s.listxattr(p)
			case 3:
				what = fmt.Sprintf("removexattr(%q, %s)", p, x)
				err = s.removexattr(p, x)
			}
		case 38:
			p := path()
			follow := r.IntN(2) == 0
			var times *[2]unix.Timespec
			if r.IntN(3) > 0 {
				one := func() unix.Timespec {
					return unix.Timespec{Sec: int64(r.IntN(1e8)), Nsec: []int64{0, 5, 999999999, 1e9, unix.UTIME_NOW, unix.UTIME_OMIT}[r.IntN(6)]}
				}
				times = &[2]unix.Timespec{one(), one()}
			}
			what = fmt.Sprintf("utimes(%q, %v, %v)", p, times, follow)
			err = s.utimes(p, times, follow)
		case 39:
			switch r.IntN(5) {
			case 0:
				p := path()
				what = fmt.Sprintf("chdir(%q)", p)
				err = s.chdir(p)
			case 1:
				what = "getcwd"
				res, err = s.getcwd()
			case 2:
				uid = []int{0, 1000}[r.IntN(2)]
				what = fmt.Sprintf("become(%d)", uid)
				s.become(uid)
			case 3:
				p := path()
				if uid != 0 {
					continue // Linux 6.10 relaxed who may; we follow that
				}
				what = fmt.Sprintf("linkfd(%q)", p)
				err = s.linkfd(fd, p)
			case 4:
				what, err = "chdir(/)", s.chdir("/")
			}
		}
		if err != nil {
			res = nil
		}
		e := "ok"
		if no, ok := err.(unix.Errno); ok {
			e = unix.ErrnoName(no)
		} else if err != nil {
			e = err.Error()
		}
		out := fmt.Sprint(res)
		if len(out) > 300 {
			out = fmt.Sprintf("%d bytes %x %s…", len(out), crc(out), out[:20])
		}
		line := fmt.Sprintf("%s = %s %s", what, e, out)
		if watching {
			line += showEvents(s.events(), cookies)
		}
		log = append(log, line)
	}
	for _, f := range fds {
		_ = s.close(f.fd)
	}
	s.become(0)
	if watching {
		s.stopInotify()
	}
	return log
}

func crc(s string) (h uint32) {
	for i := range len(s) {
		h = h*31 + uint32(s[i])
	}
	return h
}

// onLinux makes the calls of the given seeds, one after the other, in one
// fresh directory of the host's tmpfs; the answers are those of the last.
func onLinux(t *testing.T, n int, seeds ...uint64) []string {
	dir, err := os.MkdirTemp("/dev/shm", "husk")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	answers := make(chan []string)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with us
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			answers <- nil
			return
		}
		unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		unix.Umask(0o022)
		_ = unix.Chmod(dir, 0o1777)
		if unix.Chroot(dir) != nil || unix.Chdir("/") != nil {
			answers <- nil
			return
		}
		var last []string
		for _, seed := range seeds {
			last = steps(seed, n, &linux{})
			_ = unix.Chdir("/")
		}
		answers <- last
	}()
	a := <-answers
	if a == nil {
		t.Skip("cannot change root")
	}
	return a
}

func needLinux(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes device nodes and changes its root")
	}
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("no tmpfs at /dev/shm")
	}
	pipe.Register()
}

func seeds(many uint64) uint64 {
	if testing.Short() {
		return many / 10
	}
	return many
}

// TestSameAsLinux makes random calls on tmpfs through package vfs and on the
// tmpfs of the kernel that runs the test, and compares every answer.
func TestSameAsLinux(t *testing.T) {
	needLinux(t)
	for seed := range seeds(100) {
		want := onLinux(t, 900, seed)
		sb, err := tmpfs.New("")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, seed, steps(seed, 900, newHusk(t, sb)), want)
		if t.Failed() {
			return
		}
	}
}

// TestOverlaySameAsLinux fills a tree with random calls, puts an overlay
// above it and goes on: the overlay must behave like the tree itself.
func TestOverlaySameAsLinux(t *testing.T) {
	needLinux(t)
	for seed := range seeds(100) {
		want := onLinux(t, 500, seed, 2*seed+4000)
		lower, err := tmpfs.New("")
		if err != nil {
			t.Fatal(err)
		}
		steps(seed, 500, newHusk(t, lower))
		before := tree(t, newHusk(t, lower))
		over, err := tmpfs.NewOver(lower.Root, "")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, seed, steps(2*seed+4000, 500, newHusk(t, over)), want)
		if after := tree(t, newHusk(t, lower)); after != before {
			t.Errorf("seed %d: the lower tree was changed:\n%s\nbefore:\n%s", seed, after, before)
		}
		if t.Failed() {
			return
		}
	}
}

// tree describes everything below the root.
func tree(t *testing.T, h *husk) string {
	var b strings.Builder
	var walk func(dir string)
	walk = func(dir string) {
		list, err := h.list(dir)
		if err != nil {
			t.Fatal(dir, err)
		}
		for _, e := range strings.Fields(list) {
			name, kind, _ := strings.Cut(e, "/")
			if name == "." || name == ".." {
				continue
			}
			path := dir + "/" + name
			st, err := h.stat(path, false)
			fmt.Fprintln(&b, path, st, err)
			x, _ := h.listxattr(path)
			fmt.Fprintln(&b, x)
			switch kind {
			case "4":
				walk(path)
			case "8":
				fd, err := h.open(path, unix.O_RDONLY, 0)
				if err != nil {
					t.Fatal(path, err)
				}
				data, _ := h.read(fd, 1<<20, 0)
				fmt.Fprintln(&b, len(data), crc(data))
				_ = h.close(fd)
			}
		}
	}
	walk("/")
	return b.String()
}

func compare(t *testing.T, seed uint64, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			for _, s := range want[max(0, i-12):i] {
				t.Log("      ", s)
			}
			t.Errorf("seed %d, step %d:\n  husk  %s\n  linux %s", seed, i, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("seed %d: %d steps, Linux %d", seed, len(got), len(want))
	}
}
