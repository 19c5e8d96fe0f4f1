package vfs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

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
