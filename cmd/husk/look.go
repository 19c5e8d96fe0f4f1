package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"husk/host/oci"
	"husk/host/rootfs"
	"husk/host/store"
	"husk/host/sysroot"
)

func imageTreeCommand() *cobra.Command {
	var long bool
	depth := 0
	cmd := &cobra.Command{
		Use:   "tree [flags] IMAGE [PATH]",
		Short: "Show the files of an image",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(withImage(args[0], func(im *store.Image) error {
				t, err := oci.Tree(im)
				if err != nil {
					return err
				}
				at := "/"
				if len(args) > 1 {
					at = path.Clean("/" + args[1])
				}
				n := t.Lookup(at)
				if n == nil {
					return notInImage(at, fs.ErrNotExist)
				}
				w := bufio.NewWriter(cmd.OutOrStdout())
				if long {
					longTree(w, at, n, depth)
				} else {
					fmt.Fprintln(w, at)
					drawTree(w, "", n, depth)
				}
				return w.Flush()
			}))
		},
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "one line a file: mode, owner, size, time, path")
	cmd.Flags().IntVarP(&depth, "depth", "d", 0, "how deep to go (0 is all)")
	return cmd
}

func drawTree(w io.Writer, indent string, n *rootfs.Node, depth int) {
	names := n.Names()
	for i, name := range names {
		c := n.Child(name)
		branch, below := "├── ", "│   "
		if i == len(names)-1 {
			branch, below = "└── ", "    "
		}
		line := name
		switch {
		case c.IsDir():
			line += "/"
		case c.IsLink():
			line += " -> " + c.Target
		case c.IsRegular():
			line += " (" + oci.Bytes(c.Size) + ")"
		}
		fmt.Fprintln(w, indent+branch+line)
		if depth != 1 {
			drawTree(w, indent+below, c, depth-1)
		}
	}
}

func longTree(w io.Writer, p string, n *rootfs.Node, depth int) {
	to := ""
	if n.IsLink() {
		to = " -> " + n.Target
	}
	fmt.Fprintf(w, "%s %5d %5d %11d %s %s%s\n", modeString(n.Mode), n.UID, n.GID, n.Size, time.Unix(0, n.Mtime).UTC().Format("2006-01-02 15:04:05"), p, to)
	for _, name := range n.Names() {
		if depth != 1 {
			longTree(w, path.Join(p, name), n.Child(name), depth-1)
		}
	}
}

// modeString writes a mode as ls does.
func modeString(m uint32) string {
	kind := map[uint32]byte{
		sysroot.TypeReg: '-', sysroot.TypeDir: 'd', sysroot.TypeLink: 'l', sysroot.TypeChr: 'c',
		sysroot.TypeBlk: 'b', sysroot.TypeFifo: 'p', sysroot.TypeSock: 's',
	}[m&sysroot.TypeMask]
	b := []byte{kind}
	for i, c := range "rwxrwxrwx" {
		if m&(0o400>>i) == 0 {
			c = '-'
		}
		b = append(b, byte(c))
	}
	for i, s := range []struct {
		bit     uint32
		on, off byte
	}{{0o4000, 's', 'S'}, {0o2000, 's', 'S'}, {0o1000, 't', 'T'}} {
		if m&s.bit == 0 {
			continue
		}
		if at := 3 * (i + 1); b[at] == 'x' {
			b[at] = s.on
		} else {
			b[at] = s.off
		}
	}
	return string(b)
}

// notInImage says so of a path, without the words of a file system.
func notInImage(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not in the image", p)
	}
	return err
}

