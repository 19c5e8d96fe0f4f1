package lint

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
)

// Exactly the flags of kernel/kernel.mk.
const ldflags = "-T -2145382400 -E husk/kernel/metal.entry"

var kernel struct {
	once sync.Once
	path string
	g    graph
	err  error
}

// disassemble builds the kernel and returns its call graph and file.
func disassemble(t *testing.T) (graph, string) {
	if testing.Short() {
		t.Skip("builds and disassembles the kernel")
	}
	kernel.once.Do(func() {
		dir, err := os.MkdirTemp("", "husk-lint")
		if err != nil {
			kernel.err = err
			return
		}
		kernel.path = filepath.Join(dir, "kernel")
		build := exec.Command("go", "build", "-tags", "baremetal", "-trimpath", "-ldflags", ldflags, "-o", kernel.path, "husk/cmd/kernel")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOEXPERIMENT=norandomizedheapbase64")
		if out, err := build.CombinedOutput(); err != nil {
			kernel.err = err
			t.Log(string(out))
			return
		}
		// The roots reach runtime and metal only; cpu and task call Switch.
		out, err := exec.Command("go", "tool", "objdump", "-s", `^(runtime|internal/runtime|husk/kernel/(metal|cpu|task)|_rt0|type:)`, kernel.path).Output()
		if err != nil {
			kernel.err = err
			return
		}
		kernel.g, kernel.err = parse(bytes.NewReader(out))
	})
	if kernel.err != nil {
		t.Fatal(kernel.err)
	}
	return kernel.g, kernel.path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if kernel.path != "" {
		_ = os.RemoveAll(filepath.Dir(kernel.path))
	}
	os.Exit(code)
}

const metal = "husk/kernel/metal."

// roots are the functions that assembly calls without a goroutine, with the
// stack that they have.
var roots = map[string]int{
	metal + "start":         16384 - 512,
	metal + "startAP":       16384 - 512,
	metal + "interrupt":     16384 - 512,
	metal + "kernelSyscall": 16384 - 512,
	// The exception stacks also hold the frame and the XMM registers; a
	// dying kernel may use what is left to the last byte.
	metal + "trap":     4096 - 176 - 512 - 64,
	metal + "paranoid": 2048 - 176 - 512 - 64,
}

// allowed is what metal may use of the runtime: leaf functions that do not
// look at g.
var allowed = regexp.MustCompile(`^(` + strings.Join([]string{
	`runtime\.memmove`,
	`runtime\.memclrNoHeapPointers`,
	`runtime\.memequal(\.abi0)?`,
	`runtime\.duffzero`,
	`runtime\.duffcopy`,
	`_rt0_amd64_linux`,
	// Stack growth: never taken, since the fake g's stack guard is 0.
	`runtime\.morestack(_noctxt)?(\.abi0)?`,
	// Failed checks: a bug of the kernel, which faults in the runtime for
	// want of an m and is reported with the stack.
	`runtime\.panic(Bounds|Extend|Index|Slice|divide|shift|unsafeslice|SliceConvert)[A-Za-z0-9]*(\.abi0)?`,
	`runtime\.(goPanic|panicIndex|panicSlice)[A-Za-z0-9]*`,
	`runtime\.panicdivide|runtime\.panicshift|runtime\.panicunsafeslicelen1?|runtime\.panicunsafeslicenilptr1?`,
}, "|") + `)$`)

func isRuntime(name string) bool { return !strings.HasPrefix(name, metal) }

func TestCodeWithoutGoroutineReachesOnlyLeavesOfTheRuntime(t *testing.T) {
	g, _ := disassemble(t)
	names := make([]string, 0, len(roots))
	for r := range roots {
		if g[r] == nil {
			t.Errorf("%s is not in the kernel: update the list of roots", r)
		}
		names = append(names, r)
	}
	sort.Strings(names)
	paths := g.reach(names, isRuntime)
	if len(paths) < 50 {
		t.Errorf("only %d functions reached: is the disassembly understood?", len(paths))
	}
	for name, path := range paths {
		if isRuntime(name) {
			if !allowed.MatchString(name) {
				t.Errorf("%s is reached: %s", name, path)
			}
			continue
		}
		for _, insn := range g[name].indirect {
			t.Errorf("%s calls indirectly (%s): the check cannot follow", name, insn)
		}
	}
}

func TestCodeWithoutGoroutineFitsItsStacks(t *testing.T) {
	g, _ := disassemble(t)
	for root, limit := range roots {
		n, path, err := g.depth(root, isRuntime)
		if err != nil {
			t.Errorf("%s: %v", root, err)
		} else if n > limit {
			t.Errorf("%s takes %d bytes of %d: %s", root, n, limit, path)
		} else {
			t.Logf("%s takes %d bytes of %d", root, n, limit)
		}
	}
}

// The four facts about the toolchain on which metal rests. A new release of
// Go that changes one must fail here.

func TestLinkerPlacesTheKernel(t *testing.T) {
	_, path := disassemble(t)
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text := f.Section(".text"); text == nil || text.Addr != 0xffffffff80201000 {
		t.Errorf("-T: .text is at %#x", text.Addr)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == metal+"entry" && s.Value != f.Entry {
			t.Errorf("-E: entry is %#x, metal.entry %#x", f.Entry, s.Value)
		}
	}
}

