package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// Tracee is a thread that its tracer, the caller, has stopped and holds still
// until Thaw, so that its registers and memory may be looked at and changed.
type Tracee struct {
	*Thread
	pt *ptrace
}

// Tracee returns the stopped thread with a number that t traces: ESRCH.
func (t *Thread) Tracee(tid int) (Tracee, error) {
	c, pt := t.traced(tid)
	if c == nil {
		return Tracee{}, unix.ESRCH
	}
	p := c.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	if !pt.stopped || pt.listening || pt.killed || c.work.Load()&workKill != 0 && pt.code>>8 != eventExit {
		return Tracee{}, unix.ESRCH
	}
	pt.frozen = true
	return Tracee{c, pt}, nil
}

// traced returns the thread with a number if t traces it.
func (t *Thread) traced(tid int) (*Thread, *ptrace) {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if c := lookup(tid).thread; c != nil {
		if pt := c.pt.Load(); pt != nil && pt.tracer == t {
			return c, pt
		}
	}
	return nil, nil
}

// Thaw ends the holding still.
func (c Tracee) Thaw() {
	p := c.Process
	p.mu.Lock()
	c.pt.frozen = false
	dying := c.work.Load()&workKill != 0 || c.pt.killed
	p.mu.Unlock()
	if dying {
		c.Wake()
	}
}

// Resume lets the thread go on, with a signal if it stopped for one.
func (c Tracee) Resume(mode ResumeMode, sig int) {
	c.Process.mu.Lock()
	c.pt.frozen = false
	c.pt.resume(c.Thread, mode, sig)
	c.Process.mu.Unlock()
}

// Detach ends the tracing; sig is as for Resume.
func (c Tracee) Detach(sig int) {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	c.Process.mu.Lock()
	defer c.Process.mu.Unlock()
	c.pt.frozen = false
	c.unlink(sig)
	if c.pt.killed || c.work.Load()&workKill != 0 {
		c.Wake()
	}
}

// Listen leaves a seized thread in its group's stop and has the tracer told of
// what happens to the group.
func (c Tracee) Listen() error {
	c.Process.mu.Lock()
	defer c.Process.mu.Unlock()
	pt := c.pt
	if !pt.seized || !pt.hasInfo || int(pt.info.Code)>>8 != eventStop {
		return unix.EIO
	}
	pt.listening = true
	if pt.trapNews {
		pt.resume(c.Thread, pt.mode, 0)
	}
	return nil
}

// Interrupt stops a seized thread.
func (t *Thread) Interrupt(tid int) error {
	c, pt := t.traced(tid)
	if c == nil {
		return unix.ESRCH
	}
	if !pt.seized {
		return unix.EIO
	}
	p := c.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	pt.trapStop = true
	c.signalWake(nil)
	if pt.listening {
		pt.resume(c, pt.mode, 0)
	}
	return nil
}

// KillTracee kills a thread that t traces, running or not.
func (t *Thread) KillTracee(tid int) error {
	c, _ := t.traced(tid)
	if c == nil {
		return unix.ESRCH
	}
	return c.Signal(&SigInfo{Signo: int32(unix.SIGKILL), Code: siUser})
}

// SetOptions serves PTRACE_SETOPTIONS.
func (c Tracee) SetOptions(o uint32) {
	c.Process.mu.Lock()
	c.pt.options = o
	c.Process.mu.Unlock()
}

// Options are those that SetOptions set.
func (c Tracee) Options() uint32 { return c.pt.options }

// Message serves PTRACE_GETEVENTMSG.
func (c Tracee) Message() uint64 { return c.pt.message }

// Info is the information about the stop; ok is false when there is none.
func (c Tracee) Info() (si SigInfo, ok bool) { return c.pt.info, c.pt.hasInfo }

// SetInfo changes it.
func (c Tracee) SetInfo(si SigInfo) bool {
	if c.pt.hasInfo {
		c.pt.info = si
	}
	return c.pt.hasInfo
}

// PeekSignals returns up to n pending signals of the thread, or of its process,
// from number off on.
func (c Tracee) PeekSignals(shared bool, off uint64, n int) (list []SigInfo) {
	p := c.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &c.pending
	if shared {
		q = &p.shared
	}
	for e := q.head; e != nil && len(list) < n; e = e.next {
		if off > 0 {
			off--
			continue
		}
		list = append(list, e.info)
	}
	return list
}

// SignalMask is the blocked set, that to be restored after the call if there is
// one.
func (c Tracee) SignalMask() SigSet {
	if c.work.Load()&workRestoreMask != 0 {
		return c.savedMask
	}
	return c.blocked
}

// SetSignalMask changes it.
func (c Tracee) SetSignalMask(m SigSet) {
	p := c.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	c.blocked = m &^ maskKill
	c.work.And(^uint32(workRestoreMask))
	c.work.Or(workSignal)
}

// Flags are RFLAGS as the program has them.
func (c Tracee) Flags() uint64 {
	if c.pt.stepping {
		return c.RFLAGS &^ flagTF
	}
	return c.RFLAGS
}

// SetFlags changes the flags that a program may change.
func (c Tracee) SetFlags(v uint64) {
	if v&flagTF != 0 {
		c.pt.stepping = false
	} else if c.pt.stepping {
		v |= flagTF
	}
	c.RFLAGS = c.RFLAGS&^flagsUser | v&flagsUser
}

