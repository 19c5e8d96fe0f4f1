package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// What the runtime knows of its functions (runtime/symtab.go, symtabinl.go)
// takes more of a Go program than anything but its code. compact leaves out
// what the kernel can do without:
//
//   - line tables of functions that are not the kernel's own: a trace then
//     shows "?:0 +0x1a", and "go tool addr2line" the line;
//   - inlining trees of the runtime's functions: a trace does not show what
//     was inlined there. The trees of others must stay: the runtime does not
//     preempt a goroutine in code of its own that was inlined elsewhere;
//   - where arguments lie, which only traces print: "f()" for "f(0x1, 0x2)";
//   - type arguments in names, "[go.shape.…]", of which the runtime prints
//     "[...]" anyway;
//   - entries at the ends of a function's lists that say "none".
//
// Stack maps, frame sizes, safe points and the order of functions stay.

// FUNCDATA and PCDATA tables (internal/abi/symtab.go).
const (
	pcdataInlTreeIndex = 2
	pcdataArgLiveIndex = 3

	funcdataInlTree     = 3
	funcdataArgInfo     = 5
	funcdataArgLiveInfo = 6
)

const (
	pclntabMagic = 0xfffffff1 // abi.CurrentPCLnTabMagic
	headerSize   = 72         // runtime.pcHeader
	funcSize     = 44         // runtime._func without its lists
	inlinedSize  = 16         // runtime.inlinedCall
	none         = ^uint32(0)
)

// Offsets of pointers and slices in runtime.moduledata.
const (
	mdHeader      = 0
	mdFuncnametab = 8
	mdCutab       = 32
	mdFiletab     = 56
	mdPctab       = 80
	mdPclntable   = 104
	mdFtab        = 128
	mdFindfunctab = 152
	mdGofunc      = 320
	mdEpclntab    = 328
	mdTypelinks   = 360
	mdItablinks   = 384
	mdSize        = 592
)

var errTables = errors.New("function tables are not as this program knows them (another toolchain?)")

// reader reads little-endian numbers out of b. Outside of it there are only
// zeros, and bad tells.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(off, n uint64) []byte {
	if off > uint64(len(r.b)) || n > uint64(len(r.b))-off {
		r.bad = true
		return make([]byte, min(n, 64))
	}
	return r.b[off : off+n]
}

func (r *reader) u32(off uint64) uint32 { return binary.LittleEndian.Uint32(r.bytes(off, 4)) }
func (r *reader) u64(off uint64) uint64 { return binary.LittleEndian.Uint64(r.bytes(off, 8)) }

// name returns the NUL-terminated string at off.
func (r *reader) name(off uint64) string {
	if off < uint64(len(r.b)) {
		if n := bytes.IndexByte(r.b[off:], 0); n >= 0 {
			return string(r.b[off : off+uint64(n)])
		}
	}
	r.bad = true
	return ""
}

// sequence returns the pairs of a pc-value table that starts at off:
// value and pc deltas as varints, up to a value delta of 0 that is not the
// first.
func (r *reader) sequence(off uint64) []byte {
	varint := func(i uint64) uint64 {
		for i < uint64(len(r.b)) && r.b[i]&0x80 != 0 {
			i++
		}
		return i + 1
	}
	for i := off; i < uint64(len(r.b)); {
		if r.b[i] == 0 && i != off {
			return r.b[off : i+1]
		}
		i = varint(varint(i))
	}
	r.bad = true
	return nil
}

// pool gathers pieces of bytes, equal ones once.
type pool struct {
	b  []byte
	at map[string]uint32
}

func (p *pool) add(piece []byte, align int) uint32 {
	if off, ok := p.at[string(piece)]; ok && int(off)%align == 0 {
		return off
	}
	for len(p.b)%align != 0 {
		p.b = append(p.b, 0)
	}
	off := uint32(len(p.b))
	p.b = append(p.b, piece...)
	if p.at == nil {
		p.at = map[string]uint32{}
	}
	p.at[string(piece)] = off
	return off
}

// keepsLines reports whether a function's line tables stay: those of this
// module.
func keepsLines(name string) bool {
	return strings.HasPrefix(name, "husk/") || strings.HasPrefix(name, "main.")
}

// neverPreempted reports whether the runtime preempts no goroutine in a
// function for its name alone (isAsyncSafePoint in runtime/preempt.go).
func neverPreempted(name string) bool {
	return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "internal/runtime/") ||
		strings.HasPrefix(name, "reflect.")
}

// shortName is what the runtime prints of a name (funcNameForPrint).
func shortName(name string) string {
	i, j := strings.IndexByte(name, '['), strings.LastIndexByte(name, ']')
	if i < 0 || j <= i {
		return name
	}
	return name[:i] + "[...]" + name[j+1:]
}

