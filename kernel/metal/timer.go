//go:build baremetal

package metal

// Sleeping threads, sorted by deadline, and the alarm of package cpu. Each
// CPU has its timer set for the earliest event it knows of; events are shared,
// so that two timers may go off for one, of which the second finds nothing.

var (
	sleepHead int32 = -1
	alarmAt   int64 // 0: none
)

// sleepUntil puts the current thread, already in its blocked state, into the
// list of sleepers.
func (c *percpu) sleepUntil(deadline int64) {
	sleep(c.current, deadline)
	c.armTimer()
}

// sleep puts thread n into the list of sleepers.
func sleep(n int32, deadline int64) {
	t := &threads[n]
	t.deadline = deadline
	p := &sleepHead
	for *p >= 0 && threads[*p].deadline <= deadline {
		p = &threads[*p].nextSleep
	}
	t.nextSleep = *p
	*p = n
}

// unsleep takes thread n off the list of sleepers if it is there.
func unsleep(n int32) {
	t := &threads[n]
	if t.deadline == 0 {
		return
	}
	t.deadline = 0
	for p := &sleepHead; *p >= 0; p = &threads[*p].nextSleep {
		if *p == n {
			*p = t.nextSleep
			return
		}
	}
}

// armTimer sets the CPU's timer for the earliest of the sleepers, the alarm
// and the end of its slice.
func (c *percpu) armTimer() {
	next := int64(1<<63 - 1)
	if sleepHead >= 0 {
		next = threads[sleepHead].deadline
	}
	if alarmAt != 0 && alarmAt < next {
		next = alarmAt
	}
	if c.sliceEnd != 0 && c.sliceEnd < next {
		next = c.sliceEnd
	}
	if next == 1<<63-1 || next == c.armed {
		return // a timer that goes off for nothing is harmless
	}
	c.armed = next
	setTimer(next)
}

// timerExpired wakes whoever is due. Sleepers go to the front of the run
// queue and the current thread behind them: they are sysmon and timers of the
// runtime, which do little and must not wait for a busy thread.
func (c *percpu) timerExpired() {
	c.armed = 0
	now := Nanotime()
	if alarmAt != 0 && alarmAt <= now {
		alarmAt = 0
		raiseIRQ(c, alarmSlot)
	}
	preempt := false
	for sleepHead >= 0 && threads[sleepHead].deadline <= now {
		n := sleepHead
		t := &threads[n]
		sleepHead = t.nextSleep
		t.deadline = 0
		switch t.state {
		case threadFutex:
			futexForget(n)
			t.frame.RAX = errno(etimedout)
		case threadSleep, threadPoll:
			t.frame.RAX = 0
		}
		if c.current == c.idle {
			pushReady(n)
			continue
		}
		if !preempt {
			preempt = true
			pushReadyFront(c.current)
		}
		pushReadyFront(n)
	}
	// A slice that is over is forgotten even if another CPU has taken the
	// thread that waited: the timer would be set for the past, again and again.
	over := c.sliceEnd != 0 && c.sliceEnd <= now
	if over {
		c.sliceEnd = 0
	}
	if preempt {
		c.schedule()
	} else if over && c.current != c.idle && runHead >= 0 {
		pushReady(c.current)
		c.schedule()
	}
	c.armTimer()
}

// While the kernel boots, the runtime's monitor sleeps bootNap instead of 20 us:
// there is nothing to monitor but the goroutine that boots, which it would
// preempt. Boot is over with the first context, or after bootLimit.
const (
	monitorNap = 20_000
	bootNap    = 100_000_000
	bootLimit  = 200_000_000
	lastNap    = 20_000_000 // what may remain of a nap when boot is over
)

var booted bool

// endBoot brings forward what was put off.
func endBoot(c *percpu) {
	if booted {
		return
	}
	booted = true
	limit := Nanotime() + lastNap
	for n := sleepHead; n >= 0; {
		t := &threads[n]
		next := t.nextSleep
		if t.state == threadSleep && t.deadline > limit {
			unsleep(n)
			sleep(n, limit)
		}
		n = next
	}
	c.armTimer()
}

func sysNanosleep(c *percpu, f *Frame) {
	ns := timespec(uintptr(f.RDI))
	if !booted && ns >= monitorNap {
		if booted = Nanotime() > bootLimit; !booted {
			ns = bootNap
		}
	}
	t := current(c)
	t.frame.RAX = 0
	t.state = threadSleep
	c.sleepUntil(Nanotime() + ns)
	c.schedule()
}

// timespec reads a struct timespec of the runtime's as nanoseconds, at most
// a century.
func timespec(addr uintptr) int64 {
	ts := at[[2]int64](addr)
	const century = 3_200_000_000
	if ts[0] < 0 || ts[1] < 0 {
		return 0
	}
	return min(ts[0], century)*1_000_000_000 + ts[1]
}
