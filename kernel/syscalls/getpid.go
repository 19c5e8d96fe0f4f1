package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
)

func (t Thread) getpid() (int, error)  { return t.TGID(), nil }
func (t Thread) gettid() (int, error)  { return t.TID, nil }
func (t Thread) getppid() (int, error) { return t.Process.PPID(), nil }
func (t Thread) getpgrp() (int, error) { return t.Process.PGID(), nil }

func (t Thread) getpgid(pid int32) (int, error) { return t.Getpgid(int(pid)) }
func (t Thread) getsid(pid int32) (int, error)  { return t.Getsid(int(pid)) }
func (t Thread) setpgid(pid, pgid int32) error  { return t.Setpgid(int(pid), int(pgid)) }
func (t Thread) setsid() (int, error)           { return t.Setsid() }

// set_tid_address says which word to clear at the thread's end (set_tid_address(2)).
func (t Thread) set_tid_address(a mm.Addr) (int, error) { return t.SetTIDAddress(a), nil }

// kcmp compares what two processes share (kcmp(2)).
func (t Thread) kcmp(pid1, pid2, kind int32, idx1, idx2 uint64) (int, error) {
	a, b := task.FindThread(int(pid1)), task.FindThread(int(pid2))
	if a == nil || b == nil {
		return 0, unix.ESRCH
	}
	if !t.mayTrace(a.Process) || !t.mayTrace(b.Process) {
		return 0, unix.EPERM
	}
	return task.Compare(a, b, int(kind), idx1, idx2)
}
