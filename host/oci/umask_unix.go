//go:build unix

package oci

import (
	"os"

	"golang.org/x/sys/unix"
)

// umask is the process's mask of permissions. The system tells it only to who
// sets it; nothing else here makes files at that moment.
func umask() os.FileMode {
	old := unix.Umask(0o022)
	unix.Umask(old)
	return os.FileMode(old)
}
