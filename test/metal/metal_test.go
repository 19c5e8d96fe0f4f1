// Package metal boots test kernels in QEMU: the tests of
// kernel/metal/machinetest on machines of several shapes, and what only shows
// from outside, such as the report of a dying kernel.
package metal

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const qemu = "qemu-system-x86_64"

var kernels struct {
	sync.Mutex
	dir  string
	path map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if kernels.dir != "" {
		_ = os.RemoveAll(kernels.dir)
	}
	os.Exit(code)
}

// build returns the path of a bootable kernel of the package: its tests, if
// the package has no main.
func build(t *testing.T, pkg string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("boots machines")
	}
	if _, err := exec.LookPath(qemu); err != nil {
		t.Skipf("no QEMU: %v", err)
	}
	kernels.Lock()
	defer kernels.Unlock()
	if p := kernels.path[pkg]; p != "" {
		return p
	}
	if kernels.dir == "" {
		dir, err := os.MkdirTemp("", "husk-metal")
		if err != nil {
			t.Fatal(err)
		}
		kernels.dir, kernels.path = dir, map[string]string{}
	}
	run := func(env []string, args ...string) {
		t.Helper()
		c := exec.Command("go", args...)
		c.Env = append(os.Environ(), env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// The flags of kernel/kernel.mk.
	env := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOEXPERIMENT=norandomizedheapbase64"}
	elf := filepath.Join(kernels.dir, filepath.Base(pkg))
	run(env, "test", "-c", "-tags", "baremetal", "-trimpath", "-ldflags", "-T -2145382400 -E husk/kernel/metal.entry", "-o", elf, pkg)
	run(nil, "run", "husk/cmd/mkkernel", "-o", elf+".elf", elf)
	kernels.path[pkg] = elf + ".elf"
	return elf + ".elf"
}

// boot runs the kernel and returns what it wrote and QEMU's status.
func boot(t *testing.T, kernel, cmdline string, flags ...string) (string, int) {
	t.Helper()
	out, state := bootState(t, kernel, cmdline, flags...)
	return out, state.ExitCode()
}

func bootState(t *testing.T, kernel, cmdline string, flags ...string) (string, *os.ProcessState) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	args := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio", "-accel", "tcg",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", kernel, "-append", cmdline,
	}
	c := exec.CommandContext(ctx, qemu, append(args, flags...)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if ctx.Err() != nil {
		t.Fatalf("the machine hangs\n%s", out.String())
	}
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), c.ProcessState
}

// debug-exit turns a status n of the kernel into 2n+1.
const passed = 1

const machinetest = "husk/kernel/metal/machinetest"

func TestMachines(t *testing.T) {
	for _, m := range []struct {
		name    string
		cmdline string
		flags   string
	}{
		{"microvm", "expect_cpus=1", "-M microvm,pit=on,rtc=on -cpu max -m 128"},
		{"microvm without PIT", "", "-M microvm,pit=off,pic=off,rtc=on -cpu max -m 64 "},
		{"q35", "expect_cpus=2", "-M q35 -cpu max -m 128 -smp 2"},
		{"four CPUs", "expect_cpus=4", "-M microvm,rtc=on -cpu max -m 192 -smp 4"},
		{"MP table", "expect_cpus=3", "-M microvm,rtc=on,acpi=off -cpu max -m 128 -smp 3"},
		{"more than 4 GiB", "", "-M q35 -cpu max -m 5G"},
		{"no gigabyte pages", "", "-M q35 -cpu max,-pdpe1gb -m 3G"},
		{"no FSGSBASE", "", "-M microvm,rtc=on -cpu max,-fsgsbase -m 128"},
		{"no SMAP, SMEP, UMIP", "", "-M microvm,rtc=on -cpu max,-smap,-smep,-umip -m 128"},
		{"no AVX", "", "-M microvm,rtc=on -cpu max,-avx -m 128"},
		{"no XSAVE, no RDRAND", "", "-M microvm,rtc=on -cpu qemu64 -m 128"},
		{"unknown hypervisor", "", "-M q35 -cpu max,-hypervisor,-tsc-deadline -m 128"},
	} {
		t.Run(m.name, func(t *testing.T) {
			kernel := build(t, machinetest)
			out, status := boot(t, kernel, "-test.v "+m.cmdline, strings.Fields(m.flags)...)
			if status != passed {
				t.Errorf("status %d\n%s", status, out)
			}
		})
	}
}

func TestSmallMachine(t *testing.T) {
	kernel := build(t, machinetest)
	out, status := boot(t, kernel, "-test.run=Goroutines", "-M", "microvm,rtc=on", "-cpu", "max", "-m", "12")
	if status != passed {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestPanicIsReportedWithSymbols(t *testing.T) {
	kernel := build(t, machinetest)
	out, status := boot(t, kernel, "-test.run=Crash crash=panic", "-M", "microvm", "-cpu", "max", "-m", "128")
	if status != 2*2+1 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"panic: on purpose", "machinetest.crash", "crash_test.go:", "goroutine "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestFaultInMetalIsReportedWithSymbols(t *testing.T) {
	kernel := build(t, machinetest)
	for _, smp := range []string{"1", "2"} {
		out, status := boot(t, kernel, "-test.run=Crash crash=metal", "-M", "microvm", "-cpu", "max", "-m", "128", "-smp", smp)
		if status != 2*0x7e+1 {
			t.Errorf("status %d", status)
		}
		for _, want := range []string{"unexpected exception in the kernel", "vector 0xe", "metal.kernelSyscall+", "0x1000"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	}
}

func TestTextIsReadOnly(t *testing.T) {
	kernel := build(t, machinetest)
	for _, what := range []string{"text", "rodata", "data"} {
		out, status := boot(t, kernel, "-test.run=Crash crash=write-"+what, "-M", "microvm", "-cpu", "max", "-m", "128")
		if status != passed || !strings.Contains(out, "PASS") {
			t.Errorf("%s: status %d\n%s", what, status, out)
		}
	}
}

func TestIdleMachineSleeps(t *testing.T) {
	kernel := build(t, machinetest)
	out, state := bootState(t, kernel, "-test.run=Crash crash=idle", "-M", "microvm", "-cpu", "max", "-m", "128", "-smp", "2")
	if state.ExitCode() != passed {
		t.Fatalf("status %d\n%s", state.ExitCode(), out)
	}
	used := state.UserTime() + state.SystemTime()
	t.Logf("%v of CPU time in 3 s", used)
	if used > 1500*time.Millisecond {
		t.Errorf("an idle machine uses %v of 3 s", used)
	}
}

// Instructions, as virtual nanoseconds. They are exact and repeatable.
func TestInstructionBudgets(t *testing.T) {
	kernel := build(t, machinetest)
	out, status := boot(t, kernel, "-test.run=XXX -test.bench=. -test.benchtime=2000x",
		"-M", "microvm,rtc=on", "-cpu", "max", "-m", "128", "-icount", "shift=0,sleep=off")
	if status != passed {
		t.Fatalf("status %d\n%s", status, out)
	}
	for name, limit := range map[string]float64{
		"NullSyscall": 200,
		"Fault":       230,
	} {
		m := regexp.MustCompile(`Benchmark` + name + `\s+\d+\s+([0-9.]+) ns/op`).FindStringSubmatch(out)
		if m == nil {
			t.Errorf("no figure for %s in\n%s", name, out)
			continue
		}
		n, _ := strconv.ParseFloat(m[1], 64)
		t.Logf("%s: %g instructions", name, n)
		if n > limit {
			t.Errorf("%s takes %g instructions, want at most %g", name, n, limit)
		}
	}
}
