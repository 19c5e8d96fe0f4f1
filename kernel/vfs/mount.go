package vfs

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

// Mount is a superblock, or a part of it, attached to a place in the tree.
type Mount struct {
	SB   *Superblock
	Root *Dentry // what the mount shows: the superblock's root, or what a bind mount picked
	ID   int

	flags atomic.Uint32              // MS_NOSUID … of this mount
	at    atomic.Pointer[mountPoint] // where it is; nil when detached
	ns    *MountNamespace
	refs  atomic.Int32 // open files, working directories, roots
	// shared is the peer group shown in mountinfo, 0 for a private mount;
	// mounts do not propagate, there being nobody to propagate to.
	shared   atomic.Int32
	expiring atomic.Bool
	dropped  atomic.Bool // in no tree any more
	finished atomic.Bool
}

// mountPoint is a place in a parent mount; parent is nil for the root mount.
type mountPoint struct {
	parent *Mount
	dentry *Dentry
}

// mountFlags are the MS_* flags that belong to a mount and not to its
// superblock.
const mountFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC |
	unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME | unix.MS_STRICTATIME | unix.MS_RDONLY | msNoSymFollow

const msNoSymFollow = 256

// Flags returns the mount's MS_* flags together with those of its superblock.
func (m *Mount) Flags() uint32 {
	f := m.flags.Load() | m.SB.Flags
	if m.SB.readOnly.Load() {
		f |= unix.MS_RDONLY
	}
	return f
}

// writable returns EROFS when nothing may be changed through the mount.
func (m *Mount) writable() error {
	if m != nil && m.Flags()&unix.MS_RDONLY != 0 {
		return unix.EROFS
	}
	return nil
}

func (m *Mount) noatime(i *Inode) bool {
	f := m.Flags()
	return f&(unix.MS_NOATIME|unix.MS_RDONLY) != 0 || f&unix.MS_NODIRATIME != 0 && i.IsDir()
}

func (m *Mount) get() {
	if m != nil {
		m.refs.Add(1)
	}
}

func (m *Mount) put() {
	if m != nil && m.refs.Add(-1) == 0 && m.dropped.Load() {
		m.finish()
	}
}

// Namespace returns the mount namespace that the mount belongs to.
func (m *Mount) Namespace() *MountNamespace { return m.ns }

// Path is a place: a dentry within a mount.
type Path struct {
	Mount  *Mount
	Dentry *Dentry
}

// Inode returns the inode at p.
func (p Path) Inode() *Inode { return p.Dentry.Inode() }

// Valid reports whether p is a place at all.
func (p Path) Valid() bool { return p.Dentry != nil }

// MountNamespace is a tree of mounts (mount_namespaces(7)).
//
// Changes are made with mountMu held and publish a new points map; walks read
// it without a lock.
type MountNamespace struct {
	root   *Mount // under mountMu
	mounts []*Mount
	points atomic.Pointer[map[mountPoint]*Mount]

	seq     atomic.Uint64
	changed wait.Queue
}

// mountMu serialises changes of all mount trees. It comes before DirMu and
// dcache.mu, and is never taken during a walk.
var mountMu sync.Mutex

var mountIDs atomic.Int32

// NewMountNamespace returns a namespace whose root is sb.
func NewMountNamespace(sb *Superblock, flags uint32) *MountNamespace {
	ns := &MountNamespace{}
	ns.points.Store(&map[mountPoint]*Mount{})
	m := newMount(ns, sb, sb.RootDentry(), flags)
	m.at.Store(&mountPoint{})
	ns.root = m
	ns.mounts = append(ns.mounts, m)
	return ns
}

func newMount(ns *MountNamespace, sb *Superblock, root *Dentry, flags uint32) *Mount {
	m := &Mount{SB: sb, Root: root, ID: int(mountIDs.Add(1)) + 20, ns: ns}
	m.flags.Store(normalAtime(flags & mountFlags))
	sb.mounts.Add(1)
	return m
}

// normalAtime makes relatime explicit, as Linux keeps it.
func normalAtime(f uint32) uint32 {
	if f&unix.MS_STRICTATIME != 0 {
		return f &^ (unix.MS_RELATIME | unix.MS_NOATIME | unix.MS_STRICTATIME)
	}
	if f&unix.MS_NOATIME != 0 {
		return f &^ unix.MS_RELATIME
	}
	return f | unix.MS_RELATIME
}

// Root is the root of the namespace.
func (ns *MountNamespace) Root() Path {
	mountMu.Lock()
	defer mountMu.Unlock()
	return Path{ns.root, ns.root.Root}
}

// Changed announces changes of the tree (poll on /proc/mounts); Seq counts them.
func (ns *MountNamespace) Changed() *wait.Queue { return &ns.changed }

// Seq counts the changes of the tree.
func (ns *MountNamespace) Seq() uint64 { return ns.seq.Load() }

