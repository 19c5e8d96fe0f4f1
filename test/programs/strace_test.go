package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// addresses differ from run to run.
var addresses = regexp.MustCompile(`0x[0-9a-f]{5,}`)

func TestStraceSpeaksAsStrace(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	const calls = "mmap,mprotect,munmap,mremap,madvise,mincore,msync,memfd_create,ftruncate,fcntl,pread64,pwrite64,write,exit_group,rt_sigaction,rt_sigprocmask,setitimer,nanosleep,sigaltstack,pipe2"
	for _, name := range []string{"memory", "hello"} {
		command := []string{compile(t, "gcc", name+".c", name+"-traced", "-static", "-O1"), "3", "an \"argument\"\n"}
		log := filepath.Join(t.TempDir(), "log")
		native := execute(t, "", strace, append([]string{"-o", log, "-e", "trace=" + calls}, command...)...)
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		ours := filepath.Join(t.TempDir(), "log")
		got := execute(t, "", tools.husk, append([]string{"run", "-r", "/", "--strace=" + calls, "--strace-output", ours}, command...)...)
		if got.status != native.status {
			t.Errorf("status %d, natively %d: %s", got.status, native.status, got.stderr)
		}
		traced, err := os.ReadFile(ours)
		if err != nil {
			t.Fatal(err)
		}
		a, b := comparable(string(text)), comparable(string(traced))
		for i := range max(len(a), len(b)) {
			var want, have string
			if i < len(a) {
				want = a[i]
			}
			if i < len(b) {
				have = b[i]
			}
			if want != have {
				t.Errorf("%s: line %d is %q, strace says %q", command[0], i+1, have, want)
				break
			}
		}
	}
}

// comparable returns the lines of a log without what differs from run to run.
func comparable(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		lines = append(lines, addresses.ReplaceAllString(strings.TrimSpace(line), "ADDRESS"))
	}
	return lines
}
