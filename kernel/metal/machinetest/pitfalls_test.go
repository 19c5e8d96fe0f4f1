//go:build baremetal

package machinetest

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"husk/kernel/cpu"
)

// Pitfall 3: with the trampoline's identity mapping left in place, low memory
// would be readable through nil.
func TestLowMemoryIsNotMapped(t *testing.T) {
	sum := 0
	for _, addr := range []uintptr{0, 0x1000, 0x100000, 0x1fffff} {
		mustFault(t, func() {
			b := *(**byte)(unsafe.Pointer(&addr))
			sum += int(*b)
		})
	}
	_ = sum
}

// Pitfall 4: the clock must run at its rate however it was calibrated. The
// PIT, where there is one, is the judge.
func TestClockRunsAtItsRate(t *testing.T) {
	pit := func() uint16 {
		cpu.Out8(0x43, 0)
		lo := cpu.In8(0x40)
		return uint16(lo) | uint16(cpu.In8(0x40))<<8
	}
	cpu.Out8(0x43, 0x34)
	cpu.Out8(0x40, 0)
	cpu.Out8(0x40, 0)
	first, counts := pit(), false
	for range 10 {
		counts = counts || pit() != first
	}
	if !counts {
		t.Skip("no PIT")
	}
	// The count wraps after 55 ms, and a host that is busy may take the CPU
	// away for longer than that. A clock that is wrong is so in every window;
	// the best of them tells.
	best := 1.0
	for range 40 {
		n0, p0 := cpu.Nanotime(), pit()
		for cpu.Nanotime()-n0 < 10_000_000 {
		}
		n1, p1 := cpu.Nanotime(), pit()
		want := float64(p0-p1) / 1193182 * 1e9
		best = min(best, math.Abs(float64(n1-n0)-want)/want)
	}
	t.Logf("off by %.3f %%", best*100)
	if best > 0.01 {
		t.Errorf("the clock is off by %.2f %%", best*100)
	}
}

// Pitfall 5: large variables get memory when they are touched.
var large [40 << 20]byte

func TestLargeVariableIsMappedOnDemand(t *testing.T) {
	total, _ := cpu.FrameStats()
	if total*4096 > 256<<20 {
		t.Skip("no news on a large machine")
	}
	for i := 0; i < len(large); i += 4 << 20 {
		if large[i] != 0 {
			t.Fatal("not zero")
		}
		large[i] = 1
	}
}

// Pitfall 6: arguments and environment come from metal.
func TestArgumentsAndEnvironment(t *testing.T) {
	if len(os.Args) < 2 || os.Args[0] != "kernel" {
		t.Errorf("arguments %q", os.Args)
	}
	if n, _ := strconv.Atoi(os.Getenv("GOMAXPROCS")); n != cpu.CPUs() {
		t.Errorf("GOMAXPROCS=%s", os.Getenv("GOMAXPROCS"))
	}
	if l := debug.SetMemoryLimit(-1); l <= 0 || l > 1<<62 {
		t.Errorf("memory limit %d", l)
	}
}

// Pitfalls 8 and 14: interrupts come at any depth of any stack and may touch
// neither what lies below SP nor a register, X15 included.
func TestInterruptsLeaveStacksAndRegistersAlone(t *testing.T) {
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 3 {
		wg.Go(func() {
			for !stop.Load() {
				if n := recurse(200, [8]int{1, 2, 3, 4, 5, 6, 7, 8}); n != 200*36 {
					t.Errorf("sum %d", n)
					return
				}
			}
		})
	}
	for range 30 {
		at := cpu.Nanotime() + 50_000
		cpu.SetAlarm(at)
		cpu.WaitAlarm()
	}
	stop.Store(true)
	wg.Wait()
}

//go:noinline
func recurse(n int, a [8]int) int {
	if n == 0 {
		return 0
	}
	var zero [8]int // cleared by way of X15
	b := a
	sum := recurse(n-1, b)
	for i := range a {
		sum += b[i] + zero[i]
	}
	return sum
}

// Pitfall 27: stopping the world must not wait for a timer when another CPU
// is in ring 3, or in a Go loop without calls.
func TestStoppingTheWorldIsPrompt(t *testing.T) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	p := load(t, 0xeb, 0xfe)
	wg.Go(func() {
		for !stop.Load() {
			p.run()
			runtime.Gosched()
		}
	})
	time.Sleep(2 * time.Millisecond)
	var took []time.Duration
	for range 11 {
		start := time.Now()
		var m runtime.MemStats
		runtime.ReadMemStats(&m) // stops the world
		took = append(took, time.Since(start))
	}
	stop.Store(true)
	p.Kick()
	wg.Wait()
	slices.Sort(took)
	t.Log(took)
	if took[5] > 100*time.Millisecond {
		t.Errorf("stopping the world takes %v", took[5])
	}
}

// A device interrupts through the I/O APIC: the real-time clock's periodic
// interrupt.
func TestDeviceInterrupts(t *testing.T) {
	reg := func(n uint8) uint8 { cpu.Out8(0x70, n); return cpu.In8(0x71) }
	set := func(n, v uint8) { cpu.Out8(0x70, n); cpu.Out8(0x71, v) }
	if reg(0xa) == 0xff {
		t.Skip("no real-time clock")
	}
	var count atomic.Int32
	if err := cpu.HandleIRQ(8, func() {
		reg(0xc) // acknowledge
		count.Add(1)
	}); err != nil {
		t.Fatal(err)
	}
	set(0xa, 0x26) // 1024 Hz
	set(0xb, reg(0xb)|0x40)
	reg(0xc)
	wait := func(what string, turn func()) {
		count.Store(0)
		for deadline := cpu.Nanotime() + 2_000_000_000; count.Load() < 20; turn() {
			if cpu.Nanotime() > deadline {
				t.Errorf("%s: %d interrupts in two seconds", what, count.Load())
				return
			}
		}
	}
	wait("idle", func() { time.Sleep(5 * time.Millisecond) })
	p := load(t, 0xeb, 0xfe)
	wait("in ring 3", func() { p.run(); runtime.Gosched() })
	set(0xb, reg(0xb)&^0x40)
	if err := cpu.HandleIRQ(1000, func() {}); err == nil {
		t.Error("a line that does not exist")
	}
}
