// Package rootfs gathers the root file system of a program: the program, what
// its ELF headers ask for (package elfdeps), and what C libraries and language
// runtimes open by name while they run. The result is a Tree, a model of a
// file system whose file contents still lie in the host's files.
package rootfs

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"path"
	"slices"
	"strings"

	"husk/host/sysroot"
)

// Node is a file of a Tree. Two names for one Node are hard links.
type Node struct {
	Mode         uint32 // type and permissions, as in stat(2) on Linux
	UID, GID     uint32
	Mtime        int64  // nanoseconds since 1970
	Size         int64  // of a regular file
	Host         string // the host's file that has the content, or:
	Data         []byte // the content itself, or:
	Content      Content
	Patch        []byte // in place of the content's first bytes, if not empty
	Target       string // of a symbolic link
	Major, Minor uint32 // of a device
	Xattrs       map[string][]byte

	children map[string]*Node
	dev, ino uint64 // identity and times of change of the host's file
	ctime    int64

	hostMtime int64 // as it was there; Mtime may be pinned
}

// IsDir and its like tell the file types.
func (n *Node) IsDir() bool { return n.Mode&sysroot.TypeMask == sysroot.TypeDir }

// IsRegular reports a regular file.
func (n *Node) IsRegular() bool { return n.Mode&sysroot.TypeMask == sysroot.TypeReg }

// IsLink reports a symbolic link.
func (n *Node) IsLink() bool { return n.Mode&sysroot.TypeMask == sysroot.TypeLink }

// Names lists a directory's entries, sorted by bytes.
func (n *Node) Names() []string { return slices.Sorted(maps.Keys(n.children)) }

// Child is a directory's entry, or nil.
func (n *Node) Child(name string) *Node { return n.children[name] }

// Tree is a root file system.
type Tree struct {
	Root *Node
	// Program is the absolute path at which the program stands.
	Program string
	// Warnings are things that were left out, for people to read.
	Warnings []string
	// Seen is all that the tree was made from.
	Seen []sysroot.Seen

	inodes map[inode]*Node
}

type inode struct{ dev, ino uint64 }

// NewTree returns a tree of an empty root directory.
func NewTree() *Tree {
	return &Tree{Root: newDir(0o755), inodes: map[inode]*Node{}}
}

func newDir(perm uint32) *Node {
	return &Node{Mode: sysroot.TypeDir | perm, children: map[string]*Node{}}
}

// split walks to the directory of p, making missing ones plain.
func (t *Tree) split(p string) (*Node, string, error) {
	p = path.Clean("/" + p)
	d := t.Root
	dir, name := path.Split(p)
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if part == "" {
			continue
		}
		c := d.children[part]
		if c == nil {
			c = newDir(0o755)
			d.children[part] = c
		}
		if !c.IsDir() {
			return nil, "", fmt.Errorf("%s: %s is not a directory", p, part)
		}
		d = c
	}
	return d, name, nil
}

// Put places a node at a path, in place of what was there. An empty directory
// takes over the entries of the one it replaces.
func (t *Tree) Put(p string, n *Node) error {
	d, name, err := t.split(p)
	if err != nil {
		return err
	}
	if name == "" {
		if !n.IsDir() {
			return fmt.Errorf("the root of a tree must be a directory")
		}
		if len(n.children) == 0 {
			n.children = t.Root.children
		}
		t.Root = n
		return nil
	}
	if n.IsDir() && len(n.children) == 0 {
		n.children = map[string]*Node{}
		if old := d.children[name]; old != nil && old.IsDir() {
			n.children = old.children
		}
	}
	d.children[name] = n
	return nil
}

// Mkdir makes a directory with these permissions unless there is one.
func (t *Tree) Mkdir(p string, perm uint32) error {
	if n := t.Lookup(p); n != nil {
		if n.IsDir() {
			return nil
		}
		return fmt.Errorf("%s is not a directory", p)
	}
	return t.Put(p, newDir(perm))
}

// WriteFile places a regular file with this content.
func (t *Tree) WriteFile(p string, data []byte, perm uint32) error {
	return t.Put(p, &Node{Mode: sysroot.TypeReg | perm, Size: int64(len(data)), Data: data})
}

// Symlink places a symbolic link.
func (t *Tree) Symlink(target, p string) error {
	return t.Put(p, &Node{Mode: sysroot.TypeLink | 0o777, Target: target})
}

// Lookup is the node at a path, links not followed, or nil.
func (t *Tree) Lookup(p string) *Node {
	n := t.Root
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+p), "/"), "/") {
		if part == "" {
			continue
		}
		if n = n.children[part]; n == nil {
			return nil
		}
	}
	return n
}

