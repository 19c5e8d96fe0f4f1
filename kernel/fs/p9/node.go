package p9

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/vfs"
)

// node is the behaviour of an inode.
type node struct {
	fs *FS
	h  *handle

	checked atomic.Int64 // when the attributes came from the host

	mu       sync.Mutex
	version  uint32              // of the qid, as of checked
	mtime    unix.Timespec       // likewise
	ours     bool                // we changed the file since: a new mtime is no news
	negative map[string]struct{} // names that do not exist, until mtime changes
	list     []entry             // the directory's entries, until mtime changes
	listed   bool
	cursor   int                   // behind the entry that was looked up last
	run      int                   // how many in a row were
	ahead    map[string]*vfs.Inode // what was looked up before it was asked for
	target   string                // of a symbolic link
}

const (
	maxNegative = 1024 // names remembered not to exist, for each directory
	maxListed   = 4096 // entries of a directory that are kept
)

// note records what the attributes say about the contents; it reports whether
// the contents have changed since the last time.
func (n *node) note(a *attributes) bool {
	n.mu.Lock()
	changed := n.mtime != a.mtime || n.version != a.qid.version || n.h.size.Load() != a.size
	news := changed && !n.ours
	n.ours = false
	n.mtime, n.version = a.mtime, a.qid.version
	if changed {
		n.forget()
	}
	n.mu.Unlock()
	n.checked.Store(clock.Now())
	return news
}

// forget drops what is known of the contents. mu is held.
func (n *node) forget() {
	n.negative, n.ahead, n.target = nil, nil, ""
	n.list, n.listed, n.cursor, n.run = nil, false, 0, 0
}

// adopt makes i what the host now says it is.
func (n *node) adopt(i *vfs.Inode, a *attributes) {
	news := n.note(a)
	n.h.size.Store(a.size)
	i.Update(func(to *vfs.Attr) { *to = attr(a) })
	if news && i.Cache != nil {
		if !n.fs.readOnly {
			_ = i.Cache.Sync(0, 0) // both sides wrote: ours through mappings wins, as on NFS
		}
		i.Cache.Truncate(0) // what the host changed is read again
	}
}

// old reports whether the attributes have to be asked for.
func (n *node) old() bool { return clock.Now()-n.checked.Load() > attrTime }

// refresh asks the host for the attributes.
func (n *node) refresh(i *vfs.Inode) error {
	a, err := n.fs.c.getattr(n.h.walkable())
	if err != nil {
		return err
	}
	if a.qid.path != i.Ino || a.mode&unix.S_IFMT != i.Type() {
		// The server's fid is a path, and another file is there now. This one
		// keeps what is known of it; look-ups find the other.
		n.checked.Store(clock.Now())
		return unix.ESTALE
	}
	n.adopt(i, &a)
	return nil
}

// Getattr implements vfs.InodeOps.
func (n *node) Getattr(_ vfs.Caller, i *vfs.Inode) error {
	if !n.old() {
		return nil
	}
	if err := n.refresh(i); err != nil && err != error(unix.ESTALE) && err != error(unix.ENOENT) {
		return err
	}
	return nil
}

// Revalidate implements vfs.Revalidator: is d still what the host has there?
func (n *node) Revalidate(d *vfs.Dentry) bool {
	i := d.Inode()
	if i == nil {
		return n.stillMissing(d)
	}
	if !n.old() {
		return true
	}
	n.h.mu.Lock()
	opened := n.h.opened
	n.h.mu.Unlock()
	if opened {
		// An open fid may answer for a file that has lost its name.
		p := d.Parent()
		if p == nil {
			return true
		}
		parent, ok := p.Inode().Ops.(*node)
		if !ok {
			return true
		}
		f, q, err := n.fs.c.walk(parent.h.walkable(), d.Name())
		if err != nil {
			return false
		}
		if q.path != i.Ino {
			n.fs.c.clunk(f)
			return false
		}
		n.h.replace(f)
	}
	return n.refresh(i) == nil
}

// stillMissing decides about a negative dentry in directory n.
func (n *node) stillMissing(d *vfs.Dentry) bool {
	p := d.Parent()
	if p == nil || p.Inode() == nil {
		return false
	}
	if n.old() && n.refresh(p.Inode()) != nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, missing := n.negative[d.Name()]
	return missing
}

