// Package sysroot is a directory seen as the root of a file system: paths are
// absolute, slash-separated and never leave it, and symbolic links are
// followed inside it. "/" is the host's own root.
//
// A Root remembers everything it was asked, absent files included. That memory
// makes repeated questions free while a tree is gathered, and is afterwards
// the list of all that the answer depended on (Seen), by which a cached result
// is known to be still true.
//
// A Root is used by one goroutine at a time.
package sysroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The file types of Info.Mode, as in stat(2) on Linux.
const (
	TypeMask = 0o170000
	TypeSock = 0o140000
	TypeLink = 0o120000
	TypeReg  = 0o100000
	TypeBlk  = 0o060000
	TypeDir  = 0o040000
	TypeChr  = 0o020000
	TypeFifo = 0o010000
)

// maxLinks is how many symbolic links one path may lead through, as in Linux.
const maxLinks = 40

// ErrLoop reports a path that leads through too many symbolic links.
var ErrLoop = errors.New("too many levels of symbolic links")

// Info is what is known of a file, in Linux's words on every host. Hosts that
// lack an idea (owners on Windows) leave zeros.
type Info struct {
	Mode         uint32
	UID, GID     uint32
	Nlink        uint32
	Major, Minor uint32 // of a device file
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // nanoseconds since 1970
}

// Type is the file's type: TypeReg, TypeDir, …
func (i *Info) Type() uint32 { return i.Mode & TypeMask }

// IsDir and IsRegular tell the two common types.
func (i *Info) IsDir() bool { return i.Type() == TypeDir }

// IsRegular reports whether the file is a regular one.
func (i *Info) IsRegular() bool { return i.Type() == TypeReg }

// Root is a directory seen as a root.
type Root struct {
	dir   string // host directory without a trailing slash; "" is the host's root
	seen  map[string]*entry
	binds map[string]string
}

// entry is one canonical path that was looked at.
type entry struct {
	info   Info
	err    error
	target string
	names  []string // of a directory, when listed
	listed bool
}

// Open returns the directory dir as a Root; "" or "/" is the host's own root.
func Open(dir string) (*Root, error) {
	r := &Root{seen: map[string]*entry{}, binds: map[string]string{}}
	if dir == "" || dir == "/" {
		return r, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("sysroot %q: %w", dir, err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("sysroot %q: not a directory", dir)
	}
	r.dir = strings.TrimSuffix(abs, string(filepath.Separator))
	return r, nil
}

// Own reports whether the root is the host's own.
func (r *Root) Own() bool { return r.dir == "" }

// String names the root for messages.
func (r *Root) String() string {
	if r.dir == "" {
		return "/"
	}
	return r.dir
}

// Host is the host's name of a canonical path.
func (r *Root) Host(p string) string {
	if h, ok := r.binds[p]; ok {
		return h
	}
	if r.dir == "" {
		return filepath.FromSlash(p)
	}
	return r.dir + filepath.FromSlash(p)
}

// Bind places the host's file at the path p, whose directories need not
// exist. It stands before what the root itself has there.
func (r *Root) Bind(p, host string) error {
	p = path.Clean("/" + p)
	info, err := lstat(host)
	if err != nil {
		return err
	}
	if info.Type() == TypeLink {
		// The bound file is what the host's link leads to; the link's own
		// target means nothing in here.
		if host, err = filepath.EvalSymlinks(host); err != nil {
			return err
		}
		if info, err = lstat(host); err != nil {
			return err
		}
	}
	for d := path.Dir(p); d != "/"; d = path.Dir(d) {
		if e := r.look(d); e.err != nil {
			r.seen[d] = &entry{info: Info{Mode: TypeDir | 0o755, Nlink: 2}}
			r.binds[d] = ""
		}
	}
	r.binds[p] = host
	r.seen[p] = &entry{info: info}
	return nil
}

// look answers from memory, else from the host. p is canonical but for its
// last component.
func (r *Root) look(p string) *entry {
	if e := r.seen[p]; e != nil {
		return e
	}
	e := &entry{}
	e.info, e.err = lstat(r.Host(p))
	if e.err == nil && e.info.Type() == TypeLink {
		e.target, e.err = os.Readlink(r.Host(p))
		e.target = filepath.ToSlash(e.target)
	}
	r.seen[p] = e
	return e
}

// Resolved is where a path leads.
type Resolved struct {
	Path  string   // canonical: no symbolic link in it
	Links []string // the symbolic links passed, by canonical path, in order
	Info  Info
}

// Resolve follows every symbolic link in p. When something is missing the
// error is fs.ErrNotExist and the links passed so far are still told.
func (r *Root) Resolve(p string) (Resolved, error) { return r.resolve(p, true) }

// Lresolve is Resolve that does not follow the last component.
func (r *Root) Lresolve(p string) (Resolved, error) { return r.resolve(p, false) }

func (r *Root) resolve(p string, last bool) (Resolved, error) {
	var res Resolved
	orig := p
	cur := "" // canonical so far; "" is the root
	rest := p
	e := r.look("/")
	if e.err != nil {
		return res, &fs.PathError{Op: "open", Path: r.String(), Err: e.err}
	}
	for {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			break
		}
		name, after, _ := strings.Cut(rest, "/")
		rest = after
		switch name {
		case ".":
			continue
		case "..":
			cur = path.Dir("/" + cur)
			if cur == "/" {
				cur = ""
			}
			e = r.look(canonical(cur))
			continue
		}
		if !e.info.IsDir() {
			return res, &fs.PathError{Op: "open", Path: orig, Err: errNotDir}
		}
		next := cur + "/" + name
		e = r.look(next)
		if e.err != nil {
			err := e.err
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return res, &fs.PathError{Op: "open", Path: orig, Err: err}
		}
		if e.info.Type() != TypeLink || !last && strings.Trim(rest, "/") == "" {
			cur = next
			continue
		}
		if len(res.Links) == maxLinks {
			return res, &fs.PathError{Op: "open", Path: orig, Err: ErrLoop}
		}
		res.Links = append(res.Links, next)
		rest = e.target + "/" + rest
		if strings.HasPrefix(e.target, "/") {
			cur = ""
		}
		e = r.look(canonical(cur))
	}
	res.Path = canonical(cur)
	res.Info = e.info
	return res, nil
}

