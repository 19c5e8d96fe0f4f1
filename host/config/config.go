// Package config reads the files that say how a program is run and what its
// image holds: husk's own husk.yaml and OPS's config.json.
//
// Both become a Config. Relative host paths in it begin at the directory of
// the file they were read from.
package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// Config is what a file said; zero values are what it left out. The comments
// are the documentation that 'husk init' writes and the JSON schema holds.
type Config struct {
	Program    string            `yaml:"program,omitempty" doc:"The program: a path on this host, or a name that is found in PATH."`
	Args       []string          `yaml:"args,omitempty" doc:"Its arguments."`
	Env        map[string]string `yaml:"env,omitempty" doc:"Its environment, beside PATH, HOME and the user's language and time zone."`
	Workdir    string            `yaml:"workdir,omitempty" doc:"Its working directory in the machine."`
	User       string            `yaml:"user,omitempty" doc:"The user it runs as: UID[:GID] or names of the image's /etc/passwd."`
	Hostname   string            `yaml:"hostname,omitempty" doc:"The machine's host name."`
	TTY        bool              `yaml:"tty,omitempty" doc:"Give it a terminal."`
	Entrypoint []string          `yaml:"entrypoint,omitempty" doc:"The command line of an image, if it is not the program alone."`

	Files    []string          `yaml:"files,omitempty" doc:"Files of this host that stand at the same path in the image; a relative path begins at / there."`
	Dirs     []string          `yaml:"dirs,omitempty" doc:"Directories of this host, with all that is in them, at the same path in the image."`
	MapDirs  map[string]string `yaml:"mapdirs,omitempty" doc:"Files of this host, by directory or by pattern (site/*), and the directory of the image they go to."`
	Manifest string            `yaml:"manifest,omitempty" doc:"A manifest of OSv's form with more files."`
	Sysroot  string            `yaml:"sysroot,omitempty" doc:"A directory to find the program's libraries in, instead of this host's /."`
	Labels   map[string]string `yaml:"labels,omitempty" doc:"Labels of the image."`
	Tag      string            `yaml:"tag,omitempty" doc:"The image's name."`

	Memory  string   `yaml:"memory,omitempty" doc:"Memory of the machine: 128M, 2G."`
	CPUs    int      `yaml:"cpus,omitempty" doc:"Processors of the machine."`
	Name    string   `yaml:"name,omitempty" doc:"The machine's name."`
	Detach  bool     `yaml:"detach,omitempty" doc:"Run in the background."`
	Volumes []string `yaml:"volumes,omitempty" doc:"Directories of this host inside the machine: SRC:DST[:ro]."`

	Ports []string `yaml:"ports,omitempty" doc:"Ports of this host that lead into the machine: [ADDR:]HOST:GUEST[/udp]."`
	Net   Network  `yaml:"net,omitempty" doc:"The machine's network."`

	Accel   string `yaml:"accel,omitempty" doc:"Accelerator: auto, kvm, hvf or tcg."`
	Debug   bool   `yaml:"debug,omitempty" doc:"Show how the machine is started."`
	Verbose bool   `yaml:"verbose,omitempty" doc:"Show the kernel's messages."`
	Strace  string `yaml:"strace,omitempty" doc:"Print these system calls, or all."`
	GDB     int    `yaml:"gdb,omitempty" doc:"Wait for gdb on this port."`

	copyArgs bool   // arguments that name files bring them along
	filesDir string // where relative paths of Files and Dirs begin, if not at Dir

	// Dir is where relative paths begin.
	Dir string `yaml:"-"`
	// Warnings name what was understood and is not done, for people to read.
	Warnings []string `yaml:"-"`
}

// Network is how a machine is connected.
type Network struct {
	Mode    string   `yaml:"mode,omitempty" doc:"user, passt, tap[=NAME], bridge=NAME, socket=PATH or none; see docs/network.md."`
	IP      string   `yaml:"ip,omitempty" doc:"The machine's address, with /PREFIX unless netmask says it."`
	Netmask string   `yaml:"netmask,omitempty" doc:"The network's mask, as 255.255.255.0."`
	Gateway string   `yaml:"gateway,omitempty" doc:"The way out."`
	IPv6    string   `yaml:"ipv6,omitempty" doc:"The machine's IPv6 address."`
	MAC     string   `yaml:"mac,omitempty" doc:"The network card's address."`
	DNS     []string `yaml:"dns,omitempty" doc:"Name servers."`
}

// Error is a file that cannot be understood.
type Error struct {
	File   string
	Line   int // 0: unknown
	Reason string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
	}
	return e.File + ": " + e.Reason
}

// maxFile is how long a file may be.
const maxFile = 1 << 20

// Read reads a file: one of OPS's form if its name ends in .json, else of
// husk's.
func Read(file string) (*Config, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var c *Config
	if strings.EqualFold(filepath.Ext(file), ".json") {
		c, err = parseOPS(b)
	} else {
		c, err = parseYAML(b)
	}
	var bad *Error
	if errors.As(err, &bad) {
		bad.File = file
	}
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	c.Dir = filepath.Dir(abs)
	if err := c.check(); err != nil {
		return nil, &Error{File: file, Reason: err.Error()}
	}
	return c, nil
}

// check refuses what no machine can do.
func (c *Config) check() error {
	switch {
	case c.CPUs < 0:
		return fmt.Errorf("%d processors", c.CPUs)
	case c.GDB < 0 || c.GDB > 65535:
		return fmt.Errorf("%d is no TCP port for gdb", c.GDB)
	case c.Workdir != "" && !path.IsAbs(c.Workdir):
		return fmt.Errorf("the working directory %q is not absolute", c.Workdir)
	}
	for name := range c.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("%q is no name of an environment variable", name)
		}
	}
	for from, to := range c.MapDirs {
		if !path.IsAbs(to) {
			return fmt.Errorf("%s goes to %q, which is no absolute path", from, to)
		}
	}
	return nil
}

// Path gives a host path of the file as one that holds from everywhere. A
// name without a directory, which may be searched for, stays as it is.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Dir, p)
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}
