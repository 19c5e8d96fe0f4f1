// Package tmpfs is the file system in memory: tmpfs(5), the home of memfd and
// shared memory files, and the writable half of package overlay.
//
// Everything lives in nodes. A node may stand on a lower inode of another,
// read-only file system (lower.go): it shows that inode until it is changed,
// and shares its page cache until it is written. Plain tmpfs nodes stand on
// nothing.
//
// A regular file's data is a store-less mm.PageCache. Its pages are charged
// against the size= limit after each operation; pages that a mapping faulted
// in are found at the next one.
//
// Lock order: vfs.Superblock renames, directory DirMu (ancestor first), file
// DirMu, filesystem.mu, Inode attributes, page cache.
package tmpfs

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// direntSize is what a directory's size grows by for each entry, as Linux has it.
const direntSize = 20

// filesystem is one instance.
type filesystem struct {
	sb vfs.Superblock

	maxPages  atomic.Int64 // 0: no limit
	maxInodes atomic.Int64
	pages     atomic.Int64
	inodes    atomic.Int64
	nextIno   atomic.Uint64
	opts      atomic.Pointer[options]
	lower     *vfs.Superblock // of an overlay; nil otherwise

	// mu guards changed: the nodes that differ from the lower inode they
	// stand on, by its number. Who is in there stays in memory.
	mu      sync.Mutex
	changed map[uint64]*node
}

// options are the mount options.
type options struct {
	maxPages, maxInodes int64
	mode                uint32
	uid, gid            uint32
	set                 map[string]bool
}

// Register makes tmpfs (and ramfs, which is the same without limits) known to
// mount(2).
func Register() {
	vfs.RegisterFS(&vfs.FSType{Name: "tmpfs", NoDevice: true, Mount: mount})
	vfs.RegisterFS(&vfs.FSType{Name: "ramfs", NoDevice: true, Mount: mount})
}

func mount(c vfs.Caller, source string, flags uint32, data string) (*vfs.Superblock, error) {
	o, err := parseOptions(data)
	if err != nil {
		return nil, err
	}
	if !o.set["uid"] {
		o.uid = uint32(c.Cred().FSUID)
	}
	if !o.set["gid"] {
		o.gid = uint32(c.Cred().FSGID)
	}
	fs := newFilesystem(o)
	fs.sb.Source = source
	fs.sb.Root = fs.newNode(unix.S_IFDIR|o.mode, 0, o.uid, o.gid).inode
	return &fs.sb, nil
}

// New returns an instance; options are those of mount(2).
func New(data string) (*vfs.Superblock, error) {
	o, err := parseOptions(data)
	if err != nil {
		return nil, err
	}
	fs := newFilesystem(o)
	fs.sb.Root = fs.newNode(unix.S_IFDIR|o.mode, 0, o.uid, o.gid).inode
	return &fs.sb, nil
}

func newFilesystem(o *options) *filesystem {
	fs := &filesystem{}
	fs.sb = vfs.Superblock{
		Type: "tmpfs", Source: "tmpfs", Dev: vfs.AllocDev(), Magic: unix.TMPFS_MAGIC,
		Statfs: fs.statfs, Options: fs.options, Remount: fs.remount, Release: fs.release,
	}
	fs.apply(o)
	return fs
}

// apply sets the limits; what is not given is half of the memory, as in Linux.
func (fs *filesystem) apply(o *options) {
	total, _ := cpu.FrameStats()
	half := int64(total) / 2
	if !o.set["size"] {
		o.maxPages = half
	}
	if !o.set["nr_inodes"] {
		o.maxInodes = half
	}
	fs.maxPages.Store(o.maxPages)
	fs.maxInodes.Store(o.maxInodes)
	fs.opts.Store(o)
}

func parseOptions(data string) (*options, error) {
	o := &options{mode: 0o1777, set: map[string]bool{}}
	for data != "" {
		var opt string
		opt, data, _ = strings.Cut(data, ",")
		key, val, has := strings.Cut(opt, "=")
		var err error
		switch key {
		case "":
			continue
		case "size":
			o.maxPages, err = parseSize(val)
			o.maxPages = (o.maxPages + mm.PageSize - 1) / mm.PageSize
		case "nr_blocks":
			key = "size"
			o.maxPages, err = parseSize(val)
		case "nr_inodes":
			o.maxInodes, err = parseSize(val)
		case "mode":
			var m uint64
			m, err = strconv.ParseUint(val, 8, 32)
			o.mode = uint32(m) & 0o7777
		case "uid", "gid":
			var id uint64
			id, err = strconv.ParseUint(val, 10, 32)
			if key == "uid" {
				o.uid = uint32(id)
			} else {
				o.gid = uint32(id)
			}
		case "huge", "mpol":
		case "inode32", "inode64", "noswap":
			if has {
				err = unix.EINVAL
			}
		default:
			err = unix.EINVAL
		}
		if err != nil {
			return nil, unix.EINVAL
		}
		o.set[key] = true
	}
	return o, nil
}