// errNotDir is an absence too: a path through a file names nothing.
var errNotDir = fmt.Errorf("not a directory (%w)", fs.ErrNotExist)

func canonical(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

// Exists reports whether p leads to anything.
func (r *Root) Exists(p string) bool {
	_, err := r.Resolve(p)
	return err == nil
}

// Readlink is the target of the link at the canonical path p.
func (r *Root) Readlink(p string) string { return r.look(p).target }

// Lstat is the information on a canonical path.
func (r *Root) Lstat(p string) (Info, error) {
	e := r.look(p)
	return e.info, e.err
}

// OpenFile opens what p leads to.
func (r *Root) OpenFile(p string) (*os.File, Resolved, error) {
	res, err := r.Resolve(p)
	if err != nil {
		return nil, res, err
	}
	if !res.Info.IsRegular() {
		return nil, res, &fs.PathError{Op: "open", Path: p, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(r.Host(res.Path))
	return f, res, err
}

// ReadFile reads at most limit bytes of what p leads to.
func (r *Root) ReadFile(p string, limit int64) ([]byte, error) {
	f, res, err := r.OpenFile(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(limit, res.Info.Size))
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	return b, nil
}

// ReadDir is the sorted list of names in the directory that p leads to. From
// then on the directory's modification time is part of what was seen.
func (r *Root) ReadDir(p string) ([]string, error) {
	res, err := r.Resolve(p)
	if err != nil {
		return nil, err
	}
	if !res.Info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: errNotDir}
	}
	e := r.look(res.Path)
	if e.listed {
		return e.names, nil
	}
	if h, ok := r.binds[res.Path]; ok && h == "" {
		return nil, nil // a directory that exists only to hold a bound file
	}
	f, err := os.Open(r.Host(res.Path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e.names, err = f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(e.names)
	e.listed = true
	return e.names, nil
}

// Glob is the sorted list of paths that match the pattern (path.Match's, a
// component at a time). Directories are listed only for components that have
// a wildcard; the last component exists.
func (r *Root) Glob(pattern string) []string {
	found := []string{""}
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, d := range found {
			if !strings.ContainsAny(part, "*?[\\") {
				if r.Exists(d + "/" + part) {
					next = append(next, d+"/"+part)
				}
				continue
			}
			names, err := r.ReadDir(canonical(d))
			if err != nil {
				continue
			}
			for _, n := range names {
				if strings.HasPrefix(n, ".") && !strings.HasPrefix(part, ".") {
					continue
				}
				if ok, err := path.Match(part, n); ok && err == nil && r.Exists(d+"/"+n) {
					next = append(next, d+"/"+n)
				}
			}
		}
		found = next
	}
	return found
}

// Seen is one thing that was looked at: with all of these unchanged, a second
// run over the root sees what the first one saw.
type Seen struct {
	Host   string // the host's path
	Absent bool
	Listed bool // a directory whose list of names was read
	Info   Info
}

// Seen lists all that was looked at, sorted by host path.
func (r *Root) Seen() []Seen {
	all := make([]Seen, 0, len(r.seen))
	for p, e := range r.seen {
		if h, ok := r.binds[p]; ok && h == "" {
			continue
		}
		all = append(all, Seen{Host: r.Host(p), Absent: e.err != nil, Listed: e.listed, Info: e.info})
	}
	slices.SortFunc(all, func(a, b Seen) int { return strings.Compare(a.Host, b.Host) })
	return all
}

// Fresh reports whether the host still shows what was seen.
func (s *Seen) Fresh() bool {
	now, err := lstat(s.Host)
	if err != nil || s.Absent {
		return err != nil && s.Absent
	}
	was := s.Info
	if was.IsDir() && !s.Listed {
		// Only its being there mattered, and how it looks from outside:
		// what else happens in /tmp or in a home directory does not count.
		return now.Mode == was.Mode && now.Ino == was.Ino && now.Dev == was.Dev && now.UID == was.UID && now.GID == was.GID
	}
	return now.Mode == was.Mode && now.Ino == was.Ino && now.Dev == was.Dev && now.UID == was.UID && now.GID == was.GID &&
		now.Size == was.Size && now.Mtime == was.Mtime && now.Ctime == was.Ctime
}

// Stat is the information on a host path itself (a link is not followed).
func Stat(host string) (Info, error) { return lstat(host) }
