// Package image writes a rootfs.Tree as an EROFS file system image, and keeps
// images in a cache.
//
// EROFS (https://erofs.docs.kernel.org/en/latest/core_ondisk.html, the on-disk
// format) is a read-only file system whose uncompressed files lie in whole
// blocks, so that a kernel can read them straight into the pages it maps. The
// writer knows every size beforehand, plans the whole image and then writes
// it once, front to back, with memory for the metadata only:
//
//	block 0     super block, root directory
//	…           inodes of directories, links and devices, with short contents
//	…           contents of long directories
//	groups of   file contents in whole blocks, then the inodes of these
//	            files with the tails of the small ones
//
// The image is a function of the tree: equal trees give equal bytes.
package image

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// Numbers of the on-disk format, EROFS "Core on-disk format".
const (
	BlockSize   = 4096
	superOffset = 1024
	superSize   = 128
	superMagic  = 0xE0F5E1E2
	slot        = 32 // inode numbers count slots of this size

	compatChecksum = 1
	compatMtime    = 2

	layoutPlain  = 0
	layoutInline = 2

	compactSize  = 32
	extendedSize = 64
	direntSize   = 12
	noBlock      = 0xffffffff
)

// Policy.
const (
	// A file up to inlineFile bytes keeps a tail of up to inlineTail bytes
	// beside its inode; longer files, which programs map, are whole blocks.
	inlineFile = 64 << 10
	inlineTail = 3 << 10
	// groupTails bounds the tails held in memory while a group is written.
	groupTails = 4 << 20
)

// inode is one planned file.
type inode struct {
	node   *rootfs.Node
	path   string // for messages
	ino    uint32
	nlink  uint32
	size   uint64 // of the data, also of directories and links
	layout uint16
	wide   bool   // extended form
	xattr  []byte // in-body extended attributes, header included

	nid    uint64 // position / slot
	block  uint32 // first block of the data that is not inline
	blocks uint64 // whole blocks outside
	part   int    // which part has them, of an image in parts
	tail   []byte // inline data, once known
	tailN  int

	parent *inode
	ents   []entry // of a directory
}

type entry struct {
	name string
	to   *inode
	typ  uint8
}

func (i *inode) headSize() int {
	n := compactSize
	if i.wide {
		n = extendedSize
	}
	return n + len(i.xattr)
}

// group is a run of files: their data blocks, then their inodes.
type group struct {
	files []*inode
	meta  uint64 // byte position of the inodes
	end   uint64
}

// plan is the whole image before it is written.
type plan struct {
	when    int64 // build time: the time of compact inodes, nanoseconds
	root    *inode
	special []*inode // all that is not a regular file with data, root first
	dirs    []*inode // directories with blocks outside
	meta    uint64   // end of the special inodes, whole blocks
	groups  []group
	inodes  uint32
	end     uint64 // size of the image

	files []*inode // of an image in parts: all files with data, in order
	parts []part
	first uint64 // size of its first part
}

// makePlan assigns every file its place.
func makePlan(t *rootfs.Tree, when int64) (*plan, error) {
	p, files, err := survey(t, when)
	if err != nil {
		return nil, err
	}
	return p, p.assign(files)
}

