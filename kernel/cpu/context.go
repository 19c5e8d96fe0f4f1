package cpu

import "sync/atomic"

// Event is the reason for which Switch came back.
type Event uint32

const (
	// EventNone: ring 3 was not entered; Settle sees to what was missing.
	EventNone Event = iota
	// EventSyscall: the program executed SYSCALL. RAX holds the number,
	// OrigRAX a copy of it; RDI, RSI, RDX, R10, R8, R9 the arguments. RCX
	// and R11 are clobbered as the instruction does.
	EventSyscall
	// EventFault: a page fault. FaultAddr is CR2, ErrorCode the hardware's.
	EventFault
	// EventException: any other exception; Vector and ErrorCode tell which.
	EventException
	// EventInterrupt: an interrupt was taken, or Kick was called. The
	// thread's loop looks for signals and lets others run (runtime.Gosched).
	EventInterrupt
)

// Bits of ErrorCode after EventFault (Intel SDM vol. 3, 4.7).
const (
	FaultPresent  = 1 << 0 // protection violation, else not present
	FaultWrite    = 1 << 1
	FaultUser     = 1 << 2
	FaultReserved = 1 << 3
	FaultFetch    = 1 << 4
)

// Switch and Settle belong together: after every event but EventSyscall the
// caller calls Settle, which gets ready what Switch found missing and serves
// the interrupts that ended ring 3. They are apart so that Switch, the path of
// every system call, is inlined.

// Regs are the user-visible registers. The layout is fixed: assembly knows
// the offsets (asm offsets are checked by a test).
type Regs struct {
	R15, R14, R13, R12, RBP, RBX uint64
	R11, R10, R9, R8             uint64
	RAX, RCX, RDX, RSI, RDI      uint64
	OrigRAX                      uint64
	RIP, CS, RFLAGS, RSP, SS     uint64
	FSBase, GSBase               uint64
}

// Context is the user-mode state of one thread: registers, the reason of its
// last exit, and its extended (x87, SSE, AVX) state. It belongs to the
// goroutine that calls Switch with it; only Kick may be called by others.
// It must not be copied: use CopyFrom.
type Context struct {
	Regs

	// What the last exit reported.
	Vector    uint32
	ErrorCode uint32
	FaultAddr uintptr // CR2 after EventFault, DR6 after a debug exception

	// kicked is set by Kick and consumed by Switch, which does not enter
	// (or at once leaves) ring 3 when it is set.
	kicked atomic.Uint32

	machine machineContext // per implementation: FPU image, owner, CPU
}
