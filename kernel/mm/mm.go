// Package mm is memory as programs see it: address spaces with their VMAs and
// page tables, page faults, copy-on-write, the page cache, and the copying of
// data between the kernel and user memory.
//
// It stands on package cpu for frames, the direct map and TLB flushes. User
// memory is never touched through user addresses: it is walked, faulted in by
// the same function that serves hardware faults, and copied through the
// direct map, so a goroutine may move between CPUs at any time.
package mm

import "husk/kernel/cpu"

// Addr is a user-space virtual address.
type Addr uintptr

// PageSize and PageShift describe the base page.
const (
	PageSize  = cpu.PageSize
	PageShift = cpu.PageShift
)

// Access is the kind of a memory access.
type Access uint8

// The kinds of access; they may be combined.
const (
	Read Access = 1 << iota
	Write
	Exec
)
