// Package cpu is the one door between the kernel proper and the machine. Above
// it everything is ordinary Go that also runs on the host under "go test";
// below it is package metal. It offers frames and the direct map, the entry
// into ring 3 (Switch), clocks and the alarm, interrupts, devices and power.
//
// Two implementations stand beside each other. With the build tag "baremetal"
// (set by the kernel's build) the calls go to package metal; without it they
// go to a fake whose physical memory is an anonymous mapping of the host, in
// which nothing can enter ring 3. Both have the same doc comments: these.
package cpu

// PageSize and PageShift describe the 4 KiB base page.
const (
	PageSize  = 4096
	PageShift = 12
)

// PhysAddr is an address in physical memory.
type PhysAddr uint64

// UserMax is the first address above user space on amd64 with four-level
// tables (TASK_SIZE_MAX: one page short of the canonical hole).
const UserMax = uintptr(0x7ffffffff000)

// InterruptCounts are the interrupts that are no device's: those of the local
// timer, of CPUs that give work, that change page tables, and that ask for the
// vector registers of a program.
type InterruptCounts struct{ Timer, Reschedule, Flush, Call uint64 }
