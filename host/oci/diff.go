package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"husk/host/rootfs"
	"husk/host/store"
)

// Change is one difference between two trees.
type Change struct {
	Kind byte // 'A' added, 'D' deleted, 'C' changed
	Path string
	What []string // of a change: mode, owner, time, size, content, target, …
}

func (c Change) String() string {
	s := string(c.Kind) + " " + c.Path
	if len(c.What) > 0 {
		s += "\t" + strings.Join(c.What, ", ")
	}
	return s
}

// Diff lists how b differs from a, sorted by path. Below what was added or
// deleted as a whole nothing is listed.
func Diff(a, b *rootfs.Tree) ([]Change, error) {
	var out []Change
	var walk func(p string, a, b *rootfs.Node) error
	walk = func(p string, a, b *rootfs.Node) error {
		what, err := compare(a, b)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if len(what) > 0 {
			out = append(out, Change{'C', p, what})
		}
		names := append(a.Names(), b.Names()...)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			q := strings.TrimSuffix(p, "/") + "/" + name
			x, y := a.Child(name), b.Child(name)
			switch {
			case x == nil:
				out = append(out, Change{Kind: 'A', Path: q})
			case y == nil:
				out = append(out, Change{Kind: 'D', Path: q})
			default:
				if err := walk(q, x, y); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, walk("/", a.Root, b.Root)
}

func compare(a, b *rootfs.Node) (what []string, err error) {
	const permissions = 0o7777
	if a.Mode&^permissions != b.Mode&^permissions {
		return []string{"type"}, nil
	}
	differ := func(word string, is bool) {
		if is {
			what = append(what, word)
		}
	}
	differ(fmt.Sprintf("mode %04o→%04o", a.Mode&permissions, b.Mode&permissions), a.Mode != b.Mode)
	differ(fmt.Sprintf("owner %d:%d→%d:%d", a.UID, a.GID, b.UID, b.GID), a.UID != b.UID || a.GID != b.GID)
	differ(fmt.Sprintf("target %s→%s", a.Target, b.Target), a.Target != b.Target)
	differ("device", a.Major != b.Major || a.Minor != b.Minor)
	differ("attributes", !maps.EqualFunc(a.Xattrs, b.Xattrs, bytes.Equal))
	differ("time", a.Mtime != b.Mtime)
	if a.IsRegular() {
		differ(fmt.Sprintf("size %d→%d", a.Size, b.Size), a.Size != b.Size)
		if a.Size == b.Size && a.Size > 0 {
			same, err := sameContent(a, b)
			if err != nil {
				return nil, err
			}
			differ("content", !same)
		}
	}
	return what, nil
}

func sameContent(a, b *rootfs.Node) (bool, error) {
	x, err := a.Open()
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := b.Open()
	if err != nil {
		return false, err
	}
	defer y.Close()
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err1 := io.ReadFull(x, p)
		m, err2 := io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		for _, err := range []error{err1, err2} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if err1 != nil || err2 != nil {
			return true, nil
		}
	}
}

// Tree is the tree of an image in the store, while that is open.
func Tree(im *store.Image) (*rootfs.Tree, error) { return tree(im) }

// CopyOut writes what is at p in a tree to a file or directory of the host, of
// which nothing outside dest is touched: a link in the tree is made, never
// followed.
func CopyOut(t *rootfs.Tree, n *rootfs.Node, dest string) error {
	if !n.IsDir() {
		return copyFile(n, func() (*os.File, error) {
			return os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, os.FileMode(n.Mode&0o777))
		}, func() error { return os.Symlink(n.Target, dest) })
	}
	if err := os.MkdirAll(dest, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return err
	}
	defer root.Close()
	var walk func(p string, n *rootfs.Node) error
	walk = func(p string, n *rootfs.Node) error {
		for _, name := range n.Names() {
			c := n.Child(name)
			q := strings.TrimPrefix(p+"/"+name, "/")
			switch {
			case c.IsDir():
				if err := root.Mkdir(q, 0o700|os.FileMode(c.Mode&0o777)); err != nil && !errors.Is(err, os.ErrExist) {
					return err
				}
				if err := walk(q, c); err != nil {
					return err
				}
			default:
				err := copyFile(c, func() (*os.File, error) {
					return root.OpenFile(q, os.O_WRONLY|os.O_CREATE|os.O_EXCL, os.FileMode(c.Mode&0o777))
				}, func() error { return root.Symlink(c.Target, q) })
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk("", n)
}

func copyFile(n *rootfs.Node, create func() (*os.File, error), link func() error) error {
	switch {
	case n.IsLink():
		return link()
	case !n.IsRegular():
		return nil
	}
	r, err := n.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := create()
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
