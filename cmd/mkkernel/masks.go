package main

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// The Go runtime begins with work whose result is known when the kernel is
// linked. Some of it can be spared a boot without changing the runtime:
//
//   - The pointer masks of the data and bss sections. The linker gives them as
//     programs ("GC programs" in runtime/mbitmap.go), and the runtime runs these
//     unless the module already has its masks, as if it had been loaded before.
//     That is a tenth of all that is executed before the first process. What the
//     runtime also does then, it leaves to metal: to tell the collector's pacer
//     how much there is to scan.
//   - Memory profiling, which the runtime turns off itself where nothing reads
//     profiles, but only after the first allocations.
//
// A new Go release that does otherwise makes mkkernel fail.

// preset stores the masks, for which it returns the bytes that shall lie at
// masksAt, and turns memory profiling off. It fills in what metal is to do.
func preset(f *elf.File, segments []segment, symbols []elf.Symbol, masksAt uint64, inf *info) ([]byte, error) {
	v := variables{segments, map[string]elf.Symbol{}}
	for _, s := range symbols {
		v.symbols[s.Name] = s
	}
	// The linker sets this one, where nothing can read a profile.
	if off, err := v.bytes("runtime.disableMemoryProfiling", 1); err == nil && off[0] == 1 {
		rate, err := v.bytes("runtime.MemProfileRate", 8)
		if err != nil {
			return nil, err
		}
		clear(rate)
	}

	fields, err := fieldOffsets(f, "runtime.moduledata")
	if err != nil {
		return nil, err
	}
	size := v.symbols["runtime.firstmoduledata"].Size
	module, err := v.bytes("runtime.firstmoduledata", size)
	if err != nil {
		return nil, err
	}
	word := func(name string) uint64 {
		if off, ok := fields[name]; ok && off+8 <= size {
			return binary.LittleEndian.Uint64(module[off:])
		}
		return 0
	}
	var masks []byte
	for _, s := range []struct{ mask, program, start, end string }{
		{"gcdatamask", "gcdata", "data", "edata"},
		{"gcbssmask", "gcbss", "bss", "ebss"},
	} {
		at, ok := fields[s.mask]
		if !ok || at+16 > size || word(s.program) == 0 || word(s.end) < word(s.start) {
			return nil, fmt.Errorf("runtime.moduledata is not as expected around %s", s.mask)
		}
		mask, n, err := runGCProgram(v.from(word(s.program)), (word(s.end)-word(s.start)+7)/8)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.program, err)
		}
		// struct bitvector { n int32; bytedata *uint8 }
		binary.LittleEndian.PutUint32(module[at:], uint32(n))
		binary.LittleEndian.PutUint64(module[at+8:], masksAt+uint64(len(masks)))
		masks = append(masks, mask...)
		inf.Globals += word(s.end) - word(s.start)
	}
	pacer, err := fieldOffsets(f, "runtime.gcControllerState")
	if err != nil {
		return nil, err
	}
	at, ok := pacer["globalsScan"]
	if s, found := v.symbols["runtime.gcController"]; !ok || !found || at+8 > s.Size {
		return nil, errors.New("runtime.gcController is not as expected around globalsScan")
	}
	inf.GlobalsScan = v.symbols["runtime.gcController"].Value + at
	return masks, nil
}

// runGCProgram returns the bits that a GC program makes, at most limit.
func runGCProgram(p []byte, limit uint64) (mask []byte, n uint64, err error) {
	truncated := errors.New("GC program is truncated")
	bit := func(i uint64) bool { return mask[i/8]>>(i%8)&1 != 0 }
	add := func(b bool) {
		if n%8 == 0 {
			mask = append(mask, 0)
		}
		if b {
			mask[n/8] |= 1 << (n % 8)
		}
		n++
	}
	next := func() (b byte, ok bool) {
		if len(p) == 0 {
			return 0, false
		}
		b, p = p[0], p[1:]
		return b, true
	}
	number := func() (uint64, bool) {
		v, size := binary.Uvarint(p)
		if size <= 0 {
			return 0, false
		}
		p = p[size:]
		return v, true
	}
	for {
		op, ok := next()
		switch count := uint64(op & 0x7f); {
		case !ok:
			return nil, 0, truncated
		case op == 0:
			return mask, n, nil
		case op < 0x80: // that many bits follow
			if uint64(len(p)) < (count+7)/8 || n+count > limit {
				return nil, 0, truncated
			}
			for i := range count {
				add(p[i/8]>>(i%8)&1 != 0)
			}
			p = p[(count+7)/8:]
		default: // repeat the last count bits
			if count == 0 {
				if count, ok = number(); !ok {
					return nil, 0, truncated
				}
			}
			times, ok := number()
			if !ok || count > n || count != 0 && times > (limit-n)/count {
				return nil, 0, errors.New("GC program repeats more than there is")
			}
			for range count * times {
				add(bit(n - count))
			}
		}
	}
}

// variables are the program's variables with their initial values.
type variables struct {
	segments []segment
	symbols  map[string]elf.Symbol
}

// bytes is the initial value of a variable, to be changed in place.
func (v variables) bytes(name string, size uint64) ([]byte, error) {
	s, ok := v.symbols[name]
	if b := v.from(s.Value); ok && s.Size == size && uint64(len(b)) >= size {
		return b[:size], nil
	}
	return nil, fmt.Errorf("no initialised variable %s of %d bytes", name, size)
}

// from is what the image holds from addr to the end of a segment.
func (v variables) from(addr uint64) []byte {
	for _, s := range v.segments {
		if addr >= s.vaddr && addr-s.vaddr < uint64(len(s.data)) {
			return s.data[addr-s.vaddr:]
		}
	}
	return nil
}

// fieldOffsets finds the offsets of a struct's fields in the program's debug
// information.
func fieldOffsets(f *elf.File, name string) (map[string]uint64, error) {
	d, err := f.DWARF()
	if err != nil {
		return nil, fmt.Errorf("needs debug information (link without -w): %w", err)
	}
	fields := map[string]uint64{}
	inside := false
	for r := d.Reader(); ; {
		e, err := r.Next()
		if err != nil || e == nil {
			return nil, fmt.Errorf("no type %s in the debug information", name)
		}
		switch {
		case inside && e.Tag == dwarf.TagMember:
			field, _ := e.Val(dwarf.AttrName).(string)
			if off, ok := e.Val(dwarf.AttrDataMemberLoc).(int64); ok {
				fields[field] = uint64(off)
			}
		case inside:
			return fields, nil
		case e.Tag == dwarf.TagStructType && e.Val(dwarf.AttrName) == name:
			inside = true
		case e.Tag == dwarf.TagSubprogram:
			r.SkipChildren()
		}
	}
}
