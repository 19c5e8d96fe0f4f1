package task

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cred"
	"husk/kernel/mm"
)

// The resources of getrlimit(2) on amd64.
const (
	RlimitCPU = iota
	RlimitFsize
	RlimitData
	RlimitStack
	RlimitCore
	RlimitRSS
	RlimitNproc
	RlimitNofile
	RlimitMemlock
	RlimitAS
	RlimitLocks
	RlimitSigpending
	RlimitMsgqueue
	RlimitNice
	RlimitRtprio
	RlimitRttime
	NRlimits
)

// limitNames are the resources as the run specification names them, in order.
var limitNames = [NRlimits]string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

// LimitByName returns the resource with a name as "RLIMIT_NOFILE", or -1.
func LimitByName(name string) int { return slices.Index(limitNames[:], name) }

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)

// Rlimit is struct rlimit64.
type Rlimit struct{ Cur, Max uint64 }

// limits are read without a lock; they are changed with Process.mu held.
type limits [NRlimits]struct{ cur, max atomic.Uint64 }

// nrOpen is fs.nr_open, the highest RLIMIT_NOFILE.
const nrOpen = 1 << 20

// defaults are Linux's limits of the first process as Debian's systemd leaves
// them to a login.
func (l *limits) defaults() {
	for i := range l {
		l[i].cur.Store(Unlimited)
		l[i].max.Store(Unlimited)
	}
	set := func(i int, cur, max uint64) { l[i].cur.Store(cur); l[i].max.Store(max) }
	set(RlimitStack, 8<<20, Unlimited)
	set(RlimitCore, 0, Unlimited)
	half := uint64(threadLimit() / 2)
	set(RlimitNproc, half, half)
	set(RlimitNofile, 1024, nrOpen)
	set(RlimitMemlock, 8<<20, 8<<20)
	set(RlimitSigpending, half, half)
	set(RlimitMsgqueue, 819200, 819200)
	set(RlimitNice, 0, 0)
	set(RlimitRtprio, 0, 0)
}

func (l *limits) copyFrom(o *limits) {
	for i := range l {
		l[i].cur.Store(o[i].cur.Load())
		l[i].max.Store(o[i].max.Load())
	}
}

// Limit returns the soft limit of a resource.
func (p *Process) Limit(resource int) uint64 { return p.limits[resource].cur.Load() }

// Rlimit returns both limits of a resource.
func (p *Process) Rlimit(resource int) Rlimit {
	l := &p.limits[resource]
	return Rlimit{l.cur.Load(), l.max.Load()}
}

