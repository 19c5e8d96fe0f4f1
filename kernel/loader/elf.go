package loader

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The parts of an ELF file that a loader reads (System V ABI, chapters 4 and
// 5, and its AMD64 supplement).
const (
	headerSize  = 64
	segmentSize = 56

	typeExec = 2
	typeDyn  = 3

	machineAMD64 = 62

	ptLoad     = 1
	ptInterp   = 3
	ptGNUStack = 0x6474e551

	pfX = 1
	pfW = 2
	pfR = 4
)

// header is what matters of Elf64_Ehdr.
type header struct {
	typ   uint16
	entry uint64
	phoff uint64
	phnum int
}

// segment is Elf64_Phdr.
type segment struct {
	typ, flags                uint32
	off, vaddr, filesz, memsz uint64
	align                     uint64
}

// maxSegments bounds the program header table as Linux does: 64 KiB of it.
const maxSegments = 65536 / segmentSize

// parseHeader reads the ELF header at the start of b. What is not an
// executable for this machine is ENOEXEC, as execve(2) has it.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize || string(b[:4]) != "\x7fELF" {
		return header{}, unix.ENOEXEC
	}
	const class64, littleEndian = 2, 1
	if b[4] != class64 || b[5] != littleEndian {
		return header{}, unix.ENOEXEC
	}
	le := binary.LittleEndian
	h := header{typ: le.Uint16(b[16:]), entry: le.Uint64(b[24:]), phoff: le.Uint64(b[32:]), phnum: int(le.Uint16(b[56:]))}
	if h.typ != typeExec && h.typ != typeDyn || le.Uint16(b[18:]) != machineAMD64 {
		return header{}, unix.ENOEXEC
	}
	if le.Uint16(b[54:]) != segmentSize || h.phnum == 0 || h.phnum > maxSegments {
		return header{}, unix.ENOEXEC
	}
	return h, nil
}

// parseSegments reads the program header table from its bytes.
func parseSegments(b []byte, n int) []segment {
	le := binary.LittleEndian
	segs := make([]segment, n)
	for i := range segs {
		p := b[i*segmentSize:]
		segs[i] = segment{
			typ: le.Uint32(p), flags: le.Uint32(p[4:]),
			off: le.Uint64(p[8:]), vaddr: le.Uint64(p[16:]),
			filesz: le.Uint64(p[32:]), memsz: le.Uint64(p[40:]), align: le.Uint64(p[48:]),
		}
	}
	return segs
}

// extent returns the span of addresses of the loadable segments, page
// aligned, and their greatest alignment. ok is false when there are none or
// their sizes are impossible.
func extent(segs []segment) (lo, hi, align uint64, ok bool) {
	lo, align = ^uint64(0), pageSize
	for _, s := range segs {
		if s.typ != ptLoad {
			continue
		}
		end := s.vaddr + s.memsz
		if s.filesz > s.memsz || end < s.vaddr || end > userMax || s.off+s.filesz < s.off {
			return 0, 0, 0, false
		}
		if s.vaddr%pageSize != s.off%pageSize {
			return 0, 0, 0, false
		}
		lo, hi = min(lo, s.vaddr), max(hi, end)
		if s.align&(s.align-1) == 0 && s.align <= maxAlign {
			align = max(align, s.align)
		}
		ok = true
	}
	return pageDown(lo), pageUp(hi), align, ok
}

func pageDown(a uint64) uint64 { return a &^ (pageSize - 1) }
func pageUp(a uint64) uint64   { return (a + pageSize - 1) &^ (pageSize - 1) }
