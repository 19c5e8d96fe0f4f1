package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"time"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// Limits bound what an archive may make us do.
type Limits struct {
	Bytes int64 // of all files and of all layers, unpacked
	Files int64
	// SkipDevices leaves device nodes out instead of refusing the archive.
	// Those in /dev always are: the kernel's has what programs need.
	SkipDevices bool
}

// DefaultLimits hold any real image.
var DefaultLimits = Limits{Bytes: 64 << 30, Files: 4 << 20}

// Names and paths are bounded as in Linux.
const (
	maxName     = 255
	maxPath     = 4096
	maxTreePath = 1024 // components
)

// Whiteouts, image specification, "layer.md": a name that hides one in the
// layers below, and one that hides all in its directory.
const (
	whiteout       = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	whiteoutMeta   = ".wh..wh." // aufs's own files
)

// unpacker puts layers above one another. Nothing touches the host's file
// system: a hostile archive can only make a strange tree, and what could be
// meant to escape is refused all the same.
type unpacker struct {
	ctx    context.Context
	tree   *rootfs.Tree
	limits Limits
	bytes  int64
	files  int64
	// spool keeps the content of a file that does not lie in one piece.
	spool    func(r io.Reader) (rootfs.Content, error)
	Warnings []string
}

// refusal is why an archive is not taken.
func refusal(name, format string, args ...any) error {
	return fmt.Errorf("refused: the entry %q %s", shorten(name), fmt.Sprintf(format, args...))
}

func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// layer applies one uncompressed tar. It is read twice: a whiteout hides what
// is below this layer, wherever in the layer it stands.
func (x *unpacker) layer(r io.ReaderAt, size int64, name string) error {
	hides := false
	err := x.each(r, size, func(h *tar.Header, _ *tar.Reader, _ int64) error {
		dir, base, err := x.clean(h.Name)
		if err != nil || !strings.HasPrefix(base, whiteout) {
			return err
		}
		hides = true
		if base == whiteoutOpaque {
			if n, _ := x.find(dir); n != nil {
				n.Clear()
			}
			return nil
		}
		if strings.HasPrefix(base, whiteoutMeta) {
			return nil
		}
		hidden := strings.TrimPrefix(base, whiteout)
		if hidden == "" || hidden == "." || hidden == ".." {
			return refusal(h.Name, "is a whiteout of nothing")
		}
		if p, err := x.resolve(dir); err == nil {
			x.tree.Remove(path.Join(p, hidden))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return x.each(r, size, func(h *tar.Header, tr *tar.Reader, off int64) error {
		dir, base, err := x.clean(h.Name)
		if err != nil {
			return err
		}
		if hides && strings.HasPrefix(base, whiteout) {
			return nil
		}
		return x.entry(h, dir, base, func() (rootfs.Content, error) {
			if off >= 0 && off+h.Size <= size {
				return rootfs.Section{R: r, Name: name, Off: off, N: h.Size}, nil
			}
			return x.spool(tr)
		})
	})
}

// each calls f for every member, with the place of its content, or -1 where it
// is not in one piece.
func (x *unpacker) each(r io.ReaderAt, size int64, f func(h *tar.Header, tr *tar.Reader, off int64) error) error {
	sr := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(sr)
	for n := int64(0); ; n++ {
		if n&0xff == 0 && x.ctx.Err() != nil {
			return x.ctx.Err()
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
		if n >= 4*x.limits.Files {
			return fmt.Errorf("refused: the archive has more than %d entries", n)
		}
		off, err := sr.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if sparse(h) {
			off = -1
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := f(h, tr, off); err != nil {
			return err
		}
	}
}

func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the archive ends too early: it is cut off or damaged")
	}
	return fmt.Errorf("the archive is damaged: %w", err)
}

func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// clean splits a member's name. A name that leads out of the tree is refused
// even where it would lead nowhere in here.
func (x *unpacker) clean(name string) (dir, base string, err error) {
	if len(name) > maxPath {
		return "", "", refusal(name, "has a name of %d bytes", len(name))
	}
	if strings.ContainsRune(name, 0) {
		return "", "", refusal(name, "has a zero in its name")
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", "", refusal(name, "leads out of the tree")
		}
		if len(part) > maxName {
			return "", "", refusal(name, "has a name of %d bytes", len(part))
		}
		depth++
	}
	if depth > maxTreePath {
		return "", "", refusal(name, "is %d directories deep", depth)
	}
	p := path.Clean("/" + name)
	dir, base = path.Split(p)
	return path.Clean(dir), base, nil
}

// resolve follows the symbolic links in the path of a directory, inside the
// tree. What is missing stays as it is named.
func (x *unpacker) resolve(dir string) (string, error) {
	cur := "/"
	rest := dir
	links := 0
	for {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			return cur, nil
		}
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case ".":
			continue
		case "..":
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, part)
		n := x.tree.Lookup(next)
		switch {
		case n == nil || n.IsDir():
			cur = next
		case n.IsLink():
			if links++; links > 40 {
				return "", refusal(dir, "leads through too many symbolic links")
			}
			rest = n.Target + "/" + rest
			if strings.HasPrefix(n.Target, "/") {
				cur = "/"
			}
		default:
			return "", refusal(dir, "leads through %s, which is no directory", next)
		}
	}
}