// functions are the tables of a program.
type functions struct {
	reader
	names, pctab, pcln uint64 // offsets in b
	gofunc             uint64
	data               []uint32 // where funcdata begin behind gofunc, and the end

	newNames, newPctab, newFuncdata pool
	records                         []byte
}

// compact makes the function tables in segments smaller, moves what lies
// behind them in their segment and shortens the segment.
func compact(segments []segment, symbols []elf.Symbol) error {
	var start, module uint64
	for _, s := range symbols {
		switch s.Name {
		case "runtime.pclntab":
			start = s.Value
		case "runtime.firstmoduledata":
			module = s.Value
		}
	}
	var tables, data *segment
	for i := range segments {
		s := &segments[i]
		if start >= s.vaddr && start < s.vaddr+uint64(len(s.data)) {
			tables = s
		}
		if module >= s.vaddr && module+mdSize <= s.vaddr+uint64(len(s.data)) {
			data = s
		}
	}
	if tables == nil || data == nil {
		return errors.New("no function tables")
	}

	md := data.data[module-data.vaddr:][:mdSize]
	field := func(off int) uint64 { return binary.LittleEndian.Uint64(md[off:]) }
	f := functions{reader: reader{b: tables.data[start-tables.vaddr:]}}
	n := f.u64(8)
	f.names, f.pctab, f.pcln = f.u64(32), f.u64(56), f.u64(64)
	cutab, filetab := f.u64(40), f.u64(48)
	f.gofunc = field(mdGofunc) - start
	findfunc, end := field(mdFindfunctab)-start, field(mdEpclntab)-start
	typelinks, itablinks := field(mdTypelinks)-start, field(mdItablinks)-start
	typelinksSize, itablinksSize := field(mdTypelinks+8)*4, field(mdItablinks+8)*8

	sizes := n < 1<<20 && typelinksSize < 1<<24 && itablinksSize < 1<<24
	inOrder := headerSize <= f.names && f.names < cutab && cutab < filetab && filetab < f.pctab && f.pctab < f.pcln &&
		f.pcln < f.gofunc && f.gofunc < findfunc && findfunc < end && end <= typelinks &&
		typelinks+typelinksSize <= itablinks && itablinks+itablinksSize == uint64(len(f.b)) && tables.memsz == uint64(len(tables.data))
	same := f.u32(0) == pclntabMagic && field(mdHeader) == start && field(mdFuncnametab) == start+f.names &&
		field(mdCutab) == start+cutab && field(mdFiletab) == start+filetab && field(mdPctab) == start+f.pctab &&
		field(mdPclntable) == start+f.pcln && field(mdFtab) == start+f.pcln && field(mdFtab+8) == n+1
	if !sizes || !inOrder || !same || f.bad {
		return errTables
	}
	// Only moduledata may point at what moves.
	for i := range segments {
		s := &segments[i]
		for at := uint64(0); s.flags&elf.PF_W != 0 && at+8 <= uint64(len(s.data)); at += 8 {
			v, inside := binary.LittleEndian.Uint64(s.data[at:]), s.vaddr+at-module < mdSize
			if !inside && v > start && v < tables.end() {
				return fmt.Errorf("word at %#x points into the function tables", s.vaddr+at)
			}
		}
	}

	f.findData(n, findfunc-f.gofunc)
	// 0 is the name of the first function, which the runtime takes for none,
	// and no table.
	f.newNames.add([]byte(shortName(f.name(f.names))+"\x00"), 1)
	f.newPctab.add([]byte{0}, 1)
	functab := make([]byte, (n+1)*8)
	for i := range n {
		entry := f.pcln + i*8
		copy(functab[i*8:], f.bytes(entry, 4))
		binary.LittleEndian.PutUint32(functab[i*8+4:], uint32(len(functab)+len(f.records)))
		f.function(f.pcln + uint64(f.u32(entry+4)))
	}
	copy(functab[n*8:], f.bytes(f.pcln+n*8, 4)) // where the last one ends
	if f.bad {
		return errTables
	}

	// What is read from here on is written over last.
	var out []byte
	place := func(b []byte, fields ...int) uint64 {
		for len(out)%32 != 0 {
			out = append(out, 0)
		}
		off := uint64(len(out))
		out = append(out, b...)
		for _, at := range fields {
			binary.LittleEndian.PutUint64(md[at:], start+off)
		}
		return off
	}
	resize := func(at, n int) {
		binary.LittleEndian.PutUint64(md[at+8:], uint64(n))
		binary.LittleEndian.PutUint64(md[at+16:], uint64(n))
	}
	place(bytes.Clone(f.b[:headerSize]), mdHeader)
	offsets := []uint64{
		place(f.newNames.b, mdFuncnametab),
		place(f.b[cutab:filetab], mdCutab),
		place(f.b[filetab:f.pctab], mdFiletab),
		place(f.newPctab.b, mdPctab),
		place(append(functab, f.records...), mdPclntable, mdFtab),
	}
	for i, off := range offsets {
		binary.LittleEndian.PutUint64(out[32+i*8:], off)
	}
	resize(mdFuncnametab, len(f.newNames.b))
	resize(mdPctab, len(f.newPctab.b))
	resize(mdPclntable, len(functab)+len(f.records))
	place(f.newFuncdata.b, mdGofunc)
	place(f.b[findfunc:end], mdFindfunctab)
	binary.LittleEndian.PutUint64(md[mdEpclntab:], start+uint64(len(out)))
	place(f.bytes(typelinks, typelinksSize), mdTypelinks)
	place(f.bytes(itablinks, itablinksSize), mdItablinks)
	if len(out) > len(f.b) {
		return errors.New("function tables grew")
	}
	tables.data = append(tables.data[:start-tables.vaddr], out...)
	tables.memsz = uint64(len(tables.data))
	return nil
}