// Lookup implements vfs.InodeOps.
func (n *node) Lookup(_ vfs.Caller, dir *vfs.Inode, name string) (*vfs.Inode, error) {
	if dir.Type() != unix.S_IFDIR {
		return nil, unix.ENOTDIR
	}
	if n.knownMissing(name) {
		return nil, unix.ENOENT
	}
	if i, err := n.lookupAhead(dir, name); i != nil || err != nil {
		return i, err
	}
	f, q, err := n.fs.c.walk(n.h.walkable(), name)
	runtime.KeepAlive(dir)
	if err != nil {
		if err == error(unix.ENOENT) {
			n.remember(name)
		}
		return nil, err
	}
	if i := n.fs.known(q.path); i != nil {
		// The version follows size and mtime, not mode: only what was just
		// asked for is believed.
		if k := i.Ops.(*node); !k.old() {
			n.fs.c.clunk(f)
			return i, nil
		}
	}
	a, err := n.fs.c.getattr(f)
	if err != nil {
		n.fs.c.clunk(f)
		return nil, err
	}
	return n.fs.inode(f, &a), nil
}

// lookupAhead serves programs that read a directory and then ask for each of
// its entries in turn (ls -l, find, du): the next ones are looked up together.
// It returns nothing when that is not what is going on.
func (n *node) lookupAhead(dir *vfs.Inode, name string) (*vfs.Inode, error) {
	names := n.upcoming(name)
	if len(names) == 0 {
		return nil, nil
	}
	n.mu.Lock()
	i := n.ahead[name]
	delete(n.ahead, name)
	n.mu.Unlock()
	if i != nil && !i.Ops.(*node).old() {
		return i, nil
	}
	if n.old() && n.refresh(dir) != nil || len(names) == 1 {
		return nil, nil
	}
	all, err := n.fs.c.lookups(n.h.walkable(), names)
	runtime.KeepAlive(dir)
	if err != nil {
		return nil, err
	}
	ahead := make(map[string]*vfs.Inode, len(all))
	for k := range all {
		if all[k].err == nil {
			ahead[names[k]] = n.fs.inode(all[k].fid, &all[k].attr)
		}
	}
	i, err = ahead[name], all[0].err
	delete(ahead, name)
	n.mu.Lock()
	n.ahead = ahead
	n.mu.Unlock()
	return i, err
}

// upcoming follows look-ups through the directory's list: when name continues
// a run of them it returns name and those behind it.
func (n *node) upcoming(name string) []string {
	const (
		window = 8 // entries that may be left out
		enough = 3 // look-ups in a row that make a run
	)
	n.mu.Lock()
	defer n.mu.Unlock()
	at := -1
	for k := n.cursor; k < min(n.cursor+window, len(n.list)); k++ {
		if n.list[k].name == name {
			at = k
			break
		}
	}
	if at < 0 {
		n.run = 0
		return nil
	}
	n.cursor = at + 1
	if n.run++; n.run < enough {
		return nil
	}
	names := make([]string, 0, maxBatch)
	for _, e := range n.list[at:min(at+maxBatch, len(n.list))] {
		if e.name != "." && e.name != ".." {
			names = append(names, e.name)
		}
	}
	return names
}

// knownMissing answers from the list of the directory's entries, if that is
// at hand and current.
func (n *node) knownMissing(name string) bool {
	if n.old() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, missing := n.negative[name]; missing {
		return true
	}
	if !n.listed {
		return false
	}
	for k := range n.list {
		if n.list[k].name == name {
			return false
		}
	}
	n.rememberLocked(name)
	return true
}

func (n *node) remember(name string) {
	n.mu.Lock()
	n.rememberLocked(name)
	n.mu.Unlock()
}

func (n *node) rememberLocked(name string) {
	if n.negative == nil || len(n.negative) >= maxNegative {
		n.negative = make(map[string]struct{})
	}
	n.negative[strings.Clone(name)] = struct{}{}
}

// Readlink implements vfs.InodeOps.
func (n *node) Readlink(_ vfs.Caller, i *vfs.Inode) (string, error) {
	if i.Type() != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	n.mu.Lock()
	s := n.target
	n.mu.Unlock()
	if s != "" && !n.old() {
		return s, nil
	}
	s, err := n.fs.c.readlink(n.h.walkable())
	runtime.KeepAlive(i)
	if err != nil {
		return "", err
	}
	if s == "" || len(s) >= unix.PathMax || strings.IndexByte(s, 0) >= 0 {
		return "", unix.EIO
	}
	n.mu.Lock()
	n.target = s
	n.mu.Unlock()
	return s, nil
}

