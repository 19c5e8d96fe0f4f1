package programs

import (
	"os/exec"
	"syscall"
)

// signalOf is the signal that ended a process.
func signalOf(e *exec.ExitError) int {
	return int(e.Sys().(syscall.WaitStatus).Signal())
}
