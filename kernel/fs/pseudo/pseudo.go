// Package pseudo makes file systems whose files are generated when they are
// read: proc and sysfs. A tree is described by Items, static tables that cost
// nothing until a path is walked; what lives and dies with something else
// (processes, descriptors) comes from a Lister.
//
// A file is rendered as a whole into a byte slice when it is read from its
// start, and further reads of the same open file continue in that slice, so
// that a reader sees one consistent text.
//
// Locks: content.mu guards the rendered text of one open file.
package pseudo

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// Item describes one name of a tree. Mode holds the type: S_IFREG, S_IFDIR
// or S_IFLNK.
type Item struct {
	Name string
	Mode uint32

	// Render appends a file's text to r.Buf.
	Render func(r *Request) error
	// Write takes what one write(2) wrote; nil: EINVAL.
	Write func(r *Request, p []byte) error
	// Open, if set, replaces both.
	Open func(r *Request, f *vfs.File) (vfs.FileOps, error)

	// Link is a symbolic link's target, and Follow, for magic links, the
	// place it leads to.
	Link   func(r *Request) (string, error)
	Follow func(r *Request) (vfs.Path, error)

	// Items are a directory's fixed names; Dir adds those that change. They
	// are functions where a table would contain itself.
	Items []Item
	More  func() []Item
	Dir   Lister
}

// Request is one use of an item.
type Request struct {
	Caller vfs.Caller
	// Of is what the directory stands for, as the Lister that led there gave it.
	Of any
	// Buf is what Render appends to.
	Buf []byte
}

// Entry is a name that a Lister found.
type Entry struct {
	Name string
	Item *Item
	// Of is the object of the names below; nil keeps the directory's.
	Of any
	// Key orders the names of a directory and is a position in it: ascending
	// from 0.
	Key int64
}

// Lister is a directory whose names change.
type Lister interface {
	// Find returns the entry called name; false when there is none.
	Find(r *Request, name string) (Entry, bool)
	// List returns the entries with a key of at least from, in order.
	List(r *Request, from int64) []Entry
}

// Mortal is an object that ceases to exist: names that lead to it go.
type Mortal interface{ Gone() bool }

// Owned is an object whose names belong to somebody else than root.
type Owned interface{ Owner() (uid, gid uint32) }

// New makes an instance of a file system with root as its tree.
func New(fsType string, magic int64, root *Item, of any) *vfs.Superblock {
	sb := &vfs.Superblock{Type: fsType, Source: fsType, Dev: vfs.AllocDev(), Magic: magic, NoNegative: true}
	sb.Root = newInode(sb, 1, Entry{Item: root, Of: of})
	return sb
}

// node is the behaviour of an inode.
type node struct {
	vfs.BaseInode
	item *Item
	name string
	of   any
}

// mortal is a node whose name may cease to be valid.
type mortal struct{ node }

func newInode(sb *vfs.Superblock, ino uint64, e Entry) *vfs.Inode {
	now := vfs.Now()
	a := vfs.Attr{Mode: e.Item.Mode, Nlink: 1, BlockSize: 1024, Atime: now, Mtime: now, Ctime: now, Btime: now}
	if a.Mode&unix.S_IFMT == unix.S_IFDIR {
		a.Nlink = 2
		for i := range e.Item.Items {
			if e.Item.Items[i].Mode&unix.S_IFMT == unix.S_IFDIR {
				a.Nlink++
			}
		}
	}
	n := node{item: e.Item, name: e.Name, of: e.Of}
	if o, ok := e.Of.(Owned); ok {
		a.UID, a.GID = o.Owner()
	}
	var ops vfs.InodeOps = &n
	if _, ok := e.Of.(Mortal); ok {
		ops = &mortal{n}
	}
	return vfs.NewInode(sb, ino, a, ops)
}

// inodeNumber is the number of a name in a directory: the same each time.
// FNV-1a over the parent's number and the name.
func inodeNumber(parent uint64, name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range 8 {
		h = (h ^ parent>>(8*i)&0xff) * 1099511628211
	}
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h>>16 | 1<<40
}

// Revalidate drops a name whose object is gone.
func (n *mortal) Revalidate(d *vfs.Dentry) bool {
	return !n.of.(Mortal).Gone()
}

// Getattr refreshes the owner, who may have changed identity.
func (n *mortal) Getattr(c vfs.Caller, i *vfs.Inode) error {
	if n.of.(Mortal).Gone() {
		return unix.ENOENT
	}
	if o, ok := n.of.(Owned); ok {
		uid, gid := o.Owner()
		if a := i.Attr(); a.UID != uid || a.GID != gid {
			i.Update(func(a *vfs.Attr) { a.UID, a.GID = uid, gid })
		}
	}
	return nil
}

func (n *node) items() []Item {
	if n.item.More != nil {
		return n.item.More()
	}
	return n.item.Items
}