// served is the system calls that kernelSyscall knows, and those it may refuse.
var served = map[string]bool{
	"0x0": true, "0x1": true, "0x3": true, "0x9": true, "0xb": true, "0xd": true, "0xe": true,
	"0xf": true, "0x18": true, "0x1c": true, "0x23": true, "0x27": true, "0x38": true, "0x3c": true,
	"0x83": true, "0x9e": true, "0xba": true, "0xca": true, "0xcc": true, "0xe4": true, "0xe7": true,
	"0xea": true, "0x101": true, "0x10d": true,
	// Refused, which the runtime takes: mincore, setitimer, kill, timer_*,
	// pipe2, brk, socket, connect.
	"0x1b": true, "0x26": true, "0x3e": true, "0xde": true, "0xdf": true, "0xe2": true,
	"0x125": true, "0xc": true, "0x29": true, "0x2a": true,
}

func TestRuntimeIssuesTheSystemCallsThatAreServed(t *testing.T) {
	g, _ := disassemble(t)
	number := regexp.MustCompile(`^MOV[LQ] \$(0x[0-9a-f]+|\d+), AX$`)
	zero := regexp.MustCompile(`^XORL AX, AX$`)
	found := 0
	for name, f := range g {
		if !strings.HasPrefix(name, "runtime.") {
			continue
		}
		last := ""
		for _, insn := range f.text {
			if m := number.FindStringSubmatch(insn); m != nil {
				last = m[1]
			} else if zero.MatchString(insn) {
				last = "0x0"
			}
			if insn == "SYSCALL" {
				found++
				if !served[last] {
					t.Errorf("%s issues system call %s", name, last)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d system calls found", found)
	}
}

func TestStackGuardAndTLSAreWhereTheFakeGHasThem(t *testing.T) {
	g, _ := disassemble(t)
	guard, tls := false, false
	for name, f := range g {
		if !strings.HasPrefix(name, metal) {
			continue
		}
		for _, insn := range f.text {
			guard = guard || insn == "CMPQ SP, 0x10(R14)"
			tls = tls || insn == "MOVQ FS:0xfffffff8, R14"
		}
	}
	if !guard {
		t.Error("no function compares SP with 16(R14): stackguard0 has moved")
	}
	if !tls {
		t.Error("no wrapper loads g from -8(FS): TLS has changed")
	}
}

func TestFakeGIsLargeEnough(t *testing.T) {
	_, path := disassemble(t)
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := f.DWARF()
	if err != nil {
		t.Fatal(err)
	}
	for r := d.Reader(); ; {
		e, err := r.Next()
		if err != nil || e == nil {
			t.Fatal("no type runtime.g in the debug information")
		}
		if e.Tag == dwarf.TagStructType && e.Val(dwarf.AttrName) == "runtime.g" {
			if size, _ := e.Val(dwarf.AttrByteSize).(int64); size <= 0 || size > 1024 {
				t.Errorf("runtime.g has %d bytes, fakeG 1024", size)
			}
			return
		}
		if e.Tag == dwarf.TagSubprogram {
			r.SkipChildren()
		}
	}
}

func TestRuntimeEntryIsCallable(t *testing.T) {
	g, _ := disassemble(t)
	f := g["_rt0_amd64_linux"]
	if f == nil || len(f.text) == 0 || !strings.HasPrefix(f.text[0], "JMP _rt0_amd64") {
		t.Fatalf("_rt0_amd64_linux is not what it was: %v", f)
	}
	if f := g["_rt0_amd64"]; f == nil || len(f.text) < 2 || f.text[0] != "MOVQ 0(SP), DI" || f.text[1] != "LEAQ 0x8(SP), SI" {
		t.Error("_rt0_amd64 does not take argc and argv from the stack")
	}
}

// Switch comes back with BP clear: whoever calls it must have a frame, and so
// restore its own caller's.
func TestCallersOfSwitchKeepTheFramePointer(t *testing.T) {
	g, _ := disassemble(t)
	callers := 0
	for name, f := range g {
		if !slices.Contains(f.calls, metal+"Switch.abi0") {
			continue
		}
		callers++
		text := strings.Join(f.text, "\n")
		if !strings.Contains(text, "PUSHQ BP") || !strings.Contains(text, "POPQ BP") {
			t.Errorf("%s has no frame:\n%s", name, text)
		}
	}
	if callers == 0 {
		t.Error("nobody calls Switch: is the disassembly understood?")
	}
}

// Package cpu parks goroutines by two functions of the runtime that it keeps
// open to others; they must be there and take what cpu gives them.
func TestRuntimeParksAndReadiesForOthers(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "runtime", "proc.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"//go:linkname gopark\nfunc gopark(unlockf func(*g, unsafe.Pointer) bool, lock unsafe.Pointer, reason waitReason, traceReason traceBlockReason, traceskip int) {",
		"//go:linkname goready\nfunc goready(gp *g, traceskip int) {",
	} {
		if !strings.Contains(string(source), want) {
			t.Errorf("the runtime has no longer %q: see kernel/cpu/park_machine.go", want)
		}
	}
}
