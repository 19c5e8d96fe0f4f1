// Package pseudo is what file systems of generated files are made of: proc and
// sysfs. A tree is described by static tables of entries, and inodes are made
// when somebody looks a name up, so that mounting costs next to nothing.
//
// An entry belongs to a subject S, which its functions are given: nothing for
// the files about the system, a process, a CPU. Names that are not known in
// advance come from a directory's Lookup and List.
//
// A file's text is rendered whole when it is read from its beginning, and
// later reads, with read(2) or pread(2), continue in that text: what Linux's
// seq_file does, except that one read may return more than a page.
//
// Locks: an open file's mutex, held while its text is rendered and copied out,
// comes before everything that rendering takes.
package pseudo

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// Entry is one name in a directory. Exactly one of Const, Show, Knob, Open,
// Dir, Target, Link says what it is; Show may stand beside Store.
type Entry[S any] struct {
	Name string
	// Mode holds the permission bits; 0 is 0444 for a file, 0555 for a
	// directory, 0777 for a link.
	Mode uint32
	// Size is what stat(2) reports, where that is not the tree's.
	Size int64

	Const string                                       // the text, if it never changes
	Show  func(t *Text, c vfs.Caller, s S) error       // appends the text
	Store func(c vfs.Caller, s S, text string) error   // serves write(2)
	May   func(c vfs.Caller, s S) error                // asked by open(2) beside the mode
	Knob  *Knob                                        // a value that can be read and set
	Open  func(c vfs.Caller, s S) (vfs.FileOps, error) // a file with a behaviour of its own
	Dir   *Dir[S]                                      // a directory
	To    string                                       // a symbolic link's target, if it never changes
	Link  func(c vfs.Caller, s S) (string, error)      // what readlink(2) returns
	Go    func(c vfs.Caller, s S) (vfs.Path, error)    // where a magic link leads
	Mknod func(s S) (mode uint32)                      // type and permissions, where they depend on the subject
}

// Dir is the contents of a directory.
type Dir[S any] struct {
	Entries []Entry[S]
	// Lookup finds a name that is not in Entries. List emits such names from
	// position pos on; positions are List's own, from 0 up.
	Lookup func(c vfs.Caller, dir *vfs.Inode, s S, name string) (*vfs.Inode, error)
	List   func(c vfs.Caller, dir *vfs.Inode, s S, pos int64, emit func(vfs.Dirent) bool) error
	// Links counts the directories among the names of List, and Size is what
	// stat(2) reports; either may be nil.
	Links func(s S) int
	Size  func(s S) int64
}

// Tree is what all entries below one root have in common.
type Tree[S any] struct {
	// Alive says whether the subject is still there: if not, names are not
	// found and reads fail. Nil: always, and then dentries are cached.
	Alive func(s S) bool
	// Owner returns the owner of an inode with this mode; nil: the superuser.
	Owner func(s S, mode uint32) (uid, gid uint32)
	// DirMode are the permissions of directories that have none of their
	// own, FileSize the size of files.
	DirMode  uint32
	FileSize int64
	// FixedMode forbids chmod and chown of everything, as Linux does for the
	// files of processes.
	FixedMode bool
}

// Node returns a new inode for entry e about s. The entry and the tree must
// not change afterwards.
func (t *Tree[S]) Node(fs *vfs.Superblock, ino uint64, e *Entry[S], s S) *vfs.Inode {
	n := node[S]{tree: t, entry: e, subject: s}
	now := vfs.Now()
	a := vfs.Attr{
		Mode: n.mode(), Nlink: 1, BlockSize: 4096, Size: e.Size,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}
	if a.Size == 0 && a.Mode&unix.S_IFMT == unix.S_IFREG {
		a.Size = t.FileSize
	}
	if d := e.Dir; d != nil {
		a.Nlink = n.links()
		if d.Size != nil {
			a.Size = d.Size(s)
		}
	}
	if t.Owner != nil {
		a.UID, a.GID = t.Owner(s, a.Mode)
	}
	var ops vfs.InodeOps
	if t.Alive != nil {
		ops = &mortal[S]{n}
	} else {
		ops = &n
	}
	return vfs.NewInode(fs, ino, a, ops)
}

// Ino is the number of the child with position i, below 254, in the table of a
// directory with number dir.
func Ino(dir uint64, i int) uint64 { return dir<<8 | uint64(i+1) }

// node is the behaviour of an inode.
type node[S any] struct {
	vfs.BaseInode
	tree    *Tree[S]
	entry   *Entry[S]
	subject S
}

// mortal is a node whose subject may go away.
type mortal[S any] struct{ node[S] }

// Transient implements vfs.Transient: dead processes must not stay in memory
// for the sake of cached names.
func (*mortal[S]) Transient() {}

// own brings the owner up to date: a process may have changed its user.
func (n *node[S]) own(i *vfs.Inode) {
	if n.tree.Owner == nil {
		return
	}
	uid, gid := n.tree.Owner(n.subject, i.Mode())
	if a := i.Attr(); a.UID != uid || a.GID != gid {
		i.SetOwner(uid, gid)
	}
}

