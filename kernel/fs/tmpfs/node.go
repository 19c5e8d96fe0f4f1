package tmpfs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

type mmBuffer = mm.Buffer

// node is the behaviour of one inode. It lives as long as the inode; what it
// holds is guarded by the inode's DirMu unless said otherwise.
type node struct {
	vfs.BaseInode
	fs    *filesystem
	inode *vfs.Inode

	dir    table  // of a directory
	target string // of a symbolic link
	xattrs map[string][]byte

	// data is a regular file's page cache: its own, or its lower inode's as
	// long as it was not written. Read without a lock.
	data    atomic.Pointer[mm.PageCache]
	charged int64 // pages counted in filesystem.pages
	seals   atomic.Uint32

	lower *lowerNode // what the node stands on; nil for most
}

// newNode makes an inode with one link (two for a directory).
func (fs *filesystem) newNode(mode uint32, rdev uint64, uid, gid uint32) *node {
	now := vfs.Now()
	a := vfs.Attr{
		Mode: mode, UID: uid, GID: gid, Nlink: 1, Rdev: rdev, BlockSize: mm.PageSize,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}
	n := &node{fs: fs}
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		a.Nlink, a.Size = 2, 2*direntSize
	case unix.S_IFREG:
		n.newData()
	}
	n.seals.Store(sealSeal)
	n.inode = vfs.NewInode(&fs.sb, fs.nextIno.Add(1), a, n)
	n.inode.Cache = n.data.Load()
	fs.inodes.Add(1)
	return n
}

func (n *node) newData() {
	c := mm.NewPageCache(nil)
	c.Truncate(0)
	n.data.Store(c)
}

// create makes a node and enters it into dir under name.
func (n *node) create(dir *vfs.Inode, name string, mode uint32, rdev uint64, uid, gid uint32) (*node, error) {
	fs := n.fs
	if limit := fs.maxInodes.Load(); limit != 0 && fs.inodes.Load() >= limit {
		return nil, unix.ENOSPC
	}
	child := fs.newNode(mode, rdev, uid, gid)
	n.enter(name, child.inode)
	return child, nil
}

// enter adds a name to the directory n and updates its attributes.
func (n *node) enter(name string, i *vfs.Inode) {
	n.change()
	n.dir.add(cloneName(name), i)
	n.grown(direntSize, i.IsDir(), 1)
}

// grown updates the attributes of directory n when a name came or went.
func (n *node) grown(size int64, subdir bool, links int32) {
	now := vfs.Now()
	n.inode.Update(func(a *vfs.Attr) {
		a.Size = max(a.Size+size, 2*direntSize)
		a.Mtime, a.Ctime = now, now
		if subdir {
			a.Nlink = uint32(int32(a.Nlink) + links)
		}
	})
}

// leave removes a name from the directory n and updates its attributes.
func (n *node) leave(c vfs.Caller, name string, isDir bool) {
	n.change()
	n.dir.remove(name)
	if n.inLower(c, name) {
		n.dir.add(cloneName(name), nil)
	}
	n.grown(-direntSize, isDir, -1)
}

func cloneName(s string) string { return string(append([]byte(nil), s...)) }

func (n *node) Lookup(c vfs.Caller, dir *vfs.Inode, name string) (*vfs.Inode, error) {
	if e := n.dir.get(name); e != nil {
		if e.inode == nil {
			return nil, unix.ENOENT
		}
		return e.inode, nil
	}
	if n.lower != nil {
		return n.lookupLower(c, name)
	}
	return nil, unix.ENOENT
}

func (n *node) Create(c vfs.Caller, dir *vfs.Inode, name string, mode uint32, uid, gid uint32) (*vfs.Inode, error) {
	return inodeOf(n.create(dir, name, mode, 0, uid, gid))
}

func (n *node) Mknod(c vfs.Caller, dir *vfs.Inode, name string, mode uint32, rdev uint64, uid, gid uint32) (*vfs.Inode, error) {
	return inodeOf(n.create(dir, name, mode, rdev, uid, gid))
}

func (n *node) Mkdir(c vfs.Caller, dir *vfs.Inode, name string, mode uint32, uid, gid uint32) (*vfs.Inode, error) {
	return inodeOf(n.create(dir, name, mode, 0, uid, gid))
}

func inodeOf(n *node, err error) (*vfs.Inode, error) {
	if err != nil {
		return nil, err
	}
	return n.inode, nil
}

func (n *node) Symlink(c vfs.Caller, dir *vfs.Inode, name, target string, uid, gid uint32) (*vfs.Inode, error) {
	child, err := n.create(dir, name, unix.S_IFLNK|0o777, 0, uid, gid)
	if err != nil {
		return nil, err
	}
	child.target = cloneName(target)
	child.inode.Update(func(a *vfs.Attr) { a.Size = int64(len(target)) })
	return child.inode, nil
}

// Tmpfile makes a file without a name (O_TMPFILE).
func (n *node) Tmpfile(c vfs.Caller, dir *vfs.Inode, mode uint32, uid, gid uint32) (*vfs.Inode, error) {
	fs := n.fs
	if limit := fs.maxInodes.Load(); limit != 0 && fs.inodes.Load() >= limit {
		return nil, unix.ENOSPC
	}
	child := fs.newNode(mode, 0, uid, gid)
	child.inode.Update(func(a *vfs.Attr) { a.Nlink = 0 })
	return child.inode, nil
}

