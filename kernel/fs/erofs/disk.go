package erofs

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The on-disk format, https://erofs.docs.kernel.org/en/latest/core_ondisk.html
// and include/linux's fs/erofs/erofs_fs.h. All numbers are little-endian.
const (
	superMagic  = 0xE0F5E1E2
	superOffset = 1024
	superSize   = 128

	compatChecksum = 1

	incompatZeroPadding   = 0x01 // of compressed data
	incompatCompression   = 0x02
	incompatChunked       = 0x04
	incompatDevices       = 0x08
	incompatTailPacking   = 0x10 // of compressed data
	incompatFragments     = 0x20 // of compressed data
	incompatXattrPrefixes = 0x40
	// Images with compressed files are mounted; only these files cannot be
	// read (layoutCompressed*).
	incompatKnown = incompatZeroPadding | incompatCompression | incompatChunked | incompatDevices |
		incompatTailPacking | incompatFragments | incompatXattrPrefixes

	slotShift  = 5 // inode numbers count slots of 32 bytes
	direntSize = 12

	layoutPlain          = 0 // whole blocks
	layoutCompressedFull = 1
	layoutInline         = 2 // the last, partial block lies behind the inode
	layoutCompressed     = 3
	layoutChunked        = 4

	chunkBitsMask = 0x1f
	chunkIndexed  = 0x20
	noBlock       = 0xffffffff

	maxName    = 255
	maxSymlink = 4096 // PATH_MAX, with the final NUL that is not stored
)

// Error says why an image cannot be mounted.
type Error string

func (e Error) Error() string { return "erofs: " + string(e) }

// super is what is needed of the super block.
type super struct {
	blockBits  uint8
	rootNid    uint64
	inodes     uint64
	blocks     uint64
	buildSec   int64
	buildNsec  uint32
	metaStart  uint64 // bytes
	xattrStart uint64 // bytes
}

// parseSuper reads the super block from the image's first 4096 bytes, which
// are padded with zeros if the image is shorter; long reads the rest of a
// longer first block for the checksum.
func parseSuper(head []byte, long func(n int) ([]byte, error)) (s super, err error) {
	le := binary.LittleEndian
	if len(head) < superOffset+superSize {
		return s, Error("the image is too short")
	}
	b := head[superOffset:]
	if le.Uint32(b) != superMagic {
		return s, Error("no EROFS super block")
	}
	s.blockBits = b[12]
	if s.blockBits < 9 || s.blockBits > 16 {
		return s, Error("impossible block size")
	}
	if f := le.Uint32(b[80:]); f&^incompatKnown != 0 {
		return s, Error("the image needs features that this kernel lacks")
	}
	if b[90] != 0 {
		return s, Error("directory blocks of another size")
	}
	if le.Uint32(b[8:])&compatChecksum != 0 {
		n := 1 << s.blockBits
		if n > superOffset {
			n -= superOffset
		}
		sum := b
		if n+superOffset > len(head) {
			if sum, err = long(superOffset + n); err != nil {
				return s, err
			}
			sum = sum[superOffset:]
		}
		// The checksum's own place counts as zeros.
		var zero [4]byte
		c := crc32c(^uint32(0), sum[:4])
		if c = crc32c(crc32c(c, zero[:]), sum[8:n]); c != le.Uint32(b[4:]) {
			return s, Error("super block checksum mismatch (the image is damaged or cut short)")
		}
	}
	s.rootNid = uint64(le.Uint16(b[14:]))
	s.inodes = le.Uint64(b[16:])
	s.buildSec = int64(le.Uint64(b[24:]))
	s.buildNsec = le.Uint32(b[32:])
	s.blocks = uint64(le.Uint32(b[36:]))
	s.metaStart = uint64(le.Uint32(b[40:])) << s.blockBits
	s.xattrStart = uint64(le.Uint32(b[44:])) << s.blockBits
	return s, nil
}

// disk is one inode as it stands in the image.
type disk struct {
	layout     uint8
	mode       uint32
	uid, gid   uint32
	nlink      uint32
	size       uint64
	u          uint32 // first block, device number or chunk format
	sec        int64
	nsec       uint32
	head       uint32 // bytes of the inode itself
	xattrBytes uint32 // bytes of attributes behind it
}

// parseInode decodes an inode; b has at least 64 bytes.
func (s *super) parseInode(b []byte) (d disk, err error) {
	le := binary.LittleEndian
	format := le.Uint16(b)
	if format&^0xf != 0 {
		return d, unix.EOPNOTSUPP
	}
	d.layout = uint8(format >> 1 & 7)
	if d.layout > layoutChunked {
		return d, unix.EOPNOTSUPP
	}
	if n := uint32(le.Uint16(b[2:])); n > 0 {
		d.xattrBytes = 12 + 4*(n-1)
	}
	d.mode = uint32(le.Uint16(b[4:]))
	d.u = le.Uint32(b[16:])
	if format&1 == 0 {
		d.head = 32
		d.nlink = uint32(le.Uint16(b[6:]))
		d.size = uint64(le.Uint32(b[8:]))
		d.uid, d.gid = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
		d.sec, d.nsec = s.buildSec, s.buildNsec
	} else {
		d.head = 64
		d.size = le.Uint64(b[8:])
		d.uid, d.gid = le.Uint32(b[24:]), le.Uint32(b[28:])
		d.sec, d.nsec = int64(le.Uint64(b[32:])), le.Uint32(b[40:])
		d.nlink = le.Uint32(b[44:])
	}
	if d.size > 1<<62 || d.nsec >= 1e9 {
		return d, unix.EUCLEAN
	}
	switch d.mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
	case unix.S_IFDIR:
		if d.size > 1<<40 || d.layout == layoutChunked {
			return d, unix.EUCLEAN
		}
	case unix.S_IFLNK:
		if d.size == 0 || d.size >= maxSymlink || d.layout == layoutChunked {
			return d, unix.EUCLEAN
		}
	default:
		return d, unix.EUCLEAN
	}
	return d, nil
}

// dirBlock is one block of a directory: entries sorted by name, then names.
type dirBlock struct {
	b []byte
	n int // entries
}

// parseDirBlock checks what is needed to index the entries.
func parseDirBlock(b []byte) (dirBlock, error) {
	if len(b) < direntSize {
		return dirBlock{}, unix.EUCLEAN
	}
	off := int(binary.LittleEndian.Uint16(b[8:]))
	if off < direntSize || off >= len(b) || off%direntSize != 0 {
		return dirBlock{}, unix.EUCLEAN
	}
	return dirBlock{b, off / direntSize}, nil
}

// entry is the i-th entry.
func (d dirBlock) entry(i int) (name []byte, nid uint64, kind uint8, err error) {
	le := binary.LittleEndian
	e := d.b[i*direntSize:]
	from, to := int(le.Uint16(e[8:])), len(d.b)
	if i+1 < d.n {
		to = int(le.Uint16(e[direntSize+8:]))
	}
	if from < d.n*direntSize || from >= to || to > len(d.b) {
		return nil, 0, 0, unix.EUCLEAN
	}
	name = d.b[from:to]
	if i+1 == d.n {
		// The last name ends at a NUL or with the block.
		for k, c := range name {
			if c == 0 {
				name = name[:k]
				break
			}
		}
	}
	if len(name) == 0 || len(name) > maxName {
		return nil, 0, 0, unix.EUCLEAN
	}
	for _, c := range name {
		if c == 0 || c == '/' {
			return nil, 0, 0, unix.EUCLEAN
		}
	}
	return name, le.Uint64(e), e[10], nil
}
