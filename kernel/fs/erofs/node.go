package erofs

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// node is the behaviour of an inode, and the store of its pages. It never
// changes.
type node struct {
	vfs.BaseInode
	fs *FS
	disk
	xattr uint64 // where the attributes lie
	tail  uint64 // where inline data or the chunk table begins
}

// Readlink implements vfs.InodeOps.
func (n *node) Readlink(vfs.Caller, *vfs.Inode) (string, error) {
	if n.mode&unix.S_IFMT != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	b := make([]byte, n.size)
	if err := n.read(b, 0); err != nil {
		return "", err
	}
	for _, c := range b {
		if c == 0 {
			return "", unix.EUCLEAN
		}
	}
	return string(b), nil
}

// Open implements vfs.InodeOps.
func (n *node) Open(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	switch n.mode & unix.S_IFMT {
	case unix.S_IFREG:
		if n.layout == layoutCompressed || n.layout == layoutCompressedFull {
			return nil, unix.EOPNOTSUPP
		}
		return file{n: n, cache: f.Inode.Cache}, nil
	case unix.S_IFDIR:
		return dir{n: n}, nil
	case unix.S_IFLNK:
		return nil, unix.ELOOP
	}
	return vfs.OpenSpecial(c, f)
}

// Everything that would change the image is refused.

// Create implements vfs.InodeOps.
func (n *node) Create(vfs.Caller, *vfs.Inode, string, uint32, uint32, uint32) (*vfs.Inode, error) {
	return nil, unix.EROFS
}

// Mknod implements vfs.InodeOps.
func (n *node) Mknod(vfs.Caller, *vfs.Inode, string, uint32, uint64, uint32, uint32) (*vfs.Inode, error) {
	return nil, unix.EROFS
}

// Mkdir implements vfs.InodeOps.
func (n *node) Mkdir(vfs.Caller, *vfs.Inode, string, uint32, uint32, uint32) (*vfs.Inode, error) {
	return nil, unix.EROFS
}

// Symlink implements vfs.InodeOps.
func (n *node) Symlink(vfs.Caller, *vfs.Inode, string, string, uint32, uint32) (*vfs.Inode, error) {
	return nil, unix.EROFS
}

// Link implements vfs.InodeOps.
func (n *node) Link(vfs.Caller, *vfs.Inode, string, *vfs.Inode) error { return unix.EROFS }

// Unlink implements vfs.InodeOps.
func (n *node) Unlink(vfs.Caller, *vfs.Inode, string, *vfs.Inode) error { return unix.EROFS }

// Rmdir implements vfs.InodeOps.
func (n *node) Rmdir(vfs.Caller, *vfs.Inode, string, *vfs.Inode) error { return unix.EROFS }

// Rename implements vfs.InodeOps.
func (n *node) Rename(vfs.Caller, *vfs.Inode, string, *vfs.Inode, *vfs.Inode, string, *vfs.Inode, uint32) error {
	return unix.EROFS
}

// Setattr implements vfs.InodeOps.
func (n *node) Setattr(vfs.Caller, *vfs.Inode, *vfs.SetAttr) error { return unix.EROFS }

// Setxattr implements vfs.InodeOps.
func (n *node) Setxattr(vfs.Caller, *vfs.Inode, string, []byte, int) error { return unix.EROFS }

// Removexattr implements vfs.InodeOps.
func (n *node) Removexattr(vfs.Caller, *vfs.Inode, string) error { return unix.EROFS }

// extent is where a piece of a file lies: length bytes at pos of the image,
// or a hole.
type extent struct {
	pos    uint64
	length uint64
	hole   bool
}

// extent finds the piece that begins at byte off of the file, off < size.
func (n *node) extent(off uint64) (extent, error) {
	bits := n.fs.blockBits
	switch n.layout {
	case layoutPlain:
		return n.located(uint64(n.u)<<bits+off, n.size-off)
	case layoutInline:
		whole := n.size >> bits << bits
		if off < whole {
			return n.located(uint64(n.u)<<bits+off, whole-off)
		}
		if n.tail&(1<<bits-1)+(n.size-whole) > 1<<bits {
			return extent{}, unix.EUCLEAN // inline data never crosses a block
		}
		return n.located(n.tail+(off-whole), n.size-off)
	case layoutChunked:
		return n.chunk(off)
	}
	return extent{}, unix.EOPNOTSUPP
}

// located checks that a piece lies within the image.
func (n *node) located(pos, length uint64) (extent, error) {
	if pos > n.fs.size || length > n.fs.size-pos {
		return extent{}, unix.EIO
	}
	return extent{pos: pos, length: length}, nil
}

// chunk finds a piece through the table of chunks behind the inode, joining
// chunks that follow one another.
func (n *node) chunk(off uint64) (extent, error) {
	bits := n.fs.blockBits
	format := n.u
	shift := uint64(bits) + uint64(format&chunkBitsMask)
	if format&^(chunkBitsMask|chunkIndexed) != 0 || shift > 62 {
		return extent{}, unix.EUCLEAN
	}
	unit := uint64(4)
	if format&chunkIndexed != 0 {
		unit = 8
	}
	table := (n.tail + unit - 1) &^ (unit - 1)
	last := (n.size - 1) >> shift
	var e extent
	var b [16 * 8]byte
	have := 0 // entries in b, from idx on
	at := 0
	for idx := off >> shift; idx <= last; idx++ {
		if at == have {
			have, at = int(min(16, last-idx+1)), 0
			if last > n.fs.size/unit || n.fs.read(b[:uint64(have)*unit], table+idx*unit) != nil {
				return extent{}, unix.EUCLEAN
			}
		}
		block, device := uint32(0), uint16(0)
		if unit == 4 {
			block = binary.LittleEndian.Uint32(b[at*4:])
		} else {
			device = binary.LittleEndian.Uint16(b[at*8+2:])
			block = binary.LittleEndian.Uint32(b[at*8+4:])
		}
		at++
		begin := idx << shift
		end := min(begin+1<<shift, n.size)
		hole := block == noBlock
		if device != 0 && !hole {
			return extent{}, unix.EOPNOTSUPP // data on a device of its own
		}
		pos := uint64(block) << bits
		if e.length == 0 {
			if !hole {
				pos += off - begin
			}
			e = extent{pos, end - off, hole}
			continue
		}
		if hole != e.hole || !hole && pos != e.pos+e.length || e.length >= 64*mm.PageSize {
			break
		}
		e.length += end - begin
	}
	if e.hole {
		return e, nil
	}
	return n.located(e.pos, e.length)
}

