//go:build baremetal

#include "funcdata.h"
#include "textflag.h"
#include "asm_amd64.h"

// Instructions that Go has no words for, one function each.

TEXT ·thisCPU(SB),NOSPLIT,$0-8
	MOVQ	CPU_SELF, AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·rdmsr(SB),NOSPLIT,$0-16
	MOVL	reg+0(FP), CX
	RDMSR
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+8(FP)
	RET

TEXT ·wrmsr(SB),NOSPLIT,$0-16
	MOVL	reg+0(FP), CX
	MOVQ	value+8(FP), AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	WRMSR
	RET

TEXT ·cpuid(SB),NOSPLIT,$0-24
	MOVL	leaf+0(FP), AX
	MOVL	sub+4(FP), CX
	CPUID
	MOVL	AX, a+8(FP)
	MOVL	BX, b+12(FP)
	MOVL	CX, c+16(FP)
	MOVL	DX, d+20(FP)
	RET

TEXT ·rdtsc(SB),NOSPLIT,$0-8
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·xsetbv(SB),NOSPLIT,$0-8
	MOVQ	value+0(FP), AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	XORL	CX, CX
	XSETBV
	RET

TEXT ·readCR0(SB),NOSPLIT,$0-8
	MOVQ	CR0, AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·writeCR0(SB),NOSPLIT,$0-8
	MOVQ	value+0(FP), AX
	MOVQ	AX, CR0
	RET

TEXT ·readCR2(SB),NOSPLIT,$0-8
	MOVQ	CR2, AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·writeCR3(SB),NOSPLIT,$0-8
	MOVQ	value+0(FP), AX
	MOVQ	AX, CR3
	RET

TEXT ·readCR4(SB),NOSPLIT,$0-8
	MOVQ	CR4, AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·writeCR4(SB),NOSPLIT,$0-8
	MOVQ	value+0(FP), AX
	MOVQ	AX, CR4
	RET

TEXT ·invlpg(SB),NOSPLIT,$0-8
	MOVQ	addr+0(FP), AX
	INVLPG	(AX)
	RET

TEXT ·pause(SB),NOSPLIT,$0-0
	PAUSE
	RET

TEXT ·haltForever(SB),NOSPLIT,$0-0
	CLI
	HLT
	JMP	-1(PC)

TEXT ·fninit(SB),NOSPLIT,$0-0
	BYTE $0xdb; BYTE $0xe3	// FNINIT
	RET

TEXT ·In8(SB),NOSPLIT,$0-9
	MOVW	port+0(FP), DX
	XORL	AX, AX
	INB
	MOVB	AX, ret+8(FP)
	RET

TEXT ·In16(SB),NOSPLIT,$0-10
	MOVW	port+0(FP), DX
	XORL	AX, AX
	INW
	MOVW	AX, ret+8(FP)
	RET

TEXT ·In32(SB),NOSPLIT,$0-12
	MOVW	port+0(FP), DX
	INL
	MOVL	AX, ret+8(FP)
	RET

TEXT ·Out8(SB),NOSPLIT,$0-3
	MOVW	port+0(FP), DX
	MOVB	v+2(FP), AX
	OUTB
	RET

TEXT ·Out16(SB),NOSPLIT,$0-4
	MOVW	port+0(FP), DX
	MOVW	v+2(FP), AX
	OUTW
	RET

TEXT ·Out32(SB),NOSPLIT,$0-8
	MOVW	port+0(FP), DX
	MOVL	v+4(FP), AX
	OUTL
	RET

// func rdrand() (v uint64, ok bool)
TEXT ·rdrand(SB),NOSPLIT,$0-9
	RDRANDQ	AX
	SETCS	ok+8(FP)
	MOVQ	AX, v+0(FP)
	RET

// func zeroPage(addr uintptr)
//
// Sixteen bytes a store: REP STOSQ counts as 512 instructions where
// instructions are counted, and wider registers are the user's.
TEXT ·zeroPage(SB),NOSPLIT,$0-8
	MOVQ	addr+0(FP), DI
	XORPS	X0, X0
	MOVL	$16, CX
loop:
	MOVAPS	X0, 0(DI)
	MOVAPS	X0, 16(DI)
	MOVAPS	X0, 32(DI)
	MOVAPS	X0, 48(DI)
	MOVAPS	X0, 64(DI)
	MOVAPS	X0, 80(DI)
	MOVAPS	X0, 96(DI)
	MOVAPS	X0, 112(DI)
	MOVAPS	X0, 128(DI)
	MOVAPS	X0, 144(DI)
	MOVAPS	X0, 160(DI)
	MOVAPS	X0, 176(DI)
	MOVAPS	X0, 192(DI)
	MOVAPS	X0, 208(DI)
	MOVAPS	X0, 224(DI)
	MOVAPS	X0, 240(DI)
	ADDQ	$256, DI
	DECL	CX
	JNZ	loop
	RET

