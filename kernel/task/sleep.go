package task

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/wait"
)

// sleepState is where a thread parks. The word holds tokens that were given
// and whether the thread is parked; who takes the parked bit away makes it go
// on.
type sleepState struct {
	word  atomic.Uint32
	park  cpu.Parker
	timer clock.Timer
	armed bool // timer has been used
}

const (
	parked = 1 << iota // the thread is in park
	woken              // Wake was called
	poked              // something else to look at: a signal, the deadline
	left               // with parked: the thread is away from its call, see Leave
)

// Wake implements wait.Sleeper.
func (t *Thread) Wake() { t.post(woken, nil) }

// WakeFrom implements wait.Sleeper.
func (t *Thread) WakeFrom(by any) {
	b, _ := by.(*Thread)
	if t.sleep.word.CompareAndSwap(parked|left, woken) { // as mostly
		t.goOn(b)
		return
	}
	t.post(woken, b)
}

// post gives the thread a token and reports whether it was parked. by is the
// thread on whose goroutine that happens, if it is likely to wait soon.
func (t *Thread) post(token uint32, by *Thread) bool {
	for {
		w := t.sleep.word.Load()
		if w&(token|parked) == token {
			return false
		}
		if t.sleep.word.CompareAndSwap(w, (w|token)&^(parked|left)) {
			switch {
			case w&parked == 0:
				return false
			case w&left != 0:
				t.goOn(by)
			default:
				t.sleep.park.Ready()
			}
			return true
		}
	}
}

// interrupt makes the thread look at its work soon, wherever it is. by is as
// signalWake has it.
func (t *Thread) interrupt(by *Thread) {
	if !t.post(poked, by) {
		t.Kick()
	}
}

// Sleep implements wait.Sleeper.
func (t *Thread) Sleep(deadline int64) error { return t.sleepFor(deadline, workInterrupt) }

// SleepKillable is Sleep that only the end of the thread interrupts.
func (t *Thread) SleepKillable(deadline int64) error { return t.sleepFor(deadline, workKill) }

func (t *Thread) sleepFor(deadline int64, interruptedBy uint32) error {
	s := &t.sleep
	armed := false
	var err error
	for {
		if s.word.Load()&woken != 0 {
			s.word.And(^uint32(woken))
			break
		}
		s.word.And(^uint32(poked)) // before the tests: what comes later keeps it from parking
		if t.work.Load()&interruptedBy != 0 {
			err = abi.ErrRestartSys
			break
		}
		if deadline != wait.NoDeadline {
			if clock.Now() >= deadline {
				err = unix.ETIMEDOUT
				break
			}
			if !armed {
				t.arm(deadline)
				armed = true
			}
		}
		if s.word.Load() != 0 {
			continue
		}
		t.passOn()
		t.voluntary.Add(1)
		t.time.pause()
		s.park.Park(&s.word, 0, parked)
		t.time.resume()
	}
	if armed {
		s.timer.Stop()
	}
	return err
}

// arm sets the timer that ends a sleep.
func (t *Thread) arm(deadline int64) {
	s := &t.sleep
	if !s.armed {
		s.armed = true
		s.timer.Init(func(uint64) { t.post(poked, nil) })
	}
	s.timer.Start(deadline, 0)
}
