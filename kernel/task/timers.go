package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
)

// itimer is one of the three interval timers of getitimer(2). Process.mu
// guards it. The real one counts on the clock, the others on CPU time.
type itimer struct {
	timer  *clock.Timer
	due    int64 // monotonic, or CPU time; 0 when disarmed
	period int64
}

// The interval timers.
const (
	ItimerReal = iota
	ItimerVirtual
	ItimerProf
)

// Itimer returns the time left and the interval of an interval timer in
// nanoseconds.
func (p *Process) Itimer(which int) (left, period int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.itimer[which].get(p, which)
}

func (i *itimer) get(p *Process, which int) (left, period int64) {
	if i.due == 0 {
		return 0, i.period
	}
	return max(i.due-p.itimerNow(which), 1000), i.period // never less than it shows
}

// itimerNow is the time on the timer's own clock. mu is held.
func (p *Process) itimerNow(which int) int64 {
	if which == ItimerReal {
		return clock.Now()
	}
	s := p.stats()
	if which == ItimerVirtual {
		return s.user
	}
	return s.user + s.sys
}

// SetItimer arms an interval timer, or disarms it with a value of 0, and
// returns the earlier setting.
func (p *Process) SetItimer(which int, value, period int64) (left, old int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := &p.itimer[which]
	left, old = i.get(p, which)
	i.period = period
	if i.timer == nil {
		if value == 0 {
			return left, old
		}
		i.timer = clock.NewTimer(func(uint64) { p.itimerExpired(which) })
	}
	if value == 0 {
		i.due = 0
		i.timer.Stop()
		return left, old
	}
	i.due = clock.Add(p.itimerNow(which), value)
	p.armItimer(which)
	return left, old
}

// armItimer starts the clock timer for due. mu is held.
func (p *Process) armItimer(which int) {
	i := &p.itimer[which]
	if which == ItimerReal {
		i.timer.Start(i.due, 0)
		return
	}
	i.timer.Start(clock.Now()+cpuWait(p, i.due), 0)
}

func (p *Process) itimerExpired(which int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := &p.itimer[which]
	now := p.itimerNow(which)
	if i.due == 0 || p.live == 0 {
		return
	}
	if now >= i.due {
		sig := [...]unix.Signal{unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF}[which]
		_ = p.queueShared(&SigInfo{Signo: int32(sig), Code: siKernel})
		if i.period == 0 {
			i.due = 0
			return
		}
		i.due = clock.Add(i.due, (now-i.due)/i.period*i.period+i.period)
	}
	p.armItimer(which)
}

// stopTimers ends all timers of a process whose last thread exits. mu is held.
func (p *Process) stopTimers() {
	for i := range p.itimer {
		if t := p.itimer[i].timer; t != nil {
			t.Stop()
		}
		p.itimer[i].due = 0
	}
	if t := p.cpuLimit.timer; t != nil {
		t.Stop()
	}
	p.deletePosixTimers()
}

// posixTimers are the timers of timer_create(2). Process.mu guards them.
type posixTimers struct {
	timers map[int]*posixTimer
	next   int
}

// posixTimer is one POSIX timer. Its queue element is its own, so that an
// expiry never fails for want of memory or room and is queued at most once;
// further expiries are counted as overruns. Process.mu guards all.
type posixTimer struct {
	id      int
	process *Process
	thread  *Thread // SIGEV_THREAD_ID; nil: the process
	clock   int32
	cpuOf   *Thread // CLOCK_THREAD_CPUTIME_ID's thread
	signo   int32   // 0: SIGEV_NONE
	value   uint64

	timer   clock.Timer
	due     int64 // on its own clock; 0: disarmed
	period  int64
	element queued
	queued  bool
	missed  uint64 // overruns since the last delivery
	overrun int32  // of the last delivery, timer_getoverrun(2)
	deleted bool
}

