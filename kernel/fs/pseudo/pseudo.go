// Package pseudo is what file systems of generated files are made of: proc and
// sysfs. A tree is described by static tables of entries, and inodes are made
// when somebody looks a name up, so that mounting costs next to nothing.
//
// An entry is about a Subject, which its functions are given: the system as a
// whole, a process, a CPU. Names that are not known in advance come from a
// directory's Lookup and List.
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

// Subject is what an entry is about. The file system gives it its meaning; the
// zero value is the system as a whole. It is not a type parameter because every
// instance of the methods below would take its place in the kernel's image.
type Subject struct {
	Of   any
	N, M int
}

// Entry is one name in a directory. One of Const, Show, Knob, Dir and Special's
// Open and Link says what it is; Store may stand beside Const and Show.
type Entry struct {
	Name string
	// Mode holds the permission bits; 0 is 0444 for a file, 0555 for a
	// directory, 0777 for a link.
	Mode    uint32
	Kind    Kind
	Const   string                                           // the text, or the target of a link
	Show    func(t *Text, c vfs.Caller, s Subject) error     // appends the text
	Store   func(c vfs.Caller, s Subject, text string) error // serves write(2)
	Knob    *Knob                                            // a value that can be read and set
	Dir     *Dir                                             // a directory
	Special *Special                                         // what few entries have
}

// Kind tells what Const is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota // or what the other members say
	Link             // a symbolic link to Const
)

// Special is what few entries have.
type Special struct {
	Size int64                                              // what stat(2) reports, where that is not the tree's
	May  func(c vfs.Caller, s Subject) error                // asked by open(2) beside the mode
	Open func(c vfs.Caller, s Subject) (vfs.FileOps, error) // a file with a behaviour of its own
	Link func(c vfs.Caller, s Subject) (string, error)      // what readlink(2) returns
	Go   func(c vfs.Caller, s Subject) (vfs.Path, error)    // where a magic link leads
	Mode func(s Subject) uint32                             // type and permissions, where they depend on the subject
}

// nothing is the Special of most entries.
var nothing Special

func (e *Entry) special() *Special {
	if e.Special != nil {
		return e.Special
	}
	return &nothing
}

// Dir is the contents of a directory.
type Dir struct {
	Entries []Entry
	// Make, if not nil, returns what stands for Entries: a table that is made
	// when first asked for. It returns the same each time.
	Make func() []Entry
	// Lookup finds a name that is not in Entries. List emits such names from
	// position pos on; positions are List's own, from 0 up.
	Lookup func(c vfs.Caller, dir *vfs.Inode, s Subject, name string) (*vfs.Inode, error)
	List   func(c vfs.Caller, dir *vfs.Inode, s Subject, pos int64, emit func(vfs.Dirent) bool) error
	// Links counts the directories among the names of List, and Size is what
	// stat(2) reports; either may be nil.
	Links func(s Subject) int
	Size  func(s Subject) int64
}

func (d *Dir) entries() []Entry {
	if d.Make != nil {
		return d.Make()
	}
	return d.Entries
}

