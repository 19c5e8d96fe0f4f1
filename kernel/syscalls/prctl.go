package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/task"
)

// prctl operates on the process or thread (prctl(2)).
func (t Thread) prctl(op int32, a2, a3, a4, a5 uint64) (int, error) {
	p := t.Process
	rest := a3 | a4 | a5
	switch op {
	case unix.PR_SET_PDEATHSIG:
		if a2 > task.NSignals {
			return 0, unix.EINVAL
		}
		t.SetDeathSignal(int(a2))
	case unix.PR_GET_PDEATHSIG:
		return 0, t.store32(mm.Addr(a2), uint32(t.DeathSignal()))
	case unix.PR_GET_DUMPABLE:
		return int(p.Dumpable()), nil
	case unix.PR_SET_DUMPABLE:
		if a2 > 1 {
			return 0, unix.EINVAL
		}
		p.SetDumpable(int32(a2))
	case unix.PR_SET_NAME:
		s, err := t.AddressSpace().CopyInString(mm.Addr(a2), 16)
		if err == unix.ENAMETOOLONG {
			var b [15]byte
			if err = t.copyIn(b[:], mm.Addr(a2)); err == nil {
				s = string(b[:])
			}
		}
		if err != nil {
			return 0, err
		}
		t.SetName(s)
	case unix.PR_GET_NAME:
		var b [16]byte
		copy(b[:15], t.Name())
		return 0, t.copyOut(mm.Addr(a2), b[:])
	case unix.PR_GET_KEEPCAPS:
		if t.Cred().SecureBits&secKeepCaps != 0 {
			return 1, nil
		}
	case unix.PR_SET_KEEPCAPS:
		c := t.Cred()
		if a2 > 1 {
			return 0, unix.EINVAL
		}
		if c.SecureBits&secKeepCapsLocked != 0 {
			return 0, unix.EPERM
		}
		n := c.Clone()
		n.SecureBits &^= secKeepCaps
		if a2 == 1 {
			n.SecureBits |= secKeepCaps
		}
		t.SetCred(n)
	case unix.PR_GET_SECUREBITS:
		return int(t.Cred().SecureBits), nil
	case unix.PR_SET_SECUREBITS:
		return 0, t.setSecureBits(uint32(a2))
	case unix.PR_CAPBSET_READ:
		if a2 > capLast {
			return 0, unix.EINVAL
		}
		return int(t.Cred().Bounding >> a2 & 1), nil
	case unix.PR_CAPBSET_DROP:
		c := t.Cred()
		if !c.Has(unix.CAP_SETPCAP) {
			return 0, unix.EPERM
		}
		if a2 > capLast {
			return 0, unix.EINVAL
		}
		n := c.Clone()
		n.Bounding &^= 1 << a2
		t.SetCred(n)
	case unix.PR_CAP_AMBIENT:
		return t.prctlAmbient(a2, a3, a4|a5)
	case unix.PR_SET_NO_NEW_PRIVS:
		if a2 != 1 || rest != 0 {
			return 0, unix.EINVAL
		}
		n := t.Cred().Clone()
		n.NoNewPrivs = true
		t.SetCred(n)
	case unix.PR_GET_NO_NEW_PRIVS:
		if a2|rest != 0 {
			return 0, unix.EINVAL
		}
		if t.Cred().NoNewPrivs {
			return 1, nil
		}
	case unix.PR_SET_CHILD_SUBREAPER:
		p.SetSubreaper(a2 != 0)
	case unix.PR_GET_CHILD_SUBREAPER:
		v := uint32(0)
		if p.Subreaper() {
			v = 1
		}
		return 0, t.store32(mm.Addr(a2), v)
	case unix.PR_SET_TIMERSLACK:
		t.SetTimerSlack(int64(a2))
	case unix.PR_GET_TIMERSLACK:
		return int(t.TimerSlack()), nil
	case unix.PR_GET_TID_ADDRESS:
		var b [8]byte
		le.PutUint64(b[:], uint64(t.TIDAddress()))
		return 0, t.copyOut(mm.Addr(a2), b[:])
	case unix.PR_GET_TIMING:
	case unix.PR_SET_TIMING:
		if a2 != 0 { // PR_TIMING_STATISTICAL is all there is
			return 0, unix.EINVAL
		}
	case unix.PR_GET_TSC:
		return 0, t.store32(mm.Addr(a2), unix.PR_TSC_ENABLE)
	case unix.PR_SET_TSC:
		if a2 != unix.PR_TSC_ENABLE {
			return 0, unix.EINVAL // TSC reads cannot be forbidden
		}
	case unix.PR_GET_SECCOMP:
		mode, _ := t.SeccompMode()
		return mode, nil
	case unix.PR_SET_SECCOMP:
		return 0, t.setSeccomp(a2, mm.Addr(a3))
	case unix.PR_MCE_KILL:
		if a4|a5 != 0 || a2 > unix.PR_MCE_KILL_SET || a2 == unix.PR_MCE_KILL_CLEAR && a3 != 0 || a3 > unix.PR_MCE_KILL_DEFAULT {
			return 0, unix.EINVAL
		}
		policy := uint32(unix.PR_MCE_KILL_DEFAULT)
		if a2 == unix.PR_MCE_KILL_SET {
			policy = uint32(a3)
		}
		p.SetMCEKill(policy)
	case unix.PR_MCE_KILL_GET:
		if a2|rest != 0 {
			return 0, unix.EINVAL
		}
		return int(p.MCEKill()), nil
	case unix.PR_SET_SYSCALL_USER_DISPATCH:
		if a2 != unix.PR_SYS_DISPATCH_OFF || rest != 0 {
			return 0, unix.EINVAL // calls cannot be dispatched to the program
		}
	case unix.PR_SET_THP_DISABLE:
		if rest != 0 {
			return 0, unix.EINVAL
		}
		p.SetTHPDisabled(a2 != 0)
	case unix.PR_GET_THP_DISABLE:
		if a2|rest != 0 {
			return 0, unix.EINVAL
		}
		if p.THPDisabled() {
			return 1, nil
		}
	case unix.PR_SET_PTRACER:
		if pid := int32(a2); a2 != 0 && a2 != unix.PR_SET_PTRACER_ANY && (pid <= 0 || task.FindProcess(int(pid)) == nil) {
			return 0, unix.EINVAL
		}
	case unix.PR_GET_SPECULATION_CTRL:
		if rest != 0 {
			return 0, unix.EINVAL
		}
		if a2 > unix.PR_SPEC_INDIRECT_BRANCH {
			return 0, unix.ENODEV
		}
		return unix.PR_SPEC_NOT_AFFECTED, nil
	case unix.PR_SET_SPECULATION_CTRL:
		return 0, unix.ENXIO
	case unix.PR_SET_IO_FLUSHER, unix.PR_GET_IO_FLUSHER:
		if !t.Cred().Has(unix.CAP_SYS_RESOURCE) {
			return 0, unix.EPERM
		}
	case unix.PR_SET_MM:
		if !t.Cred().Has(unix.CAP_SYS_RESOURCE) {
			return 0, unix.EPERM
		}
		return 0, unix.EINVAL
	case unix.PR_SET_VMA:
		if a2 != unix.PR_SET_VMA_ANON_NAME {
			return 0, unix.EINVAL
		}
		return 0, unix.EINVAL // a kernel without CONFIG_ANON_VMA_NAME
	case unix.PR_TASK_PERF_EVENTS_DISABLE, unix.PR_TASK_PERF_EVENTS_ENABLE:
	default:
		return 0, unix.EINVAL
	}
	return 0, nil
}

