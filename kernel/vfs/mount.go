package vfs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
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

// FSType makes superblocks: a file system that mount(2) knows by name.
type FSType struct {
	Name string
	// NoDevice says that the source is not a block device ("nodev" in
	// /proc/filesystems).
	NoDevice bool
	// Mount makes an instance. data is mount(2)'s option string.
	Mount func(c Caller, source string, flags uint32, data string) (*Superblock, error)
}

var fsTypes struct {
	sync.RWMutex
	list []*FSType
}

// RegisterFS makes a file system known; a later one of the same name replaces
// the earlier.
func RegisterFS(t *FSType) {
	fsTypes.Lock()
	defer fsTypes.Unlock()
	for i, o := range fsTypes.list {
		if o.Name == t.Name {
			fsTypes.list[i] = t
			return
		}
	}
	fsTypes.list = append(fsTypes.list, t)
}

// FSTypes returns the registered file systems in the order of registration.
func FSTypes() []*FSType {
	fsTypes.RLock()
	defer fsTypes.RUnlock()
	return slices.Clone(fsTypes.list)
}

// FindFS returns the file system type called name, ENODEV when there is none.
func FindFS(name string) (*FSType, error) {
	fsTypes.RLock()
	defer fsTypes.RUnlock()
	for _, t := range fsTypes.list {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, unix.ENODEV
}

var devNumbers atomic.Uint64

// AllocDev returns a device number for a file system without a device, as
// Linux gives out: major 0.
func AllocDev() uint64 { return unix.Mkdev(0, uint32(devNumbers.Add(1))+20) }

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

const (
	msActions = unix.MS_REMOUNT | unix.MS_BIND | unix.MS_SHARED | unix.MS_PRIVATE |
		unix.MS_SLAVE | unix.MS_UNBINDABLE | unix.MS_MOVE
	msPropagation = unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE
	msMagic       = 0xC0ED0000
	msMagicMask   = 0xffff0000
)

// MountCall serves mount(2).
func MountCall(c Caller, source, target, fstype string, flags uint32, data string) error {
	if flags&msMagicMask == msMagic {
		flags &^= msMagicMask
	}
	p, err := Lookup(c, nil, target, Follow)
	if err != nil {
		return err
	}
	if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	switch {
	case flags&(unix.MS_REMOUNT|unix.MS_BIND) == unix.MS_REMOUNT|unix.MS_BIND:
		return remount(c, p, flags, data, true)
	case flags&unix.MS_REMOUNT != 0:
		return remount(c, p, flags, data, false)
	case flags&unix.MS_BIND != 0:
		return bind(c, source, p, flags&unix.MS_REC != 0)
	case flags&msPropagation != 0:
		return propagate(p, flags)
	case flags&unix.MS_MOVE != 0:
		return moveMount(c, source, p)
	}
	if fstype == "" {
		return unix.EINVAL
	}
	t, err := FindFS(fstype)
	if err != nil {
		return err
	}
	sb, err := t.Mount(c, source, flags, data)
	if err != nil {
		return err
	}
	if sb.Source == "" {
		sb.Source = source
	}
	if flags&unix.MS_RDONLY != 0 {
		sb.readOnly.Store(true)
	}
	_, err = MountAt(p, sb, flags)
	return err
}

func remount(c Caller, p Path, flags uint32, data string, mountOnly bool) error {
	if p.Mount == nil || p.Dentry != p.Mount.Root {
		return unix.EINVAL
	}
	if !mountOnly {
		sb := p.Mount.SB
		if sb.Remount != nil {
			if err := sb.Remount(c, flags, data); err != nil {
				return err
			}
		}
		if flags&unix.MS_RDONLY == 0 && sb.Flags&unix.MS_RDONLY != 0 {
			return unix.EROFS
		}
		sb.readOnly.Store(flags&unix.MS_RDONLY != 0)
		flags &^= unix.MS_RDONLY
	}
	m := p.Mount
	mountMu.Lock()
	defer mountMu.Unlock()
	f := flags & mountFlags
	// Without an atime flag a remount keeps the present setting.
	if f&(unix.MS_NOATIME|unix.MS_NODIRATIME|unix.MS_RELATIME|unix.MS_STRICTATIME) == 0 {
		f |= m.flags.Load() & (unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
		m.flags.Store(f)
	} else {
		m.flags.Store(normalAtime(f))
	}
	m.ns.seq.Add(1)
	m.ns.changed.Notify(wait.Err | wait.Pri)
	return nil
}

func bind(c Caller, source string, p Path, recursive bool) error {
	if source == "" {
		return unix.EINVAL
	}
	from, err := Lookup(c, nil, source, Follow)
	if err != nil {
		return err
	}
	if from.Inode().IsDir() != p.Inode().IsDir() {
		return unix.ENOTDIR
	}
	mountMu.Lock()
	defer mountMu.Unlock()
	if from.Mount == nil || from.Mount.ns != p.Mount.ns || from.Mount.at.Load() == nil {
		return unix.EINVAL
	}
	ns := p.Mount.ns
	copyOf := func(m *Mount, root *Dentry) *Mount {
		n := newMount(ns, m.SB, root, 0)
		n.flags.Store(m.flags.Load())
		n.shared.Store(m.shared.Load())
		return n
	}
	top := copyOf(from.Mount, from.Dentry)
	p = p.cross()
	if p.Dentry.Deleted() {
		return unix.ENOENT
	}
	var below []*Mount
	if recursive {
		below = from.Mount.all()[1:]
	}
	ns.attach(top, p)
	twin := map[*Mount]*Mount{from.Mount: top}
	for _, m := range below {
		at := m.at.Load()
		if at == nil || twin[at.parent] == nil || at.parent == from.Mount && !at.dentry.under(from.Dentry) {
			continue
		}
		t := copyOf(m, m.Root)
		twin[m] = t
		ns.attach(t, Path{twin[at.parent], at.dentry})
	}
	return nil
}

var peerGroups atomic.Int32

func propagate(p Path, flags uint32) error {
	if p.Mount == nil || p.Dentry != p.Mount.Root {
		return unix.EINVAL
	}
	kind := flags & msPropagation
	if flags&^(msPropagation|unix.MS_REC|unix.MS_SILENT) != 0 || kind&(kind-1) != 0 {
		return unix.EINVAL
	}
	mountMu.Lock()
	defer mountMu.Unlock()
	list := []*Mount{p.Mount}
	if flags&unix.MS_REC != 0 {
		list = p.Mount.all()
	}
	for _, m := range list {
		if kind != unix.MS_SHARED {
			m.shared.Store(0)
		} else if m.shared.Load() == 0 {
			m.shared.Store(peerGroups.Add(1))
		}
	}
	return nil
}

func moveMount(c Caller, source string, to Path) error {
	if source == "" {
		return unix.EINVAL
	}
	from, err := Lookup(c, nil, source, Follow)
	if err != nil {
		return err
	}
	mountMu.Lock()
	defer mountMu.Unlock()
	m := from.Mount
	if m == nil || from.Dentry != m.Root || m.at.Load() == nil || m.at.Load().parent == nil || m.ns != to.Mount.ns {
		return unix.EINVAL
	}
	if from.Inode().IsDir() != to.Inode().IsDir() {
		return unix.EINVAL
	}
	to = to.cross()
	if to.Mount.under(m) {
		return unix.ELOOP
	}
	m.ns.detach(m)
	m.ns.attach(m, to)
	return nil
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

// The flags of umount2(2).
const (
	mntForce        = 1
	mntDetach       = 2
	mntExpire       = 4
	umountNoFollow  = 8
	umountFlagsMask = mntForce | mntDetach | mntExpire | umountNoFollow
)

// Unmount serves umount2(2).
func Unmount(c Caller, target string, flags int) error {
	if flags&^umountFlagsMask != 0 {
		return unix.EINVAL
	}
	var lf LookupFlags = Follow
	if flags&umountNoFollow != 0 {
		lf = 0
	}
	p, err := Lookup(c, nil, target, lf)
	if err != nil {
		return err
	}
	if p.Mount == nil || p.Dentry != p.Mount.Root {
		return unix.EINVAL
	}
	if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	m := p.Mount
	root := c.FS().Root()
	if flags&mntExpire != 0 {
		if flags&(mntForce|mntDetach) != 0 || m == root.Mount {
			return unix.EINVAL
		}
		if m.refs.Load() > 0 {
			return unix.EBUSY
		}
		if !m.expiring.Swap(true) {
			return unix.EAGAIN
		}
	}
	if m == root.Mount && flags&mntDetach == 0 {
		m.SB.readOnly.Store(true) // unmounting one's root makes it read-only
		return nil
	}
	mountMu.Lock()
	at := m.at.Load()
	if at == nil || at.parent == nil {
		mountMu.Unlock()
		return unix.EINVAL
	}
	list := m.all()
	if flags&mntDetach == 0 && (m.refs.Load() > 0 || len(list) > 1) {
		mountMu.Unlock()
		return unix.EBUSY
	}
	for _, o := range slices.Backward(list) {
		m.ns.detach(o)
	}
	mountMu.Unlock()
	for _, o := range list {
		o.drop()
	}
	return nil
}

// PivotRoot serves pivot_root(2).
func PivotRoot(c Caller, newRoot, putOld string) error {
	if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	n, err := Lookup(c, nil, newRoot, Follow|Directory)
	if err != nil {
		return err
	}
	old, err := Lookup(c, nil, putOld, Follow|Directory)
	if err != nil {
		return err
	}
	root := c.FS().Root()
	mountMu.Lock()
	defer mountMu.Unlock()
	if n.Mount == root.Mount || old.Mount == root.Mount && old.Dentry == root.Dentry {
		return unix.EBUSY
	}
	nat := n.Mount.at.Load()
	switch {
	case root.Dentry != root.Mount.Root, n.Dentry != n.Mount.Root:
		return unix.EINVAL
	case nat == nil || nat.parent == nil, n.Mount.ns != root.Mount.ns, old.Mount.ns != root.Mount.ns:
		return unix.EINVAL
	case n.Mount.shared.Load() != 0 || root.Mount.shared.Load() != 0:
		return unix.EINVAL
	case !old.Mount.under(n.Mount) || !n.Mount.under(root.Mount):
		return unix.EINVAL
	}
	ns := root.Mount.ns
	rat := root.Mount.at.Load()
	ns.detach(n.Mount)
	if rat.parent != nil {
		ns.detach(root.Mount)
		ns.attach(n.Mount, Path{rat.parent, rat.dentry})
	} else {
		ns.mounts = slices.DeleteFunc(ns.mounts, func(o *Mount) bool { return o == root.Mount })
		n.Mount.at.Store(&mountPoint{})
		ns.mounts = slices.Insert(ns.mounts, 0, n.Mount)
		ns.root = n.Mount
	}
	ns.attach(root.Mount, old)
	c.FS().replaceRoot(root, n)
	return nil
}

// MountInfo is one line of /proc/PID/mountinfo.
type MountInfo struct {
	ID, Parent int
	Dev        uint64
	Root       string // within the file system
	Point      string // as seen from the caller's root
	Flags      uint32 // MS_* of the mount
	SBFlags    uint32 // MS_* of the superblock
	Shared     int    // peer group, 0: private
	Type       string
	Source     string
	Options    string // of the superblock, beginning with a comma if any
}

// List returns the mounts that can be seen from root.
func (ns *MountNamespace) List(root Path) []MountInfo {
	mountMu.Lock()
	defer mountMu.Unlock()
	list := make([]MountInfo, 0, len(ns.mounts))
	for _, m := range ns.mounts {
		point, ok := pathString(Path{m, m.Root}, root)
		if !ok {
			continue
		}
		sb := m.SB
		mi := MountInfo{
			ID: m.ID, Parent: m.ID, Dev: sb.Dev, Point: point, Root: "/",
			Flags: m.flags.Load(), SBFlags: sb.Flags, Shared: int(m.shared.Load()),
			Type: sb.Type, Source: sb.Source,
		}
		if at := m.at.Load(); at != nil && at.parent != nil {
			mi.Parent = at.parent.ID
		}
		if m.Root != sb.RootDentry() {
			mi.Root, _ = pathString(Path{nil, m.Root}, Path{})
		}
		if sb.readOnly.Load() {
			mi.SBFlags |= unix.MS_RDONLY
		}
		if sb.Options != nil {
			mi.Options = sb.Options()
		}
		list = append(list, mi)
	}
	return list
}

// pathString returns the name of p seen from root; ok is false when p does
// not lie below root. A zero root means the superblock's own root.
func pathString(p, root Path) (name string, ok bool) {
	var parts []string
	n := 0
	for p != root {
		if p.Mount != nil && p.Dentry == p.Mount.Root {
			at := p.Mount.at.Load()
			if at == nil || at.parent == nil {
				ok = false
				goto build
			}
			p = Path{at.parent, at.dentry}
			continue
		}
		pl := p.Dentry.place.Load()
		if pl.parent == nil {
			ok = !root.Valid()
			goto build
		}
		parts = append(parts, pl.name)
		n += len(pl.name) + 1
		p.Dentry = pl.parent
	}
	ok = true
build:
	if n == 0 {
		return "/", ok
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range slices.Backward(parts) {
		b.WriteByte('/')
		b.WriteString(s)
	}
	return b.String(), ok
}

// String returns the name of p as /proc/self/fd shows it to a caller whose
// root is root: with " (deleted)" when the name is gone.
func (p Path) String(root Path) string {
	if p.Dentry.flags.Load()&dentryAnon != 0 {
		return p.Dentry.Name()
	}
	s, _ := pathString(p, root)
	if p.Dentry.Deleted() {
		s += " (deleted)"
	}
	return s
}

// Name returns the name of p from the namespace's root: what mappings show.
func (p Path) Name() string {
	if p.Mount == nil {
		return p.String(Path{})
	}
	return p.String(Path{p.Mount.ns.root, p.Mount.ns.root.Root})
}

// NewAnonPath returns a place in the pseudo file system of anonymous inodes,
// with an inode of the given mode: what the open files of one unnamed object
// share (the two ends of a pipe). A name that ends in a colon gets the inode
// number appended in brackets ("pipe:", "socket:"); one without a colon reads
// "anon_inode:[name]"; any other is taken as it is.
func NewAnonPath(name string, mode uint32) Path {
	sb := &anonSB
	switch {
	case strings.HasPrefix(name, "pipe:"):
		sb = &pipeSB
	case strings.HasPrefix(name, "socket:"):
		sb = &sockSB
	}
	anonOnce.Do(anonInit)
	ino := anonInos.Add(1)
	if strings.HasSuffix(name, ":") {
		var b [64]byte
		s := append(b[:0], name...)
		s = append(s, '[')
		s = strconv.AppendUint(s, ino, 10)
		name = string(append(s, ']'))
	} else if strings.IndexByte(name, ':') < 0 {
		name = "anon_inode:[" + name + "]"
	}
	now := Now()
	i := NewInode(sb, ino, Attr{Mode: mode, Nlink: 1, BlockSize: 4096, Atime: now, Mtime: now, Ctime: now}, anonInode{})
	d := newDentry(nil, name, 0, i)
	d.flags.Store(dentryAnon)
	return Path{Dentry: d}
}

// AnonPath returns a place that is called name and leads to i, for pseudo file
// systems with inodes of their own (the links of /proc/PID/ns).
func AnonPath(name string, i *Inode) Path {
	d := newDentry(nil, name, 0, i)
	d.flags.Store(dentryAnon)
	return Path{Dentry: d}
}

// anonInode is the behaviour of anonymous inodes: their attributes can change.
type anonInode struct{ BaseInode }

func (anonInode) Setattr(_ Caller, i *Inode, s *SetAttr) error {
	if i.FS == &anonSB {
		return unix.EOPNOTSUPP
	}
	i.Apply(s)
	return nil
}

// SetOwner gives an anonymous inode its owner, as sockets and pipes have
// that of their maker.
func (i *Inode) SetOwner(uid, gid uint32) {
	i.Update(func(a *Attr) { a.UID, a.GID = uid, gid })
}

var (
	anonOnce sync.Once
	anonInos atomic.Uint64

	anonSB = Superblock{Type: "anon_inodefs", Source: "anon_inodefs", Magic: unix.ANON_INODE_FS_MAGIC}
	pipeSB = Superblock{Type: "pipefs", Source: "pipefs", Magic: unix.PIPEFS_MAGIC}
	sockSB = Superblock{Type: "sockfs", Source: "sockfs", Magic: unix.SOCKFS_MAGIC}
)

func anonInit() {
	anonInos.Store(1000)
	anonSB.Dev, pipeSB.Dev, sockSB.Dev = AllocDev(), AllocDev(), AllocDev()
}
