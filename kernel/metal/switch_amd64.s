//go:build baremetal

#include "textflag.h"
#include "asm_amd64.h"

// func Switch(c unsafe.Pointer, root uint64) uint32
//
// Switch enters ring 3; leaveUser brings it back. It has no frame of its own,
// so that SP in switchReturn is that of its caller.
TEXT ·Switch(SB),NOSPLIT|NOFRAME,$0-20
	MOVQ	c+0(FP), DI
	MOVQ	root+8(FP), AX
	CLI
	CMPQ	·pendingIRQ(SB), $0
	JNE	interrupted
	// The exchange orders the mark before the look at kicked: Kick does it
	// the other way round.
	MOVL	CPU_MARK, CX
	XCHGL	CX, CTX_ONCPU(DI)
	CMPL	CTX_KICKED(DI), $0
	JNE	kicked
	MOVQ	CTX_FPU(DI), SI
	CMPQ	SI, CPU_FPUOWNER
	JNE	fpu
fpuReady:
	CMPQ	AX, CPU_ROOT
	JNE	root
rootReady:
	MOVQ	CTX_RIP(DI), CX
	MOVQ	CTX_FSBASE(DI), AX
	MOVQ	CTX_GSBASE(DI), DX
	MOVQ	AX, R8
	ORQ	DX, R8
	ORQ	CX, R8
	SHRQ	$47, R8
	JNE	high
basesChecked:
	MOVQ	DI, CPU_CONTEXT
	MOVQ	SP, CPU_SWITCHSP
	LDMXCSR	FPU_MXCSR(SI)
	LOADXMM(FPU_XMM, SI)
	MOVQ	CTX_RFLAGS(DI), R11
	// SYSRET loads RIP from RCX and RFLAGS from R11, so it will do when
	// they are equal, and when it need not trap on the next instruction
	// (RF, TF). Without FSGSBASE the mask has all bits, of which one is set.
	CMPQ	CX, CTX_RCX(DI)
	JNE	iret
	CMPQ	R11, CTX_R11(DI)
	JNE	iret
	TESTL	CPU_SLOWFLAGS, R11
	JNE	iret
	WRFSBASEQ AX
	ANDL	$0x250dd5, R11	// what a program may set
	ORL	$0x202, R11
	MOVQ	CTX_R15(DI), R15
	MOVQ	CTX_R14(DI), R14
	MOVQ	CTX_R13(DI), R13
	MOVQ	CTX_R12(DI), R12
	MOVQ	CTX_RBP(DI), BP
	MOVQ	CTX_RBX(DI), BX
	MOVQ	CTX_R10(DI), R10
	MOVQ	CTX_R9(DI), R9
	MOVQ	CTX_R8(DI), R8
	MOVQ	CTX_RAX(DI), AX
	MOVQ	CTX_RSI(DI), SI
	MOVQ	CTX_RSP(DI), SP
	SWAPGS
	WRGSBASEQ DX
	MOVQ	CTX_RDX(DI), DX
	MOVQ	CTX_RDI(DI), DI
	BYTE $0x48; SYSRET

iret:
	CMPB	CPU_FSGSBASE, $0
	JEQ	msr
	WRFSBASEQ AX
	ANDL	$0x250dd5, R11
	ORL	$0x202, R11
	MOVQ	CX, CPU_IRET_RIP
	MOVQ	R11, CPU_IRET_FLAGS
	MOVQ	CTX_RSP(DI), AX
	MOVQ	AX, CPU_IRET_RSP
	MOVQ	CPU_SELF, SP
	ADDQ	$CPU_IRET_OFF, SP
	MOVQ	CTX_R15(DI), R15
	MOVQ	CTX_R14(DI), R14
	MOVQ	CTX_R13(DI), R13
	MOVQ	CTX_R12(DI), R12
	MOVQ	CTX_RBP(DI), BP
	MOVQ	CTX_RBX(DI), BX
	MOVQ	CTX_R11(DI), R11
	MOVQ	CTX_R10(DI), R10
	MOVQ	CTX_R9(DI), R9
	MOVQ	CTX_R8(DI), R8
	MOVQ	CTX_RAX(DI), AX
	MOVQ	CTX_RCX(DI), CX
	MOVQ	CTX_RSI(DI), SI
	SWAPGS
	WRGSBASEQ DX
	MOVQ	CTX_RDX(DI), DX
	MOVQ	CTX_RDI(DI), DI
	IRETQ

