package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// Reader reads EROFS images on the host. It takes what Write writes, and what
// mkfs.erofs writes without compression; bytes from strangers at that, so that
// every number is checked before it is used.
type Reader struct {
	r    io.ReaderAt
	size int64
	name string // for errors and content IDs

	meta   int64 // position of inode 0
	root   uint64
	when   int64
	shared int64 // position of shared attributes
}

// ErrCorrupt is wrapped by what a damaged image gives.
var ErrCorrupt = errors.New("not a sound EROFS image")

func (r *Reader) corrupt(format string, args ...any) error {
	return fmt.Errorf("image %s: %w: %s", r.name, ErrCorrupt, fmt.Sprintf(format, args...))
}

// NewReader looks at the super block. The name is for errors.
func NewReader(r io.ReaderAt, size int64, name string) (*Reader, error) {
	im := &Reader{r: r, size: size, name: name}
	var block [BlockSize]byte
	if size < BlockSize {
		return nil, im.corrupt("%d bytes are too few", size)
	}
	if err := im.read(block[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := block[superOffset:]
	if le.Uint32(b) != superMagic {
		return nil, im.corrupt("no super block")
	}
	if b[12] != 12 {
		return nil, fmt.Errorf("image %s: blocks of 2^%d bytes are not supported", name, b[12])
	}
	if le.Uint32(b[8:])&compatChecksum != 0 {
		sum := le.Uint32(b[4:])
		le.PutUint32(b[4:], 0)
		if ^crc32.Checksum(b, castagnoli) != sum {
			return nil, im.corrupt("the super block's checksum does not match")
		}
	}
	if f := le.Uint32(b[80:]); f != 0 {
		return nil, fmt.Errorf("image %s: has features that are not supported (%#x: compressed?)", name, f)
	}
	im.root = uint64(le.Uint16(b[14:]))
	im.when = int64(le.Uint64(b[24:]))*1e9 + int64(le.Uint32(b[32:]))
	im.meta = int64(le.Uint32(b[40:])) * BlockSize
	im.shared = int64(le.Uint32(b[44:])) * BlockSize
	return im, nil
}

func (r *Reader) read(b []byte, off int64) error {
	if off < 0 || off > r.size-int64(len(b)) {
		return r.corrupt("%d bytes at %d lie outside its %d", len(b), off, r.size)
	}
	if _, err := r.r.ReadAt(b, off); err != nil && !(errors.Is(err, io.EOF) && off+int64(len(b)) == r.size) {
		return fmt.Errorf("read image %s: %w", r.name, err)
	}
	return nil
}

// rinode is an inode as read.
type rinode struct {
	nid    uint64
	node   rootfs.Node
	size   int64
	nlink  uint32
	blocks int64 // position of the data outside
	inline int64 // position of the inline data
	whole  int64 // how much of the data is outside
}

func (r *Reader) inode(nid uint64) (*rinode, error) {
	if nid > uint64(r.size)/slot {
		return nil, r.corrupt("inode %d lies outside", nid)
	}
	pos := r.meta + int64(nid)*slot
	le := binary.LittleEndian
	var b [extendedSize]byte
	if err := r.read(b[:compactSize], pos); err != nil {
		return nil, err
	}
	i := &rinode{nid: nid}
	n := &i.node
	format := le.Uint16(b[0:])
	layout := format >> 1 & 7
	n.Mode = uint32(le.Uint16(b[4:]))
	head := int64(compactSize)
	var u uint32
	if format&1 != 0 {
		if err := r.read(b[:], pos); err != nil {
			return nil, err
		}
		head = extendedSize
		size := le.Uint64(b[8:])
		if size > 1<<44 {
			return nil, r.corrupt("inode %d has %d bytes", nid, size)
		}
		i.size = int64(size)
		u = le.Uint32(b[16:])
		n.UID, n.GID = le.Uint32(b[24:]), le.Uint32(b[28:])
		n.Mtime = int64(le.Uint64(b[32:]))*1e9 + int64(le.Uint32(b[40:]))
		i.nlink = le.Uint32(b[44:])
	} else {
		i.nlink = uint32(le.Uint16(b[6:]))
		i.size = int64(le.Uint32(b[8:]))
		u = le.Uint32(b[16:])
		n.UID, n.GID = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
		n.Mtime = r.when
	}
	var xsize int64
	if c := int64(le.Uint16(b[2:])); c > 0 {
		xsize = xattrHeader + 4*(c-1)
		if err := r.xattrs(n, pos+head, xsize); err != nil {
			return nil, err
		}
	}
	switch n.Mode & sysroot.TypeMask {
	case sysroot.TypeChr, sysroot.TypeBlk:
		n.Major, n.Minor = u>>8&0xfff, u&0xff|u>>12&^0xff
		i.size = 0
		return i, nil
	case sysroot.TypeFifo, sysroot.TypeSock:
		i.size = 0
		return i, nil
	case sysroot.TypeReg, sysroot.TypeDir, sysroot.TypeLink:
	default:
		return nil, r.corrupt("inode %d has the unknown type %#o", nid, n.Mode)
	}
	i.blocks, i.inline = int64(u)*BlockSize, pos+head+xsize
	switch layout {
	case layoutPlain:
		i.whole = i.size
	case layoutInline:
		i.whole = i.size &^ (BlockSize - 1)
		if i.inline+i.size-i.whole > r.size {
			return nil, r.corrupt("inode %d has its end outside", nid)
		}
	default:
		return nil, fmt.Errorf("image %s: a file with layout %d is not supported (compressed?)", r.name, layout)
	}
	if i.whole > 0 && (i.blocks > r.size || i.whole > r.size-i.blocks) {
		return nil, r.corrupt("inode %d has its data outside", nid)
	}
	if n.IsRegular() {
		n.Size = i.size
	}
	return i, nil
}

func (r *Reader) xattrs(n *rootfs.Node, pos, size int64) error {
	b := make([]byte, size)
	if err := r.read(b, pos); err != nil {
		return err
	}
	if len(b) < xattrHeader || int(b[4])*4 > len(b)-xattrHeader {
		return r.corrupt("attributes")
	}
	le := binary.LittleEndian
	n.Xattrs = map[string][]byte{}
	for k := range int(b[4]) {
		id := int64(le.Uint32(b[xattrHeader+4*k:]))
		var head [4]byte
		if err := r.read(head[:], r.shared+4*id); err != nil {
			return err
		}
		e := make([]byte, 4+int(head[0])+int(le.Uint16(head[2:])))
		if err := r.read(e, r.shared+4*id); err != nil {
			return err
		}
		if _, err := r.xattr(n, e); err != nil {
			return err
		}
	}
	b = b[xattrHeader+4*int(b[4]):]
	for len(b) >= 4 && (b[0] != 0 || b[1] != 0) {
		used, err := r.xattr(n, b)
		if err != nil {
			return err
		}
		b = b[min(len(b), (used+3)&^3):]
	}
	return nil
}

func (r *Reader) xattr(n *rootfs.Node, b []byte) (int, error) {
	name, value := int(b[0]), int(b[2])|int(b[3])<<8
	if 4+name+value > len(b) {
		return 0, r.corrupt("attributes")
	}
	for _, p := range xattrPrefixes {
		if p.index == b[1] {
			n.Xattrs[p.prefix+string(b[4:4+name])] = append([]byte(nil), b[4+name:4+name+value]...)
		}
	}
	return 4 + name + value, nil
}

// data reads the whole of a directory or link.
func (r *Reader) data(i *rinode, limit int64) ([]byte, error) {
	if i.size > limit {
		return nil, r.corrupt("inode %d has %d bytes", i.nid, i.size)
	}
	b := make([]byte, i.size)
	if err := r.read(b[:i.whole], i.blocks); i.whole > 0 && err != nil {
		return nil, err
	}
	if i.whole < i.size {
		if err := r.read(b[i.whole:], i.inline); err != nil {
			return nil, err
		}
	}
	return b, nil
}

const maxDirectory = 256 << 20

// entries calls f for every entry but the two dots until f returns false.
func (r *Reader) entries(i *rinode, f func(name string, nid uint64) bool) error {
	b, err := r.data(i, maxDirectory)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for len(b) > 0 {
		block := b[:min(len(b), BlockSize)]
		b = b[len(block):]
		if len(block) < direntSize {
			return r.corrupt("directory %d", i.nid)
		}
		first := int(le.Uint16(block[8:]))
		if first < direntSize || first%direntSize != 0 || first > len(block) {
			return r.corrupt("directory %d", i.nid)
		}
		for o := 0; o < first; o += direntSize {
			from, to := int(le.Uint16(block[o+8:])), len(block)
			if o+direntSize < first {
				to = int(le.Uint16(block[o+direntSize+8:]))
			}
			if from < first || from >= to || to > len(block) {
				return r.corrupt("directory %d", i.nid)
			}
			name := string(block[from:to])
			if o+direntSize == first {
				name, _, _ = strings.Cut(name, "\x00")
			}
			if name == "." || name == ".." {
				continue
			}
			if name == "" || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
				return r.corrupt("directory %d has the entry %q", i.nid, name)
			}
			if !f(name, le.Uint64(block[o:])) {
				return nil
			}
		}
	}
	return nil
}

// node completes what was read to a tree's node.
func (r *Reader) node(i *rinode) (*rootfs.Node, error) {
	n := &i.node
	switch {
	case n.IsDir():
		d := rootfs.Directory(n.Mode & 0o7777)
		d.UID, d.GID, d.Mtime, d.Xattrs = n.UID, n.GID, n.Mtime, n.Xattrs
		return d, nil
	case n.IsLink():
		b, err := r.data(i, BlockSize)
		if err != nil {
			return nil, err
		}
		if len(b) == 0 || strings.ContainsRune(string(b), 0) {
			return nil, r.corrupt("link %d", i.nid)
		}
		n.Target = string(b)
	case n.IsRegular():
		n.Content = r.content(i)
	}
	return n, nil
}

func (r *Reader) content(i *rinode) rootfs.Content {
	outside := rootfs.Section{R: r.r, Name: r.name, Off: i.blocks, N: i.whole}
	inline := rootfs.Section{R: r.r, Name: r.name, Off: i.inline, N: i.size - i.whole}
	switch {
	case inline.N == 0:
		return outside
	case outside.N == 0:
		return inline
	}
	return rootfs.Sections{outside, inline}
}

// Limits of what Tree makes of an image.
const (
	maxFiles = 16 << 20
	maxDepth = 1024
)

// Tree is the whole tree in the image; contents stay there.
func (r *Reader) Tree() (*rootfs.Tree, error) {
	t := rootfs.NewTree()
	made := map[uint64]*rootfs.Node{}
	var fill func(p string, nid uint64, depth int) error
	fill = func(p string, nid uint64, depth int) error {
		n := made[nid]
		if n != nil {
			if n.IsDir() {
				return r.corrupt("directory %d has two names", nid)
			}
			return t.Put(p, n)
		}
		if len(made) == maxFiles || depth > maxDepth {
			return r.corrupt("too many files, or too deep")
		}
		i, err := r.inode(nid)
		if err != nil {
			return err
		}
		if n, err = r.node(i); err != nil {
			return err
		}
		if p == "/" && !n.IsDir() {
			return r.corrupt("its root is not a directory")
		}
		made[nid] = n
		if err := t.Put(p, n); err != nil {
			return err
		}
		if !n.IsDir() {
			return nil
		}
		var names []string
		var nids []uint64
		err = r.entries(i, func(name string, nid uint64) bool {
			names, nids = append(names, name), append(nids, nid)
			return true
		})
		if err != nil {
			return err
		}
		for k, name := range names {
			if n.Child(name) != nil {
				return r.corrupt("directory %d has %q twice", nid, name)
			}
			if err := fill(path.Join(p, name), nids[k], depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return t, fill("/", r.root, 0)
}

// Lookup is the file that p leads to, symbolic links followed.
func (r *Reader) Lookup(p string) (*rootfs.Node, error) {
	i, err := r.walk(p)
	if err != nil {
		return nil, err
	}
	return r.node(i)
}

func (r *Reader) walk(p string) (*rinode, error) {
	root, err := r.inode(r.root)
	if err != nil {
		return nil, err
	}
	stack := []*rinode{root}
	rest, links := p, 0
	for {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			return stack[len(stack)-1], nil
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if name == "." {
			continue
		}
		if name == ".." {
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		dir := stack[len(stack)-1]
		if !dir.node.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		}
		var nid uint64
		found := false
		if err := r.entries(dir, func(n string, id uint64) bool {
			if n == name {
				nid, found = id, true
			}
			return !found
		}); err != nil {
			return nil, err
		}
		if !found {
			return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		}
		i, err := r.inode(nid)
		if err != nil {
			return nil, err
		}
		if !i.node.IsLink() {
			if len(stack) > maxDepth {
				return nil, r.corrupt("too deep")
			}
			stack = append(stack, i)
			continue
		}
		if links++; links > 40 {
			return nil, &fs.PathError{Op: "open", Path: p, Err: sysroot.ErrLoop}
		}
		target, err := r.data(i, BlockSize)
		if err != nil {
			return nil, err
		}
		rest = string(target) + "/" + rest
		if strings.HasPrefix(string(target), "/") {
			stack = stack[:1]
		}
	}
}

// ReadFile reads at most limit bytes of what p leads to.
func (r *Reader) ReadFile(p string, limit int64) ([]byte, error) {
	i, err := r.walk(p)
	if err != nil {
		return nil, err
	}
	if !i.node.IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: p, Err: errors.New("not a regular file")}
	}
	f, err := r.content(i).Open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// Names lists the entries of the directory that p leads to, sorted.
func (r *Reader) Names(p string) ([]string, error) {
	dir, err := r.walk(p)
	if err != nil {
		return nil, err
	}
	if !dir.node.IsDir() {
		return nil, &fs.PathError{Op: "list", Path: p, Err: fs.ErrInvalid}
	}
	var names []string
	err = r.entries(dir, func(name string, _ uint64) bool {
		if name != "." && name != ".." {
			names = append(names, name)
		}
		return true
	})
	slices.Sort(names)
	return names, err
}
