package control

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/wait"
)

// Sleeper lets a goroutine of the kernel wait as threads do. No signal
// reaches it.
type Sleeper struct {
	wake  chan struct{}
	timer *clock.Timer
}

// NewSleeper returns a sleeper for one goroutine.
func NewSleeper() *Sleeper {
	s := &Sleeper{wake: make(chan struct{}, 1)}
	s.timer = clock.NewTimer(func(uint64) { s.Wake() })
	return s
}

// Sleep is documented at wait.Sleeper.
func (s *Sleeper) Sleep(deadline int64) error {
	if deadline != wait.NoDeadline {
		if clock.Now() >= deadline {
			select {
			case <-s.wake:
				return nil
			default:
				return unix.ETIMEDOUT
			}
		}
		s.timer.Start(deadline, 0)
		defer s.timer.Stop()
	}
	<-s.wake
	if deadline != wait.NoDeadline && clock.Now() >= deadline {
		return unix.ETIMEDOUT
	}
	return nil
}

// WakeFrom is documented at wait.Sleeper.
func (s *Sleeper) WakeFrom(any) { s.Wake() }

// Wake is documented at wait.Sleeper.
func (s *Sleeper) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
