//go:build baremetal

package cpu

import (
	"encoding/binary"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"husk/kernel/metal"
)

var le = binary.LittleEndian

// machineContext is metal's part of a Context. Assembly knows the offsets.
type machineContext struct {
	// area is where the extended state is when it is not live in a CPU:
	// see metal/fpu.go. Zero until the first Switch.
	area uintptr
	// onCPU is the mark of the CPU that is in ring 3 with this context, or
	// about to enter it; zero otherwise.
	onCPU atomic.Uint32
}

// What metal's assembly takes for granted (metal/asm_amd64.h).
const (
	_ = -(unsafe.Offsetof(Context{}.Vector) - 184)
	_ = -(unsafe.Offsetof(Context{}.ErrorCode) - 188)
	_ = -(unsafe.Offsetof(Context{}.FaultAddr) - 192)
	_ = -(unsafe.Offsetof(Context{}.kicked) - 200)
	_ = -(unsafe.Offsetof(Context{}.machine) - 208)
	_ = -(unsafe.Offsetof(Regs{}.OrigRAX) - 120)
	_ = -(unsafe.Offsetof(Regs{}.GSBase) - 176)
	_ = -(unsafe.Offsetof(machineContext{}.onCPU) - 8)
)

// AllocFrames fills dst with free frames and returns how many it found. Their
// contents are undefined. It is meant to be called for batches: the layer
// above keeps free lists of its own. Safe for concurrent use.
func AllocFrames(dst []PhysAddr) int {
	if len(dst) == 0 {
		return 0
	}
	return metal.AllocFrames(unsafe.Pointer(unsafe.SliceData(dst)), len(dst))
}

// FreeFrames gives frames back that AllocFrames handed out.
func FreeFrames(src []PhysAddr) {
	if len(src) != 0 {
		metal.FreeFrames(unsafe.Pointer(unsafe.SliceData(src)), len(src))
	}
}

// AllocContiguous returns n physically contiguous zeroed frames, for rings
// that devices read; it reports false when there is no such run. They are
// never freed.
func AllocContiguous(n int) (PhysAddr, bool) {
	pa := metal.AllocContiguous(n)
	return PhysAddr(pa), pa != 0
}

// FrameStats returns the number of frames the machine has for the kernel and
// its programs, and how many are free in this allocator.
func FrameStats() (total, free int) { return metal.FrameStats() }

// KernelRoom reports whether the kernel may take n bytes for itself. A program
// that chooses how much a call allocates at once gets ENOMEM when it may not:
// the runtime cannot refuse.
func KernelRoom(n uint64) bool { return metal.KernelRoom(n) }

// MaxFrame is one more than the highest frame number, the size of an array
// that describes each frame.
func MaxFrame() uint64 { return metal.FrameEnd() >> PageShift }

// Direct returns the kernel's address of physical memory (the direct map).
func Direct(pa PhysAddr) unsafe.Pointer {
	addr := metal.DirectBase + uintptr(pa)
	// The direct map is not the garbage collector's: an address in it may
	// become a pointer at any time.
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr))
}

// ZeroFrame clears one frame.
func ZeroFrame(pa PhysAddr) { metal.ZeroFrame(uint64(pa)) }

// CopyDirect copies src to dst, which are both in the direct map, do not
// overlap and are equally long, at most a page.
func CopyDirect(dst, src []byte) {
	const block = 512
	if n := len(src) / block; n > 0 && metal.CopyBlocks(unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src)), n) {
		dst, src = dst[n*block:], src[n*block:]
	}
	copy(dst, src)
}

// InitRoot makes the frame a page-table root with an empty user half and the
// kernel's half filled in.
func InitRoot(root PhysAddr) { metal.InitRoot(uint64(root)) }

// ReleaseRoot makes sure that no CPU holds root in CR3, so that its frame may
// be freed.
func ReleaseRoot(root PhysAddr) { metal.ReleaseRoot(uint64(root)) }

// FlushRange removes the translations of [start, end) under root from the
// TLBs of every CPU that may hold them, and returns when they are gone. An
// end of 0 flushes all of user space.
func FlushRange(root PhysAddr, start, end uintptr) { metal.FlushRange(uint64(root), start, end) }

