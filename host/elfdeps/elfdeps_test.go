package elfdeps

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"husk/host/sysroot"
)

// image describes a hand-made ELF file.
type image struct {
	typ     elf.Type
	machine elf.Machine
	interp  string
	soname  string
	rpath   string
	runpath string
	needed  []string
	flags1  uint64
	entry   uint64
	static  bool // no dynamic section
}

const testBase = 0x10000

func (im image) bytes() []byte {
	le := binary.LittleEndian
	if im.typ == 0 {
		im.typ = elf.ET_DYN
	}
	if im.machine == 0 {
		im.machine = elf.EM_X86_64
	}
	strs := []byte{0}
	str := func(s string) uint64 {
		off := len(strs)
		strs = append(append(strs, s...), 0)
		return uint64(off)
	}
	var dyn []uint64
	for _, n := range im.needed {
		dyn = append(dyn, uint64(elf.DT_NEEDED), str(n))
	}
	for tag, s := range map[elf.DynTag]string{elf.DT_SONAME: im.soname, elf.DT_RPATH: im.rpath, elf.DT_RUNPATH: im.runpath} {
		if s != "" {
			dyn = append(dyn, uint64(tag), str(s))
		}
	}
	if im.flags1 != 0 {
		dyn = append(dyn, uint64(elf.DT_FLAGS_1), im.flags1)
	}
	const phs = 3
	body := 64 + phs*56
	strOff := body
	interpOff := strOff + len(strs)
	dynOff := (interpOff + len(im.interp) + 1 + 7) &^ 7
	dyn = append(dyn, uint64(elf.DT_STRTAB), testBase+uint64(strOff), uint64(elf.DT_STRSZ), uint64(len(strs)), 0, 0)
	size := dynOff + 8*len(dyn)
	b := make([]byte, size)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], uint16(im.typ))
	le.PutUint16(b[18:], uint16(im.machine))
	le.PutUint64(b[24:], im.entry)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	n := 0
	ph := func(t elf.ProgType, off, filesz int) {
		p := b[64+56*n:]
		n++
		le.PutUint32(p, uint32(t))
		le.PutUint64(p[8:], uint64(off))
		le.PutUint64(p[16:], testBase+uint64(off))
		le.PutUint64(p[32:], uint64(filesz))
		le.PutUint64(p[40:], uint64(filesz))
	}
	ph(elf.PT_LOAD, 0, size)
	if !im.static {
		ph(elf.PT_DYNAMIC, dynOff, 8*len(dyn))
	}
	if im.interp != "" {
		ph(elf.PT_INTERP, interpOff, len(im.interp)+1)
	}
	le.PutUint16(b[56:], uint16(n))
	copy(b[strOff:], strs)
	copy(b[interpOff:], im.interp)
	for i, v := range dyn {
		le.PutUint64(b[dynOff+8*i:], v)
	}
	return b
}

