package elfdeps

import (
	"debug/elf"
	"path"
	"strings"
)

// Libraries lists the shared libraries that the dynamic linker finds for every
// program, as 'ldconfig -p' does: the path of each by its name.
func (r *Resolver) Libraries() map[string]string {
	r.readSystem()
	libs := map[string]string{}
	for name, paths := range r.cache {
		for _, p := range paths {
			if r.library(p) && libs[name] == "" {
				libs[name] = p
			}
		}
	}
	for _, dir := range append(append([]string(nil), r.conf...), r.target.glibcDefaults()...) {
		names, err := r.root.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, name := range names {
			p := path.Join(dir, name)
			if libs[name] == "" && strings.HasPrefix(name, "lib") && strings.Contains(name, ".so") && r.named(p) {
				libs[name] = p
			}
		}
	}
	return libs
}

func (r *Resolver) library(p string) bool {
	file, _, err := r.Parse(p)
	return err == nil && file.Type == elf.ET_DYN
}

// named reports a library that stands under the name programs ask for.
func (r *Resolver) named(p string) bool {
	file, _, err := r.Parse(p)
	return err == nil && file.Type == elf.ET_DYN && file.Soname == path.Base(p)
}

// Needs lists what a shared library needs of others, in load order, without
// itself. When something is missing the rest is returned beside the error for
// the first of it.
func (r *Resolver) Needs(library string) ([]*Object, error) {
	file, res, err := r.Parse(library)
	if err != nil {
		return nil, err
	}
	c := &Closure{byName: map[string]*Object{}, byReal: map[string]*Object{}}
	c.Program = &Object{Name: library, Path: library, Real: res.Path, File: file}
	c.byReal[res.Path] = c.Program
	r.load(c, c.Program)
	if len(c.Missing) > 0 {
		return c.Libs, c.Missing[0]
	}
	return c.Libs, nil
}
