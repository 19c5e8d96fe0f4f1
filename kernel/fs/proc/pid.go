package proc

import (
	"slices"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// subject is what a file below /proc/PID is about: a process, or one thread of
// it below task/TID.
type subject struct {
	p  *task.Process
	t  *task.Thread // nil: the process as a whole
	nr int          // the number in the path
}

// thread is the thread that the file is about: the leader of a whole process.
func (s subject) thread() *task.Thread {
	if s.t != nil {
		return s.t
	}
	return s.p.Leader()
}

func sortInts(n []int) { slices.Sort(n) }

var processTree = pseudo.Tree[subject]{Alive: alive, Owner: owner, FixedMode: true}

// alive reports whether the number still names the subject.
func alive(s subject) bool {
	if s.t != nil {
		return task.FindThread(s.nr) == s.t
	}
	return task.FindProcess(s.nr) == s.p
}

// owner is the effective user of the process, or the superuser for what must
// not be seen by a user when the program may not be either (proc(5)).
func owner(s subject, mode uint32) (uid, gid uint32) {
	if mode != unix.S_IFDIR|0o555 && s.p.Dumpable() != 1 {
		return 0, 0
	}
	c := s.thread().Cred()
	return uint32(c.EUID), uint32(c.EGID)
}

// mayRead is ptrace(2)'s "access mode check" for PTRACE_MODE_READ_FSCREDS.
func mayRead(c vfs.Caller, s subject) error {
	if c.TGID() == s.p.PID() {
		return nil
	}
	mine, its := c.Cred(), s.thread().Cred()
	if mine.Has(unix.CAP_SYS_PTRACE) {
		return nil
	}
	uid, gid := mine.FSUID, mine.FSGID
	if uid != its.EUID || uid != its.SUID || uid != its.UID || gid != its.EGID || gid != its.SGID || gid != its.GID {
		return unix.EACCES
	}
	if s.p.Dumpable() != 1 || its.Permitted&^mine.Permitted != 0 {
		return unix.EACCES
	}
	return nil
}

// memory returns the memory of the process with a reference, nil when it has
// none.
func (s subject) memory() *mm.AddressSpace { return s.p.Mem() }

// listThreads lists the threads of a process.
func listThreads(c vfs.Caller, dir *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	emitNumbers(s.p.TIDs(), pos, threadIno, emit)
	return nil
}

func lookupThread(c vfs.Caller, dir *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	n, ok := number(name)
	if !ok {
		return nil, unix.ENOENT
	}
	t := task.FindThread(n)
	if t == nil || t.Process != s.p {
		return nil, unix.ENOENT
	}
	return processTree.Node(dir.FS, threadIno|uint64(n), &threadEntry, subject{s.p, t, n}), nil
}

func countThreads(s subject) int { return len(s.p.TIDs()) }

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
