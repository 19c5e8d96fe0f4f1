package vfs

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

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