// func zeroPageAVX(addr uintptr)
//
// The same in half the stores. The upper half of Y0 is the user's, live in
// this CPU alone: with interrupts off nobody moves us away before it is back.
TEXT ·zeroPageAVX(SB),NOSPLIT,$32-8
	MOVQ	addr+0(FP), DI
	PUSHFQ
	CLI
	VMOVDQU	Y0, 8(SP)
	VXORPS	Y0, Y0, Y0
	MOVL	$4, CX
loop:
	VMOVDQA	Y0, 0(DI)
	VMOVDQA	Y0, 32(DI)
	VMOVDQA	Y0, 64(DI)
	VMOVDQA	Y0, 96(DI)
	VMOVDQA	Y0, 128(DI)
	VMOVDQA	Y0, 160(DI)
	VMOVDQA	Y0, 192(DI)
	VMOVDQA	Y0, 224(DI)
	VMOVDQA	Y0, 256(DI)
	VMOVDQA	Y0, 288(DI)
	VMOVDQA	Y0, 320(DI)
	VMOVDQA	Y0, 352(DI)
	VMOVDQA	Y0, 384(DI)
	VMOVDQA	Y0, 416(DI)
	VMOVDQA	Y0, 448(DI)
	VMOVDQA	Y0, 480(DI)
	VMOVDQA	Y0, 512(DI)
	VMOVDQA	Y0, 544(DI)
	VMOVDQA	Y0, 576(DI)
	VMOVDQA	Y0, 608(DI)
	VMOVDQA	Y0, 640(DI)
	VMOVDQA	Y0, 672(DI)
	VMOVDQA	Y0, 704(DI)
	VMOVDQA	Y0, 736(DI)
	VMOVDQA	Y0, 768(DI)
	VMOVDQA	Y0, 800(DI)
	VMOVDQA	Y0, 832(DI)
	VMOVDQA	Y0, 864(DI)
	VMOVDQA	Y0, 896(DI)
	VMOVDQA	Y0, 928(DI)
	VMOVDQA	Y0, 960(DI)
	VMOVDQA	Y0, 992(DI)
	ADDQ	$1024, DI
	DECL	CX
	JNZ	loop
	VMOVDQU	8(SP), Y0
	POPFQ
	RET

// func copyAVX(dst, src, blocks uintptr)
//
// Copies blocks of 512 bytes, both sides in the direct map, where nothing
// faults. As for zeroPageAVX, the upper halves of the registers are the user's.
TEXT ·copyAVX(SB),NOSPLIT,$64-24
	MOVQ	dst+0(FP), DI
	MOVQ	src+8(FP), SI
	MOVQ	blocks+16(FP), CX
	PUSHFQ
	CLI
	VMOVDQU	Y0, 8(SP)
	VMOVDQU	Y1, 40(SP)
loop:
	VMOVDQU	0(SI), Y0
	VMOVDQU	32(SI), Y1
	VMOVDQU	Y0, 0(DI)
	VMOVDQU	Y1, 32(DI)
	VMOVDQU	64(SI), Y0
	VMOVDQU	96(SI), Y1
	VMOVDQU	Y0, 64(DI)
	VMOVDQU	Y1, 96(DI)
	VMOVDQU	128(SI), Y0
	VMOVDQU	160(SI), Y1
	VMOVDQU	Y0, 128(DI)
	VMOVDQU	Y1, 160(DI)
	VMOVDQU	192(SI), Y0
	VMOVDQU	224(SI), Y1
	VMOVDQU	Y0, 192(DI)
	VMOVDQU	Y1, 224(DI)
	VMOVDQU	256(SI), Y0
	VMOVDQU	288(SI), Y1
	VMOVDQU	Y0, 256(DI)
	VMOVDQU	Y1, 288(DI)
	VMOVDQU	320(SI), Y0
	VMOVDQU	352(SI), Y1
	VMOVDQU	Y0, 320(DI)
	VMOVDQU	Y1, 352(DI)
	VMOVDQU	384(SI), Y0
	VMOVDQU	416(SI), Y1
	VMOVDQU	Y0, 384(DI)
	VMOVDQU	Y1, 416(DI)
	VMOVDQU	448(SI), Y0
	VMOVDQU	480(SI), Y1
	VMOVDQU	Y0, 448(DI)
	VMOVDQU	Y1, 480(DI)
	ADDQ	$512, SI
	ADDQ	$512, DI
	DECQ	CX
	JNZ	loop
	VMOVDQU	8(SP), Y0
	VMOVDQU	40(SP), Y1
	POPFQ
	RET

// func CopyQuads(dst, src unsafe.Pointer, n int)
//
// Copies n words of 8 bytes, both sides where nothing faults.
TEXT ·CopyQuads(SB),NOSPLIT,$0-24
	MOVQ	dst+0(FP), DI
	MOVQ	src+8(FP), SI
	MOVQ	n+16(FP), CX
	REP
	MOVSQ
	RET

