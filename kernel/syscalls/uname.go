package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/random"
	"husk/kernel/task"
)

// uname identifies the system (uname(2)).
func (t Thread) uname(a mm.Addr) error {
	u := task.Uname(t.Process)
	var b [6 * 65]byte
	for i, s := range [...]string{u.Sysname, u.Nodename, u.Release, u.Version, u.Machine, u.Domainname} {
		copy(b[65*i:65*i+64], s)
	}
	return t.copyOut(a, b[:])
}

// hostName reads a name for sethostname(2) and setdomainname(2).
func (t Thread) hostName(a mm.Addr, n int32) (string, error) {
	if !t.Cred().Has(unix.CAP_SYS_ADMIN) {
		return "", unix.EPERM
	}
	if n < 0 || n > 64 {
		return "", unix.EINVAL
	}
	b := make([]byte, n)
	err := t.copyIn(b, a)
	return string(b), err
}

func (t Thread) sethostname(a mm.Addr, n int32) error {
	s, err := t.hostName(a, n)
	if err == nil {
		task.SetHostname(s)
	}
	return err
}

func (t Thread) setdomainname(a mm.Addr, n int32) error {
	s, err := t.hostName(a, n)
	if err == nil {
		task.SetDomainname(s)
	}
	return err
}

// sysinfo tells how the system is doing (sysinfo(2)).
func (t Thread) sysinfo(a mm.Addr) error {
	total, free := cpu.FrameStats()
	threads, _ := task.Counts()
	var b [112]byte
	le.PutUint64(b[0:], uint64((clock.Now()+clock.Second-1)/clock.Second))
	load := task.LoadAverage()
	for i, l := range load {
		le.PutUint64(b[8+8*i:], l)
	}
	le.PutUint64(b[32:], uint64(total)*mm.PageSize)
	le.PutUint64(b[40:], uint64(free)*mm.PageSize)
	le.PutUint16(b[80:], uint16(min(threads, 1<<16-1)))
	le.PutUint32(b[104:], 1) // mem_unit
	return t.copyOut(a, b[:])
}

// getrandom returns random bytes (getrandom(2)).
func (t Thread) getrandom(a mm.Addr, n uint64, flags uint32) (int, error) {
	const nonblock, random_, insecure = 1, 2, 4
	if flags&^(nonblock|random_|insecure) != 0 || flags&(random_|insecure) == random_|insecure {
		return 0, unix.EINVAL
	}
	n = min(n, 1<<31-1)
	var b [256]byte
	for done := uint64(0); done < n; {
		c := min(n-done, uint64(len(b)))
		random.Read(b[:c])
		m, err := t.AddressSpace().CopyOut(a+mm.Addr(done), b[:c])
		done += uint64(m)
		if err != nil {
			if done > 0 {
				return int(done), nil
			}
			return 0, err
		}
		if done%(1<<16) == 0 && done < n && t.HasSignal() {
			return int(done), nil
		}
	}
	return int(n), nil
}

// reboot ends the machine (reboot(2)).
func (t Thread) reboot(magic, magic2, op uint32, arg mm.Addr) error {
	if !t.Cred().Has(unix.CAP_SYS_BOOT) {
		return unix.EPERM
	}
	if magic != unix.LINUX_REBOOT_MAGIC1 {
		return unix.EINVAL
	}
	switch magic2 {
	case unix.LINUX_REBOOT_MAGIC2, 0x05121996, 0x16041998, 0x20112000:
	default:
		return unix.EINVAL
	}
	switch op {
	case unix.LINUX_REBOOT_CMD_CAD_ON, unix.LINUX_REBOOT_CMD_CAD_OFF:
		return nil
	case unix.LINUX_REBOOT_CMD_HALT, unix.LINUX_REBOOT_CMD_POWER_OFF, unix.LINUX_REBOOT_CMD_RESTART, unix.LINUX_REBOOT_CMD_RESTART2:
		task.EndMachine()
		t.ExitProcess(0)
		return nil
	}
	return unix.EINVAL
}

// syslog reads the kernel's log, which programs find empty (syslog(2)).
func (t Thread) syslog(op int32, buf mm.Addr, n int32) (int, error) {
	const (
		closeLog, openLog, read, readAll, readClear, clear_ = 0, 1, 2, 3, 4, 5
		consoleOff, consoleOn, consoleLevel                 = 6, 7, 8
		sizeUnread, sizeBuffer                              = 9, 10
		logSize                                             = 1 << 17
	)
	if op != readAll && op != sizeBuffer && !t.Cred().Has(unix.CAP_SYSLOG) && !t.Cred().Has(unix.CAP_SYS_ADMIN) {
		return 0, unix.EPERM
	}
	switch op {
	case closeLog, openLog, clear_, consoleOff, consoleOn, sizeUnread:
		return 0, nil
	case read, readAll, readClear:
		if buf == 0 || n < 0 {
			return 0, unix.EINVAL
		}
		return 0, nil
	case consoleLevel:
		if n < 1 || n > 8 {
			return 0, unix.EINVAL
		}
		return 0, nil
	case sizeBuffer:
		return logSize, nil
	}
	return 0, unix.EINVAL
}

// acct answers as a kernel without process accounting (acct(2)).
func (t Thread) acct(path mm.Addr) error {
	if !t.Cred().Has(unix.CAP_SYS_PACCT) {
		return unix.EPERM
	}
	return unix.ENOSYS
}

// vhangup hangs up the terminal (vhangup(2)).
func (t Thread) vhangup() error {
	if !t.Cred().Has(unix.CAP_SYS_TTY_CONFIG) {
		return unix.EPERM
	}
	return nil
}

// iopl and ioperm: programs have no access to ports.
func (t Thread) iopl(level uint32) error {
	if level > 3 {
		return unix.EINVAL
	}
	if level > 0 {
		return unix.EPERM
	}
	return nil
}

func (t Thread) ioperm(from, num uint64, on int32) error {
	if from+num <= from || from+num > 65536 {
		return unix.EINVAL
	}
	if on != 0 {
		return unix.EPERM
	}
	return nil
}
