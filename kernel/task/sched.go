package task

import (
	"runtime"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
)

// The policies of sched(7).
const (
	SchedOther    = 0
	SchedFIFO     = 1
	SchedRR       = 2
	SchedBatch    = 3
	SchedIdle     = 5
	SchedDeadline = 6
)

// SchedAttr is what sched_setattr(2) sets. Goroutines all run with the same
// right: the values are kept and shown, and the rules for changing them hold,
// but they do not change who runs.
type SchedAttr struct {
	Policy      uint32
	Nice        int32
	Priority    uint32 // 1 to 99 for SchedFIFO and SchedRR
	ResetOnFork bool
}

// schedAttr is a thread's scheduling state. Process.mu guards it.
type schedAttr struct {
	SchedAttr
	affinity CPUSet
	ioprio   uint16
}

// CPUSet is a set of CPUs. No machine has more of them than MaxCPUs.
type CPUSet uint64

// MaxCPUs is the size of CPUSet in bits.
const MaxCPUs = 64

// AllCPUs is the set of CPUs that run.
func AllCPUs() CPUSet { return ^CPUSet(0) >> (MaxCPUs - min(cpu.CPUs(), MaxCPUs)) }

func onlineCPUs() int { return cpu.CPUs() }

// inherited is what a clone gets.
func (a *schedAttr) inherited() schedAttr {
	n := *a
	if n.ResetOnFork {
		n.ResetOnFork = false
		if n.Policy == SchedFIFO || n.Policy == SchedRR || n.Policy == SchedDeadline {
			n.Policy, n.Priority, n.Nice = SchedOther, 0, 0
		}
		n.Nice = max(n.Nice, 0)
	}
	return n
}

// Sched returns a thread's scheduling attributes.
func (t *Thread) Sched() SchedAttr {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return t.attr.SchedAttr
}

// mayTouch is the rule for changing another thread's scheduling.
func (t *Thread) mayTouch(o *Thread) bool {
	c, oc := t.Cred(), o.Cred()
	return c.EUID == oc.EUID || c.EUID == oc.UID || c.Has(unix.CAP_SYS_NICE)
}

// SetSched changes o's attributes on behalf of t, by the rules of sched(7).
func (t *Thread) SetSched(o *Thread, a SchedAttr) error {
	switch a.Policy {
	case SchedFIFO, SchedRR:
		if a.Priority < 1 || a.Priority > 99 {
			return unix.EINVAL
		}
	case SchedOther, SchedBatch, SchedIdle:
		if a.Priority != 0 {
			return unix.EINVAL
		}
	default:
		return unix.EINVAL
	}
	a.Nice = min(max(a.Nice, -20), 19)
	old := o.Sched()
	if !t.Cred().Has(unix.CAP_SYS_NICE) {
		if !t.mayTouch(o) || old.ResetOnFork && !a.ResetOnFork {
			return unix.EPERM
		}
		p := o.Process
		if a.Policy == SchedFIFO || a.Policy == SchedRR {
			limit := p.Limit(RlimitRtprio)
			if a.Policy != old.Policy && limit == 0 || a.Priority > old.Priority && uint64(a.Priority) > limit {
				return unix.EPERM
			}
		} else if a.Nice < old.Nice && !p.mayNice(int(a.Nice)) {
			return unix.EPERM
		}
	}
	o.Process.mu.Lock()
	o.attr.SchedAttr = a
	o.Process.mu.Unlock()
	return nil
}

// mayNice reports whether RLIMIT_NICE allows a nice value.
func (p *Process) mayNice(nice int) bool { return uint64(20-nice) <= p.Limit(RlimitNice) }

// SetNice changes o's nice value on behalf of t, as setpriority(2) does.
func (t *Thread) SetNice(o *Thread, nice int) error {
	nice = min(max(nice, -20), 19)
	c, oc := t.Cred(), o.Cred()
	if oc.UID != c.EUID && oc.EUID != c.EUID && !c.Has(unix.CAP_SYS_NICE) {
		return unix.EPERM
	}
	p := o.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	if nice < int(o.attr.Nice) && !p.mayNice(nice) && !c.Has(unix.CAP_SYS_NICE) {
		return unix.EACCES
	}
	o.attr.Nice = int32(nice)
	return nil
}

// Affinity returns the CPUs that a thread may use.
func (t *Thread) Affinity() CPUSet {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return t.attr.affinity & AllCPUs()
}

// SetAffinity changes o's CPUs on behalf of t.
func (t *Thread) SetAffinity(o *Thread, s CPUSet) error {
	if !t.mayTouch(o) {
		return unix.EPERM
	}
	if s&AllCPUs() == 0 {
		return unix.EINVAL
	}
	o.Process.mu.Lock()
	o.attr.affinity = s & AllCPUs()
	o.Process.mu.Unlock()
	return nil
}

// IOPrio returns a thread's I/O priority; SetIOPrio changes it.
func (t *Thread) IOPrio() int {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return int(t.attr.ioprio)
}

// SetIOPrio changes o's I/O priority on behalf of t.
func (t *Thread) SetIOPrio(o *Thread, v int) error {
	c, oc := t.Cred(), o.Cred()
	if oc.UID != c.EUID && oc.UID != c.UID && !c.Has(unix.CAP_SYS_NICE) {
		return unix.EPERM
	}
	o.Process.mu.Lock()
	o.attr.ioprio = uint16(v)
	o.Process.mu.Unlock()
	return nil
}

// Yield serves sched_yield(2).
func (t *Thread) Yield() {
	t.time.pause()
	runtime.Gosched()
	t.time.resume()
}

// Threads returns the threads of the process that have not ended.
func (p *Process) Threads() []*Thread {
	p.mu.Lock()
	defer p.mu.Unlock()
	ts := make([]*Thread, 0, len(p.threads))
	for _, t := range p.threads {
		if !t.gone || t == p.leader {
			ts = append(ts, t)
		}
	}
	return ts
}

// Members returns the processes of a process group; Owned those of a user.
func Members(pgid int) []*Process {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if g := lookup(pgid).group; g != nil {
		return append([]*Process(nil), g.members...)
	}
	return nil
}

// TimerSlack and SetTimerSlack are PR_GET_TIMERSLACK and PR_SET_TIMERSLACK.
func (t *Thread) TimerSlack() int64 { return t.timerSlack }

// SetTimerSlack sets the slack in nanoseconds; 0 means the default of 50 us.
func (t *Thread) SetTimerSlack(ns int64) {
	if ns <= 0 {
		ns = 50_000
	}
	t.timerSlack = min(ns, clock.Never)
}