// setSecureBits serves PR_SET_SECUREBITS.
func (t Thread) setSecureBits(v uint32) error {
	c := t.Cred()
	locked := c.SecureBits & secAllLocks
	switch {
	case locked>>1&(c.SecureBits^v) != 0, // a locked bit would change
		locked&^v != 0, // a lock would open
		v&^secAllBits != 0,
		!c.Has(unix.CAP_SETPCAP):
		return unix.EPERM
	}
	n := c.Clone()
	n.SecureBits = v
	t.SetCred(n)
	return nil
}

// prctlAmbient serves PR_CAP_AMBIENT.
func (t Thread) prctlAmbient(op, c, rest uint64) (int, error) {
	if rest != 0 {
		return 0, unix.EINVAL
	}
	old := t.Cred()
	if op == unix.PR_CAP_AMBIENT_CLEAR_ALL {
		if c != 0 {
			return 0, unix.EINVAL
		}
		n := old.Clone()
		n.Ambient = 0
		t.SetCred(n)
		return 0, nil
	}
	if c > capLast {
		return 0, unix.EINVAL
	}
	bit := cred.CapSet(1) << c
	n := old.Clone()
	switch op {
	case unix.PR_CAP_AMBIENT_IS_SET:
		if old.Ambient&bit != 0 {
			return 1, nil
		}
		return 0, nil
	case unix.PR_CAP_AMBIENT_RAISE:
		if old.Permitted&bit == 0 || old.Inheritable&bit == 0 || old.SecureBits&secNoAmbientRaise != 0 {
			return 0, unix.EPERM
		}
		n.Ambient |= bit
	case unix.PR_CAP_AMBIENT_LOWER:
		n.Ambient &^= bit
	default:
		return 0, unix.EINVAL
	}
	t.SetCred(n)
	return 0, nil
}

// arch_prctl sets and reads the segment bases (arch_prctl(2)).
func (t Thread) arch_prctl(code int32, addr uint64) (int, error) {
	const (
		setGS, setFS, getFS, getGS = 0x1001, 0x1002, 0x1003, 0x1004
		getCPUID, setCPUID         = 0x1011, 0x1012
		userLimit                  = 0x7ffffffff000
	)
	var b [8]byte
	switch code {
	case setFS, setGS:
		if addr >= userLimit {
			return 0, unix.EPERM
		}
		if code == setFS {
			t.FSBase = addr
		} else {
			t.GSBase = addr
		}
		return 0, nil
	case getFS:
		le.PutUint64(b[:], t.FSBase)
		return 0, t.copyOut(mm.Addr(addr), b[:])
	case getGS:
		le.PutUint64(b[:], t.GSBase)
		return 0, t.copyOut(mm.Addr(addr), b[:])
	case getCPUID:
		return 1, nil
	case setCPUID:
		return 0, unix.ENODEV
	}
	return 0, unix.EINVAL
}

// personality sets the execution domain (personality(2)).
func (t Thread) personality(v uint32) (int, error) { return int(t.Process.Personality(v)), nil }

// rseq answers as a kernel without it: threads move between CPUs unnoticed by
// the kernel, and C libraries then ask getcpu (rseq(2)).
func (t Thread) rseq(area mm.Addr, size, flags, sig uint32) error { return unix.ENOSYS }

// Segments of the local and thread descriptor tables do not exist.
func (t Thread) set_thread_area(a mm.Addr) error { return unix.ENOSYS }
func (t Thread) get_thread_area(a mm.Addr) error { return unix.ENOSYS }
func (t Thread) modify_ldt(op int32, a mm.Addr, n uint64) error {
	return unix.ENOSYS
}
