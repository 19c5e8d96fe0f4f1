// Package netstack is inet's Stack over gVisor's TCP/IP stack. Only the kernel
// with the build tag inet has it.
package netstack

import (
	"golang.org/x/sys/unix"

	"husk/kernel/inet"
)

// New makes the stack.
func New() (inet.Stack, error) { return nil, unix.ENODEV }