// TimerSpec says what timer_create(2) makes.
type TimerSpec struct {
	Clock  int32   // CLOCK_*; CPU clocks are the caller's own
	CPUOf  *Thread // another thread of the process, for CLOCK_THREAD_CPUTIME_ID
	Signo  int     // 0 for SIGEV_NONE
	Thread int     // tid for SIGEV_THREAD_ID, else 0
	Value  uint64
	// DefaultValue makes the timer's number the value.
	DefaultValue bool
}

// TimerCreate makes a timer and returns its number.
func (t *Thread) TimerCreate(s TimerSpec) (int, error) {
	if s.Signo < 0 || s.Signo > NSignals {
		return 0, unix.EINVAL
	}
	pt := &posixTimer{process: t.Process, clock: s.Clock, signo: int32(s.Signo), value: s.Value}
	switch s.Clock {
	case unix.CLOCK_PROCESS_CPUTIME_ID:
	case unix.CLOCK_THREAD_CPUTIME_ID:
		if pt.cpuOf = s.CPUOf; pt.cpuOf == nil {
			pt.cpuOf = t
		}
	case unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_MONOTONIC_COARSE:
		return 0, unix.EOPNOTSUPP
	default:
		if _, ok := clock.Read(s.Clock); !ok {
			return 0, unix.EINVAL
		}
	}
	if s.Thread != 0 {
		th := FindThread(s.Thread)
		if th == nil || th.Process != t.Process {
			return 0, unix.EINVAL
		}
		pt.thread = th
	}
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := t.user.sigpending.Add(1); uint64(n) > p.Limit(RlimitSigpending) || cpu.KernelShort() {
		t.user.sigpending.Add(-1)
		return 0, unix.EAGAIN
	}
	pt.element.timer = pt
	if p.posix.timers == nil {
		p.posix.timers = make(map[int]*posixTimer)
	}
	for p.posix.timers[p.posix.next] != nil {
		p.posix.next = (p.posix.next + 1) & (1<<31 - 1)
	}
	pt.id = p.posix.next
	p.posix.next = (p.posix.next + 1) & (1<<31 - 1)
	if s.DefaultValue {
		pt.value = uint64(pt.id)
	}
	p.posix.timers[pt.id] = pt
	pt.timer.Init(func(uint64) { pt.expired() })
	return pt.id, nil
}

// now is the time on the timer's clock. Process.mu is held.
func (pt *posixTimer) now() int64 {
	switch pt.clock {
	case unix.CLOCK_PROCESS_CPUTIME_ID:
		return pt.process.itimerNow(ItimerProf)
	case unix.CLOCK_THREAD_CPUTIME_ID:
		return pt.cpuOf.time.total()
	}
	ns, _ := clock.Read(pt.clock)
	return ns
}

func (pt *posixTimer) get() (left, period int64) {
	if pt.due == 0 {
		return 0, pt.period
	}
	now := pt.now()
	due := pt.due
	if now >= due && pt.period > 0 {
		due += (now-due)/pt.period*pt.period + pt.period
	}
	return max(due-now, 1), pt.period
}

// TimerSettime serves timer_settime(2) with times in nanoseconds.
func (t *Thread) TimerSettime(id int, absolute bool, value, period int64) (left, old int64, err error) {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := p.posix.timers[id]
	if pt == nil {
		return 0, 0, unix.EINVAL
	}
	left, old = pt.get()
	pt.timer.Stop()
	pt.period, pt.missed, pt.overrun = period, 0, 0
	pt.due = 0
	if value == 0 {
		return left, old, nil
	}
	if absolute {
		pt.due = value
	} else {
		pt.due = clock.Add(pt.now(), value)
	}
	pt.arm()
	return left, old, nil
}