// Switch enters ring 3 with the registers of c and the address space root,
// and returns with the reason for coming back. It may be called from any
// goroutine, but c belongs to one goroutine at a time.
func Switch(c *Context, root PhysAddr) Event {
	return Event(metal.Switch(unsafe.Pointer(c), uint64(root)))
}

// Settle serves what Switch left to do: it must be called after each event
// but EventSyscall, before the event itself is served.
func (c *Context) Settle(ev Event) {
	switch {
	case ev == EventNone:
		c.prepare()
	case ev == EventInterrupt && metal.IRQPending():
		dispatch()
	}
}

// prepare makes the extended state ready to be loaded on this CPU: at the
// first Switch there is none yet, later it may be live on another CPU.
func (c *Context) prepare() {
	if c.machine.area != 0 {
		metal.FetchFPU(c.machine.area, true)
		return
	}
	// Once in ring 3, no page of the context may fault: touch both ends.
	c.R15 = atomic.LoadUint64(&c.R15)
	c.machine.area = newArea()
}

// areas keeps extended-state areas of released contexts.
var areas struct {
	sync.Mutex
	free []uintptr
}

func newArea() uintptr {
	var a uintptr
	areas.Lock()
	if n := len(areas.free); n > 0 {
		a = areas.free[n-1]
		areas.free = areas.free[:n-1]
	}
	areas.Unlock()
	if a == 0 {
		a = metal.AllocArea()
	}
	clear(area(a)) // it may hold another program's
	resetArea(a)
	metal.SetDebug(a, new([4]uint64), 0)
	return a
}

func area(a uintptr) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&a)), FPUSize())
}

// Offsets in an XSAVE image (Intel SDM vol. 1, 13.4).
const (
	fpuControl  = 0
	fpuMXCSR    = 24
	fpuXMM      = 160
	fpuXMMEnd   = 416
	fpuLegacy   = 512
	fpuXstateBV = 512
	fpuHeader   = 576
)

// header is that of an XSAVE image.
type header [fpuHeader - fpuXstateBV]byte

// resetArea makes the state that of a fresh program. It must not be live.
// What lies behind the header need not be cleared: the header says that it is
// as a fresh program's.
func resetArea(a uintptr) {
	b := (*[fpuHeader]byte)(unsafe.Pointer(unsafe.SliceData(area(a))))
	clear(b[:fpuXMMEnd])
	*(*header)(b[fpuXstateBV:]) = header{}
	b[fpuControl], b[fpuControl+1] = 0x7f, 0x03
	b[fpuMXCSR], b[fpuMXCSR+1] = 0x80, 0x1f
}

// Kick makes a Switch in progress or the next one return EventInterrupt. It
// may be called from any goroutine with any lock held.
func (c *Context) Kick() {
	// Switch publishes onCPU before it looks at kicked.
	c.kicked.Store(1)
	if mark := c.machine.onCPU.Load(); mark != 0 {
		metal.Kick(mark)
	}
}

// Unkick forgets a Kick. It belongs to the goroutine that calls Switch, which
// must look for what it may have been kicked for afterwards.
func (c *Context) Unkick() { c.kicked.Store(0) }

// CopyFrom makes c a copy of parent, extended state included, for clone and
// fork. parent must not be in Switch.
func (c *Context) CopyFrom(parent *Context) {
	c.Regs, c.Vector, c.ErrorCode, c.FaultAddr = parent.Regs, parent.Vector, parent.ErrorCode, parent.FaultAddr
	if parent.machine.area == 0 {
		c.Release()
		return
	}
	c.ownArea()
	metal.FetchFPU(parent.machine.area, false)
	copy(area(c.machine.area), area(parent.machine.area))
}

// ownArea makes sure that c has an area and that no CPU has its state live.
func (c *Context) ownArea() {
	if c.machine.area == 0 {
		c.machine.area = newArea()
	} else {
		metal.FetchFPU(c.machine.area, true)
	}
}

