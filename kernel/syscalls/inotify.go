package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// inotify_init makes an inotify instance (inotify_init(2)).
func (t Thread) inotify_init() (int, error) { return t.inotify_init1(0) }

// inotify_init1 is inotify_init with flags (inotify_init(2)).
func (t Thread) inotify_init1(flags uint32) (int, error) {
	if flags&^(unix.IN_CLOEXEC|unix.IN_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	f, err := vfs.NewInotify(flags & unix.IN_NONBLOCK)
	if err != nil {
		return 0, err
	}
	return t.install(f, flags&unix.IN_CLOEXEC != 0)
}

// inotify_add_watch watches a path or changes a watch (inotify_add_watch(2)).
func (t Thread) inotify_add_watch(fd int32, pathname mm.Addr, mask uint32) (int, error) {
	if mask&vfs.InotifyValid == 0 {
		return 0, unix.EINVAL
	}
	if mask&unix.IN_MASK_ADD != 0 && mask&unix.IN_MASK_CREATE != 0 {
		return 0, unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	in, ok := f.Ops.(*vfs.Inotify)
	if !ok {
		return 0, unix.EINVAL
	}
	lf := vfs.Follow
	if mask&unix.IN_DONT_FOLLOW != 0 {
		lf = 0
	}
	if mask&unix.IN_ONLYDIR != 0 {
		lf |= vfs.Directory
	}
	p, err := t.lookup(unix.AT_FDCWD, pathname, lf)
	if err != nil {
		return 0, err
	}
	if err := vfs.Access(t.Cred(), p.Mount, p.Inode(), unix.R_OK); err != nil {
		return 0, err
	}
	return in.Add(p, mask)
}

// inotify_rm_watch ends a watch (inotify_rm_watch(2)).
func (t Thread) inotify_rm_watch(fd, wd int32) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	in, ok := f.Ops.(*vfs.Inotify)
	if !ok {
		return unix.EINVAL
	}
	return in.Remove(int(wd))
}