// findData finds out where each funcdata ends: at the next one, as far as
// any function refers to it.
func (f *functions) findData(n, size uint64) {
	f.data = []uint32{uint32(size)}
	for i := range n {
		rec := f.pcln + uint64(f.u32(f.pcln+i*8+4))
		lists := rec + funcSize + 4*uint64(f.u32(rec+28))
		for k := range uint64(f.bytes(rec+43, 1)[0]) {
			if off := f.u32(lists + 4*k); off != none {
				f.data = append(f.data, off)
			}
		}
		if f.bad {
			return
		}
	}
	sort.Slice(f.data, func(i, j int) bool { return f.data[i] < f.data[j] })
}

// function adds what stays of the function whose record is at rec.
func (f *functions) function(rec uint64) {
	name := f.name(f.names + uint64(f.u32(rec+4)))
	npcdata, nfuncdata := uint64(f.u32(rec+28)), uint64(f.bytes(rec+43, 1)[0])
	if npcdata > 16 || f.bad {
		f.bad = true
		return
	}
	record := bytes.Clone(f.bytes(rec, funcSize))
	put := func(at int, v uint32) { binary.LittleEndian.PutUint32(record[at:], v) }
	put(4, f.addName(f.u32(rec+4)))
	put(16, f.addSequence(f.u32(rec+16)))
	if keepsLines(name) {
		put(20, f.addSequence(f.u32(rec+20)))
		put(24, f.addSequence(f.u32(rec+24)))
	} else {
		put(20, 0)
		put(24, 0)
	}

	noTree := neverPreempted(name)
	pcdata := make([]uint32, npcdata)
	for k := range pcdata {
		if k != pcdataArgLiveIndex && (k != pcdataInlTreeIndex || !noTree) {
			pcdata[k] = f.addSequence(f.u32(rec + funcSize + 4*uint64(k)))
		}
	}
	funcdata := make([]uint32, nfuncdata)
	for k := range funcdata {
		off := f.u32(rec + funcSize + 4*npcdata + 4*uint64(k))
		switch {
		case off == none, k == funcdataArgInfo, k == funcdataArgLiveInfo, k == funcdataInlTree && noTree:
			funcdata[k] = none
		default:
			funcdata[k] = f.addFuncdata(off, k == funcdataInlTree)
		}
	}
	pcdata, funcdata = trim(pcdata, 0), trim(funcdata, none)
	put(28, uint32(len(pcdata)))
	record[43] = byte(len(funcdata))
	for _, v := range append(pcdata, funcdata...) {
		record = binary.LittleEndian.AppendUint32(record, v)
	}
	f.records = append(f.records, record...)
}

func trim(list []uint32, last uint32) []uint32 {
	for len(list) > 0 && list[len(list)-1] == last {
		list = list[:len(list)-1]
	}
	return list
}

func (f *functions) addName(off uint32) uint32 {
	return f.newNames.add([]byte(shortName(f.name(f.names+uint64(off)))+"\x00"), 1)
}

func (f *functions) addSequence(off uint32) uint32 {
	if off == 0 {
		return 0
	}
	return f.newPctab.add(f.sequence(f.pctab+uint64(off)), 1)
}

func (f *functions) addFuncdata(off uint32, tree bool) uint32 {
	next := sort.Search(len(f.data), func(i int) bool { return f.data[i] > off })
	if next == len(f.data) {
		f.bad = true
		return 0
	}
	data := bytes.Clone(f.bytes(f.gofunc+uint64(off), uint64(f.data[next]-off)))
	if f.bad {
		return 0
	}
	for at := 0; tree && at+inlinedSize <= len(data); at += inlinedSize {
		binary.LittleEndian.PutUint32(data[at+4:], f.addName(binary.LittleEndian.Uint32(data[at+4:])))
	}
	align := 1
	for align < 8 && off%uint32(2*align) == 0 {
		align *= 2
	}
	return f.newFuncdata.add(data, align)
}
