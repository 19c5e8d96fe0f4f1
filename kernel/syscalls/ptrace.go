package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
)

// Requests that golang.org/x/sys/unix lacks or hides.
const (
	ptracePeekUser        = 3
	ptracePokeUser        = 6
	ptraceOldSetOptions   = 21
	ptraceArchPrctl       = 30
	ptraceSysemu          = 31
	ptraceSysemuStep      = 32
	ptraceSeccompFilter   = 0x420c
	ptraceSeccompMetadata = 0x420d
	ptraceGetSyscallInfo  = 0x420e
)

// The sets of registers of PTRACE_GETREGSET.
const (
	ntPrStatus  = 1
	ntPrFPReg   = 2
	ntX86Xstate = 0x202
)

// struct user of amd64: the general registers, and at the end the debug
// registers.
const (
	userRegsSize  = 27 * 8
	userDebug     = 848
	userSize      = 912
	fxsaveSize    = 512
	auditArchX64  = 0xc000003e
	segmentDS     = 0 // programs find null selectors there
	regCS, regSS  = 17, 20
	regFlags      = 18
	regFS, regDS  = 21, 23
	tracingEvents = 0x80 // with SIGTRAP: a system call
)

// ptrace traces another thread (ptrace(2)).
func (t Thread) ptrace(request, pid int32, addr, data uint64) (int, error) {
	switch request {
	case unix.PTRACE_TRACEME:
		return 0, t.TraceMe()
	case unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		return 0, t.ptraceAttach(request, pid, addr, data)
	case unix.PTRACE_INTERRUPT:
		return 0, t.Interrupt(int(pid))
	case unix.PTRACE_KILL:
		return 0, t.KillTracee(int(pid))
	}
	c, err := t.Tracee(int(pid))
	if err != nil {
		return 0, err
	}
	mode := task.ResumeMode(0)
	switch request {
	case unix.PTRACE_CONT:
	case unix.PTRACE_SYSCALL:
		mode = task.ResumeSyscall
	case unix.PTRACE_SINGLESTEP:
		mode = task.ResumeStep
	case ptraceSysemu:
		mode = task.ResumeEmulate
	case ptraceSysemuStep:
		mode = task.ResumeEmulate | task.ResumeStep
	case unix.PTRACE_DETACH:
		if data > task.NSignals {
			break
		}
		c.Detach(int(data))
		return 0, nil
	default:
		n, err := t.ptraceStopped(c, request, mm.Addr(addr), addr, data)
		c.Thaw()
		return n, err
	}
	if data > task.NSignals {
		c.Thaw()
		return 0, unix.EIO
	}
	c.Resume(mode, int(data))
	return 0, nil
}

// ptraceAttach serves PTRACE_ATTACH and PTRACE_SEIZE.
func (t Thread) ptraceAttach(request, pid int32, addr, data uint64) error {
	target := task.FindThread(int(pid))
	if target == nil {
		return unix.ESRCH
	}
	seize := request == unix.PTRACE_SEIZE
	if seize && (addr != 0 || data&^task.TraceOptionMask != 0) {
		return unix.EIO
	}
	if target.Process == t.Process || !t.mayTraceAs(target.Process, t.Cred().UID, t.Cred().GID) {
		return unix.EPERM
	}
	if !seize {
		data = 0
	}
	return t.Attach(target, seize, uint32(data))
}

