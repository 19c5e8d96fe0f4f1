package main

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"husk/host/elfdeps"
	"husk/host/sysroot"
)

func depsCommand() *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use:   "deps [flags] PROGRAM",
		Short: "Print the shared libraries that a program needs",
		Long: `Print the shared libraries that a program needs, one a line, as ldd does. They
are read from ELF headers; the program is not executed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			closure, err := dependencies(args[0], dir)
			if closure == nil {
				return failed(inOrderTo("deps", refused(err)))
			}
			out := cmd.OutOrStdout()
			if closure.Static() {
				fmt.Fprintln(out, "\tstatically linked")
			}
			for _, l := range closure.Libs {
				fmt.Fprintf(out, "\t%s => %s\n", l.Name, l.Path)
			}
			for _, m := range closure.Missing {
				fmt.Fprintf(out, "\t%s => not found\n", m.Name)
			}
			if closure.Interp != nil {
				fmt.Fprintf(out, "\t%s\n", closure.Interp.Path)
			}
			if err != nil {
				return inOrderTo("deps", refused(err))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "sysroot", "", "directory to find program and libraries in, instead of the host's /")
	_ = cmd.MarkFlagDirname("sysroot")
	return cmd
}

// dependencies resolves a program that a shell would find, or one by its path
// under dir.
func dependencies(program, dir string) (*elfdeps.Closure, error) {
	if dir != "" {
		if err := readableDirectory(dir); err != nil {
			return nil, failed(fmt.Errorf("--sysroot %s: %w", dir, err))
		}
	}
	root, err := sysroot.Open(dir)
	if err != nil {
		return nil, err
	}
	if root.Own() {
		if program, err = findProgram(program); err != nil {
			return nil, err
		}
	} else if !root.Exists(program) {
		return nil, &fs.PathError{Op: "find", Path: filepath.Join(dir, program), Err: fs.ErrNotExist}
	}
	return elfdeps.Resolve(program, elfdeps.Options{Root: root})
}