func imageCatCommand() *cobra.Command {
	return imageVerb("cat IMAGE PATH…", "Print files of an image", cobra.MinimumNArgs(2), func(w io.Writer, args []string) error {
		return withImage(args[0], func(im *store.Image) error {
			root, err := im.FS()
			if err != nil {
				return err
			}
			for _, p := range args[1:] {
				n, err := root.Lookup(p)
				if err != nil {
					return notInImage(p, err)
				}
				if !n.IsRegular() {
					return fmt.Errorf("%s is not a regular file", p)
				}
				r, err := n.Open()
				if err != nil {
					return err
				}
				_, err = io.Copy(w, r)
				r.Close()
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func imageCpCommand() *cobra.Command {
	return imageVerb("cp IMAGE:PATH DEST", "Copy a file or a directory out of an image", cobra.ExactArgs(2), func(_ io.Writer, args []string) error {
		i := strings.LastIndex(args[0], ":/")
		if i <= 0 {
			return fmt.Errorf("cp %s: not IMAGE:/PATH", args[0])
		}
		ref, p := args[0][:i], args[0][i+1:]
		return withImage(ref, func(im *store.Image) error {
			t, err := oci.Tree(im)
			if err != nil {
				return err
			}
			n := t.Lookup(p)
			if n == nil || n.IsLink() {
				// Links in the path, and one at its end, are followed.
				root, err := im.FS()
				if err != nil {
					return err
				}
				found, err := root.Lookup(p)
				if err != nil {
					return notInImage(p, err)
				}
				if found.IsDir() {
					return fmt.Errorf("%s leads through symbolic links to a directory: name that", p)
				}
				n = found
			}
			dest := args[1]
			if st, err := os.Stat(dest); err == nil && st.IsDir() && path.Base(path.Clean(p)) != "/" {
				dest = filepath.Join(dest, path.Base(path.Clean(p)))
			} else if err != nil && strings.HasSuffix(dest, "/") && !n.IsDir() {
				return fmt.Errorf("cp: %s: no such directory", dest)
			}
			return oci.CopyOut(t, n, dest)
		})
	})
}

func diffCommand() *cobra.Command {
	var times bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show how two images or directories differ",
		Long: `Show how the files of B differ from those of A, each an image or a directory
(written as a path): A added, D deleted, C changed, and in what. The status is
0 when there is no difference and 1 when there is.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes := 0
			err := withTree(args[0], func(a *rootfs.Tree) error {
				return withTree(args[1], func(b *rootfs.Tree) error {
					all, err := oci.Diff(a, b)
					if err != nil {
						return err
					}
					w := bufio.NewWriter(cmd.OutOrStdout())
					for _, c := range all {
						if !times && len(c.What) == 1 && c.What[0] == "time" {
							continue
						}
						changes++
						fmt.Fprintln(w, c)
					}
					return w.Flush()
				})
			})
			if err != nil {
				return failed(err)
			}
			if changes > 0 {
				return &exitError{status: 1}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&times, "times", false, "files that differ in their time only as well")
	return cmd
}

// withTree opens an image, or a directory that is written as a path.
func withTree(ref string, f func(t *rootfs.Tree) error) error {
	if st, err := os.Stat(ref); err == nil && st.IsDir() && (strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, ".")) {
		t, err := rootfs.FromDir(ref)
		if err != nil {
			return err
		}
		return f(t)
	}
	err := withImage(ref, func(im *store.Image) error {
		t, err := oci.Tree(im)
		if err != nil {
			return err
		}
		return f(t)
	})
	if st, e := os.Stat(ref); errors.Is(err, store.ErrNotFound) && e == nil && st.IsDir() {
		return fmt.Errorf("image %s: %w (the directory is written as ./%s)", ref, store.ErrNotFound, ref)
	}
	return err
}

func sbomCommand() *cobra.Command {
	return imageVerb("sbom IMAGE", "List what an image is made of, as SPDX", cobra.ExactArgs(1), func(w io.Writer, args []string) error {
		return withImage(args[0], func(im *store.Image) error {
			b, err := oci.SBOM(im)
			if err != nil {
				return err
			}
			_, err = w.Write(b)
			return err
		})
	})
}
