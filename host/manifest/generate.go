package manifest

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"husk/host/elfdeps"
	"husk/host/sysroot"
)

// Request asks for the manifest of a program, a library or a directory, with
// the options of OSv's manifest_from_host.sh.
type Request struct {
	Name          string        // program (looked up in PATH if need be), library or directory
	Subdirectory  string        // of a directory: what to take of it
	Library       bool          // -l: Name is a shared library, or a pattern of its name
	Resolve       bool          // -r: add what the shared objects in a directory need
	HostRoot      bool          // -R: a directory keeps its path
	IgnoreMissing bool          // -i: a library that is not found is no error
	Root          *sysroot.Root // where libraries are; nil: the host's own root
}

// Generated is a manifest and the command line that goes with it, "" if there
// is none.
type Generated struct {
	Text        string
	CommandLine string
}

const rule = "# --------------------\n"

// Generate writes the manifest. The error of something that cannot be found
// says what.
func Generate(q Request) (*Generated, error) {
	res, err := elfdeps.NewResolver(elfdeps.Options{Root: q.Root})
	if err != nil {
		return nil, err
	}
	g := &generator{Request: q, res: res}
	info, err := os.Stat(q.Name)
	switch {
	case err == nil && info.IsDir():
		err = g.directory()
	case err == nil:
		err = g.file(q.Name)
	case q.Library && !strings.Contains(q.Name, "/"):
		err = g.library()
	default:
		var found string
		if found, err = exec.LookPath(q.Name); err != nil {
			return nil, fmt.Errorf("find %s: no such file, directory or program in PATH", q.Name)
		}
		err = g.file(found)
	}
	if err != nil {
		return nil, err
	}
	return &Generated{g.text.String(), g.commandLine}, nil
}

type generator struct {
	Request
	res         *elfdeps.Resolver
	text        strings.Builder
	commandLine string
}

func (g *generator) line(guest, host string) { fmt.Fprintf(&g.text, "%s: %s\n", guest, host) }

// file writes an ELF file and what it needs.
func (g *generator) file(name string) error {
	real, err := realPath(name)
	if err != nil {
		return err
	}
	file, _, err := g.res.Parse(real)
	if err != nil {
		return err
	}
	guest := "/" + filepath.Base(name)
	switch {
	case file.Type == elf.ET_EXEC:
		g.text.WriteString("# Position Dependent Executable\n")
	case file.Interp != "" || file.PIE:
		g.text.WriteString("# (PIE) Position Independent Executable\n")
	default:
		g.text.WriteString("# Shared Library\n")
		g.line("/usr/lib/"+filepath.Base(name), real)
		return g.needs([]string{real}, real)
	}
	g.line(guest, real)
	g.commandLine = guest + " --help"
	return g.needs([]string{real}, real)
}

// library finds a shared library by its name or a pattern of it.
func (g *generator) library() error {
	pattern, err := regexp.Compile(g.Name)
	if err != nil {
		return fmt.Errorf("the pattern %q: %w", g.Name, err)
	}
	libs := g.res.Libraries()
	var found []string
	for name := range libs {
		if pattern.MatchString(name) {
			found = append(found, name)
		}
	}
	if _, ok := libs[g.Name]; ok {
		found = []string{g.Name}
	}
	slices.Sort(found)
	switch {
	case len(found) == 0 && g.IgnoreMissing:
		return nil
	case len(found) == 0:
		return fmt.Errorf("find %s: no shared library matches it", g.Name)
	case len(found) > 1:
		return fmt.Errorf("several shared libraries match %s: %s (name one of them)", g.Name, strings.Join(found, ", "))
	}
	p := libs[found[0]]
	g.text.WriteString("# Shared library\n")
	g.line("/usr/lib/"+found[0], p)
	return g.needs([]string{p}, p)
}

// directory takes everything below one.
func (g *generator) directory() error {
	real, err := realPath(g.Name)
	if err != nil {
		return err
	}
	host := path.Join(real, g.Subdirectory)
	if info, err := os.Stat(host); err != nil || !info.IsDir() {
		return fmt.Errorf("%s has no directory %s", g.Name, g.Subdirectory)
	}
	guest := path.Join("/", g.Subdirectory)
	if g.HostRoot {
		guest = host
	}
	g.line(strings.TrimSuffix(guest, "/")+"/**", strings.TrimSuffix(host, "/")+"/**")
	if !g.Resolve {
		g.text.WriteString(rule)
		return nil
	}
	objects, err := sharedObjects(host)
	if err != nil {
		return err
	}
	return g.needs(objects, host)
}

func sharedObjects(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), ".so") {
			found = append(found, p)
		}
		return err
	})
	return found, err
}

// needs writes what ELF files need and does not lie below own.
func (g *generator) needs(files []string, own string) error {
	heading := rule + "# Dependencies        \n" + rule
	g.text.WriteString(heading)
	all := map[string]bool{}
	for _, f := range files {
		if err := g.closure(f, all); err != nil {
			return err
		}
	}
	paths := make([]string, 0, len(all))
	for p := range all {
		if p != own && !strings.HasPrefix(p, own+"/") {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		g.line(p, p)
	}
	g.text.WriteString(rule)
	return nil
}

// closure adds the paths of what f needs.
func (g *generator) closure(f string, all map[string]bool) error {
	parsed, _, err := g.res.Parse(f)
	var format *elfdeps.FormatError
	if errors.As(err, &format) && g.Resolve {
		return nil // a file of the directory that only looks like a library
	}
	if err != nil {
		return err
	}
	var objects []*elfdeps.Object
	if parsed.Interp == "" {
		objects, err = g.res.Needs(f)
	} else {
		var c *elfdeps.Closure
		if c, err = g.res.Resolve(f); c != nil {
			objects = c.Objects()[1:]
		}
	}
	var missing *elfdeps.NotFoundError
	if err != nil && !(g.IgnoreMissing && errors.As(err, &missing)) {
		return err
	}
	for _, o := range objects {
		all[o.Path] = true
	}
	return nil
}

func realPath(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
