package seccomp

import "golang.org/x/sys/unix"

// The parts of an instruction's code, as golang.org/x/sys/unix names them:
// class, and by class size and mode, operation and source, or operation.

const words = 16 // BPF_MEMWORDS

// valid reports whether Linux takes the program: every instruction is one that
// filters may use, jumps go forward and stay inside, words are stored before
// they are loaded, and the end is a return.
func valid(p []instruction) bool {
	n := uint64(len(p))
	// stored are the words that every way to the next instruction stores; to
	// is the same for targets of jumps.
	stored := uint16(0)
	to := make([]uint16, len(p))
	for i := range to {
		to[i] = ^uint16(0)
	}
	for i, in := range p {
		stored &= to[i]
		left := n - uint64(i) - 1
		switch in.code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if in.k >= dataSize || in.k%4 != 0 {
				return false
			}
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
			if in.k == 0 {
				return false
			}
		case unix.BPF_ALU | unix.BPF_LSH | unix.BPF_K, unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K:
			if in.k >= 32 {
				return false
			}
		case unix.BPF_ST, unix.BPF_STX:
			if in.k >= words {
				return false
			}
			stored |= 1 << in.k
		case unix.BPF_LD | unix.BPF_MEM, unix.BPF_LDX | unix.BPF_MEM:
			if in.k >= words || stored>>in.k&1 == 0 {
				return false
			}
		case unix.BPF_JMP | unix.BPF_JA:
			if uint64(in.k) >= left {
				return false
			}
			to[uint64(i)+1+uint64(in.k)] &= stored
			stored = ^uint16(0)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X,
			unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_X,
			unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGT | unix.BPF_X,
			unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_X:
			if uint64(in.jt) >= left || uint64(in.jf) >= left {
				return false
			}
			to[i+1+int(in.jt)] &= stored
			to[i+1+int(in.jf)] &= stored
			stored = ^uint16(0)
		default:
			return false
		}
	}
	return p[n-1].code&0x07 == unix.BPF_RET
}

// word returns the 32-bit word of struct seccomp_data at an offset.
func (d *Data) word(at uint32) uint32 {
	switch at {
	case 0:
		return uint32(d.NR)
	case 4:
		return d.Arch
	case 8:
		return uint32(d.IP)
	case 12:
		return uint32(d.IP >> 32)
	}
	return uint32(d.Args[(at-16)/8%6] >> (at % 8 * 8))
}

// run executes a valid program.
func run(p []instruction, d *Data) uint32 {
	var a, x uint32
	var mem [words]uint32
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		operand := in.k
		if in.code&unix.BPF_X != 0 {
			operand = x
		}
		switch in.code & 0x07 {
		case unix.BPF_LD, unix.BPF_LDX:
			v := in.k // BPF_IMM
			switch in.code & 0xe0 {
			case unix.BPF_ABS:
				v = d.word(in.k)
			case unix.BPF_LEN:
				v = dataSize
			case unix.BPF_MEM:
				v = mem[in.k%words]
			}
			if in.code&0x07 == unix.BPF_LD {
				a = v
			} else {
				x = v
			}
		case unix.BPF_ST:
			mem[in.k%words] = a
		case unix.BPF_STX:
			mem[in.k%words] = x
		case unix.BPF_ALU:
			switch in.code & 0xf0 {
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
			case unix.BPF_NEG:
				a = -a
			}
		case unix.BPF_JMP:
			if in.code&0xf0 == unix.BPF_JA {
				pc += int(in.k)
			} else if holds(in.code, a, operand) {
				pc += int(in.jt)
			} else {
				pc += int(in.jf)
			}
		case unix.BPF_RET:
			if in.code&0x18 == unix.BPF_A {
				return a
			}
			return in.k
		case unix.BPF_MISC:
			if in.code&0xf8 == unix.BPF_TXA {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}

// holds is the condition of a jump.
func holds(code uint16, a, b uint32) bool {
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

// alwaysAllows reports whether a valid program allows a call by its number
// alone. It follows the instructions that such a decision is made of.
func alwaysAllows(p []instruction, nr uint32) bool {
	var a uint32
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		switch in.code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch in.k {
			case 0:
				a = nr
			case 4:
				a = Arch
			default:
				return false
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.k&ActionMask == Allow
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.k)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K,
			unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			if holds(in.code, a, in.k) {
				pc += int(in.jt)
			} else {
				pc += int(in.jf)
			}
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.k
		default:
			return false
		}
	}
	return false
}
