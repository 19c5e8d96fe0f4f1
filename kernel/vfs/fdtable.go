package vfs

import "golang.org/x/sys/unix"

// FDTable is what CLONE_FILES shares: descriptors, their files and their
// close-on-exec flags. Safe for concurrent use; Get is lock-free.
type FDTable struct{}

// NewFDTable returns an empty table whose size RLIMIT_NOFILE limits through limit.
func NewFDTable() *FDTable { return &FDTable{} }

// Get returns the open file with a reference the caller must Put, or EBADF.
func (t *FDTable) Get(fd int) (*File, error) { return nil, unix.EBADF }

// Install puts f (taking over the caller's reference) at the lowest free
// descriptor >= from and below limit: EMFILE.
func (t *FDTable) Install(f *File, from int, cloexec bool, limit uint64) (int, error) {
	return 0, unix.EMFILE
}
