package vfs

import (
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// FSContext is what CLONE_FS shares: root, working directory and umask.
// Readers take no lock; mu serialises changes.
type FSContext struct {
	refs  atomic.Int32
	root  atomic.Pointer[Path]
	cwd   atomic.Pointer[Path]
	umask atomic.Uint32
	mu    sync.Mutex
}

// NewFSContext returns a context with one reference, root and cwd at root,
// and umask 022.
func NewFSContext(root Path) *FSContext {
	fs := &FSContext{}
	fs.refs.Store(1)
	fs.umask.Store(0o022)
	fs.set(&fs.root, root)
	fs.set(&fs.cwd, root)
	registerContext(fs)
	return fs
}

func (fs *FSContext) set(slot *atomic.Pointer[Path], p Path) {
	if i := p.Inode(); i != nil {
		i.Get()
	}
	p.Mount.get()
	if old := slot.Swap(&p); old != nil {
		old.put()
	}
}

func (p *Path) put() {
	if i := p.Inode(); i != nil {
		i.Put()
	}
	p.Mount.put()
}

// Clone returns a copy for a new process.
func (fs *FSContext) Clone() *FSContext {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := &FSContext{}
	n.refs.Store(1)
	n.umask.Store(fs.umask.Load())
	n.set(&n.root, *fs.root.Load())
	n.set(&n.cwd, *fs.cwd.Load())
	registerContext(n)
	return n
}

// Get takes a reference (CLONE_FS); Put drops one.
func (fs *FSContext) Get() *FSContext {
	fs.refs.Add(1)
	return fs
}

// Put drops a reference.
func (fs *FSContext) Put() {
	if fs.refs.Add(-1) != 0 {
		return
	}
	contexts.Lock()
	delete(contexts.all, fs)
	contexts.Unlock()
	fs.root.Load().put()
	fs.cwd.Load().put()
}

// Shared reports whether somebody else uses the context too.
func (fs *FSContext) Shared() bool { return fs.refs.Load() > 1 }

// contexts are all the contexts there are, for pivot_root(2), which moves the
// root and working directory of everybody.
var contexts struct {
	sync.Mutex
	all map[*FSContext]struct{}
}

func registerContext(fs *FSContext) {
	contexts.Lock()
	if contexts.all == nil {
		contexts.all = make(map[*FSContext]struct{})
	}
	contexts.all[fs] = struct{}{}
	contexts.Unlock()
}

// replaceRoot moves everybody whose root or working directory is old to n.
func (fs *FSContext) replaceRoot(old, n Path) {
	contexts.Lock()
	defer contexts.Unlock()
	for o := range contexts.all {
		o.mu.Lock()
		if *o.root.Load() == old {
			o.set(&o.root, n)
		}
		if *o.cwd.Load() == old {
			o.set(&o.cwd, n)
		}
		o.mu.Unlock()
	}
}

// Root returns the root directory.
func (fs *FSContext) Root() Path { return *fs.root.Load() }

// Cwd returns the working directory.
func (fs *FSContext) Cwd() Path { return *fs.cwd.Load() }

// Umask returns the file mode creation mask.
func (fs *FSContext) Umask() uint32 { return fs.umask.Load() }

// SetUmask replaces the mask and returns the old one.
func (fs *FSContext) SetUmask(m uint32) uint32 { return fs.umask.Swap(m & 0o777) }

// SetCwd moves the working directory to p, which the caller has checked.
func (fs *FSContext) SetCwd(p Path) {
	fs.mu.Lock()
	fs.set(&fs.cwd, p)
	fs.mu.Unlock()
}

// SetRoot moves the root directory to p, which the caller has checked.
func (fs *FSContext) SetRoot(p Path) {
	fs.mu.Lock()
	fs.set(&fs.root, p)
	fs.mu.Unlock()
}

// Chdir serves chdir(2) and fchdir(2).
func Chdir(c Caller, p Path) error {
	i := p.Inode()
	if !i.IsDir() {
		return unix.ENOTDIR
	}
	if err := search(c.Cred(), i); err != nil {
		return err
	}
	c.FS().SetCwd(p)
	return nil
}

// Chroot serves chroot(2).
func Chroot(c Caller, p Path) error {
	i := p.Inode()
	if !i.IsDir() {
		return unix.ENOTDIR
	}
	if err := search(c.Cred(), i); err != nil {
		return err
	}
	if !c.Cred().Has(unix.CAP_SYS_CHROOT) {
		return unix.EPERM
	}
	c.FS().SetRoot(p)
	return nil
}

// Getcwd serves getcwd(2): ENOENT when the directory is gone; a directory
// outside the root reads "(unreachable)…".
func Getcwd(c Caller) (string, error) {
	cwd, root := c.FS().Cwd(), c.FS().Root()
	if cwd.Dentry.Deleted() {
		return "", unix.ENOENT
	}
	s, ok := pathString(cwd, root)
	if !ok {
		return "(unreachable)" + s, nil
	}
	return s, nil
}

// LookupFlags steer a path walk.
type LookupFlags uint32

// The flags of a walk. The Resolve ones are those of openat2(2).
const (
	// Follow follows a symbolic link in the last component.
	Follow LookupFlags = 1 << iota
	// Directory demands that the result be a directory.
	Directory
	// Empty lets an empty path mean the starting point (AT_EMPTY_PATH).
	Empty
	// ResolveNoXDev forbids crossing mounts.
	ResolveNoXDev
	// ResolveNoMagicLinks forbids magic links.
	ResolveNoMagicLinks
	// ResolveNoSymlinks forbids symbolic links.
	ResolveNoSymlinks
	// ResolveBeneath forbids leaving the starting point's tree.
	ResolveBeneath
	// ResolveInRoot makes the starting point the root.
	ResolveInRoot
)

const maxLinks = 40 // MAXSYMLINKS

// walk is the state of one path walk. It lives on the stack.
type walk struct {
	c     Caller
	root  Path
	path  Path   // where the walk is
	rest  string // what is left of the current string
	flags LookupFlags

	// pending are the rests of the strings around the symbolic links being
	// followed, the innermost last.
	pending  [4]string
	npending int
	deep     []string // what does not fit pending
	links    int

	last     string // the final component, set by parent
	kind     lastKind
	trailing bool // slashes follow the final component
}

func (w *walk) push(rest string) {
	if w.npending < len(w.pending) {
		w.pending[w.npending] = rest
	} else {
		w.deep = append(w.deep, rest)
	}
	w.npending++
}

func (w *walk) pop() string {
	w.npending--
	if w.npending < len(w.pending) {
		return w.pending[w.npending]
	}
	n := len(w.deep) - 1
	rest := w.deep[n]
	w.deep = w.deep[:n]
	return rest
}

// lastKind is what the final component is.
type lastKind uint8

const (
	lastNormal lastKind = iota
	lastRoot            // the path is only slashes
	lastDot
	lastDotDot
)

// begin starts a walk of path from start, or the working directory when start
// is nil.
func (w *walk) begin(c Caller, start *Path, path string, flags LookupFlags) error {
	if len(path) >= unix.PathMax {
		return unix.ENAMETOOLONG
	}
	w.c, w.rest, w.flags = c, path, flags
	fs := c.FS()
	w.root = fs.Root()
	if path == "" {
		if flags&Empty == 0 {
			return unix.ENOENT
		}
	} else if path[0] == '/' && flags&ResolveInRoot == 0 {
		if flags&ResolveBeneath != 0 {
			return unix.EXDEV
		}
		w.path = w.root
		return nil
	}
	if start != nil {
		w.path = *start
	} else {
		w.path = fs.Cwd()
	}
	if flags&(ResolveInRoot|ResolveBeneath) != 0 {
		w.root = w.path
	}
	return nil
}

// parent walks to the directory of the final component, which it leaves in
// last and kind. With lastRoot the walk is where the path leads.
func (w *walk) parent() error {
	for {
		rest := w.rest
		for len(rest) > 0 && rest[0] == '/' {
			rest = rest[1:]
		}
		if rest == "" { // only at the start, or for a link to "/"
			if w.npending > 0 {
				w.rest = w.pop()
				continue
			}
			w.last, w.kind, w.rest = "", lastRoot, ""
			return nil
		}
		n := strings.IndexByte(rest, '/')
		name := rest
		if n >= 0 {
			name = rest[:n]
			rest = rest[n:]
			for len(rest) > 0 && rest[0] == '/' {
				rest = rest[1:]
			}
		} else {
			rest = ""
		}
		w.rest = rest
		dir := w.path.Dentry.Inode()
		if dir == nil {
			return unix.ENOENT
		}
		if !dir.IsDir() {
			return unix.ENOTDIR
		}
		if err := search(w.c.Cred(), dir); err != nil {
			return err
		}
		if rest == "" && w.npending == 0 {
			w.last = name
			w.trailing = w.trailing || n >= 0
			switch name {
			case ".":
				w.kind = lastDot
			case "..":
				w.kind = lastDotDot
			default:
				w.kind = lastNormal
			}
			return nil
		}
		if err := w.step(name, true); err != nil {
			return err
		}
	}
}

// step goes to name from a directory that has been checked. A symbolic link
// is followed by queueing its target, so the caller walks on.
func (w *walk) step(name string, follow bool) error {
	if name[0] == '.' {
		if name == "." {
			return nil
		}
		if name == ".." {
			return w.up()
		}
	}
	d, err := w.path.Dentry.child(w.c, name)
	if err != nil {
		return err
	}
	return w.enter(d, follow)
}

func (w *walk) up() error {
	if w.path == w.root && w.flags&ResolveBeneath != 0 {
		return unix.EXDEV
	}
	p := w.path.up(w.root)
	if p.Mount != w.path.Mount && w.flags&ResolveNoXDev != 0 {
		return unix.EXDEV
	}
	w.path = p
	return nil
}

// enter makes d, a child of where the walk is, the new place: it crosses
// mounts and follows links.
func (w *walk) enter(d *Dentry, follow bool) error {
	i := d.Inode()
	if recorder != nil {
		w.record(d, i != nil)
	}
	if i == nil {
		return unix.ENOENT
	}
	p := Path{w.path.Mount, d}
	if d.mounted.Load() != 0 {
		p = p.cross()
		if p.Mount != w.path.Mount && w.flags&ResolveNoXDev != 0 {
			return unix.EXDEV
		}
		if i = p.Dentry.Inode(); i == nil {
			return unix.ENOENT
		}
	}
	if i.Type() != unix.S_IFLNK || !follow {
		w.path = p
		return nil
	}
	return w.follow(p, i)
}

// follow queues the target of the link i at p, or jumps through a magic link.
func (w *walk) follow(p Path, i *Inode) error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	if w.flags&ResolveNoSymlinks != 0 || p.Mount != nil && p.Mount.Flags()&msNoSymFollow != 0 {
		return unix.ELOOP
	}
	if m, ok := i.Ops.(LinkFollower); ok {
		to, err := m.FollowLink(w.c, i)
		if err != nil {
			return err
		}
		if to.Valid() {
			if w.flags&ResolveNoMagicLinks != 0 {
				return unix.ELOOP
			}
			if w.flags&(ResolveBeneath|ResolveInRoot) != 0 || w.flags&ResolveNoXDev != 0 && to.Mount != w.path.Mount {
				return unix.EXDEV
			}
			if to.Inode() == nil {
				return unix.ENOENT
			}
			w.path = to
			return nil
		}
	}
	target, err := i.Ops.Readlink(w.c, i)
	if err != nil {
		return err
	}
	i.Accessed(p.Mount)
	if target == "" {
		return unix.ENOENT
	}
	if w.rest != "" {
		w.push(w.rest)
	}
	if target[0] == '/' {
		if w.flags&ResolveBeneath != 0 {
			return unix.EXDEV
		}
		if w.root.Mount != w.path.Mount && w.flags&ResolveNoXDev != 0 {
			return unix.EXDEV
		}
		w.path = w.root
	}
	w.rest = target
	return nil
}

