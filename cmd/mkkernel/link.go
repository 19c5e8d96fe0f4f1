package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

const (
	pageSize = 4096

	// base is where physical address 0 would appear in the kernel's half:
	// the image is mapped at base plus its physical address.
	base = 0xffffffff80000000

	// bootPhys is where the boot segment lies: trampolines and page tables.
	// The Go program follows at 2 MiB (0xffffffff80200000).
	bootPhys = 0x100000

	// imageLimit bounds the image to what one page directory covers.
	imageLimit = base + 1<<30

	// eagerSymbol is the size up to which a trailing BSS symbol is given
	// memory at boot. Larger ones (crypto/rand has 32 MiB) are mapped on
	// demand, page by page.
	eagerSymbol = 1 << 20
)

// Page-table entry bits (Intel SDM vol. 3, 4.5).
const (
	ptePresent = 1 << 0
	pteWrite   = 1 << 1
	pteLarge   = 1 << 7
	pteGlobal  = 1 << 8
	pteNX      = 1 << 63
)

// infoSymbol is the variable of the kernel in which link reports what it did;
// info must be laid out like it (kernel/metal/image.go).
const infoSymbol = "husk/kernel/metal.image"

const infoMagic = 0x6b73756834366b6d

type info struct {
	Magic uint64
	// Start and End bound the memory that the image takes from boot on.
	Start, End uint64
	// TextStart and TextEnd bound the executable part.
	TextStart, TextEnd uint64
	// DemandStart and DemandEnd bound the BSS that is mapped on demand.
	DemandStart, DemandEnd uint64
	// PML4 is the address of the boot page tables' root, Direct that of a
	// zeroed page-directory-pointer table for the direct map and a zeroed
	// page directory behind it.
	PML4, Direct uint64
	// PCLNTab and Text are runtime.pclntab and runtime.text, out of which
	// the kernel names functions when it dies.
	PCLNTab, Text uint64
	// HoleStart and HoleEnd bound whole pages inside the image that it does
	// not use, because compact made the tables in front of them smaller.
	HoleStart, HoleEnd uint64
	// GlobalsScan is the address of the word of the garbage collector's
	// pacer that shall be Globals: the bytes of variables to scan.
	GlobalsScan, Globals uint64
}

// segment is a piece of the image: what a program header describes and the
// page tables enforce.
type segment struct {
	vaddr, memsz uint64
	data         []byte
	flags        elf.ProgFlag
}

func (s segment) end() uint64 { return s.vaddr + s.memsz }

// link makes the kernel out of a statically linked Go program.
//
// Layout of the result, by physical address:
//
//	1 MiB  boot segment: trampolines, GDT, PVH note, page tables
//	2 MiB  the program's segments, at vaddr - base
//
// The boot page tables map the first 2 MiB one to one, for the trampoline
// alone (the kernel drops that mapping), and the image at base, each page with
// no more rights than its segment asks for.
func link(program []byte) ([]byte, error) {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	if f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC {
		return nil, errors.New("not a statically linked amd64 program")
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("needs its symbol table (link without -s): %w", err)
	}

	var segments []segment
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Memsz == 0 {
			continue
		}
		if p.Vaddr < base+bootPhys || p.Vaddr+p.Memsz > imageLimit || p.Vaddr%pageSize != 0 {
			return nil, fmt.Errorf("segment at %#x is outside the kernel's range (link with -T -2145382400)", p.Vaddr)
		}
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			return nil, fmt.Errorf("segment at %#x is both writable and executable", p.Vaddr)
		}
		data := make([]byte, p.Filesz)
		if _, err := p.ReadAt(data, 0); err != nil {
			return nil, fmt.Errorf("segment at %#x: %w", p.Vaddr, err)
		}
		segments = append(segments, segment{p.Vaddr, p.Memsz, data, p.Flags})
	}
	if len(segments) == 0 {
		return nil, errors.New("no segments")
	}
	sort.Slice(segments, func(i, j int) bool { return segments[i].vaddr < segments[j].vaddr })

	if err := compact(segments, symbols); err != nil {
		return nil, err
	}
	last := &segments[len(segments)-1]
	inf := info{Magic: infoMagic, Start: base + bootPhys, DemandEnd: roundUp(last.end())}
	if cut := eagerEnd(symbols, last.vaddr+uint64(len(last.data)), last.end()); cut < last.end() {
		last.memsz = cut - last.vaddr
	}
	// Whole pages: the loader clears what the file does not hold.
	last.memsz = roundUp(last.end()) - last.vaddr
	inf.End = last.end()
	inf.DemandStart = inf.End
	for i, s := range segments {
		if i > 0 && s.vaddr-roundUp(segments[i-1].end()) > inf.HoleEnd-inf.HoleStart {
			inf.HoleStart, inf.HoleEnd = roundUp(segments[i-1].end()), s.vaddr
		}
		if s.flags&elf.PF_X != 0 {
			inf.TextStart, inf.TextEnd = s.vaddr, roundUp(s.end())
		}
	}

	masks, err := preset(f, segments, symbols, extraAddress(inf.End), &inf)
	if err != nil {
		return nil, err
	}
	boot := buildBoot(segments, f.Entry, inf.End, masks)
	if boot.end() > segments[0].vaddr {
		return nil, errors.New("page tables collide with the program")
	}
	inf.PML4 = base + boot.pml4
	inf.Direct = base + boot.direct
	for _, s := range symbols {
		switch s.Name {
		case "runtime.pclntab":
			inf.PCLNTab = s.Value
		case "runtime.text":
			inf.Text = s.Value
		}
	}
	if err := patchInfo(segments, symbols, inf); err != nil {
		return nil, err
	}
	return writeELF(append([]segment{boot.segment}, segments...), boot), nil
}