// Memory is the thread's memory; it stays while the thread is held.
func (c Tracee) Memory() *mm.AddressSpace { return c.mem }

// Extended returns the extended state as an XSAVE image with the mask of
// components where ptrace(2) has it.
func (c Tracee) Extended() []byte {
	img := make([]byte, cpu.FPUSize())
	c.SaveFPU(img)
	if len(img) > fxsaveSize {
		clear(img[fpSoftware:fxsaveSize])
		le.PutUint64(img[fpSoftware:], cpu.XCR0())
	}
	return img
}

// SetExtended sets it from such an image, or from its first 512 bytes.
func (c Tracee) SetExtended(img []byte) error {
	if len(img) == fxsaveSize {
		whole := make([]byte, cpu.FPUSize())
		c.SaveFPU(whole)
		copy(whole, img)
		if len(whole) > fxsaveSize {
			whole[fxsaveSize] |= 3
		}
		img = whole
	}
	if len(img) > fxsaveSize {
		clear(img[fpSoftware:fxsaveSize])
	}
	if !c.RestoreFPU(img) {
		return unix.EINVAL
	}
	return nil
}

// debugReserved are the bits of DR6 that are set when nothing has happened.
const debugReserved = 0xffff0ff0

// debugState is a thread's debug registers as its tracer knows them.
type debugState struct {
	addr    [4]uint64
	status  uint64 // what DR6 had, a set bit meaning that it happened
	control uint64

	loaded   uint64    // what is in effect of control
	watching bool      // watchpoints are looked after by comparing
	before   [4]uint64 // what they held
}

// The fields of breakpoint i in DR7.
func (d *debugState) point(i int) (enabled bool, kind, size uint64) {
	return d.control>>(2*i)&3 != 0, d.control >> (16 + 4*i) & 3, [4]uint64{1, 2, 8, 4}[d.control>>(18+4*i)&3]
}

// armDebug puts the breakpoints into effect. QEMU's emulator raises #DB twice
// for an instruction that is stepped and reaches a watchpoint, which a kernel
// cannot bear. There watchpoints are off while the thread is stepped, and what
// they hold is compared after each step.
func (t *Thread) armDebug(stepping bool) {
	d := t.debug
	if d == nil {
		return
	}
	control := d.control
	d.watching = false
	for i := range d.addr {
		if on, kind, size := d.point(i); stepping && on && kind != 0 && emulated() {
			d.watching = true
			d.before[i] = t.watchedWord(d.addr[i], size)
			control &^= 3 << (2 * i)
		}
	}
	if control != d.loaded {
		d.loaded = control
		t.Context.SetDebug(&d.addr, control)
	}
}

// emulated reports whether the machine is QEMU's emulator.
func emulated() bool {
	_, b, c, d := cpu.CPUID(0x40000000, 0)
	const tcg0, tcg1 = 0x54474354, 0x43544743 // "TCGTCGTCGTCG"
	return b == tcg0 && c == tcg1 && d == 0x47435447
}

func (t *Thread) watchedWord(a, size uint64) uint64 {
	var b [8]byte
	_, _ = t.mem.Peek(mm.Addr(a), b[:size])
	return le.Uint64(b[:])
}

// debugCode tells from DR6 why #DB was raised, and keeps it for the tracer.
func (t *Thread) debugCode() int32 {
	const step, points = 1 << 14, 0xf
	status := uint64(t.FaultAddr) ^ debugReserved
	if d := t.debug; d != nil {
		for i := range d.addr {
			if on, kind, size := d.point(i); d.watching && on && kind != 0 && t.watchedWord(d.addr[i], size) != d.before[i] {
				status |= 1 << i
			}
		}
		d.status = d.status&^points | status
		if status&points != 0 && d.control != 0 {
			t.RFLAGS |= flagRF // let the instruction at a breakpoint run
		}
	}
	switch {
	case status&step != 0:
		return trapTrace
	case status&points != 0:
		return trapHwBkpt
	}
	return trapBrkpt
}

// Debug returns debug register n.
func (c Tracee) Debug(n int) uint64 {
	d := c.debug
	switch {
	case d == nil && n == 6:
		return debugReserved
	case d == nil:
		return 0
	case n < 4:
		return d.addr[n]
	case n == 6:
		return d.status ^ debugReserved
	case n == 7:
		return d.control
	}
	return 0
}

// SetDebug sets debug register n (Intel SDM vol. 3, 18.2).
func (c Tracee) SetDebug(n int, v uint64) error {
	d := debugState{}
	if c.debug != nil {
		d = *c.debug
	}
	switch {
	case n < 4:
		if v >= uint64(cpu.UserMax) {
			return unix.EINVAL
		}
		d.addr[n] = v
	case n == 6:
		d.status = v ^ debugReserved
	case n == 7:
		const reserved = 0xffffffff0000fc00
		d.control = v &^ reserved
		for i := range 4 {
			enabled, kind, size := v>>(2*i)&3, v>>(16+4*i)&3, v>>(18+4*i)&3
			if enabled == 0 {
				continue
			}
			align := [4]uint64{0, 1, 7, 3}[size]
			if kind == 2 || kind == 0 && size != 0 || d.addr[i]&align != 0 {
				return unix.EINVAL
			}
		}
	default:
		return unix.EIO
	}
	d.loaded = ^uint64(0) // the addresses may have changed
	c.debug = &d
	c.armDebug(false)
	return nil
}
