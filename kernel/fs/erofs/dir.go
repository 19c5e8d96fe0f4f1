package erofs

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// blocks lends buffers of the common block size.
var blocks = sync.Pool{New: func() any { return new([4096]byte) }}

// block reads the k-th block of a directory. put gives the buffer back.
func (n *node) block(k uint64, buf []byte) (dirBlock, error) {
	off := k << n.fs.blockBits
	b := buf[:min(uint64(len(buf)), n.size-off)]
	if err := n.read(b, off); err != nil {
		return dirBlock{}, err
	}
	return parseDirBlock(b)
}

// buffer lends memory for one block of this image.
func (fs *FS) buffer() (b []byte, put func()) {
	if fs.blockBits > 12 {
		return make([]byte, 1<<fs.blockBits), func() {}
	}
	p := blocks.Get().(*[4096]byte)
	return p[:1<<fs.blockBits], func() { blocks.Put(p) }
}

// Lookup implements vfs.InodeOps: a binary search for the block, then in it.
func (n *node) Lookup(_ vfs.Caller, _ *vfs.Inode, name string) (*vfs.Inode, error) {
	nid, err := n.find(name)
	if err != nil {
		return nil, err
	}
	return n.fs.inode(nid)
}

func (n *node) find(name string) (uint64, error) {
	if n.mode&unix.S_IFMT != unix.S_IFDIR {
		return 0, unix.ENOTDIR
	}
	if len(name) > maxName {
		return 0, unix.ENAMETOOLONG
	}
	buf, put := n.fs.buffer()
	defer put()
	lo, hi := uint64(0), (n.size+1<<n.fs.blockBits-1)>>n.fs.blockBits
	for lo < hi {
		mid := lo + (hi-lo)/2
		d, err := n.block(mid, buf)
		if err != nil {
			return 0, err
		}
		first, last := 0, d.n
		for first < last {
			m := first + (last-first)/2
			have, nid, _, err := d.entry(m)
			if err != nil {
				return 0, err
			}
			if string(have) == name {
				return nid, nil
			}
			if string(have) < name {
				first = m + 1
			} else {
				last = m
			}
		}
		switch first {
		case 0:
			hi = mid
		case d.n:
			lo = mid + 1
		default:
			return 0, unix.ENOENT
		}
	}
	return 0, unix.ENOENT
}

// dir is an open directory.
type dir struct {
	vfs.BaseOps
	n *node
}

func (dir) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) { return 0, unix.EISDIR }
func (dir) Seekable() bool                                             { return true }
func (dir) Sync(vfs.Caller, *vfs.File, bool) error                     { return nil }

// Seek takes any position; ReadDir makes sense of it.
func (dir) Seek(_ vfs.Caller, _ *vfs.File, off int64, whence int) (int64, error) {
	if whence != unix.SEEK_SET || off < 0 {
		return 0, unix.EINVAL
	}
	return off, nil
}

// ReadDir implements vfs.FileOps. A position is the place of an entry in the
// directory's data.
func (d dir) ReadDir(_ vfs.Caller, _ *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	n := d.n
	buf, put := n.fs.buffer()
	defer put()
	for *pos >= 0 && uint64(*pos) < n.size {
		k := uint64(*pos) >> n.fs.blockBits
		b, err := n.block(k, buf)
		if err != nil {
			return err
		}
		start := k << n.fs.blockBits
		for i := int((uint64(*pos) - start + direntSize - 1) / direntSize); i < b.n; i++ {
			name, nid, kind, err := b.entry(i)
			if err != nil {
				return err
			}
			next := int64(start) + int64(i+1)*direntSize
			if i+1 == b.n {
				next = int64(start + 1<<n.fs.blockBits)
			}
			if !emit(vfs.Dirent{Name: string(name), Ino: nid, Type: direntType(kind), Next: next}) {
				return nil
			}
			*pos = next
		}
		*pos = int64(start + 1<<n.fs.blockBits)
	}
	return nil
}

// direntType turns EROFS's file types (those of ext4) into DT_*.
func direntType(kind uint8) uint8 {
	switch kind {
	case 1:
		return unix.DT_REG
	case 2:
		return unix.DT_DIR
	case 3:
		return unix.DT_CHR
	case 4:
		return unix.DT_BLK
	case 5:
		return unix.DT_FIFO
	case 6:
		return unix.DT_SOCK
	case 7:
		return unix.DT_LNK
	}
	return unix.DT_UNKNOWN
}
