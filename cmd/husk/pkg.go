package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"husk/host/oci"
	"husk/host/pkgs"
	"husk/host/rootfs"
	"husk/host/store"
)

// debPrefix says that what follows is a package of Debian's.
const debPrefix = "deb:"

// debImage is the name of a package's image.
func debImage(name string) string {
	return "deb/" + strings.NewReplacer("+", "x", "=", "-").Replace(name)
}

// pkgFlags are what all that reads packages has.
type pkgFlags struct {
	mirror, suite, keyring string
	apt                    string
	components, with       []string
	recommends, docs       bool
	refresh                bool
	entrypoint             string
}

func (f *pkgFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.mirror, "mirror", "", "address of a mirror, instead of those that apt's sources name")
	flags.StringVar(&f.suite, "suite", "stable", "suite of --mirror")
	flags.StringSliceVar(&f.components, "component", []string{"main"}, "components of --mirror")
	flags.StringVar(&f.keyring, "keyring", "", "file of the keys that --mirror is signed with (default: those that apt trusts)")
	flags.StringVar(&f.apt, "apt", "", "directory with sources as apt has them (default $HUSK_APT, /etc/apt, or husk/apt in the user's configuration)")
	flags.BoolVar(&f.recommends, "recommends", false, "take recommended packages too")
	flags.BoolVar(&f.docs, "docs", false, "keep documentation, locales and init scripts")
	flags.BoolVar(&f.refresh, "refresh", false, "ask the mirrors even if they were asked within the hour")
}

// way is where packages come from, and the context that leads there.
func (f *pkgFlags) way(ctx context.Context) (context.Context, []pkgs.Source, error) {
	dir := f.apt
	if dir == "" {
		dir = pkgs.AptDir()
	}
	ctx, err := pkgs.WithProxies(ctx, dir)
	if err != nil {
		return ctx, nil, err
	}
	if f.mirror != "" {
		sources, err := pkgs.Mirror(f.mirror, f.suite, f.components, f.keyring)
		return ctx, sources, err
	}
	sources, err := pkgs.Sources(dir)
	return ctx, sources, err
}

// open gives all packages, and the cache that stays open until it is closed.
func (f *pkgFlags) open(ctx context.Context, sources []pkgs.Source, stderr io.Writer) (*pkgs.Index, *store.Use, error) {
	c, err := pkgs.Cache()
	if err != nil {
		return nil, nil, err
	}
	u, err := c.Begin()
	if err != nil {
		return nil, nil, err
	}
	show, end := newBars(stderr)
	ix, err := pkgs.Open(ctx, u, pkgs.Options{Sources: sources, Bars: show, Refresh: f.refresh})
	end()
	if err != nil {
		u.Close()
		return nil, nil, stopped(ctx, err)
	}
	for _, w := range ix.Warnings {
		fmt.Fprintln(stderr, "husk: "+w)
	}
	return ix, u, nil
}

