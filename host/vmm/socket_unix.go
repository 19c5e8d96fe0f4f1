//go:build unix

package vmm

import (
	"fmt"
	"os"
	"syscall"
)

// SocketPair makes one stream: ours can wait with deadlines, theirs is for
// the monitor to inherit.
func SocketPair(name string) (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd[0])
		syscall.CloseOnExec(fd[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair for %s: %w", name, err)
	}
	if err := syscall.SetNonblock(fd[0], true); err != nil {
		syscall.Close(fd[0])
		syscall.Close(fd[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd[0]), name), os.NewFile(uintptr(fd[1]), name), nil
}
