package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goBuild compiles a small program with the kernel's flags. It has the
// variable that link fills in; its package path must be metal's.
func goBuild(t *testing.T, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module husk\n")
	write("main.go", "package main\n\nimport \"husk/kernel/metal\"\n\nfunc main() { metal.Use() }\n")
	write("kernel/metal/metal.go", source)
	out := filepath.Join(dir, "out")
	c := exec.Command("go", "build", "-ldflags", "-T -2145382400", "-o", out, ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-mod=mod", "GOWORK=off")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const source = `package metal

var image = [15]uint64{%#x}

var large [%d]byte

//go:noinline
func Use() { large[image[1]%%uint64(len(large))]++ }
`

func build(t *testing.T, large int) []byte {
	return goBuild(t, fmt.Sprintf(source, infoMagic, large))
}

func open(t *testing.T, b []byte) *elf.File {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// memory is the image as a loader places it.
type memory map[uint64]byte

func load(f *elf.File) memory {
	m := memory{}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			b := make([]byte, p.Filesz)
			_, _ = p.ReadAt(b, 0)
			for i := range p.Memsz {
				m[p.Paddr+i] = 0
				if i < p.Filesz {
					m[p.Paddr+i] = b[i]
				}
			}
		}
	}
	return m
}

func (m memory) word(pa uint64) uint64 {
	var v uint64
	for i := range uint64(8) {
		v |= uint64(m[pa+i]) << (8 * i)
	}
	return v
}

// walk translates as the processor does; ok is false where nothing is mapped.
func (m memory) walk(root, va uint64) (entry uint64, large, ok bool) {
	table := root
	for shift := 39; ; shift -= 9 {
		e := m.word(table + va>>shift&511*8)
		if e&ptePresent == 0 {
			return 0, false, false
		}
		if shift == 12 || (shift == 21 && e&pteLarge != 0) {
			return e, shift == 21, true
		}
		table = e & 0x000ffffffffff000
	}
}

func readInfo(t *testing.T, program []byte, m memory) info {
	t.Helper()
	symbols, err := open(t, program).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == infoSymbol {
			b := make([]byte, s.Size)
			for i := range b {
				b[i] = m[s.Value-base+uint64(i)]
			}
			var inf info
			if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, &inf); err != nil {
				t.Fatal(err)
			}
			return inf
		}
	}
	t.Fatal("no info")
	return info{}
}

func TestLoadersFindPhysicalAddressesAndTheNote(t *testing.T) {
	program := build(t, 100)
	kernel, err := link(program)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, kernel)
	note := false
	for _, p := range f.Progs {
		if p.Paddr != p.Vaddr-base {
			t.Errorf("segment at %#x has physical address %#x", p.Vaddr, p.Paddr)
		}
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			t.Errorf("segment at %#x is writable and executable", p.Vaddr)
		}
		if p.Type == elf.PT_NOTE {
			note = true
			b := make([]byte, p.Filesz)
			_, _ = p.ReadAt(b, 0)
			want := "\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x00\x10\x00\x00\x00\x00\x00"
			if string(b) != want {
				t.Errorf("note %q", b)
			}
		}
	}
	if !note {
		t.Error("no PVH note")
	}
	if f.Entry < bootPhys || f.Entry >= bootPhys+pageSize {
		t.Errorf("entry %#x is not in the boot page", f.Entry)
	}
	m := load(f)
	if m[f.Entry] != 0xfa { // cli
		t.Errorf("entry begins with %#x", m[f.Entry])
	}
}

func TestPageTablesGiveEachPageItsSegmentsRights(t *testing.T) {
	program := build(t, 100)
	kernel, err := link(program)
	if err != nil {
		t.Fatal(err)
	}
	m := load(open(t, kernel))
	inf := readInfo(t, program, m)
	root := inf.PML4 - base
	in := open(t, program)
	for _, p := range in.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		for va := p.Vaddr; va < p.Vaddr+p.Memsz; va += pageSize {
			e, _, ok := m.walk(root, va)
			if va >= inf.HoleStart && va < inf.HoleEnd {
				if ok {
					t.Fatalf("%#x in the hole is mapped to %#x", va, e)
				}
				continue
			}
			if !ok || e&0x000ffffffffff000 != va-base {
				t.Fatalf("%#x is mapped to %#x", va, e)
			}
			if w, x := e&pteWrite != 0, e&pteNX == 0; w != (p.Flags&elf.PF_W != 0) || x != (p.Flags&elf.PF_X != 0) {
				t.Fatalf("%#x: writable %t, executable %t, but its segment %v", va, w, x, p.Flags)
			}
		}
	}
	if e, large, ok := m.walk(root, bootPhys); !ok || !large || e&^uint64(0xfff) != 0 {
		t.Error("the trampoline is not mapped one to one")
	}
	if _, _, ok := m.walk(root, inf.End); ok {
		t.Error("memory behind the image is mapped")
	}
	if e := m.word(inf.Direct - base); e != 0 {
		t.Error("the tables of the direct map are not empty")
	}
}

func TestInfoDescribesTheImage(t *testing.T) {
	program := build(t, 100)
	kernel, err := link(program)
	if err != nil {
		t.Fatal(err)
	}
	inf := readInfo(t, program, load(open(t, kernel)))
	text := open(t, program).Section(".text")
	if inf.Magic != infoMagic || inf.Start != base+bootPhys || inf.TextStart > text.Addr || inf.TextEnd < text.Addr+text.Size {
		t.Errorf("%+v", inf)
	}
	if inf.DemandStart != inf.End || inf.DemandEnd != inf.End {
		t.Errorf("small BSS is left for demand: %+v", inf)
	}
	if inf.HoleEnd-inf.HoleStart < 10<<12 || (inf.HoleEnd-inf.HoleStart)%pageSize != 0 || inf.HoleStart%pageSize != 0 || inf.HoleStart < inf.TextEnd {
		t.Errorf("hole: %+v", inf)
	}
	if inf.PCLNTab == 0 || inf.Text == 0 {
		t.Errorf("no symbols: %+v", inf)
	}
}

// Pitfall 5: a library may bring 32 MiB of BSS that a small machine has not.
func TestLargeVariablesGetNoMemoryAtBoot(t *testing.T) {
	program := build(t, 32<<20)
	kernel, err := link(program)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, kernel)
	total := uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			total += p.Memsz
		}
	}
	if total > 8<<20 {
		t.Errorf("the image takes %d bytes of memory", total)
	}
	inf := readInfo(t, program, load(f))
	if inf.DemandEnd-inf.DemandStart < 31<<20 {
		t.Errorf("%d bytes on demand", inf.DemandEnd-inf.DemandStart)
	}
	symbols, _ := open(t, program).Symbols()
	for _, s := range symbols {
		if s.Value >= inf.DemandStart && s.Value < inf.DemandEnd && s.Size > 0 && s.Size < eagerSymbol {
			t.Errorf("%s (%d bytes) is on demand", s.Name, s.Size)
		}
	}
}

func TestTestBinariesLinkToo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds package testing")
	}
	out := filepath.Join(t.TempDir(), "k")
	c := exec.Command("go", "test", "-c", "-tags", "baremetal", "-ldflags", "-T -2145382400 -E husk/kernel/metal.entry", "-o", out, "husk/kernel/metal/machinetest")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if err := run(out, out+".elf"); err != nil {
		t.Fatal(err)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		program    []byte
	}{
		{"empty", "", nil},
		{"not ELF", "bad magic", []byte("#!/bin/sh\nexit 0\n                                              ")},
		{"ordinary program", "", b},
		{"no info", "no initialised variable", goBuild(t, "package metal\n\nfunc Use() {}\n")},
		{"other info", "disagree", goBuild(t, "package metal\n\nvar image = [2]uint64{0x6b73756834366b6d}\n\nfunc Use() { image[1]++ }\n")},
	} {
		if _, err := link(c.program); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzLink(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = link(b) })
}
