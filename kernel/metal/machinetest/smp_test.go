//go:build baremetal

package machinetest

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"husk/kernel/cpu"
)

// expected returns the number after key in the command line, which the tests
// are told the machine's shape by.
func expected(key string) (int, bool) {
	for _, w := range strings.Fields(cpu.CommandLine()) {
		if v, ok := strings.CutPrefix(w, key); ok {
			n, err := strconv.Atoi(v)
			return n, err == nil
		}
	}
	return 0, false
}

func TestAllCPUsRun(t *testing.T) {
	if n, ok := expected("expect_cpus="); ok && cpu.CPUs() != n {
		t.Fatalf("%d CPUs, want %d", cpu.CPUs(), n)
	}
	if runtime.NumCPU() != cpu.CPUs() {
		t.Fatalf("the runtime sees %d of %d", runtime.NumCPU(), cpu.CPUs())
	}
	var seen [8]atomic.Bool
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range cpu.CPUs() {
		wg.Go(func() {
			for !stop.Load() {
				seen[cpu.CurrentCPU()].Store(true)
			}
		})
	}
	all := func() bool {
		for i := range cpu.CPUs() {
			if !seen[i].Load() {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(5 * time.Second); !all() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	if !all() {
		t.Fatal("a CPU never ran a goroutine")
	}
}

// Contexts wander between CPUs with their extended state.
func TestExtendedStateFollowsAcrossCPUs(t *testing.T) {
	if cpu.XCR0()&4 == 0 {
		t.Skip("no AVX")
	}
	code := []byte{
		0xc5, 0xfc, 0x10, 0x1c, 0x25, 0x00, 0x10, 0x40, 0x00, // vmovups ymm3, [0x401000]
		0x0f, 0x05, // syscall
		0xc5, 0xfc, 0x11, 0x1c, 0x25, 0x80, 0x10, 0x40, 0x00, // vmovups [0x401080], ymm3
		0xeb, 0xf3, // jmp syscall
	}
	var wg sync.WaitGroup
	for g := range 2*cpu.CPUs() + 1 {
		p := load(t, code...)
		wg.Go(func() {
			d := (*[512]uint64)(cpu.Direct(p.data))
			for i := range 4 {
				d[i] = uint64(g*100 + i)
			}
			for range 300 {
				if ev := p.runPast(); ev != cpu.EventSyscall {
					t.Errorf("event %d", ev)
					return
				}
				runtime.Gosched()
			}
			for i := range 4 {
				if d[16+i] != uint64(g*100+i) {
					t.Errorf("context %d: ymm3[%d] = %d", g, i, d[16+i])
				}
			}
			p.Release()
		})
	}
	wg.Wait()
}

func TestFlushReachesOtherCPUs(t *testing.T) {
	// l: mov rax, [0x401000]; mov [0x402000], rax; jmp l
	p := load(t, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x40, 0x00,
		0x48, 0x89, 0x04, 0x25, 0x00, 0x20, 0x40, 0x00, 0xeb, 0xee)
	out := (*atomic.Uint64)(cpu.Direct(cpu.PhysAddr(p.pt[2] &^ 0xfff)))
	var stop atomic.Bool
	done := make(chan bool)
	go func() {
		for !stop.Load() {
			if ev := p.run(); ev != cpu.EventInterrupt {
				t.Errorf("event %d", ev)
				break
			}
			runtime.Gosched()
		}
		close(done)
	}()
	pages := [2]cpu.PhysAddr{p.data, frame(t)}
	for round := uint64(1); round < 100; round++ {
		next := pages[round%2]
		old := pages[(round+1)%2]
		*(*uint64)(cpu.Direct(next)) = round
		atomic.StoreUint64(&p.pt[1], uint64(next)|userFlags)
		cpu.FlushRange(p.root, dataAddr, dataAddr+4096)
		*(*uint64)(cpu.Direct(old)) = 1 << 40
		for spins := 0; out.Load() != round && spins < 1_000_000; spins++ {
			if spins%100 == 99 {
				time.Sleep(100 * time.Microsecond)
			}
		}
		if v := out.Load(); v != round {
			t.Fatalf("round %d: program sees %#x", round, v)
		}
	}
	stop.Store(true)
	p.Kick()
	<-done
	cpu.ReleaseRoot(p.root)
}

func TestHeapShrinksWhileOthersUseIt(t *testing.T) {
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range cpu.CPUs() + 1 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				b := make([]byte, 8192<<(i%6))
				for j := 0; j < len(b); j += 512 {
					if b[j] != 0 {
						t.Error("fresh memory is not zero")
						return
					}
					b[j] = 0xff
				}
			}
		})
	}
	for range 20 {
		debug.FreeOSMemory()
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
}

func TestKickReachesOtherCPUs(t *testing.T) {
	p := load(t, 0xeb, 0xfe)
	for range 50 {
		done := make(chan cpu.Event)
		go func() { done <- p.run() }()
		runtime.Gosched()
		p.Kick()
		if ev := <-done; ev != cpu.EventInterrupt {
			t.Fatalf("event %d", ev)
		}
	}
}
