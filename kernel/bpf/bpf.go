// Package bpf is classic BPF, the programs of seccomp(2) and of SO_ATTACH_FILTER
// (bpf(4), Linux's Documentation/networking/filter.rst): checked as Linux does,
// and run over whatever their user lets them load.
package bpf

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Instruction is struct sock_filter.
type Instruction struct {
	Code   uint16
	JT, JF uint8
	K      uint32
}

// Parse decodes an array of struct sock_filter.
func Parse(p []byte) []Instruction {
	prog := make([]Instruction, len(p)/8)
	for i := range prog {
		b := p[8*i:]
		prog[i] = Instruction{binary.LittleEndian.Uint16(b), b[2], b[3], binary.LittleEndian.Uint32(b[4:])}
	}
	return prog
}

// Bytes is the array that Parse reads.
func Bytes(prog []Instruction) []byte {
	b := make([]byte, 0, 8*len(prog))
	for _, in := range prog {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.JT, in.JF)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b
}

// A Source is what a program loads from. A load that is not there ends the
// program with 0.
type Source interface {
	// Load returns 1, 2 or 4 bytes at an offset.
	Load(at uint32, size int) (uint32, bool)
	// Size is the value of BPF_LEN.
	Size() uint32
}

// The parts of an instruction's code, as golang.org/x/sys/unix names them:
// class, and by class size and mode, operation and source, or operation.

const words = 16 // BPF_MEMWORDS

// Valid reports whether Linux takes the program: every instruction is one that
// filters may use, jumps go forward and stay inside, words are stored before
// they are loaded, and the end is a return. What else than the usual one may
// use, loads of data above all, special says.
func Valid(p []Instruction, special func(in *Instruction) bool) bool {
	if len(p) == 0 {
		return false
	}
	n := uint64(len(p))
	// stored are the words that every way to the next instruction stores; to
	// is the same for targets of jumps.
	stored := uint16(0)
	to := make([]uint16, len(p))
	for i := range to {
		to[i] = ^uint16(0)
	}
	for i := range p {
		in := &p[i]
		stored &= to[i]
		left := n - uint64(i) - 1
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_LEN, unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN,
			unix.BPF_LD | unix.BPF_IMM, unix.BPF_LDX | unix.BPF_IMM,
			unix.BPF_RET | unix.BPF_K, unix.BPF_RET | unix.BPF_A,
			unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K, unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K, unix.BPF_ALU | unix.BPF_SUB | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, unix.BPF_ALU | unix.BPF_MUL | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_DIV | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, unix.BPF_ALU | unix.BPF_AND | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_OR | unix.BPF_K, unix.BPF_ALU | unix.BPF_OR | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_XOR | unix.BPF_K, unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_LSH | unix.BPF_X, unix.BPF_ALU | unix.BPF_RSH | unix.BPF_X,
			unix.BPF_ALU | unix.BPF_NEG, unix.BPF_MISC | unix.BPF_TAX, unix.BPF_MISC | unix.BPF_TXA:
		case unix.BPF_ALU | unix.BPF_DIV | unix.BPF_K:
			if in.K == 0 {
				return false
			}
		case unix.BPF_ALU | unix.BPF_LSH | unix.BPF_K, unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K:
			if in.K >= 32 {
				return false
			}
		case unix.BPF_ST, unix.BPF_STX:
			if in.K >= words {
				return false
			}
			stored |= 1 << in.K
		case unix.BPF_LD | unix.BPF_MEM, unix.BPF_LDX | unix.BPF_MEM:
			if in.K >= words || stored>>in.K&1 == 0 {
				return false
			}
		case unix.BPF_JMP | unix.BPF_JA:
			if uint64(in.K) >= left {
				return false
			}
			to[uint64(i)+1+uint64(in.K)] &= stored
			stored = ^uint16(0)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X,
			unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_X,
			unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGT | unix.BPF_X,
			unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_X:
			if uint64(in.JT) >= left || uint64(in.JF) >= left {
				return false
			}
			to[i+1+int(in.JT)] &= stored
			to[i+1+int(in.JF)] &= stored
			stored = ^uint16(0)
		default:
			if !special(in) {
				return false
			}
		}
	}
	return p[n-1].Code&0x07 == unix.BPF_RET
}

// Run executes a valid program.
func Run(p []Instruction, d Source) uint32 {
	var a, x uint32
	var mem [words]uint32
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		operand := in.K
		if in.Code&unix.BPF_X != 0 {
			operand = x
		}
		switch in.Code & 0x07 {
		case unix.BPF_LD, unix.BPF_LDX:
			v := in.K // BPF_IMM
			ok := true
			switch in.Code & 0xe0 {
			case unix.BPF_ABS:
				v, ok = d.Load(in.K, size(in.Code))
			case unix.BPF_IND:
				v, ok = d.Load(in.K+x, size(in.Code))
			case unix.BPF_MSH:
				v, ok = d.Load(in.K, 1)
				v = v & 15 * 4
			case unix.BPF_LEN:
				v = d.Size()
			case unix.BPF_MEM:
				v = mem[in.K%words]
			}
			if !ok {
				return 0
			}
			if in.Code&0x07 == unix.BPF_LD {
				a = v
			} else {
				x = v
			}
		case unix.BPF_ST:
			mem[in.K%words] = a
		case unix.BPF_STX:
			mem[in.K%words] = x
		case unix.BPF_ALU:
			switch in.Code & 0xf0 {
			case unix.BPF_ADD:
				a += operand
			case unix.BPF_SUB:
				a -= operand
			case unix.BPF_MUL:
				a *= operand
			case unix.BPF_DIV:
				if operand == 0 {
					return 0
				}
				a /= operand
			case unix.BPF_AND:
				a &= operand
			case unix.BPF_OR:
				a |= operand
			case unix.BPF_XOR:
				a ^= operand
			case unix.BPF_LSH:
				a <<= operand & 31
			case unix.BPF_RSH:
				a >>= operand & 31
			case unix.BPF_MOD:
				if operand == 0 {
					return 0
				}
				a %= operand
			case unix.BPF_NEG:
				a = -a
			}
		case unix.BPF_JMP:
			if in.Code&0xf0 == unix.BPF_JA {
				pc += int(in.K)
			} else if Holds(in.Code, a, operand) {
				pc += int(in.JT)
			} else {
				pc += int(in.JF)
			}
		case unix.BPF_RET:
			if in.Code&0x18 == unix.BPF_A {
				return a
			}
			return in.K
		case unix.BPF_MISC:
			if in.Code&0xf8 == unix.BPF_TXA {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}

// size is how many bytes a load takes.
func size(code uint16) int {
	switch code & 0x18 {
	case unix.BPF_H:
		return 2
	case unix.BPF_B:
		return 1
	}
	return 4
}

// Holds is the condition of a jump.
func Holds(code uint16, a, b uint32) bool {
	switch code & 0xf0 {
	case unix.BPF_JEQ:
		return a == b
	case unix.BPF_JGT:
		return a > b
	case unix.BPF_JGE:
		return a >= b
	}
	return a&b != 0
}
