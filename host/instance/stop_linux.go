package instance

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendStop sends a signal that is to stop us, SIGTSTP or SIGSTOP. What it
// returns is to be called when we have been continued.
func sendStop(pid int, sig syscall.Signal) (restore func()) {
	// The runtime's handler keeps SIGTSTP from stopping us, and the runtime
	// never takes it away: behind its back the signal gets its default action.
	var action, old [4]uint64 // the kernel's struct sigaction; 0 is SIG_DFL
	swap := func(set, was *[4]uint64) {
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(was)), 8, 0, 0)
	}
	if sig == syscall.SIGTSTP {
		swap(&action, &old)
		restore = func() { swap(&old, nil) }
	} else {
		restore = func() {}
	}
	_ = syscall.Kill(pid, sig)
	return restore
}

// parentOf is the parent of a process, 0 when that is unknown.
func parentOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state ppid: the name may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[1]))
	return n
}

// awaitKeys returns what waits until a terminal has something to read. A read
// that is under way when we are continued in the background would stop us
// again, before we can serve the signal that came with it; to wait does not.
func awaitKeys(terminal io.Reader) func() {
	f, ok := terminal.(*os.File)
	if !ok {
		return func() {}
	}
	keys := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	return func() {
		for {
			if _, err := unix.Poll(keys, -1); err != unix.EINTR {
				return
			}
		}
	}
}
