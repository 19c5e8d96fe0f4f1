package loader

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// memory is a file of bytes that can be read and mapped.
type memory struct {
	vfs.BaseOps
	data  []byte
	cache *mm.PageCache
}

func (m *memory) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, error) {
	if off < 0 || off >= int64(len(m.data)) {
		return 0, nil
	}
	return b.CopyOut(m.data[off:])
}

func (m *memory) Mmap(*vfs.File) (*mm.PageCache, error) { return m.cache, nil }

// ReadPages, WritePages and Size make memory an mm.Store.
func (m *memory) ReadPages(index uint64, pages [][]byte) error {
	for i, p := range pages {
		off := (index + uint64(i)) * pageSize
		n := 0
		if off < uint64(len(m.data)) {
			n = copy(p, m.data[off:])
		}
		clear(p[n:])
	}
	return nil
}
func (m *memory) WritePages(uint64, [][]byte) error { return unix.EROFS }
func (m *memory) Size() uint64                      { return uint64(len(m.data)) }

func fileOf(data []byte) *vfs.File {
	m := &memory{data: data}
	m.cache = mm.NewPageCache(m)
	f := vfs.NewAnonFile("test:[1]", unix.S_IFREG|0o755, unix.O_RDONLY, m)
	f.Inode.Cache = m.cache
	return f
}

func space(t testing.TB) *mm.AddressSpace {
	t.Helper()
	as, err := mm.NewAddressSpace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(as.Put)
	return as
}

// request loads files by name from a table.
func request(files map[string][]byte, path string, argv ...string) Request {
	return Request{
		Open: func(name string) (*vfs.File, error) {
			data, ok := files[name]
			if !ok {
				return nil, unix.ENOENT
			}
			return fileOf(data), nil
		},
		File: fileOf(files[path]), Path: path, Argv: argv, Envp: []string{"A=1", "B=two"},
		Cred: cred.Root(), StackLimit: 8 << 20,
	}
}

func TestScriptLine(t *testing.T) {
	long := "#!/" + strings.Repeat("x", 300)
	cases := []struct {
		line, interp, arg string
		err               error
	}{
		{"#!/bin/sh\n", "/bin/sh", "", nil},
		{"#! /bin/sh -e -x \nrest", "/bin/sh", "-e -x", nil},
		{"#!\t/usr/bin/env\tperl\n", "/usr/bin/env", "perl", nil},
		{"#!/bin/sh", "/bin/sh", "", nil},
		{"#!\n", "", "", unix.ENOEXEC},
		{"#!   \n/bin/sh", "", "", unix.ENOEXEC},
		{long, "", "", unix.ENOEXEC},
	}
	for _, c := range cases {
		head := []byte(c.line)
		if len(head) > scriptHeader {
			head = head[:scriptHeader]
		}
		interp, arg, err := parseScript(head)
		if interp != c.interp || arg != c.arg || err != c.err {
			t.Errorf("%.20q: %q %q %v, want %q %q %v", c.line, interp, arg, err, c.interp, c.arg, c.err)
		}
	}
}

func TestWhatIsNoProgramHasLinuxErrnos(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	patched := func(at int, b ...byte) []byte {
		p := append([]byte(nil), program...)
		copy(p[at:], b)
		return p
	}
	cases := []struct {
		name string
		data []byte
		err  error
	}{
		{"empty", nil, unix.ENOEXEC},
		{"text", []byte("hello"), unix.ENOEXEC},
		{"header only", program[:40], unix.ENOEXEC},
		{"table cut off", program[:64], unix.ENOEXEC},
		{"32 bit", patched(4, 1), unix.ENOEXEC},
		{"big endian", patched(5, 2), unix.ENOEXEC},
		{"aarch64", patched(18, 183), unix.ENOEXEC},
		{"object file", patched(16, 1), unix.ENOEXEC},
		{"no segments", patched(56, 0, 0), unix.ENOEXEC},
		{"missing interpreter", []byte("#!/no/such\n"), unix.ENOENT},
		{"script of itself", []byte("#!/program\n"), unix.ELOOP},
	}
	for _, c := range cases {
		files := map[string][]byte{"/program": c.data}
		if _, err := Load(space(t), request(files, "/program", "program")); err != c.err {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
}

func TestStaticProgramIsMappedWithItsStack(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe") // a test binary is a static, position-dependent program
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"/bin/prog": program, "/script": []byte("#!/bin/prog an argument\n")}
	as := space(t)
	p, err := Load(as, request(files, "/script", "script", "x"))
	if err != nil {
		t.Skipf("the test binary is not static: %v", err)
	}
	defer p.File.Put()

	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if f.Type == elf.ET_EXEC && p.Entry != f.Entry {
		t.Errorf("entry %#x, want %#x", p.Entry, f.Entry)
	}
	text := make([]byte, 64)
	if n, err := as.CopyIn(text, mm.Addr(p.Entry)); err != nil || n != len(text) {
		t.Fatalf("the entry cannot be read: %v", err)
	}

	if p.SP%16 != 0 {
		t.Errorf("the stack pointer %#x is not aligned", p.SP)
	}
	word := func(at uint64) uint64 {
		var b [8]byte
		if _, err := as.CopyIn(b[:], mm.Addr(at)); err != nil {
			t.Fatalf("stack at %#x: %v", at, err)
		}
		return binary.LittleEndian.Uint64(b[:])
	}
	str := func(at uint64) string {
		s, err := as.CopyInString(mm.Addr(at), 4096)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	argc := word(p.SP)
	var argv []string
	for i := range argc {
		argv = append(argv, str(word(p.SP+8+8*i)))
	}
	if got := strings.Join(argv, "|"); got != "/bin/prog|an argument|/script|x" {
		t.Errorf("arguments %q", got)
	}
	env := p.SP + 8 + 8*(argc+1)
	if str(word(env)) != "A=1" || str(word(env+8)) != "B=two" || word(env+16) != 0 {
		t.Error("the environment is wrong")
	}
	aux := map[uint64]uint64{}
	for at := env + 24; word(at) != atNull; at += 16 {
		aux[word(at)] = word(at + 8)
	}
	if aux[atPagesz] != pageSize || aux[atEntry] != p.Entry || str(aux[atExecfn]) != "/bin/prog" || str(aux[atPlatform]) != "x86_64" {
		t.Errorf("auxiliary vector %v", aux)
	}
	if word(aux[atPhdr])&0xffffffff == 0 {
		t.Error("AT_PHDR does not point to the program headers")
	}
	if word(aux[atSysinfoEhdr])&0xffffffff != 0x464c457f {
		t.Error("the vDSO is no ELF file")
	}
}

func FuzzLoad(f *testing.F) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(program[:4096])
	f.Add([]byte("#!/program\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		as := space(t)
		if p, err := Load(as, request(map[string][]byte{"/program": data}, "/program", "program")); err == nil {
			p.File.Put()
		}
	})
}
