//go:build baremetal

package metal

import (
	"sync/atomic"
	"unsafe"
)

// What package cpu calls, on ordinary goroutines.

func kcall(nr, a, b, c uintptr) uintptr

// Switch enters ring 3 with the context at c, whose layout is that of
// cpu.Context, and returns the event, or 0 if the extended state must be
// fetched or made first.
//
//go:noescape
func Switch(c unsafe.Pointer, root uint64) uint32

// AllocFrames fills n words at dst with the addresses of free frames and
// returns how many there were.
func AllocFrames(dst unsafe.Pointer, n int) int {
	return int(kcall(kcallAlloc, uintptr(dst), uintptr(n), 0))
}

// FreeFrames gives n frames back.
func FreeFrames(src unsafe.Pointer, n int) { kcall(kcallFree, uintptr(src), uintptr(n), 0) }

// AllocContiguous returns n zeroed frames in a row, or 0.
func AllocContiguous(n int) uint64 { return uint64(kcall(kcallContiguous, uintptr(n), 0, 0)) }

// FrameStats returns how many frames there are for programs, and are free.
func FrameStats() (total, free int) {
	n := atomic.LoadUint64(&framesFree)
	return int(framesTotal), int(n - min(n, kept()))
}

// FreeFrameCount is how many frames nobody uses, those kept for the kernel
// included.
func FreeFrameCount() uint64 { return atomic.LoadUint64(&framesFree) }

// KernelShort reports whether the kernel uses more than its share of memory:
// collecting garbage did not keep it below.
func KernelShort() bool { return atomic.LoadUint64(&kernelFrames) >= kernelMost() }

// KernelShare is that share in bytes.
func KernelShare() uint64 { return kernelMost() * pageSize }

// KernelRoom reports whether n more bytes leave the kernel within its share.
func KernelRoom(n uint64) bool {
	return atomic.LoadUint64(&kernelFrames)+n/pageSize < kernelMost()
}

// FrameEnd is the end of the highest frame.
func FrameEnd() uint64 { return frameEnd }

// DirectBase is the kernel's address of physical address 0.
const DirectBase = directBase

// ZeroFrame clears a frame.
func ZeroFrame(pa uint64) {
	if wide {
		zeroPageAVX(direct(pa))
		return
	}
	zeroPage(direct(pa))
}

// CopyBlocks copies blocks of 512 bytes, of at most a page, between addresses
// of the direct map. It reports false, having done nothing, when the machine
// has no faster way than Go's copy.
func CopyBlocks(dst, src unsafe.Pointer, blocks int) bool {
	if !wide {
		return false
	}
	copyAVX(uintptr(dst), uintptr(src), uintptr(blocks))
	return true
}

// InitRoot makes the frame a page-table root with an empty user half.
func InitRoot(pa uint64) { initRoot(pa) }

// ReleaseRoot makes every CPU that holds root leave it.
func ReleaseRoot(root uint64) { kcall(kcallForgetRoot, uintptr(root), 0, 0) }

func flushAlone(root uint64, start, end uintptr) bool

// FlushRange removes translations of root from every TLB.
func FlushRange(root uint64, start, end uintptr) {
	if !flushAlone(root, start, end) {
		kcall(kcallFlush, uintptr(root), start, end)
	}
}

// MapMMIO maps device memory uncached.
func MapMMIO(pa uint64, size uintptr) uintptr { return kcall(kcallMMIO, uintptr(pa), size, 0) }

// OpenIRQ routes a global system interrupt to a slot, a bit of TakeIRQs.
func OpenIRQ(gsi int) (slot int, errno uint64) {
	return slotOrErrno(kcall(kcallIRQ, uintptr(gsi), 0, 0))
}

// OpenMSI returns a slot for a message-signalled interrupt with the address
// and data that a device must be given.
func OpenMSI() (slot int, addr uint64, data uint32, errno uint64) {
	slot, errno = slotOrErrno(kcall(kcallMSI, 0, 0, 0))
	return slot, 0xfee00000 | uint64(cpu0.apicID&0xff)<<12, vectorIRQ + uint32(slot), errno
}

func slotOrErrno(r uintptr) (slot int, errno uint64) {
	if int(r) < 0 {
		return 0, uint64(-r)
	}
	return int(r), 0
}

// Bits of TakeIRQs that are no interrupt: the alarm went off; the kernel's own
// memory is nearly used up.
const (
	AlarmSlot    = alarmSlot
	PressureSlot = pressureSlot
)

