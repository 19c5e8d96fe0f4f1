package programs

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestScriptsWithManyProcesses compares what scripting languages make of fork,
// exec, wait, signals, pipes and threads.
func TestScriptsWithManyProcesses(t *testing.T) {
	for _, s := range []struct{ interpreter, script string }{
		{"/usr/bin/python3", "forks.py"},
		{"/usr/bin/perl", "forks.pl"},
	} {
		t.Run(s.script, func(t *testing.T) {
			if _, err := exec.LookPath(s.interpreter); err != nil {
				t.Skipf("%s is not installed", s.interpreter)
			}
			script, err := filepath.Abs(filepath.Join("src", s.script))
			if err != nil {
				t.Fatal(err)
			}
			flags := []string{"-r", "/", "-w", "/", "--cpus", "2", "-e", "TZ=UTC0", "-e", "LANG=C.UTF-8"}
			compare(t, "", flags, s.interpreter, script)
		})
	}
}
