package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// needTracing skips the test where the host itself does not let a program
// trace others, or has a filter of its own.
func needTracing(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: the program traces processes that are not its children")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil || !strings.Contains(string(status), "Seccomp:\t0\n") {
		t.Skip("this process has a filter of system calls already")
	}
}

func TestTracingAndFiltersBehaveAsOnLinux(t *testing.T) {
	needTracing(t)
	for _, name := range []string{"ptrace", "seccomp"} {
		for _, cpus := range []int{1, 2} {
			t.Run(name+"/cpus="+strconv.Itoa(cpus), func(t *testing.T) {
				program := compile(t, "gcc", name+".c", name, "-O1", "-pthread")
				want := strings.Split(execute(t, "", program).stdout, "\n")
				o := execute(t, "", tools.husk, "run", "--cpus", strconv.Itoa(cpus), program)
				got := strings.Split(o.stdout, "\n")
				for i := range max(len(want), len(got)) {
					if i >= len(want) || i >= len(got) || want[i] != got[i] {
						t.Fatalf("line %d and on %q, natively %q, stderr %q", i+1, got[min(i, len(got)):], want[min(i, len(want)):], o.stderr)
					}
				}
			})
		}
	}
}

// strace names the process only when there are several, and cuts a call in two
// when another process comes between.
var straceLine = regexp.MustCompile(`^(\d+) +([a-z0-9_]+\(|\+\+\+ .*|--- [A-Z0-9]+)`)

// callsByProcess lists what a log of strace -f says of each process, in the
// order in which they appear.
func callsByProcess(log string) [][]string {
	var all [][]string
	at := map[string]int{}
	for line := range strings.Lines(log) {
		m := straceLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		if _, ok := at[m[1]]; !ok {
			at[m[1]] = len(all)
			all = append(all, nil)
		}
		all[at[m[1]]] = append(all[at[m[1]]], m[2])
	}
	return all
}

func TestStraceRunsInTheMachine(t *testing.T) {
	needTracing(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	command := []string{strace, "-f", "-o", "/dev/stderr", "-e", "trace=process", "/bin/sh", "-c", "/bin/true; (exit 4); ls / | wc -l > /dev/null; exec /bin/sh -c 'kill -USR1 $$'"}
	want := execute(t, "", command[0], command[1:]...)
	got := execute(t, "", tools.husk, append([]string{"run", "-r", "/"}, command...)...)
	if got.status != want.status {
		t.Errorf("status %d, natively %d: %s", got.status, want.status, got.stderr)
	}
	a, b := callsByProcess(want.stderr), callsByProcess(got.stderr)
	if len(a) != len(b) {
		t.Fatalf("%d processes, natively %d: %s", len(b), len(a), got.stderr)
	}
	for i := range a {
		// When a signal of a child comes, before or after a call, is not fixed.
		x, y := strings.Join(without(a[i], "--- SIGCHLD"), " "), strings.Join(without(b[i], "--- SIGCHLD"), " ")
		if x != y {
			t.Errorf("process %d: %s\nnatively %s", i, y, x)
		}
	}
}

func without(list []string, what string) []string {
	var rest []string
	for _, s := range list {
		if s != what {
			rest = append(rest, s)
		}
	}
	return rest
}

// lightweight are thread numbers as gdb shows them.
var lightweight = regexp.MustCompile(`(LWP|process) \d+`)

func TestGDBDebugsInTheMachine(t *testing.T) {
	needTracing(t)
	gdb, err := exec.LookPath("gdb")
	if err != nil {
		t.Skip("gdb is not installed")
	}
	program := compile(t, "gcc", "debuggee.c", "debuggee", "-g", "-O0", "-pthread")
	script := filepath.Join(tools.build, "script.gdb")
	const commands = `set pagination off
set confirm off
set print thread-events off
break main
run
backtrace
watch x
continue
continue
info registers rax rdi
delete 2
stepi
stepi
x/2i $pc
next
finish
print half * 3
set var half = 2.25
print half
tbreak worker
continue
backtrace 1
print (long)p
handle SIGUSR1 stop print pass
continue
print $_siginfo.si_signo
tbreak handler
continue
print s
catch syscall exit_group
set follow-fork-mode parent
continue
info registers orig_rax
continue
`
	if err := os.WriteFile(script, []byte(commands), 0o644); err != nil {
		t.Fatal(err)
	}
	clean := func(o outcome) string {
		return lightweight.ReplaceAllString(addresses.ReplaceAllString(o.stdout, "ADDRESS"), "LWP")
	}
	run := []string{gdb, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-x", script, program}
	want := execute(t, "", run[0], run[1:]...)
	got := execute(t, "", tools.husk, append([]string{"run", "-r", "/", "-m", "512M"}, run...)...)
	if a, b := clean(want), clean(got); a != b {
		t.Errorf("gdb says %q\nnatively %q\nstderr %q", b, a, got.stderr)
	}
	attach := []string{"/bin/sh", "-c", program + " wait & " + gdb + " -nx -batch -iex 'set debuginfod enabled off' -p $! -ex 'print x' -ex 'set var x = 55' -ex detach >/dev/null 2>&1; wait $!; echo status $?"}
	last := func(o outcome) string { return o.stdout[strings.Index(o.stdout, "\n")+1:] }
	want = execute(t, "", attach[0], attach[1:]...)
	got = execute(t, "", tools.husk, append([]string{"run", "-r", "/", "-m", "512M"}, attach...)...)
	if last(want) != last(got) {
		t.Errorf("attached: %q %q, natively %q", got.stdout, got.stderr, want.stdout)
	}
}
