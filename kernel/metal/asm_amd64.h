// Offsets that assembly shares with Go. percpu.go and thread.go assert them
// at compile time.

// struct percpu, through GS.
#define CPU_SELF	0x00(GS)
#define CPU_FRAMETOP	0x08(GS)
#define CPU_SCRATCH	0x10(GS)
#define CPU_THREADFS	0x18(GS)
#define CPU_FAKEFS	0x20(GS)
#define CPU_STACK	0x28(GS)
#define CPU_DEPTH	0x30(GS)
#define CPU_CONTEXT	0x38(GS)
#define CPU_SWITCHSP	0x40(GS)
#define CPU_ROOT	0x48(GS)
#define CPU_FPUOWNER	0x50(GS)
#define CPU_FPUMASKLO	0x58(GS)
#define CPU_FPUMASKHI	0x5c(GS)
#define CPU_FSGSBASE	0x60(GS)
#define CPU_XSAVE	0x61(GS)
#define CPU_MARK	0x64(GS)
#define CPU_SLOWFLAGS	0x98(GS)
#define CPU_DR7		0xa0(GS)
#define CPU_IRET_OFF	0x70
#define CPU_IRET_RIP	0x70(GS)
#define CPU_IRET_CS	0x78(GS)
#define CPU_IRET_FLAGS	0x80(GS)
#define CPU_IRET_RSP	0x88(GS)
#define CPU_IRET_SS	0x90(GS)

// struct Frame: fifteen registers, vector, error code, and what IRETQ pops.
#define FRAME_SIZE	176
#define FRAME_RDI	112
#define FRAME_VECTOR	120
#define FRAME_RIP	136
#define FRAME_CS	144
#define FRAME_RSP	160

// struct thread, relative to its frame: the XMM registers lie below, the FS
// base and the mark that the XMM registers are to be restored above.
#define FRAME_XMM	-256
#define FRAME_FS	176
#define FRAME_XMMLIVE	184

// cpu.Context.
#define CTX_R15		0
#define CTX_R14		8
#define CTX_R13		16
#define CTX_R12		24
#define CTX_RBP		32
#define CTX_RBX		40
#define CTX_R11		48
#define CTX_R10		56
#define CTX_R9		64
#define CTX_R8		72
#define CTX_RAX		80
#define CTX_RCX		88
#define CTX_RDX		96
#define CTX_RSI		104
#define CTX_RDI		112
#define CTX_ORIGRAX	120
#define CTX_RIP		128
#define CTX_RFLAGS	144
#define CTX_RSP		152
#define CTX_FSBASE	168
#define CTX_GSBASE	176
#define CTX_VECTOR	184
#define CTX_ERROR	188
#define CTX_FAULT	192
#define CTX_KICKED	200
#define CTX_FPU		208
#define CTX_ONCPU	216

// The extended-state area of a context: an XSAVE image at the start of a page,
// and at the page's end which CPU holds the live state (its mark, 0 for none).
#define FPU_MXCSR	24
#define FPU_XMM		160
#define FPU_CPU		4088
// Before that the breakpoints in effect with the context: DR0 to DR3 and DR7.
#define FPU_DR0		4040
#define FPU_DR7		4072

// AX to a debug register, DR6 to AX. The assembler knows only some of them.
#define WRITEDR(n) \
	BYTE $0x0f; BYTE $0x23; BYTE $(0xc0+8*n)
#define READDR6 \
	BYTE $0x0f; BYTE $0x21; BYTE $0xf0
#define DR6_CLEAR	0xffff0ff0

// The first CPU's stack, in bytes.
#define STACK0_SIZE	16384

// Selectors, the same as Linux's.
#define KERNEL_CS	0x10
#define KERNEL_SS	0x18
#define USER_SS		0x2b
#define USER_CS		0x33

#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102

// An entry by way of the IDT leaves SS null where SYSCALL leaves KERNEL_SS. A
// binary translator such as QEMU's keeps code apart by that: with one value it
// translates what both kinds of entry reach once. It clobbers AX.
#define SETSS \
	MOVL	$KERNEL_SS, AX; \
	MOVW	AX, SS

// FS base := AX. Without FSGSBASE it clobbers CX and DX.
#define SETFS \
	CMPB	CPU_FSGSBASE, $0; \
	JEQ	3(PC); \
	WRFSBASEQ AX; \
	JMP	5(PC); \
	MOVQ	AX, DX; \
	SHRQ	$32, DX; \
	MOVL	$MSR_FS_BASE, CX; \
	WRMSR

#define PUSHREGS \
	PUSHQ	DI; \
	PUSHQ	SI; \
	PUSHQ	DX; \
	PUSHQ	CX; \
	PUSHQ	AX; \
	PUSHQ	R8; \
	PUSHQ	R9; \
	PUSHQ	R10; \
	PUSHQ	R11; \
	PUSHQ	BX; \
	PUSHQ	BP; \
	PUSHQ	R12; \
	PUSHQ	R13; \
	PUSHQ	R14; \
	PUSHQ	R15

#define POPREGS \
	POPQ	R15; \
	POPQ	R14; \
	POPQ	R13; \
	POPQ	R12; \
	POPQ	BP; \
	POPQ	BX; \
	POPQ	R11; \
	POPQ	R10; \
	POPQ	R9; \
	POPQ	R8; \
	POPQ	AX; \
	POPQ	CX; \
	POPQ	DX; \
	POPQ	SI; \
	POPQ	DI

#define SAVEXMM(at, r) \
	MOVUPS	X0, (at+0)(r); \
	MOVUPS	X1, (at+16)(r); \
	MOVUPS	X2, (at+32)(r); \
	MOVUPS	X3, (at+48)(r); \
	MOVUPS	X4, (at+64)(r); \
	MOVUPS	X5, (at+80)(r); \
	MOVUPS	X6, (at+96)(r); \
	MOVUPS	X7, (at+112)(r); \
	MOVUPS	X8, (at+128)(r); \
	MOVUPS	X9, (at+144)(r); \
	MOVUPS	X10, (at+160)(r); \
	MOVUPS	X11, (at+176)(r); \
	MOVUPS	X12, (at+192)(r); \
	MOVUPS	X13, (at+208)(r); \
	MOVUPS	X14, (at+224)(r); \
	MOVUPS	X15, (at+240)(r)

#define LOADXMM(at, r) \
	MOVUPS	(at+0)(r), X0; \
	MOVUPS	(at+16)(r), X1; \
	MOVUPS	(at+32)(r), X2; \
	MOVUPS	(at+48)(r), X3; \
	MOVUPS	(at+64)(r), X4; \
	MOVUPS	(at+80)(r), X5; \
	MOVUPS	(at+96)(r), X6; \
	MOVUPS	(at+112)(r), X7; \
	MOVUPS	(at+128)(r), X8; \
	MOVUPS	(at+144)(r), X9; \
	MOVUPS	(at+160)(r), X10; \
	MOVUPS	(at+176)(r), X11; \
	MOVUPS	(at+192)(r), X12; \
	MOVUPS	(at+208)(r), X13; \
	MOVUPS	(at+224)(r), X14; \
	MOVUPS	(at+240)(r), X15
