package syscalls

import (
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// exit ends the thread (_exit(2)).
func (t Thread) exit(status int32) { t.ExitThread(int(status)) }

// exit_group ends the process (exit_group(2)).
func (t Thread) exit_group(status int32) { t.ExitProcess(int(status)) }

// The options of wait4(2) and waitid(2) that select by kind of child.
const waitKinds = 0x20000000 | 0x40000000 | 0x80000000 // __WNOTHREAD, __WALL, __WCLONE

// wait4 waits for a child (wait4(2)).
func (t Thread) wait4(pid int32, wstatus mm.Addr, options uint32, usage mm.Addr) (int, error) {
	if options&^(unix.WNOHANG|unix.WUNTRACED|unix.WCONTINUED|waitKinds) != 0 {
		return 0, unix.EINVAL
	}
	if pid == -1<<31 {
		return 0, unix.ESRCH
	}
	w := task.WaitFor{Type: unix.P_ALL, Options: options | unix.WEXITED}
	switch {
	case pid < -1:
		w.Type, w.ID = unix.P_PGID, int(-pid)
	case pid == 0:
		w.Type = unix.P_PGID
	case pid > 0:
		w.Type, w.ID = unix.P_PID, int(pid)
	}
	r, err := t.Wait(w)
	if err != nil || r.PID == 0 {
		return 0, err
	}
	if wstatus != 0 {
		if err := t.store32(wstatus, uint32(r.Status)); err != nil {
			return 0, err
		}
	}
	if usage != 0 {
		if err := t.rusageOut(usage, &r.Usage); err != nil {
			return 0, err
		}
	}
	return r.PID, nil
}

// waitid waits for a child and tells more about it (waitid(2)).
func (t Thread) waitid(idtype, id int32, info mm.Addr, options uint32, usage mm.Addr) error {
	const events = unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED
	if options&^(unix.WNOHANG|unix.WNOWAIT|events|waitKinds) != 0 || options&events == 0 {
		return unix.EINVAL
	}
	w := task.WaitFor{Type: int(idtype), ID: int(id), Options: options}
	nonblock := false
	switch idtype {
	case unix.P_ALL:
	case unix.P_PID:
		if id <= 0 {
			return unix.EINVAL
		}
	case unix.P_PGID:
		if id < 0 {
			return unix.EINVAL
		}
	case unix.P_PIDFD:
		if id < 0 {
			return unix.EINVAL
		}
		f, err := t.Files().Get(int(id))
		if err != nil {
			return err
		}
		defer f.Put()
		if w.Process, err = task.PIDFDProcess(f); err != nil {
			return err
		}
		if nonblock = f.Flags()&unix.O_NONBLOCK != 0; nonblock {
			w.Options |= unix.WNOHANG
		}
	default:
		return unix.EINVAL
	}
	r, err := t.Wait(w)
	if err != nil {
		return err
	}
	if r.PID == 0 && nonblock && options&unix.WNOHANG == 0 {
		return unix.EAGAIN
	}
	if r.PID != 0 && usage != 0 {
		if err := t.rusageOut(usage, &r.Usage); err != nil {
			return err
		}
	}
	if info == 0 {
		return nil
	}
	var b [28]byte // the members that waitid fills in; the rest stays
	if r.PID != 0 {
		le.PutUint32(b[0:], uint32(unix.SIGCHLD))
		le.PutUint32(b[8:], uint32(r.Code))
		le.PutUint32(b[16:], uint32(r.PID))
		le.PutUint32(b[20:], r.UID)
		le.PutUint32(b[24:], uint32(r.Value))
	}
	return t.copyOut(info, b[:])
}

// rusageOut writes a struct rusage.
func (t Thread) rusageOut(a mm.Addr, u *unix.Rusage) error {
	var b [144]byte
	for i, v := range [...]int64{
		u.Utime.Sec, u.Utime.Usec, u.Stime.Sec, u.Stime.Usec, u.Maxrss, u.Ixrss, u.Idrss, u.Isrss,
		u.Minflt, u.Majflt, u.Nswap, u.Inblock, u.Oublock, u.Msgsnd, u.Msgrcv, u.Nsignals, u.Nvcsw, u.Nivcsw,
	} {
		le.PutUint64(b[8*i:], uint64(v))
	}
	return t.copyOut(a, b[:])
}

// getrusage tells what the process, its children or the thread used (getrusage(2)).
func (t Thread) getrusage(who int32, usage mm.Addr) error {
	u, err := t.Usage(who)
	if err != nil {
		return err
	}
	return t.rusageOut(usage, &u)
}

// pidfd_open makes a descriptor that refers to a process (pidfd_open(2)).
func (t Thread) pidfd_open(pid int32, flags uint32) (int, error) {
	f, err := t.PIDFDOpen(int(pid), flags)
	if err != nil {
		return 0, err
	}
	return t.install(f, true)
}

// pidfdProcess returns the process that a descriptor refers to.
func (t Thread) pidfdProcess(fd int32) (*task.Process, error) {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return nil, err
	}
	defer f.Put()
	return task.PIDFDProcess(f)
}

