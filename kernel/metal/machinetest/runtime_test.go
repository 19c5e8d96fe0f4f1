//go:build baremetal

package machinetest

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"husk/kernel/metal"
)

func TestGoroutinesAndChannels(t *testing.T) {
	c := make(chan int)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() { c <- i })
	}
	go func() { wg.Wait(); close(c) }()
	sum := 0
	for v := range c {
		sum += v
	}
	if sum != 4950 {
		t.Fatalf("sum %d", sum)
	}
}

var sink []byte

func TestGarbageCollection(t *testing.T) {
	for i := range 2000 {
		sink = make([]byte, 64<<10)
		sink[i] = 1
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.NumGC == 0 || m.Sys > 64<<20 {
		t.Fatalf("collections %d, memory %d", m.NumGC, m.Sys)
	}
}

// It is tried several times: what the runtime gives back of its own accord
// meanwhile, and what it had kept, is in the numbers too.
func TestMemoryIsGivenBack(t *testing.T) {
	const frames = 8 << 20 / 4096
	var before, during, after int
	for range 5 {
		debugFree() // what earlier tests left
		before = int(metal.FreeFrameCount())
		b := make([]byte, frames*4096)
		for i := range b {
			b[i] = 1
		}
		during = int(metal.FreeFrameCount())
		sink = b
		sink = nil
		b = nil
		runtime.GC()
		debugFree()
		after = int(metal.FreeFrameCount())
		if before-during > frames/2 && after-during > frames/2 {
			return
		}
	}
	t.Fatalf("free frames before %d, during %d, after %d", before, during, after)
}

func TestSleep(t *testing.T) {
	for _, d := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
		start := time.Now()
		time.Sleep(d)
		if took := time.Since(start); took < d || took > d+500*time.Millisecond {
			t.Errorf("sleep of %v took %v", d, took)
		}
	}
}

func TestBusyGoroutineIsPreempted(t *testing.T) {
	done := false
	go func() {
		for x := 0; !done; x++ {
			_ = x
		}
	}()
	time.Sleep(30 * time.Millisecond)
	done = true
}

func TestNilDereferencePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	var p *int
	*p = 1
}

func TestDivisionByZeroPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	z := 0
	_ = 1 / z
}

func TestFloatingPointSurvivesPreemption(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			x := float64(g + 1)
			for i := range 2_000_000 {
				x = x*1.0000001 - float64(i&1)*0.0000001
			}
			if x != x {
				t.Error("not a number")
			}
		})
	}
	wg.Wait()
}

func TestManyThreads(t *testing.T) {
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			time.Sleep(2 * time.Millisecond)
		})
	}
	wg.Wait()
}

func TestWallClock(t *testing.T) {
	if y := time.Now().Year(); y < 2024 || y > 2100 {
		t.Errorf("year %d", y)
	}
}

func TestStdout(t *testing.T) {
	if n, err := os.Stdout.WriteString("to stdout\n"); n != 10 || err != nil {
		t.Fatal(n, err)
	}
}
