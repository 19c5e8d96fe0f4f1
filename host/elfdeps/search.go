package elfdeps

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"path"
	"strings"

	"husk/host/sysroot"
)

// target is what differs between processors in the search rules.
type target struct {
	muslArch  string
	multiarch string
	platform  string
	cacheFlag uint32   // flags of a 64-bit libc6 library in ld.so.cache
	hwcaps    []string // glibc-hwcaps subdirectories, best first
}

func targetOf(m elf.Machine) target {
	if m == elf.EM_AARCH64 {
		return target{"aarch64", "aarch64-linux-gnu", "aarch64", 0x0a03, nil}
	}
	return target{"x86_64", "x86_64-linux-gnu", "x86_64", 0x0303, []string{"x86-64-v4", "x86-64-v3", "x86-64-v2"}}
}

// libs are the expansions of $LIB that distributions compile in.
func (t target) libs() []string { return []string{"lib/" + t.multiarch, "lib64", "lib"} }

// expand replaces $ORIGIN, $LIB and $PLATFORM (also in braces). $LIB differs
// between distributions, so several directories can come of one.
func (t target) expand(s, origin string) []string {
	if !strings.Contains(s, "$") {
		return []string{s}
	}
	sub := func(s, name, val string) string {
		s = strings.ReplaceAll(s, "${"+name+"}", val)
		return strings.ReplaceAll(s, "$"+name, val)
	}
	s = sub(s, "ORIGIN", origin)
	s = sub(s, "PLATFORM", t.platform)
	if !strings.Contains(s, "$") {
		return []string{s}
	}
	var out []string
	for _, lib := range t.libs() {
		out = append(out, sub(s, "LIB", lib))
	}
	return out
}

// glibcDefaults are the directories searched last: those that Debian, Fedora
// and upstream compile in.
func (t target) glibcDefaults() []string {
	return []string{
		"/lib/" + t.multiarch, "/usr/lib/" + t.multiarch,
		"/lib64", "/usr/lib64", "/lib", "/usr/lib",
	}
}

// muslDirs is the path of musl's dynamic linker: the content of its path file
// beside the interpreter's prefix, or the compiled-in default.
func (t target) muslDirs(root *sysroot.Root, interp string) []string {
	prefix := path.Dir(path.Dir(interp))
	if prefix == "/" {
		prefix = ""
	}
	b, err := root.ReadFile(prefix+"/etc/ld-musl-"+t.muslArch+".path", 64<<10)
	if err != nil {
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	var dirs []string
	for d := range strings.FieldsFuncSeq(string(b), func(r rune) bool { return r == ':' || r == '\n' }) {
		if strings.HasPrefix(d, "/") {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// confDirs reads /etc/ld.so.conf with its includes: the directories in order.
func confDirs(root *sysroot.Root) []string {
	var dirs []string
	seen := map[string]bool{}
	var read func(file string, depth int)
	read = func(file string, depth int) {
		if depth > 16 || seen[file] || len(seen) > 1024 {
			return
		}
		seen[file] = true
		b, err := root.ReadFile(file, 1<<20)
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			if rest, ok := strings.CutPrefix(line, "include"); ok && (strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "\t")) {
				for pattern := range strings.FieldsSeq(rest) {
					if !strings.HasPrefix(pattern, "/") {
						pattern = path.Dir(file) + "/" + pattern
					}
					for _, f := range root.Glob(pattern) {
						read(f, depth+1)
					}
				}
				continue
			}
			// "hwcap N name" is history; a directory may carry "=type".
			if dir, _, _ := strings.Cut(line, "="); strings.HasPrefix(dir, "/") {
				dirs = append(dirs, path.Clean(strings.TrimSpace(dir)))
			}
		}
	}
	read("/etc/ld.so.conf", 0)
	return dirs
}

// The format of /etc/ld.so.cache (glibc's sysdeps/generic/dl-cache.h): a
// header of 48 bytes, entries of 24, then strings, addressed from the header.
const (
	cacheMagic     = "glibc-ld.so.cache1.1"
	cacheMagicOld  = "ld.so-1.7.0\x00"
	cacheHeader    = 48
	cacheEntry     = 24
	maxCache       = 16 << 20
	cacheEndian    = 2 // little
	cacheHwcapMask = 1 << 62
)

// cacheLookup is what ld.so.cache knows: library name → paths in its order.
type cacheLookup map[string][]string

// parseCache reads an ld.so.cache; damage yields what was read before it.
func parseCache(b []byte, flag uint32) cacheLookup {
	le := binary.LittleEndian
	if bytes.HasPrefix(b, []byte(cacheMagicOld)) && len(b) >= 16 {
		// The old format stands first, the new one behind it.
		n := uint64(le.Uint32(b[12:]))
		off := (16 + n*12 + 7) &^ 7
		if off > uint64(len(b)) {
			return nil
		}
		b = b[off:]
	}
	if len(b) < cacheHeader || string(b[:len(cacheMagic)]) != cacheMagic {
		return nil
	}
	n := int(le.Uint32(b[20:]))
	if n < 0 || n > (len(b)-cacheHeader)/cacheEntry {
		return nil
	}
	str := func(off uint32) string {
		if uint64(off) >= uint64(len(b)) {
			return ""
		}
		s := b[off:]
		s = s[:min(len(s), maxString)]
		i := bytes.IndexByte(s, 0)
		return string(s[:max(i, 0)])
	}
	c := make(cacheLookup, n)
	for i := range n {
		e := b[cacheHeader+i*cacheEntry:]
		if le.Uint32(e) != flag || le.Uint64(e[16:])&cacheHwcapMask != 0 {
			continue // hwcaps variants are found beside the plain library
		}
		name, file := str(le.Uint32(e[4:])), str(le.Uint32(e[8:]))
		if name != "" && strings.HasPrefix(file, "/") {
			c[name] = append(c[name], file)
		}
	}
	return c
}

// WriteCache makes the content of an ld.so.cache that leads each library name
// to its path, for m's dynamic linker. Without one, libraries in directories
// that only ld.so.conf names would not be found.
func WriteCache(m elf.Machine, libs map[string]string) []byte {
	names := make([]string, 0, len(libs))
	for n := range libs {
		names = append(names, n)
	}
	sortCache(names)
	le := binary.LittleEndian
	var strs []byte
	base := cacheHeader + cacheEntry*len(names)
	b := make([]byte, base)
	copy(b, cacheMagic)
	le.PutUint32(b[20:], uint32(len(names)))
	b[28] = cacheEndian
	for i, n := range names {
		e := b[cacheHeader+i*cacheEntry:]
		le.PutUint32(e, targetOf(m).cacheFlag)
		le.PutUint32(e[4:], uint32(base+len(strs)))
		strs = append(append(strs, n...), 0)
		le.PutUint32(e[8:], uint32(base+len(strs)))
		strs = append(append(strs, libs[n]...), 0)
	}
	le.PutUint32(b[24:], uint32(len(strs)))
	return append(b, strs...)
}