// overwriteArea is ownArea for who is going to overwrite all of it.
func (c *Context) overwriteArea() {
	if c.machine.area == 0 {
		c.machine.area = newArea()
	} else {
		metal.ForgetFPU(c.machine.area)
	}
}

// Reset gives c the register state of a fresh program: all zero, extended
// state as the ABI wants it at process entry.
func (c *Context) Reset() {
	c.Regs = Regs{}
	c.ownArea()
	clear(area(c.machine.area))
	resetArea(c.machine.area)
	if metal.HasDebug(c.machine.area) {
		c.SetDebug(new([4]uint64), 0)
	}
}

// SetDebug sets the breakpoints in effect while c is in ring 3: DR0 to DR3 and
// DR7. c must not be in Switch.
func (c *Context) SetDebug(addr *[4]uint64, control uint64) {
	const always = 1 << 10 // reads as one
	if control != 0 {
		control |= always
	}
	c.ownArea()
	metal.SetDebug(c.machine.area, addr, control)
}

// ResetFPU gives c the extended state of a fresh program.
func (c *Context) ResetFPU() {
	c.overwriteArea()
	resetArea(c.machine.area)
}

// Release gives up the machine's resources of a context that will never be
// switched to again.
func (c *Context) Release() {
	a := c.machine.area
	if a == 0 {
		return
	}
	c.machine.area = 0
	metal.FetchFPU(a, true)
	areas.Lock()
	areas.free = append(areas.free, a)
	areas.Unlock()
}

// FPUSize is the size in bytes of the extended-state image that SaveFPU
// writes: an XSAVE area in standard format, as signal frames carry it (at
// least the 512 bytes of FXSAVE).
func FPUSize() int { return metal.FPUSize() }

// XCR0 is the set of extended-state components that are enabled.
func XCR0() uint64 { return metal.XCR0() }

// SaveFPU writes the extended state to dst, which holds FPUSize bytes.
func (c *Context) SaveFPU(dst []byte) {
	if c.machine.area == 0 {
		c.prepare()
	}
	metal.FetchFPU(c.machine.area, false)
	copy(dst, area(c.machine.area))
	// The XMM registers are always saved, whatever XSAVE knows of them.
	dst[fpuXstateBV] |= 2
}

// FPUImage is SaveFPU without a copy: it returns the image where it is kept,
// to be read only, and until the next call of a method of c.
func (c *Context) FPUImage() []byte {
	if c.machine.area == 0 {
		c.prepare()
	}
	metal.FetchFPU(c.machine.area, true)
	b := area(c.machine.area)
	b[fpuXstateBV] |= 2
	return b
}

// StoreFPU is SaveFPU into memory in the direct map.
func (c *Context) StoreFPU(dst []byte) {
	if c.machine.area == 0 {
		c.prepare()
	}
	a := c.machine.area
	p := unsafe.Pointer(unsafe.SliceData(dst))
	if uintptr(p)&63 == 0 && metal.StoreFPU(a, p) {
		return
	}
	metal.FetchFPU(a, false)
	metal.CopyQuads(p, unsafe.Pointer(unsafe.SliceData(area(a))), FPUSize()/8)
	dst[fpuXstateBV] |= 2
}