// Lookup finds a name among the fixed ones, then asks the Lister.
func (n *node) Lookup(c vfs.Caller, dir *vfs.Inode, name string) (*vfs.Inode, error) {
	if n.item.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, unix.ENOTDIR
	}
	if m, ok := n.of.(Mortal); ok && m.Gone() {
		return nil, unix.ENOENT
	}
	items := n.items()
	for i := range items {
		if items[i].Name == name {
			return newInode(dir.FS, inodeNumber(dir.Ino, name), Entry{Name: name, Item: &items[i], Of: n.of}), nil
		}
	}
	if n.item.Dir == nil {
		return nil, unix.ENOENT
	}
	e, ok := n.item.Dir.Find(&Request{Caller: c, Of: n.of}, name)
	if !ok {
		return nil, unix.ENOENT
	}
	if e.Of == nil {
		e.Of = n.of
	}
	e.Name = name
	return newInode(dir.FS, inodeNumber(dir.Ino, name), e), nil
}

// Readlink returns where a link says it leads.
func (n *node) Readlink(c vfs.Caller, _ *vfs.Inode) (string, error) {
	if n.item.Link == nil {
		return "", unix.EINVAL
	}
	return n.item.Link(&Request{Caller: c, Of: n.of})
}

// FollowLink returns the place of a magic link; none for others.
func (n *node) FollowLink(c vfs.Caller, _ *vfs.Inode) (vfs.Path, error) {
	if n.item.Follow == nil {
		return vfs.Path{}, nil
	}
	return n.item.Follow(&Request{Caller: c, Of: n.of})
}

// Setattr allows what chmod and truncation by O_TRUNC need not see fail:
// sizes mean nothing here.
func (n *node) Setattr(_ vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error {
	if s.Valid&^vfs.SetSize != 0 {
		return unix.EPERM
	}
	return nil
}

// Open returns a directory or a text that is yet to be rendered.
func (n *node) Open(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	switch {
	case n.item.Mode&unix.S_IFMT == unix.S_IFDIR:
		return &directory{n: n}, nil
	case n.item.Open != nil:
		return n.item.Open(&Request{Caller: c, Of: n.of}, f)
	}
	return &content{n: n}, nil
}

// directory is an open directory.
type directory struct {
	vfs.BaseOps
	n *node
}

func (d *directory) Seekable() bool { return true }

func (d *directory) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) {
	return 0, unix.EISDIR
}

func (d *directory) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, unix.EINVAL }

func (d *directory) Sync(vfs.Caller, *vfs.File, bool) error { return unix.EINVAL }

// ReadDir emits ".", "..", the fixed names, then what the Lister has.
func (d *directory) ReadDir(c vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	ino := f.Inode.Ino
	if *pos == 0 {
		if !emit(vfs.Dirent{Name: ".", Ino: ino, Type: unix.DT_DIR, Next: 1}) {
			return nil
		}
		*pos = 1
	}
	if *pos == 1 {
		up := ino
		if p := f.Path.Dentry.Parent(); p != nil {
			up = p.Inode().Ino
		}
		if !emit(vfs.Dirent{Name: "..", Ino: up, Type: unix.DT_DIR, Next: 2}) {
			return nil
		}
		*pos = 2
	}
	items := d.n.items()
	for *pos-2 < int64(len(items)) {
		it := &items[*pos-2]
		if !emit(vfs.Dirent{Name: it.Name, Ino: inodeNumber(ino, it.Name), Type: uint8(it.Mode >> 12), Next: *pos + 1}) {
			return nil
		}
		*pos++
	}
	if d.n.item.Dir == nil {
		return nil
	}
	base := int64(len(items)) + 2
	for _, e := range d.n.item.Dir.List(&Request{Caller: c, Of: d.n.of}, *pos-base) {
		next := base + e.Key + 1
		if !emit(vfs.Dirent{Name: e.Name, Ino: inodeNumber(ino, e.Name), Type: uint8(e.Item.Mode >> 12), Next: next}) {
			return nil
		}
		*pos = next
	}
	return nil
}

// content is an open file.
type content struct {
	vfs.BaseOps
	n *node

	mu       sync.Mutex
	rendered bool
	text     []byte
}

func (o *content) Seekable() bool { return true }

// Read renders the text when it is read from the start, or for the first time.
func (o *content) Read(c vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, error) {
	if o.n.item.Render == nil {
		return 0, unix.EINVAL
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.rendered || off == 0 {
		r := Request{Caller: c, Of: o.n.of, Buf: o.text[:0]}
		if err := o.n.item.Render(&r); err != nil {
			return 0, err
		}
		o.text, o.rendered = r.Buf, true
	}
	if off >= int64(len(o.text)) {
		return 0, nil
	}
	return b.CopyOut(o.text[off:])
}

// maxWrite is the most that one write may bring.
const maxWrite = mm.PageSize

// Write passes what was written to the item.
func (o *content) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	if o.n.item.Write == nil {
		return 0, 0, unix.EINVAL
	}
	n := b.Len()
	if n > maxWrite {
		return 0, 0, unix.EINVAL
	}
	p := make([]byte, n)
	if _, err := b.CopyIn(p); err != nil {
		return 0, 0, err
	}
	if err := o.n.item.Write(&Request{Caller: c, Of: o.n.of}, p); err != nil {
		return 0, 0, err
	}
	return n, off + int64(n), nil
}

// Sorted puts entries in the order of their keys and drops those before from.
func Sorted(e []Entry, from int64) []Entry {
	e = slices.DeleteFunc(e, func(e Entry) bool { return e.Key < from })
	slices.SortFunc(e, func(a, b Entry) int { return int(a.Key - b.Key) })
	return e
}