// Walk calls f for every name in the tree, directories before their entries
// and those sorted.
func (t *Tree) Walk(f func(p string, n *Node) error) error {
	var walk func(p string, n *Node) error
	walk = func(p string, n *Node) error {
		if err := f(p, n); err != nil {
			return err
		}
		for _, name := range n.Names() {
			if err := walk(strings.TrimSuffix(p, "/")+"/"+name, n.children[name]); err != nil {
				return err
			}
		}
		return nil
	}
	return walk("/", t.Root)
}

// hostNode makes the node of a host file; regular files with several names
// become hard links when more than one of them is gathered.
func (t *Tree) hostNode(host string, info *sysroot.Info, target string) *Node {
	id := inode{info.Dev, info.Ino}
	shared := info.Nlink > 1 && !info.IsDir() && info.Ino != 0
	if shared {
		if n := t.inodes[id]; n != nil {
			return n
		}
	}
	n := &Node{
		Mode: info.Mode, UID: info.UID, GID: info.GID, Mtime: info.Mtime,
		Major: info.Major, Minor: info.Minor, Target: target,
		dev: info.Dev, ino: info.Ino, ctime: info.Ctime, hostMtime: info.Mtime,
	}
	switch {
	case info.IsRegular():
		n.Size, n.Host = info.Size, host
	case info.IsDir():
		n.children = map[string]*Node{}
	}
	if shared {
		t.inodes[id] = n
	}
	return n
}

// Digest names the tree's content without reading it: host files count by
// identity, size and times of change. Equal digests mean equal images.
func (t *Tree) Digest() string {
	h := sha256.New()
	ids := map[*Node]int{}
	var walk func(name string, n *Node)
	walk = func(name string, n *Node) {
		str(h, name)
		if id, ok := ids[n]; ok {
			num(h, int64(id))
			return
		}
		ids[n] = len(ids)
		num(h, -1, int64(n.Mode), int64(n.UID), int64(n.GID), n.Mtime, n.Size, int64(n.Major), int64(n.Minor))
		str(h, n.Target)
		if n.Host != "" {
			num(h, int64(n.dev), int64(n.ino), n.ctime)
			str(h, n.Host)
		} else if n.Content != nil {
			str(h, n.Content.ID())
		} else {
			str(h, string(n.Data))
		}
		num(h, int64(len(n.Xattrs)))
		for _, k := range slices.Sorted(maps.Keys(n.Xattrs)) {
			str(h, k)
			str(h, string(n.Xattrs[k]))
		}
		num(h, int64(len(n.children)))
		for _, c := range n.Names() {
			walk(c, n.children[c])
		}
	}
	walk("", t.Root)
	return hex.EncodeToString(h.Sum(nil))
}

func num(h hash.Hash, vals ...int64) {
	var b [16 * 8]byte
	for i, v := range vals {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
	}
	h.Write(b[:8*len(vals)])
}

func str(h hash.Hash, s string) {
	num(h, int64(len(s)))
	h.Write([]byte(s))
}

// Map returns a copy of the tree in which f has changed every node; hard links
// stay hard links.
func (t *Tree) Map(f func(*Node)) *Tree {
	made := map[*Node]*Node{}
	var walk func(n *Node) *Node
	walk = func(n *Node) *Node {
		if m := made[n]; m != nil {
			return m
		}
		m := new(Node)
		*m = *n
		made[n] = m
		if n.children != nil {
			m.children = make(map[string]*Node, len(n.children))
			for name, c := range n.children {
				m.children[name] = walk(c)
			}
		}
		f(m)
		return m
	}
	c := *t
	c.Root = walk(t.Root)
	return &c
}

// Stats sums a tree up.
func (t *Tree) Stats() (files int, bytes int64) {
	seen := map[*Node]bool{}
	_ = t.Walk(func(_ string, n *Node) error {
		if !seen[n] {
			seen[n] = true
			files++
			bytes += n.Size
		}
		return nil
	})
	return files, bytes
}

// Large lists the n largest regular files, for messages.
func (t *Tree) Large(n int) []string {
	type sized struct {
		path string
		size int64
	}
	var all []sized
	_ = t.Walk(func(p string, f *Node) error {
		if f.IsRegular() {
			all = append(all, sized{p, f.Size})
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b sized) int { return cmp.Compare(b.size, a.size) })
	var out []string
	for _, s := range all[:min(n, len(all))] {
		out = append(out, s.path)
	}
	return out
}

// FromDir makes the tree of a whole directory, with every file in it.
func FromDir(dir string) (*Tree, error) {
	root, err := sysroot.Open(dir)
	if err != nil {
		return nil, err
	}
	t := NewTree()
	b := &builder{root: root, tree: t}
	if err := b.addTree("/", nil); err != nil {
		return nil, err
	}
	t.Seen = root.Seen()
	return t, t.Walk(func(p string, n *Node) (err error) {
		n.Xattrs, err = sysroot.Xattrs(root.Host(p))
		return err
	})
}
