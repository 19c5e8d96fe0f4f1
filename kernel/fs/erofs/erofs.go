// Package erofs is the read-only file system of root images: EROFS without
// compression. File data lies in whole blocks, so a page of a file is read
// from the block device straight into the frame that programs map; tails of
// small files, directories and inodes are read through a page cache of the
// device.
//
// An image is foreign data: whatever it says, the answer is an error (EUCLEAN
// for what contradicts itself, EOPNOTSUPP for what this reader lacks, EIO for
// what lies outside the device), never a panic and never a loop.
//
// Locks: FS.mu guards the table of inodes and is a leaf.
package erofs

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// Device is what an image lies on; *virtio.Block is one.
type Device interface {
	// ReadPages reads consecutive bytes from off, a multiple of 512, into
	// pages of the direct map. Bytes past the end of the device are zeroed.
	ReadPages(off uint64, pages [][]byte) error
	// Size is the device's size in bytes.
	Size() uint64
}

// MemoryDevice is a Device that lies in memory: its pages are mapped where
// they are. Frame is the page at off, a multiple of the page size.
type MemoryDevice interface {
	Device
	Frame(off uint64) (cpu.PhysAddr, bool)
}

// FS is one mounted image.
type FS struct {
	sb   *vfs.Superblock
	dev  Device
	mem  MemoryDevice  // dev, if it is one
	meta *mm.PageCache // of the device
	size uint64        // of the device
	super

	mu     sync.Mutex
	inodes map[uint64]*vfs.Inode // by nid: names of one file share it
}

// Mount reads the super block of the image on dev. source is the first column
// of /proc/mounts, devno its st_dev.
func Mount(dev Device, source string, devno uint64) (*vfs.Superblock, error) {
	fs := &FS{dev: dev, size: dev.Size(), inodes: make(map[uint64]*vfs.Inode)}
	fs.mem, _ = dev.(MemoryDevice)
	fs.meta = mm.NewPageCache(deviceStore{fs})
	head := make([]byte, min(fs.size, 4096))
	if err := fs.read(head, 0); err != nil {
		return nil, err
	}
	var err error
	fs.super, err = parseSuper(head, func(n int) ([]byte, error) {
		if uint64(n) > fs.size {
			return nil, Error("the image is too short")
		}
		b := make([]byte, n)
		return b, fs.read(b, 0)
	})
	if err != nil {
		return nil, err
	}
	if fs.blocks<<fs.blockBits > fs.size {
		return nil, Error("the image is cut short")
	}
	fs.sb = &vfs.Superblock{
		Type: "erofs", Source: source, Dev: devno, Magic: superMagic, Flags: unix.MS_RDONLY,
		Statfs: func(st *unix.Statfs_t) {
			st.Bsize, st.Frsize = 1<<fs.blockBits, 1<<fs.blockBits
			st.Blocks, st.Files = fs.blocks, fs.super.inodes
			st.Namelen = maxName
		},
		Release: fs.release,
	}
	root, err := fs.inode(fs.rootNid)
	if err != nil {
		return nil, Error("the root directory cannot be read")
	}
	if root.Attr().Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, Error("the root is not a directory")
	}
	fs.sb.Root = root
	return fs.sb, nil
}

// release gives all cached pages back: the last mount is gone.
func (fs *FS) release() {
	fs.mu.Lock()
	for _, i := range fs.inodes {
		if i.Cache != nil {
			i.Cache.Release()
		}
	}
	fs.mu.Unlock()
	fs.meta.Release()
}

// deviceStore makes the whole device a file of its page cache.
type deviceStore struct{ fs *FS }

func (d deviceStore) ReadPages(index uint64, pages [][]byte) error {
	return d.fs.dev.ReadPages(index<<mm.PageShift, pages)
}
func (d deviceStore) WritePages(uint64, [][]byte) error { return unix.EROFS }
func (d deviceStore) Size() uint64                      { return d.fs.size }

// read fills p from byte off of the image.
func (fs *FS) read(p []byte, off uint64) error {
	if off > fs.size || uint64(len(p)) > fs.size-off {
		return unix.EIO
	}
	b := mm.KernelBuffer(p)
	n, err := fs.meta.ReadAt(&b, off, fs.size)
	if err != nil {
		return err
	}
	if n < len(p) {
		return unix.EIO
	}
	return nil
}

// inode returns the inode with the number nid.
func (fs *FS) inode(nid uint64) (*vfs.Inode, error) {
	fs.mu.Lock()
	i := fs.inodes[nid]
	fs.mu.Unlock()
	if i != nil {
		return i, nil
	}
	if nid >= (fs.size>>slotShift) || fs.metaStart > fs.size {
		return nil, unix.EUCLEAN
	}
	pos := fs.metaStart + nid<<slotShift
	var b [64]byte
	if pos >= fs.size || fs.size-pos < 32 {
		return nil, unix.EUCLEAN
	}
	if err := fs.read(b[:min(64, fs.size-pos)], pos); err != nil {
		return nil, err
	}
	d, err := fs.parseInode(b[:])
	if err != nil {
		return nil, err
	}
	n := &node{fs: fs, disk: d, tail: pos + uint64(d.head) + uint64(d.xattrBytes), xattr: pos + uint64(d.head)}
	attr := vfs.Attr{
		Mode: d.mode, UID: d.uid, GID: d.gid, Nlink: d.nlink, Size: int64(d.size), BlockSize: 1 << fs.blockBits,
		Atime: unix.Timespec{Sec: d.sec, Nsec: int64(d.nsec)},
	}
	attr.Mtime, attr.Ctime = attr.Atime, attr.Atime
	switch d.mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
		block := uint64(1) << fs.blockBits
		attr.Blocks = int64((d.size + block - 1) &^ (block - 1) >> 9)
	case unix.S_IFCHR, unix.S_IFBLK:
		// The device number is packed as in stat's 32-bit form.
		attr.Rdev = unix.Mkdev(d.u>>8&0xfff, d.u&0xff|d.u>>12&0xfff00)
		attr.Size = 0
	default:
		attr.Size = 0
	}
	fresh := vfs.NewInode(fs.sb, nid, attr, n)
	if d.mode&unix.S_IFMT == unix.S_IFREG {
		if fs.mem != nil {
			fresh.Cache = mm.NewPageCache(memoryNode{n})
		} else {
			fresh.Cache = mm.NewPageCache(n)
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if i = fs.inodes[nid]; i != nil {
		return i, nil // somebody else was faster
	}
	fs.inodes[nid] = fresh
	return fresh, nil
}
