//go:build baremetal

package metal

import "unsafe"

// Signals, as far as the runtime uses them: faults of Go code, preemption by
// tgkill(SIGURG), and the fatal ones it raises to die.

const (
	sigTRAP = 5
	sigILL  = 4
	sigABRT = 6
	sigBUS  = 7
	sigFPE  = 8
	sigKILL = 9
	sigSEGV = 11
	sigURG  = 23

	numSignals = 65
)

const ssDisable = 2

type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

var sigactions [numSignals]sigaction

// The signal frame, from its lowest address: the restorer's address as if the
// handler had been called, struct ucontext, siginfo, and our own copy of the
// XMM registers (the runtime does not look at the floating-point state).
type sigframe struct {
	restorer uintptr
	uc       ucontext
	info     [16]uint64
	xmm      [256]byte
	xmmLive  uint64
}

// ucontext is Linux's struct ucontext for x86-64.
type ucontext struct {
	flags, link uint64
	stack       [3]uint64
	gregs       [23]uint64
	fpstate     uint64
	reserved    [8]uint64
	mask        uint64
	_           [64]uint64
}

// Indexes of gregs.
const (
	gregR8 = iota
	gregR9
	gregR10
	gregR11
	gregR12
	gregR13
	gregR14
	gregR15
	gregRDI
	gregRSI
	gregRBP
	gregRBX
	gregRDX
	gregRAX
	gregRCX
	gregRSP
	gregRIP
	gregFLAGS
	gregCSGSFS
	gregERR
	gregTRAPNO
	gregOLDMASK
	gregCR2
)

// pushSignal makes f, the registers of t (with the XMM registers xmm, if not
// nil), continue in the handler of sig. It reports false when there is no
// handler or no stack for it.
func pushSignal(t *thread, f *Frame, xmm *[256]byte, sig uint32, code int32, addr uintptr) bool {
	sa := &sigactions[sig]
	if sa.handler <= 1 {
		return false
	}
	sp := uintptr(f.RSP)
	if sa.flags&saOnStack != 0 && t.altFlag&ssDisable == 0 && sp-t.altStack >= t.altSize {
		sp = t.altStack + t.altSize
	}
	sp = (sp-unsafe.Sizeof(sigframe{}))&^15 - 8
	// A page fault here could come on the exception stack in use.
	if !populate(sp, unsafe.Sizeof(sigframe{})) {
		return false
	}
	s := at[sigframe](sp)
	s.restorer = sa.restorer
	s.uc.flags, s.uc.link = 0, 0
	s.uc.stack = [3]uint64{uint64(t.altStack), uint64(t.altFlag), uint64(t.altSize)}
	s.uc.gregs = [23]uint64{
		gregR8: f.R8, gregR9: f.R9, gregR10: f.R10, gregR11: f.R11,
		gregR12: f.R12, gregR13: f.R13, gregR14: f.R14, gregR15: f.R15,
		gregRDI: f.RDI, gregRSI: f.RSI, gregRBP: f.RBP, gregRBX: f.RBX,
		gregRDX: f.RDX, gregRAX: f.RAX, gregRCX: f.RCX, gregRSP: f.RSP,
		gregRIP: f.RIP, gregFLAGS: f.RFLAGS, gregCSGSFS: f.CS,
		gregERR: f.Error, gregTRAPNO: f.Vector, gregOLDMASK: t.mask, gregCR2: uint64(addr),
	}
	s.uc.fpstate = 0
	s.uc.mask = t.mask
	s.info = [16]uint64{0: uint64(sig), 1: uint64(uint32(code)), 2: uint64(addr)}
	s.xmmLive = 0
	if xmm != nil {
		s.xmm = *xmm
		s.xmmLive = 1
	}
	f.RIP = uint64(sa.handler)
	f.RSP = uint64(sp)
	f.RDI = uint64(sig)
	f.RSI = uint64(addressOf(&s.info))
	f.RDX = uint64(addressOf(&s.uc))
	f.RAX = 0
	f.RFLAGS = 0x202
	f.CS, f.SS = 0x10, 0x18
	t.mask |= sa.mask | 1<<(sig-1)
	return true
}

const saOnStack = 0x08000000