func (n *node) Link(c vfs.Caller, dir *vfs.Inode, name string, target *vfs.Inode) error {
	target.Ops.(*node).change()
	now := vfs.Now()
	target.Update(func(a *vfs.Attr) { a.Nlink++; a.Ctime = now })
	n.enter(name, target)
	return nil
}

func (n *node) Unlink(c vfs.Caller, dir *vfs.Inode, name string, target *vfs.Inode) error {
	t := target.Ops.(*node)
	t.change()
	n.leave(c, name, false)
	t.dropLink()
	return nil
}

// dropLink counts one name less; vfs evicts the inode after the last.
func (n *node) dropLink() {
	now := vfs.Now()
	n.inode.Update(func(a *vfs.Attr) {
		if a.Nlink > 0 {
			a.Nlink--
		}
		if a.Mode&unix.S_IFMT == unix.S_IFDIR {
			a.Nlink = 0
		}
		a.Ctime = now
	})
}

func (n *node) Rmdir(c vfs.Caller, dir *vfs.Inode, name string, target *vfs.Inode) error {
	t := target.Ops.(*node)
	if err := t.empty(c); err != nil {
		return err
	}
	t.change()
	n.leave(c, name, true)
	t.dropLink()
	return nil
}

// empty returns ENOTEMPTY when the directory has names.
func (n *node) empty(c vfs.Caller) error {
	if n.dir.names > 0 {
		return unix.ENOTEMPTY
	}
	if n.lower != nil {
		return n.lowerEmpty(c)
	}
	return nil
}

func (n *node) Rename(c vfs.Caller, dir *vfs.Inode, name string, src *vfs.Inode, newDir *vfs.Inode, newName string, dst *vfs.Inode, flags uint32) error {
	to := newDir.Ops.(*node)
	s := src.Ops.(*node)
	now := vfs.Now()
	touch := func(a *vfs.Attr) { a.Ctime = now }
	if flags&unix.RENAME_EXCHANGE != 0 {
		d := dst.Ops.(*node)
		s.change()
		d.change()
		n.leave(c, name, src.IsDir())
		to.leave(c, newName, dst.IsDir())
		n.enter(name, dst)
		to.enter(newName, src)
		src.Update(touch)
		dst.Update(touch)
		return nil
	}
	if dst != nil {
		d := dst.Ops.(*node)
		if dst.IsDir() {
			dst.DirMu.RLock()
			err := d.empty(c)
			dst.DirMu.RUnlock()
			if err != nil {
				return err
			}
		}
		d.change()
		to.leave(c, newName, dst.IsDir())
		d.dropLink()
	}
	s.change()
	n.leave(c, name, src.IsDir())
	to.enter(newName, src)
	src.Update(touch)
	if flags&unix.RENAME_WHITEOUT != 0 {
		cr := c.Cred()
		gid := uint32(cr.FSGID)
		if a := dir.Attr(); a.Mode&unix.S_ISGID != 0 {
			gid = a.GID
		}
		_, err := n.create(dir, name, unix.S_IFCHR, 0, uint32(cr.FSUID), gid)
		return err
	}
	return nil
}

func (n *node) Readlink(c vfs.Caller, i *vfs.Inode) (string, error) {
	if i.Type() != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	if n.target == "" && n.lower != nil {
		return n.lower.inode.Ops.Readlink(c, n.lower.inode)
	}
	return n.target, nil
}

func (n *node) Getattr(c vfs.Caller, i *vfs.Inode) error {
	if n.lower != nil && !n.lower.changed.Load() {
		return n.refresh(c)
	}
	if data := n.data.Load(); data != nil && n.ownData() {
		blocks := int64(data.Resident()) * (mm.PageSize / 512)
		i.Update(func(a *vfs.Attr) { a.Blocks = blocks })
	}
	return nil
}

// Setattr changes attributes; DirMu is held.
func (n *node) Setattr(c vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error {
	if s.Valid&vfs.SetSize != 0 {
		if i.Type() != unix.S_IFREG {
			return unix.EINVAL
		}
		old := i.Size()
		seals := n.seals.Load()
		if s.Size < old && seals&sealShrink != 0 || s.Size > old && seals&sealGrow != 0 {
			return unix.EPERM
		}
		if err := n.copyUp(c, s.Size); err != nil {
			return err
		}
	}
	n.change()
	if s.Valid&vfs.SetSize == 0 {
		i.Apply(s)
		return nil
	}
	data := n.data.Load()
	if s.Size > i.Size() {
		data.Truncate(uint64(s.Size))
		i.Apply(s)
	} else {
		i.Apply(s)
		data.Truncate(uint64(s.Size))
	}
	n.charge()
	return nil
}

// charge brings the count of used pages up to date.
func (n *node) charge() {
	now := int64(n.data.Load().Resident())
	n.fs.pages.Add(now - n.charged)
	n.charged = now
}

func (n *node) Open(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	switch f.Inode.Type() {
	case unix.S_IFREG:
		if n.lower != nil {
			return n.openLower(c, f)
		}
		return regular{}, nil
	case unix.S_IFDIR:
		if n.lower != nil {
			return &merged{}, nil
		}
		return directory{}, nil
	}
	return nil, unix.ENXIO
}

// Evict frees what an inode without names and users held.
func (n *node) Evict(i *vfs.Inode) {
	n.fs.inodes.Add(-1)
	if n.ownData() {
		n.data.Load().Release()
		n.fs.pages.Add(-n.charged)
		n.charged = 0
	}
	n.forgetLower()
}

// ownData reports whether the node has a page cache that is its own.
func (n *node) ownData() bool {
	return n.data.Load() != nil && (n.lower == nil || n.lower.copied.Load())
}
