package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"husk/host/image"
	"husk/host/oci"
	"husk/host/rootfs"
	"husk/host/store"
)

// buildFlags are the flags of husk build.
type buildFlags struct {
	output     string
	name       string
	sysroot    string
	entrypoint string
	env        []string
	workdir    string
	user       string
	labels     []string
	expose     []string
	volumes    []string
	keep       bool
	quiet      bool
	manifest   string
	defines    []string
	config     string
}

func buildCommand() *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "build [flags] PROGRAM|DIR|--manifest FILE|-c FILE [-- ARGS…]",
		Short: "Make an image of a program or a directory",
		Long: `Make an image of a program and all it needs, or of a directory that is to be
the root file system, for 'husk run' and 'husk image'. ARGS are the arguments
that the program gets when none are given to 'husk run'.

The image is an OCI image whose layers are an EROFS file system. The same input
gives the same image, bit for bit, wherever and whenever it is built: files
belong to root, have the time SOURCE_DATE_EPOCH or 1970, and the permissions
0755 or 0644 (set-user-ID, set-group-ID and sticky bits stay), unless --keep is
given. A directory that was built before is not read again where nothing has
changed.

With --manifest the image holds what a manifest of OSv's form lists, and what
follows is the program's path in it. -c takes a husk.yaml or, if its name ends
in .json, OPS's config.json: the program and its needs with the files, settings
and name that it gives.`,
		Example: `  husk build ./server -t server
  husk build /srv/root -t site --entrypoint /usr/sbin/nginx --expose 80
  husk build ./server -o server.tar`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.manifest == "" && f.config == "" {
				return errors.New("build what? name a program or a directory")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.manifest != "" || f.config != "" {
				return failed(inOrderTo("build", described(cmd, f, args)))
			}
			return failed(inOrderTo("build", build(cmd.OutOrStdout(), cmd.ErrOrStderr(), f, args)))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.output, "output", "o", "", "write the image to FILE as well: an OCI archive, or FILE.erofs the bare file system")
	flags.StringVarP(&f.name, "tag", "t", "", "name of the image in the store (default: the program's or directory's)")
	flags.StringVar(&f.sysroot, "sysroot", "", "directory to find the program's libraries in, instead of the host's /")
	flags.StringVar(&f.entrypoint, "entrypoint", "", "program to start, and its first arguments")
	flags.StringVar(&f.manifest, "manifest", "", "make the image of what this manifest lists")
	flags.StringArrayVarP(&f.defines, "define", "D", nil, "value of a manifest's variable: NAME=VALUE")
	flags.StringVarP(&f.config, "config", "c", "", "file that describes the image: husk.yaml, or OPS's config.json if its name ends in .json")
	imageConfigFlags(cmd, &f.env, &f.workdir, &f.user, &f.labels, &f.expose, &f.volumes)
	flags.BoolVar(&f.keep, "keep", false, "keep the files' owners, times and permissions")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print the digest only")
	return cmd
}

// imageConfigFlags are the flags that set an image's configuration.
func imageConfigFlags(cmd *cobra.Command, env *[]string, workdir, user *string, labels, expose, volumes *[]string) {
	flags := cmd.Flags()
	flags.StringArrayVarP(env, "env", "e", nil, "set an environment variable: K=V, or K for its value here")
	flags.StringVarP(workdir, "workdir", "w", "", "working directory")
	flags.StringVarP(user, "user", "u", "", "user to run as: UID[:GID] or names")
	flags.StringArrayVar(labels, "label", nil, "label: K=V")
	flags.StringArrayVar(expose, "expose", nil, "port that the program serves: PORT[/udp]")
	flags.StringArrayVar(volumes, "volume", nil, "directory for data")
}

// interruptible is a context that ends with the signals that end a command.
func interruptible() (context.Context, func()) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// stopped is what an interrupted command ends with.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return &exitError{status: 128 + int(syscall.SIGINT)}
	}
	return err
}

// imageConfig makes the configuration that the flags describe.
func (f *buildFlags) imageConfig() (v1.ConfigFile, error) {
	var c v1.ConfigFile
	when, err := oci.Epoch()
	if err != nil {
		return c, err
	}
	c.Created = v1.Time{Time: when}
	c.Config.WorkingDir, c.Config.User = f.workdir, f.user
	if f.workdir != "" && !path.IsAbs(f.workdir) {
		return c, fmt.Errorf("-w %s: the working directory must be an absolute path", f.workdir)
	}
	for _, e := range f.env {
		if k, _, ok := strings.Cut(e, "="); !ok {
			v, set := os.LookupEnv(k)
			if !set {
				continue
			}
			e = k + "=" + v
		} else if k == "" {
			return c, fmt.Errorf("-e %s: a variable needs a name", e)
		}
		c.Config.Env = append(c.Config.Env, e)
	}
	for _, l := range f.labels {
		k, v, _ := strings.Cut(l, "=")
		if k == "" {
			return c, fmt.Errorf("--label %s: not K=V", l)
		}
		if c.Config.Labels == nil {
			c.Config.Labels = map[string]string{}
		}
		c.Config.Labels[k] = v
	}
	for _, p := range f.expose {
		port, err := oci.Port(p)
		if err != nil {
			return c, fmt.Errorf("--expose %s: %w", p, err)
		}
		if c.Config.ExposedPorts == nil {
			c.Config.ExposedPorts = map[string]struct{}{}
		}
		c.Config.ExposedPorts[port] = struct{}{}
	}
	for _, v := range f.volumes {
		if !path.IsAbs(v) {
			return c, fmt.Errorf("--volume %s: not an absolute path", v)
		}
		if c.Config.Volumes == nil {
			c.Config.Volumes = map[string]struct{}{}
		}
		c.Config.Volumes[path.Clean(v)] = struct{}{}
	}
	return c, nil
}

