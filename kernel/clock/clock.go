// Package clock keeps the kernel's clocks and timers: monotonic and real
// time, and one heap of timers with nanosecond deadlines served by a single
// goroutine that sleeps on the machine's alarm (cpu.WaitAlarm). It exists
// because the Go runtime's own timers round to milliseconds when idle.
//
// Locks: the heap's mutex is a leaf; timer functions run without it.
package clock

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// Nanoseconds in a second, and the limit beyond which a deadline is never.
const (
	Second = int64(1_000_000_000)
	Never  = int64(1<<63 - 1)
)

// Resolution is what clock_getres(2) reports for the fine clocks, and
// CoarseResolution for the coarse ones, which here are fine as well but must
// look like a tick of 250 Hz.
const (
	Resolution       = int64(1)
	CoarseResolution = int64(4_000_000)
)

// adjust is how far real time has been moved from what the machine's clock
// said at boot, in nanoseconds; tai the offset of CLOCK_TAI in seconds.
var (
	adjust atomic.Int64
	tai    atomic.Int64
)

// setHooks are told after real time was set. Guarded by setMu, which also
// serialises settings; order: before heap.mu.
var (
	setMu    sync.Mutex
	setHooks []func()
)

// Now returns CLOCK_MONOTONIC in nanoseconds since boot.
func Now() int64 { return cpu.Nanotime() }

// Realtime returns CLOCK_REALTIME in nanoseconds since 1970.
func Realtime() int64 { return cpu.Nanotime() + RealtimeOffset() }

// RealtimeOffset is what has to be added to Now to get Realtime.
func RealtimeOffset() int64 { return cpu.BootTime() + adjust.Load() }

// SetRealtime sets CLOCK_REALTIME. Timers started with StartReal keep their
// real-time deadline, so they may become due.
func SetRealtime(ns int64) {
	setMu.Lock()
	defer setMu.Unlock()
	adjust.Store(ns - cpu.Nanotime() - cpu.BootTime())
	timers.rebase()
	for _, f := range setHooks {
		f()
	}
}

// StepRealtime moves CLOCK_REALTIME by delta nanoseconds.
func StepRealtime(delta int64) { SetRealtime(Realtime() + delta) }

// OnSet registers f to be called after every setting of real time (the vDSO's
// data, timerfd's TFD_TIMER_CANCEL_ON_SET). f must not set the clock.
func OnSet(f func()) {
	setMu.Lock()
	setHooks = append(setHooks, f)
	setMu.Unlock()
}

// SetTAI sets the offset of CLOCK_TAI from CLOCK_REALTIME in seconds.
func SetTAI(seconds int64) { tai.Store(seconds) }

// TAI returns the offset of CLOCK_TAI from CLOCK_REALTIME in seconds.
func TAI() int64 { return tai.Load() }

// Read returns the time of one of the clocks that do not belong to a thread
// or process; ok is false for others.
func Read(id int32) (ns int64, ok bool) {
	switch id {
	case unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_MONOTONIC_COARSE,
		unix.CLOCK_BOOTTIME, unix.CLOCK_BOOTTIME_ALARM:
		return Now(), true
	case unix.CLOCK_REALTIME, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_REALTIME_ALARM:
		return Realtime(), true
	case unix.CLOCK_TAI:
		return Realtime() + tai.Load()*Second, true
	}
	return 0, false
}

// Timespec converts nanoseconds.
func Timespec(ns int64) unix.Timespec {
	sec, nsec := ns/Second, ns%Second
	if nsec < 0 {
		sec, nsec = sec-1, nsec+Second
	}
	return unix.Timespec{Sec: sec, Nsec: nsec}
}

// Nanoseconds converts a valid, non-negative time, saturating at Never.
func Nanoseconds(ts unix.Timespec) int64 {
	if ts.Sec >= Never/Second {
		return Never
	}
	return ts.Sec*Second + ts.Nsec
}

// Add returns a+b for b >= 0, saturating at Never.
func Add(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return Never
}
