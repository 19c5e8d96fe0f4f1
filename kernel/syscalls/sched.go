package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/task"
)

// threadOf finds a thread by number; 0 is the caller.
func (t Thread) threadOf(pid int32) (*task.Thread, error) {
	if pid < 0 {
		return nil, unix.EINVAL
	}
	if pid == 0 {
		return t.Thread, nil
	}
	if o := task.FindThread(int(pid)); o != nil {
		return o, nil
	}
	return nil, unix.ESRCH
}

func (t Thread) sched_yield() error {
	t.Yield()
	return nil
}

// sched_getaffinity tells which CPUs a thread may use (sched_getaffinity(2)).
// It returns the number of bytes written.
func (t Thread) sched_getaffinity(pid int32, size uint64, mask mm.Addr) (int, error) {
	if size*8 < uint64(cpu.CPUs()) || size%8 != 0 {
		return 0, unix.EINVAL
	}
	if pid < 0 { // where its kin say EINVAL
		return 0, unix.ESRCH
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return 0, err
	}
	var b [8]byte
	le.PutUint64(b[:], uint64(o.Affinity()))
	return len(b), t.copyOut(mask, b[:])
}

// sched_setaffinity says which CPUs a thread may use (sched_setaffinity(2)).
func (t Thread) sched_setaffinity(pid int32, size uint64, mask mm.Addr) error {
	var b [8]byte
	if err := t.copyIn(b[:min(size, 8)], mask); err != nil {
		return err
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	return t.SetAffinity(o, task.CPUSet(le.Uint64(b[:])))
}

const schedResetOnFork = 0x40000000

// sched_setscheduler sets policy and priority (sched_setscheduler(2)).
func (t Thread) sched_setscheduler(pid, policy int32, param mm.Addr) error {
	if policy < 0 {
		return unix.EINVAL
	}
	return t.setScheduler(pid, policy, param)
}

// sched_setparam sets the priority (sched_setparam(2)).
func (t Thread) sched_setparam(pid int32, param mm.Addr) error {
	return t.setScheduler(pid, -1, param)
}

func (t Thread) setScheduler(pid, policy int32, param mm.Addr) error {
	if param == 0 || pid < 0 {
		return unix.EINVAL
	}
	var b [4]byte
	if err := t.copyIn(b[:], param); err != nil {
		return err
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	a := o.Sched()
	if policy >= 0 {
		a.Policy, a.ResetOnFork = uint32(policy&^schedResetOnFork), policy&schedResetOnFork != 0
	}
	a.Priority = le.Uint32(b[:])
	return t.SetSched(o, a)
}

// sched_getscheduler returns the policy (sched_getscheduler(2)).
func (t Thread) sched_getscheduler(pid int32) (int, error) {
	o, err := t.threadOf(pid)
	if err != nil {
		return 0, err
	}
	a := o.Sched()
	policy := int(a.Policy)
	if a.ResetOnFork {
		policy |= schedResetOnFork
	}
	return policy, nil
}

// sched_getparam returns the priority (sched_getparam(2)).
func (t Thread) sched_getparam(pid int32, param mm.Addr) error {
	if param == 0 {
		return unix.EINVAL
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	return t.store32(param, o.Sched().Priority)
}

// priorities returns the range of a policy's priorities.
func priorities(policy int32) (low, high int, err error) {
	switch policy {
	case task.SchedFIFO, task.SchedRR:
		return 1, 99, nil
	case task.SchedOther, task.SchedBatch, task.SchedIdle, task.SchedDeadline:
		return 0, 0, nil
	}
	return 0, 0, unix.EINVAL
}

func (t Thread) sched_get_priority_max(policy int32) (int, error) {
	_, high, err := priorities(policy)
	return high, err
}

func (t Thread) sched_get_priority_min(policy int32) (int, error) {
	low, _, err := priorities(policy)
	return low, err
}

// sched_rr_get_interval returns the time slice (sched_rr_get_interval(2)).
func (t Thread) sched_rr_get_interval(pid int32, ts mm.Addr) error {
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	ns := int64(4_000_000)
	switch o.Sched().Policy {
	case task.SchedRR:
		ns = 100_000_000
	case task.SchedFIFO, task.SchedDeadline:
		ns = 0
	}
	return t.timespecOut(ts, ns)
}

// Sizes of struct sched_attr, and SCHED_FLAG_*.
const (
	schedAttrMin   = 48
	schedAttrKnown = 56

	schedFlagReset      = 1
	schedFlagKeepPolicy = 8
	schedFlagKeepParams = 16
	schedFlagAll        = 0x7f
)

// sched_setattr sets policy, nice value and priority (sched_setattr(2)).
func (t Thread) sched_setattr(pid int32, attr mm.Addr, flags uint32) error {
	if attr == 0 || pid < 0 || flags != 0 {
		return unix.EINVAL
	}
	var n [4]byte
	if err := t.copyIn(n[:], attr); err != nil {
		return err
	}
	size := uint64(le.Uint32(n[:]))
	if size == 0 {
		size = schedAttrMin
	}
	if size < schedAttrMin || size > mm.PageSize {
		_ = t.store32(attr, schedAttrKnown)
		return unix.E2BIG
	}
	var b [schedAttrKnown]byte
	if err := t.structIn(b[:], attr, size, schedAttrMin); err != nil {
		if err == unix.E2BIG {
			_ = t.store32(attr, schedAttrKnown)
		}
		return err
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	f := le.Uint64(b[8:])
	if f&^schedFlagAll != 0 || int32(le.Uint32(b[4:])) < 0 {
		return unix.EINVAL
	}
	a := o.Sched()
	a.ResetOnFork = f&schedFlagReset != 0
	if f&schedFlagKeepPolicy == 0 {
		a.Policy = le.Uint32(b[4:])
	}
	if f&schedFlagKeepParams == 0 {
		a.Nice, a.Priority = int32(le.Uint32(b[16:])), le.Uint32(b[20:])
	}
	return t.SetSched(o, a)
}

// sched_getattr returns them (sched_setattr(2)).
func (t Thread) sched_getattr(pid int32, attr mm.Addr, size, flags uint32) error {
	if attr == 0 || pid < 0 || size > mm.PageSize || size < schedAttrMin || flags != 0 {
		return unix.EINVAL
	}
	o, err := t.threadOf(pid)
	if err != nil {
		return err
	}
	a := o.Sched()
	var b [schedAttrKnown]byte
	n := min(size, schedAttrKnown)
	le.PutUint32(b[:], n)
	le.PutUint32(b[4:], a.Policy)
	if a.ResetOnFork {
		b[8] = schedFlagReset
	}
	if a.Policy == task.SchedOther || a.Policy == task.SchedBatch || a.Policy == task.SchedIdle {
		le.PutUint32(b[16:], uint32(a.Nice))
	}
	le.PutUint32(b[20:], a.Priority)
	if n == schedAttrKnown {
		le.PutUint32(b[52:], 1024) // utilisation clamp: none
	}
	return t.copyOut(attr, b[:n])
}

// eachOf calls f for the threads that which and who of getpriority(2) or
// ioprio_get(2) select; base is the first value of which.
func (t Thread) eachOf(which, who, base int32, f func(*task.Thread)) error {
	switch which - base {
	case 0:
		o, err := t.threadOf(who)
		if err != nil {
			return unix.ESRCH
		}
		f(o)
		return nil
	case 1:
		if who == 0 {
			who = int32(t.Process.PGID())
		}
		found := false
		for _, p := range task.Members(int(who)) {
			for _, o := range p.Threads() {
				f(o)
				found = true
			}
		}
		if !found {
			return unix.ESRCH
		}
		return nil
	case 2:
		uid := t.Cred().UID
		if who != 0 {
			uid = credUID(who)
		}
		found := false
		for _, p := range task.Processes() {
			for _, o := range p.Threads() {
				if o.Cred().UID == uid {
					f(o)
					found = true
				}
			}
		}
		if !found {
			return unix.ESRCH
		}
		return nil
	}
	return unix.EINVAL
}

// getpriority returns 20 minus the lowest nice value (getpriority(2)).
func (t Thread) getpriority(which, who int32) (int, error) {
	best := 0
	err := t.eachOf(which, who, unix.PRIO_PROCESS, func(o *task.Thread) {
		best = max(best, 20-int(o.Sched().Nice))
	})
	return best, err
}

// setpriority sets nice values (setpriority(2)).
func (t Thread) setpriority(which, who, nice int32) error {
	var failed error
	err := t.eachOf(which, who, unix.PRIO_PROCESS, func(o *task.Thread) {
		if e := t.SetNice(o, int(nice)); e != nil {
			failed = e
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// I/O priorities, ioprio_set(2): a class above 13 bits of data.
const (
	ioprioWhoProcess = 1
	ioprioShift      = 13
	ioprioNone       = 0
	ioprioRT         = 1
	ioprioBE         = 2
	ioprioIdle       = 3
)

// ioprio_get returns the highest I/O priority (ioprio_set(2)).
func (t Thread) ioprio_get(which, who int32) (int, error) {
	best := -1
	err := t.eachOf(which, who, ioprioWhoProcess, func(o *task.Thread) {
		v := o.IOPrio()
		if best < 0 || v>>ioprioShift != ioprioNone && (best>>ioprioShift == ioprioNone || v < best) {
			best = v
		}
	})
	return max(best, 0), err
}

// ioprio_set sets I/O priorities (ioprio_set(2)).
func (t Thread) ioprio_set(which, who, prio int32) error {
	class, data := prio>>ioprioShift, prio&(1<<ioprioShift-1)
	switch class {
	case ioprioRT:
		if !t.Cred().Has(unix.CAP_SYS_ADMIN) && !t.Cred().Has(unix.CAP_SYS_NICE) {
			return unix.EPERM
		}
		fallthrough
	case ioprioBE:
		if data > 7 {
			return unix.EINVAL
		}
	case ioprioIdle:
	case ioprioNone:
		if data != 0 {
			return unix.EINVAL
		}
	default:
		return unix.EINVAL
	}
	var failed error
	err := t.eachOf(which, who, ioprioWhoProcess, func(o *task.Thread) {
		if e := t.SetIOPrio(o, int(prio)); e != nil {
			failed = e
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// getcpu tells the CPU and NUMA node (getcpu(2)).
func (t Thread) getcpu(cpuAt, nodeAt, _ mm.Addr) error {
	if cpuAt != 0 {
		if err := t.store32(cpuAt, uint32(cpu.CurrentCPU())); err != nil {
			return err
		}
	}
	if nodeAt != 0 {
		return t.store32(nodeAt, 0)
	}
	return nil
}
