// Package abi holds the words of the Linux ABI that golang.org/x/sys/unix
// lacks: kernel-internal error numbers, flag values and structures of the
// amd64 system call interface. It contains no behaviour, imports nothing of
// the kernel and may be imported by every package of it.
package abi

import "golang.org/x/sys/unix"

// The errors with which an interrupted system call asks the signal code to
// restart it. They never reach a program: include/linux/errno.h says what
// each becomes when a handler runs.
const (
	// ERESTARTSYS restarts unless a handler without SA_RESTART runs (then EINTR).
	ERESTARTSYS = unix.Errno(512)
	// ERESTARTNOINTR restarts always.
	ERESTARTNOINTR = unix.Errno(513)
	// ERESTARTNOHAND restarts unless any handler runs (then EINTR).
	ERESTARTNOHAND = unix.Errno(514)
	// ELEFT is no result: the thread has left the call and finishes it later.
	ELEFT = unix.Errno(515)
	// ERESTART_RESTARTBLOCK restarts through restart_syscall(2).
	ERESTART_RESTARTBLOCK = unix.Errno(516)
)

// Boxed forms of the errors above: values over 255 allocate when they are
// converted to an interface, and these are returned on hot paths.
var (
	ErrRestartSys   error = ERESTARTSYS
	ErrRestartNoInt error = ERESTARTNOINTR
	ErrRestartNoHnd error = ERESTARTNOHAND
	ErrRestartBlock error = ERESTART_RESTARTBLOCK
	ErrLeft         error = ELEFT
)