// parseSize reads a number with a unit (k, m, g, t) or a percentage of memory.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, unix.EINVAL
	}
	shift := 0
	switch s[len(s)-1] {
	case 'k', 'K':
		shift = 10
	case 'm', 'M':
		shift = 20
	case 'g', 'G':
		shift = 30
	case 't', 'T':
		shift = 40
	case '%':
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
		total, _ := cpu.FrameStats()
		return int64(n) * int64(total) * mm.PageSize / 100, err
	}
	if shift != 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(s, 0, 62)
	if err != nil || n<<shift>>shift != n {
		return 0, unix.EINVAL
	}
	return int64(n << shift), nil
}

func (fs *filesystem) options() string {
	o := fs.opts.Load()
	var b []byte
	if o.set["size"] {
		b = append(b, ",size="...)
		b = strconv.AppendInt(b, o.maxPages*(mm.PageSize/1024), 10)
		b = append(b, 'k')
	}
	if o.set["nr_inodes"] {
		b = append(b, ",nr_inodes="...)
		b = strconv.AppendInt(b, o.maxInodes, 10)
	}
	if o.set["mode"] && o.mode != 0o1777 {
		b = append(b, ",mode="...)
		b = strconv.AppendInt(b, int64(o.mode), 8)
	}
	if o.set["uid"] && o.uid != 0 {
		b = append(b, ",uid="...)
		b = strconv.AppendInt(b, int64(o.uid), 10)
	}
	if o.set["gid"] && o.gid != 0 {
		b = append(b, ",gid="...)
		b = strconv.AppendInt(b, int64(o.gid), 10)
	}
	return string(b)
}

func (fs *filesystem) remount(c vfs.Caller, flags uint32, data string) error {
	n, err := parseOptions(data)
	if err != nil {
		return err
	}
	o := *fs.opts.Load()
	set := map[string]bool{}
	for k := range o.set {
		set[k] = true
	}
	if n.set["size"] {
		if n.maxPages != 0 && fs.pages.Load() > n.maxPages {
			return unix.EINVAL
		}
		o.maxPages, set["size"] = n.maxPages, true
	}
	if n.set["nr_inodes"] {
		if n.maxInodes != 0 && fs.inodes.Load() > n.maxInodes {
			return unix.EINVAL
		}
		o.maxInodes, set["nr_inodes"] = n.maxInodes, true
	}
	o.set = set
	fs.apply(&o)
	return nil
}

func (fs *filesystem) statfs(st *unix.Statfs_t) {
	if n := fs.maxPages.Load(); n != 0 {
		free := max(n-fs.pages.Load(), 0)
		st.Blocks, st.Bfree, st.Bavail = uint64(n), uint64(free), uint64(free)
	}
	if n := fs.maxInodes.Load(); n != 0 {
		st.Files, st.Ffree = uint64(n), uint64(max(n-fs.inodes.Load(), 0))
	}
	fs.lowerStatfs(st)
}

// release gives all pages back when the last mount is gone and nothing is open.
func (fs *filesystem) release() { fs.releaseTree(fs.sb.Root.Ops.(*node)) }

func (fs *filesystem) releaseTree(n *node) {
	for _, s := range n.dir.list {
		e := s.entry
		if e == nil || e.inode == nil {
			continue
		}
		child := e.inode.Ops.(*node)
		if child.inode.IsDir() {
			fs.releaseTree(child)
		} else if child.ownData() {
			child.data.Load().Release()
		}
	}
}

// pagesOf is the number of pages that n bytes from off on touch.
func pagesOf(off, n int64) int64 {
	return int64((uint64(off)+uint64(n)+mm.PageSize-1)>>mm.PageShift - uint64(off)>>mm.PageShift)
}

// room reports whether n more pages may be used.
func (fs *filesystem) room(n int64) bool {
	limit := fs.maxPages.Load()
	return limit == 0 || fs.pages.Load()+n <= limit
}
