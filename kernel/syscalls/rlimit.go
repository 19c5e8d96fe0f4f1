package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
)

func (t Thread) rlimitOut(a mm.Addr, l task.Rlimit) error {
	var b [16]byte
	le.PutUint64(b[:], l.Cur)
	le.PutUint64(b[8:], l.Max)
	return t.copyOut(a, b[:])
}

func (t Thread) rlimitIn(a mm.Addr) (*task.Rlimit, error) {
	var b [16]byte
	err := t.copyIn(b[:], a)
	return &task.Rlimit{Cur: le.Uint64(b[:]), Max: le.Uint64(b[8:])}, err
}

// getrlimit returns the limits of a resource (getrlimit(2)).
func (t Thread) getrlimit(resource uint32, a mm.Addr) error {
	if resource >= task.NRlimits {
		return unix.EINVAL
	}
	return t.rlimitOut(a, t.Process.Rlimit(int(resource)))
}

// setrlimit changes them (setrlimit(2)).
func (t Thread) setrlimit(resource uint32, a mm.Addr) error {
	set, err := t.rlimitIn(a)
	if err != nil {
		return err
	}
	if resource >= task.NRlimits {
		return unix.EINVAL
	}
	_, err = t.SetRlimit(t.Process, int(resource), set)
	return err
}

// prlimit64 does both, for any process (prlimit(2)).
func (t Thread) prlimit64(pid int32, resource uint32, set, old mm.Addr) error {
	var l *task.Rlimit
	if set != 0 {
		var err error
		if l, err = t.rlimitIn(set); err != nil {
			return err
		}
	}
	if pid < 0 {
		return unix.ESRCH
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	if p := o.Process; p != t.Process && !t.Cred().Has(unix.CAP_SYS_RESOURCE) {
		c, oc := t.Cred(), o.Cred()
		if c.UID != oc.EUID || c.UID != oc.SUID || c.UID != oc.UID || c.GID != oc.EGID || c.GID != oc.SGID || c.GID != oc.GID {
			return unix.EPERM
		}
	}
	if resource >= task.NRlimits {
		return unix.EINVAL
	}
	was, err := t.SetRlimit(o.Process, int(resource), l)
	if err != nil || old == 0 {
		return err
	}
	return t.rlimitOut(old, was)
}
