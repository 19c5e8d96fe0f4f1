//go:build !baremetal

package cpu

import (
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hostFrames is the size of the fake's physical memory. It is an anonymous
// mapping, so untouched frames cost nothing.
const hostFrames = 1 << 16 // 256 MiB

// machineContext is what the fake keeps in a Context.
type machineContext struct {
	fpu    []byte
	script func(*Context) Event
}

var host struct {
	once  sync.Once
	mem   []byte
	mu    sync.Mutex
	free  []uint32 // stack of free frame numbers
	start time.Time
	alarm chan struct{}
	timer *time.Timer
}

func hostInit() {
	host.once.Do(func() {
		mem, err := unix.Mmap(-1, 0, hostFrames*PageSize, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			panic("cpu: reserve fake physical memory: " + err.Error())
		}
		host.mem = mem
		host.free = make([]uint32, 0, hostFrames)
		for n := uint32(hostFrames - 1); n > 0; n-- { // frame 0 is never handed out
			host.free = append(host.free, n)
		}
		host.start = time.Now()
		host.alarm = make(chan struct{}, 1)
	})
}

// AllocFrames fills dst with free frames and returns how many it found. Their
// contents are undefined. It is meant to be called for batches: the layer
// above keeps free lists of its own. Safe for concurrent use.
func AllocFrames(dst []PhysAddr) int {
	hostInit()
	host.mu.Lock()
	defer host.mu.Unlock()
	n := min(len(dst), len(host.free))
	for i := range n {
		last := len(host.free) - 1
		dst[i] = PhysAddr(host.free[last]) << PageShift
		host.free = host.free[:last]
	}
	return n
}

// FreeFrames gives frames back that AllocFrames handed out.
func FreeFrames(src []PhysAddr) {
	host.mu.Lock()
	defer host.mu.Unlock()
	for _, pa := range src {
		host.free = append(host.free, uint32(pa>>PageShift))
	}
}

// AllocContiguous returns n physically contiguous zeroed frames, for rings
// that devices read; it reports false when there is no such run. They are
// never freed.
func AllocContiguous(n int) (PhysAddr, bool) {
	hostInit()
	host.mu.Lock()
	defer host.mu.Unlock()
	// The free stack is in descending order until the first free: take a run
	// from its bottom, the highest frames.
	if len(host.free) < n {
		return 0, false
	}
	for i := 1; i < n; i++ {
		if host.free[i] != host.free[0]-uint32(i) {
			return 0, false
		}
	}
	pa := PhysAddr(host.free[n-1]) << PageShift
	host.free = host.free[n:]
	clear(unsafe.Slice((*byte)(Direct(pa)), n*PageSize))
	return pa, true
}

// FrameStats returns the number of frames the machine has for the kernel and
// its programs, and how many are free in this allocator.
func FrameStats() (total, free int) {
	hostInit()
	host.mu.Lock()
	defer host.mu.Unlock()
	return hostFrames, len(host.free)
}

// KernelShort reports whether the kernel itself uses more than its share.
func KernelShort() bool { return false }

// KernelTight reports whether the kernel will soon be short.
func KernelTight() bool { return false }

// KernelShortNow is the same after garbage was collected.
func KernelShortNow() bool { return false }

// KernelRoom reports whether the kernel may take n bytes for itself.
func KernelRoom(uint64) bool { return true }

// MaxFrame is one more than the highest frame number, the size of an array
// that describes each frame.
func MaxFrame() uint64 { return hostFrames }

// Direct returns the kernel's address of physical memory (the direct map).
func Direct(pa PhysAddr) unsafe.Pointer {
	return unsafe.Pointer(&host.mem[pa])
}

// ZeroFrame clears one frame.
func ZeroFrame(pa PhysAddr) { clear((*[PageSize]byte)(Direct(pa))[:]) }

// CopyDirect copies src to dst, which are both in the direct map, do not
// overlap and are equally long, at most a page.
func CopyDirect(dst, src []byte) { copy(dst, src) }

// InitRoot makes the frame a page-table root with an empty user half and the
// kernel's half filled in.
func InitRoot(root PhysAddr) { ZeroFrame(root) }

// ReleaseRoot makes sure that no CPU holds root in CR3, so that its frame may
// be freed.
func ReleaseRoot(root PhysAddr) {}

// FlushRange removes the translations of [start, end) under root from the
// TLBs of every CPU that may hold them, and returns when they are gone. An
// end of 0 flushes all of user space.
func FlushRange(root PhysAddr, start, end uintptr) {}

// Switch enters ring 3 with the registers of c and the address space root,
// and returns with the reason for coming back. It may be called from any
// goroutine, but c belongs to one goroutine at a time.
func Switch(c *Context, root PhysAddr) Event {
	if c.kicked.Swap(0) != 0 {
		return EventInterrupt
	}
	if c.machine.script == nil {
		panic("cpu: Switch on the host without a script")
	}
	return c.machine.script(c)
}

// Settle serves what Switch left to do: it must be called after each event
// but EventSyscall, before the event itself is served.
func (c *Context) Settle(ev Event) {}

// Script makes Switch call f instead of entering ring 3. Host only, for tests.
func (c *Context) Script(f func(*Context) Event) { c.machine.script = f }

// Kick makes a Switch in progress or the next one return EventInterrupt. It
// may be called from any goroutine with any lock held.
func (c *Context) Kick() { c.kicked.Store(1) }

// Unkick forgets a Kick. It belongs to the goroutine that calls Switch, which
// must look for what it may have been kicked for afterwards.
func (c *Context) Unkick() { c.kicked.Store(0) }

// CopyFrom makes c a copy of parent, extended state included, for clone and
// fork. parent must not be in Switch.
func (c *Context) CopyFrom(parent *Context) {
	c.Regs, c.Vector, c.ErrorCode, c.FaultAddr = parent.Regs, parent.Vector, parent.ErrorCode, parent.FaultAddr
	c.machine = machineContext{fpu: append([]byte(nil), parent.machine.fpu...), script: parent.machine.script}
}

// Reset gives c the register state of a fresh program: all zero, extended
// state as the ABI wants it at process entry.
func (c *Context) Reset() { c.Regs, c.machine = Regs{}, machineContext{script: c.machine.script} }

// SetDebug sets the breakpoints in effect while c is in ring 3: DR0 to DR3 and
// DR7. c must not be in Switch.
func (c *Context) SetDebug(addr *[4]uint64, control uint64) {}

// ResetFPU gives c the extended state of a fresh program.
func (c *Context) ResetFPU() { c.machine.fpu = nil }

// Release gives up the machine's resources of a context that will never be
// switched to again.
func (c *Context) Release() {}

// FPUSize is the size in bytes of the extended-state image that SaveFPU
// writes: an XSAVE area in standard format, as signal frames carry it (at
// least the 512 bytes of FXSAVE).
func FPUSize() int { return 512 + 64 }

// XCR0 is the set of extended-state components that are enabled.
func XCR0() uint64 { return 3 }

// SaveFPU writes the extended state to dst, which holds FPUSize bytes.
func (c *Context) SaveFPU(dst []byte) {
	clear(dst[copy(dst, c.machine.fpu):])
}

// FPUImage is SaveFPU without a copy: it returns the image where it is kept,
// to be read only, and until the next call of a method of c.
func (c *Context) FPUImage() []byte {
	c.machine.fpu = append(c.machine.fpu, make([]byte, FPUSize())...)[:FPUSize()]
	return c.machine.fpu
}

// StoreFPU is SaveFPU into memory in the direct map.
func (c *Context) StoreFPU(dst []byte) { c.SaveFPU(dst) }

// RestoreFPU loads the extended state from an image as SaveFPU wrote it; a
// 512-byte image restores x87 and SSE only. It reports false, leaving the
// state unchanged, when the image is not valid.
func (c *Context) RestoreFPU(src []byte) bool {
	c.machine.fpu = append(c.machine.fpu[:0], src...)
	return true
}

// Nanotime returns monotonic nanoseconds since boot.
func Nanotime() int64 { hostInit(); return int64(time.Since(host.start)) }

// BootTime returns the wall-clock time, in nanoseconds since 1970, at which
// Nanotime was zero.
func BootTime() int64 { hostInit(); return host.start.UnixNano() }

// ClockParams tells the user vDSO how to make nanoseconds of the TSC:
// ns = ((tsc - Base) * Mult) >> Shift, the same as Nanotime.
type ClockParams struct {
	Base  uint64
	Mult  uint64
	Shift uint8
}

// Clock returns the parameters of the machine's clock; ok is false when the
// TSC cannot be used from ring 3.
func Clock() (p ClockParams, ok bool) { return ClockParams{}, false }

// WaitPressure parks the calling goroutine, of which there is one, until the
// kernel's own memory is nearly used up. The caller should free some: what is
// allocated when nothing is left ends the machine.
func WaitPressure() { select {} }

// SetAlarm asks for WaitAlarm to return at monotonic time ns (or at once if
// that has passed), replacing the earlier request.
func SetAlarm(ns int64) {
	hostInit()
	host.mu.Lock()
	defer host.mu.Unlock()
	if host.timer != nil {
		host.timer.Stop()
	}
	host.timer = time.AfterFunc(time.Duration(ns-Nanotime()), func() {
		select {
		case host.alarm <- struct{}{}:
		default:
		}
	})
}

// WaitAlarm parks the calling goroutine, of which there is one, until the
// alarm goes off.
func WaitAlarm() { hostInit(); <-host.alarm }

// HandleIRQ has fn called, on an ordinary goroutine, after each interrupt of
// the line (a global system interrupt, edge or level). fn must not block:
// it wakes others. Interrupts that come while fn is pending may merge.
func HandleIRQ(line int, fn func()) error { return unix.ENODEV }

// HandleMSI allocates a message-signalled interrupt, whose address and data
// the device is to be given; fn is called as for HandleIRQ.
func HandleMSI(fn func()) (addr uint64, data uint32, err error) { return 0, 0, unix.ENODEV }

// MapMMIO maps device memory uncached and returns its kernel address.
func MapMMIO(pa PhysAddr, size uintptr) uintptr { panic("cpu: no devices on the host") }

// In8 to Out32 are port I/O.
func In8(port uint16) uint8       { return 0xff }
func In16(port uint16) uint16     { return 0xffff }
func In32(port uint16) uint32     { return 0xffffffff }
func Out8(port uint16, v uint8)   {}
func Out16(port uint16, v uint16) {}
func Out32(port uint16, v uint32) {}

// CommandLine is the kernel command line that the boot loader gave.
func CommandLine() string { return "" }

// Modules are the boot modules (the initrd under the Linux protocol). They
// may be read until boot has finished and must be copied to be kept.
func Modules() [][]byte { return nil }

// RSDP is the address of the ACPI root pointer, 0 when there is none.
func RSDP() PhysAddr { return 0 }

// CPUs is the number of CPUs that run.
func CPUs() int { return 1 }

// Interrupts is how many interrupts of each kind a CPU has taken.
func Interrupts(int) InterruptCounts { return InterruptCounts{} }

// CurrentCPU is the CPU this goroutine runs on now; it may move at any time.
func CurrentCPU() int { return 0 }

// WriteSerial writes to the serial port, unbuffered. It never blocks for long
// and may be called from anywhere, a dying kernel included.
func WriteSerial(p []byte) { _, _ = unix.Write(2, p) }

// PowerOff stops the machine. status is what the monitor's debug-exit device
// reports where there is one; 0 is an orderly end.
func PowerOff(status uint8) { unix.Exit(int(status)) }

// Random fills p from the machine's entropy source (RDRAND, RDSEED, boot
// entropy), which seeds the kernel's generator.
func Random(p []byte) { _, _ = unix.Getrandom(p, 0) }

// TSCAux reports whether RDTSCP in ring 3 gives the CPU's number.
func TSCAux() bool { return false }

// userFSGSBase reports whether ring 3 may use the FSGSBASE instructions.
func userFSGSBase() bool { return false }

// GrowStack prepares the calling goroutine's stack for deep calls: growing it
// once, while it is shallow, is cheaper than several times on the way down.
func GrowStack() {}
