package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/seccomp"
)

// This file is what a thread's filter of system calls does to it (seccomp(2)).
// Thread.filter is replaced with Process.mu held; the thread itself reads it
// without.

// Unhindered reports whether nobody watches a call of this number after all.
func (t *Thread) Unhindered(nr uint64) bool {
	switch t.watched.Load() {
	case 0:
		return true
	case WatchSeccomp:
		return t.filter.Load().Allows(nr)
	}
	return false
}

// Filtered runs the filter, if there is one, for the call in the registers. It
// reports whether the call is to be made; if not, the result is in RAX.
func (t *Thread) Filtered() bool {
	if t.watched.Load()&WatchSeccomp == 0 {
		return true
	}
	return t.runFilter(true)
}

func (t *Thread) runFilter(first bool) bool {
	f := t.filter.Load()
	pt := t.pt.Load()
	if pt != nil && pt.options&TraceNoSeccomp != 0 {
		return true
	}
	d := seccomp.Data{
		NR: int32(t.OrigRAX), Arch: seccomp.Arch, IP: t.RIP,
		Args: [6]uint64{t.RDI, t.RSI, t.RDX, t.R10, t.R8, t.R9},
	}
	result, by := f.Run(&d)
	data := result & seccomp.DataMask
	switch result & seccomp.ActionMask {
	case seccomp.Allow, seccomp.Log:
		return true
	case seccomp.Errno:
		const most = 4095 // MAX_ERRNO
		t.RAX = -uint64(min(data, most))
	case seccomp.Trap:
		t.RAX = t.OrigRAX
		t.force(t.callInfo(data))
	case seccomp.Trace:
		if !first {
			return true // the tracer has had its say
		}
		if !t.traceEvent(EventSeccomp, uint64(data)) {
			return false // ENOSYS
		}
		if t.work.Load()&workKill != 0 || int64(t.OrigRAX) < 0 {
			return false
		}
		return t.runFilter(false)
	case seccomp.Notify:
		return t.notifyFilter(by, &d)
	case seccomp.KillThread:
		if f.Strict() {
			t.endThread(int(unix.SIGKILL))
			return false
		}
		p := t.Process
		p.mu.Lock()
		alone := p.live == 1
		p.mu.Unlock()
		if !alone {
			t.endThread(int(unix.SIGSYS))
			return false
		}
		t.filterKill(data)
	default: // what is not known kills the process
		t.filterKill(data)
	}
	return false
}

// endThread ends the thread alone with a wait status.
func (t *Thread) endThread(status int) {
	t.exitCode = status
	t.work.Or(workKill)
}

// filterKill ends the process by SIGSYS, whatever it does about the signal.
func (t *Thread) filterKill(data uint32) {
	t.RAX = t.OrigRAX
	t.fatal(int(unix.SIGSYS), t.callInfo(data))
}

// callInfo is the siginfo_t of SIGSYS.
func (t *Thread) callInfo(data uint32) *SigInfo {
	const sysSeccomp = 1
	return &SigInfo{
		Signo: int32(unix.SIGSYS), Errno: int32(data), Code: sysSeccomp,
		Fields: [14]uint64{t.RIP, uint64(uint32(t.OrigRAX)) | seccomp.Arch<<32},
	}
}

// SeccompMode is the mode and the number of filters, as /proc/PID/status shows.
func (t *Thread) SeccompMode() (mode, filters int) {
	f := t.filter.Load()
	switch {
	case f == nil:
		return 0, 0
	case f.Strict():
		return unix.SECCOMP_MODE_STRICT, 0
	}
	return unix.SECCOMP_MODE_FILTER, f.Count()
}

// Filter is the thread's filter, nil when it has none.
func (t *Thread) Filter() *seccomp.Filter { return t.filter.Load() }

// SetFilter gives the thread a filter, and with all set every thread of the
// process, if that of each is older than the caller's: else the number of one
// for which it is not is returned.
func (t *Thread) SetFilter(f *seccomp.Filter, all bool) (conflict int) {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	if all {
		mine := t.filter.Load()
		for _, o := range p.threads {
			if its := o.filter.Load(); o != t && !o.gone && its != nil && (its.Strict() || !mine.Descends(its)) {
				return o.TID
			}
		}
		for _, o := range p.threads {
			if o == t || o.gone {
				continue
			}
			o.setFilter(f)
			if c := o.Cred(); t.Cred().NoNewPrivs && !c.NoNewPrivs {
				n := c.Clone()
				n.NoNewPrivs = true
				o.cred.CompareAndSwap(c, n)
			}
		}
	}
	t.setFilter(f)
	return 0
}

// setFilter is called with Process.mu held.
func (t *Thread) setFilter(f *seccomp.Filter) {
	f.Use()
	if old := t.filter.Swap(f); old != nil {
		old.Drop()
	}
	t.watch(WatchSeccomp)
}

// dropFilter is called as the thread ends.
func (t *Thread) dropFilter() {
	if f := t.filter.Load(); f != nil {
		f.Drop()
	}
}

// inheritFilter gives a new thread the filter of t. Process.mu is held, so that
// SetFilter misses no thread.
func (t *Thread) inheritFilter(c *Thread) {
	if f := t.filter.Load(); f != nil {
		c.setFilter(f)
	}
}
