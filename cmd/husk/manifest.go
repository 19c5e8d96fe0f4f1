package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"husk/host/manifest"
	"husk/host/sysroot"
)

// Where -w writes, as OSv's script does.
const (
	appendManifest    = "build/last/append.manifest"
	appendCommandLine = "build/last/append_cmdline"
)

func manifestCommand() *cobra.Command {
	var q manifest.Request
	write := false
	cmd := &cobra.Command{
		Use:   "manifest [flags] PROGRAM|DIR [SUBDIR]",
		Short: "Print a manifest of a program, a library or a directory, as OSv's scripts read it",
		Long: `Print a manifest of a program, a shared library or a directory on this host:
lines of a path in the guest and the host's file that stands there. Options and
format are those of OSv's manifest_from_host.sh; 'husk build --manifest FILE'
reads it back.`,
		Example: `  husk manifest ls                  a program, found in PATH
  husk manifest -l libz.so.1        a shared library
  husk manifest -r /opt/app         a directory and what its libraries need`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name = args[0]
			if len(args) > 1 {
				q.Subdirectory = args[1]
			}
			root, err := sysroot.Open("")
			if err != nil {
				return failed(err)
			}
			q.Root = root
			g, err := manifest.Generate(q)
			if err != nil {
				return failed(err)
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), g.Text); err != nil {
				return failed(err)
			}
			if write {
				return failed(writeManifest(g))
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&q.Library, "library", "l", false, "look for a shared library of this name, or one that matches it")
	flags.BoolVarP(&q.Resolve, "resolve", "r", false, "of a directory: add what the shared objects in it need")
	flags.BoolVarP(&q.HostRoot, "host-root", "R", false, "of a directory: keep its path instead of making it the root")
	flags.BoolVarP(&write, "write", "w", false, "write "+appendManifest+" and "+appendCommandLine+" as well")
	flags.BoolVarP(&q.IgnoreMissing, "ignore-missing", "i", false, "leave out libraries that are not found")
	return cmd
}

// writeManifest leaves the files that OSv's build reads.
func writeManifest(g *manifest.Generated) error {
	if err := os.MkdirAll(filepath.Dir(appendManifest), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(appendManifest, []byte(g.Text), 0o666); err != nil {
		return err
	}
	if g.CommandLine == "" {
		return nil
	}
	if err := os.WriteFile(appendCommandLine, []byte(g.CommandLine), 0o666); err != nil {
		return fmt.Errorf("write the command line: %w", err)
	}
	return nil
}
