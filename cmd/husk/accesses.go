package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"husk/host/image"
	"husk/host/store"
)

// labelSlimFrom is the label of a slim image that has the digest of the image
// it was made of.
const labelSlimFrom = "husk.slim.from"

// accesses are the names that a program looked up, as the kernel tells them
// (spec.AnnotationFiles).
type accesses struct {
	found, missed, listed map[string]bool

	rest []byte // a record whose end has not come yet
}

// Write takes part of the kernel's stream.
func (a *accesses) Write(p []byte) (int, error) {
	if a.found == nil {
		a.found, a.missed, a.listed = map[string]bool{}, map[string]bool{}, map[string]bool{}
	}
	a.rest = append(a.rest, p...)
	for {
		record, rest, ok := bytes.Cut(a.rest, []byte{0})
		if !ok {
			return len(p), nil
		}
		a.rest = rest
		if len(record) < 2 || record[1] != '/' {
			continue
		}
		switch name := string(record[1:]); record[0] {
		case '+':
			a.found[name] = true
		case '-':
			a.missed[name] = true
		case '=':
			a.listed[name] = true
		}
	}
}

// virtual are the directories whose files are the kernel's.
var virtual = []string{"/proc", "/sys", "/dev"}

func isVirtual(name string) bool {
	return slices.ContainsFunc(virtual, func(d string) bool { return name == d || strings.HasPrefix(name, d+"/") })
}

// tellMissing names what the program looked for, did not find, and would have
// found where its root was made of: in the image that a slim one comes from,
// or on this host. A program may also have missed what it did not see in the
// list of a directory.
func (r *runner) tellMissing() {
	o := r.origin()
	told := false
	for _, name := range slices.Sorted(maps.Keys(r.accesses.missed)) {
		if !r.accesses.found[name] && !isVirtual(name) && o.exists(name) {
			r.note("missing: %s, which is %s (%s)", name, o.where, fmt.Sprintf(o.remedy, name))
			told = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(r.accesses.listed)) {
		if isVirtual(dir) || r.image == nil {
			continue
		}
		if left := o.absent(dir); len(left) > 0 {
			r.note("missing: the program listed %s, without the %d names that are %s: %s (%s)", dir, len(left), o.where,
				some(left, 4), fmt.Sprintf(o.remedy, path.Join(dir, "NAME")))
			told = true
		}
	}
	if !told {
		r.note("missing: nothing that is %s", o.where)
	}
}

func some(names []string, n int) string {
	if len(names) > n {
		return strings.Join(names[:n], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// origin is where a root comes from: an image, or this host.
type origin struct {
	from, to      *image.Reader // nil: the host
	root          string
	where, remedy string
}

func (r *runner) origin() *origin {
	o := &origin{root: "/" + r.sysroot, where: "on this host", remedy: "add %s to the files of a husk.yaml, or use -r /"}
	if r.image == nil {
		return o
	}
	o.remedy = "add it with 'husk slim --include %s'"
	digest := r.image.Config.Config.Labels[labelSlimFrom]
	if digest == "" {
		return o
	}
	s, err := store.Open()
	if err != nil {
		return o
	}
	im, err := s.Find(digest)
	if err != nil {
		return o
	}
	from, err := im.FS()
	if err != nil {
		return o
	}
	if o.to, err = r.image.FS(); err != nil {
		return o
	}
	o.from, o.where = from, "in the image this one was made of"
	return o
}

func (o *origin) exists(name string) bool {
	if o.from != nil {
		_, err := o.from.Lookup(name)
		return err == nil
	}
	_, err := os.Lstat(filepath.Join(o.root, name))
	return err == nil
}

// absent are the names of a directory there that the root does not have.
func (o *origin) absent(dir string) []string {
	if o.from == nil {
		return nil
	}
	whole, err := o.from.Names(dir)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(whole, func(name string) bool {
		_, err := o.to.Lookup(path.Join(dir, name))
		return err == nil
	})
}
