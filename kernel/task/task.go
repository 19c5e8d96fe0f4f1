// Package task is processes and threads: the thread's loop around cpu.Switch,
// thread groups, signals, futexes, scheduling calls, limits, credentials,
// and waiting for children.
//
// A thread is a goroutine. It runs Thread.run: enter ring 3, come back with
// an event, serve it, deliver signals, enter again. System calls are served
// by the function that package syscalls installs with SetSyscallHandler, so
// that task does not import the layer above it.
//
// Lock order (outer first): tasklist (the pid table and the process tree),
// Process.mu, signal handlers, Thread.mu, futex bucket, wait.Queue, clock.
package task

import (
	"sync/atomic"

	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// Process is a thread group: what getpid(2) names. Parts that clone shares
// or copies by its flags hang off it by pointer.
type Process struct {
	tgid int
}

// Thread is one schedulable thread (Linux's task_struct). Fields without a
// lock noted belong to the thread's own goroutine.
type Thread struct {
	cpu.Context

	TID     int
	Process *Process

	mem *mm.AddressSpace // replaced by exec only
	// files and fs are shared or copied by clone's flags; the pointers are
	// replaced only by the thread itself.
	files *vfs.FDTable
	fs    *vfs.FSContext

	cred atomic.Pointer[cred.Cred]
}

// The methods below make Thread a vfs.Caller.

// AddressSpace is the thread's memory.
func (t *Thread) AddressSpace() *mm.AddressSpace { return t.mem }

// Cred returns the thread's credentials.
func (t *Thread) Cred() *cred.Cred { return t.cred.Load() }

// FS returns the thread's root, working directory and umask.
func (t *Thread) FS() *vfs.FSContext { return t.fs }

// Files returns the thread's descriptor table.
func (t *Thread) Files() *vfs.FDTable { return t.files }

// TGID is the number of the thread's process.
func (t *Thread) TGID() int { return t.Process.tgid }

// SyscallHandler serves the system call whose registers are in t and leaves
// its result in t.RAX.
type SyscallHandler func(t *Thread)
