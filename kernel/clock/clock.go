// Package clock keeps the kernel's clocks and timers: monotonic and real
// time, and one heap of timers with nanosecond deadlines served by a single
// goroutine that sleeps on the machine's alarm (cpu.WaitAlarm). It exists
// because the Go runtime's own timers round to milliseconds when idle.
//
// Locks: the heap's mutex is a leaf; timer functions run without it.
package clock

import "husk/kernel/cpu"

// Now returns CLOCK_MONOTONIC in nanoseconds since boot.
func Now() int64 { return cpu.Nanotime() }
