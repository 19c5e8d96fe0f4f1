package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program exercises what the runtime reads out of its function tables: stack
// maps (collections while stacks grow), safe points (preemption of a loop),
// deferred calls, recovery, frames that were inlined, traces.
const program = `package main

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

type tree struct{ left, right *tree }

func grow(n int) *tree {
	if n == 0 {
		return &tree{}
	}
	return &tree{grow(n - 1), grow(n - 1)}
}

func (t *tree) count() int {
	if t == nil {
		return 0
	}
	return 1 + t.left.count() + t.right.count()
}

func deep(n int, keep *tree) int {
	var pad [64]*tree
	pad[n%64] = keep
	if n == 0 {
		runtime.GC()
		return pad[0].count()
	}
	return deep(n-1, pad[n%64])
}

func index(s []int, i int) (v int, err any) {
	defer func() { err = recover() }()
	return s[i], nil
}

func inlined() string {
	pc, _, _, _ := runtime.Caller(0)
	return runtime.FuncForPC(pc).Name()
}

type pair[A, B any] struct {
	a A
	b B
}

//go:noinline
func (p pair[A, B]) name() string { return inlined2() }

func inlined2() string {
	var pcs [4]uintptr
	f := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	var b strings.Builder
	for {
		x, more := f.Next()
		b.WriteString(x.Function)
		b.WriteByte(' ')
		if !more {
			return b.String()
		}
	}
}

func must(ok bool, what string) {
	if !ok {
		println("failed:", what)
		os.Exit(3)
	}
}

func main() {
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() {
			for range 20 {
				must(deep(200+i, grow(8)) == 511, "tree")
			}
		})
	}
	done.Wait()
	_, err := index([]int{1}, 5)
	must(err != nil && strings.Contains(err.(error).Error(), "index out of range [5]"), "bounds")
	must(inlined() == "main.inlined", "inlined")
	s := pair[int, string]{}.name()
	must(strings.Contains(s, "main.inlined2 main.pair[...].name main.main"), s)
	v := []pair[int, string]{{2, "b"}, {1, "a"}}
	slices.SortFunc(v, func(a, b pair[int, string]) int { return a.a - b.a })
	must(v[0].b == "a", "sort")

	runtime.GOMAXPROCS(1)
	stop := false
	go func() {
		for !stop {
		}
	}()
	time.Sleep(5 * time.Millisecond)
	stop = true
	panic("on purpose")
}
`

// compactProgram rewrites the tables of an ordinary program in place.
func compactProgram(t *testing.T, b []byte) (saved uint64) {
	t.Helper()
	f := open(t, b)
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var segments []segment
	var loads []*elf.Prog
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			loads = append(loads, p)
			segments = append(segments, segment{p.Vaddr, p.Memsz, bytes.Clone(b[p.Off : p.Off+p.Filesz]), p.Flags})
		}
	}
	if err := compact(segments, symbols); err != nil {
		t.Fatal(err)
	}
	for i, p := range loads {
		saved += p.Filesz - uint64(len(segments[i].data))
		clear(b[p.Off : p.Off+p.Filesz])
		copy(b[p.Off:], segments[i].data)
	}
	return saved
}

