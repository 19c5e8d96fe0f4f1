package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"husk/host/accel"
	"husk/host/config"
	"husk/host/embedded"
	"husk/host/instance"
	"husk/host/rootfs"
	"husk/host/store"
	"husk/host/terminal"
	"husk/host/vmm"
	"husk/host/vmm/qemu"
	"husk/spec"
)

// runFlags are the flags of husk run as they were typed.
type runFlags struct {
	configFile  string
	rootfs      string
	sysroot     string
	env         []string
	cwd         string
	user        string
	entrypoint  *string
	memory      sizeFlag
	cpus        int
	interactive bool
	tty         bool
	strace      string
	straceFile  string
	gdb         int
	accel       string
	machine     string
	monitor     string
	kernel      string
	verbose     bool
	debug       bool
	icount      bool
	missing     bool
	network     netFlags
}

const (
	defaultMemory = 512 << 20
	minMemory     = 9 << 20 // what hello needs
	maxCPUs       = 8

	// A boot takes milliseconds on a processor that works, and a second or
	// so emulated on a host that is busy.
	bootLimit         = 10 * time.Second
	bootLimitEmulated = 2 * time.Minute
)

func runCommand(stdin *os.File) *cobra.Command {
	f := &runFlags{memory: defaultMemory}
	cmd := &cobra.Command{
		Use:   "run [flags] PROGRAM|IMAGE [ARGS…]",
		Short: "Run a program or an image as a unikernel",
		Long: `Run a program as a unikernel: find what it needs, boot it on the kernel
inside husk, and end with its output and its exit status. Everything after
PROGRAM belongs to the program.

Stdin, stdout and stderr are the program's. Its environment is PATH, HOME,
the user's language and time zone, and what -e adds. Without -r the root file
system holds the program and what it needs, nothing else; what is written to
it is gone afterwards.

A path of an existing file or a name in PATH is a program; else the name or the
digest of an image (see 'husk image ls') is that image, with its entrypoint,
environment, user and working directory as far as no flag says otherwise. ARGS
replace its default arguments. image:NAME is the image in any case.

The exit status is the program's, 128+n if signal n ended it, 125 if husk
failed, 126 if PROGRAM is not executable, 127 if it was not found.`,
		Example: `  husk run ls -l /
  husk run -r / python3 script.py
  echo hello | husk run -m 64M sha256sum
  husk run --entrypoint /bin/sh image:site -c 'ls /etc'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.configFile == "" {
				return errors.New("run what? name a program")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &runner{
				runFlags: f, args: args, stdin: stdin,
				stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), start: time.Now(),
			}
			if err := r.settle(cmd.Flags()); err != nil {
				return failed(err)
			}
			return r.run()
		},
	}
	f.define(cmd)
	return cmd
}

// settle applies what stands in a file, and what only the flags themselves
// can tell.
func (r *runner) settle(flags *pflag.FlagSet) error {
	if r.configFile != "" {
		var err error
		if r.files, r.args, err = configured(flags, r.configFile, r.args, r.stderr); err != nil {
			return err
		}
	}
	if !flags.Changed("entrypoint") {
		r.entrypoint = nil
	}
	return nil
}

// define gives a command the flags of husk run.
func (f *runFlags) define(cmd *cobra.Command) {
	f.entrypoint = new(string)
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.SortFlags = false
	flags.StringVarP(&f.configFile, "config", "c", "", "file that says how to run what: husk.yaml, or OPS's config.json if its name ends in .json")
	flags.StringVarP(&f.rootfs, "rootfs", "r", "", "directory to use as root file system, read-only below what the program writes; / is the host's own")
	flags.StringVar(&f.sysroot, "sysroot", "", "directory to find the program's libraries in, instead of the host's /")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set an environment variable: K=V, or K for its value here")
	flags.StringVarP(&f.cwd, "workdir", "w", "", "working directory of the program (default /, with -r / the current one)")
	flags.StringVarP(&f.user, "user", "u", "", "user to run as: UID[:GID], numbers or names of the root's passwd (default 0:0)")
	flags.StringVar(f.entrypoint, "entrypoint", "", "program to start instead of the image's")
	flags.VarP(&f.memory, "memory", "m", "memory of the machine")
	flags.IntVar(&f.cpus, "cpus", 1, "processors of the machine")
	flags.BoolVarP(&f.interactive, "interactive", "i", false, "accepted for docker's sake: stdin is always connected")
	flags.BoolVarP(&f.tty, "tty", "t", false, "give the program a terminal")
	flags.StringVar(&f.strace, "strace", "", "print the program's system calls, or those in a LIST as strace's -e has it")
	flags.Lookup("strace").NoOptDefVal = "all"
	flags.StringVar(&f.straceFile, "strace-output", "", "file for the system calls instead of stderr")
	flags.BoolVar(&f.missing, "missing", false, "name the files that the program looked for in vain and that are not in the root")
	f.network.define(flags)
	flags.StringVar(&f.accel, "accel", "auto", "accelerator: auto, kvm, hvf or tcg")
	flags.StringVar(&f.machine, "machine", "microvm", "kind of machine: microvm or q35")
	flags.StringVar(&f.monitor, "vmm", "qemu", "monitor: qemu")
	flags.BoolVar(&f.verbose, "verbose", false, "show the kernel's messages on stderr")
	flags.BoolVar(&f.debug, "debug", false, "show how the machine is started as well")
	flags.IntVar(&f.gdb, "gdb", 0, "wait for gdb on this PORT before the first instruction")
	flags.Lookup("gdb").NoOptDefVal = "1234"
	flags.StringVar(&f.kernel, "kernel", os.Getenv("HUSK_KERNEL"), "kernel to boot instead of the one inside husk")
	flags.BoolVar(&f.icount, "icount", false, "count instructions: one is a nanosecond of the machine's clocks")
	_ = flags.MarkHidden("kernel")
	_ = flags.MarkHidden("icount")
	for name, words := range map[string][]string{
		"accel": {"auto", accel.KVM, accel.HVF, accel.TCG}, "machine": {"microvm", "q35"}, "vmm": {"qemu"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.MarkFlagDirname("rootfs")
	_ = cmd.MarkFlagDirname("sysroot")
}

// runner is one husk run.
type runner struct {
	*runFlags
	args           []string
	files          *config.Config // has more files for the root; nil for none
	stdin          *os.File
	stdout, stderr io.Writer
	start          time.Time

	accesses *accesses // hears of the names that the program looks up; nil for nobody

	image *store.Image // what to run, unless a program
	use   *store.Use
	taken []string // files copied out of it
}

// run does it and gives the program's status as an exitError.
func (r *runner) run() error {
	if err := r.check(); err != nil {
		return failed(err)
	}
	if err := r.findImage(); err != nil {
		return failed(err)
	}
	if r.image != nil {
		defer r.use.Close()
		defer r.image.Close()
		defer r.forget()
	} else if r.entrypoint != nil {
		return failed(fmt.Errorf("--entrypoint is for images, and %s is none here", r.args[0]))
	}
	if r.missing {
		r.accesses = &accesses{}
		defer r.tellMissing()
	}
	defer r.network.release()
	c, err := r.config()
	if err != nil {
		return failed(err)
	}
	build := embedded.Plain
	if len(c.Machine.Cards) > 0 {
		build = embedded.Network
	}
	kernel, err := openKernel(r.kernel, build)
	if err != nil {
		return failed(err)
	}
	defer kernel.Close()
	c.Machine.Kernel = kernel
	c.Machine.Accel = r.accel
	var choice accel.Choice
	if r.accel == "auto" {
		choice = r.chooseAccel()
		c.Machine.Accel = choice.Name
	}
	status, err := r.boot(c)
	var dead *instance.DeadError
	if r.accel == "auto" && choice.Name != accel.TCG && errors.As(err, &dead) && !dead.Booted {
		// The probe was content, the monitor or the kernel is not. Nothing
		// of stdin has been read yet.
		reason := fmt.Errorf("%s: %w", choice.Name, err)
		accel.Reject(cacheDir(), reason)
		r.note("using emulation: %v", reason)
		c.Machine.Accel = accel.TCG
		status, err = r.boot(c)
	}
	if errors.As(err, &dead) && (r.memory < 32<<20 || bytes.Contains(dead.Log, []byte("out of memory"))) {
		err = fmt.Errorf("%w (is -m %s enough?)", err, r.memory.String())
	}
	if status == 0 && err == nil {
		return nil
	}
	return &exitError{status, err}
}

// check refuses values that make no sense before anything is done.
func (r *runner) check() error {
	oneOf := func(flag, value string, words ...string) error {
		for _, w := range words {
			if value == w {
				return nil
			}
		}
		return fmt.Errorf("%s %s: not one of %s", flag, value, strings.Join(words, ", "))
	}
	switch {
	case r.memory < minMemory:
		return fmt.Errorf("-m %s is too little memory: a machine needs at least %s", r.memory.String(), formatSize(minMemory))
	case r.cpus < 1 || r.cpus > maxCPUs:
		return fmt.Errorf("--cpus %d: a machine has 1 to %d processors", r.cpus, maxCPUs)
	case r.cwd != "" && !path.IsAbs(r.cwd):
		return fmt.Errorf("-w %s: the working directory must be an absolute path", r.cwd)
	case r.rootfs != "" && r.sysroot != "":
		return errors.New("-r and --sysroot exclude each other: a root file system brings its libraries")
	case r.rootfs != "" && r.files.HasFiles():
		return fmt.Errorf("-r %s: the files that %s adds need a root that husk makes (leave out -r)", r.rootfs, r.configFile)
	case r.missing && r.strace != "":
		return errors.New("--missing and --strace exclude each other")
	case r.straceFile != "" && r.strace == "":
		return errors.New("--strace-output needs --strace")
	case r.tty && r.interactive && !terminal.IsTerminal(r.stdin):
		return errors.New("-t needs a terminal as stdin, and stdin is none: leave out -t, or -i to go without input")
	case r.icount && r.accel != accel.TCG:
		return errors.New("--icount needs --accel tcg")
	case r.gdb < 0 || r.gdb > 65535:
		return fmt.Errorf("--gdb %d: not a TCP port", r.gdb)
	}
	if r.rootfs != "" {
		if err := readableDirectory(r.rootfs); err != nil {
			return fmt.Errorf("-r %s: %w", r.rootfs, err)
		}
	}
	if r.sysroot != "" {
		if err := readableDirectory(r.sysroot); err != nil {
			return fmt.Errorf("--sysroot %s: %w", r.sysroot, err)
		}
	}
	if err := oneOf("--accel", r.accel, "auto", accel.KVM, accel.HVF, accel.TCG); err != nil {
		return err
	}
	if err := oneOf("--machine", r.machine, "microvm", "q35"); err != nil {
		return err
	}
	return oneOf("--vmm", r.monitor, "qemu")
}

func readableDirectory(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		defer f.Close()
		if _, err = f.Readdirnames(1); err == io.EOF {
			return errors.New("the directory is empty")
		}
	}
	var e *os.PathError
	var s *os.SyscallError
	switch {
	case errors.As(err, &e):
		return e.Err
	case errors.As(err, &s):
		return s.Err
	}
	return err
}

// config makes the machine and its run specification.
func (r *runner) config() (*instance.Config, error) {
	s := &spec.Spec{
		OCIVersion:  "1.2.0",
		Hostname:    "husk",
		Annotations: map[string]string{},
		Process:     spec.Process{Terminal: r.tty, Args: r.args, Cwd: r.cwd},
	}
	c := &instance.Config{
		Start:     qemu.Start,
		Spec:      s,
		Stdin:     r.stdin,
		Stdout:    r.stdout,
		Stderr:    r.stderr,
		OneOutput: sameFile(r.stdout, r.stderr),
		Machine: vmm.Machine{
			Type: r.machine, Memory: int64(r.memory), CPUs: r.cpus, GDB: r.gdb, ICount: r.icount,
		},
	}
	if err := r.network.apply(c); err != nil {
		return nil, err
	}
	if err := r.fileSystem(c); err != nil {
		return nil, err
	}
	if err := r.terminal(c); err != nil {
		return nil, err
	}
	if r.strace != "" {
		s.Annotations[spec.AnnotationStrace] = r.strace
		c.Trace = r.stderr
		if r.straceFile != "" {
			f, err := os.Create(r.straceFile)
			if err != nil {
				return nil, fmt.Errorf("--strace-output: %w", err)
			}
			c.Trace = f
		}
	}
	if r.accesses != nil {
		s.Annotations[spec.AnnotationFiles] = "1"
		c.Trace = r.accesses
	}
	if r.verbose || r.debug {
		s.Annotations[spec.AnnotationVerbose] = "1"
		c.Serial = r.stderr
		if c.Terminal != nil {
			c.Serial = rawWriter{r.stderr}
		}
	}
	return c, nil
}

// sameFile tells whether two writers are one open file, as after 2>&1.
func sameFile(a, b io.Writer) bool {
	f, ok := a.(*os.File)
	g, ok2 := b.(*os.File)
	return ok && ok2 && terminal.SameFile(f, g)
}

// fileSystem decides on root, program, user, working directory and environment.
func (r *runner) fileSystem(c *instance.Config) error {
	if r.image != nil {
		return r.fromImage(c)
	}
	p := &c.Spec.Process
	home, dir := "/root", "/"
	if r.sysroot != "" {
		dir = r.sysroot
	}
	if r.rootfs != "" {
		dir = r.rootfs
	}
	if r.user != "" {
		u, h, err := findUser(r.user, dir)
		if err != nil {
			return err
		}
		p.User, home = u, h
	}
	p.Env = environment(home, r.tty, r.env, os.LookupEnv)
	if r.rootfs == "" {
		return r.packed(c)
	}
	root, err := filepath.Abs(r.rootfs)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return fmt.Errorf("-r %s: %w", r.rootfs, err)
	}
	c.Machine.Shares = []vmm.Share{{Tag: "root", Path: root, Readonly: true}}
	c.Spec.Root.Path = "9p:root"
	c.HostPath = func(p string) string { return filepath.Join(root, p) }
	if root == "/" {
		// The program is the one that the shell would run here.
		program, err := findProgram(r.args[0])
		if err != nil {
			return err
		}
		c.Spec.Annotations[spec.AnnotationExec] = program
		if p.Cwd == "" {
			p.Cwd, err = os.Getwd()
			if err != nil {
				return fmt.Errorf("find the current directory: %w", err)
			}
		}
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	return nil
}

// packed makes the root an image of what the program needs.
func (r *runner) packed(c *instance.Config) error {
	program := r.args[0]
	if r.sysroot == "" {
		var err error
		if program, err = findProgram(program); err != nil {
			return err
		}
	}
	disk, inside, err := pack(rootfs.Options{Program: program, Sysroot: r.sysroot, Env: c.Spec.Process.Env, Cwd: r.cwd}, r.files)
	if err != nil {
		return err
	}
	r.timed("packed %s", disk.Path)
	c.Machine.Disks = []vmm.Disk{disk}
	c.Spec.Root.Path = "erofs:0"
	c.Spec.Annotations[spec.AnnotationExec] = inside
	c.HostPath = func(p string) string {
		if in := filepath.Join(r.sysroot, p); r.sysroot != "" {
			if _, err := os.Stat(in); err == nil {
				return in
			}
		}
		return p
	}
	if c.Spec.Process.Cwd == "" {
		c.Spec.Process.Cwd = "/"
	}
	return nil
}

// terminal connects ours, if the program is to have one.
func (r *runner) terminal(c *instance.Config) error {
	if !r.tty {
		return nil
	}
	if !terminal.IsTerminal(r.stdin) {
		// As docker's -t without -i: output only.
		c.Stdin = nil
		c.Spec.Annotations[spec.AnnotationStdin] = "none"
		return nil
	}
	raw, err := terminal.New(r.stdin)
	if err != nil {
		return err
	}
	c.Terminal = raw
	c.Spec.Annotations[spec.AnnotationTermios] = raw.Settings()
	c.Size = func() (uint16, uint16, error) { return terminal.Size(r.stdin) }
	if height, width, err := c.Size(); err == nil {
		c.Spec.Process.ConsoleSize = spec.ConsoleSize{Height: height, Width: width}
	}
	return nil
}

// chooseAccel says once for each boot of the host when a /dev/kvm that is
// there is of no use.
func (r *runner) chooseAccel() accel.Choice {
	c := accel.Choose(cacheDir())
	if c.Reason != nil && (r.verbose || r.debug || !c.Cached && !errors.Is(c.Reason, accel.ErrAbsent)) {
		r.note("using emulation: %v (see 'husk doctor')", c.Reason)
	}
	r.timed("accelerator %s", c.Name)
	return c
}

// boot runs the machine once.
func (r *runner) boot(c *instance.Config) (status int, err error) {
	if r.debug {
		c.Start = func(m *vmm.Machine) (*vmm.Process, error) {
			args, _ := qemu.Command(m)
			r.timed("%s %s", qemu.Program, strings.Join(args, " "))
			return qemu.Start(m)
		}
	}
	c.BootLimit = bootLimit
	if c.Machine.Accel == accel.TCG {
		c.BootLimit = bootLimitEmulated
	}
	if r.gdb != 0 {
		c.BootLimit = 0
		r.note("waiting for gdb: target remote 127.0.0.1:%s", strconv.Itoa(r.gdb))
	}
	status, err = instance.Run(c)
	r.timed("ended with status %d", status)
	return status, err
}

// openKernel makes the kernel a file that the monitor can inherit.
func openKernel(path string, b embedded.Build) (*os.File, error) {
	source, err := embedded.Kernel(path, b)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	return vmm.File("kernel", source)
}

func (r *runner) note(format string, args ...any) {
	fmt.Fprintf(r.stderr, "husk: %s\n", firstLine(fmt.Sprintf(format, args...)))
}

// timed is for --debug: what was done, and when.
func (r *runner) timed(format string, args ...any) {
	if r.debug {
		r.note("%.1f ms: %s", float64(time.Since(r.start).Microseconds())/1000, fmt.Sprintf(format, args...))
	}
}

// rawWriter writes to a terminal in raw mode, where a line needs its return.
type rawWriter struct{ w io.Writer }

func (w rawWriter) Write(p []byte) (int, error) {
	_, err := io.WriteString(w.w, strings.ReplaceAll(string(p), "\n", "\r\n"))
	return len(p), err
}

// cacheDir is where results live that can be had again; "" if there is no
// such place.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if s := os.Getenv("XDG_CACHE_HOME"); s != "" && filepath.IsAbs(s) {
		dir, err = s, nil
	}
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "husk")
}