// arm starts the clock timer for due. Process.mu is held.
func (pt *posixTimer) arm() {
	switch pt.clock {
	case unix.CLOCK_PROCESS_CPUTIME_ID:
		pt.timer.Start(clock.Now()+cpuWait(pt.process, pt.due), 0)
	case unix.CLOCK_THREAD_CPUTIME_ID:
		pt.timer.Start(clock.Now()+max(pt.due-pt.now(), 1_000_000), 0)
	case unix.CLOCK_REALTIME, unix.CLOCK_REALTIME_ALARM:
		pt.timer.StartReal(pt.due, 0)
	case unix.CLOCK_TAI:
		pt.timer.StartReal(pt.due-clock.TAI()*clock.Second, 0)
	default:
		pt.timer.Start(pt.due, 0)
	}
}

// expired is called by the clock.
func (pt *posixTimer) expired() {
	p := pt.process
	p.mu.Lock()
	defer p.mu.Unlock()
	if pt.due == 0 || pt.deleted || p.live == 0 {
		return
	}
	now := pt.now()
	if now < pt.due { // CPU time that has not been used up, or the clock moved
		pt.arm()
		return
	}
	n := uint64(1)
	if pt.period > 0 {
		late := (now - pt.due) / pt.period
		n += uint64(late)
		pt.due = clock.Add(pt.due, (late+1)*pt.period)
		pt.arm()
	} else {
		pt.due = 0
	}
	if pt.signo == 0 {
		return
	}
	if pt.queued {
		pt.missed += n
		return
	}
	pt.missed += n - 1
	pt.element.info = SigInfo{Signo: pt.signo, Code: siTimer}
	pt.element.info.Fields[0] = uint64(uint32(pt.id))
	pt.element.info.Fields[1] = pt.value
	pt.queued = pt.send() // an ignored signal does not take the element
}

func (pt *posixTimer) where() *sigQueue {
	if pt.thread != nil {
		return &pt.thread.pending
	}
	return &pt.process.shared
}

// send queues the element and reports whether the queue took it.
func (pt *posixTimer) send() bool {
	q := pt.where()
	if int(pt.signo) < sigRTMin && q.set.Has(int(pt.signo)) {
		return false // merges with what is pending
	}
	if pt.thread != nil {
		_ = pt.thread.queueThread(&pt.element.info, &pt.element)
	} else {
		_ = pt.process.queueSharedElement(&pt.element.info, &pt.element, nil)
	}
	return q.tail == &pt.element
}

// delivered is called when the element leaves its queue; si is nil when the
// signal was discarded. Process.mu is held.
func (pt *posixTimer) delivered(si *SigInfo) {
	pt.queued = false
	if si != nil {
		pt.overrun = int32(min(pt.missed, 1<<31-1))
		si.Fields[0] |= uint64(pt.overrun) << 32
	}
	pt.missed = 0
}

// TimerGettime serves timer_gettime(2).
func (t *Thread) TimerGettime(id int) (left, period int64, err error) {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := p.posix.timers[id]
	if pt == nil {
		return 0, 0, unix.EINVAL
	}
	left, period = pt.get()
	return left, period, nil
}

// TimerGetoverrun serves timer_getoverrun(2).
func (t *Thread) TimerGetoverrun(id int) (int, error) {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := p.posix.timers[id]
	if pt == nil {
		return 0, unix.EINVAL
	}
	return int(pt.overrun), nil
}

// TimerDelete serves timer_delete(2).
func (t *Thread) TimerDelete(id int) error {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := p.posix.timers[id]
	if pt == nil {
		return unix.EINVAL
	}
	p.deleteTimer(pt)
	return nil
}

// deleteTimer ends a timer. A signal that it has queued stays, with an element
// of its own. mu is held.
func (p *Process) deleteTimer(pt *posixTimer) {
	pt.timer.Stop()
	pt.deleted, pt.due = true, 0
	delete(p.posix.timers, pt.id)
	p.leader.user.sigpending.Add(-1)
}

func (p *Process) deletePosixTimers() {
	for _, pt := range p.posix.timers {
		p.deleteTimer(pt)
	}
	p.posix = posixTimers{}
}
