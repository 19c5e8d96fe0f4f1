package vfs

import (
	"sync"
	"sync/atomic"
)

// Dentry is a name in a directory, and the cache of a look-up.
type Dentry struct {
	name   string
	parent atomic.Pointer[Dentry]
	inode  atomic.Pointer[Inode] // nil: negative
}

// Inode returns the dentry's inode; nil when the name does not exist.
func (d *Dentry) Inode() *Inode { return d.inode.Load() }

// Name returns the last component.
func (d *Dentry) Name() string { return d.name }

func newAnonDentry(name string, mode uint32) *Dentry {
	d := &Dentry{name: name}
	d.inode.Store(NewInode(nil, 0, Attr{Mode: mode, Nlink: 1}, BaseInode{}))
	return d
}

// Mount is a superblock attached to a place in the tree.
type Mount struct {
	SB    *Superblock
	Flags uint32 // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME …
}

// Path is a place: a dentry within a mount.
type Path struct {
	Mount  *Mount
	Dentry *Dentry
}

// FSContext is what CLONE_FS shares: root, working directory and umask.
type FSContext struct {
	mu    sync.Mutex
	root  Path
	cwd   Path
	umask uint32
}
