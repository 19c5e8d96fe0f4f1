// The functions of the user vDSO, in the C calling convention. They are never
// called where they stand: the generator copies their bytes into the image and
// patches the displacement of each DATA_PAGE, so they must be free of
// relocations, stack use and calls.

#include "textflag.h"

// DATA_PAGE loads the address of the data page into R8. It is the first
// instruction of each function: LEAQ disp32(RIP), R8, patched by the generator.
#define DATA_PAGE BYTE $0x4c; BYTE $0x8d; BYTE $0x05; LONG $0

#define SEQ    0(R8)
#define BASE   8(R8)
#define MULT   16(R8)
#define SHIFT  24(R8)
#define REAL   32(R8)
#define FLAGS  48(R8)

// NANOSECONDS leaves CLOCK_MONOTONIC plus R11 in AX; R11 is loaded from
// the operand OFFSET inside the retry loop. Clobbers CX, DX, R9.
// LFENCE keeps RDTSC from being executed early (Intel SDM, RDTSC).
#define NANOSECONDS(retry, go, OFFSET) \
retry: \
	MOVQ  SEQ, R9 \
	TESTB $1, R9 \
	JEQ   go \
	PAUSE \
	JMP   retry \
go: \
	LFENCE \
	RDTSC \
	SHLQ  $32, DX \
	ORQ   DX, AX \
	SUBQ  BASE, AX \
	MULQ  MULT \
	MOVQ  SHIFT, CX \
	SHRQ  CX, DX, AX \
	MOVQ  OFFSET, R11 \
	ADDQ  R11, AX \
	CMPQ  R9, SEQ \
	JNE   retry

// SECONDS splits the nanoseconds in AX into seconds in DX and the rest in AX:
// division by 10^9 as multiplication by its reciprocal. Clobbers CX.
#define SECONDS \
	MOVQ  AX, CX \
	SHRQ  $9, AX \
	MOVQ  $0x44B82FA09B5A53, DX \
	MULQ  DX \
	SHRQ  $11, DX \
	IMUL3Q $1000000000, DX, AX \
	SUBQ  AX, CX \
	MOVQ  CX, AX

// int clock_gettime(clockid_t id, struct timespec *ts)
TEXT ·clockGettime(SB), NOSPLIT|NOFRAME, $0
	DATA_PAGE
	TESTB $1, FLAGS
	JEQ   fallback
	CMPL  DI, $11
	JHI   fallback
	// REALTIME 0 and its coarse form 5 add REAL, TAI 11 adds TAI; MONOTONIC
	// 1, RAW 4, its coarse form 6 and BOOTTIME 7 add nothing.
	MOVL  $0x8f3, AX
	BTL   DI, AX
	JCC   fallback
	LEAQ  32(R8), R10 // &REAL
	CMPL  DI, $11
	JEQ   tai
	MOVL  $0x21, AX
	BTL   DI, AX
	JCS   offset
	LEAQ  56(R8), R10 // a zero word behind the data
	JMP   offset
tai:
	LEAQ  40(R8), R10
offset:
	NANOSECONDS(retry, go, 0(R10))
	SECONDS
	MOVQ  DX, 0(SI)
	MOVQ  AX, 8(SI)
	XORL  AX, AX
	RET
fallback:
	MOVL  $228, AX
	SYSCALL
	RET

// int gettimeofday(struct timeval *tv, struct timezone *tz)
TEXT ·gettimeofday(SB), NOSPLIT|NOFRAME, $0
	DATA_PAGE
	TESTB $1, FLAGS
	JEQ   fallback
	TESTQ DI, DI
	JEQ   zone
	NANOSECONDS(retry, go, REAL)
	SECONDS
	MOVQ  DX, 0(DI)
	// Nanoseconds (below 2^30) to microseconds: /1000.
	MOVL  AX, AX
	IMUL3Q $274877907, AX, AX
	SHRQ  $38, AX
	MOVQ  AX, 8(DI)
zone:
	TESTQ SI, SI
	JEQ   done
	MOVQ  $0, 0(SI)
done:
	XORL  AX, AX
	RET
fallback:
	MOVL  $96, AX
	SYSCALL
	RET

// time_t time(time_t *t)
TEXT ·time(SB), NOSPLIT|NOFRAME, $0
	DATA_PAGE
	TESTB $1, FLAGS
	JEQ   fallback
	NANOSECONDS(retry, go, REAL)
	SECONDS
	TESTQ DI, DI
	JEQ   done
	MOVQ  DX, 0(DI)
done:
	MOVQ  DX, AX
	RET
fallback:
	MOVL  $201, AX
	SYSCALL
	RET

// int clock_getres(clockid_t id, struct timespec *res)
TEXT ·clockGetres(SB), NOSPLIT|NOFRAME, $0
	DATA_PAGE
	CMPL  DI, $11
	JHI   fallback
	MOVL  $0x893, AX // the fine ones: 0, 1, 4, 7, 11
	BTL   DI, AX
	JCC   fallback
	TESTQ SI, SI
	JEQ   done
	MOVQ  $0, 0(SI)
	MOVQ  $1, 8(SI)
done:
	XORL  AX, AX
	RET
fallback:
	MOVL  $229, AX
	SYSCALL
	RET

// int getcpu(unsigned *cpu, unsigned *node, void *unused)
TEXT ·getcpu(SB), NOSPLIT|NOFRAME, $0
	DATA_PAGE
	TESTB $2, FLAGS
	JEQ   fallback
	RDTSCP
	TESTQ DI, DI
	JEQ   node
	MOVL  CX, 0(DI)
node:
	TESTQ SI, SI
	JEQ   done
	MOVL  $0, 0(SI)
done:
	XORL  AX, AX
	RET
fallback:
	MOVL  $309, AX
	SYSCALL
	RET

// The end of the last function, so that its length is known.
TEXT ·codeEnd(SB), NOSPLIT|NOFRAME, $0
	RET

// The addresses of the functions themselves: a Go func value would lead to an
// ABI wrapper.
DATA ·entries+0(SB)/8, $·clockGettime(SB)
DATA ·entries+8(SB)/8, $·gettimeofday(SB)
DATA ·entries+16(SB)/8, $·time(SB)
DATA ·entries+24(SB)/8, $·clockGetres(SB)
DATA ·entries+32(SB)/8, $·getcpu(SB)
DATA ·entries+40(SB)/8, $·codeEnd(SB)
GLOBL ·entries(SB), RODATA, $48
