package vmm

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted; the host bounds it
// by net.core.somaxconn.
const backlog = 4096

// WidenBacklogs lets many connections wait on each socket that the monitor
// listens on. QEMU's user network asks for one, so that of many clients at
// once most are made to try again after a second. As far as the host allows to
// reach into a child (pidfd_getfd(2)); without it things stay as they were.
func (p *Process) WidenBacklogs() {
	pidfd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(pidfd)
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(p.pid) + "/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fd, err := unix.PidfdGetfd(pidfd, n, 0); err == nil {
			widen(fd)
			unix.Close(fd)
		}
	}
}

// widen gives fd a longer queue if it is a listening socket.
func widen(fd int) {
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listens != 0 {
		_ = unix.Listen(fd, backlog)
	}
}