// func kcall(nr, a, b, c uintptr) uintptr
//
// kcall enters metal as the runtime's system calls do: interrupts are off and
// the CPU stays the same until it returns.
TEXT ·kcall(SB),NOSPLIT,$0-40
	MOVQ	nr+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	SYSCALL
	MOVQ	AX, ret+32(FP)
	RET

// func flushAlone(root uint64, start, end uintptr) bool
//
// flushAlone is the flush of a root that no other CPU has; if one has it, it
// reports false and has done nothing. No interrupt may come between the look
// at the CPUs and the invalidations, so it is written out here. A CPU that
// enters the root after the look loads CR3 after the tables were changed.
TEXT ·flushAlone(SB),NOSPLIT,$0-25
	MOVQ	root+0(FP), AX
	MOVQ	start+8(FP), BX
	MOVQ	end+16(FP), CX
	LEAQ	·cpus(SB), SI
	CLI
	MOVQ	CPU_SELF, DI
	MOVL	·ncpu(SB), DX
other:
	DECL	DX
	JLT	alone
	MOVQ	(SI)(DX*8), R8
	CMPQ	R8, DI
	JEQ	other
	CMPQ	AX, 0x48(R8)	// struct percpu, root
	JNE	other
	STI
	MOVB	$0, ret+24(FP)
	RET
alone:
	CMPQ	AX, CPU_ROOT
	JNE	done
	TESTQ	CX, CX
	JEQ	all
	MOVQ	CX, DX
	SUBQ	BX, DX
	CMPQ	DX, $(64*4096)
	JHI	all
one:
	CMPQ	BX, CX
	JAE	done
	INVLPG	(BX)
	ADDQ	$4096, BX
	JMP	one
all:
	MOVQ	AX, CR3
done:
	STI
	MOVB	$1, ret+24(FP)
	RET

// func Nanotime() int64
TEXT ·Nanotime(SB),NOSPLIT,$0-8
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	·clockBase(SB), AX
	MULQ	·clockMult(SB)
	SHRQ	$32, DX, AX
	MOVQ	AX, ret+0(FP)
	RET

// vdsoClockGettime is __vdso_clock_gettime of the runtime's vDSO: C calling
// convention, the clock in DI, a timespec in SI. Interrupts may come; all it
// reads is constant once the runtime runs.
TEXT ·vdsoClockGettime(SB),NOSPLIT|NOFRAME,$0-0
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	·clockBase(SB), AX
	MULQ	·clockMult(SB)
	SHRQ	$32, DX, AX
	TESTL	DI, DI		// CLOCK_REALTIME
	JNE	2(PC)
	ADDQ	·clockEpoch(SB), AX
	XORL	DX, DX
	MOVQ	$1000000000, CX
	DIVQ	CX
	MOVQ	AX, 0(SI)
	MOVQ	DX, 8(SI)
	XORL	AX, AX
	RET

// func addressOf…() uintptr: where the entries are, for tables that the
// processor and the runtime read.
TEXT ·vectorsAddr(SB),NOSPLIT,$0-8
	MOVQ	$·vectors(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·syscallEntryAddr(SB),NOSPLIT,$0-8
	MOVQ	$·syscallEntry(SB), AX
	CMPB	CPU_FSGSBASE, $0
	JNE	2(PC)
	MOVQ	$·syscallEntryMSR(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·idleLoopAddr(SB),NOSPLIT,$0-8
	MOVQ	$·idleLoop(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·switchReturnAddr(SB),NOSPLIT,$0-8
	MOVQ	$·switchReturn(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·vdsoClockGettimeAddr(SB),NOSPLIT,$0-8
	MOVQ	$·vdsoClockGettime(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·runtimeEntryAddr(SB),NOSPLIT,$0-8
	MOVQ	$_rt0_amd64_linux(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT ·apEntryAddr(SB),NOSPLIT,$0-8
	MOVQ	$·apEntry(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func mmioWrite(addr uintptr, v uint32)
TEXT ·mmioWrite(SB),NOSPLIT,$0-12
	MOVQ	addr+0(FP), AX
	MOVL	v+8(FP), CX
	MOVL	CX, (AX)
	RET

TEXT ·currentID(SB),NOSPLIT,$0-4
	MOVL	0x34(GS), AX
	MOVL	AX, ret+0(FP)
	RET

// func readMXCSRMask() uint32
TEXT ·readMXCSRMask(SB),NOSPLIT,$528-4
	MOVQ	SP, AX
	ADDQ	$15, AX
	ANDQ	$~15, AX
	MOVL	$0, 28(AX)
	FXSAVE64 (AX)
	MOVL	28(AX), AX
	TESTL	AX, AX
	JNE	2(PC)
	MOVL	$0xffbf, AX	// processors that leave the field alone
	MOVL	AX, ret+0(FP)
	RET

// func GrowStack()
//
// The assembler's prologue does it. A Go function with as large a frame would
// have to clear it.
TEXT ·GrowStack(SB),0,$12288-0
	NO_LOCAL_POINTERS
	RET
