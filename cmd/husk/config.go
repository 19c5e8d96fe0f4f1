package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"husk/host/config"
)

// configured applies the file of -c: it sets the flags that were not given,
// says what it cannot do, and returns the command line, which begins with the
// file's program and arguments unless args name a program of their own.
func configured(flags *pflag.FlagSet, file string, args []string, w io.Writer) (*config.Config, []string, error) {
	c, err := config.Read(file)
	if err != nil {
		return nil, nil, err
	}
	program := c.Program
	if strings.Contains(program, "/") {
		program = c.Path(program)
	}
	if len(args) > 0 {
		program, args = args[0], args[1:]
	}
	if program == "" {
		return nil, nil, fmt.Errorf("%s names no program, and the command line does not either", file)
	}
	s := settings{flags: flags, file: file}
	s.all(c)
	if s.err != nil {
		return nil, nil, s.err
	}
	for _, warning := range append(c.Warnings, s.warnings...) {
		fmt.Fprintf(w, "husk: %s: %s\n", file, warning)
	}
	return c, append(append([]string{program}, c.Args...), args...), nil
}

// settings turns members of a configuration into flags.
type settings struct {
	flags    *pflag.FlagSet
	file     string
	warnings []string
	err      error
}

// set gives a flag a value, or several, unless it was given one. Values of a
// flag that may be repeated are added before those given.
func (s *settings) set(name string, values ...string) {
	values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
	if len(values) == 0 || s.err != nil {
		return
	}
	f := s.flags.Lookup(name)
	if f == nil {
		what := strings.Join(values, " ") + " (--" + name + ")"
		if values[0] == yes(true) {
			what = "--" + name
		}
		s.warnings = append(s.warnings, what+" is not supported here")
		return
	}
	var err error
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if f.Changed {
			values = append(values, list.GetSlice()...)
		}
		err = list.Replace(values)
		f.Changed = true
	} else if !f.Changed {
		err = s.flags.Set(name, values[0])
	}
	if why := errors.Unwrap(err); why != nil {
		err = fmt.Errorf("--%s: %w", name, why) // without pflag's words
	}
	if err != nil {
		s.err = fmt.Errorf("%s: %w", s.file, err)
	}
}

func (s *settings) all(c *config.Config) {
	var env []string
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, k+"="+c.Env[k])
	}
	s.set("env", env...)
	s.set("workdir", c.Workdir)
	s.set("user", c.User)
	s.set("hostname", c.Hostname)
	s.set("tty", yes(c.TTY))
	s.set("sysroot", c.Path(c.Sysroot))
	s.set("memory", c.Memory)
	s.set("cpus", count(c.CPUs))
	s.set("name", c.Name)
	s.set("detach", yes(c.Detach))
	var volumes []string
	for _, v := range c.Volumes {
		if from, to, ok := strings.Cut(v, ":"); ok {
			v = c.Path(from) + ":" + to
		}
		volumes = append(volumes, v)
	}
	s.set("volume", volumes...)
	s.set("publish", c.Ports...)
	s.network(&c.Net)
	s.set("accel", c.Accel)
	s.set("debug", yes(c.Debug))
	s.set("verbose", yes(c.Verbose))
	s.set("strace", c.Strace)
	s.set("gdb", count(c.GDB))
}

func (s *settings) network(n *config.Network) {
	ip := n.IP
	if ip != "" && !strings.Contains(ip, "/") && n.Netmask != "" {
		ip += "/" + n.Netmask
	}
	mode := n.Mode
	if mode == "" && (n.IP != "" || n.IPv6 != "" || n.Gateway != "" || n.MAC != "" || len(n.DNS) > 0) {
		mode = "user" // who says what the card is like wants one
	}
	// These are lists, but what the command line says is meant instead.
	for flag, values := range map[string][]string{"net": {mode}, "ip": {ip, n.IPv6}, "gateway": {n.Gateway}} {
		if !s.flags.Changed(flag) {
			s.set(flag, values...)
		}
	}
	s.set("mac", n.MAC)
	s.set("dns", n.DNS...)
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// initFile is what husk init writes.
const initFile = "husk.yaml"

func initCommand() *cobra.Command {
	force, schema := false, false
	cmd := &cobra.Command{
		Use:   "init [flags] [PROGRAM [ARGS…]]",
		Short: "Write a husk.yaml that explains itself",
		Long: `Write a husk.yaml in the current directory: every setting explained, those that
are not used left out. 'husk run -c husk.yaml' runs what it describes.
With --schema editors complete and check it: the JSON schema is written to
husk.schema.json beside it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			program := ""
			if len(args) > 0 {
				program, args = args[0], args[1:]
			}
			mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
			if force {
				mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
			}
			f, err := os.OpenFile(initFile, mode, 0o666)
			if errors.Is(err, os.ErrExist) {
				return failed(fmt.Errorf("%s exists already (replace it with --force)", initFile))
			}
			if err != nil {
				return failed(err)
			}
			text := config.Template(program, args)
			if schema {
				text = append([]byte("# yaml-language-server: $schema="+config.SchemaID+"\n"), text...)
				if err := os.WriteFile(config.SchemaID, config.Schema(), 0o666); err != nil {
					f.Close()
					return failed(err)
				}
			}
			_, err = f.Write(text)
			if err := errors.Join(err, f.Close()); err != nil {
				return failed(err)
			}
			dir, _ := filepath.Abs(".")
			fmt.Fprintf(cmd.ErrOrStderr(), "husk: wrote %s\n", filepath.Join(dir, initFile))
			return nil
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVar(&schema, "schema", false, "write "+config.SchemaID+" as well")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a "+initFile+" that is there")
	return cmd
}
