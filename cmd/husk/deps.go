package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func depsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "deps PROGRAM",
		Short: "Print the libraries that a program needs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(errors.New("not built in yet"))
		},
	}
}