// Clone returns a copy of the tree, and translates the given places into it
// (unshare and clone with CLONE_NEWNS).
func (ns *MountNamespace) Clone(places ...*Path) *MountNamespace {
	mountMu.Lock()
	defer mountMu.Unlock()
	n := &MountNamespace{}
	twin := make(map[*Mount]*Mount, len(ns.mounts))
	for _, m := range ns.mounts {
		t := newMount(n, m.SB, m.Root, 0)
		t.flags.Store(m.flags.Load())
		twin[m] = t
		n.mounts = append(n.mounts, t)
	}
	points := make(map[mountPoint]*Mount, len(ns.mounts))
	for _, m := range ns.mounts {
		at := m.at.Load()
		p := mountPoint{twin[at.parent], at.dentry}
		if at.parent == nil {
			p = mountPoint{}
		} else {
			points[p] = twin[m]
			at.dentry.mounted.Add(1)
		}
		twin[m].at.Store(&p)
	}
	n.root = twin[ns.root]
	n.points.Store(&points)
	for _, p := range places {
		if t := twin[p.Mount]; t != nil {
			p.Mount = t
		}
	}
	return n
}

// cross steps from a mount point into what is mounted on it, to the top of
// the stack.
func (p Path) cross() Path {
	for p.Dentry.mounted.Load() != 0 && p.Mount != nil {
		m := (*p.Mount.ns.points.Load())[mountPoint{p.Mount, p.Dentry}]
		if m == nil {
			break
		}
		p = Path{m, m.Root}
	}
	return p
}

// isMountPoint reports whether something is mounted on p's dentry in its mount.
func (p Path) isMountPoint() bool {
	if p.Dentry.mounted.Load() == 0 || p.Mount == nil {
		return false
	}
	_, ok := (*p.Mount.ns.points.Load())[mountPoint{p.Mount, p.Dentry}]
	return ok
}

// up returns the parent directory of p, across mounts but never above root.
func (p Path) up(root Path) Path {
	for {
		if p == root {
			return p
		}
		if p.Mount == nil || p.Dentry != p.Mount.Root {
			if parent := p.Dentry.Parent(); parent != nil {
				return Path{p.Mount, parent}.cross()
			}
			return p
		}
		at := p.Mount.at.Load()
		if at == nil || at.parent == nil {
			return p
		}
		p = Path{at.parent, at.dentry}
	}
}

// attach puts m on top of p. mountMu is held.
func (ns *MountNamespace) attach(m *Mount, p Path) {
	at := mountPoint{p.Mount, p.Dentry}
	m.ns = ns
	m.at.Store(&at)
	p.Dentry.mounted.Add(1)
	points := maps.Clone(*ns.points.Load())
	points[at] = m
	ns.mounts = append(ns.mounts, m)
	ns.publish(points)
}

// detach takes m off its place. mountMu is held.
func (ns *MountNamespace) detach(m *Mount) {
	at := m.at.Load()
	points := maps.Clone(*ns.points.Load())
	delete(points, *at)
	m.at.Store(nil)
	ns.mounts = slices.DeleteFunc(ns.mounts, func(o *Mount) bool { return o == m })
	ns.publish(points)
	at.dentry.mounted.Add(-1)
}

func (ns *MountNamespace) publish(points map[mountPoint]*Mount) {
	ns.points.Store(&points)
	ns.seq.Add(1)
	ns.changed.Notify(wait.Err | wait.Pri)
}

// drop ends a mount that is no longer in a tree: now, or with the last file
// that is open below it.
func (m *Mount) drop() {
	m.dropped.Store(true)
	if m.refs.Load() == 0 {
		m.finish()
	}
}

func (m *Mount) finish() {
	if m.finished.Swap(true) || m.SB.mounts.Add(-1) != 0 {
		return
	}
	endWatchesOf(m.SB)
	if m.SB.Release != nil {
		m.SB.Release()
	}
}

// children returns the mounts directly on m, and all lists m and everything
// below it, parents first. mountMu is held.
func (m *Mount) children() []*Mount {
	var c []*Mount
	for _, o := range m.ns.mounts {
		if at := o.at.Load(); at != nil && at.parent == m {
			c = append(c, o)
		}
	}
	return c
}

func (m *Mount) all() []*Mount {
	list := []*Mount{m}
	for i := 0; i < len(list); i++ {
		list = append(list, list[i].children()...)
	}
	return list
}

// MountAt mounts sb on p: the kernel's own door, without permission checks.
func MountAt(p Path, sb *Superblock, flags uint32) (*Mount, error) {
	if p.Inode() == nil {
		return nil, unix.ENOENT
	}
	if p.Inode().IsDir() != sb.Root.IsDir() {
		return nil, unix.ENOTDIR
	}
	mountMu.Lock()
	defer mountMu.Unlock()
	p = p.cross()
	if p.Dentry.Deleted() {
		return nil, unix.ENOENT
	}
	m := newMount(p.Mount.ns, sb, sb.RootDentry(), flags)
	p.Mount.ns.attach(m, p)
	return m, nil
}

// under reports whether m is ancestor or is mounted somewhere below it.
func (m *Mount) under(ancestor *Mount) bool {
	for m != nil {
		if m == ancestor {
			return true
		}
		at := m.at.Load()
		if at == nil {
			return false
		}
		m = at.parent
	}
	return false
}

// AnonPath returns a place that is called name and leads to i, for pseudo file
// systems with inodes of their own (the links of /proc/PID/ns).
func AnonPath(name string, i *Inode) Path {
	d := newDentry(nil, name, 0, i)
	d.flags.Store(dentryAnon)
	return Path{Dentry: d}
}
