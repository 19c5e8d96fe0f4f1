package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"husk/host/config"
	"husk/host/manifest"
	"husk/host/rootfs"
)

// described builds what a manifest or a configuration describes.
func described(cmd *cobra.Command, f *buildFlags, args []string) error {
	if f.manifest != "" && f.config != "" {
		return errors.New("--manifest and -c exclude each other: a configuration may name a manifest itself")
	}
	ctx, stop := interruptible()
	defer stop()
	var tree *rootfs.Tree
	var cfg v1.ConfigFile
	var err error
	source := f.manifest
	if f.manifest != "" {
		tree, cfg, err = f.fromManifest(args)
	} else {
		source = f.config
		tree, cfg, err = f.fromConfig(cmd, args)
	}
	if err != nil {
		return err
	}
	return f.finish(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), tree, cfg, source, "")
}

// fromManifest makes the tree of a manifest's files; args are the program's
// path in it and its arguments, if it is to have any.
func (f *buildFlags) fromManifest(args []string) (*rootfs.Tree, v1.ConfigFile, error) {
	cfg, err := f.imageConfig()
	if err != nil {
		return nil, cfg, err
	}
	vars := map[string]string{}
	for _, d := range f.defines {
		name, value, ok := strings.Cut(d, "=")
		if !ok {
			return nil, cfg, fmt.Errorf("-D %s: not NAME=VALUE", d)
		}
		vars[name] = value
	}
	entries, err := manifest.Read(f.manifest, vars)
	if err != nil {
		return nil, cfg, err
	}
	tree := rootfs.NewTree()
	if err := manifest.Place(tree, entries); err != nil {
		return nil, cfg, err
	}
	if err := tree.AddBase(); err != nil {
		return nil, cfg, err
	}
	if f.entrypoint != "" {
		cfg.Config.Entrypoint = strings.Fields(f.entrypoint)
	} else if len(args) > 0 {
		if tree.Lookup(args[0]) == nil {
			return nil, cfg, fmt.Errorf("%s lists no %s to start", f.manifest, args[0])
		}
		cfg.Config.Entrypoint, args = args[:1], args[1:]
	}
	cfg.Config.Cmd = args
	return tree, cfg, nil
}

// fromConfig makes the tree of a configuration's program and files. What the
// flags say wins.
func (f *buildFlags) fromConfig(cmd *cobra.Command, args []string) (*rootfs.Tree, v1.ConfigFile, error) {
	c, err := config.Read(f.config)
	if err != nil {
		return nil, v1.ConfigFile{}, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "husk: %s: %s\n", f.config, w)
	}
	f.adopt(c)
	cfg, err := f.imageConfig()
	if err != nil {
		return nil, cfg, err
	}
	program := c.Program
	if strings.Contains(program, "/") {
		program = c.Path(program)
	}
	if len(args) > 0 {
		program, args = args[0], args[1:]
	}
	tree := rootfs.NewTree()
	switch {
	case program != "" && f.sysroot == "":
		if program, err = findProgram(program); err != nil {
			return nil, cfg, err
		}
		fallthrough
	case program != "":
		if tree, err = rootfs.Build(rootfs.Options{Program: program, Sysroot: f.sysroot, Env: cfg.Config.Env, Cwd: f.workdir}); err != nil {
			return nil, cfg, refused(err)
		}
		cfg.Config.Entrypoint = []string{tree.Program}
	case !c.HasFiles():
		return nil, cfg, fmt.Errorf("%s names neither a program nor files", f.config)
	default:
		if err := tree.AddBase(); err != nil {
			return nil, cfg, err
		}
	}
	if len(c.Entrypoint) > 0 {
		cfg.Config.Entrypoint = c.Entrypoint
	}
	if f.entrypoint != "" {
		cfg.Config.Entrypoint = strings.Fields(f.entrypoint)
	}
	cfg.Config.Cmd = append(slices.Clone(c.Args), args...)
	return tree, cfg, c.Place(tree)
}

// adopt takes a configuration's settings where no flag was given.
func (f *buildFlags) adopt(c *config.Config) {
	for _, s := range []struct {
		flag  *string
		value string
	}{{&f.name, c.Tag}, {&f.sysroot, c.Path(c.Sysroot)}, {&f.workdir, c.Workdir}, {&f.user, c.User}} {
		if *s.flag == "" {
			*s.flag = s.value
		}
	}
	var env, labels []string
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, k+"="+c.Env[k])
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		labels = append(labels, k+"="+c.Labels[k])
	}
	f.env, f.labels = append(env, f.env...), append(labels, f.labels...)
	for _, p := range c.Ports {
		// What is published is served: the port of the machine's side.
		_, guest, _ := strings.Cut(p[max(0, strings.LastIndexByte(strings.TrimSuffix(p, "/udp"), ':')):], ":")
		if guest != "" && !strings.Contains(guest, "-") {
			f.expose = append(f.expose, guest)
		}
	}
}