func roundUp(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

// eagerEnd returns where the part of [start, end), the BSS, ends that gets
// memory at boot: in front of the large symbols at its end. The linker sorts
// symbols by size, so those of a few bytes never come after.
func eagerEnd(symbols []elf.Symbol, start, end uint64) uint64 {
	var bss []elf.Symbol
	for _, s := range symbols {
		if s.Value >= start && s.Value < end && s.Size > 0 {
			bss = append(bss, s)
		}
	}
	sort.Slice(bss, func(i, j int) bool { return bss[i].Value < bss[j].Value })
	cut := end
	for i := len(bss) - 1; i >= 0 && bss[i].Size > eagerSymbol; i-- {
		cut = bss[i].Value
	}
	return min(end, roundUp(cut))
}

// patchInfo stores inf in the kernel's image variable.
func patchInfo(segments []segment, symbols []elf.Symbol, inf info) error {
	for _, s := range symbols {
		if s.Name != infoSymbol {
			continue
		}
		var b bytes.Buffer
		_ = binary.Write(&b, binary.LittleEndian, inf)
		if s.Size != uint64(b.Len()) {
			return fmt.Errorf("%s has %d bytes, want %d: mkkernel and kernel/metal disagree", infoSymbol, s.Size, b.Len())
		}
		for _, seg := range segments {
			if s.Value >= seg.vaddr && s.Value+s.Size <= seg.vaddr+uint64(len(seg.data)) {
				at := seg.data[s.Value-seg.vaddr:]
				if binary.LittleEndian.Uint64(at) != infoMagic {
					return fmt.Errorf("%s does not begin with its magic number", infoSymbol)
				}
				copy(at, b.Bytes())
				return nil
			}
		}
	}
	return fmt.Errorf("no initialised variable %s: not a kernel", infoSymbol)
}

// writeELF lays the segments out in a file. The file has no section headers:
// debuggers read the linker's output, whose addresses are the same.
func writeELF(segments []segment, boot bootSegment) []byte {
	const ehsize, phsize = 64, 56
	le := binary.LittleEndian
	n := len(segments) + 1
	out := make([]byte, ehsize+n*phsize)

	copy(out, elf.ELFMAG)
	out[4], out[5], out[6] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	le.PutUint16(out[16:], uint16(elf.ET_EXEC))
	le.PutUint16(out[18:], uint16(elf.EM_X86_64))
	le.PutUint32(out[20:], uint32(elf.EV_CURRENT))
	// Loaders that know the Linux 64-bit protocol jump to the entry, which
	// must be a physical address; PVH loaders follow the note.
	le.PutUint64(out[24:], boot.linuxEntry)
	le.PutUint64(out[32:], ehsize)
	le.PutUint16(out[52:], ehsize)
	le.PutUint16(out[54:], phsize)
	le.PutUint16(out[56:], uint16(n))
	le.PutUint16(out[58:], 64)

	header := func(i int, typ elf.ProgType, flags elf.ProgFlag, off, vaddr, filesz, memsz, align uint64) {
		h := out[ehsize+i*phsize:]
		le.PutUint32(h, uint32(typ))
		le.PutUint32(h[4:], uint32(flags))
		le.PutUint64(h[8:], off)
		le.PutUint64(h[16:], vaddr)
		le.PutUint64(h[24:], vaddr-base)
		le.PutUint64(h[32:], filesz)
		le.PutUint64(h[40:], memsz)
		le.PutUint64(h[48:], align)
	}
	for i, s := range segments {
		out = append(out, make([]byte, roundUp(uint64(len(out)))-uint64(len(out)))...)
		off := uint64(len(out))
		out = append(out, s.data...)
		header(i, elf.PT_LOAD, s.flags, off, s.vaddr, uint64(len(s.data)), s.memsz, pageSize)
		if i == 0 {
			header(n-1, elf.PT_NOTE, elf.PF_R, off+boot.noteOff, s.vaddr+boot.noteOff,
				boot.noteSize, boot.noteSize, 4)
		}
	}
	return out
}
