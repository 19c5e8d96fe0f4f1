package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// mlock keeps pages in memory (mlock(2)).
func (t Thread) mlock(addr mm.Addr, length uint64) error {
	return t.AddressSpace().Lock(addr, length, false, t.Cred().Has(unix.CAP_IPC_LOCK))
}

const mlockOnFault = 1

// mlock2 is mlock with flags.
func (t Thread) mlock2(addr mm.Addr, length uint64, flags int32) error {
	if flags&^mlockOnFault != 0 {
		return unix.EINVAL
	}
	return t.AddressSpace().Lock(addr, length, flags != 0, t.Cred().Has(unix.CAP_IPC_LOCK))
}

// munlock undoes mlock.
func (t Thread) munlock(addr mm.Addr, length uint64) error {
	return t.AddressSpace().Unlock(addr, length)
}

// mlockall keeps the whole address space in memory (mlockall(2)).
func (t Thread) mlockall(flags int32) error {
	return t.AddressSpace().LockAll(int(flags), t.Cred().Has(unix.CAP_IPC_LOCK))
}

// munlockall undoes mlockall.
func (t Thread) munlockall() error {
	t.AddressSpace().UnlockAll()
	return nil
}
