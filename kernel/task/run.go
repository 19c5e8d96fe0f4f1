package task

import (
	"runtime"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// faultState is what the last fault or exception leaves for signal frames
// (sigcontext's trapno, err and cr2).
type faultState struct {
	trap, code uint64
	addr       uint64
}

// notSyscall is OrigRAX when ring 3 was left for another reason than a call.
const notSyscall = ^uint64(0)

// sampled is one less than how many system calls stand for one whose time in
// the kernel is measured. Measuring each would cost more than a short call.
const sampled = 64 - 1

// firstRestart is the negated ERESTART_RESTARTBLOCK: results from here to the
// negated ERESTARTSYS ask for a restart and must never reach a program.
const firstRestart = ^uint64(516) + 1

// run is the life of a worker: it runs threads until there are enough idle
// workers.
func (w *worker) run(t *Thread) {
	cpu.GrowStack()
	if t.away {
		t.time.resume()
	}
	for t != nil {
		for t != nil {
			var ended bool
			if t, ended = w.loop(t); ended {
				if t.away {
					t.arrive() // the kernel failed in its call
				}
				t.exit()
				t = nil
			}
		}
		t = w.idle()
	}
}

// loop runs t: it enters ring 3 and serves what brings the thread back. When
// a thread leaves its call (see Leave), it goes on with another. It returns
// when the thread that it runs must end, or without one when the worker has
// none to run. A panic of a handler ends the process; the one deferred call
// covers every turn of the loop.
func (w *worker) loop(t *Thread) (last *Thread, ended bool) {
	defer func() {
		if r := recover(); r != nil {
			last = w.thread // to see the kill
			last.panicked(r)
		}
	}()
	for t.away {
		if t.comeBack(); t.away {
			if t = w.depart(t); t == nil {
				return nil, false
			}
		}
	}
	w.thread = t
	for {
		t := w.thread // which stays while it does not leave
		for {
			if t.work.Load() != 0 {
				t.passOn()
				t.Unkick() // what it was for is in work
				if !t.doWork() {
					return t, true
				}
			}
			ev := cpu.Switch(&t.Context, t.mem.Root())
			if ev != cpu.EventSyscall {
				t.passOn()
				t.Settle(ev)
				t.event(ev)
				continue
			}
			if t.next != nil {
				t.mayPassOn()
			}
			if t.calls++; t.calls&sampled == 0 {
				t.measuredSyscall()
			} else {
				t.path.Load().serve(t)
			}
			if t.RAX-firstRestart <= 516-512 {
				if t.away {
					break
				}
				t.restartCall()
			}
		}
		for t.away {
			if t = w.depart(t); t == nil {
				return nil, false
			}
			if t.away {
				t.comeBack()
			}
		}
		if t.RAX-firstRestart <= 516-512 {
			t.restartCall()
		}
	}
}

// event serves what brought the thread back from ring 3 other than a call.
func (t *Thread) event(ev cpu.Event) {
	switch ev {
	case cpu.EventFault:
		t.pageFault()
	case cpu.EventInterrupt:
		t.OrigRAX = notSyscall
		t.involuntary.Add(1)
		t.time.pause()
		runtime.Gosched()
		t.time.resume()
	case cpu.EventException:
		t.exception()
	}
}

// measuredSyscall serves a call and counts its time for all that it stands for.
func (t *Thread) measuredSyscall() {
	before := t.time.total()
	t.path.Load().serve(t)
	t.time.sys.Add((t.time.total() - before) * (sampled + 1))
}

// restartCall sees to it that a call that asked for a restart gets it even
// when what interrupted it is gone. Signal delivery comes first.
func (t *Thread) restartCall() {
	if t.work.Load()&workInterrupt != 0 {
		return // doWork will look at RAX
	}
	t.restartWithoutHandler()
}

// doWork serves the bits of work and reports whether the thread lives on.
func (t *Thread) doWork() bool {
	for {
		w := t.work.Load()
		switch {
		case w&workKill != 0:
			return false
		case w&workSignal != 0 && (w&workRestoreMask == 0 || t.interrupted()):
			t.deliverSignals()
		case w&workRestoreMask != 0:
			// A call that had a result did not wait for signals: those that
			// only its own mask let through stay pending.
			t.work.And(^uint32(workRestoreMask))
			t.setMask(t.savedMask)
		default:
			return true
		}
	}
}

// interrupted reports whether the system call that is about to return says
// that a signal ended it.
func (t *Thread) interrupted() bool {
	return t.inCall() || t.OrigRAX != notSyscall && t.RAX == negated(unix.EINTR)
}

// pageFault serves EventFault.
func (t *Thread) pageFault() {
	t.OrigRAX = notSyscall
	t.faults.Add(1)
	addr, code := t.FaultAddr, t.ErrorCode
	access := mm.Read
	switch {
	case code&cpu.FaultFetch != 0:
		if addr >= vsyscallPage && t.vsyscall(addr) {
			return
		}
		access = mm.Exec
	case code&cpu.FaultWrite != 0:
		access = mm.Write
	}
	if addr < cpu.UserMax {
		fe := t.mem.Fault(mm.Addr(addr), access)
		if fe == nil {
			return
		}
		t.badAccess(fe)
		return
	}
	// The kernel's half: Linux reports every fault there as a mapping error.
	t.badAccess(&mm.FaultError{Signal: unix.SIGSEGV, Code: segvMapErr, Addr: mm.Addr(addr)})
}

// badAccess raises the signal for an access that cannot be served.
func (t *Thread) badAccess(fe *mm.FaultError) {
	code := uint64(t.ErrorCode) | cpu.FaultUser
	if t.FaultAddr >= cpu.UserMax {
		code |= cpu.FaultPresent // do not tell what the kernel maps
	}
	t.fault = faultState{trap: 14, code: code, addr: uint64(t.FaultAddr)}
	if fe.Signal == unix.SIGKILL {
		t.outOfMemory()
		return
	}
	si := SigInfo{Signo: int32(fe.Signal), Code: fe.Code}
	si.Fields[0] = uint64(fe.Addr)
	t.force(&si)
}

// forceSegv raises SIGSEGV for a failed access that the kernel made on the
// thread's behalf, such as to a signal frame.
func (t *Thread) forceSegv() {
	t.force(&SigInfo{Signo: int32(unix.SIGSEGV), Code: siKernel})
}

// Exception vectors (Intel SDM vol. 3, table 6-1).
const (
	vecDivide        = 0
	vecDebug         = 1
	vecBreakpoint    = 3
	vecOverflow      = 4
	vecBound         = 5
	vecInvalidOpcode = 6
	vecSegment       = 11
	vecStack         = 12
	vecProtection    = 13
	vecX87           = 16
	vecAlignment     = 17
	vecSIMD          = 19
)

// exception serves EventException: the signal and its si_code as Linux gives
// them for each vector.
func (t *Thread) exception() {
	t.OrigRAX = notSyscall
	t.fault.trap, t.fault.code = uint64(t.Vector), uint64(t.ErrorCode)
	var sig unix.Signal
	code, addr := int32(siKernel), uint64(0)
	switch t.Vector {
	case vecDivide:
		sig, code, addr = unix.SIGFPE, fpeIntDiv, t.RIP
	case vecDebug:
		sig, code, addr = unix.SIGTRAP, t.debugCode(), t.RIP
	case vecBreakpoint:
		sig = unix.SIGTRAP
	case vecInvalidOpcode:
		sig, code, addr = unix.SIGILL, illIllOpn, t.RIP
	case vecSegment, vecStack:
		sig = unix.SIGBUS
	case vecAlignment:
		sig, code = unix.SIGBUS, busAdrAln
	case vecX87, vecSIMD:
		sig, code, addr = unix.SIGFPE, t.floatCode(), t.RIP
	default: // overflow, bound, protection and what cannot come from ring 3
		sig = unix.SIGSEGV
	}
	si := SigInfo{Signo: int32(sig), Code: code}
	si.Fields[0] = addr
	t.force(&si)
}

// floatCode tells from the floating-point state why #MF or #XM was raised.
func (t *Thread) floatCode() int32 {
	img := t.FPUImage()
	var raised uint32
	if t.Vector == vecX87 {
		control, status := le.Uint16(img), le.Uint16(img[2:])
		raised = uint32(status &^ control)
	} else {
		mxcsr := uint32(le.Uint16(img[24:]))
		raised = mxcsr &^ (mxcsr >> 7)
	}
	switch {
	case raised&0x01 != 0:
		return fpeFltInv
	case raised&0x04 != 0:
		return fpeFltDiv
	case raised&0x08 != 0:
		return fpeFltOvf
	case raised&0x12 != 0: // denormal operand, underflow
		return fpeFltUnd
	case raised&0x20 != 0:
		return fpeFltRes
	}
	return siKernel
}

// PanicHook is told of a Go panic in a handler, with the goroutine's stack. It
// is set at boot.
var PanicHook = func(t *Thread, reason any, stack []byte) {}

// panicked ends the process of a thread whose handler panicked.
func (t *Thread) panicked(reason any) {
	buf := make([]byte, 8192)
	PanicHook(t, reason, buf[:runtime.Stack(buf, false)])
	p := t.Process
	p.mu.Lock()
	if p.crash == nil {
		p.crash = &Crash{Signal: int(unix.SIGKILL), PID: p.tgid, TID: t.TID, Command: t.Name(), Reason: "the kernel failed: " + panicText(reason)}
	}
	p.exitGroup(int(unix.SIGKILL))
	p.mu.Unlock()
}

func panicText(r any) string {
	switch r := r.(type) {
	case error:
		return r.Error()
	case string:
		return r
	}
	return "panic"
}
