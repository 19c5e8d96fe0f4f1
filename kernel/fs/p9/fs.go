// Package p9 is the client of the 9P2000.L protocol as a file system: a
// directory of the host, shared over a transport (virtio.Share).
//
// Calls come from vfs (InodeOps, FileOps) and from the page cache (Store),
// become messages in client.go and leave through Transport. Data moves
// between the device and page frames without a copy.
//
// The host may change the tree at any time. Attributes are believed for
// attrTime; opening a file asks the host in any case, so that what was
// written before an open is seen after it. Names that do not exist are
// remembered as long as their directory does not change.
//
// An inode is found by its qid path, which is its number too: hard links
// share one inode, and ld.so, which knows libraries by device and inode
// number, is not misled. The table of inodes holds weak pointers; a fid lives
// as long as its inode and is clunked when the collector has freed that, so
// whoever uses a fid or a page cache keeps the inode alive until he is done.
// One goroutine per file system does the clunking.
//
// Locks: FS.mu (table of inodes), node.mu, handle.mu and the client's are
// leaves; none is held while a request is under way, except handle.mu while
// the file is being opened. The caller's DirMu is above them all.
package p9

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// magic is V9FS_MAGIC, f_type in statfs(2).
const magic = 0x01021997

// attrTime is how long attributes are believed, in nanoseconds.
const attrTime = 1e9

// FS is one mounted share.
type FS struct {
	c        *client
	sb       *vfs.Superblock
	readOnly bool

	mu     sync.Mutex
	inodes map[uint64]weak.Pointer[vfs.Inode]
}

// Mount attaches to the share behind t. source is the first column of
// /proc/mounts.
func Mount(t Transport, source string, readOnly bool) (*vfs.Superblock, error) {
	fs := &FS{c: newClient(t), readOnly: readOnly, inodes: make(map[uint64]weak.Pointer[vfs.Inode])}
	root, q, err := fs.c.start("")
	if err != nil {
		return nil, err
	}
	fs.sb = &vfs.Superblock{
		Type: "9p", Source: source, Dev: vfs.AllocDev(), Magic: magic,
		Statfs:  func(s *unix.Statfs_t) { fs.statfs(root, s) },
		Release: fs.c.close,
	}
	if readOnly {
		fs.sb.Flags |= unix.MS_RDONLY
	}
	a, err := fs.c.getattr(root)
	if err != nil {
		return nil, err
	}
	if a.mode&unix.S_IFMT != unix.S_IFDIR || a.qid.path != q.path {
		return nil, unix.ENOTDIR
	}
	fs.sb.Root = fs.inode(root, &a)
	return fs.sb, nil
}

func (fs *FS) statfs(root uint32, s *unix.Statfs_t) {
	s.Type = magic
	k, err := fs.c.get(tstatfs)
	if err != nil {
		return
	}
	defer fs.c.put(k)
	k.u32(root)
	if fs.c.do(k, nil, nil) != nil {
		return
	}
	k.r32()
	bsize := k.r32()
	blocks, bfree, bavail := k.r64(), k.r64(), k.r64()
	files, ffree := k.r64(), k.r64()
	k.r64()
	if namelen := k.r32(); !k.bad {
		s.Bsize, s.Frsize = int64(bsize), int64(bsize)
		s.Blocks, s.Bfree, s.Bavail = blocks, bfree, bavail
		s.Files, s.Ffree = files, ffree
		s.Namelen = int64(min(namelen, unix.NAME_MAX))
	}
}

// inode returns the inode of the file that fid f and its attributes describe.
// It takes over the fid.
func (fs *FS) inode(f uint32, a *attributes) *vfs.Inode {
	if i := fs.known(a.qid.path); i != nil {
		fs.c.clunk(f)
		i.Ops.(*node).adopt(i, a)
		return i
	}
	h := &handle{fs: fs, fid: f, reader: noFid, writer: noFid}
	h.size.Store(a.size)
	n := &node{fs: fs, h: h}
	i := vfs.NewInode(fs.sb, a.qid.path, attr(a), n)
	n.note(a)
	if a.mode&unix.S_IFMT == unix.S_IFREG {
		i.Cache = mm.NewPageCache(h)
	}
	fs.mu.Lock()
	if other := fs.inodes[a.qid.path].Value(); other != nil {
		fs.mu.Unlock()
		fs.c.clunk(f)
		return other // somebody was faster
	}
	fs.inodes[a.qid.path] = weak.Make(i)
	fs.mu.Unlock()
	runtime.AddCleanup(i, forget, &remains{h: h, cache: i.Cache, path: a.qid.path})
	return i
}

// known returns the inode with a qid path if there is one.
func (fs *FS) known(path uint64) *vfs.Inode {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.inodes[path].Value()
}

// remains is what an inode leaves behind when the collector has freed it.
type remains struct {
	h     *handle
	cache *mm.PageCache
	path  uint64
}

func forget(r *remains) {
	fs := r.h.fs
	fs.mu.Lock()
	if fs.inodes[r.path].Value() == nil {
		delete(fs.inodes, r.path)
	}
	fs.mu.Unlock()
	if r.cache != nil {
		r.cache.Release()
	}
	r.h.close()
}

