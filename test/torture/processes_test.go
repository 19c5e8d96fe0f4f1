package torture

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestProcessesAtWar lets processes fork, execute, stop and kill each other at
// random. Afterwards none may be left, and the first one must be well.
func TestProcessesAtWar(t *testing.T) {
	bin := husk(t)
	program := compile(t, "src/processes.c")
	seconds := 6
	if nightly() {
		seconds = 120
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
			if err != nil || !strings.HasPrefix(string(out), "alive after") || !strings.HasSuffix(string(out), "none left\n") {
				t.Fatalf("seed %s: %v; stdout %q, stderr %q", seed, err, out, stderr.String())
			}
			t.Logf("seed %s: %s%s", seed, out, stderr.String())
		})
	}
}
