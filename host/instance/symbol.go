package instance

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sort"
)

// symbolFiles reads the symbols of mapped files, each file once.
type symbolFiles struct {
	hostPath func(string) string
	files    map[string]*symbolFile
}

type symbolFile struct {
	loads []elf.ProgHeader
	funcs []elf.Symbol // by address
}

// symbol names the function of the instruction back bytes before offset in
// file and how far into it offset is; "" if there is none.
func (s *symbolFiles) symbol(file string, offset, back uint64) string {
	f, ok := s.files[file]
	if !ok {
		path := file
		if s.hostPath != nil {
			path = s.hostPath(file)
		}
		f = readSymbols(path)
		if s.files == nil {
			s.files = make(map[string]*symbolFile)
		}
		s.files[file] = f
	}
	if f == nil {
		return ""
	}
	for _, l := range f.loads {
		if offset < l.Off || offset-l.Off >= l.Filesz {
			continue
		}
		addr := offset - l.Off + l.Vaddr
		i := sort.Search(len(f.funcs), func(i int) bool { return f.funcs[i].Value > addr-back }) - 1
		if i < 0 {
			return ""
		}
		sym := f.funcs[i]
		if sym.Size != 0 && addr-back >= sym.Value+sym.Size {
			return ""
		}
		return fmt.Sprintf("%s+%#x", sym.Name, addr-sym.Value)
	}
	return ""
}

// readSymbols takes the fullest symbol table that is there: the file's own,
// that of its separate debug file, the dynamic one.
func readSymbols(path string) *symbolFile {
	e, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer e.Close()
	f := new(symbolFile)
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD {
			f.loads = append(f.loads, p.ProgHeader)
		}
	}
	symbols, _ := e.Symbols()
	if len(symbols) == 0 {
		for _, name := range debugFiles(e, path) {
			d, err := elf.Open(name)
			if err != nil {
				continue
			}
			symbols, _ = d.Symbols()
			d.Close()
			if len(symbols) > 0 {
				break
			}
		}
	}
	dynamic, _ := e.DynamicSymbols()
	for _, sym := range append(symbols, dynamic...) {
		if t := elf.ST_TYPE(sym.Info); (t == elf.STT_FUNC || t == elf.STT_GNU_IFUNC) && sym.Value != 0 {
			f.funcs = append(f.funcs, sym)
		}
	}
	sort.SliceStable(f.funcs, func(i, j int) bool { return f.funcs[i].Value < f.funcs[j].Value })
	return f
}

// debugFiles are the places where gdb looks for a file's separate symbols.
func debugFiles(e *elf.File, path string) (names []string) {
	const root = "/usr/lib/debug"
	if s := e.Section(".note.gnu.build-id"); s != nil {
		// Name size, descriptor size, type, "GNU\0", identity.
		if b, err := s.Data(); err == nil && len(b) > 17 {
			id := hex.EncodeToString(b[16:])
			names = append(names, filepath.Join(root, ".build-id", id[:2], id[2:]+".debug"))
		}
	}
	if s := e.Section(".gnu_debuglink"); s != nil {
		if b, err := s.Data(); err == nil {
			name, _, _ := bytes.Cut(b, []byte{0})
			dir, base := filepath.Dir(path), filepath.Base(string(name))
			names = append(names, filepath.Join(dir, base), filepath.Join(dir, ".debug", base), filepath.Join(root, dir, base))
		}
	}
	return names
}
