package elfdeps

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"husk/host/sysroot"
)

// Options steer a Resolve.
type Options struct {
	Root        *sysroot.Root // nil: the host's own root
	Machine     elf.Machine   // 0: x86-64
	LibraryPath []string      // directories of LD_LIBRARY_PATH
}

// Object is one file of a closure.
type Object struct {
	Name     string // as it was asked for
	Path     string // as the dynamic linker opens it, links not followed
	Real     string // canonical
	File     *File
	NeededBy *Object   // who asked first; nil for the program
	Needs    []*Object // one for each DT_NEEDED that was found
	// Variants are the glibc-hwcaps builds of the library, which the dynamic
	// linker prefers on processors that have what they want.
	Variants []*Object
}

// Closure is all that a program needs of ELF files, in load order.
type Closure struct {
	Program *Object
	Interp  *Object   // the dynamic linker; nil for static programs
	Libs    []*Object // in load order, without program and interpreter
	Missing []*NotFoundError
	Musl    bool // the dynamic linker is musl's

	byName map[string]*Object
	byReal map[string]*Object
}

// Static reports whether the program runs without a dynamic linker.
func (c *Closure) Static() bool { return c.Interp == nil }

// Objects lists every file: the program, its interpreter, libraries, variants.
func (c *Closure) Objects() []*Object {
	all := []*Object{c.Program}
	if c.Interp != nil {
		all = append(all, c.Interp)
	}
	for _, l := range c.Libs {
		all = append(append(all, l), l.Variants...)
	}
	return all
}

// NotFoundError is a shared library, or an interpreter, that is nowhere.
type NotFoundError struct {
	Name     string
	NeededBy string // path of who needs it
	Interp   bool   // Name is the interpreter
	Searched []string
	Root     string
}

func (e *NotFoundError) Error() string {
	var b strings.Builder
	if e.Interp {
		fmt.Fprintf(&b, "the interpreter %s of %s does not exist", e.Name, e.NeededBy)
		switch {
		case e.Root != "/":
			fmt.Fprintf(&b, " in %s", e.Root)
		case strings.Contains(e.Name, "ld-musl"):
			b.WriteString(" (install musl, or give a directory that has it with --sysroot DIR)")
			return b.String()
		}
		b.WriteString(" (give a root directory that has it with --sysroot DIR)")
		return b.String()
	}
	fmt.Fprintf(&b, "shared library %s, needed by %s, was not found", e.Name, e.NeededBy)
	if len(e.Searched) > 0 {
		fmt.Fprintf(&b, " in %s", strings.Join(e.Searched, ", "))
	}
	if e.Root != "/" {
		fmt.Fprintf(&b, " under %s (add it there or choose another --sysroot DIR)", e.Root)
	} else {
		b.WriteString(" (install the package that has it, name its directory with -e LD_LIBRARY_PATH=DIR, or give --sysroot DIR)")
	}
	return b.String()
}

// Unwrap lets errors.Is(err, fs.ErrNotExist) hold.
func (e *NotFoundError) Unwrap() error { return fs.ErrNotExist }

// Resolver resolves programs in one root, sharing what it has read.
type Resolver struct {
	opts   Options
	root   *sysroot.Root
	target target
	files  map[string]parsed // by canonical path
	conf   []string
	cache  cacheLookup
	system bool // conf and cache are read
	musl   map[string][]string
}

type parsed struct {
	file *File
	err  error
}

// NewResolver makes a Resolver.
func NewResolver(opts Options) (*Resolver, error) {
	if opts.Machine == 0 {
		opts.Machine = elf.EM_X86_64
	}
	if opts.Root == nil {
		root, err := sysroot.Open("/")
		if err != nil {
			return nil, err
		}
		opts.Root = root
	}
	return &Resolver{opts: opts, root: opts.Root, target: targetOf(opts.Machine), files: map[string]parsed{}, musl: map[string][]string{}}, nil
}

// Resolve finds the closure of one program. When libraries are missing the
// closure of the rest is returned beside the error for the first of them.
func Resolve(program string, opts Options) (*Closure, error) {
	r, err := NewResolver(opts)
	if err != nil {
		return nil, err
	}
	return r.Resolve(program)
}

// Parse reads the ELF headers of what the path p leads to.
func (r *Resolver) Parse(p string) (*File, sysroot.Resolved, error) {
	res, err := r.root.Resolve(p)
	if err != nil {
		return nil, res, err
	}
	if got, ok := r.files[res.Path]; ok {
		return got.file, res, got.err
	}
	file, err := r.parse(p, res)
	r.files[res.Path] = parsed{file, err}
	return file, res, err
}