// deliver makes the current thread handle a pending signal when it continues.
// It reports whether the frame changed. The frame is the thread's own.
func deliver(t *thread) bool {
	ready := t.pending &^ t.mask
	if ready == 0 {
		return false
	}
	sig := uint32(1)
	for ready&1 == 0 {
		ready >>= 1
		sig++
	}
	t.pending &^= 1 << (sig - 1)
	var xmm *[256]byte
	if t.xmmLive != 0 {
		xmm = &t.xmm
	}
	const siTkill = -6
	if pushSignal(t, &t.frame, xmm, sig, siTkill, 0) {
		t.xmmLive = 0
		return true
	}
	if sigactions[sig].handler == 0 && sig != sigURG {
		die("fatal signal", uint64(sig), &t.frame)
	}
	return false
}

// sysSigreturn puts back what pushSignal saved.
func sysSigreturn(c *percpu, f *Frame) {
	t := current(c)
	s := at[sigframe](uintptr(f.RSP) - 8)
	g := &s.uc.gregs
	t.frame = Frame{
		R8: g[gregR8], R9: g[gregR9], R10: g[gregR10], R11: g[gregR11],
		R12: g[gregR12], R13: g[gregR13], R14: g[gregR14], R15: g[gregR15],
		RDI: g[gregRDI], RSI: g[gregRSI], RBP: g[gregRBP], RBX: g[gregRBX],
		RDX: g[gregRDX], RAX: g[gregRAX], RCX: g[gregRCX], RSP: g[gregRSP],
		RIP: g[gregRIP], RFLAGS: g[gregFLAGS]&0xcd5 | 0x202, CS: 0x10, SS: 0x18,
	}
	t.mask = s.uc.mask
	if s.xmmLive != 0 {
		t.xmm = s.xmm
		t.xmmLive = 1
	}
}

func sysSigaction(f *Frame) {
	sig := f.RDI
	if sig == 0 || sig >= numSignals {
		f.RAX = errno(einval)
		return
	}
	sa := &sigactions[sig]
	if f.RDX != 0 {
		*at[sigaction](uintptr(f.RDX)) = *sa
	}
	if f.RSI != 0 {
		*sa = *at[sigaction](uintptr(f.RSI))
	}
	f.RAX = 0
}

func sysSigprocmask(c *percpu, f *Frame) {
	if hidden != 0 {
		// The runtime's first call with this number comes after it has
		// looked for AVX, and before it copies the environment.
		*at[uint64](hidden) = 0
		hidden = 0
	}
	t := current(c)
	old := t.mask
	if f.RSI != 0 {
		set := *at[uint64](uintptr(f.RSI))
		switch f.RDI {
		case 0:
			t.mask |= set
		case 1:
			t.mask &^= set
		case 2:
			t.mask = set
		}
	}
	if f.RDX != 0 {
		*at[uint64](uintptr(f.RDX)) = old
	}
	f.RAX = 0
}

func sysSigaltstack(c *percpu, f *Frame) {
	t := current(c)
	sp, flag, size := t.altStack, t.altFlag, t.altSize
	if f.RDI != 0 {
		ss := at[[3]uintptr](uintptr(f.RDI))
		t.altStack, t.altFlag, t.altSize = ss[0], ss[1]&ssDisable, ss[2]
	}
	if f.RSI != 0 {
		*at[[3]uintptr](uintptr(f.RSI)) = [3]uintptr{sp, flag, size}
	}
	f.RAX = 0
}

// sysTgkill makes sig pending for a thread. It takes effect when that thread
// leaves metal next; a CPU that runs it elsewhere is told to.
func sysTgkill(c *percpu, f *Frame) {
	n := int32(f.RSI) - firstTID
	sig := f.RDX
	if n < maxCPUs || n >= maxThreads || threads[n].state == threadFree {
		f.RAX = errno(esrch)
		return
	}
	f.RAX = 0
	if sig == 0 || sig >= numSignals {
		return
	}
	t := &threads[n]
	t.pending |= 1 << (sig - 1)
	if t.state == threadRunning && t.cpu != c.id {
		sendIPI(cpuAt(t.cpu).apicID, vectorReschedule)
	}
	// A thread asleep keeps the signal until it wakes: the runtime sends
	// SIGURG only to threads that run Go code.
}
