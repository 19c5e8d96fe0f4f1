package loader

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// object is an ELF file being mapped: the program or its interpreter.
type object struct {
	file *vfs.File
	header
	segs []segment
	// lo, hi, align are the extent of its segments; bias is what is added
	// to the file's addresses.
	lo, hi, align, bias uint64
}

// openObject reads and checks an ELF file whose first bytes are head.
func openObject(c vfs.Caller, f *vfs.File, head []byte) (*object, error) {
	h, err := parseHeader(head)
	if err != nil {
		return nil, err
	}
	o := &object{file: f, header: h}
	size := h.phnum * segmentSize
	table := make([]byte, size)
	if h.phoff <= uint64(len(head)) && h.phoff+uint64(size) <= uint64(len(head)) {
		copy(table, head[h.phoff:])
	} else if n, err := readAt(c, f, table, int64(h.phoff)); err != nil || n < size {
		return nil, unix.ENOEXEC
	}
	o.segs = parseSegments(table, h.phnum)
	var ok bool
	if o.lo, o.hi, o.align, ok = extent(o.segs); !ok {
		return nil, unix.ENOEXEC
	}
	return o, nil
}

// interpreter returns the path in PT_INTERP, "" when there is none.
func (o *object) interpreter(c vfs.Caller) (string, error) {
	for _, s := range o.segs {
		if s.typ != ptInterp {
			continue
		}
		if s.filesz < 2 || s.filesz > unix.PathMax {
			return "", unix.ENOEXEC
		}
		name := make([]byte, s.filesz)
		if n, err := readAt(c, o.file, name, int64(s.off)); err != nil || n < len(name) {
			return "", unix.EIO
		}
		if name[len(name)-1] != 0 {
			return "", unix.ENOEXEC
		}
		for i, b := range name {
			if b == 0 {
				return string(name[:i]), nil
			}
		}
	}
	return "", nil
}

// executableStack says whether PT_GNU_STACK asks for one. Without the header
// amd64 programs get a stack that is not (Linux 5.8).
func (o *object) executableStack() bool {
	for _, s := range o.segs {
		if s.typ == ptGNUStack {
			return s.flags&pfX != 0
		}
	}
	return false
}

// place reserves the object's extent: a position-dependent one where it wants
// to be, others at hint (0: wherever mmap puts it).
func (o *object) place(as *mm.AddressSpace, hint uint64) error {
	if o.typ == typeExec {
		o.bias = 0
		return nil
	}
	size := o.hi - o.lo
	want := size
	if hint == 0 && o.align > pageSize {
		want += o.align
	}
	at, err := as.Map(mm.MapRequest{
		Addr: mm.Addr(hint &^ (o.align - 1)), Len: want, Prot: unix.PROT_NONE,
		Flags: unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE,
	})
	if err != nil {
		return err
	}
	base := (uint64(at) + o.align - 1) &^ (o.align - 1)
	if base+size > uint64(at)+want { // the hint was not honoured
		base = uint64(at)
	}
	if lead := base - uint64(at); lead > 0 {
		if err := as.Unmap(at, lead); err != nil {
			return err
		}
	}
	if tail := uint64(at) + want - base - size; tail > 0 {
		if err := as.Unmap(mm.Addr(base+size), tail); err != nil {
			return err
		}
	}
	o.bias = base - o.lo
	return nil
}

// mapSegments maps the object's segments over the place reserved for them.
func (o *object) mapSegments(as *mm.AddressSpace) error {
	reserved := o.typ == typeDyn
	for _, s := range o.segs {
		if s.typ != ptLoad || s.memsz == 0 {
			continue
		}
		if err := o.mapSegment(as, s, reserved); err != nil {
			return err
		}
	}
	if reserved {
		return o.unmapHoles(as)
	}
	return nil
}

// mapSegment maps one segment: its file part privately from the page cache,
// the rest of its last page cleared, and anonymous memory for what follows.
func (o *object) mapSegment(as *mm.AddressSpace, s segment, reserved bool) error {
	start := pageDown(s.vaddr + o.bias)
	fileEnd := s.vaddr + o.bias + s.filesz
	memEnd := pageUp(s.vaddr + o.bias + s.memsz)
	flags := unix.MAP_PRIVATE | unix.MAP_FIXED
	if !reserved {
		flags = unix.MAP_PRIVATE | unix.MAP_FIXED_NOREPLACE
	}
	anonymousFrom := start
	if s.filesz > 0 {
		anonymousFrom = pageUp(fileEnd)
		_, err := as.Map(mm.MapRequest{
			Addr: mm.Addr(start), Len: anonymousFrom - start, Prot: protection(s.flags), Flags: flags,
			File: o.file, Offset: pageDown(s.off), MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC,
		})
		if err != nil {
			return err
		}
		if s.memsz > s.filesz && s.flags&pfW != 0 {
			if err := clearTail(as, fileEnd); err != nil {
				return err
			}
		}
	}
	if memEnd <= anonymousFrom {
		return nil
	}
	_, err := as.Map(mm.MapRequest{
		Addr: mm.Addr(anonymousFrom), Len: memEnd - anonymousFrom, Prot: protection(s.flags),
		Flags: flags | unix.MAP_ANONYMOUS, MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC,
	})
	return err
}

// clearTail zeroes from a to the end of its page.
func clearTail(as *mm.AddressSpace, a uint64) error {
	n := pageUp(a) - a
	if n == 0 {
		return nil
	}
	_, err := as.CopyOut(mm.Addr(a), zeros[:n])
	return err
}

var zeros [pageSize]byte

// unmapHoles gives back what the reservation holds between segments.
func (o *object) unmapHoles(as *mm.AddressSpace) error {
	at := o.lo
	for at < o.hi {
		next, end := o.hi, o.hi
		for _, s := range o.segs {
			if s.typ != ptLoad || s.memsz == 0 {
				continue
			}
			lo, hi := pageDown(s.vaddr), pageUp(s.vaddr+s.memsz)
			if hi > at && lo < next {
				next, end = lo, hi
			}
		}
		if next > at {
			if err := as.Unmap(mm.Addr(at+o.bias), next-at); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}

// protection turns PF_* into PROT_*.
func protection(flags uint32) int {
	prot := 0
	if flags&pfR != 0 {
		prot |= unix.PROT_READ
	}
	if flags&pfW != 0 {
		prot |= unix.PROT_WRITE
	}
	if flags&pfX != 0 {
		prot |= unix.PROT_EXEC
	}
	return prot
}
