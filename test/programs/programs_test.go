// Package programs runs ordinary Linux programs natively and in husk and
// compares what they print and how they end. It boots real machines, so it
// needs bin/husk (make), QEMU and a C compiler; without them it says so and is
// skipped.
package programs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"husk/test/command"
)

// tools are where the suite finds what it needs.
var tools struct{ husk, build string }

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	husk, err := command.Find("gcc")
	if err != nil {
		os.Stderr.WriteString("skipping the programs: " + err.Error() + "\n")
		return 0
	}
	// Below /var/tmp and not /tmp: a machine has a /tmp of its own.
	dir, err := os.MkdirTemp("/var/tmp", "husk-programs")
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	defer os.RemoveAll(dir)
	tools.husk, tools.build = husk, dir
	return m.Run()
}

// outcome is how a program ended.
type outcome struct {
	stdout, stderr string
	status         int
}

// execute runs a command to its end. A signal is 128+n, as a shell has it.
func execute(t *testing.T, stdin string, name string, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root", "LANG=C.UTF-8", "TZ=UTC0", "XDG_CACHE_HOME=" + tools.build}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%s %q: no end within two minutes; so far %q %q", name, args, stdout.String(), stderr.String())
	}
	o := outcome{stdout: stdout.String(), stderr: stderr.String(), status: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && o.status < 0 {
		o.status = 128 + signalOf(exit)
	}
	return o
}

// compare runs a command natively and in husk; flags are husk run's.
func compare(t *testing.T, stdin string, flags []string, command ...string) {
	t.Helper()
	want := execute(t, stdin, command[0], command[1:]...)
	got := execute(t, stdin, tools.husk, append(append([]string{"run"}, flags...), command...)...)
	if got.stdout != want.stdout {
		t.Errorf("stdout %q, natively %q (stderr %q)", clip(got.stdout), clip(want.stdout), clip(got.stderr))
	}
	if got.status != want.status {
		t.Errorf("status %d, natively %d (stderr %q)", got.status, want.status, clip(got.stderr))
	}
}

func clip(s string) string {
	const limit = 1500
	if len(s) > limit {
		return s[:limit/2] + " … " + s[len(s)-limit/2:]
	}
	return s
}

// compile builds a program of src with the compiler and flags given.
func compile(t *testing.T, compiler, source, name string, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("%s is not installed", compiler)
	}
	out := filepath.Join(tools.build, name)
	args := append(append([]string{}, flags...), "-w", "-o", out, filepath.Join("src", source))
	if text, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", compiler, err, text)
	}
	return out
}
