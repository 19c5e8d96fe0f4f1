package tmpfs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// lowerNode is what a node of an overlay stands on: an inode of a read-only
// file system. Until something is changed the node is a mere view, which may
// be dropped and made again; a changed one is kept in filesystem.changed.
type lowerNode struct {
	inode   *vfs.Inode
	changed atomic.Bool // the attributes are the node's own
	copied  atomic.Bool // the data is the node's own
	xattrs  bool        // the extended attributes are; under DirMu
	dynamic bool        // the lower file system may change by itself

	checked atomic.Int64 // when the name was last looked up below; clock.Now
}

// checkTime is how long a name of a lower file system that changes by itself
// is taken to stay what it was.
const checkTime = clock.Second

// NewOver returns an instance that shows the tree below lower and keeps all
// changes in memory: the file system behind package overlay.
func NewOver(lower *vfs.Inode, data string) (*vfs.Superblock, error) {
	o, err := parseOptions(data)
	if err != nil {
		return nil, err
	}
	fs := newFilesystem(o)
	fs.sb.Type, fs.sb.Source, fs.sb.Magic = "overlay", "overlay", unix.OVERLAYFS_SUPER_MAGIC
	fs.sb.Options = nil
	// New inodes are numbered where no lower file system counts to.
	fs.nextIno.Store(1 << 48)
	fs.changed = make(map[uint64]*node)
	fs.lower = lower.FS
	fs.sb.Root = fs.over(lower)
	fs.sb.Root.Ops.(*node).change()
	return &fs.sb, nil
}

// lowerStatfs counts what the lower file system holds as used space.
func (fs *filesystem) lowerStatfs(st *unix.Statfs_t) {
	if fs.lower == nil || fs.lower.Statfs == nil {
		return
	}
	var l unix.Statfs_t
	fs.lower.Statfs(&l)
	st.Blocks += (l.Blocks - l.Bfree) * uint64(max(l.Bsize, 512)) / mm.PageSize
	st.Files += l.Files - l.Ffree
}

// over returns the inode that stands on lower. Those with several names must
// be the same under each, and are kept from the beginning.
func (fs *filesystem) over(lower *vfs.Inode) *vfs.Inode {
	a := lower.Attr()
	several := a.Nlink > 1 && a.Mode&unix.S_IFMT != unix.S_IFDIR
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n := fs.changed[lower.Ino]; n != nil {
		return n.inode
	}
	n := &node{fs: fs, lower: &lowerNode{inode: lower}}
	if _, n.lower.dynamic = lower.Ops.(vfs.Revalidator); n.lower.dynamic {
		n.lower.checked.Store(clock.Now())
	}
	n.data.Store(lower.Cache)
	n.seals.Store(sealSeal)
	n.inode = vfs.NewInode(&fs.sb, lower.Ino, a, n)
	fs.inodes.Add(1)
	if several {
		fs.changed[lower.Ino] = n
	}
	return n.inode
}

// change makes the node's attributes its own, before the first change.
func (n *node) change() {
	if n.lower == nil || n.lower.changed.Load() {
		return
	}
	n.fs.mu.Lock()
	n.fs.changed[n.lower.inode.Ino] = n
	n.lower.changed.Store(true)
	n.fs.mu.Unlock()
}

// forgetLower drops an evicted node.
func (n *node) forgetLower() {
	if n.lower == nil {
		return
	}
	n.fs.mu.Lock()
	if n.fs.changed[n.lower.inode.Ino] == n {
		delete(n.fs.changed, n.lower.inode.Ino)
	}
	n.fs.mu.Unlock()
}

// Forget passes on that the dentry cache dropped an unchanged view.
func (n *node) Forget(i *vfs.Inode) {
	if n.lower == nil {
		return
	}
	n.fs.mu.Lock()
	kept := n.fs.changed[n.lower.inode.Ino] == n
	n.fs.mu.Unlock()
	if kept {
		return
	}
	n.fs.inodes.Add(-1)
	if f, ok := n.lower.inode.Ops.(vfs.Forgetter); ok {
		f.Forget(n.lower.inode)
	}
}

