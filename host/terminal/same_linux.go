package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// kcmpFile is KCMP_FILE of kcmp(2).
const kcmpFile = 0

// SameFile tells whether a and b are one open file, with one position, as dup
// makes them. Where the kernel does not tell, terminals, pipes and sockets
// are taken for one when they are one file, since they have no position.
func SameFile(a, b *os.File) bool {
	pid := uintptr(os.Getpid())
	n, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, a.Fd(), b.Fd(), 0)
	if errno == 0 {
		return n == 0
	}
	return sameInode(a, b)
}