// make makes an image of packages and gives its name.
func (f *pkgFlags) make(ctx context.Context, stderr io.Writer, name string, packages []string) (string, error) {
	recipe, err := pkgs.FindRecipe(name)
	if err != nil {
		return "", err
	}
	if packages != nil {
		recipe = nil
	}
	r := pkgs.Resolver{Recommends: f.recommends}
	switch {
	case recipe != nil:
		packages, r.Without = recipe.Packages, recipe.Without
	case packages == nil:
		packages = []string{name}
	}
	packages = append(slices.Clone(packages), f.with...)
	title, err := store.Familiar(debImage(name))
	if err != nil {
		return "", err
	}
	ctx, sources, err := f.way(ctx)
	if err != nil {
		return "", err
	}
	ix, cache, err := f.open(ctx, sources, stderr)
	if err != nil {
		return "", err
	}
	defer cache.Close()
	r.Index = ix
	closure, err := r.Closure(packages)
	if err != nil {
		return "", err
	}
	s, err := store.Open()
	if err != nil {
		return "", err
	}
	u, err := s.Begin()
	if err != nil {
		return "", err
	}
	defer u.Close()
	l := oci.NewLayers(ctx, u, pkgs.Limits(closure))
	defer l.Close()
	show, end := newBars(stderr)
	first, _, _ := strings.Cut(packages[0], "=")
	var programs []string
	err = pkgs.Assemble(ctx, l, cache, closure, pkgs.AssembleOptions{
		KeepDocs: f.docs, Bars: show, Recipe: recipe, Main: first, Program: func(p string) { programs = append(programs, p) },
	})
	end()
	if err != nil {
		return "", stopped(ctx, err)
	}
	when, err := oci.Epoch()
	if err != nil {
		return "", err
	}
	var cfg v1.ConfigFile
	cfg.Created = v1.Time{Time: when}
	switch {
	case f.entrypoint != "":
		cfg.Config.Entrypoint = strings.Fields(f.entrypoint)
	case recipe != nil:
		cfg.Config.Entrypoint, cfg.Config.Cmd, cfg.Config.User = recipe.Command, recipe.Args, recipe.User
		for _, k := range slices.Sorted(maps.Keys(recipe.Env)) {
			cfg.Config.Env = append(cfg.Config.Env, k+"="+recipe.Env[k])
		}
		for _, p := range recipe.Ports {
			if cfg.Config.ExposedPorts == nil {
				cfg.Config.ExposedPorts = map[string]struct{}{}
			}
			cfg.Config.ExposedPorts[p] = struct{}{}
		}
	default:
		if p := pkgs.Program(l.Tree, first, programs); p != "" {
			cfg.Config.Entrypoint = []string{p}
			break
		}
		names := "it has none"
		if len(programs) > 0 {
			slices.Sort(programs)
			names = strings.Join(programs[:min(len(programs), 5)], " ")
			if len(programs) > 5 {
				names += fmt.Sprintf(" and %d more", len(programs)-5)
			}
		}
		fmt.Fprintf(stderr, "husk: which program of %s starts is not known: name one as the first argument (%s)\n", first, names)
	}
	c, err := oci.Commit(ctx, u, l.Tree, cfg, oci.CommitOptions{})
	if err != nil {
		return "", stopped(ctx, err)
	}
	if err := u.Tag(title, c.Descriptor); err != nil {
		return "", err
	}
	fmt.Fprintf(stderr, "%s: %d packages, %s\n", title, len(closure), oci.Bytes(c.FSSize))
	cache.Close()
	return title, pkgs.Tidy(cache.Store)
}

// runnable gives the image of a package for husk run, made unless it is there.
func (f *pkgFlags) runnable(ctx context.Context, stderr io.Writer, name string) (string, error) {
	s, err := store.Open()
	if err != nil {
		return "", err
	}
	if e, err := s.Resolve(debImage(name)); err == nil {
		return e.Name, nil
	} else if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	return f.make(ctx, stderr, name, nil)
}

func pkgCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pkg",
		Short: "Packages from Debian: find them and make images of them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := &pkgFlags{}
	verb := func(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, w, stderr io.Writer, args []string) error) *cobra.Command {
		c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := interruptible()
			defer stop()
			return failed(run(ctx, c.OutOrStdout(), c.ErrOrStderr(), args))
		}}
		cmd.AddCommand(c)
		return c
	}
	verb("list", "List the catalogue, and what is here of it", cobra.NoArgs, func(_ context.Context, out, _ io.Writer, _ []string) error {
		all, err := pkgs.Catalogue()
		if err != nil {
			return err
		}
		s, err := store.Open()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
		fmt.Fprintln(w, "NAME\tHERE\tSUMMARY")
		recipes := map[string]bool{}
		for _, r := range all {
			here := "-"
			if e, err := s.Resolve(debImage(r.Name)); err == nil {
				here = store.Short(e.Digest)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, here, r.Summary)
			recipes[debImage(r.Name)+":latest"] = true
		}
		images, err := s.List()
		if err != nil {
			return err
		}
		for _, e := range images {
			if name, ok := strings.CutPrefix(e.Name, debImage("")); ok && !recipes[e.Name] {
				fmt.Fprintf(w, "%s\t%s\t%s\n", strings.TrimSuffix(name, ":latest"), store.Short(e.Digest), "made without a recipe")
			}
		}
		return w.Flush()
	})
	f.add(verb("search WORD…", "Search packages by name and summary", cobra.MinimumNArgs(1), func(ctx context.Context, out, stderr io.Writer, args []string) error {
		ctx, sources, err := f.way(ctx)
		if err != nil {
			return err
		}
		ix, u, err := f.open(ctx, sources, stderr)
		if err != nil {
			return err
		}
		defer u.Close()
		for _, p := range ix.Search(args) {
			fmt.Fprintf(out, "%s %s - %s\n", p.Name, p.Version, p.Summary())
		}
		return nil
	}))
	f.add(verb("describe NAME", "Print a package and what it needs", cobra.ExactArgs(1), func(ctx context.Context, out, stderr io.Writer, args []string) error {
		name := strings.TrimPrefix(args[0], debPrefix)
		ctx, sources, err := f.way(ctx)
		if err != nil {
			return err
		}
		ix, u, err := f.open(ctx, sources, stderr)
		if err != nil {
			return err
		}
		defer u.Close()
		r := pkgs.Resolver{Index: ix, Recommends: f.recommends}
		packages := []string{name}
		recipe, err := pkgs.FindRecipe(name)
		if err != nil {
			return err
		}
		if recipe != nil {
			packages, r.Without = recipe.Packages, recipe.Without
			fmt.Fprintf(out, "%s: %s\nCommand: %s\n", recipe.Name, recipe.Summary, strings.Join(append(slices.Clone(recipe.Command), recipe.Args...), " "))
			if recipe.User != "" {
				fmt.Fprintln(out, "User:", recipe.User)
			}
			if len(recipe.Ports) > 0 {
				fmt.Fprintln(out, "Ports:", strings.Join(recipe.Ports, " "))
			}
			fmt.Fprintln(out)
		}
		ps, err := r.Closure(packages)
		if err != nil {
			return err
		}
		for _, p := range ps {
			fmt.Fprintf(out, "%s %s - %s\n", p.Name, p.Version, p.Summary())
		}
		return nil
	}))
	get := verb("get NAME…", "Make images of packages", cobra.MinimumNArgs(1), func(ctx context.Context, out, stderr io.Writer, args []string) error {
		for _, name := range args {
			title, err := f.make(ctx, stderr, strings.TrimPrefix(name, debPrefix), nil)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, title)
		}
		return nil
	})
	f.add(get)
	get.Flags().StringSliceVar(&f.with, "with", nil, "packages to add")
	create := verb("create NAME PACKAGE…", "Make one image of several packages", cobra.MinimumNArgs(2), func(ctx context.Context, out, stderr io.Writer, args []string) error {
		title, err := f.make(ctx, stderr, args[0], args[1:])
		if err == nil {
			fmt.Fprintln(out, title)
		}
		return err
	})
	f.add(create)
	create.Flags().StringVar(&f.entrypoint, "entrypoint", "", "program to start, and its first arguments")
	f.add(verb("contents NAME", "Print the files of a package's image, which is made unless it is there", cobra.ExactArgs(1), func(ctx context.Context, out, stderr io.Writer, args []string) error {
		ref, err := f.runnable(ctx, stderr, strings.TrimPrefix(args[0], debPrefix))
		if err != nil {
			return err
		}
		return withImage(ref, func(im *store.Image) error {
			t, err := oci.Tree(im)
			if err != nil {
				return err
			}
			// The form is OPS's.
			return t.Walk(func(p string, n *rootfs.Node) error {
				kind := "File"
				if n.IsDir() {
					kind = "Dir"
				}
				if p == "/" {
					return nil
				}
				_, err := fmt.Fprintf(out, "%s :%s\n", kind, p)
				return err
			})
		})
	}))
	verb("rm NAME…", "Remove packages' images", cobra.MinimumNArgs(1), func(_ context.Context, out, _ io.Writer, args []string) error {
		s, err := store.Open()
		if err != nil {
			return err
		}
		for _, name := range args {
			if _, _, err := s.Remove(debImage(strings.TrimPrefix(name, debPrefix))); err != nil {
				return err
			}
			fmt.Fprintln(out, "removed", name)
		}
		return nil
	})
	verb("prune", "Empty the cache of packages and indexes", cobra.NoArgs, func(_ context.Context, out, _ io.Writer, _ []string) error {
		c, err := pkgs.Cache()
		if err != nil {
			return err
		}
		freed, err := c.Expire(time.Now(), 0, 2*time.Second)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "removed %d files, %s\n", freed.Blobs, oci.Bytes(freed.Bytes))
		return err
	})
	return cmd
}
