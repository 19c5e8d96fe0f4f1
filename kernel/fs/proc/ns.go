package proc

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// namespaces are the links in /proc/PID/ns with the inode numbers of Linux's
// first namespaces: there are no others.
var namespaces = [...]struct {
	name, kind string
	ino        uint64
}{
	{"cgroup", "cgroup", 4026531835},
	{"ipc", "ipc", 4026531839},
	{"mnt", "mnt", 4026531841},
	{"net", "net", 4026531840},
	{"pid", "pid", 4026531836},
	{"pid_for_children", "pid", 4026531836},
	{"time", "time", 4026531834},
	{"time_for_children", "time", 4026531834},
	{"user", "user", 4026531837},
	{"uts", "uts", 4026531838},
}

// nsfs is the file system of the links' targets, made when first followed.
var nsfs struct {
	once  sync.Once
	sb    vfs.Superblock
	paths [len(namespaces)]vfs.Path
}

func (s subject) namespace(c vfs.Caller, i int) (vfs.Path, error) {
	if err := mayRead(c, s); err != nil {
		return vfs.Path{}, err
	}
	nsfs.once.Do(func() {
		nsfs.sb = vfs.Superblock{Type: "nsfs", Source: "nsfs", Dev: vfs.AllocDev(), Magic: unix.NSFS_MAGIC}
		now := vfs.Now()
		for i, n := range namespaces {
			inode := vfs.NewInode(&nsfs.sb, n.ino, vfs.Attr{
				Mode: unix.S_IFREG | 0o444, Nlink: 1, BlockSize: 4096, Atime: now, Mtime: now, Ctime: now,
			}, nsInode{})
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

// nsInode can be opened, and compared by its number; nothing else.
type nsInode struct{ vfs.BaseInode }

// Open implements vfs.InodeOps.
func (nsInode) Open(vfs.Caller, *vfs.File) (vfs.FileOps, error) { return vfs.BaseOps{}, nil }