// read fills p from byte off of the file through the cache of the device: for
// directories, links and small pieces.
func (n *node) read(p []byte, off uint64) error {
	if off > n.size || uint64(len(p)) > n.size-off {
		return unix.EUCLEAN
	}
	for len(p) > 0 {
		e, err := n.extent(off)
		if err != nil {
			return err
		}
		k := min(e.length, uint64(len(p)))
		if e.hole {
			clear(p[:k])
		} else if err := n.fs.read(p[:k], e.pos); err != nil {
			return err
		}
		p, off = p[k:], off+k
	}
	return nil
}

// ReadPages implements mm.Store: one request to the device for each run of
// whole pages that lies together.
func (n *node) ReadPages(index uint64, pages [][]byte) error {
	off := index << mm.PageShift
	for len(pages) > 0 {
		if off >= n.size {
			clear(pages[0])
			pages, off = pages[1:], off+mm.PageSize
			continue
		}
		e, err := n.extent(off)
		if err != nil {
			return err
		}
		// Whole pages of the piece, and the page that the file ends in
		// unless that is inline: inodes are in the device's cache already.
		run := min(e.length>>mm.PageShift, uint64(len(pages)))
		if run < uint64(len(pages)) && off+e.length == n.size && e.length&(mm.PageSize-1) != 0 && n.layout != layoutInline {
			run++
		}
		if run == 0 || e.hole || e.pos%512 != 0 {
			if err := n.readPage(pages[0], off); err != nil {
				return err
			}
			pages, off = pages[1:], off+mm.PageSize
			continue
		}
		if err := n.fs.dev.ReadPages(e.pos, pages[:run]); err != nil {
			return err
		}
		off += run << mm.PageShift
		if off > n.size {
			clear(pages[run-1][mm.PageSize-(off-n.size):])
		}
		pages = pages[run:]
	}
	return nil
}

// readPage fills one page piece by piece.
func (n *node) readPage(p []byte, off uint64) error {
	k := min(uint64(len(p)), n.size-off)
	clear(p[k:])
	return n.read(p[:k], off)
}

// WritePages implements mm.Store.
func (n *node) WritePages(uint64, [][]byte) error { return unix.EROFS }

// Size implements mm.Store.
func (n *node) Size() uint64 { return n.size }

// memoryNode is a node of an image in memory.
type memoryNode struct{ *node }

// Frame implements mm.FrameStore: pages wholly of the file are mapped where
// they lie.
func (m memoryNode) Frame(index uint64) (cpu.PhysAddr, bool) {
	if m.layout != layoutPlain && m.layout != layoutInline || index >= m.size>>mm.PageShift {
		return 0, false
	}
	off := index << mm.PageShift
	e, err := m.extent(off)
	if err != nil || e.length < mm.PageSize || e.pos%mm.PageSize != 0 {
		return 0, false
	}
	return m.fs.mem.Frame(e.pos)
}

// file is an open regular file.
type file struct {
	vfs.BaseOps
	n     *node
	cache *mm.PageCache
}

func (f file) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, error) {
	return f.cache.ReadAt(b, uint64(off), f.n.size)
}

func (f file) Write(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, int64, error) {
	return 0, 0, unix.EROFS
}
func (f file) Seekable() bool { return true }

func (f file) Seek(_ vfs.Caller, _ *vfs.File, off int64, whence int) (int64, error) {
	switch whence {
	case unix.SEEK_DATA:
		return f.n.data(off)
	case unix.SEEK_HOLE:
		return f.n.hole(off)
	}
	return 0, unix.EINVAL
}

func (f file) Mmap(*vfs.File) (*mm.PageCache, error)                      { return f.cache, nil }
func (f file) Sync(vfs.Caller, *vfs.File, bool) error                     { return nil }
func (f file) Allocate(vfs.Caller, *vfs.File, uint32, int64, int64) error { return unix.EROFS }

// data and hole serve SEEK_DATA and SEEK_HOLE.
func (n *node) data(off int64) (int64, error) {
	if off < 0 || uint64(off) >= n.size {
		return 0, unix.ENXIO
	}
	for o := uint64(off); o < n.size; {
		e, err := n.extent(o)
		if err != nil {
			return 0, err
		}
		if !e.hole {
			return int64(o), nil
		}
		o += e.length
	}
	return 0, unix.ENXIO
}

func (n *node) hole(off int64) (int64, error) {
	if off < 0 || uint64(off) >= n.size {
		return 0, unix.ENXIO
	}
	o := uint64(off)
	for o < n.size {
		e, err := n.extent(o)
		if err != nil {
			return 0, err
		}
		if e.hole {
			break
		}
		o += e.length
	}
	return int64(min(o, n.size)), nil
}
