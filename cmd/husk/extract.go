package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"husk/host/elfdeps"
	"husk/host/rootfs"
)

func extractCommand() *cobra.Command {
	dir, all := "", false
	cmd := &cobra.Command{
		Use:   "extract [flags] PROGRAM [DIR]",
		Short: "Copy a program and what it needs into a directory",
		Long: `Copy a program, its interpreter and its shared libraries into DIR, the current
directory if none is named, each below it at its own path. Symbolic links are
followed. Each file is named as it is copied.

Needs are read from ELF headers; the program is not executed. With --all the
directory gets all that 'husk run' would gather: what C libraries and language
runtimes open by name, and the files of /etc that programs expect.`,
		Example: `  husk extract /usr/bin/redis-server rootfs
  husk run -r rootfs /usr/bin/redis-server --version`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			tree, err := extraction(args[0], dir, all)
			if err != nil {
				return failed(inOrderTo("extract", refused(err)))
			}
			target := "."
			if len(args) > 1 {
				target = args[1]
			}
			out := cmd.OutOrStdout()
			err = tree.Extract(target, func(p string) { fmt.Fprintf(out, "Copying %s ...\n", p) })
			if err != nil {
				return failed(err)
			}
			for _, w := range tree.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "husk: %s\n", w)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "sysroot", "", "directory to find program and libraries in, instead of the host's /")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "all that 'husk run' would gather, not the shared libraries alone")
	_ = cmd.MarkFlagDirname("sysroot")
	return cmd
}

// extraction is the tree that is to be copied.
func extraction(program, dir string, all bool) (*rootfs.Tree, error) {
	closure, err := dependencies(program, dir)
	if err != nil {
		return nil, err
	}
	if all {
		return rootfs.Build(rootfs.Options{Program: closure.Program.Path, Sysroot: dir, Env: environment("/root", false, nil, os.LookupEnv)})
	}
	return closureTree(closure, dir)
}

// closureTree holds the files of a closure at the paths that ask for them.
func closureTree(c *elfdeps.Closure, dir string) (*rootfs.Tree, error) {
	t := rootfs.NewTree()
	for _, o := range c.Objects() {
		n, err := rootfs.HostFile(dir+o.Real, true)
		if err == nil {
			err = t.Put(o.Path, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}
