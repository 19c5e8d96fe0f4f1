package mm

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// Overcommit is vm.overcommit_memory: 0 refuses only what could never be
// (more than the machine has in one request), 1 refuses nothing, 2 holds the
// sum of all commitments below OvercommitRatio percent of memory.
var (
	Overcommit      atomic.Int32
	OvercommitRatio atomic.Int32 // 0 stands for the default of 50
	// OvercommitKbytes, if not 0, stands for the ratio (vm.overcommit_kbytes).
	OvercommitKbytes atomic.Int64

	committed atomic.Int64 // pages, Committed_AS
)

// commitLimit is the number of pages that mode 2 allows.
func commitLimit() uint64 {
	if k := OvercommitKbytes.Load(); k != 0 {
		return uint64(k) / (PageSize / 1024)
	}
	total, _ := cpu.FrameStats()
	ratio := uint64(OvercommitRatio.Load())
	if ratio == 0 {
		ratio = 50
	}
	return uint64(total) * ratio / 100
}

// maxReserve is how many pages of the limit a process may not have for itself,
// so that its user can still mend matters: a 32nd of what it has, at most that
// (vm.user_reserve_kbytes).
const maxReserve = 128 << 20 >> PageShift

// mayCommit is Linux's __vm_enough_memory for a process that has total pages.
func mayCommit(n, total uint64) bool {
	switch Overcommit.Load() {
	case 1:
		return true
	case 2:
		return uint64(committed.Load())+n+min(total/32, maxReserve) <= commitLimit()
	}
	return fits(n)
}

// fits is what mode 0 asks: no single request for more than there is.
func fits(n uint64) bool {
	total, _ := cpu.FrameStats()
	return n <= uint64(total)
}

// mayCommitFork asks the same for a copy of all that is accounted.
func (as *AddressSpace) mayCommitFork() bool {
	if Overcommit.Load() != 2 {
		return true
	}
	var n uint64
	for _, v := range as.vmas {
		if v.flags&(vmAccount|vmDontFork) == vmAccount {
			n += v.size() >> PageShift
		}
	}
	return mayCommit(n, as.totalPages)
}

// accountable tells whether a mapping with these flags commits memory.
func accountable(f vmFlags) bool {
	return f&(vmNoReserve|vmShared|vmWrite) == vmWrite
}

func isData(f vmFlags) bool { return f&(vmWrite|vmShared|vmGrowsDown) == vmWrite }

// account adds n pages (or takes them away) of a mapping with these flags.
func (as *AddressSpace) account(f vmFlags, n int64) {
	d := uint64(n) // two's complement: adding subtracts
	as.totalPages += d
	as.peakVM = max(as.peakVM, as.totalPages)
	switch {
	case isData(f):
		as.dataPages += d
	case f&vmGrowsDown != 0:
		as.stackPages += d
	case f&(vmExec|vmWrite) == vmExec:
		as.execPages += d
	}
	if f&vmLocked != 0 {
		as.lockedPages += d
	}
	if f&vmAccount != 0 {
		committed.Add(n)
	}
}

// mayExpand checks RLIMIT_AS and RLIMIT_DATA for n more pages.
func (as *AddressSpace) mayExpand(f vmFlags, n uint64) bool {
	if as.totalPages+n > as.Limits.AS.Load()>>PageShift {
		return false
	}
	return !isData(f) || as.dataPages+n <= as.Limits.Data.Load()>>PageShift
}

// mayLock checks RLIMIT_MEMLOCK for n more locked pages (EAGAIN or ENOMEM is
// the caller's choice).
func (as *AddressSpace) mayLock(n uint64, capable bool) bool {
	return capable || as.lockedPages+n <= as.Limits.Memlock.Load()>>PageShift
}

// canLock tells whether the process may lock anything at all (EPERM if not).
func (as *AddressSpace) canLock(capable bool) error {
	if capable || as.Limits.Memlock.Load() != 0 {
		return nil
	}
	return unix.EPERM
}