// RestoreFPU loads the extended state from an image as SaveFPU wrote it; a
// 512-byte image restores x87 and SSE only. It reports false, leaving the
// state unchanged, when the image is not valid. The image may change while it
// is read: what the processor takes is what was found valid.
func (c *Context) RestoreFPU(src []byte) bool {
	if len(src) < fpuLegacy || (len(src) < fpuHeader && len(src) != fpuLegacy) {
		return false
	}
	present := uint64(3)
	if len(src) >= fpuHeader {
		present = le.Uint64(src[fpuXstateBV:])
		h := (*header)(src[fpuXstateBV:])
		if le.Uint64(h[8:])|le.Uint64(h[16:])|le.Uint64(h[24:])|le.Uint64(h[32:])|le.Uint64(h[40:])|le.Uint64(h[48:])|le.Uint64(h[56:]) != 0 {
			return false
		}
		if present&^XCR0() != 0 || (present&^3 != 0 && len(src) < FPUSize()) {
			return false
		}
	}
	mxcsr := le.Uint32(src[fpuMXCSR:])
	if mxcsr&^metal.MXCSRMask() != 0 {
		return false
	}
	c.overwriteArea()
	b := area(c.machine.area)
	n := min(len(src), len(b)) &^ 7
	metal.CopyQuads(unsafe.Pointer(unsafe.SliceData(b)), unsafe.Pointer(unsafe.SliceData(src)), n/8)
	if n < len(b) {
		clear(b[n:])
	}
	*(*header)(b[fpuXstateBV:]) = header{}
	le.PutUint64(b[fpuXstateBV:], present)
	le.PutUint32(b[fpuMXCSR:], mxcsr)
	if present&2 == 0 {
		clear(b[fpuXMM:fpuXMMEnd])
	}
	if present&1 == 0 {
		clear(b[:fpuMXCSR])
		clear(b[fpuMXCSR+8 : fpuXMM])
		b[fpuControl], b[fpuControl+1] = 0x7f, 0x03
	}
	return true
}

// Nanotime returns monotonic nanoseconds since boot.
func Nanotime() int64 { return metal.Nanotime() }

// BootTime returns the wall-clock time, in nanoseconds since 1970, at which
// Nanotime was zero.
func BootTime() int64 { return metal.BootTime() }

// ClockParams tells the user vDSO how to make nanoseconds of the TSC:
// ns = ((tsc - Base) * Mult) >> Shift, the same as Nanotime.
type ClockParams struct {
	Base  uint64
	Mult  uint64
	Shift uint8
}

// Clock returns the parameters of the machine's clock; ok is false when the
// TSC cannot be used from ring 3.
func Clock() (p ClockParams, ok bool) {
	p.Base, p.Mult, p.Shift = metal.Clock()
	return p, true
}

// interrupts is how handlers are found and called.
var interrupts struct {
	once     sync.Once
	mu       sync.Mutex
	handlers [64]atomic.Pointer[[]func()]
	alarm    chan struct{}
	pressure chan struct{}
}

// startInterrupts starts the goroutine that serves interrupts while no
// goroutine is in Switch or on its way there. It reads a file that is readable
// then, so that waiting is the runtime's netpoller's business.
func startInterrupts() {
	interrupts.once.Do(func() {
		interrupts.alarm = make(chan struct{}, 1)
		interrupts.pressure = make(chan struct{}, 1)
		f := os.NewFile(metal.IRQDescriptor, "irq")
		go func() {
			var b [8]byte
			for {
				_, _ = f.Read(b[:])
				dispatch()
			}
		}()
	})
}

// dispatch calls the handlers of the interrupts that wait, on the calling
// goroutine.
func dispatch() {
	for waiting := metal.TakeIRQs(); waiting != 0; waiting &= waiting - 1 {
		slot := bits.TrailingZeros64(waiting)
		switch slot {
		case metal.AlarmSlot:
			wake(interrupts.alarm)
			continue
		case metal.PressureSlot:
			wake(interrupts.pressure)
			continue
		}
		if fns := interrupts.handlers[slot].Load(); fns != nil {
			for _, fn := range *fns {
				fn()
			}
		}
		metal.HandledIRQ(slot)
	}
}

// wake makes whoever waits on c go on, once for any number of calls.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// WaitPressure parks the calling goroutine, of which there is one, until the
// kernel's own memory is nearly used up. The caller should free some: what is
// allocated when nothing is left ends the machine.
func WaitPressure() {
	startInterrupts()
	<-interrupts.pressure
}

// SetAlarm asks for WaitAlarm to return at monotonic time ns (or at once if
// that has passed), replacing the earlier request.
func SetAlarm(ns int64) { metal.SetAlarm(ns) }

// WaitAlarm parks the calling goroutine, of which there is one, until the
// alarm goes off.
func WaitAlarm() {
	startInterrupts()
	<-interrupts.alarm
}

