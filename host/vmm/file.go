package vmm

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// File makes a file without a name that holds what r gives (nil: nothing yet),
// for the monitor to inherit. Nothing has to be removed afterwards.
func File(name string, r io.Reader) (*os.File, error) {
	f, err := nameless(name)
	if err != nil || r == nil {
		return f, err
	}
	// A large buffer: this copies the kernel at every start.
	if _, err := io.CopyBuffer(onlyWriter{f}, onlyReader{r}, make([]byte, 256<<10)); err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s for the monitor: %w", name, err)
	}
	return f, nil
}

// These hide ReadFrom and WriteTo, which would choose a buffer of their own.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
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