// ptraceStopped serves requests about a thread that is held still.
func (t Thread) ptraceStopped(c task.Tracee, request int32, a mm.Addr, addr, data uint64) (int, error) {
	var b [128]byte
	switch request {
	case unix.PTRACE_PEEKTEXT, unix.PTRACE_PEEKDATA:
		if _, err := c.Memory().Peek(a, b[:8]); err != nil {
			return 0, unix.EIO
		}
		return 0, t.copyOut(mm.Addr(data), b[:8])
	case unix.PTRACE_POKETEXT, unix.PTRACE_POKEDATA:
		le.PutUint64(b[:], data)
		if _, err := c.Memory().Poke(a, b[:8]); err != nil {
			return 0, unix.EIO
		}
	case ptracePeekUser:
		if addr&7 != 0 || addr >= userSize {
			return 0, unix.EIO
		}
		v := uint64(0)
		if addr < userRegsSize {
			v = getRegister(c, int(addr/8))
		} else if addr >= userDebug {
			v = c.Debug(int(addr-userDebug) / 8)
		}
		le.PutUint64(b[:], v)
		return 0, t.copyOut(mm.Addr(data), b[:8])
	case ptracePokeUser:
		switch {
		case addr&7 != 0 || addr >= userSize:
		case addr < userRegsSize:
			return 0, setRegister(c, int(addr/8), data)
		case addr >= userDebug:
			return 0, c.SetDebug(int(addr-userDebug)/8, data)
		}
		return 0, unix.EIO
	case unix.PTRACE_GETREGS:
		return 0, t.copyOut(mm.Addr(data), registers(c))
	case unix.PTRACE_SETREGS:
		regs := make([]byte, userRegsSize)
		if err := t.copyIn(regs, mm.Addr(data)); err != nil {
			return 0, err
		}
		return 0, setRegisters(c, regs)
	case unix.PTRACE_GETFPREGS:
		return 0, t.copyOut(mm.Addr(data), c.Extended()[:fxsaveSize])
	case unix.PTRACE_SETFPREGS:
		img := make([]byte, fxsaveSize)
		if err := t.copyIn(img, mm.Addr(data)); err != nil {
			return 0, err
		}
		return 0, c.SetExtended(img)
	case unix.PTRACE_GETREGSET, unix.PTRACE_SETREGSET:
		return 0, t.ptraceRegset(c, request == unix.PTRACE_SETREGSET, addr, mm.Addr(data))
	case ptraceArchPrctl:
		return 0, t.ptraceArch(c, data, addr)
	case unix.PTRACE_SETOPTIONS, ptraceOldSetOptions:
		if data&^task.TraceOptionMask != 0 {
			return 0, unix.EINVAL
		}
		if data&task.TraceNoSeccomp != 0 && !t.Cred().Has(unix.CAP_SYS_ADMIN) {
			return 0, unix.EPERM
		}
		c.SetOptions(uint32(data))
	case unix.PTRACE_GETEVENTMSG:
		le.PutUint64(b[:], c.Message())
		return 0, t.copyOut(mm.Addr(data), b[:8])
	case unix.PTRACE_GETSIGINFO:
		si, ok := c.Info()
		if !ok {
			return 0, unix.EINVAL
		}
		raw := si.Encode()
		return 0, t.copyOut(mm.Addr(data), raw[:])
	case unix.PTRACE_SETSIGINFO:
		si, err := t.siginfoIn(mm.Addr(data))
		if err == nil && !c.SetInfo(si) {
			err = unix.EINVAL
		}
		return 0, err
	case unix.PTRACE_PEEKSIGINFO:
		return t.ptracePeekSignals(c, a, mm.Addr(data))
	case unix.PTRACE_GETSIGMASK:
		if addr != sigsetSize {
			return 0, unix.EINVAL
		}
		return 0, t.sigsetOut(mm.Addr(data), c.SignalMask())
	case unix.PTRACE_SETSIGMASK:
		if addr != sigsetSize {
			return 0, unix.EINVAL
		}
		m, err := t.sigsetIn(mm.Addr(data))
		if err == nil {
			c.SetSignalMask(m)
		}
		return 0, err
	case unix.PTRACE_LISTEN:
		return 0, c.Listen()
	case ptraceSeccompFilter:
		return t.ptraceSeccompGetFilter(c, addr, mm.Addr(data))
	case ptraceSeccompMetadata:
		return t.ptraceSeccompMetadata(c, addr, mm.Addr(data))
	case ptraceGetSyscallInfo:
		return t.ptraceSyscallInfo(c, addr, mm.Addr(data))
	default:
		return 0, unix.EIO
	}
	return 0, nil
}

// getRegister returns register i of struct user_regs_struct.
func getRegister(c task.Tracee, i int) uint64 {
	r := &c.Regs
	switch {
	case i == regFlags:
		return c.Flags()
	case i >= regDS:
		return segmentDS
	}
	return *[...]*uint64{
		&r.R15, &r.R14, &r.R13, &r.R12, &r.RBP, &r.RBX, &r.R11, &r.R10, &r.R9, &r.R8, &r.RAX, &r.RCX, &r.RDX,
		&r.RSI, &r.RDI, &r.OrigRAX, &r.RIP, &r.CS, &r.RFLAGS, &r.RSP, &r.SS, &r.FSBase, &r.GSBase,
	}[i]
}

// setRegister changes it. Selectors stay what they are.
func setRegister(c task.Tracee, i int, v uint64) error {
	r := &c.Regs
	switch i {
	case regFlags:
		c.SetFlags(v)
		return nil
	case regFS, regFS + 1:
		if v >= userTop {
			return unix.EIO
		}
	case regCS, regSS:
		if v&3 != 3 || v>>16 != 0 {
			return unix.EIO
		}
		return nil
	}
	if i >= regDS {
		if v != 0 && v&3 != 3 || v>>16 != 0 {
			return unix.EIO
		}
		return nil
	}
	*[...]*uint64{
		&r.R15, &r.R14, &r.R13, &r.R12, &r.RBP, &r.RBX, &r.R11, &r.R10, &r.R9, &r.R8, &r.RAX, &r.RCX, &r.RDX,
		&r.RSI, &r.RDI, &r.OrigRAX, &r.RIP, &r.CS, &r.RFLAGS, &r.RSP, &r.SS, &r.FSBase, &r.GSBase,
	}[i] = v
	return nil
}

