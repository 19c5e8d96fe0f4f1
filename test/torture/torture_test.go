// Package torture tries to break the kernel: random system calls from many
// processes, and many boots in a row. $HUSK_NIGHTLY set makes it take the
// full time.
package torture

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"husk/test/command"
)

// husk is the command under test.
func husk(t *testing.T) string {
	t.Helper()
	return command.Path(t, "gcc")
}

func nightly() bool { return os.Getenv("HUSK_NIGHTLY") != "" }

// compile builds a static program from a C file of this directory.
func compile(t *testing.T, source string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c"))
	if text, err := exec.Command("gcc", "-O2", "-w", "-static", "-pthread", "-o", out, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, text)
	}
	return out
}

// TestRandomSystemCallsDoNotHarmTheKernel runs the machine until the program
// says that it is still alive; a panic or a hang of the kernel ends it
// otherwise.
func TestRandomSystemCallsDoNotHarmTheKernel(t *testing.T) {
	survives(t, "src/randcall.c", 10, 60, "")
}

// survives runs a program on several numbers of CPUs with a random seed: for
// some seconds, or for more in the nightly run. The program has to say that it
// is still alive, with this end.
func survives(t *testing.T, source string, seconds, nightlySeconds int, end string) {
	bin := husk(t)
	program := compile(t, source)
	if nightly() {
		seconds = nightlySeconds
	}
	for _, cpus := range []int{1, 2, 4} {
		t.Run("cpus="+strconv.Itoa(cpus), func(t *testing.T) {
			seed := strconv.FormatInt(time.Now().UnixNano(), 10)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second+2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, bin, "run", "--cpus", strconv.Itoa(cpus), "-m", "256M", program, strconv.Itoa(seconds), seed)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || !strings.HasPrefix(string(out), "alive after") || !strings.HasSuffix(string(out), end) {
				t.Fatalf("seed %s: %v; stdout %q, stderr %q", seed, err, out, stderr.String())
			}
			t.Logf("seed %s: %s%s", seed, out, stderr.String())
		})
	}
}

// TestForkBombLeavesTheMachineResponsive fills the machine with processes or
// threads until it refuses more, with little memory.
func TestForkBombLeavesTheMachineResponsive(t *testing.T) {
	bin := husk(t)
	program := compile(t, "src/forkbomb.c")
	for kind, then := range map[string]string{"threads": "", "processes": "then: made\n"} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, "run", "--cpus", "2", "-m", "96M", program, kind).CombinedOutput()
			if err != nil || !strings.HasSuffix(string(out), ", refused: Resource temporarily unavailable\n"+then) {
				t.Fatalf("%v: %s", err, out)
			}
		})
	}
}

// TestObjectsWithoutEndAreRefused has one program take what only the kernel's
// own memory bounds.
func TestObjectsWithoutEndAreRefused(t *testing.T) {
	bin := husk(t)
	program := compile(t, "src/exhaust.c")
	for _, kind := range []string{
		"epolls", "sockets", "rings", "maps", "tables", "locks", "watches", "events", "signals", "timers",
		"messages", "semaphores", "segments", "queues",
	} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, "run", "--cpus", "2", "-m", "64M", program, kind).CombinedOutput()
			if err != nil || !strings.Contains(string(out), ", refused: ") {
				t.Fatalf("%v: %s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// TestMemoryRunsOutInAChild has one process take all memory: it is killed, and
// before it who asked for that, while smaller and exempt ones live on.
func TestMemoryRunsOutInAChild(t *testing.T) {
	bin := husk(t)
	program := compile(t, "src/pressure.c")
	const want = `greedy killed, calm alive, safe alive, ripe killed
0: half mapped, more than all Cannot allocate memory, unreserved mapped, shared Cannot allocate memory
1: more than all mapped
2: limit 1, used 1, more Cannot allocate memory, unreserved Cannot allocate memory, shared Cannot allocate memory, a little mapped
2: limit 1000, a little Cannot allocate memory
`
	for _, memory := range []string{"64M", "256M"} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, bin, "run", "--cpus", "2", "-m", memory, program).Output()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v: %s", memory, err, out)
		}
	}
}

func TestManyBootsInARow(t *testing.T) {
	bin := husk(t)
	program := compile(t, "../../bench/programs/hello.c")
	boots := 20
	if nightly() {
		boots = 200
	}
	for i := range boots {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		out, err := exec.CommandContext(ctx, bin, "run", "--cpus", strconv.Itoa(1+i%4), program).Output()
		cancel()
		if err != nil || string(out) != "hello\n" {
			t.Fatalf("boot %d of %d: %v, %q", i+1, boots, err, out)
		}
	}
	t.Logf("%d boots", boots)
}
