// Package elfdeps finds out what a program needs by reading ELF headers, never
// by running anything: its interpreter, the closure of its shared libraries in
// the order in which the dynamic linker would load them, and who asked for
// which. It knows the search rules of glibc's and of musl's dynamic linker.
//
// In flows a program's path within a sysroot.Root; out flows a Closure.
package elfdeps

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on what is believed of a foreign file. Real files are far below.
const (
	maxProgs   = 512       // program headers
	maxDynamic = 1 << 16   // entries of the dynamic section
	maxNeeded  = 4096      // DT_NEEDED entries of one file
	maxString  = 4096      // bytes of one name or path list
	maxStrtab  = 256 << 20 // bytes of the dynamic string table
)

// File is what ELF headers say of one program or library.
type File struct {
	Type     elf.Type
	Machine  elf.Machine
	Entry    uint64
	Interp   string // "" when there is none
	Soname   string
	Needed   []string
	RPath    []string // DT_RPATH, ignored by glibc beside a RUNPATH
	RunPath  []string // DT_RUNPATH
	NoDefLib bool     // -z nodefaultlib
	PIE      bool     // marked as position-independent executable
	Dynamic  bool     // has a dynamic section
	Go       bool     // made by the Go toolchain

	r              io.ReaderAt
	strOff, strLen int64 // the dynamic string table in the file
}

// Kind classifies a FormatError.
type Kind int

// The kinds of unusable file.
const (
	NotELF        Kind = iota + 1 // no ELF header at all
	WrongClass                    // 32-bit
	WrongMachine                  // for another processor
	NotExecutable                 // an object file, a core dump, a library that cannot be started
	Truncated                     // ends before what its headers promise
	Corrupt                       // headers contradict each other
	NoPermission                  // the execute bits are clear
)

// FormatError says why a file is not a program that can run. Its sentence
// begins with the path.
type FormatError struct {
	Path   string
	Kind   Kind
	Detail string
}

func (e *FormatError) Error() string { return e.Path + ": " + e.Detail }

func bad(k Kind, format string, args ...any) error {
	return &FormatError{Kind: k, Detail: fmt.Sprintf(format, args...)}
}

