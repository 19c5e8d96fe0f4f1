package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/task"
)

// The kinds of CPU clocks: PROF (0) and SCHED count all time, VIRT user time.
const (
	cpuClockVirt  = 1
	cpuClockSched = 2
)

// cpuClockOf tells whether a clock number is that of a process or thread, as
// clock_getcpuclockid(3) and pthread_getcpuclockid(3) make them: the inverted
// number, shifted by 3, with a kind of clock and bit 2 for threads.
func cpuClockOf(id int32) (pid int, thread, ok bool) {
	if id >= 0 || id&3 == 3 {
		return 0, false, false
	}
	return int(^(id >> 3)), id&4 != 0, true
}

// clockRead returns the time of any clock.
func (t Thread) clockRead(id int32) (int64, error) {
	if ns, ok := clock.Read(id); ok {
		return ns, nil
	}
	switch id {
	case unix.CLOCK_PROCESS_CPUTIME_ID:
		u, s := t.Process.CPUTime()
		return u + s, nil
	case unix.CLOCK_THREAD_CPUTIME_ID:
		u, s := t.CPUTime()
		return u + s, nil
	}
	pid, thread, ok := cpuClockOf(id)
	if !ok {
		return 0, unix.EINVAL
	}
	var user, sys int64
	if thread {
		o := t.Thread
		if pid != 0 {
			if o = task.FindThread(pid); o == nil || o.Process != t.Process {
				return 0, unix.EINVAL
			}
		}
		user, sys = o.CPUTime()
	} else {
		p := t.Process
		if pid != 0 {
			if p = task.FindProcess(pid); p == nil {
				return 0, unix.EINVAL
			}
		}
		user, sys = p.CPUTime()
	}
	if id&3 == cpuClockVirt {
		return user, nil
	}
	return user + sys, nil
}

// clock_gettime reads a clock (clock_gettime(2)).
func (t Thread) clock_gettime(id int32, ts mm.Addr) error {
	ns, err := t.clockRead(id)
	if err != nil {
		return err
	}
	return t.timespecOut(ts, ns)
}

// clock_getres tells the resolution (clock_getres(2)).
func (t Thread) clock_getres(id int32, ts mm.Addr) error {
	res := clock.Resolution
	switch id {
	case unix.CLOCK_REALTIME_COARSE, unix.CLOCK_MONOTONIC_COARSE:
		res = clock.CoarseResolution
	default:
		if _, err := t.clockRead(id); err != nil {
			return err
		}
		if id < 0 && id&3 != cpuClockSched {
			res = clock.CoarseResolution
		}
	}
	if ts == 0 {
		return nil
	}
	return t.timespecOut(ts, res)
}

// clock_settime sets the real-time clock (clock_settime(2)).
func (t Thread) clock_settime(id int32, ts mm.Addr) error {
	if id != unix.CLOCK_REALTIME {
		return unix.EINVAL
	}
	v, err := t.timespecIn(ts)
	if err != nil {
		return err
	}
	return t.setRealtime(clock.Nanoseconds(v))
}

func (t Thread) setRealtime(ns int64) error {
	if !t.Cred().Has(unix.CAP_SYS_TIME) {
		return unix.EPERM
	}
	if ns > clock.Never-30*365*86400*clock.Second || ns < clock.Now() {
		return unix.EINVAL // Linux leaves room for 30 years of running
	}
	clock.SetRealtime(ns)
	return nil
}

// gettimeofday returns the time (gettimeofday(2)).
func (t Thread) gettimeofday(tv, tz mm.Addr) error {
	if tv != 0 {
		if err := t.timevalOut(tv, clock.Realtime()); err != nil {
			return err
		}
	}
	if tz != 0 {
		var b [8]byte
		return t.copyOut(tz, b[:])
	}
	return nil
}

