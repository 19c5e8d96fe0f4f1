package torture

import "testing"

// TestProcessesAtWar lets processes fork, execute, stop, trace and kill each
// other at random. Afterwards none may be left, nor anything that they held,
// and the first one must be well.
func TestProcessesAtWar(t *testing.T) {
	survives(t, "src/processes.c", 6, 120, "none left\n")
}
