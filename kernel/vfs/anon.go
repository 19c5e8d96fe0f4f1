package vfs

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// NewAnonPath returns a place in the pseudo file system of anonymous inodes,
// with an inode of the given mode: what the open files of one unnamed object
// share (the two ends of a pipe). A name that ends in a colon gets the inode
// number appended in brackets ("pipe:", "socket:"); one without a colon reads
// "anon_inode:[name]"; any other is taken as it is.
func NewAnonPath(name string, mode uint32) Path {
	sb := &anonSB
	switch {
	case strings.HasPrefix(name, "pipe:"):
		sb = &pipeSB
	case strings.HasPrefix(name, "socket:"):
		sb = &sockSB
	}
	anonOnce.Do(anonInit)
	ino := anonInos.Add(1)
	if strings.HasSuffix(name, ":") {
		var b [64]byte
		s := append(b[:0], name...)
		s = append(s, '[')
		s = strconv.AppendUint(s, ino, 10)
		name = string(append(s, ']'))
	} else if strings.IndexByte(name, ':') < 0 {
		name = "anon_inode:[" + name + "]"
	}
	now := Now()
	i := NewInode(sb, ino, Attr{Mode: mode, Nlink: 1, BlockSize: 4096, Atime: now, Mtime: now, Ctime: now}, anonInode{})
	d := newDentry(nil, name, 0, i)
	d.flags.Store(dentryAnon)
	return Path{Dentry: d}
}

// anonInode is the behaviour of anonymous inodes: their attributes can change.
type anonInode struct{ BaseInode }

func (anonInode) Setattr(_ Caller, i *Inode, s *SetAttr) error {
	if i.FS == &anonSB {
		return unix.EOPNOTSUPP
	}
	i.Apply(s)
	return nil
}

// SetOwner gives an anonymous inode its owner, as sockets and pipes have
// that of their maker.
func (i *Inode) SetOwner(uid, gid uint32) {
	i.Update(func(a *Attr) { a.UID, a.GID = uid, gid })
}

var (
	anonOnce sync.Once
	anonInos atomic.Uint64

	anonSB = Superblock{Type: "anon_inodefs", Source: "anon_inodefs", Magic: unix.ANON_INODE_FS_MAGIC}
	pipeSB = Superblock{Type: "pipefs", Source: "pipefs", Magic: unix.PIPEFS_MAGIC}
	sockSB = Superblock{Type: "sockfs", Source: "sockfs", Magic: unix.SOCKFS_MAGIC}
)

func anonInit() {
	anonInos.Store(1000)
	anonSB.Dev, pipeSB.Dev, sockSB.Dev = AllocDev(), AllocDev(), AllocDev()
}
