package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/pipe"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// What x/sys lacks of fcntl(2).
const (
	fDupfdQuery   = 0x403 // F_DUPFD_QUERY
	fCreatedQuery = 0x404 // F_CREATED_QUERY
)

// fcntl manipulates a descriptor (fcntl(2)).
func (t Thread) fcntl(fd int32, cmd uint32, arg uint64) (int, error) {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return 0, err
	}
	defer f.Put()
	switch cmd {
	case unix.F_DUPFD, unix.F_DUPFD_CLOEXEC:
		limit := t.fdLimit()
		if arg >= limit {
			return 0, unix.EINVAL
		}
		f.Get()
		n, err := t.Files().Install(f, int(arg), cmd == unix.F_DUPFD_CLOEXEC, limit)
		if err != nil {
			f.Put()
		}
		return n, err
	case unix.F_GETFD:
		on, err := t.Files().Cloexec(int(fd))
		if on {
			return unix.FD_CLOEXEC, err
		}
		return 0, err
	case unix.F_SETFD:
		return 0, t.Files().SetCloexec(int(fd), arg&unix.FD_CLOEXEC != 0)
	case unix.F_GETFL:
		return int(f.Flags()), nil
	case fDupfdQuery:
		g, err := t.Files().Get(int(arg))
		if err != nil {
			return 0, err
		}
		defer g.Put()
		if f == g {
			return 1, nil
		}
		return 0, nil
	}
	if f.IsPath() {
		return 0, unix.EBADF
	}
	switch cmd {
	case unix.F_SETFL:
		return 0, t.setStatusFlags(f, fd, uint32(arg))
	case unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW:
		var l unix.Flock_t
		if err := get(t, mm.Addr(arg), &l); err != nil {
			return 0, err
		}
		if err := f.RecordLock(t.Thread, t.Files(), int(cmd), &l, func() bool { return t.stillOpen(fd, f) }); err != nil {
			return 0, err
		}
		if cmd == unix.F_GETLK || cmd == unix.F_OFD_GETLK {
			return 0, put(t, mm.Addr(arg), &l)
		}
		return 0, nil
	case unix.F_GETOWN:
		o := f.Owner()
		switch {
		case o == nil:
			return 0, nil
		case o.Type == vfs.OwnerPGRP:
			return -int(o.PID), nil
		}
		return int(o.PID), nil
	case unix.F_SETOWN:
		o := vfs.Owner{Type: vfs.OwnerPID, PID: int32(arg)}
		if o.PID < 0 {
			if o.PID == -1<<31 {
				return 0, unix.EINVAL
			}
			o.Type, o.PID = vfs.OwnerPGRP, -o.PID
		}
		t.setOwner(f, o)
		return 0, nil
	case unix.F_GETOWN_EX:
		var o vfs.Owner
		if p := f.Owner(); p != nil {
			o = *p
		}
		return 0, put(t, mm.Addr(arg), &o)
	case unix.F_SETOWN_EX:
		var o vfs.Owner
		if err := get(t, mm.Addr(arg), &o); err != nil {
			return 0, err
		}
		if o.Type < vfs.OwnerTID || o.Type > vfs.OwnerPGRP {
			return 0, unix.EINVAL
		}
		t.setOwner(f, o)
		return 0, nil
	case unix.F_GETSIG:
		return int(f.Signal()), nil
	case unix.F_SETSIG:
		if arg > 64 {
			return 0, unix.EINVAL
		}
		f.SetSignal(int32(arg))
		return 0, nil
	case unix.F_GETLEASE:
		return unix.F_UNLCK, nil
	case unix.F_SETLEASE:
		return 0, t.setLease(f, int32(arg))
	case unix.F_NOTIFY:
		if !f.Inode.IsDir() {
			return 0, unix.ENOTDIR
		}
		t.setOwner(f, vfs.Owner{Type: vfs.OwnerPID, PID: int32(t.Process.PID())})
		return 0, f.Notify(uint32(arg), fd, task.SignalIO)
	case unix.F_GETPIPE_SZ, unix.F_SETPIPE_SZ:
		p := pipe.Of(f)
		if p == nil {
			return 0, unix.EBADF
		}
		if cmd == unix.F_GETPIPE_SZ {
			return p.PipeSize(), nil
		}
		return p.SetPipeSize(t.Thread, arg)
	case unix.F_ADD_SEALS:
		s, ok := f.Inode.Ops.(vfs.Sealer)
		if !ok {
			return 0, unix.EINVAL
		}
		if !f.Writable() {
			return 0, unix.EPERM
		}
		return 0, s.AddSeals(f.Inode, uint32(arg))
	case unix.F_GET_SEALS:
		s, ok := f.Inode.Ops.(vfs.Sealer)
		if !ok || f.Inode.Type() != unix.S_IFREG {
			return 0, unix.EINVAL
		}
		return int(s.Seals()), nil
	case unix.F_GET_RW_HINT, unix.F_GET_FILE_RW_HINT:
		var hint uint64
		return 0, put(t, mm.Addr(arg), &hint)
	case unix.F_SET_RW_HINT, unix.F_SET_FILE_RW_HINT:
		var hint uint64
		if err := get(t, mm.Addr(arg), &hint); err != nil {
			return 0, err
		}
		if hint > 5 {
			return 0, unix.EINVAL
		}
		return 0, nil
	case fCreatedQuery:
		return 0, nil
	}
	return 0, unix.EINVAL
}