// SetRlimit changes the limits of p on behalf of t as prlimit(2) does, and
// returns the old ones. set may be nil.
func (t *Thread) SetRlimit(p *Process, resource int, set *Rlimit) (Rlimit, error) {
	if resource < 0 || resource >= NRlimits {
		return Rlimit{}, unix.EINVAL
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.Rlimit(resource)
	if set == nil {
		return old, nil
	}
	if set.Cur > set.Max {
		return Rlimit{}, unix.EINVAL
	}
	if resource == RlimitNofile && set.Max > nrOpen {
		return Rlimit{}, unix.EPERM
	}
	if set.Max > old.Max && !t.Cred().Has(unix.CAP_SYS_RESOURCE) {
		return Rlimit{}, unix.EPERM
	}
	p.storeLimit(resource, *set)
	if resource == RlimitCPU {
		p.cpuLimit.arm(p)
	}
	return old, nil
}

// storeLimit sets the limits and tells those who keep copies. mu is held.
func (p *Process) storeLimit(resource int, set Rlimit) {
	l := &p.limits[resource]
	l.cur.Store(set.Cur)
	l.max.Store(set.Max)
	applyMemoryLimit(p.mem, resource, set.Cur)
}

// user counts what the limits bind by real user rather than by process.
type user struct {
	uid        cred.UID
	processes  atomic.Int64 // threads, RLIMIT_NPROC
	sigpending atomic.Int64 // queued signals, RLIMIT_SIGPENDING
}

// findUser returns the counts of a user. Users are few and stay.
func findUser(uid cred.UID) *user {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	return findUserLocked(uid)
}

func findUserLocked(uid cred.UID) *user {
	u := tasks.users[uid]
	if u == nil {
		u = &user{uid: uid}
		tasks.users[uid] = u
	}
	return u
}

// exitStats are the sums over threads that are gone.
type exitStats struct {
	user, sys                      int64
	faults, voluntary, involuntary int64
}

// childStats are the sums over children that were waited for.
type childStats struct {
	exitStats
	maxRSS uint64 // pages, the largest
}

func (s *exitStats) add(o *exitStats) {
	s.user += o.user
	s.sys += o.sys
	s.faults += o.faults
	s.voluntary += o.voluntary
	s.involuntary += o.involuntary
}

func (s *exitStats) addThread(t *Thread) {
	u, sys := t.time.split()
	s.add(&exitStats{u, sys, t.faults.Load(), t.voluntary.Load(), t.involuntary.Load()})
}

// stats sums up the process. mu is held.
func (p *Process) stats() exitStats {
	s := p.exitStats
	for _, t := range p.threads {
		if !t.gone {
			s.addThread(t)
		}
	}
	return s
}

// CPUTime returns the user and system time of the process in nanoseconds.
func (p *Process) CPUTime() (user, sys int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats()
	return s.user, s.sys
}

// ChildrenCPUTime returns that of the children that were waited for.
func (p *Process) ChildrenCPUTime() (user, sys int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped.user, p.reaped.sys
}

// CPUTime returns the user and system time of the thread in nanoseconds.
func (t *Thread) CPUTime() (user, sys int64) { return t.time.split() }

// StartTime is the monotonic time at which the process was created.
func (p *Process) StartTime() int64 { return p.start }

// Usage serves getrusage(2): who is RUSAGE_SELF, _CHILDREN or _THREAD.
func (t *Thread) Usage(who int32) (unix.Rusage, error) {
	p := t.Process
	switch who {
	case unix.RUSAGE_SELF:
		p.mu.Lock()
		s := p.stats()
		p.mu.Unlock()
		return s.rusage(peakRSS(t.mem)), nil
	case unix.RUSAGE_CHILDREN:
		p.mu.Lock()
		s := p.reaped
		p.mu.Unlock()
		return s.rusage(s.maxRSS), nil
	case unix.RUSAGE_THREAD:
		var s exitStats
		s.addThread(t)
		return s.rusage(peakRSS(t.mem)), nil
	}
	return unix.Rusage{}, unix.EINVAL
}

func (s *exitStats) rusage(pages uint64) unix.Rusage {
	return unix.Rusage{
		Utime:  unix.NsecToTimeval(s.user),
		Stime:  unix.NsecToTimeval(s.sys),
		Maxrss: int64(pages) * mm.PageSize / 1024,
		Minflt: s.faults, Nvcsw: s.voluntary, Nivcsw: s.involuntary,
	}
}

// cpuLimit watches RLIMIT_CPU. Process.mu guards it.
type cpuLimit struct {
	timer *clock.Timer
}

// arm sets the timer for the time at which the soft limit could be reached
// first: all threads running, on as many CPUs.
func (c *cpuLimit) arm(p *Process) {
	soft := p.limits[RlimitCPU].cur.Load()
	if soft == Unlimited {
		if c.timer != nil {
			c.timer.Stop()
		}
		return
	}
	if c.timer == nil {
		c.timer = clock.NewTimer(func(uint64) { p.checkCPULimit() })
	}
	c.timer.Start(clock.Now()+cpuWait(p, int64(min(soft, 1<<32))*clock.Second), 0)
}

// checkCPULimit sends SIGXCPU past the soft limit, once a second of CPU time,
// and SIGKILL past the hard one.
func (p *Process) checkCPULimit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exiting || p.live == 0 {
		return
	}
	l := &p.limits[RlimitCPU]
	s := p.stats()
	used := uint64(s.user+s.sys) / uint64(clock.Second)
	switch soft := l.cur.Load(); {
	case used >= l.max.Load():
		p.exitGroup(int(unix.SIGKILL))
		return
	case used >= soft:
		p.queueShared(&SigInfo{Signo: int32(unix.SIGXCPU), Code: siKernel})
		l.cur.Store(soft + 1)
	}
	p.cpuLimit.arm(p)
}

// cpuWait is the shortest time in which the process can reach a sum of CPU
// time, but never so short that looking again would keep a CPU busy. mu is held.
func cpuWait(p *Process, until int64) int64 {
	s := p.stats()
	return max((until-s.user-s.sys)/int64(max(min(p.live, onlineCPUs()), 1)), 1_000_000)
}
