package vfs

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
)

// Now is the current real time as inodes record it.
func Now() unix.Timespec {
	return unix.NsecToTimespec(clock.Realtime())
}

// NewInode returns an inode with the given attributes.
func NewInode(fs *Superblock, ino uint64, attr Attr, ops InodeOps) *Inode {
	i := &Inode{FS: fs, Ino: ino, attr: attr, Ops: ops}
	i.mirror()
	return i
}

// Attr returns a copy of the attributes as cached.
func (i *Inode) Attr() Attr {
	i.mu.RLock()
	a := i.attr
	i.mu.RUnlock()
	return a
}

// Update lets f change the attributes under the inode's lock.
func (i *Inode) Update(f func(*Attr)) {
	i.mu.Lock()
	f(&i.attr)
	i.mirror()
	i.mu.Unlock()
}

func (i *Inode) mirror() {
	i.mode.Store(i.attr.Mode)
	i.size.Store(i.attr.Size)
	i.stale.Store(!after(i.attr.Atime, i.attr.Mtime) || !after(i.attr.Atime, i.attr.Ctime))
}

func after(a, b unix.Timespec) bool {
	return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec
}

// Mode returns type and permissions; it takes no lock.
func (i *Inode) Mode() uint32 { return i.mode.Load() }

// Type returns the file type, S_IFMT of the mode; it takes no lock.
func (i *Inode) Type() uint32 { return i.mode.Load() & unix.S_IFMT }

// Size returns the size in bytes; it takes no lock.
func (i *Inode) Size() int64 { return i.size.Load() }

// IsDir reports whether the inode is a directory.
func (i *Inode) IsDir() bool { return i.Type() == unix.S_IFDIR }

// DType returns the type as getdents64(2) encodes it.
func (i *Inode) DType() uint8 { return uint8(i.Type() >> 12) }

// Touch sets mtime and ctime to now, as a change of contents does.
func (i *Inode) Touch() {
	now := Now()
	i.mu.Lock()
	i.attr.Mtime, i.attr.Ctime = now, now
	i.stale.Store(true)
	i.mu.Unlock()
}

// TouchCtime sets ctime to now, as a change of attributes does.
func (i *Inode) TouchCtime() {
	now := Now()
	i.mu.Lock()
	i.attr.Ctime = now
	i.stale.Store(true)
	i.mu.Unlock()
}

// Accessed updates the access time by the rule of MS_RELATIME; m may be nil.
// The common case is one load.
func (i *Inode) Accessed(m *Mount) {
	if !i.stale.Load() || m == nil || m.noatime(i) {
		return
	}
	now := Now()
	i.mu.Lock()
	i.attr.Atime = now
	i.stale.Store(false)
	i.mu.Unlock()
}

// evicted is added to refs when the inode goes: no reference can be had then.
const evicted = -1 << 30

// Get takes a reference that keeps the inode's data while it has no name; it
// fails when the inode is already gone.
func (i *Inode) Get() bool {
	if i.refs.Add(1) > 0 {
		return true
	}
	i.refs.Add(-1)
	return false
}

// Put drops a reference; the last one of an inode without names evicts it.
func (i *Inode) Put() {
	if i.refs.Add(-1) == 0 {
		i.evictIfUnused()
	}
}

// evictIfUnused ends an inode that has neither names nor references.
func (i *Inode) evictIfUnused() {
	if i.refs.Load() != 0 {
		return
	}
	i.mu.RLock()
	n := i.attr.Nlink
	i.mu.RUnlock()
	if n == 0 && i.refs.CompareAndSwap(0, evicted) {
		i.forgetWatches()
		i.Ops.Evict(i)
	}
}

// DenyWrite forbids opening the inode for writing while it is executed;
// ETXTBSY when it is open for writing. AllowWrite takes it back.
func (i *Inode) DenyWrite() error {
	for {
		n := i.writes.Load()
		if n > 0 {
			return unix.ETXTBSY
		}
		if i.writes.CompareAndSwap(n, n-1) {
			return nil
		}
	}
}

// AllowWrite takes DenyWrite back.
func (i *Inode) AllowWrite() { i.writes.Add(1) }

// getWrite counts a writer: ETXTBSY while the inode is executed.
func (i *Inode) getWrite() error {
	for {
		n := i.writes.Load()
		if n < 0 {
			return unix.ETXTBSY
		}
		if i.writes.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// Stat fills a with the attributes of p's inode as stat(2) shows them.
func Stat(c Caller, p Path, a *Attr) error {
	i := p.Dentry.Inode()
	if i == nil {
		return unix.ENOENT
	}
	return i.Stat(c, a)
}

// Stat fills a with fresh attributes.
func (i *Inode) Stat(c Caller, a *Attr) error {
	if err := i.Ops.Getattr(c, i); err != nil {
		return err
	}
	i.mu.RLock()
	*a = i.attr
	i.mu.RUnlock()
	return nil
}

// Dev is st_dev.
func (i *Inode) Dev() uint64 {
	if i.FS == nil {
		return 0
	}
	return i.FS.Dev
}

// Apply changes attr as s says; it is what Setattr of a file system that
// keeps everything in memory does after it has cut or extended the data.
func (i *Inode) Apply(s *SetAttr) {
	now := Now()
	i.mu.Lock()
	a := &i.attr
	if s.Valid&SetMode != 0 {
		a.Mode = a.Mode&unix.S_IFMT | s.Mode&0o7777
	}
	if s.Valid&SetUID != 0 {
		a.UID = s.UID
	}
	if s.Valid&SetGID != 0 {
		a.GID = s.GID
	}
	if s.Valid&SetSize != 0 {
		a.Size = s.Size
	}
	if s.Valid&SetAtime != 0 {
		a.Atime = s.Atime
	}
	if s.Valid&SetMtime != 0 {
		a.Mtime = s.Mtime
	} else if s.Valid&SetSize != 0 {
		a.Mtime = now
	}
	a.Ctime = now
	i.mirror()
	i.mu.Unlock()
}

var _ mm.Mappable = (*File)(nil)
