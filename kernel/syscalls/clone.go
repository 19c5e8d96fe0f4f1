package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
)

const exitSignalMask = 0xff // CSIGNAL

// clone makes a thread or process (clone(2)).
func (t Thread) clone(flags uint64, stack uint64, parentTID, childTID mm.Addr, tls uint64) (int, error) {
	if flags&unix.CLONE_PIDFD != 0 && flags&unix.CLONE_PARENT_SETTID != 0 {
		return 0, unix.EINVAL // they share an argument
	}
	return t.Clone(&task.CloneArgs{
		Flags: uint64(uint32(flags)) &^ exitSignalMask, ExitSignal: int(flags & exitSignalMask),
		PIDFD: parentTID, ParentTID: parentTID, ChildTID: childTID, Stack: stack, TLS: tls,
	})
}

// fork makes a process (fork(2)).
func (t Thread) fork() (int, error) {
	return t.Clone(&task.CloneArgs{ExitSignal: int(unix.SIGCHLD)})
}

// vfork makes a process that borrows the memory until it executes (vfork(2)).
func (t Thread) vfork() (int, error) {
	return t.Clone(&task.CloneArgs{Flags: unix.CLONE_VM | unix.CLONE_VFORK, ExitSignal: int(unix.SIGCHLD)})
}

// Sizes of struct clone_args as it grew.
const (
	cloneArgsMin   = 64
	cloneArgsKnown = 88
)

// clone3 is clone with extensible arguments (clone(2)).
func (t Thread) clone3(args mm.Addr, size uint64) (int, error) {
	var b [cloneArgsKnown]byte
	if err := t.structIn(b[:], args, size, cloneArgsMin); err != nil {
		return 0, err
	}
	field := func(i int) uint64 { return le.Uint64(b[8*i:]) }
	flags, exit := field(0), field(4)
	stack, stackSize := field(5), field(6)
	setTID, setTIDSize := mm.Addr(field(8)), field(9)
	const (
		clearSighand = 0x100000000
		intoCgroup   = 0x200000000
		newTime      = 0x80
	)
	if flags>>34 != 0 || flags&(unix.CLONE_DETACHED|exitSignalMask&^newTime) != 0 ||
		exit&^exitSignalMask != 0 || exit > task.NSignals ||
		flags&(unix.CLONE_THREAD|unix.CLONE_PARENT) != 0 && exit != 0 ||
		(stack == 0) != (stackSize == 0) ||
		(setTID == 0) != (setTIDSize == 0) || setTIDSize > 32 ||
		flags&intoCgroup != 0 && size < cloneArgsKnown {
		return 0, unix.EINVAL
	}
	a := task.CloneArgs{
		Flags: flags, ExitSignal: int(exit), PIDFD: mm.Addr(field(1)),
		ChildTID: mm.Addr(field(2)), ParentTID: mm.Addr(field(3)), TLS: field(7),
	}
	if stack != 0 {
		if stack+stackSize < stack {
			return 0, unix.EINVAL
		}
		a.Stack = stack + stackSize
	}
	if setTIDSize > 1 {
		return 0, unix.EINVAL // no nested pid namespaces
	}
	if setTIDSize == 1 {
		var n [4]byte
		if err := t.copyIn(n[:], setTID); err != nil {
			return 0, err
		}
		if a.SetTID = int(int32(le.Uint32(n[:]))); a.SetTID <= 0 {
			return 0, unix.EINVAL
		}
	}
	return t.Clone(&a)
}

// structIn reads a structure that grows over time (copy_struct_from_user) into
// b, which is as long as it is known: what a shorter one lacks is zero, and of
// a longer one the rest must be.
func (t Thread) structIn(b []byte, a mm.Addr, size uint64, least int) error {
	if size > mm.PageSize {
		return unix.E2BIG
	}
	if size < uint64(least) {
		return unix.EINVAL
	}
	n := min(int(size), len(b))
	if err := t.copyIn(b[:n], a); err != nil {
		return err
	}
	clear(b[n:])
	var rest [64]byte
	for at := n; at < int(size); at += len(rest) {
		part := rest[:min(int(size)-at, len(rest))]
		if err := t.copyIn(part, a+mm.Addr(at)); err != nil {
			return err
		}
		for _, c := range part {
			if c != 0 {
				return unix.E2BIG
			}
		}
	}
	return nil
}

// unshare serves unshare(2); there are no namespaces to leave.
func (t Thread) unshare(flags uint64) error {
	const (
		namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
			unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | 0x80
		shared = unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_VM
		known  = namespaces | shared | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SYSVSEM
	)
	switch {
	case flags&^known != 0, flags&unix.CLONE_NEWUSER != 0:
		return unix.EINVAL
	case flags&shared != 0 && len(t.Process.Threads()) > 1:
		return unix.EINVAL
	case flags&namespaces != 0:
		if t.Cred().Has(unix.CAP_SYS_ADMIN) {
			return unix.EINVAL
		}
		return unix.EPERM
	}
	t.Unshare(flags&unix.CLONE_FILES != 0, flags&unix.CLONE_FS != 0, flags&unix.CLONE_SYSVSEM != 0)
	return nil
}

// Namespace is what an open file of /proc/PID/ns is besides.
type Namespace interface {
	Namespace() uint32 // its CLONE_NEW flag
}

// setns serves setns(2). There is one namespace of each kind, which everybody
// is in: to enter it changes nothing, but the errors are Linux's.
func (t Thread) setns(fd, nstype int32) error {
	const kinds = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return err
	}
	defer f.Put()
	enter := uint32(nstype)
	if n, ok := f.Ops.(Namespace); ok {
		if enter != 0 && enter != n.Namespace() {
			return unix.EINVAL
		}
		enter = n.Namespace()
	} else if _, err := task.PIDFDProcess(f); err != nil || enter == 0 || enter&^kinds != 0 {
		return unix.EINVAL
	}
	switch {
	case enter&unix.CLONE_NEWUSER != 0:
		return unix.EINVAL // nobody enters the one he is in: it would give capabilities
	case !t.Cred().Has(unix.CAP_SYS_ADMIN):
		return unix.EPERM
	case enter&unix.CLONE_NEWNS != 0 && t.FS().Shared(), enter&unix.CLONE_NEWTIME != 0 && len(t.Process.Threads()) > 1:
		return unix.EINVAL
	}
	return nil
}
