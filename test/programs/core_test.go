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
