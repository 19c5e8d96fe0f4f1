package programs

import (
	"fmt"
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

// TestBusyCPUsTakeFewTimerInterrupts is about a timer that was set for the past
// again and again, while programs outnumbered the CPUs.
func TestBusyCPUsTakeFewTimerInterrupts(t *testing.T) {
	const script = `for n in 1 2 3; do (i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done) & done
i=0; while [ $i -lt 30 ]; do i=$((i+1)); : $(echo $i); done
wait
read up idle </proc/uptime; echo $up
while read name first second rest; do [ $name = LOC: ] && echo $first $second; done </proc/interrupts`
	got := execute(t, "", tools.husk, "run", "-r", "/", "--cpus", "2", "/bin/sh", "-c", script)
	var seconds float64
	var first, second int
	if _, err := fmt.Sscan(got.stdout, &seconds, &first, &second); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	// Slices end 500 times a second at most; the runtime's timers come on top.
	const limit = 1500
	if rate := float64(first+second) / 2 / seconds; rate > limit || first+second == 0 {
		t.Errorf("%d and %d timer interrupts in %.2f s: %.0f a second on each CPU, want at most %d", first, second, seconds, rate, limit)
	}
}
