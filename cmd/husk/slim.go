package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"husk/host/oci"
	"husk/host/rootfs"
	"husk/host/store"
)

// slimmer is one husk slim.
type slimmer struct {
	runner
	build   buildFlags // as far as they say what to do with the image
	include []string
	force   bool
}

func slimCommand(stdin *os.File) *cobra.Command {
	s := &slimmer{runner: runner{runFlags: &runFlags{memory: defaultMemory}, stdin: stdin}}
	cmd := &cobra.Command{
		Use:   "slim [flags] PROGRAM|IMAGE [ARGS…]",
		Short: "Run a program and make an image of the files it used",
		Long: `Run a program with its whole world visible, an image or, for a PROGRAM, this
host's file system, and then make an image of the files that it really used:
those that it or a process of its opened, mapped, executed or asked about,
plugins and data included, with the links and directories on the way.

While it runs, have it do all that it is to do later; a server is ended with
Ctrl-C. --include adds files that this run had no use for. When the image turns
out to lack a file, 'husk run --missing' names it.

The exit status is the program's when it is not 0, and no image is made then
unless it was a signal that ended it, or --force is given.`,
		Example: `  husk slim --tag hello python3 hello.py
  husk slim --tag web:slim --include '/etc/ssl/*' web`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.args, s.stdout, s.stderr, s.start = args, cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now()
			if err := s.settle(cmd.Flags()); err != nil {
				return failed(err)
			}
			return failed(s.slim())
		},
	}
	s.define(cmd)
	flags := cmd.Flags()
	_ = flags.MarkHidden("missing")
	flags.StringVar(&s.build.name, "tag", "", "name of the image in the store (default: the program's with -slim)")
	flags.StringVarP(&s.build.output, "output", "o", "", "write the image to FILE as well: an OCI archive, or FILE.erofs the bare file system")
	flags.StringArrayVar(&s.include, "include", nil, "file, directory or pattern that the image is to have in any case")
	flags.BoolVar(&s.force, "force", false, "make an image of a run that failed, too")
	return cmd
}

func (s *slimmer) slim() error {
	s.accesses = &accesses{}
	source := s.args[0]
	if s.rootfs == "" && !s.isImage() {
		s.rootfs = "/"
	}
	if err := s.run(); err != nil && !s.acceptable(err) {
		return err
	}
	if len(s.accesses.found) == 0 {
		return errors.New("the kernel told of no files (does the machine boot with 'husk run'?)")
	}
	tree, cfg, err := s.gather()
	if err != nil {
		return err
	}
	if s.build.name == "" {
		from := ""
		if s.image != nil {
			from = s.image.Name
		}
		s.build.name = slimName(source, from)
	}
	ctx, stop := interruptible()
	defer stop()
	s.build.keep = true // the files are as the program saw them
	return s.build.finish(ctx, s.stderr, s.stderr, tree, cfg, source, "")
}

// isImage decides as husk run does.
func (s *slimmer) isImage() bool {
	probe := s.runner
	if err := probe.findImage(); err != nil || probe.image == nil {
		return false
	}
	probe.image.Close()
	probe.use.Close()
	return true
}

// acceptable reports a run that tells what the program needs although its
// status is not 0.
func (s *slimmer) acceptable(err error) bool {
	var end *exitError
	if !errors.As(err, &end) || end.err != nil || len(s.accesses.found) == 0 {
		return false
	}
	if s.force || end.status == 128+int(syscall.SIGINT) || end.status == 128+int(syscall.SIGTERM) {
		return true
	}
	s.note("the program ended with status %d: no image is made of that (--force makes one)", end.status)
	return false
}

// gather makes the tree of what was used, and the image's configuration.
func (s *slimmer) gather() (*rootfs.Tree, v1.ConfigFile, error) {
	when, err := oci.Epoch()
	if err != nil {
		return nil, v1.ConfigFile{}, err
	}
	var tree *rootfs.Tree
	var cfg v1.ConfigFile
	if s.image != nil {
		tree, cfg, err = s.fromSource()
	} else {
		if cfg.Config, err = s.settings(); err == nil {
			tree, err = s.fromDirectory()
		}
	}
	if err != nil {
		return nil, cfg, err
	}
	cfg.Created = v1.Time{Time: when}
	return tree, cfg, tree.AddBase()
}

