//go:build unix

package vmm

import "syscall"

// signalGroup sends a signal to a process group, which may be gone.
func signalGroup(pid int, sig syscall.Signal) { _ = syscall.Kill(-pid, sig) }
