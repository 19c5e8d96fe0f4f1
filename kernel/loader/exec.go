package loader

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// Where things go when nothing else decides, as on Linux for amd64
// (arch/x86/include/asm/elf.h, ELF_ET_DYN_BASE; arch/x86/mm/mmap.c).
const (
	dynBase      = userMax / 3 * 2 &^ (pageSize - 1)
	dynRandom    = 1 << 28 // pages: mmap_rnd_bits
	brkRandom    = 0x2000  // pages: 32 MiB
	stackRandom  = 1 << 22 // pages: 16 GiB
	stackInitial = 132 << 10
)

// loadELF maps the program in r, whose first bytes are head, its interpreter,
// the vDSO and the stack.
func loadELF(as *mm.AddressSpace, r *Request, head []byte) (*Program, error) {
	main, err := openObject(r.Caller, r.File, head)
	if err != nil {
		return nil, err
	}
	interp, err := openInterpreter(r, main)
	if err != nil {
		return nil, err
	}
	if interp != nil {
		defer interp.file.Put()
	}
	rnd := newRandom(r.NoRandomize)
	p := &Program{File: r.File, Path: r.Path, Argv: r.Argv}

	// A program with an interpreter goes to the traditional base; one without
	// (an interpreter run by hand, a static PIE) where mmap puts it.
	hint := uint64(0)
	if interp != nil {
		hint = dynBase + rnd.pages(dynRandom)
	}
	if err := main.load(as, hint); err != nil {
		return nil, err
	}
	p.Entry = main.entry + main.bias
	base := uint64(0)
	if interp != nil {
		if err := interp.load(as, 0); err != nil {
			return nil, err
		}
		p.Entry, base = interp.entry+interp.bias, interp.lo+interp.bias
	}
	if p.Entry >= userMax {
		return nil, unix.ENOEXEC
	}
	main.describe(p)
	p.StartBrk = main.brk(interp != nil, rnd)
	as.SetBrk(mm.Addr(p.StartBrk))

	vdsoAt, err := mapVDSO(as)
	if err != nil {
		return nil, err
	}
	p.Auxv = auxiliary(r, main, base, vdsoAt)
	if err := buildStack(as, r, p, rnd, main.executableStack()); err != nil {
		return nil, err
	}
	return p, nil
}

// openInterpreter opens the program's PT_INTERP; nil when it has none.
func openInterpreter(r *Request, main *object) (*object, error) {
	path, err := main.interpreter(r.Caller)
	if err != nil || path == "" {
		return nil, err
	}
	file, err := r.Open(path)
	if err != nil {
		return nil, err
	}
	var head [headerSize]byte
	n, err := readAt(r.Caller, file, head[:], 0)
	if err == nil && n < headerSize {
		err = unix.EIO
	}
	var o *object
	if err == nil {
		if o, err = openObject(r.Caller, file, head[:n]); err != nil {
			err = unix.ELIBBAD
		}
	}
	if err != nil {
		file.Put()
		return nil, err
	}
	return o, nil
}

func (o *object) load(as *mm.AddressSpace, hint uint64) error {
	if err := o.place(as, hint); err != nil {
		return err
	}
	return o.mapSegments(as)
}

// describe fills in where code and data lie, for /proc/PID/stat.
func (o *object) describe(p *Program) {
	p.StartCode = ^uint64(0)
	for _, s := range o.segs {
		if s.typ != ptLoad {
			continue
		}
		lo, hi := s.vaddr+o.bias, s.vaddr+o.bias+s.filesz
		p.StartData = max(p.StartData, lo)
		if s.flags&pfX != 0 {
			p.StartCode = min(p.StartCode, lo)
			p.EndCode = max(p.EndCode, hi)
		}
		p.EndData = max(p.EndData, hi)
	}
}

// brk is where the heap begins: after the program, at a random distance; for a
// position-independent program without interpreter at the traditional base, so
// that the heap is not squeezed in among the mappings (Linux 5.2).
func (o *object) brk(interpreted bool, rnd *random) uint64 {
	at := o.hi + o.bias
	if o.typ == typeDyn && !interpreted {
		at = dynBase
	}
	return pageUp(at) + rnd.pages(brkRandom)
}

// random is the source of address space randomisation.
type random struct {
	off  bool
	pool [64]byte
	left int
}

func newRandom(off bool) *random { return &random{off: off} }

// pages returns a random distance of up to n pages in bytes, 0 when
// randomisation is off. n is a power of two.
func (r *random) pages(n uint64) uint64 {
	if r.off {
		return 0
	}
	var b [8]byte
	r.read(b[:])
	v := uint64(0)
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v % n * pageSize
}

// read fills p with random bytes.
func (r *random) read(p []byte) {
	for i := range p {
		if r.left == 0 {
			cpu.Random(r.pool[:])
			r.left = len(r.pool)
		}
		r.left--
		p[i] = r.pool[r.left]
	}
}