func build(stdout, stderr io.Writer, f *buildFlags, args []string) error {
	ctx, stop := interruptible()
	defer stop()
	cfg, err := f.imageConfig()
	if err != nil {
		return err
	}
	if len(f.defines) > 0 {
		return fmt.Errorf("-D %s: variables are for a --manifest", f.defines[0])
	}
	if f.sysroot != "" {
		if err := readableDirectory(f.sysroot); err != nil {
			return fmt.Errorf("--sysroot %s: %w", f.sysroot, err)
		}
	}
	source := args[0]
	// As husk run: a directory is one that is written as a path.
	var tree *rootfs.Tree
	var record, program string
	if st, err := os.Stat(source); err == nil && st.IsDir() && (strings.Contains(source, "/") || !onPath(source)) {
		if err := readableDirectory(source); err != nil {
			return fmt.Errorf("build %s: %w", source, err)
		}
		record = source
		if tree, err = rootfs.FromDir(source); err != nil {
			return fmt.Errorf("build %s: %w", source, err)
		}
		if f.entrypoint != "" {
			cfg.Config.Entrypoint = strings.Fields(f.entrypoint)
		}
	} else {
		if program = source; f.sysroot == "" {
			if program, err = findProgram(source); err != nil {
				return err
			}
		}
		env := cfg.Config.Env
		if tree, err = rootfs.Build(rootfs.Options{Program: program, Sysroot: f.sysroot, Env: env, Cwd: f.workdir}); err != nil {
			return refused(err)
		}
		cfg.Config.Entrypoint = []string{tree.Program}
		if f.entrypoint != "" {
			cfg.Config.Entrypoint = strings.Fields(f.entrypoint)
		}
	}
	cfg.Config.Cmd = args[1:]
	return f.finish(ctx, stdout, stderr, tree, cfg, source, record)
}

// finish commits a tree and does with the image what the flags ask for.
func (f *buildFlags) finish(ctx context.Context, stdout, stderr io.Writer, tree *rootfs.Tree, cfg v1.ConfigFile, source, record string) error {
	for _, w := range tree.Warnings {
		if !f.quiet {
			fmt.Fprintf(stderr, "husk: %s\n", w)
		}
	}
	name := f.name
	if name == "" && f.output == "" {
		name = defaultName(source)
	}
	if name != "" {
		var err error
		if name, err = store.Familiar(name); err != nil {
			return err
		}
	}
	o := oci.CommitOptions{}
	if !f.keep {
		o.Pin = &image.Pin{Mtime: cfg.Created.UnixNano(), Modes: true}
	}
	if record != "" {
		o.Record = oci.RecordFile(record)
	}
	s, err := store.Open()
	if err != nil {
		return err
	}
	u, err := s.Begin()
	if err != nil {
		return err
	}
	defer u.Close()
	c, err := oci.Commit(ctx, u, tree, cfg, o)
	if err != nil {
		return stopped(ctx, fmt.Errorf("build %s: %w", source, err))
	}
	if err := u.Tag(name, c.Descriptor); err != nil {
		return err
	}
	if f.output != "" {
		im, err := s.Load(store.Entry{Name: name, Digest: c.Digest, Desc: c.Descriptor})
		if err != nil {
			return err
		}
		defer im.Close()
		if err := oci.ExportFile(ctx, im, f.output, oci.FormatOf(f.output)); err != nil {
			return stopped(ctx, err)
		}
	}
	fmt.Fprintln(stdout, c.Digest)
	if !f.quiet {
		files, _ := tree.Stats()
		reused := ""
		if c.Reused > 0 {
			reused = fmt.Sprintf(", %d of %d parts unchanged", c.Reused, c.Parts)
		}
		where := ""
		if name != "" {
			where = name + ": "
		}
		fmt.Fprintf(stderr, "%s%d files, %s%s\n", where, files, oci.Bytes(c.FSSize), reused)
	}
	return nil
}

// onPath reports whether a name without a slash is a program in PATH.
func onPath(name string) bool {
	if strings.Contains(name, "/") {
		return false
	}
	_, err := findProgram(name)
	return err == nil
}

// defaultName makes an image's name of a file's.
func defaultName(source string) string {
	abs, err := filepath.Abs(source)
	if err != nil {
		abs = source
	}
	var b strings.Builder
	for _, c := range strings.ToLower(filepath.Base(abs)) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && (c == '.' || c == '-' || c == '_'):
			b.WriteRune(c)
		}
	}
	name := strings.Trim(b.String(), "._-")
	if len(name) < 2 {
		name += "-image"
	}
	return strings.TrimLeft(name, "-")
}
