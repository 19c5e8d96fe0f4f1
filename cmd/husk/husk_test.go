package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"husk/host/accel"
	"husk/spec"
)

// The test binary plays QEMU when it is started with QEMU's arguments.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-M" {
		os.Exit(fakeQEMU(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fakeQEMU finds its descriptors on the command line as QEMU would, and plays
// a guest whose program prints what it was given. Its arguments say how it
// ends: "status=N", "signal=N", "dead", "unborn".
func fakeQEMU(args []string) int {
	descriptors := map[string]*os.File{} // by chardev id
	ports := map[string]*os.File{}       // by port name
	var s *spec.Spec
	for i, a := range args[:len(args)-1] {
		option := map[string]string{}
		for o := range strings.SplitSeq(args[i+1], ",") {
			k, v, _ := strings.Cut(o, "=")
			option[k] = v
		}
		switch a {
		case "-initrd":
			b, err := os.ReadFile(args[i+1])
			if err != nil {
				return 3
			}
			if s, err = spec.ParseSpec(b); err != nil {
				return 4
			}
		case "-chardev":
			fd, err := strconv.Atoi(option["fd"])
			if err != nil {
				return 5
			}
			nonblock(fd)
			descriptors[option["id"]] = os.NewFile(uintptr(fd), option["id"])
		case "-device":
			if name, ok := option["name"]; ok {
				ports[name] = descriptors[option["chardev"]]
			}
		}
	}
	fmt.Fprintln(descriptors["serial"], "fake kernel")
	program := s.Process.Args[1:]
	if slices.Contains(program, "unborn") || slices.Contains(program, "kvm-broken") && slices.Contains(args, "kvm") {
		fmt.Fprintln(os.Stderr, "fake qemu: cannot")
		return 1
	}
	send := func(m spec.Message) { _, _ = ports[spec.PortControl].Write(spec.AppendMessage(nil, &m)) }
	send(spec.Message{Type: spec.TypeReady})
	if slices.Contains(program, "dead") {
		return 0
	}
	e := spec.Exit{}
	print := func(port string, count *uint64, format string, args ...any) {
		n, _ := fmt.Fprintf(ports[port], format, args...)
		*count += uint64(n)
	}
	p := &s.Process
	print(spec.PortStdout, &e.Stdout, "root %s\nexec %s\nargs %q\ncwd %s\nuser %d:%d %v\n", s.Root.Path, s.Annotations[spec.AnnotationExec],
		p.Args, p.Cwd, p.User.UID, p.User.GID, p.User.AdditionalGids)
	for _, v := range p.Env {
		print(spec.PortStdout, &e.Stdout, "env %s\n", v)
	}
	if list := s.Annotations[spec.AnnotationStrace]; list != "" {
		print(spec.PortTrace, &e.Trace, "trace %s\n", list)
	}
	print(spec.PortStderr, &e.Stderr, "on stderr\n")
	for _, a := range program {
		k, v, _ := strings.Cut(a, "=")
		n, _ := strconv.Atoi(v)
		switch k {
		case "status":
			e.Code = n
		case "signal":
			e.Signal = n
		}
	}
	send(spec.Message{Type: spec.TypeExit, Exit: &e})
	_, _ = io.Copy(io.Discard, ports[spec.PortControl])
	return 0
}

// world sets the environment so that machines are fakes and caches are the
// test's own.
func world(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HUSK_QEMU", self)
	t.Setenv("HUSK_KERNEL", self)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, v := range []string{"TZ", "LC_ALL", "LANG"} {
		t.Setenv(v, "")
		os.Unsetenv(v)
	}
}

// output takes writes from several goroutines, as a file does.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// call is one call of the command without input.
func call(args ...string) (status int, stdout, stderr string) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		panic(err)
	}
	defer null.Close()
	var out, bad output
	status = husk(args, null, &out, &bad)
	return status, out.b.String(), bad.b.String()
}

