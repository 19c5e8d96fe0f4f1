package bpf

import (
	"testing"

	"golang.org/x/sys/unix"
)

// bytes is a Source of bytes.
type bytes []byte

func (b bytes) Size() uint32 { return uint32(len(b)) }

func (b bytes) Load(at uint32, size int) (v uint32, ok bool) {
	if uint64(at)+uint64(size) > uint64(len(b)) {
		return 0, false
	}
	for _, x := range b[at : int(at)+size] {
		v = v<<8 | uint32(x)
	}
	return v, true
}

func everything(*Instruction) bool { return true }

func TestPacketLoads(t *testing.T) {
	p := bytes{0x45, 1, 2, 3, 4, 5, 6, 7}
	for _, test := range []struct {
		name string
		load Instruction
		want uint32
	}{
		{"word", Instruction{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 1}, 0x01020304},
		{"half", Instruction{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6}, 0x0607},
		{"byte", Instruction{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 7}, 7},
		{"length", Instruction{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN}, 8},
		{"past the end", Instruction{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 5}, 0},
		{"far away", Instruction{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: ^uint32(0)}, 0},
	} {
		prog := []Instruction{test.load, {Code: unix.BPF_RET | unix.BPF_A}}
		if !Valid(prog, everything) {
			t.Errorf("%s is not valid", test.name)
		}
		if got := Run(prog, p); got != test.want {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.want)
		}
	}
	// The length of an IPv4 header, and a byte behind it and X.
	prog := []Instruction{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH},
		{Code: unix.BPF_MISC | unix.BPF_TXA},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: 6},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	if got := Run(prog, p); got != 20%6 {
		t.Errorf("header length %d", got)
	}
}

func FuzzPrograms(f *testing.F) {
	f.Add([]byte{0x20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0}, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, p, data []byte) {
		prog := Parse(p)
		if string(Bytes(prog)) != string(p[:len(p)/8*8]) {
			t.Fatal("a program does not survive")
		}
		if Valid(prog, everything) {
			_ = Run(prog, bytes(data))
		}
	})
}
