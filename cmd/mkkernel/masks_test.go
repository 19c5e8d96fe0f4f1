package main

import (
	"bytes"
	"testing"
)

func TestGCPrograms(t *testing.T) {
	for _, c := range []struct {
		name    string
		program []byte
		mask    []byte
		n       uint64
		bad     bool
	}{
		{name: "empty", program: []byte{0}},
		{name: "literal", program: []byte{10, 0x81, 0x02, 0}, mask: []byte{0x81, 0x02}, n: 10},
		{name: "repeat", program: []byte{3, 0b101, 0x83, 2, 0}, mask: []byte{0b01101101, 1}, n: 9},
		{name: "repeat of a long pattern", program: []byte{1, 1, 0x80, 1, 15, 0}, mask: []byte{0xff, 0xff}, n: 16},
		{name: "too long", program: []byte{1, 1, 0x81, 64, 0}, bad: true},
		{name: "repeats nothing", program: []byte{0x82, 1, 0}, bad: true},
		{name: "no end", program: []byte{1, 1}, bad: true},
		{name: "bits are missing", program: []byte{9, 1}, bad: true},
		{name: "nothing", bad: true},
	} {
		mask, n, err := runGCProgram(c.program, 64)
		if (err != nil) != c.bad || !bytes.Equal(mask, c.mask) || n != c.n {
			t.Errorf("%s: %b, %d bits, %v", c.name, mask, n, err)
		}
	}
}

// The words of a variable that hold pointers, and no others, are in the mask.
func TestMasksTellPointers(t *testing.T) {
	program := goBuild(t, `package metal

var image = [15]uint64{0x6b73756834366b6d}

var target int

var Table = [4]struct { n uintptr; p *int }{{1, &target}, {2, &target}, {3, &target}, {4, &target}}

//go:noinline
func Use() { Table[image[1]%4].n++; target++ }
`)
	kernel, err := link(program)
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := open(t, program).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	m := load(open(t, kernel))
	fields, err := fieldOffsets(open(t, program), "runtime.moduledata")
	if err != nil {
		t.Fatal(err)
	}
	address := map[string]uint64{}
	for _, s := range symbols {
		address[s.Name] = s.Value
	}
	module := address["runtime.firstmoduledata"] - base
	mask := m.word(module+fields["gcdatamask"]+8) - base
	for i := range uint64(8) {
		word := (address["husk/kernel/metal.Table"] - m.word(module+fields["data"])) / 8
		word += i
		if pointer := m[mask+word/8]>>(word%8)&1 == 1; pointer != (i%2 == 1) {
			t.Errorf("word %d of the table: pointer %t", i, pointer)
		}
	}
	if inf := readInfo(t, program, m); inf.GlobalsScan < address["runtime.gcController"] || inf.Globals < 4*16 {
		t.Errorf("the pacer's word is at %#x, %d bytes are to scan", inf.GlobalsScan, inf.Globals)
	}
	if n := m.word(module+fields["gcbssmask"]) & 0xffffffff; n == 0 {
		t.Error("no mask for the bss section")
	}
}