// pidfd_send_signal sends a signal to the process (pidfd_send_signal(2)).
func (t Thread) pidfd_send_signal(pidfd, sig int32, info mm.Addr, flags uint32) error {
	if flags != 0 {
		return unix.EINVAL
	}
	f, err := t.Files().Get(int(pidfd))
	if err != nil {
		return err
	}
	defer f.Put()
	p, err := task.PIDFDProcess(f)
	if err != nil {
		if p, err = procDirectory(f); err != nil {
			return err
		}
	}
	if sig < 0 || sig > task.NSignals {
		return unix.EINVAL
	}
	si := t.UserSignal(int(sig))
	if info != 0 {
		given, err := t.siginfoIn(info)
		if err != nil {
			return err
		}
		if given.Signo != sig {
			return unix.EINVAL
		}
		if p != t.Process && (given.Code >= 0 || given.Code == siTkill) {
			return unix.EPERM
		}
		si = &given
	}
	return t.KillProcess(p, si)
}

// procDirectory is the process whose directory in /proc f is; this call takes
// such a descriptor for a pidfd.
func procDirectory(f *vfs.File) (*task.Process, error) {
	d := f.Path.Dentry
	if d == nil || f.Inode == nil || f.Inode.FS == nil || f.Inode.FS.Type != "proc" {
		return nil, unix.EBADF
	}
	n, err := strconv.Atoi(d.Name())
	if parent := d.Parent(); err != nil || parent == nil || parent.Inode() != f.Inode.FS.Root {
		return nil, unix.EBADF
	}
	if p := task.FindProcess(n); p != nil {
		return p, nil
	}
	return nil, unix.ESRCH
}

// pidfd_getfd copies a descriptor of another process (pidfd_getfd(2)).
func (t Thread) pidfd_getfd(pidfd, target int32, flags uint32) (int, error) {
	if flags != 0 {
		return 0, unix.EINVAL
	}
	p, err := t.pidfdProcess(pidfd)
	if err != nil {
		return 0, err
	}
	if !t.mayTrace(p) {
		return 0, unix.EPERM
	}
	files := p.Leader().FilesRef()
	if files == nil {
		return 0, unix.ESRCH
	}
	defer files.Unref(t)
	f, err := files.Get(int(target))
	if err != nil {
		return 0, err
	}
	return t.install(f, true)
}

// mayTrace is the rule of ptrace(2) for looking into another process.
func (t Thread) mayTrace(p *task.Process) bool {
	if p == t.Process {
		return true
	}
	return t.mayTraceAs(p, t.Cred().FSUID, t.Cred().FSGID)
}

// mayTraceAs is mayTrace for a user and group of the caller's.
func (t Thread) mayTraceAs(p *task.Process, uid cred.UID, gid cred.GID) bool {
	c, o := t.Cred(), p.Leader().Cred()
	if c.Has(unix.CAP_SYS_PTRACE) {
		return true
	}
	return uid == o.UID && uid == o.EUID && uid == o.SUID &&
		gid == o.GID && gid == o.EGID && gid == o.SGID && p.Dumpable() == 1 && o.Permitted&^c.Permitted == 0
}