// Tree is what all entries below one root have in common.
type Tree struct {
	// Alive says whether the subject is still there: if not, names are not
	// found and reads fail. Nil: always, and then dentries are cached.
	Alive func(s Subject) bool
	// Owner returns the owner of an inode with this mode; nil: the superuser.
	Owner func(s Subject, mode uint32) (uid, gid uint32)
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
func (t *Tree) Node(fs *vfs.Superblock, ino uint64, e *Entry, s Subject) *vfs.Inode {
	n := &node{tree: t, entry: e, subject: s}
	now := vfs.Now()
	a := vfs.Attr{
		Mode: n.mode(), Nlink: 1, BlockSize: 4096, Size: e.special().Size,
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
	return vfs.NewInode(fs, ino, a, n)
}

// Ino is the number of the child with position i, below 254, in the table of a
// directory with number dir.
func Ino(dir uint64, i int) uint64 { return dir<<8 | uint64(i+1) }

// node is the behaviour of an inode.
type node struct {
	vfs.BaseInode
	tree    *Tree
	entry   *Entry
	subject Subject
}

// Transient implements vfs.Transient: dead processes must not stay in memory
// for the sake of cached names.
func (n *node) Transient() bool { return n.tree.Alive != nil }

// own brings the owner up to date: a process may have changed its user.
func (n *node) own(i *vfs.Inode) {
	if n.tree.Owner == nil {
		return
	}
	uid, gid := n.tree.Owner(n.subject, i.Mode())
	if a := i.Attr(); a.UID != uid || a.GID != gid {
		i.SetOwner(uid, gid)
	}
}

// mode is the type and the permissions.
func (n *node) mode() uint32 {
	e := n.entry
	kind, perm := uint32(unix.S_IFREG), e.Mode
	switch {
	case e.special().Mode != nil:
		return e.Special.Mode(n.subject)
	case e.Dir != nil:
		kind = unix.S_IFDIR
		if perm == 0 {
			perm = n.tree.DirMode
		}
		if perm == 0 {
			perm = 0o555
		}
	case e.Kind == Link || e.special().Link != nil:
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

func (n *node) links() uint32 {
	d := n.entry.Dir
	links := 2
	entries := d.entries()
	for i := range entries {
		if entries[i].Dir != nil {
			links++
		}
	}
	if d.Links != nil {
		links += d.Links(n.subject)
	}
	return uint32(links)
}

func (n *node) gone() bool { return n.tree.Alive != nil && !n.tree.Alive(n.subject) }

// Lookup implements vfs.InodeOps.
func (n *node) Lookup(c vfs.Caller, dir *vfs.Inode, name string) (*vfs.Inode, error) {
	d := n.entry.Dir
	if d == nil {
		return nil, unix.ENOTDIR
	}
	if n.gone() {
		return nil, unix.ENOENT
	}
	entries := d.entries()
	for i := range entries {
		if e := &entries[i]; e.Name == name {
			return n.tree.Node(dir.FS, Ino(dir.Ino, i), e, n.subject), nil
		}
	}
	if d.Lookup != nil {
		return d.Lookup(c, dir, n.subject, name)
	}
	return nil, unix.ENOENT
}

// Readlink implements vfs.InodeOps.
func (n *node) Readlink(c vfs.Caller, i *vfs.Inode) (string, error) {
	switch e := n.entry; {
	case e.Kind == Link:
		return e.Const, nil
	case e.special().Link != nil:
		return e.Special.Link(c, n.subject)
	}
	return "", unix.EINVAL
}

// FollowLink implements vfs.LinkFollower.
func (n *node) FollowLink(c vfs.Caller, i *vfs.Inode) (vfs.Path, error) {
	if n.entry.special().Go == nil {
		return vfs.Path{}, nil
	}
	return n.entry.Special.Go(c, n.subject)
}

// Getattr implements vfs.InodeOps.
func (n *node) Getattr(c vfs.Caller, i *vfs.Inode) error {
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
func (n *node) Setattr(c vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error {
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
func (n *node) Open(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	if n.gone() {
		return nil, unix.ENOENT
	}
	e := n.entry
	special := e.special()
	if special.May != nil {
		if err := special.May(c, n.subject); err != nil {
			return nil, err
		}
	}
	switch {
	case e.Dir != nil:
		return &directory{node: n}, nil
	case special.Open != nil:
		return special.Open(c, n.subject)
	}
	return &file{node: n}, nil
}

// directory is an open directory.
type directory struct {
	vfs.BaseOps
	node *node
}

// Seekable implements vfs.FileOps.
func (*directory) Seekable() bool { return true }

// Sync implements vfs.FileOps: there is nothing to write back.
func (*directory) Sync(vfs.Caller, *vfs.File, bool) error { return unix.EINVAL }

// ReadDir implements vfs.FileOps: ".", "..", the table, and then List, whose
// positions begin after the table.
func (o *directory) ReadDir(c vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	n, d := o.node, o.node.entry.Dir
	if n.gone() {
		return unix.ENOENT
	}
	const first = 2
	entries := d.entries()
	base := first + int64(len(entries))
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
			child := node{tree: n.tree, entry: &entries[i], subject: n.subject}
			e.Name, e.Ino, e.Type = entries[i].Name, Ino(f.Inode.Ino, i), uint8(child.mode()>>12)
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
