package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"husk/host/image"
	"husk/host/instance"
	"husk/host/store"
	"husk/host/vmm"
	"husk/spec"
)

// imagePrefix says that what follows is an image, whatever else has that name.
const imagePrefix = "image:"

// findImage decides whether husk run's first argument is an image, and loads
// it. The rule, in this order:
//
//  1. image:REF is the image REF; deb:NAME is the image of a package.
//  2. With -r or --sysroot it is a program in there.
//  3. A path of an existing file, or a name in PATH, is that program.
//  4. The name or digest of an image in the store is that image.
//  5. All else is a program that was not found.
func (r *runner) findImage() error {
	ref, forced := strings.CutPrefix(r.args[0], imagePrefix)
	if name, ok := strings.CutPrefix(ref, debPrefix); ok && !forced {
		ctx, stop := interruptible()
		title, err := (&pkgFlags{}).runnable(ctx, r.stderr, name)
		stop()
		if err != nil {
			return err
		}
		ref, forced = title, true
	}
	if !forced && (r.rootfs != "" || r.sysroot != "" || !notFound(ref)) {
		return nil
	}
	if forced && (r.rootfs != "" || r.sysroot != "") {
		return errors.New("-r and --sysroot do not go with an image, which is a root file system itself")
	}
	s, err := store.Open()
	if err != nil {
		if forced {
			return err
		}
		return nil
	}
	// Until the machine has opened its disk nobody may remove it.
	u, err := s.Begin()
	if err != nil {
		return err
	}
	im, err := s.Find(ref)
	if err != nil {
		u.Close()
		if forced || !errors.Is(err, store.ErrNotFound) && isReference(ref) {
			return err
		}
		return nil
	}
	r.image, r.use = im, u
	return nil
}

// trimImage takes the prefix off where only an image can stand.
func trimImage(ref string) string { return strings.TrimPrefix(ref, imagePrefix) }

func isReference(ref string) bool {
	_, err := store.Familiar(ref)
	return err == nil
}

// notFound reports that a shell would find no such program.
func notFound(name string) bool {
	_, err := findProgram(name)
	var end *exitError
	return errors.As(err, &end) && end.status == statusNotFound
}

// fromImage makes the root, and all that the image's configuration says.
func (r *runner) fromImage(c *instance.Config) error {
	im, p := r.image, &c.Spec.Process
	root, err := im.FS()
	if err != nil {
		return err
	}
	cfg := im.Config.Config
	if a := im.Config.Architecture; a != "" && a != "amd64" {
		return fmt.Errorf("image %s is for %s, and this machine is amd64", im.Title(), a)
	}
	who := r.user
	if who == "" {
		who = cfg.User
	}
	home := "/root"
	if who == "" || who == "root" {
		who = "0"
	}
	u, h, err := findUserIn(who, func(name string) ([]byte, error) { return root.ReadFile("/etc/"+name, 16<<20) }, "the image's ")
	if err != nil {
		return err
	}
	if p.User = u; h != "" && (h != "/" || u.UID != 0) {
		home = h
	}
	entry, args := cfg.Entrypoint, cfg.Cmd
	if r.entrypoint != nil {
		entry, args = nil, nil
		if *r.entrypoint != "" {
			entry = []string{*r.entrypoint}
		}
	}
	if len(r.args) > 1 {
		args = r.args[1:]
	}
	p.Args = append(slices.Clone(entry), args...)
	if len(p.Args) == 0 {
		return fmt.Errorf("image %s names no program to start: add one behind it, or with --entrypoint", im.Title())
	}
	p.Env = imageEnvironment(cfg.Env, home, r.tty, r.env, os.LookupEnv)
	if p.Cwd == "" {
		p.Cwd = cfg.WorkingDir
	}
	if !strings.HasPrefix(p.Cwd, "/") {
		p.Cwd = "/" + p.Cwd
	}
	if r.files.HasFiles() {
		return fmt.Errorf("files of %s do not go with an image: build one with 'husk build -c'", r.configFile)
	}
	// A machine that runs has its disk open: whoever wants may remove it.
	c.Ready = func() { r.use.Close() }
	c.Machine.Disks = []vmm.Disk{{Parts: im.Paths(), Readonly: true}}
	c.Spec.Root.Path = "erofs:0"
	// What is written anywhere is gone afterwards, volumes or not; but they
	// and the working directory must exist.
	mounted := map[string]bool{}
	for _, dir := range append(slices.Sorted(maps.Keys(cfg.Volumes)), p.Cwd) {
		if !mounted[dir] && dir != "/" && absentIn(root, dir) {
			mounted[dir] = true
			c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}})
		}
	}
	c.HostPath = func(p string) string { return r.takeOut(root, p) }
	for _, port := range slices.Sorted(maps.Keys(cfg.ExposedPorts)) {
		r.timed("image exposes %s", port)
	}
	return nil
}

// takeOut copies a program out of the image, whose symbols a crash report
// needs. It gives "" where that fails: the report then has none.
func (r *runner) takeOut(root *image.Reader, p string) string {
	n, err := root.Lookup(p)
	if err != nil || !n.IsRegular() {
		return ""
	}
	f, err := os.CreateTemp("", "husk-symbols-*")
	if err != nil {
		return ""
	}
	defer f.Close()
	r.taken = append(r.taken, f.Name())
	content, err := n.Open()
	if err != nil {
		return ""
	}
	defer content.Close()
	if _, err := io.Copy(f, content); err != nil {
		return ""
	}
	return f.Name()
}

// forget removes what was taken out.
func (r *runner) forget() {
	for _, name := range r.taken {
		os.Remove(name)
	}
}

func absentIn(root *image.Reader, p string) bool {
	_, err := root.Lookup(p)
	return errors.Is(err, fs.ErrNotExist)
}

// imageEnvironment is the image's environment with what every program expects,
// and then the flags in their order. Nothing of the user's own goes in: an
// image runs the same everywhere.
func imageEnvironment(image []string, home string, terminal bool, flags []string, lookup func(string) (string, bool)) []string {
	var env []string
	set := func(k, v string) {
		for i, e := range env {
			if strings.HasPrefix(e, k+"=") {
				env[i] = k + "=" + v
				return
			}
		}
		env = append(env, k+"="+v)
	}
	set("PATH", defaultPath)
	set("HOME", home)
	if terminal {
		set("TERM", "xterm")
		if v, ok := lookup("TERM"); ok {
			set("TERM", v)
		}
	}
	for _, e := range image {
		k, v, _ := strings.Cut(e, "=")
		set(k, v)
	}
	for _, e := range flags {
		k, v, ok := strings.Cut(e, "=")
		if !ok {
			if v, ok = lookup(k); !ok {
				continue
			}
		}
		set(k, v)
	}
	return env
}