func (r *Resolver) parse(p string, res sysroot.Resolved) (*File, error) {
	switch {
	case res.Info.IsDir():
		return nil, &FormatError{p, NotExecutable, "is a directory, not a program"}
	case !res.Info.IsRegular():
		return nil, &FormatError{p, NotExecutable, "is not a regular file"}
	}
	f, err := os.Open(r.root.Host(res.Path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := Parse(f, res.Info.Size, r.opts.Machine)
	if err != nil {
		return nil, named(p, err)
	}
	file.r = reopen(r.root.Host(res.Path))
	return file, nil
}

// reopen reads from a file that is opened for each read: a closure of many
// files must not hold as many descriptors.
type reopen string

func (p reopen) ReadAt(b []byte, off int64) (int, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(b, off)
}

// Resolve finds the closure of one program.
func (r *Resolver) Resolve(program string) (*Closure, error) {
	file, res, err := r.Parse(program)
	if err != nil {
		return nil, err
	}
	c := &Closure{byName: map[string]*Object{}, byReal: map[string]*Object{}}
	c.Program = &Object{Name: program, Path: program, Real: res.Path, File: file}
	c.byReal[res.Path] = c.Program
	if file.Interp == "" {
		if file.Type == elf.ET_DYN && file.Entry == 0 {
			return nil, &FormatError{program, NotExecutable, "is a shared library, not a program"}
		}
		if len(file.Needed) > 0 && !file.PIE && file.Soname != "" {
			return nil, &FormatError{program, NotExecutable, "is a shared library, not a program"}
		}
		return c, nil
	}
	if err := r.interp(c); err != nil {
		return nil, err
	}
	r.load(c, c.Program)
	if len(c.Missing) > 0 {
		return c, c.Missing[0]
	}
	return c, nil
}

// Add extends a closure by a library that is loaded by path at run time, and
// by what that needs; what is missing is returned and not remembered.
func (r *Resolver) Add(c *Closure, p string) (*Object, error) {
	file, res, err := r.Parse(p)
	if err != nil {
		return nil, err
	}
	if o := c.byReal[res.Path]; o != nil {
		return o, nil
	}
	o := &Object{Name: p, Path: p, Real: res.Path, File: file, NeededBy: c.Program}
	r.register(c, o)
	missing := len(c.Missing)
	r.load(c, o)
	if len(c.Missing) > missing {
		err = c.Missing[missing]
		c.Missing = c.Missing[:missing]
	}
	return o, err
}

// Find looks a library up by name, as dlopen called by the program would.
func (r *Resolver) Find(c *Closure, name string) (*Object, error) {
	if o := c.byName[name]; o != nil {
		return o, nil
	}
	known := len(c.Libs)
	o := r.find(c, c.Program, name, nil)
	if o == nil {
		return nil, fs.ErrNotExist
	}
	if len(c.Libs) == known {
		return o, nil
	}
	missing := len(c.Missing)
	var err error
	r.load(c, o)
	if len(c.Missing) > missing {
		err = c.Missing[missing]
		c.Missing = c.Missing[:missing]
	}
	return o, err
}

func (r *Resolver) interp(c *Closure) error {
	name := c.Program.File.Interp
	if !strings.HasPrefix(name, "/") {
		return &FormatError{c.Program.Path, Corrupt, fmt.Sprintf("has a relative interpreter name %q", name)}
	}
	file, res, err := r.Parse(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &NotFoundError{Name: name, NeededBy: c.Program.Path, Interp: true, Root: r.root.String()}
	}
	if err != nil {
		return fmt.Errorf("the interpreter of %s is unusable: %w", c.Program.Path, err)
	}
	c.Interp = &Object{Name: name, Path: name, Real: res.Path, File: file, NeededBy: c.Program}
	c.byReal[res.Path] = c.Interp
	c.Musl = strings.HasPrefix(path.Base(name), "ld-musl-")
	c.byName[name] = c.Interp
	if file.Soname != "" && !c.Musl {
		c.byName[file.Soname] = c.Interp
	}
	if c.Musl {
		// musl's dynamic linker is its C library, under every name that a
		// C library's parts have had.
		c.byName["libc.so"] = c.Interp
		c.byName[path.Base(name)] = c.Interp
		c.byName["libc.musl-"+r.target.muslArch+".so.1"] = c.Interp
	}
	return nil
}

// muslOwn reports the names that musl's dynamic linker answers itself.
func muslOwn(name string) bool {
	rest, ok := strings.CutPrefix(name, "lib")
	if !ok {
		return false
	}
	stem, _, ok := strings.Cut(rest, ".")
	return ok && slices.Contains([]string{"c", "pthread", "rt", "m", "dl", "util", "xnet"}, stem)
}

// load finds what o needs and what that needs, breadth first: the order of
// the dynamic linkers' search lists.
func (r *Resolver) load(c *Closure, o *Object) {
	queue := []*Object{o}
	for len(queue) > 0 {
		o, queue = queue[0], queue[1:]
		for _, name := range o.File.Needed {
			if l := c.byName[name]; l != nil {
				o.Needs = append(o.Needs, l)
				continue
			}
			if c.Musl && muslOwn(name) {
				o.Needs = append(o.Needs, c.Interp)
				continue
			}
			var tried []string
			known := len(c.Libs)
			l := r.find(c, o, name, &tried)
			if l == nil {
				c.missing(&NotFoundError{Name: name, NeededBy: o.Path, Searched: tried, Root: r.root.String()})
				continue
			}
			o.Needs = append(o.Needs, l)
			if len(c.Libs) > known {
				queue = append(queue, l)
				queue = append(queue, l.Variants...)
			}
		}
	}
}

func (c *Closure) missing(e *NotFoundError) {
	for _, m := range c.Missing {
		if m.Name == e.Name {
			return
		}
	}
	c.Missing = append(c.Missing, e)
}

// register makes a new library known by all its names and puts it into the
// load order.
func (r *Resolver) register(c *Closure, o *Object) {
	c.Libs = append(c.Libs, o)
	c.byReal[o.Real] = o
	if c.byName[o.Name] == nil {
		c.byName[o.Name] = o
	}
	if s := o.File.Soname; s != "" && c.byName[s] == nil && !c.Musl {
		c.byName[s] = o
	}
}

// find searches for a library that o needs and registers it.
func (r *Resolver) find(c *Closure, o *Object, name string, tried *[]string) *Object {
	note := func(dir string) {
		if tried != nil && !slices.Contains(*tried, dir) {
			*tried = append(*tried, dir)
		}
	}
	if strings.Contains(name, "/") {
		for _, p := range r.target.expand(name, r.origin(c, o)) {
			note(p)
			if l := r.try(c, o, name, p); l != nil {
				return l
			}
		}
		return nil
	}
	for _, dir := range r.dirs(c, o) {
		if dir == cacheMarker {
			for _, p := range r.cache[name] {
				if l := r.tryDir(c, o, name, path.Dir(p)); l != nil {
					return l
				}
				if l := r.try(c, o, name, p); l != nil {
					return l
				}
			}
			continue
		}
		note(dir)
		if l := r.tryDir(c, o, name, dir); l != nil {
			return l
		}
	}
	return nil
}

// cacheMarker stands in a list of directories for ld.so.cache.
const cacheMarker = "(cache)"

// dirs lists where a library that o needs is searched for, in order.
func (r *Resolver) dirs(c *Closure, o *Object) []string {
	var dirs []string
	add := func(list []string, by *Object) {
		for _, d := range list {
			for _, e := range r.target.expand(d, r.origin(c, by)) {
				if strings.HasPrefix(e, "/") {
					// Not path.Clean: ".." after a symbolic link is not what it seems.
					dirs = append(dirs, strings.TrimRight(e, "/"))
				}
			}
		}
	}
	if c.Musl {
		// musl: LD_LIBRARY_PATH, then the run paths up the chain of those
		// who needed it (both tags alike), then the path file.
		dirs = append(dirs, r.opts.LibraryPath...)
		for l := o; l != nil; l = l.NeededBy {
			if len(l.File.RunPath) > 0 {
				add(l.File.RunPath, l)
			} else {
				add(l.File.RPath, l)
			}
		}
		return append(dirs, r.muslDirs(c.Interp.Path)...)
	}
	if len(o.File.RunPath) == 0 {
		chain := false
		for l := o; l != nil; l = l.NeededBy {
			chain = chain || l == c.Program
			if len(l.File.RunPath) == 0 {
				add(l.File.RPath, l)
			}
		}
		if p := c.Program; !chain && len(p.File.RunPath) == 0 {
			add(p.File.RPath, p)
		}
	}
	dirs = append(dirs, r.opts.LibraryPath...)
	add(o.File.RunPath, o)
	if o.File.NoDefLib {
		return dirs
	}
	r.readSystem()
	dirs = append(dirs, cacheMarker)
	dirs = append(dirs, r.conf...)
	dirs = append(dirs, r.target.glibcDefaults()...)
	if c.Interp != nil {
		// A C library installed elsewhere (Nix, Guix, a private prefix)
		// searches beside its dynamic linker.
		dirs = append(dirs, path.Dir(c.Interp.Real))
	}
	return dirs
}

func (r *Resolver) muslDirs(interp string) []string {
	if d, ok := r.musl[interp]; ok {
		return d
	}
	d := r.target.muslDirs(r.root, interp)
	r.musl[interp] = d
	return d
}

func (r *Resolver) readSystem() {
	if r.system {
		return
	}
	r.system = true
	r.conf = confDirs(r.root)
	if b, err := r.root.ReadFile("/etc/ld.so.cache", maxCache); err == nil {
		r.cache = parseCache(b, r.target.cacheFlag)
	}
}

// SystemDir reports whether glibc's dynamic linker searches the directory for
// every program: it is in ld.so.conf or compiled in.
func (r *Resolver) SystemDir(dir string) bool {
	r.readSystem()
	return slices.Contains(r.conf, dir) || slices.Contains(r.target.glibcDefaults(), dir)
}

// origin is $ORIGIN for o: the directory of the file as it was opened, and
// for the program with links followed, since the kernel tells it so.
func (r *Resolver) origin(c *Closure, o *Object) string {
	if o == c.Program {
		return path.Dir(o.Real)
	}
	return o.Path[:strings.LastIndexByte(o.Path, '/')]
}

// tryDir tries a directory and its glibc-hwcaps subdirectories.
func (r *Resolver) tryDir(c *Closure, o *Object, name, dir string) *Object {
	if _, err := r.root.Resolve(dir); err != nil {
		return nil
	}
	var variants []*Object
	if !c.Musl {
		if hw := dir + "/glibc-hwcaps"; r.root.Exists(hw) {
			for _, level := range r.target.hwcaps {
				p := hw + "/" + level + "/" + name
				if file, res, err := r.Parse(p); err == nil && file.Type == elf.ET_DYN {
					variants = append(variants, &Object{Name: name, Path: p, Real: res.Path, File: file, NeededBy: o})
				}
			}
		}
	}
	l := r.try(c, o, name, dir+"/"+name)
	if l == nil && len(variants) > 0 {
		l, variants = variants[0], variants[1:]
		r.register(c, l)
	}
	if l != nil && len(l.Variants) == 0 {
		l.Variants = variants
	}
	return l
}

// try tries one file. Files for other machines are passed over, as the
// dynamic linkers do.
func (r *Resolver) try(c *Closure, o *Object, name, p string) *Object {
	file, res, err := r.Parse(p)
	if err != nil || file.Type != elf.ET_DYN {
		return nil
	}
	if l := c.byReal[res.Path]; l != nil {
		c.byName[name] = l
		return l
	}
	l := &Object{Name: name, Path: p, Real: res.Path, File: file, NeededBy: o}
	r.register(c, l)
	return l
}

// Print writes the closure as ldd does, without addresses.
func (c *Closure) Print(w io.Writer) error {
	if c.Static() {
		_, err := io.WriteString(w, "\tstatically linked\n")
		return err
	}
	var b strings.Builder
	for _, l := range c.Libs {
		if strings.Contains(l.Name, "/") {
			fmt.Fprintf(&b, "\t%s\n", l.Path)
			continue
		}
		fmt.Fprintf(&b, "\t%s => %s\n", l.Name, l.Path)
		for _, v := range l.Variants {
			fmt.Fprintf(&b, "\t%s => %s (when the processor has it)\n", v.Name, v.Path)
		}
	}
	for _, m := range c.Missing {
		fmt.Fprintf(&b, "\t%s => not found (needed by %s)\n", m.Name, m.NeededBy)
	}
	fmt.Fprintf(&b, "\t%s\n", c.Interp.Path)
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintTree writes who needs whom, indented; what was shown before is not
// shown again.
func (c *Closure) PrintTree(w io.Writer) error {
	var b strings.Builder
	shown := map[*Object]bool{}
	var walk func(o *Object, depth int)
	walk = func(o *Object, depth int) {
		fmt.Fprintf(&b, "%s%s", strings.Repeat("  ", depth), o.Path)
		if shown[o] {
			if len(o.Needs) > 0 {
				b.WriteString(" …")
			}
			b.WriteByte('\n')
			return
		}
		shown[o] = true
		b.WriteByte('\n')
		for _, n := range o.Needs {
			walk(n, depth+1)
		}
	}
	walk(c.Program, 0)
	if c.Interp != nil && !shown[c.Interp] {
		walk(c.Interp, 1)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
