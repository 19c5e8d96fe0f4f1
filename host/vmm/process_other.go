//go:build unix && !linux

package vmm

import "syscall"

// Without a parent-death signal the guest ends the machine when it finds the
// control port closed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
