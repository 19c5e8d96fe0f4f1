// Package vfs is the virtual file system: inodes, dentries and path walk,
// mounts, open file descriptions, descriptor tables, and the generic half of
// reading, writing, polling and locking, which every kind of file shares.
//
// Data flows from syscalls through File into FileOps (an open file's own
// behaviour: fs/*, pipes, sockets, ttys) and from there into a PageCache or a
// device. Name look-ups flow through the dentry cache into InodeOps. File
// systems implement InodeOps and FileOps and register an FSType; they import
// vfs, never the reverse.
//
// Look-ups in the dentry cache, mount crossing, FDTable.Get and reading an
// inode's mode and size take no lock; everything else does as its comment says.
//
// Lock order (outer first): mountMu; File.posMu; Superblock.renameMu; DirMu of
// directories, an ancestor before what lies below; DirMu of a file; locks of
// the file system; then the leaves: Inode.mu, dcache.mu, FDTable.mu, the lock
// list and after it deadlocks.mu, watchMu and after it Inotify.mu, asyncMu; wait.Queue.
package vfs

import (
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

// Caller is the thread on whose behalf something is done. task.Thread
// implements it; tests use a fake. Behaviour that only some files need
// (a tty's session, /proc/self) is found by asserting a wider interface
// declared where it is used.
type Caller interface {
	wait.Sleeper
	// Cred returns the current credentials, which are immutable.
	Cred() *cred.Cred
	// FS returns the root, the working directory and the umask.
	FS() *FSContext
	// AddressSpace is the caller's memory, for ioctl arguments.
	AddressSpace() *mm.AddressSpace
	// TGID is the caller's process number (lock owners, O_ASYNC).
	TGID() int
	// FileSizeLimit is RLIMIT_FSIZE; exceeding it sends SIGXFSZ through
	// RaiseFileSize and fails with EFBIG.
	FileSizeLimit() uint64
	// Raise sends a signal to the calling thread (SIGPIPE, SIGXFSZ).
	Raise(sig int)
}
