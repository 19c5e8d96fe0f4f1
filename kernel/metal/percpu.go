//go:build baremetal

package metal

import (
	"sync/atomic"
	"unsafe"
)

// maxCPUs bounds the CPUs that are started.
const maxCPUs = 8

// percpu is what a CPU keeps for itself; GS points at it while in the kernel.
// Only its CPU writes it, except flush. Assembly knows the offsets.
type percpu struct {
	self      uintptr // 0x00
	frameTop  uintptr // 0x08: end of the current thread's frame
	scratch   uintptr // 0x10
	threadFS  uintptr // 0x18: FS base of the current thread
	fakeFS    uintptr // 0x20: FS base while in metal
	stack     uintptr // 0x28: top of metal's stack
	depth     uint32  // 0x30: entries into metal that have not returned
	id        uint32  // 0x34
	context   uintptr // 0x38: the cpu.Context in ring 3
	switchSP  uintptr // 0x40: SP of the goroutine in Switch
	root      uint64  // 0x48: CR3
	fpuOwner  uintptr // 0x50: the area whose extended state is live
	fpuMaskLo uint32  // 0x58: XSAVE components but SSE
	fpuMaskHi uint32  // 0x5c
	fsgsbase  bool    // 0x60
	xsave     bool    // 0x61
	mark      uint32  // 0x64: id + 1
	tls       uintptr // 0x68: g while in metal, at -8(FS)
	iret      [5]uint64
	slowFlags uint32 // 0x98: RFLAGS that SYSRET will not do for
	flush     uint32 // a flush request waits
	dr7       uint64 // 0xa0: the breakpoints that are loaded
	current   int32  // index of the thread that runs
	armed     int64  // when the timer will go off, 0 for never
	sliceEnd  int64  // when the current thread must let others run, 0 for never
	apicID    uint32
	online    uint32
	idle      int32 // index of the idle thread
	inTrap    uint32
	waking    bool       // idle, but about to look at the run queue
	fetch     uintptr    // area whose state another CPU asks for
	gdt       [10]uint64 // see descriptor.go
	_         [4]byte    // the TSS's 64-bit fields are odd multiples of 4
	tss       [26]uint32
	dying     uint32
	taken     [5]uint64 // interrupts, by the kinds of Interrupts
}

const (
	_ = uint(unsafe.Offsetof(percpu{}.fsgsbase) - 0x60)
	_ = uint(0x60 - unsafe.Offsetof(percpu{}.fsgsbase))
	_ = uint(unsafe.Offsetof(percpu{}.mark) - 0x64)
	_ = uint(0x64 - unsafe.Offsetof(percpu{}.mark))
	_ = uint(unsafe.Offsetof(percpu{}.iret) - 0x70)
	_ = uint(0x70 - unsafe.Offsetof(percpu{}.iret))
	_ = uint(unsafe.Offsetof(percpu{}.slowFlags) - 0x98)
	_ = uint(0x98 - unsafe.Offsetof(percpu{}.slowFlags))
	_ = uint(unsafe.Offsetof(percpu{}.dr7) - 0xa0)
	_ = uint(0xa0 - unsafe.Offsetof(percpu{}.dr7))
	_ = uint(unsafe.Offsetof(percpu{}.fpuOwner) - 0x50)
	_ = uint(0x50 - unsafe.Offsetof(percpu{}.fpuOwner))
)

var (
	// cpu0 and stack0 are the first CPU's; they must be there before there
	// are frames. The others get theirs from smp.go.
	cpu0   percpu
	stack0 [16384]byte

	// fakeG is the g of code in metal: all zero, so that every stack check
	// passes. It is as large as any g may become.
	fakeG [1024]byte

	// cpus holds the addresses of the percpu structures.
	cpus [maxCPUs]uintptr
	ncpu uint32 = 1
)

// thisCPU returns this CPU's structure. It means something only in metal,
// where a thread cannot move.
func thisCPU() *percpu

// init fills in what does not depend on how the CPU was started.
func (c *percpu) init(id uint32) {
	cpus[id] = addressOf(c)
	c.id = id
	c.mark = id + 1
	// The frame with which Switch enters ring 3 by IRETQ: RIP, RFLAGS and
	// RSP change, the user's selectors do not.
	c.iret[1], c.iret[4] = 0x33, 0x2b
}

func cpuAt(i uint32) *percpu { return at[percpu](cpus[i]) }

// at makes a pointer of an address that is not the garbage collector's.
func at[T any](addr uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))) }

func addressOf[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// spinlock is held with interrupts off only.
type spinlock struct{ v uint32 }

func (l *spinlock) lock() {
	if !atomic.CompareAndSwapUint32(&l.v, 0, 1) {
		l.wait()
	}
}

func (l *spinlock) wait() {
	for !atomic.CompareAndSwapUint32(&l.v, 0, 1) {
		// The holder may wait for this CPU to flush its TLB, whose
		// interrupt cannot come.
		serveFlush(thisCPU())
		serveFetch(thisCPU())
		pause()
	}
}

func (l *spinlock) unlock() { atomic.StoreUint32(&l.v, 0) }