msr:	// no FSGSBASE: everything by WRMSR, and IRETQ serves for both
	MOVQ	DX, R8
	MOVQ	CX, R9
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	MOVQ	R8, AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_KERNEL_GS_BASE, CX
	WRMSR
	MOVQ	R9, CPU_IRET_RIP
	MOVQ	CTX_RFLAGS(DI), R11
	ANDL	$0x250dd5, R11
	ORL	$0x202, R11
	MOVQ	R11, CPU_IRET_FLAGS
	MOVQ	CTX_RSP(DI), AX
	MOVQ	AX, CPU_IRET_RSP
	MOVQ	CPU_SELF, SP
	ADDQ	$CPU_IRET_OFF, SP
	MOVQ	CTX_R15(DI), R15
	MOVQ	CTX_R14(DI), R14
	MOVQ	CTX_R13(DI), R13
	MOVQ	CTX_R12(DI), R12
	MOVQ	CTX_RBP(DI), BP
	MOVQ	CTX_RBX(DI), BX
	MOVQ	CTX_R11(DI), R11
	MOVQ	CTX_R10(DI), R10
	MOVQ	CTX_R9(DI), R9
	MOVQ	CTX_R8(DI), R8
	MOVQ	CTX_RAX(DI), AX
	MOVQ	CTX_RCX(DI), CX
	MOVQ	CTX_RDX(DI), DX
	MOVQ	CTX_RSI(DI), SI
	MOVQ	CTX_RDI(DI), DI
	SWAPGS
	IRETQ

root:
	// The field is written first: whoever shoots down translations looks
	// at it after changing the tables, and MOV CR3 serialises.
	MOVQ	AX, CPU_ROOT
	MOVQ	AX, CR3
	JMP	rootReady

high:
	// Canonical addresses of the upper half are allowed as segment bases
	// (WRFSBASE can set them), but not as RIP, where IRETQ and SYSRET
	// would fault in ring 0.
	MOVQ	CX, R8
	SHRQ	$47, R8
	JNE	badRIP
	MOVQ	AX, R8
	SHLQ	$16, R8
	SARQ	$16, R8
	CMPQ	R8, AX
	JEQ	2(PC)
	XORL	AX, AX
	MOVQ	DX, R8
	SHLQ	$16, R8
	SARQ	$16, R8
	CMPQ	R8, DX
	JEQ	basesChecked
	XORL	DX, DX
	JMP	basesChecked
badRIP:
	MOVL	$13, CTX_VECTOR(DI)	// what the processor would say: #GP(0)
	MOVL	$0, CTX_ERROR(DI)
	MOVL	$3, AX
	JMP	unmark

fpu:
	// Another context's extended state is live here. SI is ours.
	TESTQ	SI, SI
	JEQ	needFPU
	MOVL	FPU_CPU(SI), CX
	TESTL	CX, CX
	JNE	needFPU		// live on another CPU: fetch it first
	MOVQ	AX, R10
	MOVL	CPU_FPUMASKLO, AX
	MOVL	CPU_FPUMASKHI, DX
	MOVQ	CPU_FPUOWNER, R8
	CMPB	CPU_XSAVE, $0
	JEQ	fxsave
	TESTQ	R8, R8
	JEQ	restore
	// XSAVE with a vector component writes MXCSR, which is the kernel's.
	MOVL	FPU_MXCSR(R8), R9
	XSAVE64	(R8)
	MOVL	R9, FPU_MXCSR(R8)
	MOVL	$0, FPU_CPU(R8)
restore:
	XRSTOR64 (SI)
	JMP	owned
fxsave:
	// FXSAVE stores the XMM registers too, which are the kernel's now: the
	// owner's were saved by hand when it left ring 3, so keep them.
	TESTQ	R8, R8
	JEQ	fxrstor
	SUBQ	$16, SP
	MOVQ	SI, 0(SP)
	MOVQ	DI, 8(SP)
	MOVQ	R8, SI
	CALL	·fxsaveKeepXMM(SB)
	MOVL	$0, FPU_CPU(R8)
	MOVQ	0(SP), SI
	MOVQ	8(SP), DI
	ADDQ	$16, SP
fxrstor:
	FXRSTOR64 (SI)
	PXOR	X15, X15
owned:
	MOVQ	SI, CPU_FPUOWNER
	MOVL	CPU_MARK, CX
	MOVL	CX, FPU_CPU(SI)
	MOVQ	FPU_DR7(SI), CX
	ORQ	CPU_DR7, CX
	JNE	debug
debugReady:
	MOVQ	R10, AX
	JMP	fpuReady