// HandleIRQ has fn called, on an ordinary goroutine, after each interrupt of
// the line (a global system interrupt, edge or level). fn must not block:
// it wakes others. Interrupts that come while fn is pending may merge.
func HandleIRQ(line int, fn func()) error {
	startInterrupts()
	interrupts.mu.Lock()
	defer interrupts.mu.Unlock()
	slot, errno := metal.OpenIRQ(line)
	if errno != 0 {
		return unix.Errno(errno)
	}
	addHandler(slot, fn)
	return nil
}

// addHandler is called with interrupts.mu held. Lines may be shared.
func addHandler(slot int, fn func()) {
	var fns []func()
	if old := interrupts.handlers[slot].Load(); old != nil {
		fns = append(fns, *old...)
	}
	fns = append(fns, fn)
	interrupts.handlers[slot].Store(&fns)
}

// HandleMSI allocates a message-signalled interrupt, whose address and data
// the device is to be given; fn is called as for HandleIRQ.
func HandleMSI(fn func()) (addr uint64, data uint32, err error) {
	startInterrupts()
	interrupts.mu.Lock()
	defer interrupts.mu.Unlock()
	slot, addr, data, errno := metal.OpenMSI()
	if errno != 0 {
		return 0, 0, unix.Errno(errno)
	}
	addHandler(slot, fn)
	return addr, data, nil
}

// MapMMIO maps device memory uncached and returns its kernel address.
func MapMMIO(pa PhysAddr, size uintptr) uintptr { return metal.MapMMIO(uint64(pa), size) }

// In8 to Out32 are port I/O.
func In8(port uint16) uint8       { return metal.In8(port) }
func In16(port uint16) uint16     { return metal.In16(port) }
func In32(port uint16) uint32     { return metal.In32(port) }
func Out8(port uint16, v uint8)   { metal.Out8(port, v) }
func Out16(port uint16, v uint16) { metal.Out16(port, v) }
func Out32(port uint16, v uint32) { metal.Out32(port, v) }

// CommandLine is the kernel command line that the boot loader gave.
func CommandLine() string { return metal.CommandLine() }

// Modules are the boot modules (the initrd under the Linux protocol). They
// may be read until boot has finished and must be copied to be kept.
func Modules() [][]byte { return metal.Modules() }

// RSDP is the address of the ACPI root pointer, 0 when there is none.
func RSDP() PhysAddr { return PhysAddr(metal.RSDP()) }

// CPUs is the number of CPUs that run.
func CPUs() int { return metal.CPUs() }

// Interrupts is how many interrupts of each kind a CPU has taken.
func Interrupts(cpu int) InterruptCounts {
	return InterruptCounts{
		Timer:      metal.Interrupts(cpu, metal.TimerInterrupts),
		Reschedule: metal.Interrupts(cpu, metal.RescheduleInterrupts),
		Flush:      metal.Interrupts(cpu, metal.FlushInterrupts),
		Call:       metal.Interrupts(cpu, metal.FetchInterrupts),
	}
}

// CurrentCPU is the CPU this goroutine runs on now; it may move at any time.
func CurrentCPU() int { return metal.CurrentCPU() }

// WriteSerial writes to the serial port, unbuffered. It never blocks for long
// and may be called from anywhere, a dying kernel included.
func WriteSerial(p []byte) { metal.WriteSerial(p) }

// PowerOff stops the machine. status is what the monitor's debug-exit device
// reports where there is one; 0 is an orderly end.
func PowerOff(status uint8) { metal.PowerOff(status) }

// Random fills p from the machine's entropy source (RDRAND, RDSEED, boot
// entropy), which seeds the kernel's generator.
func Random(p []byte) { metal.Random(p) }

// TSCAux reports whether RDTSCP in ring 3 gives the CPU's number.
func TSCAux() bool { return metal.TSCAux() }

// userFSGSBase reports whether ring 3 may use the FSGSBASE instructions.
func userFSGSBase() bool { return metal.FSGSBASE() }

// GrowStack prepares the calling goroutine's stack for deep calls: growing it
// once, while it is shallow, is cheaper than several times on the way down.
func GrowStack() { metal.GrowStack() }

// AnyIdle reports whether a CPU has nothing to run. It may change at once.
func AnyIdle() bool { return metal.AnyIdle() }