func (l *lowerNode) lookup(c vfs.Caller, name string) (*vfs.Inode, error) {
	l.inode.DirMu.RLock()
	defer l.inode.DirMu.RUnlock()
	return l.inode.Ops.Lookup(c, l.inode, name)
}

func (n *node) lookupLower(c vfs.Caller, name string) (*vfs.Inode, error) {
	i, err := n.lower.lookup(c, name)
	if err != nil {
		return nil, err
	}
	return n.fs.over(i), nil
}

// inLower reports whether the lower directory has the name, so that removing
// it needs a whiteout.
func (n *node) inLower(c vfs.Caller, name string) bool {
	if n.lower == nil {
		return false
	}
	_, err := n.lower.lookup(c, name)
	return err == nil
}

// refresh takes over the attributes of a lower inode that changes by itself.
func (n *node) refresh(c vfs.Caller) error {
	if !n.lower.dynamic || n.lower.changed.Load() {
		return nil
	}
	l := n.lower.inode
	if err := l.Ops.Getattr(c, l); err != nil {
		return err
	}
	a := l.Attr()
	n.inode.Update(func(own *vfs.Attr) { *own = a })
	return nil
}

// Dynamic says that the names of the node need revalidation; see
// vfs.Revalidator.
func (n *node) Dynamic() bool { return n.lower != nil && n.lower.dynamic }

// Revalidate looks whether the lower file system still has under d's name
// what it had. What was changed here stays.
func (n *node) Revalidate(d *vfs.Dentry) bool {
	parent := d.Parent()
	if parent == nil {
		return true
	}
	dir, ok := parent.Inode().Ops.(*node)
	if !ok || dir.lower == nil {
		return true
	}
	i := d.Inode()
	if i == nil {
		_, err := dir.lower.lookup(nil, d.Name())
		return err == unix.ENOENT
	}
	now := clock.Now()
	if n.lower.changed.Load() || now-n.lower.checked.Load() < checkTime {
		return true
	}
	lower, err := dir.lower.lookup(nil, d.Name())
	if err != nil || lower != n.lower.inode {
		return false
	}
	n.lower.checked.Store(now)
	return n.refresh(nil) == nil
}

// copyUp makes the data of a regular file the node's own, as much of it as
// lies below size (-1: all). DirMu is held for writing.
func (n *node) copyUp(c vfs.Caller, size int64) error {
	if n.lower == nil || n.lower.copied.Load() || n.inode.Type() != unix.S_IFREG {
		return nil
	}
	if size < 0 || size > n.inode.Size() {
		size = n.inode.Size()
	}
	if !n.fs.room(pagesOf(0, size)) {
		return unix.ENOSPC
	}
	from, err := vfs.OpenInode(c, n.lower.inode, unix.O_RDONLY|unix.O_NOATIME)
	if err != nil {
		return err
	}
	defer from.Put()
	to := mm.NewPageCache(nil)
	to.Truncate(0)
	buf := make([]byte, min(size, 128<<10))
	for off := int64(0); off < size; {
		b := mm.KernelBuffer(buf[:min(size-off, int64(len(buf)))])
		k, err := from.Ops.Read(c, from, &b, off)
		if err == nil && k > 0 {
			b = mm.KernelBuffer(buf[:k])
			k, err = to.WriteAt(&b, uint64(off))
		}
		if err != nil {
			to.Release()
			return noSpace(err)
		}
		if k == 0 {
			break
		}
		off += int64(k)
	}
	to.Truncate(uint64(n.inode.Size()))
	n.change()
	n.data.Store(to)
	n.lower.copied.Store(true)
	n.charge()
	return nil
}