// mode is the type and the permissions.
func (n *node[S]) mode() uint32 {
	e := n.entry
	kind, perm := uint32(unix.S_IFREG), e.Mode
	switch {
	case e.Mknod != nil:
		return e.Mknod(n.subject)
	case e.Dir != nil:
		kind = unix.S_IFDIR
		if perm == 0 {
			perm = n.tree.DirMode
		}
		if perm == 0 {
			perm = 0o555
		}
	case e.To != "" || e.Link != nil:
		kind = unix.S_IFLNK
		if perm == 0 {
			perm = 0o777
		}
	case perm == 0:
		perm = 0o444
		if e.Knob != nil {
			perm = 0o644
		}
	}
	return kind | perm
}

func (n *node[S]) links() uint32 {
	d := n.entry.Dir
	links := 2
	for i := range d.Entries {
		if d.Entries[i].Dir != nil {
			links++
		}
	}
	if d.Links != nil {
		links += d.Links(n.subject)
	}
	return uint32(links)
}

func (n *node[S]) gone() bool { return n.tree.Alive != nil && !n.tree.Alive(n.subject) }

// Lookup implements vfs.InodeOps.
func (n *node[S]) Lookup(c vfs.Caller, dir *vfs.Inode, name string) (*vfs.Inode, error) {
	d := n.entry.Dir
	if d == nil {
		return nil, unix.ENOTDIR
	}
	if n.gone() {
		return nil, unix.ENOENT
	}
	for i := range d.Entries {
		if e := &d.Entries[i]; e.Name == name {
			return n.tree.Node(dir.FS, Ino(dir.Ino, i), e, n.subject), nil
		}
	}
	if d.Lookup != nil {
		return d.Lookup(c, dir, n.subject, name)
	}
	return nil, unix.ENOENT
}

// Readlink implements vfs.InodeOps.
func (n *node[S]) Readlink(c vfs.Caller, i *vfs.Inode) (string, error) {
	switch e := n.entry; {
	case e.To != "":
		return e.To, nil
	case e.Link != nil:
		return e.Link(c, n.subject)
	}
	return "", unix.EINVAL
}

// FollowLink implements vfs.LinkFollower.
func (n *node[S]) FollowLink(c vfs.Caller, i *vfs.Inode) (vfs.Path, error) {
	if n.entry.Go == nil {
		return vfs.Path{}, nil
	}
	return n.entry.Go(c, n.subject)
}

// Getattr implements vfs.InodeOps.
func (n *node[S]) Getattr(c vfs.Caller, i *vfs.Inode) error {
	n.own(i)
	d := n.entry.Dir
	if d == nil {
		return nil
	}
	if d.Links != nil {
		links := n.links()
		i.Update(func(a *vfs.Attr) { a.Nlink = links })
	}
	if d.Size != nil {
		size := d.Size(n.subject)
		i.Update(func(a *vfs.Attr) { a.Size = size })
	}
	return nil
}

// Setattr implements vfs.InodeOps. O_TRUNC and truncation are accepted and do
// nothing.
func (n *node[S]) Setattr(c vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error {
	if (n.tree.FixedMode || n.entry.Knob != nil) && s.Valid&(vfs.SetMode|vfs.SetUID|vfs.SetGID) != 0 {
		return unix.EPERM
	}
	o := *s
	if o.Valid &^= vfs.SetSize; o.Valid != 0 {
		i.Apply(&o)
	}
	return nil
}

// Open implements vfs.InodeOps.
func (n *node[S]) Open(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	if n.gone() {
		return nil, unix.ENOENT
	}
	e := n.entry
	if e.May != nil {
		if err := e.May(c, n.subject); err != nil {
			return nil, err
		}
	}
	switch {
	case e.Dir != nil:
		return &directory[S]{node: n}, nil
	case e.Open != nil:
		return e.Open(c, n.subject)
	}
	return &file[S]{node: n}, nil
}

// directory is an open directory.
type directory[S any] struct {
	vfs.BaseOps
	node *node[S]
}

// Seekable implements vfs.FileOps.
func (*directory[S]) Seekable() bool { return true }

// Sync implements vfs.FileOps: there is nothing to write back.
func (*directory[S]) Sync(vfs.Caller, *vfs.File, bool) error { return unix.EINVAL }

// ReadDir implements vfs.FileOps: ".", "..", the table, and then List, whose
// positions begin after the table.
func (o *directory[S]) ReadDir(c vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	n, d := o.node, o.node.entry.Dir
	if n.gone() {
		return unix.ENOENT
	}
	const first = 2
	base := first + int64(len(d.Entries))
	for *pos < base {
		e := vfs.Dirent{Next: *pos + 1, Type: unix.DT_DIR}
		switch *pos {
		case 0:
			e.Name, e.Ino = ".", f.Inode.Ino
		case 1:
			e.Name, e.Ino = "..", f.Inode.Ino
			if p := f.Path.Dentry.Parent(); p != nil && p.Inode() != nil {
				e.Ino = p.Inode().Ino
			}
		default:
			i := int(*pos - first)
			child := node[S]{tree: n.tree, entry: &d.Entries[i], subject: n.subject}
			e.Name, e.Ino, e.Type = d.Entries[i].Name, Ino(f.Inode.Ino, i), uint8(child.mode()>>12)
		}
		if !emit(e) {
			return nil
		}
		*pos++
	}
	if d.List == nil {
		return nil
	}
	return d.List(c, f.Inode, n.subject, *pos-base, func(e vfs.Dirent) bool {
		e.Next += base
		if !emit(e) {
			return false
		}
		*pos = e.Next
		return true
	})
}