// Open implements vfs.InodeOps.
func (n *node) Open(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	i := f.Inode
	switch i.Type() {
	case unix.S_IFREG:
		if err := n.openFile(i, f.Flags()); err != nil {
			return nil, err
		}
		return &file{n: n}, nil
	case unix.S_IFDIR:
		return &directory{n: n}, nil
	case unix.S_IFLNK:
		return nil, unix.ELOOP
	}
	return vfs.OpenSpecial(c, f)
}

// openFile opens the file on the host if it is not, for the host's verdict,
// and sees to it that the attributes are not older than the opening.
func (n *node) openFile(i *vfs.Inode, flags uint32) error {
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		if n.fs.readOnly {
			return unix.EROFS
		}
		if _, err := n.h.forWriting(); err != nil {
			return err
		}
	}
	if flags&unix.O_ACCMODE != unix.O_WRONLY {
		_, q, fresh, err := n.h.forReading()
		if err != nil {
			return err
		}
		if fresh && !n.old() {
			n.mu.Lock()
			current := q.version == n.version && q.path == i.Ino
			n.mu.Unlock()
			if current {
				return nil
			}
		}
	}
	if err := n.refresh(i); err != nil && err != error(unix.ESTALE) && err != error(unix.ENOENT) {
		return err
	}
	return nil
}

// writable is asked before every change.
func (n *node) writable() error {
	if n.fs.readOnly {
		return unix.EROFS
	}
	return nil
}

// stale has the attributes asked for at the next occasion, after a change of
// our own.
func (n *node) stale() {
	n.mu.Lock()
	n.ours = true
	n.forget()
	n.mu.Unlock()
	n.checked.Store(clock.Now() - 2*attrTime)
}

// made returns the inode of a name that was just created in dir.
func (n *node) made(name string, err error) (*vfs.Inode, error) {
	n.stale()
	if err != nil {
		return nil, err
	}
	f, _, err := n.fs.c.walk(n.h.walkable(), name)
	if err != nil {
		return nil, err
	}
	a, err := n.fs.c.getattr(f)
	if err != nil {
		n.fs.c.clunk(f)
		return nil, err
	}
	return n.fs.inode(f, &a), nil
}

// request begins a message about this directory or file.
func (n *node) request(kind byte) (*call, error) {
	if err := n.writable(); err != nil {
		return nil, err
	}
	k, err := n.fs.c.get(kind)
	if err == nil && kind != trenameat && kind != tlink {
		k.u32(n.h.walkable())
	}
	return k, err
}

// Create implements vfs.InodeOps.
func (n *node) Create(_ vfs.Caller, _ *vfs.Inode, name string, mode uint32, uid, gid uint32) (*vfs.Inode, error) {
	if err := n.writable(); err != nil {
		return nil, err
	}
	c := n.fs.c
	f, _, err := c.walk(n.h.walkable(), "")
	if err != nil {
		return nil, err
	}
	defer c.clunk(f) // becomes the open file
	k, err := c.get(tlcreate)
	if err != nil {
		return nil, err
	}
	k.u32(f)
	k.str(name)
	k.u32(unix.O_RDWR | unix.O_CREAT | unix.O_EXCL)
	k.u32(mode & 0o7777)
	k.u32(gid)
	return n.owned(uid, gid)(n.made(name, c.simple(k)))
}

// Mknod implements vfs.InodeOps.
func (n *node) Mknod(_ vfs.Caller, _ *vfs.Inode, name string, mode uint32, rdev uint64, uid, gid uint32) (*vfs.Inode, error) {
	k, err := n.request(tmknod)
	if err != nil {
		return nil, err
	}
	k.str(name)
	k.u32(mode)
	k.u32(unix.Major(rdev))
	k.u32(unix.Minor(rdev))
	k.u32(gid)
	return n.owned(uid, gid)(n.made(name, n.fs.c.simple(k)))
}

// Mkdir implements vfs.InodeOps.
func (n *node) Mkdir(_ vfs.Caller, _ *vfs.Inode, name string, mode uint32, uid, gid uint32) (*vfs.Inode, error) {
	k, err := n.request(tmkdir)
	if err != nil {
		return nil, err
	}
	k.str(name)
	k.u32(mode & 0o7777)
	k.u32(gid)
	return n.owned(uid, gid)(n.made(name, n.fs.c.simple(k)))
}