func TestRunGivesTheProgramWhatItWasToldTo(t *testing.T) {
	world(t)
	t.Setenv("LANG", "C.UTF-8")
	t.Setenv("SECRET", "s")
	t.Setenv("FROM_HERE", "yes")
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   []string
		not    []string
		stderr string
	}{
		{
			name: "plain", args: []string{"true", "-x", "--rootfs", "a b"},
			want: []string{
				"root erofs:0\n", "exec " + program + "\n", `args ["true" "-x" "--rootfs" "a b"]`, "cwd /\n", "user 0:0 []\n",
				"env HOME=/root\n", "env PATH=/usr/local/sbin:", "env LANG=C.UTF-8\n",
			},
			not: []string{"SECRET", "FROM_HERE", "TERM="}, stderr: "on stderr\n",
		},
		{
			name: "host root", args: []string{"-r", "/", "-e", "FROM_HERE", "-e", "A=b=c", "-e", "LANG=x", "-e", "ABSENT", "true", "status=7"},
			status: 7,
			want:   []string{"root 9p:root\n", "exec " + program + "\n", "cwd " + here + "\n", "env FROM_HERE=yes\n", "env A=b=c\n", "env LANG=x\n"},
			not:    []string{"ABSENT", "C.UTF-8"}, stderr: "on stderr\n",
		},
		{
			name: "directory", args: []string{"-r", here, "-w", "/tmp", "-u", "5:6", "anything", "signal=9"}, status: 137,
			want: []string{"root 9p:root\n", "exec \n", `args ["anything" "signal=9"]`, "cwd /tmp\n", "user 5:6 []\n"}, stderr: "on stderr\n",
		},
		{name: "numeric status of 255", args: []string{"true", "status=255"}, status: 255, stderr: "on stderr\n"},
		{name: "strace", args: []string{"--strace=file", "true"}, stderr: "trace file\n"},
		{name: "strace of all", args: []string{"--strace", "true"}, stderr: "trace all\n"},
		{name: "verbose", args: []string{"--verbose", "true"}, stderr: "fake kernel\n"},
		{name: "q35 with more", args: []string{"--machine", "q35", "--cpus", "2", "-m", "1g", "-i", "true"}, stderr: "on stderr\n"},
		{name: "debug", args: []string{"--debug", "true"}, stderr: "-nodefaults"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := call(append([]string{"run", "--accel", "tcg"}, test.args...)...)
			if status != test.status || !strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d, stderr %q", status, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
			for _, not := range test.not {
				if strings.Contains(stdout, not) {
					t.Errorf("%q in\n%s", not, stdout)
				}
			}
		})
	}
}

func TestAcceleratorThatFailsTheKernelIsGivenUp(t *testing.T) {
	world(t)
	cache := filepath.Join(os.Getenv("XDG_CACHE_HOME"), "husk")
	accel.Reject(cache, nil) // as if the probe had been content
	if c := accel.Choose(cache); !c.Cached || c.Name != accel.KVM {
		t.Skip("this host has no identity of its boot")
	}
	status, _, stderr := call("run", "-r", "/", "true", "kvm-broken")
	if status != 0 || !strings.HasPrefix(stderr, "husk: using emulation: kvm: ") || !strings.HasSuffix(stderr, "\non stderr\n") {
		t.Errorf("%d, %q", status, stderr)
	}
	// From then on it is known, and not said again.
	if status, _, stderr := call("run", "-r", "/", "true", "kvm-broken"); status != 0 || stderr != "on stderr\n" {
		t.Errorf("%d, %q", status, stderr)
	}
}

func TestStraceOutputGoesToItsFile(t *testing.T) {
	world(t)
	file := filepath.Join(t.TempDir(), "trace")
	status, _, stderr := call("run", "--accel=tcg", "--strace", "--strace-output", file, "-r", "/", "true")
	b, err := os.ReadFile(file)
	if status != 0 || err != nil || string(b) != "trace all\n" || stderr != "on stderr\n" {
		t.Errorf("%d, %v, %q, stderr %q", status, err, b, stderr)
	}
}

