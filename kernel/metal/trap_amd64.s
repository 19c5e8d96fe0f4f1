//go:build baremetal

#include "textflag.h"
#include "asm_amd64.h"

// Entries from interrupts, exceptions and system calls, and the ways back.
//
// Nothing may be pushed on a goroutine's stack: it may end right below SP.
// So interrupts use an IST stack that is the register frame of the current
// thread itself, exceptions one of the CPU's, and system calls switch by hand
// to the thread's frame and then to the CPU's stack.
//
// The Go code called from here runs with interrupts off, with FS pointing at
// the CPU's own TLS block, in which g is a zeroed structure: stack checks pass
// and nothing else of g may be used.

// VECTOR is one entry of 16 bytes: an error code where the CPU pushes none,
// the vector, a jump.
#define VECTOR(n, to) \
	BYTE $0x6a; BYTE $0x00; \
	BYTE $0x68; LONG $n; \
	JMP to(SB); \
	LONG $0x90909090
#define VECTORERR(n, to) \
	BYTE $0x68; LONG $n; \
	JMP to(SB); \
	LONG $0x90909090; BYTE $0x90; BYTE $0x90
#define VECTORS8(n) \
	VECTOR(n+0, ·interruptEntry); \
	VECTOR(n+1, ·interruptEntry); \
	VECTOR(n+2, ·interruptEntry); \
	VECTOR(n+3, ·interruptEntry); \
	VECTOR(n+4, ·interruptEntry); \
	VECTOR(n+5, ·interruptEntry); \
	VECTOR(n+6, ·interruptEntry); \
	VECTOR(n+7, ·interruptEntry)

TEXT ·vectors(SB),NOSPLIT|NOFRAME,$0-0
	VECTOR(0, ·exceptionEntry)
	VECTOR(1, ·paranoidEntry)
	VECTOR(2, ·paranoidEntry)
	VECTOR(3, ·exceptionEntry)
	VECTOR(4, ·exceptionEntry)
	VECTOR(5, ·exceptionEntry)
	VECTOR(6, ·exceptionEntry)
	VECTOR(7, ·exceptionEntry)
	VECTORERR(8, ·paranoidEntry)
	VECTOR(9, ·exceptionEntry)
	VECTORERR(10, ·exceptionEntry)
	VECTORERR(11, ·exceptionEntry)
	VECTORERR(12, ·exceptionEntry)
	VECTORERR(13, ·exceptionEntry)
	VECTORERR(14, ·exceptionEntry)
	VECTOR(15, ·exceptionEntry)
	VECTOR(16, ·exceptionEntry)
	VECTORERR(17, ·exceptionEntry)
	VECTOR(18, ·paranoidEntry)
	VECTOR(19, ·exceptionEntry)
	VECTOR(20, ·exceptionEntry)
	VECTORERR(21, ·exceptionEntry)
	VECTOR(22, ·exceptionEntry)
	VECTOR(23, ·exceptionEntry)
	VECTOR(24, ·exceptionEntry)
	VECTOR(25, ·exceptionEntry)
	VECTOR(26, ·exceptionEntry)
	VECTOR(27, ·exceptionEntry)
	VECTOR(28, ·exceptionEntry)
	VECTORERR(29, ·exceptionEntry)
	VECTORERR(30, ·exceptionEntry)
	VECTOR(31, ·exceptionEntry)
	VECTORS8(32)
	VECTORS8(40)
	VECTORS8(48)
	VECTORS8(56)
	VECTORS8(64)
	VECTORS8(72)
	VECTORS8(80)
	VECTORS8(88)
	// 96 to 103: timer, reschedule, flush, fetch, halt, spurious
	VECTORS8(96)