// survey makes the inodes, and the list of those with data.
func survey(t *rootfs.Tree, when int64) (*plan, []*inode, error) {
	p := &plan{when: when}
	var files []*inode
	known := map[*rootfs.Node]*inode{}
	var visit func(path string, n *rootfs.Node, parent *inode) (*inode, error)
	visit = func(path string, n *rootfs.Node, parent *inode) (*inode, error) {
		if i := known[n]; i != nil {
			if n.IsDir() {
				return nil, fmt.Errorf("%s: a directory has two names", path)
			}
			i.nlink++
			return i, nil
		}
		if p.inodes == math.MaxUint32 {
			return nil, fmt.Errorf("too many files for one image")
		}
		p.inodes++
		i := &inode{node: n, path: path, ino: p.inodes, nlink: 1, parent: parent, block: noBlock}
		known[n] = i
		var err error
		if i.xattr, err = encodeXattrs(n.Xattrs); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch n.Mode & sysroot.TypeMask {
		case sysroot.TypeDir:
			p.special = append(p.special, i)
			i.nlink = 2
			if parent == nil {
				i.parent = i
			}
			if path == "/" {
				path = ""
			}
			i.ents = []entry{{".", i, fileType(n.Mode)}, {"..", i.parent, fileType(n.Mode)}}
			for _, name := range n.Names() {
				if len(name) > 255 || name == "" || name == "." || name == ".." {
					return nil, fmt.Errorf("%s: the name %q cannot be stored", path, name)
				}
				c, err := visit(path+"/"+name, n.Child(name), i)
				if err != nil {
					return nil, err
				}
				if c.node.IsDir() {
					i.nlink++
				}
				i.ents = append(i.ents, entry{name, c, fileType(c.node.Mode)})
			}
			slices.SortFunc(i.ents, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
			i.size = dirSize(i.ents)
		case sysroot.TypeLink:
			if len(n.Target) == 0 || len(n.Target) >= BlockSize {
				return nil, fmt.Errorf("%s: a link target of %d bytes cannot be stored", path, len(n.Target))
			}
			p.special = append(p.special, i)
			i.size = uint64(len(n.Target))
			i.tail = []byte(n.Target)
		case sysroot.TypeReg:
			if n.Size < 0 {
				return nil, fmt.Errorf("%s: negative size", path)
			}
			i.size = uint64(n.Size)
			files = append(files, i)
		case sysroot.TypeChr, sysroot.TypeBlk, sysroot.TypeFifo, sysroot.TypeSock:
			p.special = append(p.special, i)
		default:
			return nil, fmt.Errorf("%s: unknown file type %#o", path, n.Mode)
		}
		return i, nil
	}
	root, err := visit("/", t.Root, nil)
	if err != nil {
		return nil, nil, err
	}
	p.root = root
	return p, files, nil
}

// assignSpecial gives places to all but the files, and says where it ends.
func (p *plan) assignSpecial() uint64 {
	pos := uint64(superOffset + superSize)
	for _, i := range p.special {
		p.shape(i)
		pos = place(i, pos)
	}
	pos = roundUp(pos)
	p.meta = pos
	for _, i := range p.special {
		if i.blocks > 0 {
			i.block = uint32(pos / BlockSize)
			pos += i.blocks * BlockSize
			p.dirs = append(p.dirs, i)
		}
	}
	return pos
}

// assign gives places: it is the one description of the layout.
func (p *plan) assign(files []*inode) error {
	pos := p.assignSpecial()
	for len(files) > 0 {
		var g group
		tails := 0
		n := 0
		for n < len(files) && tails < groupTails && n < 1<<16 {
			i := files[n]
			n++
			p.shape(i)
			tails += i.tailN
			if i.blocks > 0 {
				i.block = uint32(pos / BlockSize)
				pos += i.blocks * BlockSize
			}
			if pos/BlockSize >= noBlock {
				return fmt.Errorf("the files are too large for one image (16 TiB)")
			}
		}
		g.files, files = files[:n], files[n:]
		g.meta = pos
		for _, i := range g.files {
			pos = place(i, pos)
		}
		pos = roundUp(pos)
		g.end = pos
		p.groups = append(p.groups, g)
	}
	p.end = pos
	if p.end/BlockSize >= noBlock {
		return fmt.Errorf("the files are too large for one image (16 TiB)")
	}
	return nil
}

// shape decides the form of an inode and where its data goes.
func (p *plan) shape(i *inode) {
	n := i.node
	i.wide = n.Mtime != p.when || i.size > math.MaxUint32 || i.nlink > math.MaxUint16 || n.UID > math.MaxUint16 || n.GID > math.MaxUint16
	whole, tail := i.size/BlockSize, int(i.size%BlockSize)
	room := BlockSize - i.headSize()
	switch {
	case n.IsLink():
		i.layout = layoutInline
		i.tailN = tail
		if tail > room {
			i.layout, i.blocks, i.tailN = layoutPlain, 1, 0
		}
	case n.IsDir():
		i.blocks, i.tailN, i.layout = whole, tail, layoutInline
		if tail > room || tail == 0 {
			i.blocks, i.tailN, i.layout = (i.size+BlockSize-1)/BlockSize, 0, layoutPlain
		}
	case !n.IsRegular():
	case tail > 0 && tail <= min(inlineTail, room) && i.size <= inlineFile:
		i.blocks, i.tailN, i.layout = whole, tail, layoutInline
	default:
		i.blocks = (i.size + BlockSize - 1) / BlockSize
	}
}

// place puts an inode at the next position where its inline data does not
// cross a block, and returns the position behind.
func place(i *inode, pos uint64) uint64 {
	pos = (pos + slot - 1) &^ (slot - 1)
	head, all := uint64(i.headSize()), uint64(i.headSize()+i.tailN)
	inBlock := pos % BlockSize
	// The format wants the inline data within one block; keeping the head
	// with it lets a reader take all in one piece. Attributes may be long.
	if inBlock+all > BlockSize && all <= BlockSize {
		pos = roundUp(pos)
	} else if i.tailN > 0 {
		if t := (pos + head) % BlockSize; t+uint64(i.tailN) > BlockSize || t == 0 {
			pos = roundUp(pos)
		}
	}
	i.nid = pos / slot
	return pos + all
}

func roundUp(n uint64) uint64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

// fileType is EROFS_FT_*, the same as ext4's.
func fileType(mode uint32) uint8 {
	switch mode & sysroot.TypeMask {
	case sysroot.TypeReg:
		return 1
	case sysroot.TypeDir:
		return 2
	case sysroot.TypeChr:
		return 3
	case sysroot.TypeBlk:
		return 4
	case sysroot.TypeFifo:
		return 5
	case sysroot.TypeSock:
		return 6
	case sysroot.TypeLink:
		return 7
	}
	return 0
}

// dirBlocks calls f for each block of a directory: the entries in it.
func dirBlocks(ents []entry, f func(block []entry, used int)) {
	first, used := 0, 0
	for i, e := range ents {
		n := direntSize + len(e.name)
		if used+n > BlockSize {
			f(ents[first:i], used)
			first, used = i, 0
		}
		used += n
	}
	f(ents[first:], used)
}

func dirSize(ents []entry) uint64 {
	var size uint64
	dirBlocks(ents, func(_ []entry, used int) {
		size = roundUp(size) + uint64(used)
	})
	return size
}

// dirData is a directory's content: blocks of sorted entries, each block with
// its entries first and then their names.
func dirData(ents []entry) []byte {
	le := binary.LittleEndian
	var out []byte
	dirBlocks(ents, func(block []entry, used int) {
		out = append(out, make([]byte, int(roundUp(uint64(len(out))))-len(out)+used)...)
		b := out[len(out)-used:]
		off := len(block) * direntSize
		for i, e := range block {
			d := b[i*direntSize:]
			le.PutUint64(d, e.to.nid)
			le.PutUint16(d[8:], uint16(off))
			d[10] = e.typ
			off += copy(b[off:], e.name)
		}
	})
	return out
}