// settimeofday sets the time (settimeofday(2)); time zones are ignored.
func (t Thread) settimeofday(tv, tz mm.Addr) error {
	var b [16]byte
	if tz != 0 {
		if err := t.copyIn(b[:8], tz); err != nil {
			return err
		}
	}
	if tv == 0 {
		if !t.Cred().Has(unix.CAP_SYS_TIME) {
			return unix.EPERM
		}
		return nil
	}
	if err := t.copyIn(b[:], tv); err != nil {
		return err
	}
	ns, err := timeval(b[:])
	if err != nil {
		return err
	}
	return t.setRealtime(ns)
}

// time returns the time in seconds (time(2)).
func (t Thread) time(a mm.Addr) (int64, error) {
	s := clock.Realtime() / clock.Second
	if a != 0 {
		var b [8]byte
		le.PutUint64(b[:], uint64(s))
		if err := t.copyOut(a, b[:]); err != nil {
			return 0, err
		}
	}
	return s, nil
}

// clockTick is the length of a tick of times(2), USER_HZ.
const clockTick = clock.Second / 100

// times returns CPU times in ticks (times(2)).
func (t Thread) times(a mm.Addr) (int64, error) {
	if a != 0 {
		var b [32]byte
		u, s := t.Process.CPUTime()
		cu, cs := t.Process.ChildrenCPUTime()
		for i, v := range [...]int64{u, s, cu, cs} {
			le.PutUint64(b[8*i:], uint64(v/clockTick))
		}
		if err := t.copyOut(a, b[:]); err != nil {
			return 0, err
		}
	}
	return clock.Now() / clockTick, nil
}

// nanosleep sleeps (nanosleep(2)).
func (t Thread) nanosleep(request, remain mm.Addr) error {
	ts, err := t.timespecIn(request)
	if err != nil {
		return err
	}
	return sleepUntil(t.Thread, clock.Add(clock.Now(), clock.Nanoseconds(ts)), remain)
}

// sleepUntil sleeps to a monotonic deadline. When it is interrupted it tells
// what remains and is continued by restart_syscall.
func sleepUntil(t *task.Thread, deadline int64, remain mm.Addr) error {
	for {
		err := t.Sleep(deadline)
		switch {
		case err == unix.ETIMEDOUT:
			return nil
		case err == nil:
			continue
		}
		left := deadline - clock.Now()
		if left <= 0 {
			return nil
		}
		if remain != 0 {
			if err := (Thread{t}).timespecOut(remain, left); err != nil {
				return err
			}
		}
		return t.SetRestart(func(t *task.Thread) (uintptr, error) {
			return 0, sleepUntil(t, deadline, remain)
		})
	}
}

// clock_nanosleep sleeps on a clock (clock_nanosleep(2)).
func (t Thread) clock_nanosleep(id, flags int32, request, remain mm.Addr) error {
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI,
		unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM, unix.CLOCK_PROCESS_CPUTIME_ID:
	case unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_MONOTONIC_COARSE,
		unix.CLOCK_THREAD_CPUTIME_ID:
		return unix.EOPNOTSUPP
	default:
		pid, thread, ok := cpuClockOf(id)
		if !ok || thread && (pid == 0 || pid == t.TID) { // which would never end
			return unix.EINVAL
		}
		if _, err := t.clockRead(id); err != nil {
			return err
		}
	}
	ts, err := t.timespecIn(request)
	if err != nil {
		return err
	}
	ns := clock.Nanoseconds(ts)
	absolute := flags&unix.TIMER_ABSTIME != 0
	if id < 0 || id == unix.CLOCK_PROCESS_CPUTIME_ID {
		return t.cpuSleep(id, ns, absolute, remain)
	}
	if !absolute {
		return sleepUntil(t.Thread, clock.Add(clock.Now(), ns), remain)
	}
	for {
		// Real time may be set while the thread sleeps.
		now, _ := clock.Read(id)
		if now >= ns {
			return nil
		}
		deadline := clock.Add(clock.Now(), ns-now)
		if id != unix.CLOCK_MONOTONIC && id != unix.CLOCK_BOOTTIME {
			deadline = min(deadline, clock.Add(clock.Now(), clock.Second))
		}
		if err := t.Sleep(deadline); err != nil && err != unix.ETIMEDOUT {
			return abi.ErrRestartNoHnd
		}
	}
}