func attr(a *attributes) vfs.Attr {
	return vfs.Attr{
		Mode: a.mode, UID: a.uid, GID: a.gid, Nlink: uint32(a.nlink), Rdev: a.rdev,
		Size: int64(a.size & (1<<63 - 1)), Blocks: int64(a.blocks & (1<<63 - 1)), BlockSize: uint32(a.blksize),
		Atime: a.atime, Mtime: a.mtime, Ctime: a.ctime,
	}
}

// handle is the host's side of an inode: its fids and its size. It does not
// refer to the inode, whose end it must not prevent.
type handle struct {
	fs   *FS
	size atomic.Uint64

	mu     sync.Mutex // held while a fid is being opened
	fid    uint32     // for walking and asking
	opened bool       // fid was opened itself: reader is the same
	reader uint32
	writer uint32
}

// walkable is the fid to ask for attributes.
func (h *handle) walkable() uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fid
}

// forReading returns a fid that is open for reading; fresh is the qid the
// host gave if it was opened just now. On a read-only share nothing needs an
// unopened fid of a regular file for long, so the one there is gets opened.
func (h *handle) forReading() (f uint32, q qid, fresh bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader != noFid {
		return h.reader, q, false, nil
	}
	c := h.fs.c
	f = h.fid
	if !h.fs.readOnly {
		if f, _, err = c.walk(h.fid, ""); err != nil {
			return noFid, q, false, err
		}
	}
	if q, err = c.open(f, unix.O_RDONLY|unix.O_NOFOLLOW); err != nil {
		if f != h.fid {
			c.clunk(f)
		}
		return noFid, q, false, err
	}
	h.reader, h.opened = f, f == h.fid
	return f, q, true, nil
}

// forWriting returns a fid that is open for reading and writing.
func (h *handle) forWriting() (uint32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writer != noFid {
		return h.writer, nil
	}
	c := h.fs.c
	f, _, err := c.walk(h.fid, "")
	if err != nil {
		return noFid, err
	}
	if _, err = c.open(f, unix.O_RDWR|unix.O_NOFOLLOW); err == error(unix.EACCES) {
		_, err = c.open(f, unix.O_WRONLY|unix.O_NOFOLLOW)
	}
	if err != nil {
		c.clunk(f)
		return noFid, err
	}
	h.writer = f
	return f, nil
}

// replace gives the handle a new unopened fid.
func (h *handle) replace(f uint32) {
	h.mu.Lock()
	old := h.fid
	if h.opened {
		old = noFid // lives on as reader
	}
	h.fid, h.opened = f, false
	h.mu.Unlock()
	h.fs.c.clunk(old)
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.fs.c
	if h.reader != h.fid {
		c.clunk(h.reader)
	}
	c.clunk(h.writer)
	c.clunk(h.fid)
	h.fid, h.reader, h.writer = noFid, noFid, noFid
}

// ReadPages implements mm.Store.
func (h *handle) ReadPages(index uint64, pages [][]byte) error {
	f, _, _, err := h.forReading()
	if err != nil {
		return err
	}
	off := index * mm.PageSize
	for len(pages) > 0 {
		batch := pages[:min(len(pages), h.fs.c.pages)]
		done, want := 0, len(batch)*mm.PageSize
		for done < want {
			rest := batch[done/mm.PageSize:]
			if r := done % mm.PageSize; r != 0 {
				rest = append([][]byte{rest[0][r:]}, rest[1:]...)
			}
			n, err := h.fs.c.read(f, tread, off+uint64(done), rest)
			if err != nil {
				return err
			}
			done += n
			if n == 0 || off+uint64(done) >= h.size.Load() {
				break
			}
		}
		for i := done / mm.PageSize; i < len(batch); i++ {
			clear(batch[i][max(done-i*mm.PageSize, 0):])
		}
		off += uint64(want)
		pages = pages[len(batch):]
	}
	return nil
}

// WritePages implements mm.Store.
func (h *handle) WritePages(index uint64, pages [][]byte) error {
	f, err := h.forWriting()
	if err != nil {
		return err
	}
	off, size := index*mm.PageSize, h.size.Load()
	for len(pages) > 0 && off < size {
		batch := append([][]byte(nil), pages[:min(len(pages), h.fs.c.pages)]...)
		want := min(uint64(len(batch))*mm.PageSize, size-off)
		pages = pages[len(batch):]
		for left := want; left > 0; {
			// Cut the batch to what is left of the file.
			cut, room := 0, left
			for ; cut < len(batch) && room > 0; cut++ {
				if uint64(len(batch[cut])) > room {
					batch[cut] = batch[cut][:room]
				}
				room -= uint64(len(batch[cut]))
			}
			n, err := h.fs.c.write(f, off, batch[:cut])
			if err != nil {
				return err
			}
			if n == 0 {
				return unix.EIO
			}
			off += uint64(n)
			left -= uint64(n)
			for n > 0 && n >= len(batch[0]) {
				n -= len(batch[0])
				batch = batch[1:]
			}
			if n > 0 {
				batch[0] = batch[0][n:]
			}
		}
	}
	return nil
}

// Size implements mm.Store.
func (h *handle) Size() uint64 { return h.size.Load() }