debug:
	// This context has breakpoints, or the one before it had. DR7 is off
	// while they change.
	XORL	AX, AX
	WRITEDR(7)
	MOVQ	FPU_DR0(SI), AX
	WRITEDR(0)
	MOVQ	(FPU_DR0+8)(SI), AX
	WRITEDR(1)
	MOVQ	(FPU_DR0+16)(SI), AX
	WRITEDR(2)
	MOVQ	(FPU_DR0+24)(SI), AX
	WRITEDR(3)
	MOVQ	FPU_DR7(SI), AX
	MOVQ	AX, CPU_DR7
	WRITEDR(7)
	JMP	debugReady

needFPU:
	MOVL	$0, AX		// the caller fetches or makes the state
	JMP	unmark
kicked:
	MOVL	$0, CTX_KICKED(DI)
	MOVL	$4, AX
unmark:
	LDMXCSR	·kernelMXCSR(SB)
	MOVL	$0, CTX_ONCPU(DI)
	JMP	·switchReturn(SB)
interrupted:
	MOVL	$4, AX
	JMP	·switchReturn(SB)

// switchReturn returns AX from Switch: SP is as at its entry.
TEXT ·switchReturn(SB),NOSPLIT|NOFRAME,$0-0
	MOVL	AX, 24(SP)	// Switch's result
	STI
	RET

// fxsaveKeepXMM stores x87 state to the area at SI without its XMM registers
// and MXCSR. It clobbers R9 only; X0 to X15 are saved in the CPU's registers.
TEXT ·fxsaveKeepXMM(SB),NOSPLIT|NOFRAME,$0-0
	SUBQ	$(512+32), SP
	MOVQ	SP, DI
	ADDQ	$15, DI
	ANDQ	$~15, DI
	FXSAVE64 (DI)
	MOVQ	0(DI), R9
	MOVQ	R9, 0(SI)
	MOVQ	8(DI), R9
	MOVQ	R9, 8(SI)
	MOVQ	16(DI), R9
	MOVQ	R9, 16(SI)
	MOVQ	32(DI), R9
	MOVQ	R9, 32(SI)
	MOVQ	40(DI), R9
	MOVQ	R9, 40(SI)
	MOVQ	48(DI), R9
	MOVQ	R9, 48(SI)
	MOVQ	56(DI), R9
	MOVQ	R9, 56(SI)
	MOVQ	64(DI), R9
	MOVQ	R9, 64(SI)
	MOVQ	72(DI), R9
	MOVQ	R9, 72(SI)
	MOVQ	80(DI), R9
	MOVQ	R9, 80(SI)
	MOVQ	88(DI), R9
	MOVQ	R9, 88(SI)
	MOVQ	96(DI), R9
	MOVQ	R9, 96(SI)
	MOVQ	104(DI), R9
	MOVQ	R9, 104(SI)
	MOVQ	112(DI), R9
	MOVQ	R9, 112(SI)
	MOVQ	120(DI), R9
	MOVQ	R9, 120(SI)
	MOVQ	128(DI), R9
	MOVQ	R9, 128(SI)
	MOVQ	136(DI), R9
	MOVQ	R9, 136(SI)
	MOVQ	144(DI), R9
	MOVQ	R9, 144(SI)
	MOVQ	152(DI), R9
	MOVQ	R9, 152(SI)
	ADDQ	$(512+32), SP
	RET

// func fetchHere(area uintptr, drop bool) bool
//
// fetchHere is fetchFPU for a state that is live on the CPU that runs the
// caller, without a call of the layer below. It reports false, having done
// nothing, when the state is elsewhere or the machine has no XSAVE.
TEXT ·fetchHere(SB),NOSPLIT,$0-17
	MOVQ	area+0(FP), SI
	MOVBLZX	drop+8(FP), R9
	CLI
	MOVL	FPU_CPU(SI), CX
	CMPL	CX, CPU_MARK
	JNE	no
	CMPB	CPU_XSAVE, $0
	JEQ	no
	// XSAVE with a vector component writes MXCSR, which is the kernel's.
	MOVL	FPU_MXCSR(SI), R8
	MOVL	CPU_FPUMASKLO, AX
	MOVL	CPU_FPUMASKHI, DX
	XSAVE64	(SI)
	MOVL	R8, FPU_MXCSR(SI)
	TESTL	R9, R9
	JEQ	kept
	MOVL	$0, FPU_CPU(SI)
	MOVQ	$0, CPU_FPUOWNER
kept:
	STI
	MOVB	$1, ret+16(FP)
	RET
no:
	STI
	MOVB	$0, ret+16(FP)
	RET