// cpuSleep sleeps until a CPU clock has advanced, looking once a millisecond.
func (t Thread) cpuSleep(id int32, ns int64, absolute bool, remain mm.Addr) error {
	now, err := t.clockRead(id)
	if err != nil {
		return err
	}
	if !absolute {
		ns = clock.Add(now, ns)
	}
	for now < ns {
		err := t.Sleep(clock.Now() + max(min(ns-now, 10_000_000), 1_000_000))
		if err != nil && err != unix.ETIMEDOUT {
			if absolute {
				return abi.ErrRestartNoHnd
			}
			if remain != 0 {
				if err := t.timespecOut(remain, max(ns-now, 0)); err != nil {
					return err
				}
			}
			return unix.EINTR
		}
		if now, err = t.clockRead(id); err != nil {
			return nil // the thread or process is gone
		}
	}
	return nil
}

// timexSize is sizeof(struct timex), and the offsets of its members follow.
const timexSize = 208

// adjtimex reads and adjusts the clock (adjtimex(2)). The clock has no
// discipline: it can be stepped, and everything else is remembered by nobody.
func (t Thread) adjtimex(buf mm.Addr) (int, error) { return t.clock_adjtime(unix.CLOCK_REALTIME, buf) }

// clock_adjtime is adjtimex for a clock (clock_adjtime(2)).
func (t Thread) clock_adjtime(id int32, buf mm.Addr) (int, error) {
	if id != unix.CLOCK_REALTIME {
		if _, ok := clock.Read(id); ok {
			return 0, unix.EOPNOTSUPP
		}
		return 0, unix.EINVAL
	}
	var b [timexSize]byte
	if err := t.copyIn(b[:], buf); err != nil {
		return 0, err
	}
	const (
		adjSetOffset  = 0x0100
		adjNano       = 0x2000
		adjTAI        = 0x0080
		adjSingleshot = 0x8001
		adjReadonly   = 0xa001
		staUnsync     = 0x40
		timeError     = 5
	)
	modes := le.Uint32(b[:])
	if modes != 0 && modes != adjReadonly && !t.Cred().Has(unix.CAP_SYS_TIME) {
		return 0, unix.EPERM
	}
	if modes&adjSetOffset != 0 && modes&0x8000 == 0 {
		sec, frac := int64(le.Uint64(b[72:])), int64(le.Uint64(b[80:]))
		limit := int64(1_000_000)
		if modes&adjNano != 0 {
			limit = clock.Second
		}
		if frac < 0 || frac >= limit {
			return 0, unix.EINVAL
		}
		if sec > 1<<32 || sec < -1<<32 {
			return 0, unix.EINVAL
		}
		clock.StepRealtime(sec*clock.Second + frac*(clock.Second/limit))
	}
	if modes&adjTAI != 0 && modes&0x8000 == 0 {
		clock.SetTAI(int64(le.Uint64(b[48:])))
	}
	clear(b[4:])
	now := clock.Timespec(clock.Realtime())
	le.PutUint64(b[32:], 16_000_000) // esterror of an unsynchronised clock, like maxerror
	le.PutUint64(b[24:], 16_000_000)
	le.PutUint32(b[40:], staUnsync)
	le.PutUint64(b[48:], 2)          // constant
	le.PutUint64(b[56:], 1)          // precision
	le.PutUint64(b[64:], 32_768_000) // tolerance, 500 ppm scaled
	le.PutUint64(b[72:], uint64(now.Sec))
	le.PutUint64(b[80:], uint64(now.Nsec/1000))
	le.PutUint64(b[88:], 10_000) // tick
	le.PutUint32(b[160:], uint32(clock.TAI()))
	if err := t.copyOut(buf, b[:]); err != nil {
		return 0, err
	}
	return timeError, nil
}
