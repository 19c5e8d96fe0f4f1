package rootfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"husk/host/elfdeps"
	"husk/host/sysroot"
)

// Options say what to gather.
type Options struct {
	// Program is a path, or a name that is looked up in PATH. A path that
	// does not exist under Sysroot is a file of the host, placed at its
	// absolute path.
	Program string
	// Sysroot is the directory that has the libraries; "" is the host's root.
	Sysroot string
	// Env is the program's environment: PATH, LD_LIBRARY_PATH, LD_PRELOAD,
	// TERM, TZ and the locale variables decide what is gathered.
	Env []string
	// Cwd is a directory that is to exist, empty; "" for none.
	Cwd string
	// Machine is the guest's processor; 0 is x86-64.
	Machine elf.Machine
}

// Version changes whenever Build gathers something else for the same options:
// what was cached by an older one is then not found.
const Version = "2"

// DefaultPath is searched when the environment has no PATH.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Relevant are the environment variables that Build looks at: with these and
// the other options equal, it gathers the same.
var Relevant = []string{
	"PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "TERM", "TZ", "LANG", "LANGUAGE",
	"LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_COLLATE", "LC_NUMERIC", "LC_TIME", "LC_MONETARY",
}

// Build gathers the tree of one program.
func Build(o Options) (*Tree, error) {
	b, err := newBuilder(o)
	if err != nil {
		return nil, err
	}
	p, err := b.place(o.Program)
	if err != nil {
		return nil, err
	}
	b.tree.Program = p
	if err := b.program(p, 0); err != nil {
		return nil, err
	}
	return b.finish()
}

// BuildMany gathers one tree that serves many programs. Those that cannot be
// gathered are told in the map, by the name given.
func BuildMany(programs []string, o Options) (*Tree, map[string]error, error) {
	b, err := newBuilder(o)
	if err != nil {
		return nil, nil, err
	}
	bad := map[string]error{}
	for _, name := range programs {
		p, err := b.place(name)
		if err == nil {
			err = b.program(p, 0)
		}
		if err != nil {
			bad[name] = err
		}
	}
	t, err := b.finish()
	return t, bad, err
}

// builder is one run of gathering.
type builder struct {
	opts Options
	bare bool // without a root
	env  map[string]string
	root *sysroot.Root
	tree *Tree
	res  *elfdeps.Resolver

	closures []*elfdeps.Closure
	last     *elfdeps.Closure // of the program at hand
	programs map[string]bool  // done, by path
	hints    map[int]bool     // done, by index
	trees    map[string]bool  // gathered whole, by canonical path
	modules  []string         // shared objects in trees, to be resolved
	libs     map[string]string
	skipLib  map[string]bool
}

func newBuilder(o Options) (*builder, error) {
	root, err := sysroot.Open(o.Sysroot)
	if err != nil {
		return nil, err
	}
	if o.Machine == 0 {
		o.Machine = elf.EM_X86_64
	}
	b := &builder{
		opts: o, env: map[string]string{}, root: root, tree: NewTree(),
		programs: map[string]bool{}, hints: map[int]bool{}, trees: map[string]bool{},
		libs: map[string]string{}, skipLib: map[string]bool{},
	}
	for _, kv := range o.Env {
		k, v, _ := strings.Cut(kv, "=")
		b.env[k] = v
	}
	var libraryPath []string
	for d := range strings.FieldsFuncSeq(b.env["LD_LIBRARY_PATH"], func(r rune) bool { return r == ':' || r == ';' }) {
		if strings.HasPrefix(d, "/") {
			libraryPath = append(libraryPath, d)
		}
	}
	b.res, err = elfdeps.NewResolver(elfdeps.Options{Root: root, Machine: o.Machine, LibraryPath: libraryPath})
	return b, err
}