// find is the directory at a path, or nil.
func (x *unpacker) find(dir string) (*rootfs.Node, error) {
	p, err := x.resolve(dir)
	if err != nil {
		return nil, err
	}
	if n := x.tree.Lookup(p); n != nil && n.IsDir() {
		return n, nil
	}
	return nil, nil
}

func (x *unpacker) entry(h *tar.Header, dir, base string, content func() (rootfs.Content, error)) error {
	if x.files++; x.files > x.limits.Files {
		return fmt.Errorf("refused: the archive has more than %d files", x.limits.Files)
	}
	n := &rootfs.Node{Mode: uint32(h.Mode) & 0o7777}
	if h.Uid < 0 || h.Gid < 0 || h.Uid >= math.MaxUint32 || h.Gid >= math.MaxUint32 {
		return refusal(h.Name, "has the impossible owner %d:%d", h.Uid, h.Gid)
	}
	n.UID, n.GID = uint32(h.Uid), uint32(h.Gid)
	n.Mtime = nanoseconds(h.ModTime)
	x.xattrs(h, n)
	parent, err := x.resolve(dir)
	if err != nil {
		return err
	}
	at := path.Join(parent, base)
	old := x.tree.Lookup(at)
	switch h.Typeflag {
	case tar.TypeDir:
		d := rootfs.Directory(n.Mode)
		d.UID, d.GID, d.Mtime, d.Xattrs = n.UID, n.GID, n.Mtime, n.Xattrs
		return x.put(h, at, d)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse, 0:
		if base == "" {
			return refusal(h.Name, "is a file in place of the root directory")
		}
		if h.Size < 0 || h.Size > x.limits.Bytes-x.bytes {
			return fmt.Errorf("refused: the files have more than %s together, the last %q (see --max-size)", Bytes(x.limits.Bytes), shorten(h.Name))
		}
		x.bytes += h.Size
		n.Mode |= sysroot.TypeReg
		n.Size = h.Size
		if n.Size > 0 {
			if n.Content, err = content(); err != nil {
				return err
			}
		}
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) >= maxPath || strings.ContainsRune(h.Linkname, 0) {
			return refusal(h.Name, "is a symbolic link with a target of %d bytes", len(h.Linkname))
		}
		n.Mode = sysroot.TypeLink | 0o777
		n.Target = h.Linkname
	case tar.TypeLink:
		tdir, tbase, err := x.clean(h.Linkname)
		if err != nil {
			return refusal(h.Name, "is a link out of the tree, to %q", shorten(h.Linkname))
		}
		tp, err := x.resolve(tdir)
		if err != nil {
			return err
		}
		target := x.tree.Lookup(path.Join(tp, tbase))
		if target == nil || target.IsDir() {
			return refusal(h.Name, "is a link to %q, which is no file in the image", shorten(h.Linkname))
		}
		if target == old {
			return nil
		}
		n = target
	case tar.TypeFifo:
		n.Mode |= sysroot.TypeFifo
	case tar.TypeChar, tar.TypeBlock:
		if x.limits.SkipDevices || strings.HasPrefix(path.Clean("/"+h.Name), "/dev/") {
			return nil // nobody would see those of /dev: the kernel's is above
		}
		return refusal(h.Name, "is a device node (--skip-devices leaves them out)")
	default:
		return refusal(h.Name, "has the unknown type %q", h.Typeflag)
	}
	if base == "" {
		return refusal(h.Name, "is put in place of the root directory")
	}
	return x.put(h, at, n)
}

func (x *unpacker) put(h *tar.Header, at string, n *rootfs.Node) error {
	if err := x.tree.Put(at, n); err != nil {
		return refusal(h.Name, "cannot be placed: %v", err)
	}
	return nil
}

// nanoseconds of times that a file system can hold.
func nanoseconds(t time.Time) int64 {
	if s := t.Unix(); t.IsZero() || s < -1<<33 || s > 1<<33 {
		return 0
	}
	return t.UnixNano()
}

const xattrRecord = "SCHILY.xattr."

func (x *unpacker) xattrs(h *tar.Header, n *rootfs.Node) {
	for k, v := range h.PAXRecords {
		name, ok := strings.CutPrefix(k, xattrRecord)
		if !ok {
			continue
		}
		known := false
		for _, p := range []string{"user.", "trusted.", "security.", "system.posix_acl_"} {
			known = known || strings.HasPrefix(name, p)
		}
		if !known || len(name) > 255 || len(v) > 60000 {
			x.warn("the attribute %q of %s is left out", shorten(name), shorten(h.Name))
			continue
		}
		if n.Xattrs == nil {
			n.Xattrs = map[string][]byte{}
		}
		n.Xattrs[name] = []byte(v)
	}
}

func (x *unpacker) warn(format string, args ...any) {
	if len(x.Warnings) < 20 {
		x.Warnings = append(x.Warnings, fmt.Sprintf(format, args...))
	}
}
