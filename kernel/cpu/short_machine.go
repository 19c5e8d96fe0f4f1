//go:build baremetal

package cpu

import (
	"runtime/debug"
	"sync"
	"time"

	"husk/kernel/metal"
)

// collection guards the collecting of garbage for want of memory. mu is a leaf.
var collection struct {
	mu    sync.Mutex
	next  int64  // not before: Nanotime
	begun uint64 // collections
}

// KernelShort reports whether the kernel itself uses more than the share of
// memory that is kept for it. What lasts and can be refused should be.
//
// The runtime collects garbage when the share is about to be used up. Where
// everything is refused below that, nothing is allocated that would make it
// do so, and what thousands of processes left would count for ever: it is
// collected here, a quarter of the time at most.
func KernelShort() bool { return metal.KernelShort() && collect(metal.KernelShort, false) }

// KernelTight reports whether the kernel will soon be short of memory: what
// needs more later, such as an open file, should be refused before that gets
// into trouble.
func KernelTight() bool { return tight() && collect(tight, false) }

func tight() bool {
	return !metal.KernelRoom(metal.KernelShare() / 8)
}

// KernelShortNow is KernelShort for what must not be refused while there is
// garbage: it waits until that may be collected, with no lock held.
func KernelShortNow() bool { return metal.KernelShort() && collect(metal.KernelShort, true) }

// collect collects garbage, or, when it is too early, waits or does not. It
// reports whether the kernel is still short of memory.
func collect(short func() bool, wait bool) bool {
	const least = 50_000_000 // ns between collections
	c := &collection
	c.mu.Lock()
	defer c.mu.Unlock()
	for begun := c.begun; short() && c.begun == begun; {
		start := Nanotime()
		if early := c.next - start; early > 0 {
			if !wait {
				break
			}
			c.mu.Unlock()
			time.Sleep(time.Duration(early))
			c.mu.Lock()
			continue
		}
		c.begun++
		debug.FreeOSMemory()
		end := Nanotime()
		c.next = end + max(least, 3*(end-start))
	}
	return short()
}
