package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"husk/host/oci"
	"husk/host/store"
)

func imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Images: list, look into, move and remove them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		imageLsCommand(), imageInspectCommand(), imageHistoryCommand(), imageRmCommand(), imagePruneCommand(), imageTagCommand(),
		imageVerifyCommand(), imageImportCommand(), imageExportCommand(), imagePullCommand(), imagePushCommand(),
		imageTreeCommand(), imageCatCommand(), imageCpCommand(), diffCommand(),
	)
	return cmd
}

// imageVerb makes a command of the image family.
func imageVerb(use, short string, args cobra.PositionalArgs, run func(w io.Writer, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return failed(run(cmd.OutOrStdout(), args)) },
	}
}

// withImage opens the image that ref names, and keeps it while f runs.
func withImage(ref string, f func(im *store.Image) error) error {
	s, err := store.Open()
	if err != nil {
		return err
	}
	u, err := s.Begin()
	if err != nil {
		return err
	}
	defer u.Close()
	im, err := s.Find(trimImage(ref))
	if err != nil {
		return err
	}
	defer im.Close()
	return f(im)
}

func imageLsCommand() *cobra.Command {
	var quiet, all bool
	cmd := imageVerb("ls", "List images", cobra.NoArgs, nil)
	cmd.Aliases = []string{"list"}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := store.Open()
		if err != nil {
			return failed(err)
		}
		es, err := s.List()
		if err != nil {
			return failed(err)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 3, ' ', 0)
		if !quiet {
			fmt.Fprintln(w, "NAME\tDIGEST\tSIZE\tCREATED")
		}
		for _, e := range es {
			if e.Name == "" && !all {
				continue
			}
			if quiet {
				fmt.Fprintln(w, e.Digest)
				continue
			}
			name, size, created := e.Name, "?", "?"
			if name == "" {
				name = "<none>"
			}
			if im, err := s.Load(e); err == nil {
				size = oci.Bytes(im.Size())
				if created = im.Config.Created.UTC().Format(time.DateOnly); im.Config.Created.Unix() <= 0 {
					created = "-"
				}
				im.Close()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, store.Short(e.Digest), size, created)
		}
		return failed(w.Flush())
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "digests only")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also images without a name")
	return cmd
}

func imageInspectCommand() *cobra.Command {
	return imageVerb("inspect IMAGE…", "Print images' manifests and configurations as JSON", cobra.MinimumNArgs(1), func(w io.Writer, args []string) error {
		var out []any
		for _, ref := range args {
			err := withImage(ref, func(im *store.Image) error {
				out = append(out, map[string]any{
					"Name": im.Name, "Digest": im.Digest, "Size": im.Size(), "Manifest": im.Manifest, "Config": im.Config, "Files": im.Paths(),
				})
				return nil
			})
			if err != nil {
				return err
			}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(out)
	})
}

func imageHistoryCommand() *cobra.Command {
	return imageVerb("history IMAGE", "Print how an image came to be", cobra.ExactArgs(1), func(out io.Writer, args []string) error {
		return withImage(args[0], func(im *store.Image) error {
			w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
			fmt.Fprintln(w, "CREATED\tSIZE\tBY\tCOMMENT")
			sizes := im.Manifest.Layers
			for _, h := range im.Config.History {
				size := "-"
				if !h.EmptyLayer && len(sizes) > 0 {
					size = oci.Bytes(sizes[0].Size)
					sizes = sizes[1:]
				}
				created := "-"
				if h.Created.Unix() > 0 {
					created = h.Created.UTC().Format(time.DateTime)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", created, size, firstLine(h.CreatedBy), firstLine(h.Comment))
			}
			return w.Flush()
		})
	})
}

func imageRmCommand() *cobra.Command {
	cmd := imageVerb("rm IMAGE…", "Remove images", cobra.MinimumNArgs(1), func(w io.Writer, args []string) error {
		s, err := store.Open()
		if err != nil {
			return err
		}
		for _, ref := range args {
			gone, deleted, err := s.Remove(trimImage(ref))
			if err != nil {
				return err
			}
			for _, n := range gone {
				what := "untagged"
				if deleted {
					what = "removed"
				}
				fmt.Fprintln(w, what, n)
			}
		}
		return nil
	})
	cmd.Aliases = []string{"remove"}
	return cmd
}

func imagePruneCommand() *cobra.Command {
	return imageVerb("prune", "Remove images without a name, and what no image refers to", cobra.NoArgs, func(w io.Writer, _ []string) error {
		s, err := store.Open()
		if err != nil {
			return err
		}
		f, err := s.Prune()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "removed %s and %s: %s\n", plural(f.Images, "image"), plural(f.Blobs, "file"), oci.Bytes(f.Bytes))
		return nil
	})
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprint(n, " ", thing, "s")
}

func imageTagCommand() *cobra.Command {
	return imageVerb("tag IMAGE NAME", "Give an image another name as well", cobra.ExactArgs(2), func(_ io.Writer, args []string) error {
		s, err := store.Open()
		if err != nil {
			return err
		}
		return s.Tag(trimImage(args[0]), args[1])
	})
}

func imageVerifyCommand() *cobra.Command {
	return imageVerb("verify", "Check every digest in the store and every reference", cobra.NoArgs, func(w io.Writer, _ []string) error {
		ctx, stop := interruptible()
		defer stop()
		s, err := store.Open()
		if err != nil {
			return err
		}
		v, err := s.Verify(ctx)
		if err != nil {
			return stopped(ctx, err)
		}
		for _, p := range v.Problems {
			fmt.Fprintln(w, p)
		}
		fmt.Fprintf(w, "%s, %s, %s: %s\n", plural(v.Images, "image"), plural(v.Blobs, "blob"), oci.Bytes(v.Bytes), plural(len(v.Problems), "problem"))
		if len(v.Problems) > 0 {
			return errors.New("the image store is damaged: remove the images named above and get them again")
		}
		return nil
	})
}

func imageExportCommand() *cobra.Command {
	var output, format string
	cmd := imageVerb("export IMAGE -o FILE", "Write an image to a file, for husk or for other engines", cobra.ExactArgs(1), nil)
	cmd.Long = `Write an image to a file:

  oci         an OCI archive with the EROFS layers as they are (the default)
  oci-layout  the same as a directory
  oci-tar     an OCI archive with a tar layer, which other engines read
  docker      what 'docker save' writes and 'docker load' reads
  tar         the root file system as a tar
  erofs       the bare file system (the default for FILE.erofs)`
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if output == "" {
			return failed(errors.New("export where to? give -o FILE, or -o - for the standard output"))
		}
		if format != "" && !slices.Contains(oci.Formats, format) {
			return failed(fmt.Errorf("--format %s: not one of %s", format, strings.Join(oci.Formats, ", ")))
		}
		ctx, stop := interruptible()
		defer stop()
		f := oci.Format(format)
		if format == "" {
			f = oci.FormatOf(output)
		}
		return failed(withImage(args[0], func(im *store.Image) error {
			return stopped(ctx, oci.ExportFile(ctx, im, output, f))
		}))
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write")
	cmd.Flags().StringVar(&format, "format", "", "format: oci, oci-layout, oci-tar, docker, tar or erofs")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(oci.Formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