func TestDeadMachineShowsWhatTheKernelSaid(t *testing.T) {
	world(t)
	status, _, stderr := call("run", "--accel=tcg", "-r", "/", "true", "dead")
	if status != 125 || !strings.HasPrefix(stderr, "husk: ") || !strings.HasSuffix(stderr, "\nfake kernel\n") {
		t.Errorf("%d, %q", status, stderr)
	}
}

func TestSecondRunFindsTheImageOfTheFirst(t *testing.T) {
	world(t)
	for range 2 {
		if status, _, stderr := call("run", "--accel=tcg", "true"); status != 0 {
			t.Errorf("%d, %q", status, stderr)
		}
	}
	images, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "husk", "images", "*.erofs"))
	if len(images) != 1 {
		t.Error(images, err)
	}
}

func TestUnwritableCacheIsNoObstacle(t *testing.T) {
	world(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", file)
	if status, _, stderr := call("run", "--accel=tcg", "true"); status != 0 || stderr != "on stderr\n" {
		t.Errorf("%d, %q", status, stderr)
	}
}

// patched writes a copy of a program in which one string is another of the
// same length.
func patched(t *testing.T, program, from, to string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(from) != len(to) || !bytes.Contains(b, []byte(from)) {
		t.Skipf("%s has no %q", path, from)
	}
	return written(t, bytes.Replace(b, []byte(from), []byte(to), 1), 0o755)
}

func written(t *testing.T, b []byte, mode os.FileMode) string {
	file := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(file, b, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// header is an ELF header for a class and a machine.
func header(class, machine byte) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF")
	b[4], b[5], b[6], b[16], b[18], b[20] = class, 1, 1, 2, machine, 1
	return b
}

func TestBadInputIsOneLineAndItsStatus(t *testing.T) {
	world(t)
	dir := t.TempDir()
	ls, err := exec.LookPath("ls")
	if err != nil {
		t.Skip(err)
	}
	whole, err := os.ReadFile(ls)
	if err != nil {
		t.Fatal(err)
	}
	const loader = "/lib64/ld-linux-x86-64.so.2"
	for _, test := range []struct {
		name   string
		env    string // K=V
		args   []string
		status int
		want   string
	}{
		{name: "no program", args: []string{"run"}, status: 125, want: "name a program"},
		{name: "unknown flag", args: []string{"run", "--fast", "ls"}, status: 125, want: "--fast"},
		{name: "unknown short flag", args: []string{"run", "-Z", "ls"}, status: 125, want: "husk run --help"},
		{name: "flag without value", args: []string{"run", "-m"}, status: 125, want: "-m"},
		{name: "unknown command", args: []string{"fly"}, status: 125, want: "fly"},
		{name: "later flags are not there yet", args: []string{"run", "-v", "a:b", "ls"}, status: 125, want: "'v'"},
		{name: "not in PATH", args: []string{"run", "no-such-program"}, status: 127, want: "no-such-program: not found in PATH"},
		{name: "empty name", args: []string{"run", ""}, status: 127, want: "not found"},
		{name: "no such file", args: []string{"run", "./no-such-program"}, status: 127, want: "no such file"},
		{name: "directory", args: []string{"run", dir}, status: 126, want: "is a directory"},
		{name: "not executable", args: []string{"run", written(t, whole, 0o644)}, status: 126, want: "chmod +x"},
		{name: "device", args: []string{"run", "/dev/null"}, status: 126, want: "/dev/null"},
		{name: "not ELF", args: []string{"run", written(t, []byte("hello\n"), 0o755)}, status: 126, want: "not an ELF"},
		{name: "empty file", args: []string{"run", written(t, nil, 0o755)}, status: 126, want: "empty"},
		{name: "wrong processor", args: []string{"run", written(t, header(2, 183), 0o755)}, status: 126, want: "arm64"},
		{name: "32 bits", args: []string{"run", written(t, header(1, 3), 0o755)}, status: 126, want: "32-bit"},
		{name: "truncated ELF", args: []string{"run", written(t, whole[:5000], 0o755)}, status: 126, want: "truncated"},
		{name: "truncated header", args: []string{"run", written(t, whole[:30], 0o755)}, status: 126, want: "truncated"},
		{name: "missing interpreter", args: []string{"run", patched(t, "ls", loader, "/lib64/no-linux-x86-64.so.2")}, status: 127, want: "/lib64/no-linux-x86-64.so.2"},
		{name: "missing library", args: []string{"run", patched(t, "ls", "libc.so.6", "libq.so.6")}, status: 127, want: "libq.so.6"},
		{name: "missing script interpreter", args: []string{"run", written(t, []byte("#!/no/such/sh\n"), 0o755)}, status: 127, want: "/no/such/sh"},
		{name: "missing library of deps", args: []string{"deps", "no-such-program"}, status: 127, want: "not found"},
		{name: "deps of text", args: []string{"deps", written(t, []byte("hello\n"), 0o755)}, status: 126, want: "not an ELF"},
		{name: "no QEMU", env: "HUSK_QEMU=no-such-qemu", args: []string{"run", "-r", "/", "true"}, status: 125, want: "apt-get install"},
		{name: "no kernel", env: "HUSK_KERNEL=/no/such/kernel", args: []string{"run", "-r", "/", "true"}, status: 125, want: "/no/such/kernel"},
		{name: "too little memory", args: []string{"run", "-m", "4M", "true"}, status: 125, want: "too little memory: a machine needs at least"},
		{name: "no memory", args: []string{"run", "-m", "0", "true"}, status: 125, want: "memory"},
		{name: "memory that is no size", args: []string{"run", "-m", "much", "true"}, status: 125, want: "no size"},
		{name: "no processors", args: []string{"run", "--cpus", "0", "true"}, status: 125, want: "1 to 8"},
		{name: "too many processors", args: []string{"run", "--cpus", "9", "true"}, status: 125, want: "1 to 8"},
		{name: "unknown accelerator", args: []string{"run", "--accel", "warp", "true"}, status: 125, want: "kvm"},
		{name: "unknown machine", args: []string{"run", "--machine", "pc", "true"}, status: 125, want: "microvm"},
		{name: "unknown monitor", args: []string{"run", "--vmm", "xen", "true"}, status: 125, want: "qemu"},
		{name: "absent root", args: []string{"run", "-r", dir + "/no", "true"}, status: 125, want: "no such file or directory"},
		{name: "root that is a file", args: []string{"run", "-r", ls, "true"}, status: 125, want: "not a directory"},
		{name: "empty root", args: []string{"run", "-r", dir, "true"}, status: 125, want: "empty"},
		{name: "absent sysroot", args: []string{"run", "--sysroot", dir + "/no", "true"}, status: 125, want: "no such file or directory"},
		{name: "root and sysroot", args: []string{"run", "-r", "/", "--sysroot", "/", "true"}, status: 125, want: "exclude"},
		{name: "relative working directory", args: []string{"run", "-w", "x", "true"}, status: 125, want: "absolute"},
		{name: "unknown user", args: []string{"run", "-u", "no-such-user", "true"}, status: 125, want: "no-such-user"},
		{name: "unknown group", args: []string{"run", "-u", "0:no-such-group", "true"}, status: 125, want: "no-such-group"},
		{name: "no terminal", args: []string{"run", "-it", "true"}, status: 125, want: "terminal"},
		{name: "trace file without trace", args: []string{"run", "--strace-output", "f", "true"}, status: 125, want: "--strace"},
		{name: "trace file in no directory", args: []string{"run", "-r", "/", "--strace", "--strace-output", dir + "/no/f", "true"}, status: 125, want: dir + "/no/f"},
		{name: "counting on hardware", args: []string{"run", "--icount", "--accel", "kvm", "true"}, status: 125, want: "tcg"},
		{name: "bad debugger port", args: []string{"run", "--gdb=70000", "true"}, status: 125, want: "70000"},
		{name: "monitor that fails", args: []string{"run", "--accel", "tcg", "-r", "/", "true", "unborn"}, status: 125, want: "fake qemu: cannot"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if k, v, ok := strings.Cut(test.env, "="); ok {
				t.Setenv(k, v)
			}
			status, stdout, stderr := call(test.args...)
			stderr, _, _ = strings.Cut(stderr, "fake kernel\n")
			if strings.HasPrefix(stderr, "husk: using emulation") {
				_, stderr, _ = strings.Cut(stderr, "\n")
			}
			if status != test.status || stdout != "" || strings.Count(stderr, "\n") != 1 ||
				!strings.HasPrefix(stderr, "husk: ") || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d (not %d), stdout %q, stderr %q without %q", status, test.status, stdout, stderr, test.want)
			}
		})
	}
}

