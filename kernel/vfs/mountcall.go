package vfs

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

const (
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
