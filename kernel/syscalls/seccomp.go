package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/seccomp"
	"husk/kernel/task"
)

// seccomp restricts the calls that the thread may make (seccomp(2)).
func (t Thread) seccomp(op, flags uint32, args mm.Addr) (int, error) {
	switch op {
	case unix.SECCOMP_SET_MODE_STRICT:
		if flags != 0 || args != 0 {
			return 0, unix.EINVAL
		}
		return 0, t.seccompStrict()
	case unix.SECCOMP_SET_MODE_FILTER:
		return t.seccompFilter(flags, args)
	case unix.SECCOMP_GET_ACTION_AVAIL:
		if flags != 0 {
			return 0, unix.EINVAL
		}
		var b [4]byte
		if err := t.copyIn(b[:], args); err != nil {
			return 0, err
		}
		switch le.Uint32(b[:]) {
		case seccomp.KillProcess, seccomp.KillThread, seccomp.Trap, seccomp.Errno, seccomp.Notify, seccomp.Trace, seccomp.Log, seccomp.Allow:
			return 0, nil
		}
		return 0, unix.EOPNOTSUPP
	case unix.SECCOMP_GET_NOTIF_SIZES:
		if flags != 0 {
			return 0, unix.EINVAL
		}
		var b [6]byte
		le.PutUint16(b[:], 80)
		le.PutUint16(b[2:], 24)
		le.PutUint16(b[4:], 64)
		return 0, t.copyOut(args, b[:])
	}
	return 0, unix.EINVAL
}

// setSeccomp serves PR_SET_SECCOMP.
func (t Thread) setSeccomp(mode uint64, args mm.Addr) error {
	switch mode {
	case unix.SECCOMP_MODE_STRICT:
		return t.seccompStrict()
	case unix.SECCOMP_MODE_FILTER:
		_, err := t.seccompFilter(0, args)
		return err
	}
	return unix.EINVAL
}

func (t Thread) seccompStrict() error {
	if f := t.Filter(); f != nil && !f.Strict() {
		return unix.EINVAL
	}
	t.SetFilter(seccomp.Strict(), false)
	return nil
}

// seccompFilter serves SECCOMP_SET_MODE_FILTER.
func (t Thread) seccompFilter(flags uint32, args mm.Addr) (int, error) {
	const (
		sync      = unix.SECCOMP_FILTER_FLAG_TSYNC
		syncESRCH = unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
		listen    = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		killable  = 1 << 5 // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		known     = listen | killable | sync | syncESRCH | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	)
	if flags&^known != 0 || flags&(sync|syncESRCH|listen) == sync|listen || flags&(killable|listen) == killable {
		return 0, unix.EINVAL
	}
	var b [16]byte
	if err := t.copyIn(b[:], args); err != nil {
		return 0, err
	}
	n := int(le.Uint16(b[:]))
	const most = 4096 // BPF_MAXINSNS
	if n == 0 || n > most {
		return 0, unix.EINVAL
	}
	if c := t.Cred(); !c.NoNewPrivs && !c.Has(unix.CAP_SYS_ADMIN) {
		return 0, unix.EACCES
	}
	program := make([]byte, 8*n)
	if err := t.copyIn(program, mm.Addr(le.Uint64(b[8:]))); err != nil {
		return 0, err
	}
	prev := t.Filter()
	if prev != nil && prev.Strict() {
		return 0, unix.EINVAL
	}
	f, err := seccomp.New(program, prev)
	if err != nil {
		return 0, err
	}
	fd := 0
	if flags&listen != 0 {
		if prev != nil && prev.Listened() {
			return 0, unix.EBUSY
		}
		if fd, err = t.install(task.NewListener(f), true); err != nil {
			return 0, err
		}
	}
	if tid := t.SetFilter(f, flags&sync != 0); tid != 0 {
		if flags&listen != 0 {
			_ = t.Files().Close(t, fd)
		}
		if flags&syncESRCH != 0 {
			return 0, unix.ESRCH
		}
		return tid, nil
	}
	return fd, nil
}

// ptraceSeccompGetFilter serves PTRACE_SECCOMP_GET_FILTER: program number i, the
// first installed being 0, and how many instructions it has.
func (t Thread) ptraceSeccompGetFilter(c task.Tracee, i uint64, to mm.Addr) (int, error) {
	f, err := t.traceeFilter(c)
	if err != nil {
		return 0, err
	}
	p := f.Program(int(min(i, 1<<16)))
	if p == nil {
		return 0, unix.ENOENT
	}
	if to != 0 {
		err = t.copyOut(to, p)
	}
	return len(p) / 8, err
}

// ptraceSeccompMetadata serves PTRACE_SECCOMP_GET_METADATA.
func (t Thread) ptraceSeccompMetadata(c task.Tracee, size uint64, to mm.Addr) (int, error) {
	f, err := t.traceeFilter(c)
	if err != nil {
		return 0, err
	}
	var b [16]byte // filter_off, flags
	if size < 8 {
		return 0, unix.EINVAL
	}
	if err := t.copyIn(b[:8], to); err != nil {
		return 0, err
	}
	if f.Program(int(min(le.Uint64(b[:]), 1<<16))) == nil {
		return 0, unix.ENOENT
	}
	n := min(size, 16)
	return int(n), t.copyOut(to, b[:n])
}

// traceeFilter is the filter of a stopped thread, if t may see it.
func (t Thread) traceeFilter(c task.Tracee) (*seccomp.Filter, error) {
	if !t.Cred().Has(unix.CAP_SYS_ADMIN) || t.Filter() != nil {
		return nil, unix.EACCES
	}
	f := c.Filter()
	if f == nil || f.Strict() {
		return nil, unix.EINVAL
	}
	return f, nil
}