func TestVersionDepsDoctorAndCompletionSpeak(t *testing.T) {
	world(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"version"}, "husk"},
		{[]string{"--help"}, "run"},
		{[]string{"run", "--help"}, "--rootfs"},
		{[]string{"deps", "ls"}, "libc.so.6 => /"},
		{[]string{"completion", "bash"}, "complete"},
		{[]string{"__complete", "run", "--accel", ""}, "tcg"},
	} {
		if status, stdout, stderr := call(test.args...); status != 0 || !strings.Contains(stdout, test.want) {
			t.Errorf("%q: %d, %q, %q", test.args, status, stdout, stderr)
		}
	}
	status, stdout, _ := call("doctor")
	for _, want := range []string{"kernel", "qemu", "accelerator", "microvm", "cache"} {
		if !strings.Contains(stdout, want) && status == 0 {
			t.Errorf("doctor says nothing of %s: %q", want, stdout)
		}
	}
}

func TestSizesAreDockers(t *testing.T) {
	for s, want := range map[string]int64{
		"1": 1, "1b": 1, "1k": 1024, "64M": 64 << 20, "64mb": 64 << 20, "64MiB": 64 << 20, "1.5g": 3 << 29, "2T": 2 << 40, " 1 k": 1024,
		"": -1, "k": -1, "-1": -1, "1x": -1, "0x10": -1, "inf": -1, "nan": -1, "1e30": -1, "1kk": -1, "1_0": -1,
	} {
		got, err := parseSize(s)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for n, want := range map[int64]string{512 << 20: "512M", 3 << 29: "1536M", 1 << 30: "1G", 5000: "5000"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestUsersComeFromTheRootsFiles(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "etc"), 0o755),
		os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh\nbroken\n1:x:7:7::/seven:\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "etc/group"), []byte("users:x:100:\naudio:x:29:alice,bob\nodd:x:zz:\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		in   string
		want string // uid gid groups home
	}{
		{"bob", "1000 100 [29] /home/bob"},
		{"1000", "1000 100 [29] /home/bob"},
		{"bob:audio", "1000 29 [] /home/bob"},
		{"bob:7", "1000 7 [] /home/bob"},
		{"5", "5 0 [] /"},
		{"5:users", "5 100 [] /"},
		{"0", "0 0 [] /root"},
		{"1", "7 7 [] /seven"},
		{"alice", ""},
		{"bob:nobody", ""},
		{"bob:odd", ""},
		{":5", ""},
		{"4294967296", ""},
		{"-1", ""},
	} {
		u, home, err := findUser(test.in, dir)
		got := ""
		if err == nil {
			got = fmt.Sprint(u.UID, u.GID, u.AdditionalGids, " ", home)
		}
		if strings.Join(strings.Fields(got), " ") != test.want {
			t.Errorf("%s: %q, %v", test.in, got, err)
		}
	}
}