// place finds a program and says at which path it stands in the tree.
func (b *builder) place(program string) (string, error) {
	if program == "" {
		return "", errors.New("no program given")
	}
	if !strings.ContainsAny(program, `/`+string(filepath.Separator)) {
		if p := b.lookPath(program); p != "" {
			return p, nil
		}
		return "", &fs.PathError{Op: "find", Path: program, Err: fmt.Errorf("no such program in PATH (%w)", fs.ErrNotExist)}
	}
	if !b.root.Own() && path.IsAbs(program) && b.root.Exists(program) {
		return path.Clean(program), nil
	}
	abs, err := filepath.Abs(program)
	if err != nil {
		return "", err
	}
	p := path.Clean("/" + strings.TrimPrefix(filepath.ToSlash(abs), filepath.ToSlash(filepath.VolumeName(abs))))
	if b.root.Own() && filepath.VolumeName(abs) == "" {
		if _, err := b.root.Resolve(p); err != nil {
			return "", err
		}
		return p, nil
	}
	if err := b.root.Bind(p, abs); err != nil {
		return "", err
	}
	return p, nil
}

// lookPath searches PATH inside the root.
func (b *builder) lookPath(name string) string {
	dirs := b.env["PATH"]
	if dirs == "" {
		dirs = DefaultPath
	}
	for d := range strings.SplitSeq(dirs, ":") {
		if !strings.HasPrefix(d, "/") {
			continue
		}
		p := path.Join(d, name)
		if r, err := b.root.Resolve(p); err == nil && r.Info.IsRegular() && r.Info.Mode&0o111 != 0 {
			return p
		}
	}
	return ""
}

// maxScripts is how many #! lines may lead to one another, as in Linux.
const maxScripts = 5

// program gathers a program, or a script and its interpreter, at a path.
func (b *builder) program(p string, depth int) error {
	if b.programs[p] {
		return nil
	}
	res, err := b.root.Resolve(p)
	if err != nil {
		return err
	}
	if res.Info.IsRegular() && res.Info.Mode&0o111 == 0 {
		return &elfdeps.FormatError{Path: p, Kind: elfdeps.NoPermission, Detail: "is not executable (allow it with chmod +x)"}
	}
	head, err := b.head(res)
	if err != nil {
		return err
	}
	if rest, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		if depth == maxScripts {
			return fmt.Errorf("%s: more than %d scripts interpret one another", p, maxScripts)
		}
		if err := b.script(p, rest, depth); err != nil {
			return err
		}
	} else {
		c, err := b.res.Resolve(p)
		if err != nil {
			return err
		}
		b.last = c
		b.closures = append(b.closures, c)
		if err := b.closure(c); err != nil {
			return err
		}
		if err := b.preload(c); err != nil {
			return err
		}
		if err := b.runtimes(c, len(c.Libs), p, res); err != nil {
			return err
		}
	}
	if err := b.add(p); err != nil {
		return err
	}
	b.programs[p] = true
	return nil
}