// IRQPending reports whether TakeIRQs would return a bit.
func IRQPending() bool { return atomic.LoadUint64(&pendingIRQ) != 0 }

// TakeIRQs returns the slots whose handlers must run and clears them.
func TakeIRQs() uint64 { return atomic.SwapUint64(&pendingIRQ, 0) }

// HandledIRQ is called after a slot's handler has run.
func HandledIRQ(slot int) {
	if irqLevel[slot] {
		kcall(kcallIRQDone, uintptr(slot), 0, 0)
	}
}

// SetAlarm sets the one alarm.
func SetAlarm(ns int64) { kcall(kcallAlarm, uintptr(ns), 0, 0) }

// Kick interrupts the CPU with the given mark.
func Kick(mark uint32) { kcall(kcallKick, uintptr(mark-1), 0, 0) }

// AreaSize is the size of an extended-state area, a page.
const AreaSize = pageSize

// FPUSize is how much of an area is state, XCR0 which components it holds.
func FPUSize() int   { return int(features.xsaveSize) }
func XCR0() uint64   { return features.xcr0 }
func FSGSBASE() bool { return features.fsgsbase }

// AllocArea returns a zeroed page for an extended state. It may come out of
// the kernel's reserve: a thread that exists must be able to run.
func AllocArea() uintptr { return kcall(kcallArea, 0, 0, 0) }

// MXCSRMask is the bits of MXCSR that may be set.
func MXCSRMask() uint32 {
	if mxcsrMask == 0 {
		mxcsrMask = readMXCSRMask()
	}
	return mxcsrMask
}

var mxcsrMask uint32 // as it was read, the same each time

// CopyQuads copies n words of 8 bytes that do not overlap. It is the quicker
// way for some hundred bytes.
//
//go:noescape
func CopyQuads(dst, src unsafe.Pointer, n int)

// TSCAux reports whether RDTSCP gives the CPU's number.
func TSCAux() bool { return features.rdtscp }

// FetchFPU brings the area's state into memory; drop makes that the only
// copy.
func FetchFPU(area uintptr, drop bool) {
	if atomic.LoadUint32(at[uint32](area+areaMark)) == 0 || fetchHere(area, drop) {
		return
	}
	d := uintptr(0)
	if drop {
		d = 1
	}
	kcall(kcallFetchFPU, area, d, 0)
}

// StoreFPU writes the area's state to dst, which has room for it, is aligned
// to 64 bytes and in the direct map. It reports false, having done nothing, when
// FetchFPU is the way to it.
func StoreFPU(area uintptr, dst unsafe.Pointer) bool { return storeHere(area, uintptr(dst)) }

// ForgetFPU makes what is in memory the only copy of the area's state, whatever
// that is.
func ForgetFPU(area uintptr) {
	disownHere(area)
	if atomic.LoadUint32(at[uint32](area+areaMark)) != 0 {
		FetchFPU(area, true)
	}
}

// CommandLine is the kernel command line.
func CommandLine() string { return string(commandLine()) }

// Modules are the boot modules.
func Modules() [][]byte {
	var ms [][]byte
	for _, m := range boot.modules[:boot.moduleCount] {
		ms = append(ms, physical(m.addr, m.size))
	}
	return ms
}

// RSDP is the physical address of ACPI's root pointer, or 0.
func RSDP() uint64 { return boot.rsdp }

// CPUs is how many CPUs run.
func CPUs() int { return int(ncpu) }

// AnyIdle reports whether a CPU runs its idle thread and is not on its way to
// something else.
func AnyIdle() bool {
	if ncpu == 1 {
		return false // it runs the caller
	}
	for i := range ncpu {
		if o := cpuAt(i); o.current == o.idle && !o.waking && o.online == cpuOnline {
			return true
		}
	}
	return false
}

// CurrentCPU is the CPU that runs the caller at this moment.
func CurrentCPU() int { return int(currentID()) }

func currentID() uint32

// WriteSerial writes to the serial port.
func WriteSerial(p []byte) {
	if len(p) != 0 {
		kcall(kcallSerial, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0)
	}
}

// PowerOff stops the machine.
func PowerOff(status uint8) {
	atomic.StoreUint32(&dying, 1)
	kcall(kcallPowerOff, uintptr(status), 0, 0)
}

// Random fills p from RDRAND, mixed with what boot gathered.
func Random(p []byte) {
	if len(p) != 0 {
		for i := 0; i < len(p); i += 8 {
			v := nextRandom()
			for j := i; j < len(p) && j < i+8; j++ {
				p[j] = byte(v)
				v >>= 8
			}
		}
	}
}
