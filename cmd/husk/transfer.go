package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"husk/host/oci"
	"husk/host/store"
)

// importFlags are what all that takes in images has.
type importFlags struct {
	maxSize     sizeFlag
	skipDevices bool
	platform    string
	quiet       bool
}

func (f *importFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.maxSize = sizeFlag(oci.DefaultLimits.Bytes)
	flags.Var(&f.maxSize, "max-size", "refuse what unpacks to more")
	flags.BoolVar(&f.skipDevices, "skip-devices", false, "leave device nodes out instead of refusing them")
	flags.StringVar(&f.platform, "platform", "linux/amd64", "which image, of several")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print digests only")
}

func (f *importFlags) options(stderr io.Writer) (oci.ImportOptions, error) {
	o := oci.ImportOptions{Limits: oci.DefaultLimits, Warn: func(line string) { fmt.Fprintln(stderr, "husk: "+line) }}
	o.Limits.Bytes, o.Limits.SkipDevices = int64(f.maxSize), f.skipDevices
	p, err := v1.ParsePlatform(f.platform)
	if err != nil || p.OS != "linux" || p.Architecture != "amd64" && p.Architecture != "arm64" {
		return o, fmt.Errorf("--platform %s: not linux/amd64 or linux/arm64", f.platform)
	}
	o.Platform = *p
	return o, nil
}

func imageImportCommand() *cobra.Command {
	f := &importFlags{}
	b := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "import [flags] FILE|DIR|-",
		Short: "Take an image or a root file system into the store",
		Long: `Take in what 'docker save', podman, buildah, skopeo and the like write: a
docker-archive, an OCI archive or layout. Or a root file system: a tar or a
directory, whose owners, times and permissions stay as they are, or an EROFS
image. Files may be compressed with gzip, zstd, xz or bzip2; - is the standard
input. Layers are put above one another and become an EROFS file system;
entrypoint, environment, user, working directory and the rest stay.

Every digest is checked. Archives with entries that lead out of the tree, with
links to elsewhere or with device nodes are refused.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(importImage(cmd, f, b, args[0]))
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&b.name, "tag", "t", "", "name of the image in the store (default: the one it has)")
	flags.StringVar(&b.entrypoint, "entrypoint", "", "of a root file system: program to start, and its first arguments")
	imageConfigFlags(cmd, &b.env, &b.workdir, &b.user, &b.labels, &b.expose, &b.volumes)
	return cmd
}

func importImage(cmd *cobra.Command, f *importFlags, b *buildFlags, source string) error {
	o, err := f.options(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	cfg, err := b.imageConfig()
	if err != nil {
		return err
	}
	if b.entrypoint != "" {
		cfg.Config.Entrypoint = strings.Fields(b.entrypoint)
	}
	o.Config = &cfg
	if b.name != "" {
		if b.name, err = store.Familiar(b.name); err != nil {
			return err
		}
	}
	ctx, stop := interruptible()
	defer stop()
	s, err := store.Open()
	if err != nil {
		return err
	}
	u, err := s.Begin()
	if err != nil {
		return err
	}
	defer u.Close()
	show, end := newBars(cmd.ErrOrStderr())
	if st, err := os.Stat(source); err == nil && st.Mode().IsRegular() && show != nil {
		o.Progress = show.Bar(path.Base(filepath.ToSlash(source)), st.Size())
	}
	got, err := oci.Import(ctx, u, source, cmd.InOrStdin(), o)
	end()
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) && pe.Path == source {
			err = pe.Err // the source is named already
		}
		return stopped(ctx, fmt.Errorf("import %s: %w", source, err))
	}
	if b.name != "" {
		if len(got) > 1 && got[0].Digest != got[len(got)-1].Digest {
			return fmt.Errorf("import %s: it has %d images, and -t is one name", source, len(got))
		}
		got = got[:1]
	}
	told := map[string]bool{}
	for _, im := range got {
		name := b.name
		if name == "" {
			name = importedName(im.Name, source)
		}
		if told[name] {
			continue // localhost/NAME and NAME are one
		}
		told[name] = true
		if err := u.Tag(name, im.Descriptor); err != nil {
			return err
		}
		if f.quiet {
			fmt.Fprintln(cmd.OutOrStdout(), im.Digest)
		} else {
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", name, im.Digest)
		}
	}
	return nil
}

// importedName is what an image is called: as its archive has it, which may
// be a tag only, else as the file.
func importedName(name, source string) string {
	base := path.Base(filepath.ToSlash(source))
	for _, suffix := range []string{".gz", ".tgz", ".zst", ".xz", ".txz", ".bz2", ".tar", ".erofs", ".img", ".oci"} {
		base = strings.TrimSuffix(base, suffix)
	}
	if source == "-" {
		base = "imported"
	}
	if name != "" && !strings.ContainsAny(name, "/:@") {
		name = defaultName(base) + ":" + name
	}
	if f, err := store.Familiar(name); name != "" && err == nil {
		return f
	}
	f, err := store.Familiar(defaultName(base))
	if err != nil {
		return "imported:latest"
	}
	return f
}

func imagePullCommand() *cobra.Command {
	f := &importFlags{}
	insecure := false
	cmd := &cobra.Command{
		Use:   "pull [flags] NAME",
		Short: "Get an image from a registry",
		Long: `Get an image from a registry, with the credentials of 'docker login'. A
container image is converted to EROFS. What was downloaded stays when a pull
ends early, and the next one goes on there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(func() error {
				o, err := f.options(cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				ref := trimImage(args[0])
				ctx, stop := interruptible()
				defer stop()
				s, err := store.Open()
				if err != nil {
					return err
				}
				u, err := s.Begin()
				if err != nil {
					return err
				}
				defer u.Close()
				show, end := newBars(cmd.ErrOrStderr())
				im, err := oci.Pull(ctx, u, ref, o, oci.RegistryOptions{Insecure: insecure, Bars: show})
				end()
				if err != nil {
					return stopped(ctx, fmt.Errorf("pull %w", err))
				}
				name := im.Name
				if strings.Contains(name, "@") {
					name = ""
				}
				if err := u.Tag(name, im.Descriptor); err != nil {
					return err
				}
				if f.quiet {
					fmt.Fprintln(cmd.OutOrStdout(), im.Digest)
				} else {
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", im.Name, im.Digest)
				}
				return nil
			}())
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&insecure, "insecure", false, "speak plain HTTP")
	return cmd
}

