package proc

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// subject is what a file below /proc/PID is about: Of is a *task.Process, or
// below task/TID one *task.Thread of it; N is the number in the path.
type subject = pseudo.Subject

// process is the process that the file is about.
func process(s subject) *task.Process {
	if t := only(s); t != nil {
		return t.Process
	}
	return s.Of.(*task.Process)
}

// only is the one thread that the file is about, nil for a whole process.
func only(s subject) *task.Thread {
	t, _ := s.Of.(*task.Thread)
	return t
}

// thread is the thread that stands for the subject: of a process its leader.
func thread(s subject) *task.Thread {
	if t := only(s); t != nil {
		return t
	}
	return process(s).Leader()
}

var processTree = pseudo.Tree{Alive: alive, Owner: owner, FixedMode: true}

// alive reports whether the number still names the subject.
func alive(s subject) bool {
	if only(s) != nil {
		return task.FindThread(s.N) == only(s)
	}
	return task.FindProcess(s.N) == process(s)
}

// owner is the effective user of the process, or the superuser for what must
// not be seen by a user when the program may not be either (proc(5)).
func owner(s subject, mode uint32) (uid, gid uint32) {
	if mode != unix.S_IFDIR|0o555 && process(s).Dumpable() != 1 {
		return 0, 0
	}
	c := thread(s).Cred()
	return uint32(c.EUID), uint32(c.EGID)
}

// mayRead is ptrace(2)'s "access mode check" for PTRACE_MODE_READ_FSCREDS.
func mayRead(c vfs.Caller, s subject) error {
	if c.TGID() == process(s).PID() {
		return nil
	}
	mine, its := c.Cred(), thread(s).Cred()
	if mine.Has(unix.CAP_SYS_PTRACE) {
		return nil
	}
	uid, gid := mine.FSUID, mine.FSGID
	if uid != its.EUID || uid != its.SUID || uid != its.UID || gid != its.EGID || gid != its.SGID || gid != its.GID {
		return unix.EACCES
	}
	if process(s).Dumpable() != 1 || its.Permitted&^mine.Permitted != 0 {
		return unix.EACCES
	}
	return nil
}

// memory returns the memory of the process with a reference, nil when it has
// none.
func memory(s subject) *mm.AddressSpace { return process(s).Mem() }

// listThreads lists the threads of a process.
func listThreads(c vfs.Caller, dir *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	emitNumbers(process(s).TIDs(), pos, threadIno, emit)
	return nil
}

func lookupThread(c vfs.Caller, dir *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	n, ok := number(name)
	if !ok {
		return nil, unix.ENOENT
	}
	t := task.FindThread(n)
	if t == nil || t.Process != process(s) {
		return nil, unix.ENOENT
	}
	return processTree.Node(dir.FS, threadIno|uint64(n), &threadEntry, subject{Of: t, N: n}), nil
}

func countThreads(s subject) int { return len(process(s).TIDs()) }

// hasAll reports whether c has a capability, for writes that need one.
func capable(c vfs.Caller, n int) bool { return c.Cred().Has(n) }

// gids shows a list of groups.
func gids(t *text, groups []cred.GID) {
	for i, g := range groups {
		if i > 0 {
			t.C(' ')
		}
		t.U(uint64(g))
	}
}