// tree writes files under a fresh directory: an image, a string with the
// content, or "-> target" for a link.
func tree(t *testing.T, files map[string]any) *sysroot.Root {
	t.Helper()
	dir := t.TempDir()
	for name, v := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch v := v.(type) {
		case image:
			err = os.WriteFile(p, v.bytes(), 0o755)
		case []byte:
			err = os.WriteFile(p, v, 0o755)
		case string:
			if target, ok := strings.CutPrefix(v, "-> "); ok {
				err = os.Symlink(target, p)
			} else {
				err = os.WriteFile(p, []byte(v), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := sysroot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

const ldso = "/lib64/ld-linux-x86-64.so.2"

func glibc(files map[string]any) map[string]any {
	files["lib64/ld-linux-x86-64.so.2"] = "-> ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
	files["lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"] = image{soname: "ld-linux-x86-64.so.2", entry: testBase}
	files["lib/x86_64-linux-gnu/libc.so.6"] = image{soname: "libc.so.6", needed: []string{"ld-linux-x86-64.so.2"}}
	return files
}

func TestResolveFollowsTheDynamicLinkersOrder(t *testing.T) {
	lib := func(soname string, needed ...string) image { return image{soname: soname, needed: needed} }
	for _, tc := range []struct {
		name  string
		files map[string]any
		path  []string
		want  []string
	}{
		{name: "breadth first", files: glibc(map[string]any{
			"bin/p":       image{interp: ldso, needed: []string{"liba.so", "libb.so", "libc.so.6"}},
			"lib/liba.so": lib("liba.so", "libd.so"), "lib/libb.so": lib("libb.so", "libe.so"),
			"lib/libd.so": lib("libd.so"), "lib/libe.so": lib("libe.so", "libc.so.6"),
		}), want: []string{"/lib/liba.so", "/lib/libb.so", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/libd.so", "/lib/libe.so"}},
		{name: "rpath of the program serves its libraries too", files: glibc(map[string]any{
			"opt/bin/p":       image{interp: ldso, needed: []string{"liba.so"}, rpath: "$ORIGIN/../lib"},
			"opt/lib/liba.so": lib("liba.so", "libb.so"), "opt/lib/libb.so": lib("libb.so"), "lib/libb.so": lib("libb.so"),
		}), want: []string{"/opt/bin/../lib/liba.so", "/opt/bin/../lib/libb.so"}},
		{name: "runpath serves only its own file", files: glibc(map[string]any{
			"opt/bin/p":       image{interp: ldso, needed: []string{"liba.so"}, runpath: "${ORIGIN}/../lib"},
			"opt/lib/liba.so": lib("liba.so", "libb.so"), "opt/lib/libb.so": lib("libb.so"), "lib/libb.so": lib("libb.so"),
		}), want: []string{"/opt/bin/../lib/liba.so", "/lib/libb.so"}},
		{name: "runpath silences rpath", files: glibc(map[string]any{
			"bin/p":     image{interp: ldso, needed: []string{"liba.so"}, rpath: "/r", runpath: "/none"},
			"r/liba.so": lib("liba.so"), "lib/liba.so": lib("liba.so"),
		}), want: []string{"/lib/liba.so"}},
		{name: "LD_LIBRARY_PATH stands between rpath and runpath", path: []string{"/env"}, files: glibc(map[string]any{
			"bin/p":       image{interp: ldso, needed: []string{"liba.so", "libb.so"}, rpath: "/r"},
			"r/liba.so":   lib("liba.so"),
			"env/liba.so": lib("liba.so"), "env/libb.so": lib("libb.so"), "env/libc.so": lib("libc.so"),
		}), want: []string{"/r/liba.so", "/env/libb.so"}},
		{name: "$LIB", files: glibc(map[string]any{
			"opt/p":                            image{interp: ldso, needed: []string{"liba.so"}, runpath: "$ORIGIN/$LIB"},
			"opt/lib/x86_64-linux-gnu/liba.so": lib("liba.so"),
		}), want: []string{"/opt/lib/x86_64-linux-gnu/liba.so"}},
		{name: "ld.so.conf with includes", files: glibc(map[string]any{
			"bin/p":                   image{interp: ldso, needed: []string{"liba.so", "libb.so"}},
			"etc/ld.so.conf":          "# c\ninclude ld.so.conf.d/*.conf\n/last\n",
			"etc/ld.so.conf.d/x.conf": "/first\ninclude ld.so.conf.d/*.conf\n",
			"first/liba.so":           lib("liba.so"), "last/liba.so": lib("liba.so"), "last/libb.so": lib("libb.so"),
		}), want: []string{"/first/liba.so", "/last/libb.so"}},
		{name: "ld.so.cache", files: glibc(map[string]any{
			"bin/p":           image{interp: ldso, needed: []string{"liba.so"}},
			"etc/ld.so.cache": WriteCache(elf.EM_X86_64, map[string]string{"liba.so": "/odd/liba.so.1.2"}),
			"odd/liba.so.1.2": lib("liba.so"),
		}), want: []string{"/odd/liba.so.1.2"}},
		{name: "files for other machines are passed over", files: glibc(map[string]any{
			"bin/p":       image{interp: ldso, needed: []string{"liba.so"}, runpath: "/arm:/text:/lib"},
			"arm/liba.so": image{machine: elf.EM_AARCH64}, "text/liba.so": "GROUP ( /lib/liba.so )",
			"lib/liba.so": lib("liba.so"),
		}), want: []string{"/lib/liba.so"}},
		{name: "one file under two names", files: glibc(map[string]any{
			"bin/p":       image{interp: ldso, needed: []string{"liba.so", "liba.so.1"}},
			"lib/liba.so": "-> liba.so.1", "lib/liba.so.1": lib("other"),
		}), want: []string{"/lib/liba.so"}},
		{name: "name with a slash", files: glibc(map[string]any{
			"bin/p":     image{interp: ldso, needed: []string{"/x/liba.so"}},
			"x/liba.so": lib("liba.so"),
		}), want: []string{"/x/liba.so"}},
		{name: "musl's path file", files: map[string]any{
			"p":                       image{interp: "/lib/ld-musl-x86_64.so.1", needed: []string{"libz.so", "libpthread.so.0", "libc.musl-x86_64.so.1"}},
			"lib/ld-musl-x86_64.so.1": image{soname: "libc.musl-x86_64.so.1", entry: testBase},
			"etc/ld-musl-x86_64.path": "/m1\n/m2:/m3",
			"m3/libz.so":              lib("libz.so", "libc.so"), "lib/libz.so": lib("libz.so"),
		}, want: []string{"/m3/libz.so"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := tree(t, tc.files)
			prog := ""
			for name := range tc.files {
				if filepath.Base(name) == "p" {
					prog = "/" + name
				}
			}
			c, err := Resolve(prog, Options{Root: root, LibraryPath: tc.path})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range c.Libs {
				got = append(got, l.Path)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("load order %v, want %v", got, tc.want)
			}
		})
	}
}

func TestHwcapsVariantsAccompanyTheirLibrary(t *testing.T) {
	root := tree(t, glibc(map[string]any{
		"p":                                  image{interp: ldso, needed: []string{"liba.so"}},
		"lib/liba.so":                        image{soname: "liba.so"},
		"lib/glibc-hwcaps/x86-64-v3/liba.so": image{soname: "liba.so", needed: []string{"libv.so"}},
		"lib/libv.so":                        image{soname: "libv.so"},
	}))
	c, err := Resolve("/p", Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range c.Objects() {
		got = append(got, o.Path)
	}
	want := []string{"/p", ldso, "/lib/liba.so", "/lib/glibc-hwcaps/x86-64-v3/liba.so", "/lib/libv.so"}
	if !slices.Equal(got, want) {
		t.Errorf("objects %v, want %v", got, want)
	}
}

func TestMissingLibraryErrorSaysAll(t *testing.T) {
	root := tree(t, glibc(map[string]any{
		"bin/p":       image{interp: ldso, needed: []string{"liba.so", "libc.so.6"}, runpath: "/opt/x"},
		"lib/liba.so": image{soname: "liba.so", needed: []string{"libgone.so.3"}, runpath: "/opt/y"},
	}))
	c, err := Resolve("/bin/p", Options{Root: root})
	var nf *NotFoundError
	if !errors.As(err, &nf) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v, want a NotFoundError", err)
	}
	for _, want := range []string{"libgone.so.3", "needed by /lib/liba.so", "/opt/y", "/usr/lib", root.String(), "--sysroot"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := "\tliba.so => /lib/liba.so\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6\n" +
		"\tlibgone.so.3 => not found (needed by /lib/liba.so)\n\t" + ldso + "\n"
	if out.String() != want {
		t.Errorf("Print gave\n%swant\n%s", out.String(), want)
	}
}

func TestUnusableProgramsAreTypedErrors(t *testing.T) {
	whole := image{interp: ldso, needed: []string{"libc.so.6"}}.bytes()
	big := slices.Clone(whole)
	big[5] = 2
	big[18], big[19] = 0, byte(elf.EM_PPC64)
	root := tree(t, glibc(map[string]any{
		"empty": []byte{}, "text": "hello", "elf32": []byte("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 57)),
		"arm": image{machine: elf.EM_AARCH64}, "ppc": big, "short": whole[:len(whole)-20], "header": whole[:40],
		"obj": image{typ: elf.ET_REL}, "core": image{typ: elf.ET_CORE}, "so": image{soname: "x"},
		"nointerp": image{interp: "/lib/ld-other.so"}, "dir/x": "", "exe": []byte("MZ\x90\x00"),
	}))
	for _, tc := range []struct {
		file string
		kind Kind
		text string
	}{
		{"/empty", NotELF, "is empty"},
		{"/text", NotELF, "not an ELF"},
		{"/exe", NotELF, "Windows"},
		{"/elf32", WrongClass, "32-bit"},
		{"/arm", WrongMachine, "arm64"},
		{"/ppc", WrongMachine, "ppc64"},
		{"/short", Truncated, "truncated"},
		{"/header", Truncated, "truncated"},
		{"/obj", NotExecutable, "object file"},
		{"/core", NotExecutable, "core dump"},
		{"/so", NotExecutable, "shared library"},
		{"/dir", NotExecutable, "is a directory"},
	} {
		_, err := Resolve(tc.file, Options{Root: root})
		var fe *FormatError
		if !errors.As(err, &fe) || fe.Kind != tc.kind || !strings.HasPrefix(err.Error(), tc.file+": ") || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %v, want kind %d with %q", tc.file, err, tc.kind, tc.text)
		}
	}
	_, err := Resolve("/nointerp", Options{Root: root})
	var nf *NotFoundError
	if !errors.As(err, &nf) || !nf.Interp {
		t.Errorf("error %v, want a missing interpreter", err)
	}
	if _, err := Resolve("/none", Options{Root: root}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestStaticProgramsNeedNothing(t *testing.T) {
	root := tree(t, map[string]any{
		"static": image{typ: elf.ET_EXEC, static: true, entry: testBase},
		"pie":    image{flags1: uint64(elf.DF_1_PIE), entry: testBase},
	})
	for _, p := range []string{"/static", "/pie"} {
		c, err := Resolve(p, Options{Root: root})
		if err != nil || !c.Static() || len(c.Objects()) != 1 {
			t.Errorf("%s: %v, %v; want a static closure of one file", p, c, err)
		}
	}
}

func TestCacheRoundTrip(t *testing.T) {
	libs := map[string]string{"liba.so.2": "/a", "liba.so.10": "/b", "libz": "/z", "lib1a": "/1"}
	c := parseCache(WriteCache(elf.EM_X86_64, libs), 0x0303)
	for n, p := range libs {
		if len(c[n]) != 1 || c[n][0] != p {
			t.Errorf("cache has %v for %s, want %s", c[n], n, p)
		}
	}
	names := []string{"liba.so.2", "libz", "liba.so.10", "lib1a"}
	sortCache(names)
	if want := []string{"lib1a", "libz", "liba.so.10", "liba.so.2"}; !slices.Equal(names, want) {
		t.Errorf("order %v, want %v", names, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(image{interp: ldso, needed: []string{"libc.so.6", "a"}, rpath: "/a:/b", soname: "x"}.bytes())
	f.Add(image{typ: elf.ET_EXEC, static: true}.bytes())
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(bytes.NewReader(b), int64(len(b)), elf.EM_X86_64)
		if err == nil {
			file.Mentions("main")
		} else if err.Error() == "" {
			t.Error("an error without a sentence")
		}
	})
}

func FuzzCache(f *testing.F) {
	f.Add(WriteCache(elf.EM_X86_64, map[string]string{"liba.so.2": "/a"}))
	f.Fuzz(func(_ *testing.T, b []byte) { parseCache(b, 0x0303) })
}
