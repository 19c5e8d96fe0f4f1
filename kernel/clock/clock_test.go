package clock

import (
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTimersFireInOrderOfTheirDeadlines(t *testing.T) {
	const n = 200
	var mu sync.Mutex
	var fired []int64
	done := make(chan struct{})
	base := Now()
	for _, i := range rand.Perm(n) {
		due := base + 1_000_000 + int64(i)*1000
		NewTimer(func(uint64) {
			if Now() < due {
				t.Errorf("timer fired %d ns early", due-Now())
			}
			mu.Lock()
			defer mu.Unlock()
			if fired = append(fired, due); len(fired) == n {
				close(done)
			}
		}).Start(due, 0)
	}
	<-done
	for i := 1; i < n; i++ {
		// A timer that was started when it was already due may come late.
		if fired[i] < fired[i-1] && fired[i] > base+50_000_000 {
			t.Fatalf("timer %d fired after a later one", i)
		}
	}
}

func TestStopReportsWhetherTheTimerWasArmed(t *testing.T) {
	tm := NewTimer(func(uint64) { t.Error("a stopped timer fired") })
	if tm.Stop() {
		t.Error("a timer that was never started was armed")
	}
	tm.Start(Now()+3600*Second, 0)
	if left, _ := tm.Remaining(); left <= 0 || left > 3600*Second {
		t.Errorf("Remaining = %d", left)
	}
	if !tm.Stop() || tm.Stop() {
		t.Error("Stop must report true once")
	}
	tm.Start(Never, 0)
	if tm.Stop() {
		t.Error("a deadline of Never arms nothing")
	}
}

func TestPeriodicTimerCountsMissedExpirations(t *testing.T) {
	const period = 1_000_000
	start := Now() - 10*period
	got := make(chan uint64, 100)
	tm := NewTimer(func(n uint64) {
		select {
		case got <- n:
		default:
		}
	})
	tm.Start(start, period)
	if n := <-got; n < 11 {
		t.Errorf("first call reports %d expirations, want at least 11", n)
	}
	<-got
	tm.Stop()
}

func TestRestartFromItsOwnFunction(t *testing.T) {
	done := make(chan struct{})
	var tm *Timer
	left := 5
	tm = NewTimer(func(uint64) {
		if left--; left == 0 {
			close(done)
			return
		}
		tm.Start(Now(), 0)
	})
	tm.Start(0, 0)
	<-done
}

func TestRealTimersFollowTheClock(t *testing.T) {
	fired := make(chan struct{})
	tm := NewTimer(func(uint64) { close(fired) })
	tm.StartReal(Realtime()+1000*Second, 0)
	hooked := false
	OnSet(func() { hooked = true })
	defer func() { adjust.Store(0); timers.rebase(); setHooks = nil }()
	StepRealtime(2000 * Second)
	<-fired
	if !hooked {
		t.Error("OnSet function was not called")
	}
	if d := Realtime() - Now() - RealtimeOffset(); d < -Second || d > Second {
		t.Errorf("real time is %d ns off its offset", d)
	}
}

func TestHeapKeepsItsInvariant(t *testing.T) {
	h := heap{alarm: Never, running: true, serving: true}
	ts := make([]Timer, 100)
	for range 5000 {
		tm := &ts[rand.IntN(len(ts))]
		if rand.IntN(3) == 0 {
			if tm.at != 0 {
				h.remove(tm.at - 1)
			}
		} else {
			h.start(tm, rand.Int64N(1000), 0, false)
		}
		for i, e := range h.e {
			if e.t.at != i+1 || e.t.due != e.due {
				t.Fatalf("entry %d does not agree with its timer", i)
			}
			if i > 0 && h.e[(i-1)/2].due > e.due {
				t.Fatalf("entry %d is before its parent", i)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			fired := make(chan struct{}, 1)
			tm := NewTimer(func(uint64) {
				select {
				case fired <- struct{}{}:
				default:
				}
			})
			for i := range 300 {
				tm.Start(Now()+int64(i)*100, 0)
				if i%2 == 0 {
					tm.Stop()
				} else {
					<-fired
				}
			}
		}()
	}
	wg.Wait()
}

func TestReadKnowsTheClocks(t *testing.T) {
	for id, want := range map[int32]bool{
		unix.CLOCK_REALTIME: true, unix.CLOCK_MONOTONIC: true, unix.CLOCK_BOOTTIME: true, unix.CLOCK_TAI: true,
		unix.CLOCK_MONOTONIC_RAW: true, unix.CLOCK_REALTIME_COARSE: true, unix.CLOCK_MONOTONIC_COARSE: true,
		unix.CLOCK_PROCESS_CPUTIME_ID: false, 10: false, 12: false, -1: false,
	} {
		if _, ok := Read(id); ok != want {
			t.Errorf("Read(%d) ok = %v", id, ok)
		}
	}
}

func TestConversions(t *testing.T) {
	for _, ns := range []int64{0, 1, Second - 1, Second, -1, -Second, 5*Second + 7} {
		ts := Timespec(ns)
		if ts.Nsec < 0 || ts.Nsec >= Second || ts.Sec*Second+ts.Nsec != ns {
			t.Errorf("Timespec(%d) = %v", ns, ts)
		}
	}
	if Nanoseconds(unix.Timespec{Sec: 1 << 62}) != Never || Add(Never, 1) != Never || Add(1, 2) != 3 {
		t.Error("saturation")
	}
}