// stillOpen reports whether fd still leads to f: a lock that was granted
// after another thread closed the descriptor must go again.
func (t Thread) stillOpen(fd int32, f *vfs.File) bool {
	g, err := t.Files().Get(int(fd))
	if err != nil {
		return false
	}
	g.Put()
	return g == f
}

// setOwner serves F_SETOWN: whom signals about the file go to.
func (t Thread) setOwner(f *vfs.File, o vfs.Owner) {
	c := t.Cred()
	f.SetOwner(o, c.UID, c.EUID)
}

func (t Thread) setStatusFlags(f *vfs.File, fd int32, flags uint32) error {
	const noatime = unix.O_NOATIME
	if flags&noatime != 0 && f.Flags()&noatime == 0 && !vfs.Owns(t.Cred(), f.Inode) {
		return unix.EPERM
	}
	if flags&unix.O_DIRECT != 0 && f.Flags()&unix.O_DIRECT == 0 && f.Inode.Type() == unix.S_IFDIR {
		return unix.EINVAL
	}
	before := f.Flags()
	if err := f.SetStatusFlags(flags); err != nil {
		return err
	}
	if (before|flags)&unix.O_ASYNC != 0 {
		if f.Inode.Type() == unix.S_IFCHR && f.Owner() == nil { // terminals need no F_SETOWN
			t.setOwner(f, vfs.Owner{Type: vfs.OwnerPID, PID: int32(t.Process.PID())})
		}
		f.SetAsync(fd, task.SignalIO)
	}
	return nil
}

// setLease answers F_SETLEASE: leases are not granted, which a file that is
// open elsewhere would answer too.
func (t Thread) setLease(f *vfs.File, kind int32) error {
	switch kind {
	case unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK:
	default:
		return unix.EINVAL
	}
	if f.Inode.Type() != unix.S_IFREG {
		return unix.EINVAL
	}
	if !vfs.Owns(t.Cred(), f.Inode) && !t.Cred().Has(unix.CAP_LEASE) {
		return unix.EACCES
	}
	return unix.EAGAIN
}

// flock locks a whole file (flock(2)).
func (t Thread) flock(fd int32, operation uint32) error {
	const mandatory = 32 // LOCK_MAND: accepted, and does nothing
	if operation&mandatory != 0 {
		return nil
	}
	op := operation &^ unix.LOCK_NB
	if op != unix.LOCK_SH && op != unix.LOCK_EX && op != unix.LOCK_UN {
		return unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return f.Flock(t.Thread, operation)
}

// ioctl controls a device (ioctl(2)).
func (t Thread) ioctl(fd int32, request uint32, arg mm.Addr) (uintptr, error) {
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	switch request {
	case fioClex:
		return 0, t.Files().SetCloexec(int(fd), true)
	case fioNclex:
		return 0, t.Files().SetCloexec(int(fd), false)
	case fioNbio, fioAsync:
		var on int32
		if err := get(t, arg, &on); err != nil {
			return 0, err
		}
		bit := uint32(unix.O_NONBLOCK)
		if request == fioAsync {
			bit = unix.O_ASYNC
		}
		flags := f.Flags() &^ bit
		if on != 0 {
			flags |= bit
		}
		return 0, t.setStatusFlags(f, fd, flags)
	case fiGetBsz:
		if f.Inode.FS == nil {
			return 0, unix.EINVAL
		}
		size := int32(mm.PageSize)
		return 0, put(t, arg, &size)
	case fioQSize:
		if k := f.Inode.Type(); k != unix.S_IFREG && k != unix.S_IFDIR && k != unix.S_IFLNK {
			return 0, unix.ENOTTY
		}
		size := f.Inode.Size()
		return 0, put(t, arg, &size)
	case unix.TIOCINQ: // FIONREAD
		if f.Inode.Type() == unix.S_IFREG {
			left := int32(f.Inode.Size() - f.Pos())
			return 0, put(t, arg, &left)
		}
	}
	return f.Ioctl(t.Thread, request, uintptr(arg))
}

// The requests that every file serves; asm-generic/ioctls.h.
const (
	fiGetBsz = 0x2
	fioNbio  = 0x5421
	fioNclex = 0x5450
	fioClex  = 0x5451
	fioAsync = 0x5452
	fioQSize = 0x5460
)
