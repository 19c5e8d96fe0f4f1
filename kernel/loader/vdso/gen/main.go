// Command gen writes vdso.bin: an ELF shared object of one page with the
// functions of code_amd64.s, the symbols under which C libraries and the Go
// runtime look for them, and the version LINUX_2.6 that they ask for.
package main

import (
	"bytes"
	"encoding/binary"
	"log"
	"os"
	"unsafe"
)

// entries are the addresses of the functions in the order of the source, and
// last the end of their code. Assembly fills it in.
var entries [6]unsafe.Pointer

// names are the functions' symbols, strong and weak.
var names = [...][2]string{
	{"__vdso_clock_gettime", "clock_gettime"},
	{"__vdso_gettimeofday", "gettimeofday"},
	{"__vdso_time", "time"},
	{"__vdso_clock_getres", "clock_getres"},
	{"__vdso_getcpu", "getcpu"},
}

const (
	pageSize = 4096
	textAt   = 0x800 // where code begins in the page
)

// leaPrefix is the fixed part of DATA_PAGE; its displacement follows.
var leaPrefix = []byte{0x4c, 0x8d, 0x05}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	if err := os.WriteFile("vdso.bin", build(), 0o644); err != nil {
		log.Fatal(err)
	}
}

// machineCode returns a copy of the text from start to end: functions stand in
// the source's order, so each ends where the next begins.
func machineCode(start, end unsafe.Pointer) []byte {
	return bytes.Clone(unsafe.Slice((*byte)(start), uintptr(end)-uintptr(start)))
}

// symbol is Elf64_Sym.
type symbol struct {
	Name        uint32
	Info, Other uint8
	Shndx       uint16
	Value, Size uint64
}

func build() []byte {
	page := make([]byte, pageSize)
	symbols := []symbol{{}}
	symbolNames := []string{""}
	at := uint64(textAt)
	for i, pair := range names {
		code := machineCode(entries[i], entries[i+1])
		if !bytes.HasPrefix(code, leaPrefix) {
			log.Fatalf("%s does not begin with DATA_PAGE", pair[0])
		}
		// The data page is the one below: its address minus that of the
		// instruction after the seven bytes of LEAQ.
		binary.LittleEndian.PutUint32(code[3:], uint32(-(pageSize + int32(at) + 7)))
		copy(page[at:], code)
		const function, global, weak = 2, 1 << 4, 2 << 4
		sym := symbol{Info: global | function, Shndx: 1, Value: at, Size: uint64(len(code))}
		symbols = append(symbols, sym)
		sym.Info = weak | function
		symbols = append(symbols, sym)
		symbolNames = append(symbolNames, pair[0], pair[1])
		at = (at + uint64(len(code)) + 15) &^ 15
	}
	if at > pageSize {
		log.Fatalf("code ends at %#x, past the page", at)
	}
	layout(page, symbols, symbolNames)
	return page
}

// layout writes the ELF header, the program headers and the tables that a
// dynamic linker reads (System V ABI, "Dynamic Linking").
func layout(page []byte, symbols []symbol, names []string) {
	const soname, version = "linux-vdso.so.1", "LINUX_2.6"
	strings := []byte{0}
	add := func(s string) uint32 {
		at := len(strings)
		strings = append(append(strings, s...), 0)
		return uint32(at)
	}
	for i := 1; i < len(names); i++ {
		symbols[i].Name = add(names[i])
	}
	sonameAt, versionAt := add(soname), add(version)

	at := uint64(64 + 2*56)
	place := func(data any) uint64 {
		at = (at + 7) &^ 7
		start := at
		var b bytes.Buffer
		parts, ok := data.([]any)
		if !ok {
			parts = []any{data}
		}
		for _, p := range parts {
			must(binary.Write(&b, binary.LittleEndian, p))
		}
		copy(page[start:], b.Bytes())
		at += uint64(b.Len())
		return start
	}
	hashAt := place(hashTable(names))
	symAt := place(symbols)
	strAt := place(strings)
	versym := make([]uint16, len(symbols))
	for i := 1; i < len(versym); i++ {
		versym[i] = 2
	}
	versymAt := place(versym)
	// Two Elf64_Verdef with one Elf64_Verdaux each: the base and LINUX_2.6.
	verdefAt := place([]any{
		uint16(1), uint16(1), uint16(1), uint16(1), elfHash(soname), uint32(20), uint32(28), sonameAt, uint32(0),
		uint16(1), uint16(0), uint16(2), uint16(1), elfHash(version), uint32(20), uint32(0), versionAt, uint32(0),
	})
	dynAt := place([]uint64{
		14, uint64(sonameAt), // DT_SONAME
		4, hashAt, // DT_HASH
		5, strAt, // DT_STRTAB
		6, symAt, // DT_SYMTAB
		10, uint64(len(strings)), // DT_STRSZ
		11, 24, // DT_SYMENT
		0x6ffffff0, versymAt, // DT_VERSYM
		0x6ffffffc, verdefAt, // DT_VERDEF
		0x6ffffffd, 2, // DT_VERDEFNUM
		0, 0,
	})
	dynSize := at - dynAt
	if at > textAt {
		log.Fatalf("tables end at %#x, past %#x", at, textAt)
	}
	at = 0
	place([]any{
		[16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1},
		uint16(3), uint16(62), uint32(1),
		uint64(textAt), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(2), uint16(64), uint16(0), uint16(0),
		// PT_LOAD, readable and executable
		uint32(1), uint32(5), uint64(0), uint64(0), uint64(0), uint64(pageSize), uint64(pageSize), uint64(pageSize),
		// PT_DYNAMIC
		uint32(2), uint32(4), dynAt, dynAt, dynAt, dynSize, dynSize, uint64(8),
	})
}

// hashTable is DT_HASH with one bucket a symbol.
func hashTable(names []string) []uint32 {
	n := uint32(len(names))
	table := make([]uint32, 2+n+n)
	table[0], table[1] = n, n
	buckets, chain := table[2:2+n], table[2+n:]
	for i := uint32(1); i < n; i++ {
		b := elfHash(names[i]) % n
		chain[i] = buckets[b]
		buckets[b] = i
	}
	return table
}

// elfHash is the hash function of the System V ABI.
func elfHash(s string) uint32 {
	var h uint32
	for i := range len(s) {
		h = h<<4 + uint32(s[i])
		g := h & 0xf0000000
		h ^= g >> 24
		h &^= g
	}
	return h
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