// finish resolves the final component that parent left, following links
// there if follow says so, until w.path is where the path leads.
func (w *walk) finish(follow bool) error {
	for {
		if w.kind == lastRoot {
			break
		}
		w.rest = ""
		if err := w.step(w.last, follow || w.trailing); err != nil {
			return err
		}
		if w.rest == "" {
			break
		}
		if err := w.parent(); err != nil {
			return err
		}
	}
	if w.trailing || w.flags&Directory != 0 {
		if !w.path.Inode().IsDir() {
			return unix.ENOTDIR
		}
	}
	return nil
}

// Lookup walks path from start (nil: the working directory).
func Lookup(c Caller, start *Path, path string, flags LookupFlags) (Path, error) {
	var w walk
	if err := w.begin(c, start, path, flags); err != nil {
		return Path{}, err
	}
	if err := w.parent(); err != nil {
		return Path{}, err
	}
	if err := w.finish(flags&Follow != 0); err != nil {
		return Path{}, err
	}
	return w.path, nil
}

// Readlink serves readlink(2) for the link at p.
func Readlink(c Caller, p Path) (string, error) {
	i := p.Inode()
	if i.Type() != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	s, err := i.Ops.Readlink(c, i)
	if err == nil {
		i.Accessed(p.Mount)
	}
	return s, err
}
