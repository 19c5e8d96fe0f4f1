//go:build baremetal

#include "textflag.h"
#include "asm_amd64.h"

// entry is where the trampoline of mkkernel arrives: 64-bit mode on the boot
// page tables, interrupts off, no stack, the boot structure's physical address
// in DI and the protocol in SI.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	DI, R12
	MOVQ	SI, R13
	LEAQ	·cpu0(SB), BX
	LEAQ	·stack0+STACK0_SIZE(SB), SP
	CALL	·adopt(SB)
	SUBQ	$32, SP
	MOVQ	R12, 0(SP)
	MOVQ	R13, 8(SP)
	CALL	·start(SB)
	JMP	·resume(SB)

// adopt makes the percpu structure at BX this CPU's: null segments, GS, and
// FS with the fake g, so that Go can be called. It clobbers AX, CX, DX, R8.
TEXT ·adopt(SB),NOSPLIT|NOFRAME,$0-0
	XORL	AX, AX
	BYTE $0x8e; BYTE $0xd8	// MOV DS, AX
	BYTE $0x8e; BYTE $0xc0	// MOV ES, AX
	BYTE $0x8e; BYTE $0xe0	// MOV FS, AX
	BYTE $0x8e; BYTE $0xe8	// MOV GS, AX
	MOVQ	BX, AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_GS_BASE, CX
	WRMSR
	MOVQ	BX, CPU_SELF
	LEAQ	0x70(BX), AX
	MOVQ	AX, CPU_FAKEFS
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	LEAQ	·fakeG(SB), AX
	MOVQ	AX, 0x68(BX)
	MOVQ	AX, R14
	PXOR	X15, X15
	LDMXCSR	·kernelMXCSR(SB)
	RET

// func loadTables(gdtr, idtr uintptr)
//
// loadTables loads the CPU's descriptor tables, code and stack segment and
// task register.
TEXT ·loadTables(SB),NOSPLIT,$32-16
	MOVQ	gdtr+0(FP), AX
	LGDT	(AX)
	MOVQ	idtr+8(FP), AX
	LIDT	(AX)
	MOVL	$KERNEL_SS, AX
	BYTE $0x8e; BYTE $0xd0	// MOV SS, AX
	MOVL	$0x40, AX
	BYTE $0x0f; BYTE $0x00; BYTE $0xd8	// LTR AX
	// After a reset LDTR spans the first 64 KiB, which are the program's: a
	// selector with TI set would be read from there, call gates included.
	XORL	AX, AX
	BYTE $0x0f; BYTE $0x00; BYTE $0xd0	// LLDT AX
	// A far return loads CS.
	MOVQ	$·loadedCS(SB), AX
	MOVQ	AX, 0(SP)
	MOVQ	$KERNEL_CS, 8(SP)
	BYTE $0x48; BYTE $0xcb	// RETFQ, which pops what was not pushed
	RET

TEXT ·loadedCS(SB),NOSPLIT|NOFRAME,$0-0
	// What is left of loadTables's frame: 16 bytes and the saved BP.
	MOVQ	16(SP), BP
	LEAQ	24(SP), SP
	RET

// apEntry is where the application processors' trampoline arrives, in 64-bit
// mode with the percpu structure in BX.
TEXT ·apEntry(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	0x28(BX), SP
	MOVQ	0x48(BX), AX
	MOVQ	AX, CR3
	CALL	·adopt(SB)
	CALL	·startAP(SB)
	JMP	·resume(SB)
