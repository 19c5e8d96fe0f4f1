// Command husk runs unmodified Linux programs as unikernels.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"husk/host/instance"
)

func main() {
	os.Exit(husk(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// husk is the whole command with its streams. It gives the exit status.
func husk(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	root := rootCommand(stdin)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	var end *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &end):
		if end.err != nil {
			complain(stderr, end.err)
		}
		return end.status
	}
	// What is left are cobra's own complaints about the command line.
	complain(stderr, fmt.Errorf("%s (see '%s --help')", firstLine(err.Error()), cmd.CommandPath()))
	return instance.StatusFailed
}

// exitError ends the command with a status, and with a line on stderr if err
// is set.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failed makes err husk's own failure unless it has a status already.
func failed(err error) error {
	var end *exitError
	if err == nil || errors.As(err, &end) {
		return err
	}
	return &exitError{instance.StatusFailed, err}
}

func complain(w io.Writer, err error) {
	fmt.Fprintf(w, "husk: %s\n", firstLine(err.Error()))
	var dead *instance.DeadError
	if errors.As(err, &dead) && len(dead.Log) > 0 {
		_, _ = w.Write(dead.Log)
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func rootCommand(stdin *os.File) *cobra.Command {
	root := &cobra.Command{
		Use:           "husk",
		Short:         "Run unmodified Linux programs as unikernels",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		runCommand(stdin),
		buildCommand(),
		imageCommand(),
		pkgCommand(),
		diffCommand(),
		sbomCommand(),
		depsCommand(),
		extractCommand(),
		initCommand(),
		manifestCommand(),
		slimCommand(stdin),
		doctorCommand(),
		versionCommand(),
	)
	return root
}