// Symlink implements vfs.InodeOps.
func (n *node) Symlink(_ vfs.Caller, _ *vfs.Inode, name, target string, uid, gid uint32) (*vfs.Inode, error) {
	k, err := n.request(tsymlink)
	if err != nil {
		return nil, err
	}
	k.str(name)
	k.str(target)
	k.u32(gid)
	return n.owned(uid, gid)(n.made(name, n.fs.c.simple(k)))
}

// owned gives a new inode its owner as far as the host lets us: without
// privilege everything belongs to who runs the server.
func (n *node) owned(uid, gid uint32) func(*vfs.Inode, error) (*vfs.Inode, error) {
	return func(i *vfs.Inode, err error) (*vfs.Inode, error) {
		if err != nil {
			return nil, err
		}
		if a := i.Attr(); a.UID != uid || a.GID != gid {
			_ = i.Ops.(*node).setattr(i, &vfs.SetAttr{Valid: vfs.SetUID | vfs.SetGID, UID: uid, GID: gid})
		}
		return i, nil
	}
}

// Link implements vfs.InodeOps.
func (n *node) Link(_ vfs.Caller, _ *vfs.Inode, name string, target *vfs.Inode) error {
	t, ok := target.Ops.(*node)
	if !ok {
		return unix.EXDEV
	}
	k, err := n.request(tlink)
	if err != nil {
		return err
	}
	k.u32(n.h.walkable())
	k.u32(t.h.walkable())
	k.str(name)
	err = n.fs.c.simple(k)
	n.stale()
	if err == nil {
		target.Update(func(a *vfs.Attr) { a.Nlink++ })
		t.stale()
	}
	return err
}

func (n *node) remove(name string, target *vfs.Inode, flags uint32) error {
	k, err := n.request(tunlinkat)
	if err != nil {
		return err
	}
	k.str(name)
	k.u32(flags)
	err = n.fs.c.simple(k)
	n.stale()
	if err == nil {
		target.Update(func(a *vfs.Attr) {
			if a.Nlink > 0 {
				a.Nlink--
			}
			if flags != 0 {
				a.Nlink = 0
			}
		})
	}
	return err
}

// Unlink implements vfs.InodeOps.
func (n *node) Unlink(_ vfs.Caller, _ *vfs.Inode, name string, target *vfs.Inode) error {
	return n.remove(name, target, 0)
}

// Rmdir implements vfs.InodeOps.
func (n *node) Rmdir(_ vfs.Caller, _ *vfs.Inode, name string, target *vfs.Inode) error {
	return n.remove(name, target, unix.AT_REMOVEDIR)
}

// Rename implements vfs.InodeOps. The protocol has no flags.
func (n *node) Rename(_ vfs.Caller, _ *vfs.Inode, name string, src *vfs.Inode, newDir *vfs.Inode, newName string, dst *vfs.Inode, flags uint32) error {
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return unix.EINVAL
	}
	to, ok := newDir.Ops.(*node)
	if !ok {
		return unix.EXDEV
	}
	k, err := n.request(trenameat)
	if err != nil {
		return err
	}
	k.u32(n.h.walkable())
	k.str(name)
	k.u32(to.h.walkable())
	k.str(newName)
	err = n.fs.c.simple(k)
	n.stale()
	to.stale()
	if err == nil && dst != nil {
		dst.Update(func(a *vfs.Attr) {
			if a.Nlink > 0 {
				a.Nlink--
			}
		})
	}
	return err
}