// interruptEntry: SP is in the current thread's frame, at Vector.
TEXT ·interruptEntry(SB),NOSPLIT|NOFRAME,$0-0
	TESTB	$3, (FRAME_CS-FRAME_VECTOR)(SP)
	JEQ	2(PC)
	JMP	·userExit(SB)
	PUSHREGS
	SAVEXMM(FRAME_XMM, SP)
	MOVL	$1, FRAME_XMMLIVE(SP)
	JMP	·interruptKernel(SB)

// interruptKernel handles the interrupt in the current thread's frame, which
// interrupted ring 0, and resumes the thread that is current then.
TEXT ·interruptKernel(SB),NOSPLIT|NOFRAME,$0-0
	SETSS
	MOVQ	CPU_FAKEFS, AX
	SETFS
	MOVL	$1, CPU_DEPTH
	MOVQ	CPU_STACK, SP
	PXOR	X15, X15
	CALL	·interrupt(SB)
	JMP	·resume(SB)

// resume continues the CPU's current thread where its frame says.
TEXT ·resume(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	CPU_FRAMETOP, SP
	SUBQ	$FRAME_SIZE, SP
	MOVQ	FRAME_FS(SP), AX
	MOVQ	AX, CPU_THREADFS
	SETFS
	MOVL	$0, CPU_DEPTH
	CMPL	FRAME_XMMLIVE(SP), $0
	JEQ	noxmm
	MOVL	$0, FRAME_XMMLIVE(SP)
	LOADXMM(FRAME_XMM, SP)
	POPREGS
	ADDQ	$16, SP
	IRETQ
noxmm:
	PXOR	X15, X15
	POPREGS
	ADDQ	$16, SP
	IRETQ

// exceptionEntry: SP is on the CPU's exception stack, at Vector.
TEXT ·exceptionEntry(SB),NOSPLIT|NOFRAME,$0-0
	TESTB	$3, (FRAME_CS-FRAME_VECTOR)(SP)
	JEQ	2(PC)
	JMP	·userExit(SB)
	PUSHREGS
	SAVEXMM(FRAME_XMM, SP)
	SETSS
	MOVQ	SP, BX
	SUBQ	$(256+32), SP
	MOVL	CPU_DEPTH, AX
	INCL	AX
	MOVL	AX, CPU_DEPTH
	CMPL	AX, $1
	JNE	nested
	MOVQ	CPU_FAKEFS, AX
	SETFS
nested:
	MOVQ	BX, 0(SP)
	PXOR	X15, X15
	CALL	·trap(SB)
	MOVL	CPU_DEPTH, AX
	DECL	AX
	MOVL	AX, CPU_DEPTH
	JNE	out
	MOVQ	CPU_THREADFS, AX
	SETFS
out:
	ADDQ	$(256+32), SP
	LOADXMM(FRAME_XMM, SP)
	POPREGS
	ADDQ	$16, SP
	IRETQ

// paranoidEntry serves what may come at any instruction, even between an
// entry from ring 3 and its SWAPGS: #DB, NMI, #DF and #MC. Each has a stack
// of its own, above whose top lies the address of the percpu structure.
TEXT ·paranoidEntry(SB),NOSPLIT|NOFRAME,$0-0
	CMPL	0(SP), $1
	JNE	kernel
	TESTB	$3, (FRAME_CS-FRAME_VECTOR)(SP)
	JEQ	nested
	JMP	·userExit(SB)	// single-step in ring 3 is an ordinary exception
nested:
	// QEMU raises #DB twice for an instruction that is stepped and reaches
	// a watchpoint: again at the first instruction of the handler, over the
	// frame of the first. What that held is lost. A debugger is kept from
	// this (task's armDebug); a program that does it to itself goes on at 0.
	PUSHQ	AX
	MOVQ	$·vectors+16(SB), AX
	CMPQ	AX, 24(SP)
	JNE	notNested
	MOVQ	$0, 24(SP)	// RIP
	MOVQ	$USER_CS, 32(SP)
	MOVQ	$0x202, 40(SP)
	MOVQ	$0, 48(SP)	// RSP
	POPQ	AX
	JMP	·userExit(SB)
notNested:
	POPQ	AX
kernel:
	PUSHREGS
	SAVEXMM(FRAME_XMM, SP)
	MOVQ	SP, BX
	SUBQ	$(256+64), SP
	PUSHQ	$2
	POPFQ			// DF and AC may be the user's
	MOVQ	FRAME_SIZE(BX), SI	// struct percpu
	CMPB	0x60(SI), $0
	JEQ	msr
	RDGSBASEQ R8
	RDFSBASEQ R9
	WRGSBASEQ SI
	MOVQ	CPU_FAKEFS, AX
	WRFSBASEQ AX
	JMP	call
msr:
	MOVL	$MSR_GS_BASE, CX
	RDMSR
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, R8
	MOVL	$MSR_FS_BASE, CX
	RDMSR
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, R9
	MOVQ	SI, AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_GS_BASE, CX
	WRMSR
	MOVQ	CPU_FAKEFS, AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
call:
	MOVQ	BX, 0(SP)
	MOVQ	R8, 16(SP)
	MOVQ	R9, 24(SP)
	PXOR	X15, X15
	CALL	·paranoid(SB)
	MOVQ	16(SP), R8
	MOVQ	24(SP), R9
	CMPB	CPU_FSGSBASE, $0
	JEQ	msrback
	WRFSBASEQ R9
	WRGSBASEQ R8
	JMP	out
msrback:
	MOVQ	R9, AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	MOVQ	R8, AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_GS_BASE, CX
	WRMSR
out:
	ADDQ	$(256+64), SP
	LOADXMM(FRAME_XMM, SP)
	POPREGS
	ADDQ	$16, SP
	IRETQ

// SAVEREGS saves the general registers at a SYSCALL in ring 3; DI is the
// context then.
#define SAVEREGS \
	SWAPGS; \
	MOVQ	SP, CPU_SCRATCH; \
	MOVQ	CPU_CONTEXT, SP; \
	MOVQ	R15, CTX_R15(SP); \
	MOVQ	R14, CTX_R14(SP); \
	MOVQ	R13, CTX_R13(SP); \
	MOVQ	R12, CTX_R12(SP); \
	MOVQ	BP, CTX_RBP(SP); \
	MOVQ	BX, CTX_RBX(SP); \
	MOVQ	R11, CTX_R11(SP); \
	MOVQ	R10, CTX_R10(SP); \
	MOVQ	R9, CTX_R9(SP); \
	MOVQ	R8, CTX_R8(SP); \
	MOVQ	AX, CTX_RAX(SP); \
	MOVQ	CX, CTX_RCX(SP); \
	MOVQ	DX, CTX_RDX(SP); \
	MOVQ	SI, CTX_RSI(SP); \
	MOVQ	DI, CTX_RDI(SP); \
	MOVQ	AX, CTX_ORIGRAX(SP); \
	MOVQ	CX, CTX_RIP(SP); \
	MOVQ	R11, CTX_RFLAGS(SP); \
	MOVQ	SP, DI; \
	MOVQ	CPU_SCRATCH, AX; \
	MOVQ	AX, CTX_RSP(DI)

// SAVEBASES saves the user's segment bases in the context at DI and loads the
// thread's FS. SAVEBASESMSR does it without FSGSBASE; it clobbers CX and DX.
#define SAVEBASES \
	RDFSBASEQ AX; \
	MOVQ	AX, CTX_FSBASE(DI); \
	SWAPGS; \
	RDGSBASEQ AX; \
	SWAPGS; \
	MOVQ	AX, CTX_GSBASE(DI); \
	MOVQ	CPU_THREADFS, AX; \
	WRFSBASEQ AX
#define SAVEBASESMSR \
	MOVL	$MSR_FS_BASE, CX; \
	RDMSR; \
	SHLQ	$32, DX; \
	ORQ	DX, AX; \
	MOVQ	AX, CTX_FSBASE(DI); \
	MOVL	$MSR_KERNEL_GS_BASE, CX; \
	RDMSR; \
	SHLQ	$32, DX; \
	ORQ	DX, AX; \
	MOVQ	AX, CTX_GSBASE(DI); \
	MOVQ	CPU_THREADFS, AX; \
	MOVQ	AX, DX; \
	SHRQ	$32, DX; \
	MOVL	$MSR_FS_BASE, CX; \
	WRMSR

// SAVEVECTORS saves the user's XMM registers and loads the kernel's MXCSR. The
// callers of assembly clear X15 and restore BP themselves; it must only not be
// the user's, which somebody might follow as a frame pointer.
#define SAVEVECTORS \
	MOVQ	CTX_FPU(DI), SI; \
	SAVEXMM(FPU_XMM, SI); \
	STMXCSR	FPU_MXCSR(SI); \
	LDMXCSR	·kernelMXCSR(SB); \
	MOVL	$0, CTX_ONCPU(DI); \
	XORL	BP, BP

// syscallEntry is where SYSCALL goes, from ring 3 and from the Go runtime in
// ring 0, which does not switch stacks there. The sign of the return address
// tells them apart: the kernel lives in the upper half.
TEXT ·syscallEntry(SB),NOSPLIT|NOFRAME,$0-0
	TESTQ	CX, CX
	JPL	user
	MOVQ	SP, CPU_SCRATCH
	MOVQ	CPU_FRAMETOP, SP
	PUSHQ	$KERNEL_SS
	PUSHQ	CPU_SCRATCH
	PUSHQ	R11
	PUSHQ	$KERNEL_CS
	PUSHQ	CX
	PUSHQ	$0
	PUSHQ	AX
	PUSHREGS
	MOVL	$1, CPU_DEPTH
	MOVQ	CPU_FAKEFS, AX
	SETFS
	MOVQ	SP, AX
	MOVQ	CPU_STACK, SP
	SUBQ	$32, SP
	MOVQ	AX, 0(SP)
	PXOR	X15, X15
	CALL	·kernelSyscall(SB)
	CMPB	8(SP), $0
	JEQ	2(PC)
	JMP	·resume(SB)

	// The same thread goes on: no need for IRETQ.
	MOVQ	CPU_FRAMETOP, SP
	SUBQ	$FRAME_SIZE, SP
	MOVQ	CPU_THREADFS, AX
	SETFS
	MOVL	$0, CPU_DEPTH
	POPREGS
	MOVQ	(FRAME_RSP-FRAME_VECTOR)(SP), SP
	STI
	JMP	CX

user:
	SAVEREGS
	SAVEBASES
	SAVEVECTORS
	MOVQ	CPU_SWITCHSP, SP
	MOVL	$1, 24(SP)	// EventSyscall, the result of Switch
	STI
	BYTE $0xc3		// RET; the assembler would miss pops

// syscallEntryMSR is syscallEntry on processors without FSGSBASE.
TEXT ·syscallEntryMSR(SB),NOSPLIT|NOFRAME,$0-0
	TESTQ	CX, CX
	JPL	user
	JMP	·syscallEntry(SB)
user:
	SAVEREGS
	SAVEBASESMSR
	SAVEVECTORS
	MOVQ	CPU_SWITCHSP, SP
	MOVL	$1, 24(SP)
	STI
	BYTE $0xc3

// userExit: an interrupt or exception in ring 3. SP is at Vector, on whatever
// stack. Every one of them ends the Switch in progress.
TEXT ·userExit(SB),NOSPLIT|NOFRAME,$0-0
	SWAPGS
	PUSHQ	AX
	MOVQ	CPU_CONTEXT, AX
	MOVQ	R15, CTX_R15(AX)
	MOVQ	R14, CTX_R14(AX)
	MOVQ	R13, CTX_R13(AX)
	MOVQ	R12, CTX_R12(AX)
	MOVQ	BP, CTX_RBP(AX)
	MOVQ	BX, CTX_RBX(AX)
	MOVQ	R11, CTX_R11(AX)
	MOVQ	R10, CTX_R10(AX)
	MOVQ	R9, CTX_R9(AX)
	MOVQ	R8, CTX_R8(AX)
	MOVQ	CX, CTX_RCX(AX)
	MOVQ	DX, CTX_RDX(AX)
	MOVQ	SI, CTX_RSI(AX)
	MOVQ	DI, CTX_RDI(AX)
	MOVQ	$-1, CTX_ORIGRAX(AX)
	MOVQ	AX, DI
	POPQ	AX
	MOVQ	AX, CTX_RAX(DI)
	MOVQ	0(SP), BX
	MOVL	BX, CTX_VECTOR(DI)
	MOVQ	8(SP), AX
	MOVL	AX, CTX_ERROR(DI)
	MOVQ	16(SP), AX
	MOVQ	AX, CTX_RIP(DI)
	MOVQ	32(SP), AX
	MOVQ	AX, CTX_RFLAGS(DI)
	MOVQ	40(SP), AX
	MOVQ	AX, CTX_RSP(DI)
	PUSHQ	$2
	POPFQ			// DF and AC are the user's
	CMPL	BX, $32
	JAE	interrupt
	SETSS
	MOVL	$3, R12		// EventException
	CMPL	BX, $14
	JEQ	fault
	CMPL	BX, $1
	JEQ	debug
	JMP	·leaveUser(SB)
debug:
	READDR6
	MOVQ	AX, CTX_FAULT(DI)
	MOVL	$DR6_CLEAR, AX
	WRITEDR(6)
	JMP	·leaveUser(SB)
fault:
	MOVQ	CR2, AX
	MOVQ	AX, CTX_FAULT(DI)
	MOVL	$2, R12		// EventFault
	JMP	·leaveUser(SB)
interrupt:
	MOVL	$4, R12		// EventInterrupt
	MOVL	$0, CTX_KICKED(DI)
	JMP	·leaveUser(SB)

// leaveUser completes an exit from ring 3: DI is the context, which holds the
// general registers already, R12 the event. It saves the rest of the user's
// state and goes back to the caller of Switch; for interrupts, by way of a
// frame made as if the return from Switch had been interrupted, so that the
// scheduler never sees a ring-3 frame.
TEXT ·leaveUser(SB),NOSPLIT|NOFRAME,$0-0
	CMPB	CPU_FSGSBASE, $0
	JEQ	msr
	SAVEBASES
	JMP	bases
msr:
	SAVEBASESMSR
bases:
	SAVEVECTORS
	CMPL	R12, $4
	JEQ	interrupt
	MOVQ	CPU_SWITCHSP, SP
	MOVL	R12, AX
	JMP	·switchReturn(SB)
interrupt:
	MOVQ	CPU_SWITCHSP, AX
	MOVQ	CPU_FRAMETOP, SP
	PUSHQ	$KERNEL_SS
	PUSHQ	AX
	PUSHQ	$0x202
	PUSHQ	$KERNEL_CS
	MOVQ	$·switchReturn(SB), AX
	PUSHQ	AX
	PUSHQ	$0
	PUSHQ	BX		// vector
	MOVL	R12, AX
	PUSHREGS
	MOVL	$0, FRAME_XMMLIVE(SP)
	JMP	·interruptKernel(SB)

// idleLoop is what a CPU without work runs, as a thread of its own.
TEXT ·idleLoop(SB),NOSPLIT|NOFRAME,$0-0
	HLT
	JMP	-1(PC)

DATA ·kernelMXCSR+0(SB)/4, $0x1f80
GLOBL ·kernelMXCSR(SB), RODATA|NOPTR, $4
