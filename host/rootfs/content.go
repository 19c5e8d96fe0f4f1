package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"husk/host/sysroot"
)

// Content is where the bytes of a regular file come from when they are
// neither a host file of their own (Node.Host) nor in memory (Node.Data): a
// member of an archive, a file in another image. It has Node.Size bytes.
type Content interface {
	Open() (io.ReadCloser, error)
	// ID names the bytes: equal IDs mean equal bytes.
	ID() string
}

// Open opens the content of a regular file, wherever it is.
func (n *Node) Open() (io.ReadCloser, error) {
	if len(n.Patch) == 0 {
		return n.open()
	}
	r, err := n.open()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(len(n.Patch))); err != nil {
		r.Close()
		return nil, err
	}
	return patched{io.MultiReader(bytes.NewReader(n.Patch), r), r}, nil
}

type patched struct {
	io.Reader
	io.Closer
}

func (n *Node) open() (io.ReadCloser, error) {
	switch {
	case n.Content != nil:
		return n.Content.Open()
	case n.Host != "":
		return os.Open(n.Host)
	}
	return io.NopCloser(bytes.NewReader(n.Data)), nil
}

// Section is Content that is one piece of something larger.
type Section struct {
	R      io.ReaderAt
	Name   string // of R, for ID
	Off, N int64
}

// Open implements Content.
func (s Section) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.R, s.Off, s.N)), nil
}

// ID implements Content.
func (s Section) ID() string { return fmt.Sprintf("%s@%d+%d", s.Name, s.Off, s.N) }

// Sections is Content in several pieces.
type Sections []Section

// Open implements Content.
func (s Sections) Open() (io.ReadCloser, error) {
	rs := make([]io.Reader, len(s))
	for i, p := range s {
		rs[i] = io.NewSectionReader(p.R, p.Off, p.N)
	}
	return io.NopCloser(io.MultiReader(rs...)), nil
}

// ID implements Content.
func (s Sections) ID() string {
	id := ""
	for _, p := range s {
		id += p.ID() + ";"
	}
	return id
}

// Regular is the node of a regular file with this content.
func Regular(perm uint32, size int64, c Content) *Node {
	return &Node{Mode: sysroot.TypeReg | perm, Size: size, Content: c}
}

// Directory is the node of an empty directory.
func Directory(perm uint32) *Node { return newDir(perm) }

// Remove takes a name out of the tree, with all below it. It reports whether
// the name was there.
func (t *Tree) Remove(p string) bool {
	d, name, err := t.split(p)
	if err != nil || name == "" || d.children[name] == nil {
		return false
	}
	delete(d.children, name)
	return true
}

// Clear removes all entries of a directory.
func (n *Node) Clear() {
	if n.children != nil {
		clear(n.children)
	}
}

// Identity names the host's file as it was when the tree was made: with the
// same identity it still has the same bytes. It is false for what did not come
// from a host that knows such things.
func (n *Node) Identity() (id [5]int64, ok bool) {
	if n.Host == "" || n.ino == 0 {
		return id, false
	}
	return [5]int64{int64(n.dev), int64(n.ino), n.Size, n.hostMtime, n.ctime}, true
}

// Changed is when the host's file last changed, in nanoseconds since 1970.
func (n *Node) Changed() int64 { return n.ctime }
