package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// The commands of membarrier(2). Each expedited command has one that
// registers the intent to use it, which is the next bit up.
const (
	membarrierQuery            = 0
	membarrierGlobal           = 1 << 0
	membarrierGlobalExpedited  = 1 << 1
	membarrierRegisterGlobal   = 1 << 2
	membarrierPrivate          = 1 << 3
	membarrierRegisterPrivate  = 1 << 4
	membarrierSyncCore         = 1 << 5
	membarrierRegisterSyncCore = 1 << 6
	membarrierGetRegistrations = 1 << 9

	membarrierAll = membarrierGlobal | membarrierGlobalExpedited | membarrierRegisterGlobal |
		membarrierPrivate | membarrierRegisterPrivate | membarrierSyncCore | membarrierRegisterSyncCore |
		membarrierGetRegistrations
)

// membarrier orders the memory accesses of other threads (membarrier(2)).
// Restartable sequences are not offered, so neither are their commands.
func (t Thread) membarrier(cmd int32, flags uint32) (int, error) {
	if flags != 0 {
		return 0, unix.EINVAL
	}
	as := t.AddressSpace()
	switch cmd {
	case membarrierQuery:
		return membarrierAll, nil
	case membarrierGlobal, membarrierGlobalExpedited:
		mm.BarrierAll()
	case membarrierRegisterGlobal, membarrierRegisterPrivate, membarrierRegisterSyncCore:
		as.Membarrier.Or(uint32(cmd))
	case membarrierPrivate, membarrierSyncCore:
		if as.Membarrier.Load()&uint32(cmd<<1) == 0 {
			return 0, unix.EPERM
		}
		as.Barrier()
	case membarrierGetRegistrations:
		return int(as.Membarrier.Load()), nil
	default:
		return 0, unix.EINVAL
	}
	return 0, nil
}
