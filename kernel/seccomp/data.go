package seccomp

import (
	"golang.org/x/sys/unix"

	"husk/kernel/bpf"
)

// loads reports whether filters of calls may use an instruction that loads:
// aligned words of struct seccomp_data.
func loads(in *bpf.Instruction) bool {
	return in.Code == unix.BPF_LD|unix.BPF_W|unix.BPF_ABS && in.K < dataSize && in.K%4 == 0
}

// Load returns the 32-bit word of struct seccomp_data at an offset.
func (d *Data) Load(at uint32, _ int) (uint32, bool) {
	switch at {
	case 0:
		return uint32(d.NR), true
	case 4:
		return d.Arch, true
	case 8:
		return uint32(d.IP), true
	case 12:
		return uint32(d.IP >> 32), true
	}
	return uint32(d.Args[(at-16)/8%6] >> (at % 8 * 8)), true
}

// Size is the size of struct seccomp_data.
func (d *Data) Size() uint32 { return dataSize }

// alwaysAllows reports whether a valid program allows a call by its number
// alone. It follows the instructions that such a decision is made of.
func alwaysAllows(p []bpf.Instruction, nr uint32) bool {
	var a uint32
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch in.K {
			case 0:
				a = nr
			case 4:
				a = Arch
			default:
				return false
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K&ActionMask == Allow
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K,
			unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			if bpf.Holds(in.Code, a, in.K) {
				pc += int(in.JT)
			} else {
				pc += int(in.JF)
			}
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		default:
			return false
		}
	}
	return false
}