// Setattr implements vfs.InodeOps.
func (n *node) Setattr(_ vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error { return n.setattr(i, s) }

func (n *node) setattr(i *vfs.Inode, s *vfs.SetAttr) error {
	k, err := n.request(tsetattr)
	if err != nil {
		return err
	}
	valid := uint32(0)
	for _, m := range [...]struct {
		have vfs.SetMask
		bits uint32
	}{
		{vfs.SetMode, setMode},
		{vfs.SetUID, setUID},
		{vfs.SetGID, setGID},
		{vfs.SetSize, setSize},
		{vfs.SetAtime, setAtime | setAtimeNow},
		{vfs.SetMtime, setMtime | setMtimeNow},
	} {
		if s.Valid&m.have != 0 {
			valid |= m.bits
		}
	}
	k.u32(valid)
	k.u32(s.Mode & 0o7777)
	k.u32(s.UID)
	k.u32(s.GID)
	k.u64(uint64(s.Size))
	k.u64(uint64(s.Atime.Sec))
	k.u64(uint64(s.Atime.Nsec))
	k.u64(uint64(s.Mtime.Sec))
	k.u64(uint64(s.Mtime.Nsec))
	if err := n.fs.c.simple(k); err != nil {
		return err
	}
	if s.Valid&vfs.SetSize != 0 {
		n.h.size.Store(uint64(s.Size))
		if i.Cache != nil {
			i.Cache.Truncate(uint64(s.Size))
		}
	}
	i.Apply(s)
	n.stale()
	return nil
}

// Extended attributes: the user's own and file capabilities. Access control
// lists are not for a kernel that does not enforce them.

func passXattr(name string) bool {
	return strings.HasPrefix(name, "user.") || name == "security.capability"
}

// Getxattr implements vfs.InodeOps.
func (n *node) Getxattr(_ vfs.Caller, i *vfs.Inode, name string) ([]byte, error) {
	if !passXattr(name) {
		return nil, unix.EOPNOTSUPP
	}
	v, err := n.xattr(name)
	runtime.KeepAlive(i)
	return v, err
}

// xattr reads an extended attribute, or the list of them for no name.
func (n *node) xattr(name string) ([]byte, error) {
	c := n.fs.c
	k, err := c.get(txattrwalk)
	if err != nil {
		return nil, err
	}
	f := c.fid()
	k.u32(n.h.walkable())
	k.u32(f)
	k.str(name)
	err = c.do(k, nil, nil)
	size := k.r64()
	bad := k.bad
	c.put(k)
	if err != nil {
		if err != error(unix.EIO) {
			c.freeFid(f)
		}
		return nil, err
	}
	defer c.clunk(f)
	if bad || size > 64<<10 { // XATTR_SIZE_MAX, XATTR_LIST_MAX
		return nil, unix.EIO
	}
	if size == 0 {
		return nil, nil
	}
	var value []byte
	err = c.readAll(f, tread, func(data []byte) (uint64, bool) {
		value = append(value, data...)
		return uint64(len(value)), uint64(len(value)) < size
	})
	return value, err
}

// Listxattr implements vfs.InodeOps.
func (n *node) Listxattr(_ vfs.Caller, i *vfs.Inode) ([]string, error) {
	list, err := n.xattr("")
	runtime.KeepAlive(i)
	if err != nil {
		if err == error(unix.EOPNOTSUPP) {
			err = nil
		}
		return nil, err
	}
	var names []string
	for name := range strings.SplitSeq(string(list), "\x00") {
		if passXattr(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Setxattr implements vfs.InodeOps.
func (n *node) Setxattr(_ vfs.Caller, _ *vfs.Inode, name string, value []byte, flags int) error {
	if err := n.writable(); err != nil {
		return err
	}
	if !passXattr(name) {
		return unix.EOPNOTSUPP
	}
	if len(value) > 2048 {
		return unix.ENOSPC // more than a request carries beside its head
	}
	c := n.fs.c
	f, _, err := c.walk(n.h.walkable(), "")
	if err != nil {
		return err
	}
	k, err := c.get(txattrcreate)
	if err != nil {
		c.clunk(f)
		return err
	}
	k.u32(f)
	k.str(name)
	k.u64(uint64(len(value)))
	k.u32(uint32(flags))
	if err = c.simple(k); err != nil {
		c.clunk(f)
		return err
	}
	if k, err = c.get(twrite); err != nil {
		c.clunk(f)
		return err
	}
	k.u32(f)
	k.u64(0)
	k.u32(uint32(len(value)))
	copy(k.room(len(value)), value)
	err = c.simple(k)
	// The attribute is set when the fid is clunked, whose answer counts.
	if k, e := c.get(tclunk); e == nil {
		k.u32(f)
		if e := c.simple(k); err == nil {
			err = e
		}
		c.freeFid(f)
	}
	return err
}

// Removexattr implements vfs.InodeOps. In this protocol it is the setting of
// an empty value, which not every server takes for removal.
func (n *node) Removexattr(c vfs.Caller, i *vfs.Inode, name string) error {
	return n.Setxattr(c, i, name, nil, unix.XATTR_REPLACE)
}

// Evict implements vfs.InodeOps: the pages go now, the fids with the inode.
func (n *node) Evict(i *vfs.Inode) {
	if i.Cache != nil {
		i.Cache.Release()
	}
}

var (
	_ vfs.InodeOps    = (*node)(nil)
	_ vfs.Revalidator = (*node)(nil)
)
