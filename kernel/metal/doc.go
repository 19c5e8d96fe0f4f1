// Package metal is the layer under the Go runtime. It boots the machine,
// answers the system calls that the runtime issues as if it ran on Linux, and
// offers package cpu, its only user besides the kernel's main, what that needs
// of the hardware: entry into ring 3, frames, interrupts, clocks, power.
//
// Most of its code runs without a goroutine: with interrupts off, on a stack
// of the CPU, with a zeroed g. HACKING.md says what such code may do; the
// lint in kernel/metal/lint checks it. What runs so is called from assembly
// (start, startAP, interrupt, trap, paranoid, kernelSyscall); everything
// exported runs on ordinary goroutines and crosses over by kcall.
//
// Locks, in the order in which they may be taken: schedLock (threads, futexes,
// files, timers), vmLock (the runtime's address space), frameLock (free
// frames), shootLock (TLB shootdown). All are held with interrupts off, and
// whoever waits for one serves flush requests meanwhile.
package metal
