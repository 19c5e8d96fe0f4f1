package programs

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestCoreFilesAreWrittenAsOnLinux(t *testing.T) {
	program := compile(t, "gcc", "cores.c", "cores", "-O1", "-g", "-pthread")
	t.Run("when", func(t *testing.T) {
		pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
		if err != nil || string(pattern) != "core\n" || os.Getuid() != 0 {
			t.Skip("this machine's core files have another name")
		}
		compare(t, "", nil, program)
	})
	t.Run("names", func(t *testing.T) {
		const want = `pattern: signal 11 core 1 code 3
  c%.PID.a!name.11.0. mode 100600 links 1 whole 1 type 4
no directory: signal 11 core 0 code 2
empty: signal 11 core 0 code 2
`
		if got := execute(t, "", tools.husk, "run", program, "patterns"); got.stdout != want {
			t.Errorf("%q, want %q; stderr %q", got.stdout, want, got.stderr)
		}
	})
	t.Run("pipes", func(t *testing.T) {
		// As on Linux 6.18, where the program changes what the whole machine does.
		const want = `filter 00000033
5 0000007f
-1 -1 6 000001ff
child 000001ff
000001ff
pipe: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 1 of all!!!! 1 of a file! 0 file's own 0 headers 1
there 1
nothing: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 0 of all!!!! 0 of a file! 0 file's own 0 headers 0
there 1
private: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 1 of all!!!! 0 of a file! 0 file's own 0 headers 0
there 1
shared: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 0 of all!!!! 1 of a file! 0 file's own 0 headers 0
there 1
files: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 0 of all!!!! 0 of a file! 1 file's own 0 headers 0
there 1
shared files: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 0 of all!!!! 0 of a file! 0 file's own 1 headers 0
there 1
headers: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 0 of all!!!! 0 of a file! 0 file's own 0 headers 1
there 1
all: signal 11 core 1
[PID][PID][PID][0:0][11][a b!c][%][x][1][0]
uid 0 0 cwd / limit 1 1 0 2 -1 environment 0
type 4 whole 1 anonymous! 1 of all!!!! 1 of a file! 1 file's own 1 headers 0
there 1
no program: signal 11 core 0
does not read: signal 11 core 1
no name: signal 11 core 0
`
		program := compile(t, "gcc", "corepipes.c", "corepipes", "-O1")
		got := execute(t, "", tools.husk, "run", "--cpus", "2", program)
		sameLines(t, got.stdout, want)
	})
	t.Run("gdb", func(t *testing.T) {
		gdb, err := exec.LookPath("gdb")
		if err != nil {
			t.Skip("gdb is not installed")
		}
		script := program + " /tmp; echo status $?; " + gdb + " -nx -batch -iex 'set debuginfod enabled off' -ex bt -ex 'print level' -ex 'thread apply all backtrace' -ex 'print $_siginfo._sifields._sigfault.si_addr' " + program + " /tmp/core"
		got := execute(t, "", tools.husk, "run", "-r", "/", "-m", "512M", "/bin/sh", "-c", script)
		for _, want := range []string{"status 139", "crash (n", "in threads () at", "in main (argc=", "(void *) 0x8"} {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("gdb does not say %q: %s%s", want, got.stdout, got.stderr)
			}
		}
		if n := strings.Count(got.stdout, " in deep (a="); n != 3 {
			t.Errorf("%d other threads, want 3: %s", n, got.stdout)
		}
	})
}