// registers is struct user_regs_struct.
func registers(c task.Tracee) []byte {
	b := make([]byte, userRegsSize)
	for i := range userRegsSize / 8 {
		le.PutUint64(b[8*i:], getRegister(c, i))
	}
	return b
}

func setRegisters(c task.Tracee, b []byte) error {
	for i := range len(b) / 8 {
		if err := setRegister(c, i, le.Uint64(b[8*i:])); err != nil {
			return err
		}
	}
	return nil
}

// ptraceRegset serves PTRACE_GETREGSET and PTRACE_SETREGSET.
func (t Thread) ptraceRegset(c task.Tracee, set bool, kind uint64, iov mm.Addr) error {
	var v [16]byte
	if err := t.copyIn(v[:], iov); err != nil {
		return err
	}
	base, n := mm.Addr(le.Uint64(v[:])), le.Uint64(v[8:])
	var data []byte
	switch kind {
	case ntPrStatus:
		data = registers(c)
	case ntPrFPReg:
		data = c.Extended()[:fxsaveSize]
	case ntX86Xstate:
		data = c.Extended()
	default:
		return unix.EINVAL
	}
	if n%8 != 0 {
		return unix.EINVAL
	}
	size := len(data)
	data = data[:min(n, uint64(size))]
	if set {
		if err := t.copyIn(data, base); err != nil {
			return err
		}
		var err error
		switch {
		case kind == ntPrStatus:
			err = setRegisters(c, data)
		case len(data) < size && kind == ntX86Xstate:
			err = unix.EFAULT
		default:
			err = c.SetExtended(data[:size])
		}
		if err != nil {
			return err
		}
	} else if err := t.copyOut(base, data); err != nil {
		return err
	}
	le.PutUint64(v[8:], uint64(len(data)))
	return t.copyOut(iov+8, v[8:])
}

// ptraceArch serves PTRACE_ARCH_PRCTL: arch_prctl(2) of the traced thread.
func (t Thread) ptraceArch(c task.Tracee, code, addr uint64) error {
	const setGS, setFS, getFS, getGS = 0x1001, 0x1002, 0x1003, 0x1004
	var b [8]byte
	switch code {
	case setFS, setGS:
		if addr >= userTop {
			return unix.EPERM
		}
		if code == setFS {
			c.FSBase = addr
		} else {
			c.GSBase = addr
		}
		return nil
	case getFS:
		le.PutUint64(b[:], c.FSBase)
	case getGS:
		le.PutUint64(b[:], c.GSBase)
	default:
		return unix.EINVAL
	}
	return t.copyOut(mm.Addr(addr), b[:])
}

// ptracePeekSignals serves PTRACE_PEEKSIGINFO.
func (t Thread) ptracePeekSignals(c task.Tracee, args, to mm.Addr) (int, error) {
	var b [16]byte
	if err := t.copyIn(b[:], args); err != nil {
		return 0, err
	}
	off, flags, n := le.Uint64(b[:]), le.Uint32(b[8:]), int32(le.Uint32(b[12:]))
	const shared = 1 // PTRACE_PEEKSIGINFO_SHARED
	if flags&^shared != 0 || n < 0 {
		return 0, unix.EINVAL
	}
	list := c.PeekSignals(flags&shared != 0, off, int(n))
	for i := range list {
		raw := list[i].Encode()
		if err := t.copyOut(to+mm.Addr(i*len(raw)), raw[:]); err != nil {
			if i > 0 {
				return i, nil
			}
			return 0, err
		}
	}
	return len(list), nil
}

// ptraceSyscallInfo serves PTRACE_GET_SYSCALL_INFO and returns how much there
// is to tell.
func (t Thread) ptraceSyscallInfo(c task.Tracee, size uint64, to mm.Addr) (int, error) {
	const entry, exit, seccomp = 1, 2, 3
	var b [88]byte
	n, op := 24, byte(0)
	args := func() {
		for i, v := range [...]uint64{c.OrigRAX, c.RDI, c.RSI, c.RDX, c.R10, c.R8, c.R9} {
			le.PutUint64(b[24+8*i:], v)
		}
	}
	si, ok := c.Info()
	switch code := int(si.Code); {
	case !ok:
	case code == int(unix.SIGTRAP)|tracingEvents && c.Message() == entry:
		op, n = entry, 80
		args()
	case code == int(unix.SIGTRAP)|tracingEvents && c.Message() == exit:
		op, n = exit, 33
		le.PutUint64(b[24:], c.RAX)
		if c.RAX >= ^uint64(4094) {
			b[32] = 1
		}
	case code == int(unix.SIGTRAP)|task.EventSeccomp<<8:
		op, n = seccomp, 84
		args()
		le.PutUint32(b[80:], uint32(c.Message()))
	}
	b[0] = op
	le.PutUint32(b[4:], auditArchX64)
	le.PutUint64(b[8:], c.RIP)
	le.PutUint64(b[16:], c.RSP)
	return n, t.copyOut(to, b[:min(uint64(n), size)])
}