// named puts the path into a FormatError that lacks it.
func named(path string, err error) error {
	var fe *FormatError
	if errors.As(err, &fe) && fe.Path == "" {
		fe.Path = path
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Parse reads the headers of an ELF file of the given size for machine m. It
// looks at program headers only, as the kernel and the dynamic linker do, so
// that stripped section headers do not matter. The File keeps r for Mentions.
func Parse(r io.ReaderAt, size int64, m elf.Machine) (*File, error) {
	var hdr [64]byte
	n, err := r.ReadAt(hdr[:min(size, 64)], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case n == 0:
		return nil, bad(NotELF, "is empty")
	case n < 4 || string(hdr[:4]) != elf.ELFMAG:
		return nil, bad(NotELF, "is not an ELF executable nor a script that begins with #!%s", guess(hdr[:n]))
	case n < 20:
		return nil, truncated(size)
	case elf.Class(hdr[elf.EI_CLASS]) == elf.ELFCLASS32:
		return nil, bad(WrongClass, "is a 32-bit program; only 64-bit programs (%s) can run", machine(m))
	case elf.Class(hdr[elf.EI_CLASS]) != elf.ELFCLASS64:
		return nil, bad(Corrupt, "has a damaged ELF header (class %d)", hdr[elf.EI_CLASS])
	case elf.Data(hdr[elf.EI_DATA]) == elf.ELFDATA2MSB:
		return nil, bad(WrongMachine, "is a program for %s, this machine runs %s", machine(elf.Machine(binary.BigEndian.Uint16(hdr[18:]))), machine(m))
	case elf.Data(hdr[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return nil, bad(Corrupt, "has a damaged ELF header (data encoding %d)", hdr[elf.EI_DATA])
	}
	le := binary.LittleEndian
	f := &File{Type: elf.Type(le.Uint16(hdr[16:])), Machine: elf.Machine(le.Uint16(hdr[18:])), r: r}
	if f.Machine != m {
		return nil, bad(WrongMachine, "is a program for %s, this machine runs %s", machine(f.Machine), machine(m))
	}
	if n < 64 {
		return nil, truncated(size)
	}
	switch f.Type {
	case elf.ET_EXEC, elf.ET_DYN:
	case elf.ET_REL:
		return nil, bad(NotExecutable, "is an object file, not a program; link it first")
	case elf.ET_CORE:
		return nil, bad(NotExecutable, "is a core dump, not a program")
	default:
		return nil, bad(NotExecutable, "is not a program (ELF type %d)", int(f.Type))
	}
	f.Entry = le.Uint64(hdr[24:])
	phoff, phentsize, phnum := le.Uint64(hdr[32:]), le.Uint16(hdr[54:]), le.Uint16(hdr[56:])
	if phnum == 0 || phnum > maxProgs || phentsize != 56 {
		return nil, bad(Corrupt, "has a damaged ELF header (%d program headers of %d bytes)", phnum, phentsize)
	}
	if phoff > uint64(size) || uint64(phnum)*56 > uint64(size)-phoff {
		return nil, truncated(size)
	}
	ph := make([]byte, int(phnum)*56)
	if err := readFull(r, ph, int64(phoff)); err != nil {
		return nil, err
	}
	var loads []elf.Prog64
	var dyn *elf.Prog64
	for ; len(ph) > 0; ph = ph[56:] {
		p := elf.Prog64{
			Type: le.Uint32(ph), Flags: le.Uint32(ph[4:]), Off: le.Uint64(ph[8:]), Vaddr: le.Uint64(ph[16:]),
			Filesz: le.Uint64(ph[32:]), Memsz: le.Uint64(ph[40:]), Align: le.Uint64(ph[48:]),
		}
		t := elf.ProgType(p.Type)
		if t != elf.PT_LOAD && t != elf.PT_DYNAMIC && t != elf.PT_INTERP && t != elf.PT_NOTE {
			continue
		}
		// Detached debug files keep headers of what was taken out: their
		// notes and tables are not looked at unless needed.
		inside := p.Off <= uint64(size) && p.Filesz <= uint64(size)-p.Off
		if !inside && t != elf.PT_NOTE {
			return nil, truncated(size)
		}
		switch t {
		case elf.PT_LOAD:
			if p.Filesz > p.Memsz || p.Vaddr+p.Memsz < p.Vaddr {
				return nil, bad(Corrupt, "has a damaged program header (segment at %#x)", p.Vaddr)
			}
			loads = append(loads, p)
		case elf.PT_DYNAMIC:
			dyn = &p
		case elf.PT_INTERP:
			if p.Filesz < 2 || p.Filesz > maxString {
				return nil, bad(Corrupt, "names its interpreter in %d bytes", p.Filesz)
			}
			b := make([]byte, p.Filesz)
			if err := readFull(r, b, int64(p.Off)); err != nil {
				return nil, err
			}
			name, _, ok := bytes.Cut(b, []byte{0})
			if !ok || len(name) == 0 {
				return nil, bad(Corrupt, "has a damaged interpreter name")
			}
			f.Interp = string(name)
		case elf.PT_NOTE:
			if inside && p.Filesz >= 16 && !f.Go {
				var b [16]byte
				if err := readFull(r, b[:], int64(p.Off)); err != nil {
					return nil, err
				}
				f.Go = le.Uint32(b[:]) == 4 && string(b[12:16]) == "Go\x00\x00"
			}
		}
	}
	if len(loads) == 0 {
		return nil, bad(Corrupt, "has no loadable segment")
	}
	if dyn != nil && dyn.Filesz > 0 {
		if err := f.dynamic(dyn, loads); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// dynamic reads the dynamic section.
func (f *File) dynamic(dyn *elf.Prog64, loads []elf.Prog64) error {
	le := binary.LittleEndian
	if dyn.Filesz/16 > maxDynamic {
		return bad(Corrupt, "has a dynamic section of %d bytes", dyn.Filesz)
	}
	f.Dynamic = true
	b := make([]byte, dyn.Filesz/16*16)
	if err := readFull(f.r, b, int64(dyn.Off)); err != nil {
		return err
	}
	var strtab, strsz, soname, rpath, runpath uint64
	var needed []uint64
	for ; len(b) > 0; b = b[16:] {
		tag, val := elf.DynTag(le.Uint64(b)), le.Uint64(b[8:])
		if tag == elf.DT_NULL {
			break
		}
		switch tag {
		case elf.DT_NEEDED:
			if len(needed) == maxNeeded {
				return bad(Corrupt, "needs more than %d libraries", maxNeeded)
			}
			needed = append(needed, val)
		case elf.DT_STRTAB:
			strtab = val
		case elf.DT_STRSZ:
			strsz = val
		case elf.DT_SONAME:
			soname = val
		case elf.DT_RPATH:
			rpath = val
		case elf.DT_RUNPATH:
			runpath = val
		case elf.DT_FLAGS_1:
			f.NoDefLib = val&uint64(elf.DF_1_NODEFLIB) != 0
			f.PIE = val&uint64(elf.DF_1_PIE) != 0
		}
	}
	if strtab == 0 {
		if len(needed) > 0 {
			return bad(Corrupt, "has a dynamic section without a string table")
		}
		return nil
	}
	found := false
	for _, p := range loads {
		if strtab >= p.Vaddr && strtab-p.Vaddr < p.Filesz {
			f.strOff = int64(p.Off + (strtab - p.Vaddr))
			f.strLen = int64(min(strsz, p.Filesz-(strtab-p.Vaddr), maxStrtab))
			found = true
			break
		}
	}
	if !found {
		return bad(Corrupt, "has a dynamic string table outside its segments")
	}
	var err error
	str := func(off uint64) string {
		if off == 0 || err != nil {
			return ""
		}
		var s string
		s, err = f.str(off)
		return s
	}
	f.Soname = str(soname)
	f.RPath = splitPath(str(rpath))
	f.RunPath = splitPath(str(runpath))
	for _, off := range needed {
		name := str(off)
		if err == nil && name == "" {
			return bad(Corrupt, "needs a library without a name")
		}
		f.Needed = append(f.Needed, name)
	}
	return err
}

func (f *File) str(off uint64) (string, error) {
	if off >= uint64(f.strLen) {
		return "", bad(Corrupt, "has a name outside its dynamic string table")
	}
	// Names are short: most reads end with the first piece.
	for n := int64(128); ; n *= 8 {
		n = min(n, f.strLen-int64(off), maxString)
		b := make([]byte, n)
		if err := readFull(f.r, b, f.strOff+int64(off)); err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(b[:i]), nil
		}
		if n == maxString || n == f.strLen-int64(off) {
			return "", bad(Corrupt, "has a name without an end in its dynamic string table")
		}
	}
}

// Mentions reports whether the file imports or exports a symbol that ends in
// the name. It looks for the name in the dynamic string table, where linkers
// share endings: a cheap test that may say yes too often, never no wrongly.
func (f *File) Mentions(symbols ...string) bool {
	if f.strLen == 0 {
		return false
	}
	b := make([]byte, f.strLen)
	if readFull(f.r, b, f.strOff) != nil {
		return false
	}
	for _, s := range symbols {
		if bytes.Contains(b, []byte(s+"\x00")) {
			return true
		}
	}
	return false
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return bad(Truncated, "is truncated (it ends while being read)")
	}
	return err
}

func truncated(size int64) error {
	return bad(Truncated, "is truncated: the file ends after %d bytes, before what its ELF headers promise", size)
}

// guess names the common things that are mistaken for Linux programs.
func guess(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("MZ")):
		return " (it is a Windows program)"
	case bytes.HasPrefix(b, []byte("\xcf\xfa\xed\xfe")), bytes.HasPrefix(b, []byte("\xca\xfe\xba\xbe")), bytes.HasPrefix(b, []byte("\xce\xfa\xed\xfe")):
		return " (it is a macOS program or a Java class)"
	case bytes.HasPrefix(b, []byte("!<arch>\n")):
		return " (it is a static library)"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return " (it is a zip or jar archive)"
	}
	return ""
}

// machine is the everyday name of a processor.
func machine(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86-64"
	case elf.EM_386:
		return "i386"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_RISCV:
		return "riscv"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// splitPath splits a list of directories at colons; empty elements (the
// current directory) are dropped: what is current is not known here.
func splitPath(s string) []string {
	var dirs []string
	for d := range strings.SplitSeq(s, ":") {
		if d != "" {
			dirs = append(dirs, d)
		}
	}
	return dirs
}
