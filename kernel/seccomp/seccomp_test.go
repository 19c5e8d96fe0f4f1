package seccomp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/bpf"
)

func assemble(p ...bpf.Instruction) []byte {
	var b []byte
	for _, in := range p {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.JT, in.JF)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b
}

func ret(k uint32) bpf.Instruction {
	return bpf.Instruction{Code: unix.BPF_RET | unix.BPF_K, JT: 0, JF: 0, K: k}
}

func load(at uint32) bpf.Instruction {
	return bpf.Instruction{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, JT: 0, JF: 0, K: at}
}

func TestProgramsAreCheckedAsLinuxChecksThem(t *testing.T) {
	cases := map[string]struct {
		p  []byte
		ok bool
	}{
		"empty":                  {nil, false},
		"return":                 {assemble(ret(Allow)), true},
		"no return":              {assemble(load(0)), false},
		"return of A":            {assemble(bpf.Instruction{Code: unix.BPF_RET | unix.BPF_A}), true},
		"return of X":            {assemble(bpf.Instruction{Code: unix.BPF_RET | unix.BPF_X}), false},
		"load past the data":     {assemble(load(64), ret(0)), false},
		"load between the words": {assemble(load(2), ret(0)), false},
		"half a word":            {assemble(bpf.Instruction{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS}, ret(0)), false},
		"packet load":            {assemble(bpf.Instruction{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_IND}, ret(0)), false},
		"jump out":               {assemble(bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JA, JT: 0, JF: 0, K: 1}, ret(0)), false},
		"jump far out":           {assemble(bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JA, JT: 0, JF: 0, K: ^uint32(0)}, ret(0)), false},
		"branch out":             {assemble(bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 1, K: 0}, ret(0)), false},
		"division by zero":       {assemble(bpf.Instruction{Code: unix.BPF_ALU | unix.BPF_DIV}, ret(0)), false},
		"remainder":              {assemble(bpf.Instruction{Code: unix.BPF_ALU | 0x90, K: 3}, ret(0)), false},
		"long shift":             {assemble(bpf.Instruction{Code: unix.BPF_ALU | unix.BPF_LSH, K: 32}, ret(0)), false},
		"word not stored":        {assemble(bpf.Instruction{Code: unix.BPF_LD | unix.BPF_MEM}, ret(0)), false},
		"word stored":            {assemble(bpf.Instruction{Code: unix.BPF_ST}, bpf.Instruction{Code: unix.BPF_LD | unix.BPF_MEM}, ret(0)), true},
		"word stored on one way": {assemble(
			bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 1, K: 0}, bpf.Instruction{Code: unix.BPF_ST},
			bpf.Instruction{Code: unix.BPF_LD | unix.BPF_MEM}, ret(0)), false},
		"no such word": {assemble(bpf.Instruction{Code: unix.BPF_ST, K: 16}, ret(0)), false},
		"too long":     {make([]byte, 8*(maxInstructions+1)), false},
	}
	for name, c := range cases {
		if _, err := New(c.p, nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// openOnly denies the call nr with an error and another when its argument 0 is 7.
func sample(t *testing.T, prev *Filter) *Filter {
	f, err := New(assemble(
		load(4), bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 1, JF: 0, K: Arch}, ret(KillProcess),
		load(0), bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 1, K: unix.SYS_OPEN}, ret(Errno|13),
		bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 3, K: unix.SYS_DUP},
		load(16), bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 1, K: 7}, ret(Trap|5),
		ret(Allow)), prev)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheStrictestOfAllFiltersCounts(t *testing.T) {
	first := sample(t, nil)
	second, err := New(assemble(load(0), bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 1, K: unix.SYS_OPEN}, ret(KillProcess), ret(Log)), first)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    *Filter
		d    Data
		want uint32
	}{
		{first, Data{NR: unix.SYS_OPEN, Arch: Arch}, Errno | 13},
		{first, Data{NR: unix.SYS_OPEN}, KillProcess},
		{first, Data{NR: unix.SYS_DUP, Arch: Arch}, Allow},
		{first, Data{NR: unix.SYS_DUP, Arch: Arch, Args: [6]uint64{7}}, Trap | 5},
		{second, Data{NR: unix.SYS_OPEN, Arch: Arch}, KillProcess},
		{second, Data{NR: unix.SYS_DUP, Arch: Arch}, Log},
		{second, Data{NR: unix.SYS_DUP, Arch: Arch, Args: [6]uint64{7}}, Trap | 5},
	} {
		if got, _ := c.f.Run(&c.d); got != c.want {
			t.Errorf("%+v: %#x, want %#x", c.d, got, c.want)
		}
	}
	if first.Allows(unix.SYS_OPEN) || first.Allows(unix.SYS_DUP) || !first.Allows(unix.SYS_READ) || second.Allows(unix.SYS_READ) {
		t.Error("the calls that are always allowed are not known")
	}
	if !second.Descends(first) || first.Descends(second) || second.Count() != 2 {
		t.Error("the order of filters is lost")
	}
	if string(second.Program(0)) != string(first.Program(0)) || second.Program(2) != nil {
		t.Error("programs are not found by number")
	}
}

func TestFiltersAreBoundedInSum(t *testing.T) {
	long := make([]bpf.Instruction, maxInstructions)
	for i := range long {
		long[i] = ret(Allow)
	}
	var f *Filter
	for i := range 9 {
		g, err := New(assemble(long...), f)
		if want := i < 7; (err == nil) != want {
			t.Errorf("filter %d: %v", i, err)
		}
		if err != nil {
			break
		}
		f = g
	}
}

// FuzzFilter runs what the checks let pass; what is said to be allowed always
// must be.
func FuzzFilter(f *testing.F) {
	f.Add(assemble(load(0), bpf.Instruction{Code: unix.BPF_JMP | unix.BPF_JEQ, JT: 0, JF: 1, K: 2}, ret(Errno), ret(Allow)), uint32(2), uint64(3))
	f.Add(assemble(bpf.Instruction{Code: unix.BPF_ST}, bpf.Instruction{Code: unix.BPF_LDX | unix.BPF_MEM}, bpf.Instruction{Code: unix.BPF_ALU | unix.BPF_DIV | unix.BPF_X}, ret(0)), uint32(0), uint64(0))
	f.Fuzz(func(t *testing.T, program []byte, nr uint32, arg uint64) {
		g, err := New(program, nil)
		if err != nil {
			return
		}
		d := Data{NR: int32(nr % numbers), Arch: Arch, IP: arg, Args: [6]uint64{arg, arg >> 7, 0, ^arg}}
		result, _ := g.Run(&d)
		if g.Allows(uint64(d.NR)) && result&ActionMask != Allow {
			t.Errorf("%#x though the call is always allowed", result)
		}
	})
}
