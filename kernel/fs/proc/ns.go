package proc

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// namespaces are the links in /proc/PID/ns with the inode numbers of Linux's
// first namespaces: there are no others.
var namespaces = [...]struct {
	name, kind string
	ino        uint64
	clone      uintptr // CLONE_NEW*
}{
	{"cgroup", "cgroup", 4026531835, unix.CLONE_NEWCGROUP},
	{"ipc", "ipc", 4026531839, unix.CLONE_NEWIPC},
	{"mnt", "mnt", 4026531841, unix.CLONE_NEWNS},
	{"net", "net", 4026531840, unix.CLONE_NEWNET},
	{"pid", "pid", 4026531836, unix.CLONE_NEWPID},
	{"pid_for_children", "pid", 4026531836, unix.CLONE_NEWPID},
	{"time", "time", 4026531834, unix.CLONE_NEWTIME},
	{"time_for_children", "time", 4026531834, unix.CLONE_NEWTIME},
	{"user", "user", 4026531837, unix.CLONE_NEWUSER},
	{"uts", "uts", 4026531838, unix.CLONE_NEWUTS},
}

// nsfs is the file system of the links' targets, made when first followed.
var nsfs struct {
	once  sync.Once
	sb    vfs.Superblock
	paths [len(namespaces)]vfs.Path
}

func namespace(c vfs.Caller, s subject, i int) (vfs.Path, error) {
	if err := mayRead(c, s); err != nil {
		return vfs.Path{}, err
	}
	nsfs.once.Do(func() {
		nsfs.sb = vfs.Superblock{Type: "nsfs", Source: "nsfs", Dev: vfs.AllocDev(), Magic: unix.NSFS_MAGIC}
		now := vfs.Now()
		for i, n := range namespaces {
			inode := vfs.NewInode(&nsfs.sb, n.ino, vfs.Attr{
				Mode: unix.S_IFREG | 0o444, Nlink: 1, BlockSize: 4096, Atime: now, Mtime: now, Ctime: now,
			}, nsInode{which: i})
			nsfs.paths[i] = vfs.AnonPath(namespaceName(i), inode)
		}
	})
	return nsfs.paths[i], nil
}

func namespaceName(i int) string {
	var t text
	t.S(namespaces[i].kind)
	t.S(":[")
	t.U(namespaces[i].ino)
	t.C(']')
	return string(t)
}

// nsInode is a namespace.
type nsInode struct {
	vfs.BaseInode
	which int
}

// Open implements vfs.InodeOps.
func (i nsInode) Open(vfs.Caller, *vfs.File) (vfs.FileOps, error) {
	return nsFile{which: i.which}, nil
}

// Setattr refuses, as Linux does.
func (nsInode) Setattr(vfs.Caller, *vfs.Inode, *vfs.SetAttr) error { return unix.EPERM }

// nsFile is an open namespace, which can be asked what it is (ioctl_ns(2)).
type nsFile struct {
	vfs.BaseOps
	which int
}

// Namespace implements syscalls.Namespace: the CLONE_NEW flag of its kind.
func (o nsFile) Namespace() uint32 { return uint32(namespaces[o.which].clone) }

const (
	nsGetUserns   = 0xb701
	nsGetParent   = 0xb702
	nsGetType     = 0xb703
	nsGetOwnerUID = 0xb704
	userNamespace = 8 // in namespaces
)

// Ioctl implements vfs.FileOps.
func (o nsFile) Ioctl(c vfs.Caller, f *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	n := &namespaces[o.which]
	switch request {
	case nsGetUserns:
		if n.clone == unix.CLONE_NEWUSER {
			return 0, unix.EPERM // the parent of the first one
		}
		return openUserNamespace(c)
	case nsGetParent:
		if n.clone == unix.CLONE_NEWUSER || n.clone == unix.CLONE_NEWPID {
			return 0, unix.EPERM
		}
		return 0, unix.EINVAL
	case nsGetType:
		return n.clone, nil
	case nsGetOwnerUID:
		if n.clone != unix.CLONE_NEWUSER {
			return 0, unix.EINVAL
		}
		return 0, c.AddressSpace().Store32(mm.Addr(arg), 0)
	}
	return 0, unix.ENOTTY
}

// openUserNamespace opens the user namespace that owns all others.
func openUserNamespace(c vfs.Caller) (uintptr, error) {
	t := threadOf(c)
	if t == nil {
		return 0, unix.EPERM
	}
	f, err := vfs.OpenPath(c, nsfs.paths[userNamespace], unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	fd, err := t.Files().Install(f, 0, true, t.Process.Limit(task.RlimitNofile))
	if err != nil {
		f.Put()
	}
	return uintptr(fd), err
}