// head reads the first bytes of a file, as much as Linux looks at (BINPRM_BUF_SIZE).
func (b *builder) head(res sysroot.Resolved) ([]byte, error) {
	if !res.Info.IsRegular() {
		return nil, nil
	}
	f, _, err := b.root.OpenFile(res.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf [256]byte
	n, _ := f.ReadAt(buf[:], 0)
	return buf[:n], nil
}

// script gathers the interpreter that the line behind "#!" names, and what
// env(1) is asked to start.
func (b *builder) script(p string, line []byte, depth int) error {
	line, _, _ = bytes.Cut(line, []byte("\n"))
	text := strings.Trim(string(line), " \t\r")
	interp, arg, _ := strings.Cut(text, " ")
	if i := strings.IndexByte(text, '\t'); i >= 0 && i < len(interp) {
		interp, arg = text[:i], text[i+1:]
	}
	if interp == "" {
		return &elfdeps.FormatError{Path: p, Kind: elfdeps.NotELF, Detail: "is a script that names no interpreter after #!"}
	}
	if !path.IsAbs(interp) {
		return &elfdeps.FormatError{Path: p, Kind: elfdeps.NotELF, Detail: fmt.Sprintf("is a script whose interpreter %q is not an absolute path", interp)}
	}
	err := b.program(interp, depth+1)
	if errors.Is(err, fs.ErrNotExist) && !b.root.Exists(interp) {
		return &elfdeps.NotFoundError{Name: interp, NeededBy: p, Interp: true, Root: b.root.String()}
	}
	if err != nil {
		return fmt.Errorf("interpreter of %s: %w", p, err)
	}
	if path.Base(interp) != "env" {
		return nil
	}
	for _, w := range strings.Fields(arg) {
		if strings.HasPrefix(w, "-") || strings.Contains(w, "=") {
			continue
		}
		target := w
		if !strings.Contains(w, "/") {
			target = b.lookPath(w)
		}
		if target == "" || !path.IsAbs(target) {
			return &elfdeps.NotFoundError{Name: w, NeededBy: p, Interp: true, Root: b.root.String()}
		}
		if err := b.program(target, depth+1); err != nil {
			return fmt.Errorf("interpreter of %s: %w", p, err)
		}
		break
	}
	return nil
}

// closure adds the files of a closure that are not in the tree yet.
func (b *builder) closure(c *elfdeps.Closure) error {
	for _, o := range c.Objects() {
		if err := b.object(c, o); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) object(c *elfdeps.Closure, o *elfdeps.Object) error {
	if o == nil {
		return nil
	}
	if !c.Musl && o != c.Program && o != c.Interp && !strings.Contains(o.Name, "/") {
		if len(o.Variants) > 0 {
			// The cache would lead past the better builds.
			b.skipLib[o.Name] = true
		} else if b.res.SystemDir(path.Dir(o.Path)) && b.libs[o.Name] == "" {
			b.libs[o.Name] = o.Path
		}
	}
	return b.add(o.Path)
}

// preload adds what LD_PRELOAD names.
func (b *builder) preload(c *elfdeps.Closure) error {
	if c.Static() {
		return nil
	}
	for name := range strings.FieldsFuncSeq(b.env["LD_PRELOAD"], func(r rune) bool { return r == ':' || r == ' ' }) {
		if path.IsAbs(name) {
			b.modules = append(b.modules, name)
		} else if o, err := b.res.Find(c, name); err == nil {
			if err := b.object(c, o); err != nil {
				return err
			}
		}
	}
	return b.resolveModules(c)
}

// resolveModules adds what the shared objects found in trees need. They are
// loaded at run time, if at all, so what is missing is only a warning.
func (b *builder) resolveModules(c *elfdeps.Closure) error {
	mods := b.modules
	b.modules = nil
	own := map[string]bool{}
	for _, m := range mods {
		own[path.Base(m)] = true
	}
	for _, m := range mods {
		_, err := b.res.Add(c, m)
		var nf *elfdeps.NotFoundError
		var fe *elfdeps.FormatError
		switch {
		case errors.As(err, &nf) && own[nf.Name]:
			// A runtime has loaded its own part by path before (libjvm.so).
		case errors.As(err, &nf):
			b.warn("%s is needed by %s and was not found", nf.Name, nf.NeededBy)
		case errors.As(err, &fe):
			// Not for this machine: nothing can load it.
		case err != nil:
			b.warn("%v", err)
		}
	}
	return b.closure(c)
}

func (b *builder) warn(format string, args ...any) {
	w := fmt.Sprintf(format, args...)
	if !slices.Contains(b.tree.Warnings, w) {
		b.tree.Warnings = append(b.tree.Warnings, w)
	}
}

// add puts what p leads to into the tree, with every symbolic link passed on
// the way. Of a directory only itself is added.
func (b *builder) add(p string) error {
	res, err := b.root.Resolve(p)
	for _, l := range res.Links {
		if err := b.place1(l); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return b.place1(res.Path)
}

// addIf is add of what may be absent.
func (b *builder) addIf(paths ...string) error {
	for _, p := range paths {
		if err := b.add(p); err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

// absent reports errors that mean: not there, or not for us.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, sysroot.ErrLoop)
}

// place1 puts one canonical path into the tree, and its directories.
func (b *builder) place1(p string) error {
	if old := b.tree.Lookup(p); old != nil && p != "/" {
		return nil
	}
	info, err := b.root.Lstat(p)
	if err != nil {
		return err
	}
	if p != "/" {
		if err := b.place1(path.Dir(p)); err != nil {
			return err
		}
	} else if b.tree.Root.ino != 0 {
		return nil
	}
	if info.Type() == sysroot.TypeSock {
		return nil
	}
	return b.tree.Put(p, b.tree.hostNode(b.root.Host(p), &info, b.root.Readlink(p)))
}

// addTree adds the directory that p leads to, with all in it but what skip
// rejects (by canonical path), and what links in it lead to.
func (b *builder) addTree(p string, skip func(p string, info *sysroot.Info) bool) error {
	res, err := b.root.Resolve(p)
	if err != nil {
		return err
	}
	if err := b.add(p); err != nil {
		return err
	}
	if !res.Info.IsDir() {
		b.module(res.Path)
		return nil
	}
	return b.fill(res.Path, skip, 0)
}

func (b *builder) fill(dir string, skip func(p string, info *sysroot.Info) bool, depth int) error {
	if b.trees[dir] || depth > 64 {
		return nil
	}
	if b.trees == nil {
		b.trees = map[string]bool{}
	}
	b.trees[dir] = true
	names, err := b.root.ReadDir(dir)
	if err != nil {
		if absent(err) {
			b.warn("%s cannot be read: %v", dir, err)
			return nil
		}
		return err
	}
	for _, name := range names {
		p := strings.TrimSuffix(dir, "/") + "/" + name
		info, err := b.root.Lstat(p)
		if err != nil {
			continue // gone since, or a link that cannot be read
		}
		if skip != nil && skip(p, &info) {
			continue
		}
		if b.res != nil && !b.readable(p, &info) {
			b.warn("%s may not be read and is left out", p)
			continue
		}
		if err := b.place1(p); err != nil {
			return err
		}
		switch info.Type() {
		case sysroot.TypeDir:
			if err := b.fill(p, skip, depth+1); err != nil {
				return err
			}
		case sysroot.TypeLink:
			if b.res == nil {
				continue // a whole directory is taken as it is
			}
			res, err := b.root.Resolve(p)
			if err != nil {
				continue
			}
			if err := b.add(p); err != nil {
				return err
			}
			if res.Info.IsDir() && strings.Count(res.Path, "/") > 1 {
				if err := b.fill(res.Path, skip, depth+1); err != nil {
					return err
				}
			}
			b.module(res.Path)
		case sysroot.TypeReg:
			b.module(p)
		}
	}
	return nil
}

// readable tries files that not everybody may read: a runtime's tree can hold
// configuration that is none of ours.
func (b *builder) readable(p string, info *sysroot.Info) bool {
	if !info.IsRegular() || info.Mode&0o004 != 0 {
		return true
	}
	f, err := os.Open(b.root.Host(p))
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// module remembers a file that is a shared object by its name.
func (b *builder) module(p string) {
	base := path.Base(p)
	if strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.") || strings.HasSuffix(base, ".node") {
		b.modules = append(b.modules, p)
	}
}

// finish adds what every root has.
func (b *builder) finish() (*Tree, error) {
	if err := b.base(); err != nil {
		return nil, err
	}
	maps.DeleteFunc(b.libs, func(n, _ string) bool { return b.skipLib[n] })
	if len(b.libs) > 0 {
		if err := b.tree.WriteFile("/etc/ld.so.cache", elfdeps.WriteCache(b.opts.Machine, b.libs), 0o644); err != nil {
			return nil, err
		}
	}
	if files, size := b.tree.Stats(); size > hugeTree {
		b.warn("%d files of %d MB are gathered (%s …); -r / uses the host's files in place", files, size>>20, strings.Join(b.tree.Large(2), ", "))
	}
	b.tree.Seen = b.root.Seen()
	return b.tree, nil
}

// hugeTree is from how many bytes on people should know of another way.
const hugeTree = 2 << 30

// foreign reports that nothing of the root's own /etc and the like is to be
// taken: it is the host's own and the host no Linux, or there is none.
func (b *builder) foreign() bool { return b.bare || b.root.Own() && runtime.GOOS != "linux" }