// openLower opens a regular file that stands on a lower one; opening it for
// writing copies it up.
func (n *node) openLower(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	if n.lower.copied.Load() {
		return regular{}, nil
	}
	if f.Writable() {
		size := int64(-1)
		if f.Flags()&unix.O_TRUNC != 0 {
			size = 0
		}
		n.inode.DirMu.Lock()
		err := n.copyUp(c, size)
		n.inode.DirMu.Unlock()
		if err != nil {
			return nil, err
		}
		return regular{}, nil
	}
	if n.data.Load() != nil {
		return regular{}, n.refresh(c)
	}
	lower, err := vfs.OpenInode(c, n.lower.inode, f.Flags())
	if err != nil {
		return nil, err
	}
	return &through{file: lower}, nil
}

// through is an open file whose lower file system keeps no page cache: reads
// go down.
type through struct {
	vfs.BaseOps
	file *vfs.File
}

func (t *through) Seekable() bool { return t.file.Ops.Seekable() }

func (t *through) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	return t.file.Ops.Read(c, t.file, b, off)
}

func (t *through) Sync(vfs.Caller, *vfs.File, bool) error { return nil }

func (t *through) Release(*vfs.File) { t.file.Put() }

// ownXattrs copies the lower inode's extended attributes before the first
// change. DirMu is held for writing.
func (n *node) ownXattrs(c vfs.Caller) {
	if n.lower == nil || n.lower.xattrs {
		return
	}
	l := n.lower.inode
	names, _ := l.Ops.Listxattr(c, l)
	for _, name := range names {
		if v, err := l.Ops.Getxattr(c, l, name); err == nil {
			if n.xattrs == nil {
				n.xattrs = make(map[string][]byte)
			}
			n.xattrs[name] = v
		}
	}
	n.lower.xattrs = true
}

// merged is the behaviour of an open directory that stands on a lower one. It
// lists its own names and then those of the lower directory that are not
// hidden, from a snapshot taken when the reader comes to them: the positions
// that lower file systems use are their own business.
type merged struct {
	directory
	snapshot []vfs.Dirent // under the file's position lock
	taken    bool
}

func (m *merged) ReadDir(c vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	n := f.Inode.Ops.(*node)
	f.Inode.DirMu.RLock()
	defer f.Inode.DirMu.RUnlock()
	if *pos < lowerOffset {
		if end, err := readOwn(f, pos, emit); err != nil || !end {
			return err
		}
		m.taken = false
		*pos = lowerOffset
	}
	if !m.taken {
		list, err := n.lower.list(c)
		if err != nil {
			return err
		}
		m.snapshot, m.taken = list, true
	}
	for k := int(*pos - lowerOffset); k < len(m.snapshot); k++ {
		e := m.snapshot[k]
		if n.dir.get(e.Name) != nil {
			continue
		}
		e.Next = lowerOffset + int64(k) + 1
		if !emit(e) {
			return nil
		}
		*pos = e.Next
	}
	return nil
}

// list returns the names of the lower directory without "." and "..".
func (l *lowerNode) list(c vfs.Caller) ([]vfs.Dirent, error) {
	f, err := vfs.OpenInode(c, l.inode, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Put()
	var list []vfs.Dirent
	var pos int64
	for {
		before := len(list)
		err := f.Ops.ReadDir(c, f, &pos, func(e vfs.Dirent) bool {
			if e.Name != "." && e.Name != ".." {
				e.Name = cloneName(e.Name)
				list = append(list, e)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		if len(list) == before {
			return list, nil
		}
	}
}

// lowerEmpty returns ENOTEMPTY when the lower directory has a name that is
// not hidden.
func (n *node) lowerEmpty(c vfs.Caller) error {
	list, err := n.lower.list(c)
	if err != nil {
		return err
	}
	for _, e := range list {
		if n.dir.get(e.Name) == nil {
			return unix.ENOTEMPTY
		}
	}
	return nil
}
