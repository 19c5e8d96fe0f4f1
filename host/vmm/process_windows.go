package vmm

import (
	"os"
	"syscall"
)

func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// signalGroup can only end a process.
func signalGroup(pid int, sig syscall.Signal) {
	if p, err := os.FindProcess(pid); err == nil && sig == syscall.SIGKILL {
		_ = p.Kill()
	}
}
