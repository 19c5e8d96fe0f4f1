package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
)

// process_vm_readv copies from another process (process_vm_readv(2)).
func (t Thread) process_vm_readv(pid int32, local mm.Addr, nlocal uint64, remote mm.Addr, nremote, flags uint64) (int, error) {
	return t.processVM(pid, local, nlocal, remote, nremote, flags, false)
}

// process_vm_writev copies to another process (process_vm_readv(2)).
func (t Thread) process_vm_writev(pid int32, local mm.Addr, nlocal uint64, remote mm.Addr, nremote, flags uint64) (int, error) {
	return t.processVM(pid, local, nlocal, remote, nremote, flags, true)
}

func (t Thread) processVM(pid int32, local mm.Addr, nlocal uint64, remote mm.Addr, nremote, flags uint64, write bool) (int, error) {
	if flags != 0 {
		return 0, unix.EINVAL
	}
	lv, err := t.iovecs(local, nlocal)
	if err != nil {
		return 0, err
	}
	here := mm.VecBuffer(t.AddressSpace(), lv)
	if here.Len() == 0 {
		return 0, nil
	}
	rv, err := t.iovecs(remote, nremote)
	if err != nil {
		return 0, err
	}
	o := task.FindThread(int(pid))
	if o == nil {
		return 0, unix.ESRCH
	}
	if !t.mayTrace(o.Process) {
		return 0, unix.EPERM
	}
	as := o.Process.Mem()
	if as == nil {
		return 0, unix.ESRCH
	}
	defer as.Put()
	there := mm.VecBuffer(as, rv)
	done := 0
	chunk := make([]byte, mm.PageSize)
	for here.Len() > 0 && there.Len() > 0 {
		b := chunk[:min(here.Len(), there.Len(), len(chunk))]
		from, to := &there, &here
		if write {
			from, to = to, from
		}
		n, err := from.CopyIn(b)
		if n > 0 {
			var err2 error
			if n, err2 = to.CopyOut(b[:n]); err2 != nil {
				err = err2
			}
		}
		done += n
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
	}
	return done, nil
}

// iovecs reads an array of struct iovec.
func (t Thread) iovecs(a mm.Addr, n uint64) ([]mm.IOVec, error) {
	const max = 1024 // UIO_MAXIOV
	if n > max {
		return nil, unix.EINVAL
	}
	b := make([]byte, 16*n)
	if err := t.copyIn(b, a); err != nil {
		return nil, err
	}
	v := make([]mm.IOVec, n)
	total := uint64(0)
	for i := range v {
		size := le.Uint64(b[16*i+8:])
		if total += size; size > 1<<62 || total > 1<<62 {
			return nil, unix.EINVAL
		}
		v[i] = mm.IOVec{Base: mm.Addr(le.Uint64(b[16*i:])), Len: int(size)}
	}
	return v, nil
}
