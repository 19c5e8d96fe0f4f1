// Package mm is memory as programs see it: address spaces with their VMAs and
// page tables, page faults, copy-on-write, the page cache, and the copying of
// data between the kernel and user memory.
//
// It stands on package cpu for frames, the direct map and TLB flushes. User
// memory is never touched through user addresses: it is walked, faulted in by
// the same function that serves hardware faults, and copied through the
// direct map, so a goroutine may move between CPUs at any time.
//
// # Ownership
//
// Every frame that programs use has an entry in the frame table with a
// reference count. A page-table entry holds one reference to its frame, the
// page cache holds one for each page it has, and whoever copies to or from a
// cache page holds one for the time of the copy. A last-level page table is a
// counted frame too: fork shares it between parent and child with the write
// bit of the entry above it cleared, and whoever must change a shared table
// takes a copy of it first (pagetable.go). The entry above a table is writable
// exactly when the table belongs to one address space.
//
// # Locks, in the order in which they are taken
//
//	AddressSpace.mu        the VMAs; readers: faults and user copies
//	└ PageCache.mapMu      which VMAs map a cache; start, end, off of those VMAs
//	  └ frame.mu           of a last-level page table: its entries
//	    └ PageCache.mu     the pages of one cache
//	      └ frameShard.mu  free frames
//	        └ lru.mu       the clock of evictable chunks
//	AddressSpace.tables    (under mu) the upper page-table levels
//	PageCache.syncMu       before everything else: one writeback at a time
//
// No frame is allocated under mapMu, frame.mu or PageCache.mu, because
// allocation may evict cache pages and takes these locks. No store is called
// under any of them. Mappable.Put is called with no lock held.
//
// # The rule for user copies
//
// A copy holds AddressSpace.mu for reading, so that tables stay, and the lock
// of the last-level table that maps the page, so that the entry and with it
// the frame stay, for at most one page at a time. Whoever removes or replaces
// an entry does so under that lock and drops the frame only afterwards. A
// fault is taken with neither held.
package mm

import "husk/kernel/cpu"

// Addr is a user-space virtual address.
type Addr uintptr

// PageSize and PageShift describe the base page.
const (
	PageSize  = cpu.PageSize
	PageShift = cpu.PageShift
	pageMask  = PageSize - 1
)

// userMax is the first address above user space.
const userMax = Addr(cpu.UserMax)

// Access is the kind of a memory access.
type Access uint8

// The kinds of access; they may be combined.
const (
	Read Access = 1 << iota
	Write
	Exec
)

func (a Addr) pageDown() Addr { return a &^ pageMask }

func (a Addr) pageUp() Addr { return (a + pageMask) &^ pageMask }

// pages is the number of pages that n bytes touch when they start on a page
// boundary; it does not overflow.
func pages(n uint64) uint64 { return n>>PageShift + (n&pageMask+pageMask)>>PageShift }