func TestRuntimeWorksWithCompactTables(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module husk\n\ngo 1.26\n", "main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	c := exec.Command("go", "build", "-trimpath", "-o", out, ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-mod=mod", "GOWORK=off")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if saved := compactProgram(t, b); saved < 100<<10 {
		t.Errorf("only %d bytes saved", saved)
	}
	if err := os.WriteFile(out, b, 0o755); err != nil {
		t.Fatal(err)
	}
	c = exec.Command(out)
	c.Env = append(os.Environ(), "GODEBUG=gccheckmark=0,clobberfree=1", "GOGC=5", "GOTRACEBACK=system")
	text, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 2 {
		t.Fatalf("%v\n%s", err, text)
	}
	// The program's functions have their lines, the runtime's only offsets.
	for _, want := range []string{"panic: on purpose", "main.main()", "husk/main.go:", "runtime.main()", "?:0 +0x"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTablesKeepWhatTheRuntimeNeeds(t *testing.T) {
	old := build(t, 100)
	kernel, err := link(old)
	if err != nil {
		t.Fatal(err)
	}
	before, gofuncBefore := tablesOf(t, old, old)
	after, gofuncAfter := tablesOf(t, old, kernel)
	n := before.u64(8)
	if after.u64(8) != n {
		t.Fatal("functions are missing")
	}
	lines := 0
	for i := range n {
		b := before.pcln + uint64(before.u32(before.pcln+i*8+4))
		a := after.pcln + uint64(after.u32(after.pcln+i*8+4))
		name := before.name(before.names + uint64(before.u32(b+4)))
		if got := after.name(after.names + uint64(after.u32(a+4))); got != shortName(name) {
			t.Fatalf("%s is named %s", name, got)
		}
		for _, word := range []uint64{0, 8, 12, 32, 36} { // entry, args, deferreturn, cu, line
			if before.u32(b+word) != after.u32(a+word) {
				t.Fatalf("%s: word %d differs", name, word)
			}
		}
		if !bytes.Equal(before.bytes(b+40, 3), after.bytes(a+40, 3)) {
			t.Fatalf("%s: flags differ", name)
		}
		sequence := func(f *functions, off uint32) []byte {
			if off == 0 {
				return nil
			}
			return f.sequence(f.pctab + uint64(off))
		}
		if !bytes.Equal(sequence(before, before.u32(b+16)), sequence(after, after.u32(a+16))) {
			t.Fatalf("%s: frame sizes differ", name)
		}
		if line := after.u32(a + 24); line != 0 {
			lines++
			if !bytes.Equal(sequence(before, before.u32(b+24)), sequence(after, line)) {
				t.Fatalf("%s: lines differ", name)
			}
		}
		// A list ends early where nothing follows.
		pcdata := func(f *functions, rec uint64, k uint32) []byte {
			if k >= f.u32(rec+28) {
				return nil
			}
			return sequence(f, f.u32(rec+funcSize+4*uint64(k)))
		}
		for _, k := range []uint32{0, 1, 4} { // safe points, stack maps, bounds
			if !bytes.Equal(pcdata(before, b, k), pcdata(after, a, k)) {
				t.Fatalf("%s: table %d differs", name, k)
			}
		}
		funcdata := func(f *functions, rec, base uint64, k byte) (uint64, bool) {
			if k >= f.bytes(rec+43, 1)[0] {
				return 0, false
			}
			off := f.u32(rec + funcSize + 4*uint64(f.u32(rec+28)) + 4*uint64(k))
			return base + uint64(off), off != none
		}
		for _, k := range []byte{0, 1, 2, 4, 7} {
			x, has := funcdata(before, b, gofuncBefore, k)
			y, hasToo := funcdata(after, a, gofuncAfter, k)
			if has != hasToo {
				t.Fatalf("%s: funcdata %d is missing", name, k)
			}
			if !has {
				continue
			}
			var size uint64
			switch k {
			case 0, 1: // stackmap: n maps of nbit bits
				size = 8 + uint64(before.u32(x))*((uint64(before.u32(x+4))+7)/8)
			case 2: // the number of stackObjectRecords, and they
				size = 8 + before.u64(x)*16
			case 4: // two varints, a byte each at least
				size = 2
			case 7: // textOff
				size = 4
			}
			if !bytes.Equal(before.bytes(x, size), after.bytes(y, size)) {
				t.Fatalf("%s: funcdata %d differs", name, k)
			}
		}
	}
	if lines == 0 {
		t.Error("no function has lines")
	}
}

// tablesOf returns the tables in image, which was made of program, and where
// funcdata begin in them.
func tablesOf(t *testing.T, program, image []byte) (*functions, uint64) {
	t.Helper()
	symbols, err := open(t, program).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string, size uint64) []byte {
		for _, s := range symbols {
			if s.Name != name {
				continue
			}
			for _, p := range open(t, image).Progs {
				if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value+size <= p.Vaddr+p.Filesz {
					b := make([]byte, p.Vaddr+p.Filesz-s.Value)
					_, _ = p.ReadAt(b, int64(s.Value-p.Vaddr))
					return b
				}
			}
		}
		t.Fatal("no " + name)
		return nil
	}
	f := &functions{reader: reader{b: at("runtime.pclntab", headerSize)}}
	f.names, f.pctab, f.pcln = f.u64(32), f.u64(56), f.u64(64)
	md := reader{b: at("runtime.firstmoduledata", mdSize)}
	return f, md.u64(mdGofunc) - md.u64(mdHeader)
}