// fromSource is the part of the image that was used, and its configuration.
func (s *slimmer) fromSource() (*rootfs.Tree, v1.ConfigFile, error) {
	var cfg v1.ConfigFile
	st, err := store.Open()
	if err != nil {
		return nil, cfg, err
	}
	im, err := st.Find(s.image.Digest.String())
	if err != nil {
		return nil, cfg, err
	}
	s.image = im
	r, err := im.FS()
	if err != nil {
		return nil, cfg, err
	}
	whole, err := r.Tree()
	if err != nil {
		return nil, cfg, err
	}
	cfg = *im.Config.DeepCopy()
	if cfg.Config.Labels == nil {
		cfg.Config.Labels = map[string]string{}
	}
	cfg.Config.Labels[labelSlimFrom] = im.Digest.String()
	cfg.History = nil
	for _, pattern := range s.include {
		p := strings.TrimSuffix(strings.TrimSuffix(pattern, "/**"), "/")
		if !strings.ContainsAny(p, "*?[") && whole.Lookup(p) == nil {
			return nil, cfg, fmt.Errorf("--include %s: the image has no such file", pattern)
		}
	}
	tree := whole.Filter(func(p string, _ *rootfs.Node) bool { return s.accesses.found[p] || s.included(p) })
	before, bytes := whole.Stats()
	after, left := tree.Stats()
	s.note("%d of %d files, %s of %s", after, before, oci.Bytes(left), oci.Bytes(bytes))
	return tree, cfg, nil
}

// fromDirectory takes what was used out of the directory that -r shared.
func (s *slimmer) fromDirectory() (*rootfs.Tree, error) {
	tree := rootfs.NewTree()
	names := make([]string, 0, len(s.accesses.found))
	for name := range s.accesses.found {
		names = append(names, name)
	}
	root := strings.TrimSuffix(s.rootfs, "/")
	for _, pattern := range s.include {
		more, err := includedFiles(root, pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names) // directories before what is in them
	for _, name := range slices.Compact(names) {
		if isVirtual(name) {
			continue
		}
		n, err := rootfs.HostFile(root+name, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the program made it itself
		}
		if err != nil {
			return nil, err
		}
		if n.IsDir() || n.IsRegular() || n.IsLink() {
			if err := tree.Put(name, n); err != nil {
				return nil, err
			}
		}
	}
	return tree, nil
}

// included reports whether --include wants a name, or a directory above it.
func (s *slimmer) included(p string) bool {
	return slices.ContainsFunc(s.include, func(pattern string) bool {
		pattern = strings.TrimSuffix(strings.TrimSuffix(pattern, "/**"), "/")
		for d := p; d != "/" && d != ""; d = path.Dir(d) {
			if ok, _ := path.Match(pattern, d); ok {
				return true
			}
		}
		return false
	})
}

// slimName names the image of a program, or of an image with this name.
func slimName(source, image string) string {
	if image == "" {
		return defaultName(trimImage(source)) + "-slim"
	}
	name, tag := image, ""
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		name, tag = image[:i], image[i+1:]
	}
	if tag == "" || tag == "latest" {
		return name + ":slim"
	}
	return name + ":" + tag + "-slim"
}

// includedFiles are the names below root that a pattern of --include covers,
// with the directories on the way.
func includedFiles(root, pattern string) ([]string, error) {
	pattern = strings.TrimSuffix(strings.TrimSuffix(pattern, "/**"), "/")
	matches, err := filepath.Glob(filepath.Join(root, "/", pattern))
	if err != nil {
		return nil, fmt.Errorf("--include %s: %w", pattern, err)
	}
	if len(matches) == 0 {
		return nil, fmt.Errorf("--include %s: no such file", pattern)
	}
	var names []string
	for _, m := range matches {
		for d := path.Dir(filepath.ToSlash(strings.TrimPrefix(m, root))); d != "/"; d = path.Dir(d) {
			names = append(names, d)
		}
		err := filepath.WalkDir(m, func(p string, _ fs.DirEntry, err error) error {
			names = append(names, filepath.ToSlash(strings.TrimPrefix(p, root)))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("--include %s: %w", pattern, err)
		}
	}
	return names, nil
}

// settings are what the image of a program has to be told that the image of an
// image knows: the program by its path, and what the flags said.
func (s *slimmer) settings() (v1.Config, error) {
	program := s.args[0]
	if s.rootfs == "/" {
		var err error
		if program, err = findProgram(program); err != nil {
			return v1.Config{}, err
		}
	}
	c := v1.Config{Entrypoint: []string{program}, Cmd: s.args[1:], WorkingDir: s.cwd, User: s.user}
	for _, e := range s.env {
		if k, _, ok := strings.Cut(e, "="); !ok {
			v, set := os.LookupEnv(k)
			if !set {
				continue
			}
			e = k + "=" + v
		}
		c.Env = append(c.Env, e)
	}
	if c.WorkingDir == "" && s.rootfs == "/" {
		var err error
		if c.WorkingDir, err = os.Getwd(); err != nil {
			return c, err
		}
	}
	return c, nil
}
