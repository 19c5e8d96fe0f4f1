//go:build unix && !linux

package instance

import (
	"io"
	"syscall"
)

// sendStop sends a signal that is to stop us, SIGTSTP or SIGSTOP. What it
// returns is to be called when we have been continued.
func sendStop(pid int, sig syscall.Signal) (restore func()) {
	if pid == 0 {
		_ = syscall.Kill(0, sig)
	}
	// The runtime's handler keeps SIGTSTP from stopping us.
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
	return func() {}
}

// parentOf is the parent of a process, 0 when that is unknown.
func parentOf(int) int { return 0 }

// awaitKeys is for Linux alone: not every poll(2) knows terminals.
func awaitKeys(io.Reader) func() { return func() {} }