// func storeHere(area, dst uintptr) bool
//
// storeHere writes the extended state of an area that is live on the CPU that
// runs the caller to dst, which is aligned to 64 bytes and in the direct map,
// as an XSAVE image; the area stays as it is. It reports false, having done
// nothing, when the state is elsewhere or the machine has no XSAVE.
TEXT ·storeHere(SB),NOSPLIT,$0-17
	MOVQ	area+0(FP), SI
	MOVQ	dst+8(FP), DI
	CLI
	MOVL	FPU_CPU(SI), CX
	CMPL	CX, CPU_MARK
	JNE	no
	CMPB	CPU_XSAVE, $0
	JEQ	no
	MOVL	CPU_FPUMASKLO, AX
	MOVL	CPU_FPUMASKHI, DX
	MOVQ	$0, 512(DI)
	XSAVE64	(DI)
	STI
	// XSAVE leaves the rest of its header alone, and what it took for the XMM
	// registers and MXCSR are the kernel's.
	ORQ	$2, 512(DI)
	PXOR	X15, X15
	MOVQ	$0, 520(DI)
	MOVUPS	X15, 528(DI)
	MOVUPS	X15, 544(DI)
	MOVUPS	X15, 560(DI)
	MOVL	FPU_MXCSR(SI), AX
	MOVL	AX, FPU_MXCSR(DI)
	MOVUPS	(FPU_XMM+0)(SI), X0
	MOVUPS	(FPU_XMM+16)(SI), X1
	MOVUPS	(FPU_XMM+32)(SI), X2
	MOVUPS	(FPU_XMM+48)(SI), X3
	MOVUPS	(FPU_XMM+64)(SI), X4
	MOVUPS	(FPU_XMM+80)(SI), X5
	MOVUPS	(FPU_XMM+96)(SI), X6
	MOVUPS	(FPU_XMM+112)(SI), X7
	MOVUPS	(FPU_XMM+128)(SI), X8
	MOVUPS	(FPU_XMM+144)(SI), X9
	MOVUPS	(FPU_XMM+160)(SI), X10
	MOVUPS	(FPU_XMM+176)(SI), X11
	MOVUPS	(FPU_XMM+192)(SI), X12
	MOVUPS	(FPU_XMM+208)(SI), X13
	MOVUPS	(FPU_XMM+224)(SI), X14
	MOVUPS	X0, (FPU_XMM+0)(DI)
	MOVUPS	(FPU_XMM+240)(SI), X0
	MOVUPS	X1, (FPU_XMM+16)(DI)
	MOVUPS	X2, (FPU_XMM+32)(DI)
	MOVUPS	X3, (FPU_XMM+48)(DI)
	MOVUPS	X4, (FPU_XMM+64)(DI)
	MOVUPS	X5, (FPU_XMM+80)(DI)
	MOVUPS	X6, (FPU_XMM+96)(DI)
	MOVUPS	X7, (FPU_XMM+112)(DI)
	MOVUPS	X8, (FPU_XMM+128)(DI)
	MOVUPS	X9, (FPU_XMM+144)(DI)
	MOVUPS	X10, (FPU_XMM+160)(DI)
	MOVUPS	X11, (FPU_XMM+176)(DI)
	MOVUPS	X12, (FPU_XMM+192)(DI)
	MOVUPS	X13, (FPU_XMM+208)(DI)
	MOVUPS	X14, (FPU_XMM+224)(DI)
	MOVUPS	X0, (FPU_XMM+240)(DI)
	MOVB	$1, ret+16(FP)
	RET
no:
	STI
	MOVB	$0, ret+16(FP)
	RET

// func disownHere(area uintptr)
//
// disownHere forgets the live extended state of an area if it is live on the
// CPU that runs the caller.
TEXT ·disownHere(SB),NOSPLIT,$0-8
	MOVQ	area+0(FP), SI
	CLI
	MOVL	FPU_CPU(SI), CX
	CMPL	CX, CPU_MARK
	JNE	out
	MOVL	$0, FPU_CPU(SI)
	MOVQ	$0, CPU_FPUOWNER
out:
	STI
	RET

// func saveLive(area uintptr)
//
// saveLive stores this CPU's live extended state in area; the XMM registers
// and MXCSR there, saved at the exit from ring 3, stay.
TEXT ·saveLive(SB),NOSPLIT,$0-8
	MOVQ	area+0(FP), SI
	CMPB	CPU_XSAVE, $0
	JEQ	fxsave
	// XSAVE with a vector component writes MXCSR, which is the kernel's.
	MOVL	FPU_MXCSR(SI), R8
	MOVL	CPU_FPUMASKLO, AX
	MOVL	CPU_FPUMASKHI, DX
	XSAVE64	(SI)
	MOVL	R8, FPU_MXCSR(SI)
	RET
fxsave:
	CALL	·fxsaveKeepXMM(SB)
	RET
