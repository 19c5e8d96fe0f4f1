package rootfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"husk/host/sysroot"
)

// Extract writes the tree's directories, regular files and symbolic links
// below dir, which is made if it is missing, and never outside of it. Files
// that stand there are replaced. Permissions are kept, owners and times are
// not; devices, pipes and sockets are left out. done hears of each file's
// path in the tree before it is written.
func (t *Tree) Extract(dir string, done func(p string)) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	first := map[*Node]string{}
	return t.Walk(func(p string, n *Node) error {
		name := filepath.FromSlash(p[1:])
		if name == "" {
			return nil
		}
		if !n.IsDir() && done != nil {
			done(p)
		}
		if err := extractNode(root, name, n, first); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
		}
		return nil
	})
}

func extractNode(root *os.Root, name string, n *Node, first map[*Node]string) error {
	perm := fs.FileMode(n.Mode & 0o777)
	if n.IsDir() {
		// The owner has to be able to write the entries.
		err := root.Mkdir(name, perm|0o700)
		if info, e := root.Stat(name); e == nil && info.IsDir() {
			return nil
		}
		return err
	}
	if info, err := root.Lstat(name); err == nil && !info.IsDir() {
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	switch n.Mode & sysroot.TypeMask {
	case sysroot.TypeLink:
		return root.Symlink(n.Target, name)
	case sysroot.TypeReg:
		if other, ok := first[n]; ok {
			return root.Link(other, name)
		}
		first[n] = name
		return extractFile(root, name, n, perm)
	}
	return nil
}

func extractFile(root *os.Root, name string, n *Node, perm fs.FileMode) error {
	content, err := n.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, content); err == nil {
		err = f.Close()
	} else {
		f.Close()
	}
	return err
}