func imagePushCommand() *cobra.Command {
	var insecure, quiet, plain bool
	var format string
	cmd := &cobra.Command{
		Use:   "push [flags] IMAGE [NAME]",
		Short: "Send an image to a registry",
		Long: `Send an image to a registry, under its own or another name, with the
credentials of 'docker login'. What the registry has is not sent again. Layers
are compressed on their way, where that gains something and the registry takes
it; a pull gives the same image, with the same digest as here.
--format oci-tar sends one compressed tar layer, which other engines can run.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != string(oci.FormatOCI) && format != string(oci.FormatOCITar) {
				return failed(fmt.Errorf("--format %s: not oci or oci-tar", format))
			}
			s, err := store.Open()
			if err != nil {
				return failed(err)
			}
			ctx, stop := interruptible()
			defer stop()
			return failed(withImage(args[0], func(im *store.Image) error {
				to := im.Name
				if len(args) > 1 {
					to = args[1]
				}
				if to == "" {
					return errors.New("push where to? the image has no name, give one")
				}
				show, end := newBars(cmd.ErrOrStderr())
				h, err := oci.Push(ctx, im, s, to, oci.RegistryOptions{Insecure: insecure, Bars: show, Tar: format == string(oci.FormatOCITar), Plain: plain})
				end()
				if err != nil {
					return stopped(ctx, fmt.Errorf("push %w", err))
				}
				if quiet {
					fmt.Fprintln(cmd.OutOrStdout(), h)
				} else {
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", to, h)
				}
				return nil
			}))
		},
	}
	cmd.Flags().StringVar(&format, "format", "oci", "oci as it is, or oci-tar for other engines")
	cmd.Flags().BoolVar(&plain, "plain", false, "send the layers as they are, not compressed")
	cmd.Flags().BoolVar(&insecure, "insecure", false, "speak plain HTTP")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print the digest only")
	return cmd
}
