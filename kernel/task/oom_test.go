package task

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestVictimThatDoesNotEndIsFollowedByTheNextOne(t *testing.T) {
	boot(t, func(u *user3) {
		release := make(chan struct{})
		stuck := func(u *user3) {
			u.must(func(*Thread) error { <-release; return nil })
			u.exit(0)
		}
		pids := map[int]bool{u.fork(stuck): true, u.fork(stuck): true}
		u.must(func(*Thread) error {
			first := pickVictim()
			if !pids[first.PID()] {
				t.Errorf("first victim is %d, not one of %v", first.PID(), pids)
			}
			if again := pickVictim(); again != first {
				t.Errorf("%d is killed while %d may still end", again.PID(), first.PID())
			}
			oom.mu.Lock()
			oom.since = time.Now().Add(-oomPatience)
			oom.mu.Unlock()
			if second := pickVictim(); second == first || !pids[second.PID()] {
				t.Errorf("second victim is %d, after %d", second.PID(), first.PID())
			}
			return nil
		})
		close(release)
		for range pids {
			if r, err := u.wait(WaitFor{Type: unix.P_ALL}); err != nil || r.Status != int(unix.SIGKILL) {
				t.Errorf("%+v %v", r, err)
			}
		}
	})
}
