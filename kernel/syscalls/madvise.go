package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// madvise gives advice about the use of memory (madvise(2)).
func (t Thread) madvise(addr mm.Addr, length uint64, advice int32) error {
	return t.AddressSpace().Advise(addr, length, int(advice))
}

// mincore tells which pages are in memory (mincore(2)).
func (t Thread) mincore(addr mm.Addr, length uint64, vec mm.Addr) error {
	if addr&(mm.PageSize-1) != 0 {
		return unix.EINVAL
	}
	if uint64(addr)+length < length || uint64(addr)+length > uint64(cpu.UserMax) {
		return unix.ENOMEM
	}
	n := length>>mm.PageShift + (length&(mm.PageSize-1)+mm.PageSize-1)>>mm.PageShift
	if uint64(vec)+n < n || uint64(vec)+n > uint64(cpu.UserMax) {
		return unix.EFAULT
	}
	var buf [1024]byte
	for n > 0 {
		part := buf[:min(n, uint64(len(buf)))]
		if err := t.AddressSpace().Resident(addr, part); err != nil {
			return err
		}
		if _, err := t.AddressSpace().CopyOut(vec, part); err != nil {
			return err
		}
		n -= uint64(len(part))
		addr += mm.Addr(len(part)) << mm.PageShift
		vec += mm.Addr(len(part))
	}
	return nil
}

// msync writes shared file mappings back (msync(2)).
func (t Thread) msync(addr mm.Addr, length uint64, flags int32) error {
	return t.AddressSpace().Sync(addr, length, int(flags))
}

// process_mrelease frees the memory of a process that is being killed
// (process_mrelease(2)). Nothing need be done: it ends as soon as it can.
func (t Thread) process_mrelease(pidfd int32, flags uint32) error {
	if flags != 0 {
		return unix.EINVAL
	}
	p, err := t.pidfdProcess(pidfd)
	switch {
	case err != nil:
		return err
	case p.Ended():
		return unix.ESRCH
	case !p.Exiting():
		return unix.EINVAL
	}
	return nil
}

// process_madvise gives advice about another process's memory
// (process_madvise(2)): what costs that process time but no data.
func (t Thread) process_madvise(pidfd int32, vec mm.Addr, n uint64, advice int32, flags uint32) (int, error) {
	if flags != 0 {
		return 0, unix.EINVAL
	}
	ranges, err := t.iovecs(vec, n)
	if err != nil {
		return 0, err
	}
	p, err := t.pidfdProcess(pidfd)
	if err != nil {
		return 0, err
	}
	as := p.Mem()
	if as == nil {
		return 0, unix.ESRCH
	}
	defer as.Put()
	if as != t.AddressSpace() {
		switch {
		case !t.mayTrace(p):
			return 0, unix.EPERM
		case advice != unix.MADV_COLD && advice != unix.MADV_PAGEOUT && advice != unix.MADV_WILLNEED:
			return 0, unix.EINVAL
		case !t.Cred().Has(unix.CAP_SYS_NICE):
			return 0, unix.EPERM
		}
	}
	done := 0
	for _, r := range ranges {
		if err := as.Advise(r.Base, uint64(r.Len), int(advice)); err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
		done += r.Len
	}
	return done, nil
}
