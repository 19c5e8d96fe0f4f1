package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestEveryKindOfExecutableSaysHello(t *testing.T) {
	kinds := []struct {
		name, compiler string
		flags          []string
	}{
		{"dynamic", "gcc", nil},
		{"static", "gcc", []string{"-static"}},
		{"no-pie", "gcc", []string{"-no-pie"}},
		{"static-pie", "gcc", []string{"-static-pie"}},
		{"musl", "musl-gcc", nil},
		{"musl-static", "musl-gcc", []string{"-static"}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			program := compile(t, k.compiler, "hello.c", "hello-"+k.name, k.flags...)
			compare(t, "", []string{"-e", "HOME=/root"}, program, "7", "two words")
		})
	}
}

func TestGoProgramsRun(t *testing.T) {
	source := filepath.Join(tools.build, "main.go")
	const text = `package main

import ("fmt"; "os"; "os/user"; "sync"; "time")

func main() {
	var wg sync.WaitGroup
	results := make([]int, 50)
	for i := range results {
		wg.Add(1)
		go func() { defer wg.Done(); time.Sleep(time.Millisecond); results[i] = i * i }()
	}
	wg.Wait()
	u, err := user.LookupId("0")
	fmt.Println(results, u.Username, err)
	defer func() { fmt.Println("recovered", recover()); os.Exit(4) }()
	var p *int
	*p = 1
}
`
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, cgo := range []string{"0", "1"} {
		t.Run("cgo="+cgo, func(t *testing.T) {
			out := filepath.Join(tools.build, "go-cgo"+cgo)
			cmd := exec.Command("go", "build", "-o", out, source)
			cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GO111MODULE=off", "GOFLAGS=")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v: %s", err, text)
			}
			compare(t, "", nil, out)
		})
	}
}

func TestLanguageRuntimes(t *testing.T) {
	t.Run("c++", func(t *testing.T) {
		compare(t, "", nil, compile(t, "g++", "exceptions.cc", "exceptions", "-O1", "-pthread"))
	})
	t.Run("rust", func(t *testing.T) {
		if _, err := exec.LookPath("rustc"); err != nil {
			t.Skip("rustc is not installed")
		}
		source := filepath.Join(tools.build, "main.rs")
		const text = `fn main() {
	let h: Vec<_> = (0..4u64).map(|i| std::thread::spawn(move || (0..1000).map(|x| x * i).sum::<u64>())).collect();
	for t in h { println!("{}", t.join().unwrap()); }
	let r = std::panic::catch_unwind(|| panic!("expected"));
	println!("caught {}", r.is_err());
	std::process::exit(9);
}
`
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(tools.build, "rust")
		if text, err := exec.Command("rustc", "-o", out, source).CombinedOutput(); err != nil {
			t.Fatalf("rustc: %v: %s", err, text)
		}
		compare(t, "", nil, out)
	})
}

func TestKernelInterfacesBehaveAsOnLinux(t *testing.T) {
	for _, name := range []string{"signals", "threads", "memory", "clocks", "vectors"} {
		for _, cpus := range []int{1, 2, 4} {
			t.Run(name+"/cpus="+strconv.Itoa(cpus), func(t *testing.T) {
				program := compile(t, "gcc", name+".c", name, "-O1", "-pthread")
				compare(t, "x", []string{"--cpus", strconv.Itoa(cpus)}, program)
			})
		}
	}
}

func TestSocketsBehaveAsOnLinux(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("some options are the superuser's, as who the program runs in the machine")
	}
	for _, cpus := range []int{1, 2} {
		t.Run("cpus="+strconv.Itoa(cpus), func(t *testing.T) {
			program := compile(t, "gcc", "inet.c", "inet", "-O1", "-w")
			compare(t, "x", []string{"--cpus", strconv.Itoa(cpus)}, program)
		})
	}
}

// TestNetlinkBehavesAsOnLinux changes lo only where the program can have a
// network of its own.
func TestNetlinkBehavesAsOnLinux(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("some questions are the superuser's, as who the program runs in the machine")
	}
	program := compile(t, "gcc", "netlink.c", "netlink", "-O1", "-w", "-pthread", "-lrt")
	compare(t, "", nil, program)
	if execute(t, "", program, "probe").status != 0 {
		t.Skip("the program cannot have a network of its own here")
	}
	compare(t, "", nil, program, "change")
}

func TestFiltersAndPacketSocketsBehaveAsOnLinux(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("packet sockets are the superuser's, as who the program runs in the machine")
	}
	program := compile(t, "gcc", "filters.c", "filters", "-O1", "-w")
	compare(t, "", nil, program)
	if execute(t, "", program, "probe").status != 0 {
		t.Skip("the program cannot have packet sockets here")
	}
	compare(t, "", nil, program, "packets")
}

func TestCrashEndsWithTheSignalAndAReport(t *testing.T) {
	program := compile(t, "gcc", "crash.c", "crash", "-O1", "-g")
	signals := map[string]string{
		"null": "SIGSEGV", "stack": "SIGSEGV", "divide": "SIGFPE", "abort": "SIGABRT", "illegal": "SIGILL",
		"trap": "SIGTRAP", "noncanonical": "SIGSEGV", "text": "SIGSEGV", "privileged": "SIGSEGV", "kernel": "SIGSEGV",
	}
	for kind, signal := range signals {
		t.Run(kind, func(t *testing.T) {
			want := execute(t, "", program, kind)
			got := execute(t, "", tools.husk, "run", program, kind)
			if got.stdout != want.stdout || got.status != want.status {
				t.Errorf("stdout %q status %d, natively %q %d", got.stdout, got.status, want.stdout, want.status)
			}
			if !strings.Contains(got.stderr, signal) {
				t.Errorf("the report does not name %s: %q", signal, got.stderr)
			}
			if kind != "stack" && !strings.Contains(got.stderr, "main") {
				t.Errorf("the backtrace does not reach main: %q", got.stderr)
			}
		})
	}
}

func TestFileCallsBehaveAsOnLinux(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the program changes owners and makes device nodes")
	}
	compare(t, "", nil, compile(t, "gcc", "files.c", "files", "-O1"))
}

func TestSignalsAboutFilesAreAsOnLinux(t *testing.T) {
	compare(t, "", nil, compile(t, "gcc", "sigio.c", "sigio", "-O1", "-w", "-lutil"))
}

func TestParentDeathSignalComesFromTheParent(t *testing.T) {
	compare(t, "", nil, compile(t, "gcc", "pdeathsig.c", "pdeathsig", "-O1", "-w"))
}

// TestFilesThatAreNotOnDisk compares pipes, sockets, epoll, timers and
// terminals, call by call.
func TestFilesThatAreNotOnDisk(t *testing.T) {
	compare(t, "", nil, compile(t, "gcc", "kinds.c", "kinds", "-O1", "-w", "-lutil"))
}
