// Package manifest reads and writes OSv's manifests: lists of guest paths and
// the host's files that stand there.
//
//	# a comment, as is a line of [manifest]
//	/usr/bin/hello: build/hello        a file; links on the host are followed
//	/usr/lib/**: /opt/app/lib/**       all files below a directory
//	/&/etc/hosts: static/&             /etc/hosts: static/etc/hosts
//	/etc/mtab: ->/proc/mounts          a symbolic link
//	/usr/lib/libz.so: !libz.so         the host's link itself, not followed
//	/opt/x: %(dir)s/x                  a variable
//	/var/empty: /tmp                   an empty directory, as the host's
//	include other.manifest             the lines of another manifest
//
// Relative host paths begin at the manifest's own directory. The format is
// that of OSv's scripts/manifest_common.py; include is husk's.
package manifest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"husk/host/rootfs"
)

// Limits of what is read; beyond them a manifest is refused.
const (
	maxLine     = 64 << 10
	maxEntries  = 1 << 20
	maxIncludes = 16 // deep
)

// Entry is one line.
type Entry struct {
	Guest string // absolute path in the image, perhaps a pattern
	Host  string // what follows the colon, variables filled in
	Dir   string // where relative host paths begin
	Where string // file and line, for messages
}

// Error says what is wrong with a manifest, and where.
type Error struct {
	Where  string
	Reason string
	Err    error // the cause, or nil
}

func (e *Error) Error() string { return e.Where + ": " + e.Reason }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Read reads a manifest and those it includes. vars are what %(name)s stands
// for.
func Read(file string, vars map[string]string) ([]Entry, error) {
	r := &reader{vars: vars}
	if err := r.file(file); err != nil {
		return nil, err
	}
	return r.entries, nil
}

type reader struct {
	vars    map[string]string
	entries []Entry
	open    []string // files being read, outermost first
}

func (r *reader) file(name string) error {
	abs, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	switch {
	case slices.Contains(r.open, abs):
		return &Error{Where: name, Reason: "includes itself"}
	case len(r.open) == maxIncludes:
		return &Error{Where: name, Reason: "is included too deeply"}
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	defer f.Close()
	r.open = append(r.open, abs)
	defer func() { r.open = r.open[:len(r.open)-1] }()
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLine)
	n := 0
	for s.Scan() {
		n++
		if err := r.line(s.Text(), filepath.Dir(name), fmt.Sprintf("%s:%d", name, n)); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return &Error{Where: fmt.Sprintf("%s:%d", name, n+1), Reason: err.Error(), Err: err}
	}
	return nil
}

func (r *reader) line(text, dir, where string) error {
	text = strings.TrimSpace(text)
	switch {
	case text == "" || text[0] == '#' || text == "[manifest]":
		return nil
	case strings.HasPrefix(text, "include "):
		name, err := expand(strings.TrimSpace(text[len("include "):]), r.vars)
		if err != nil {
			return &Error{where, err.Error(), err}
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := r.file(name); err != nil {
			var own *Error
			if errors.As(err, &own) {
				return err
			}
			return &Error{where, err.Error(), err}
		}
		return nil
	}
	guest, host, ok := strings.Cut(text, ": ")
	if !ok {
		return &Error{Where: where, Reason: "expected \"guest path: host path\""}
	}
	// OSv's scripts end the host's path at another colon and space.
	host, _, _ = strings.Cut(host, ": ")
	guest, host = strings.TrimSpace(guest), strings.TrimSpace(host)
	host, err := expand(host, r.vars)
	switch {
	case err != nil:
		return &Error{where, err.Error(), err}
	case host == "" || host == "->" || host == "!":
		return &Error{Where: where, Reason: "names no host path"}
	case !strings.HasPrefix(guest, "/"):
		return &Error{Where: where, Reason: fmt.Sprintf("the guest path %q is not absolute", guest)}
	case len(r.entries) == maxEntries:
		return &Error{Where: where, Reason: "too many lines"}
	}
	r.entries = append(r.entries, Entry{guest, host, dir, where})
	return nil
}

// expand fills %(name)s in, and %% for a percent sign, as Python's operator.
func expand(s string, vars map[string]string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for {
		plain, rest, ok := strings.Cut(s, "%")
		b.WriteString(plain)
		if !ok {
			return b.String(), nil
		}
		if after, ok := strings.CutPrefix(rest, "%"); ok {
			b.WriteByte('%')
			s = after
			continue
		}
		name, after, ok := strings.Cut(strings.TrimPrefix(rest, "("), ")s")
		if !ok || rest[0] != '(' {
			return "", errors.New("a percent sign that begins no %(name)s (write %% for the sign itself)")
		}
		value, known := vars[name]
		if !known {
			return "", fmt.Errorf("the variable %s has no value (give one with -D %s=VALUE)", name, name)
		}
		b.WriteString(value)
		s = after
	}
}

// Place puts what the entries describe into a tree. Later lines replace
// earlier ones. A host path that is missing is an error that names the line.
func Place(t *rootfs.Tree, entries []Entry) error {
	for i := range entries {
		if err := entries[i].place(t); err != nil {
			return &Error{entries[i].Where, err.Error(), err}
		}
	}
	return nil
}

func (e *Entry) place(t *rootfs.Tree) error {
	guest, host := e.Guest, e.Host
	if target, ok := strings.CutPrefix(host, "->"); ok {
		return t.Symlink(target, guest)
	}
	host, keepLink := strings.CutPrefix(host, "!")
	at := func(p string) string {
		if filepath.IsAbs(p) {
			return filepath.Clean(p)
		}
		return filepath.Join(e.Dir, p)
	}
	if strings.HasSuffix(guest, "/**") && strings.HasSuffix(host, "/**") {
		return below(t, strings.TrimSuffix(guest, "**"), at(strings.TrimSuffix(host, "**")))
	}
	if prefix, suffix, ok := strings.Cut(guest, "/&/"); ok && strings.HasSuffix(host, "/&") {
		guest, host = prefix+"/"+suffix, strings.TrimSuffix(host, "&")+suffix
	}
	return place(t, guest, at(host), keepLink)
}

// below places all that lies in a directory. A link to a file becomes the
// file, as in OSv; a link to a directory, which OSv leaves out, stays a link.
func below(t *rootfs.Tree, guest, host string) error {
	info, err := os.Stat(host)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "list", Path: host, Err: errors.New("not a directory")}
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil || rel == "." {
			return err
		}
		to := path.Join(guest, filepath.ToSlash(rel))
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Stat(p)
			return place(t, to, p, err != nil || target.IsDir())
		}
		return place(t, to, p, false)
	})
}

// place puts one host file, or an empty directory, at a path.
func place(t *rootfs.Tree, guest, host string, keepLink bool) error {
	n, err := rootfs.HostFile(host, !keepLink)
	if err != nil {
		return err
	}
	if !n.IsDir() && strings.HasSuffix(guest, "/") {
		guest = path.Join(guest, filepath.Base(host))
	}
	return t.Put(guest, n)
}
