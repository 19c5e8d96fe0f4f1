package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/epoll"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/wait"
)

// epoll_create makes an epoll instance (epoll_create(2)).
func (t Thread) epoll_create(size int32) (int, error) {
	if size <= 0 {
		return 0, unix.EINVAL
	}
	return t.epoll_create1(0)
}

// epoll_create1 is epoll_create with flags.
func (t Thread) epoll_create1(flags int32) (int, error) {
	f, err := epoll.New(int(flags))
	if err != nil {
		return 0, err
	}
	return t.install(f, flags&unix.EPOLL_CLOEXEC != 0)
}

// epoll_ctl changes the interest list (epoll_ctl(2)).
func (t Thread) epoll_ctl(epfd, op, fd int32, event mm.Addr) error {
	var ev epoll.Event
	if op != unix.EPOLL_CTL_DEL {
		var b [epoll.EventSize]byte
		if err := t.copyIn(b[:], event); err != nil {
			return err
		}
		ev = epoll.Event{Events: le.Uint32(b[:]), Data: le.Uint64(b[4:])}
	}
	ep, err := t.file(epfd)
	if err != nil {
		return err
	}
	defer ep.Put()
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return epoll.Ctl(t.Thread, ep, int(op), fd, f, ev)
}

// epoll_wait waits for events (epoll_wait(2)).
func (t Thread) epoll_wait(epfd int32, events mm.Addr, maxevents, timeout int32) (int, error) {
	deadline := int64(0)
	if timeout != 0 {
		deadline = millisecondsFromNow(timeout)
	}
	return t.epollWait(epfd, events, maxevents, deadline)
}

func (t Thread) epollWait(epfd int32, events mm.Addr, maxevents int32, deadline int64) (int, error) {
	if maxevents <= 0 || maxevents > epoll.MaxEvents {
		return 0, unix.EINVAL
	}
	f, err := t.Files().Get(int(epfd))
	if err != nil {
		return 0, err
	}
	ep := epoll.Of(f)
	if ep == nil {
		bad := f.IsPath()
		f.Put()
		if bad {
			return 0, unix.EBADF
		}
		return 0, unix.EINVAL
	}
	n := 0
	if deadline != 0 || ep.MayBeReady() {
		b := mm.UserBuffer(t.AddressSpace(), events, int(maxevents)*epoll.EventSize)
		n, err = ep.Wait(t.Thread, &b, int(maxevents), deadline)
	}
	f.Put()
	return n, err
}

// epoll_pwait waits with another signal mask.
func (t Thread) epoll_pwait(epfd int32, events mm.Addr, maxevents, timeout int32, sigmask mm.Addr, size uint64) (int, error) {
	if err := t.swapMask(sigmask, size); err != nil {
		return 0, err
	}
	n, err := t.epoll_wait(epfd, events, maxevents, timeout)
	t.unswapMask(sigmask, err == unix.EINTR)
	return n, err
}

// epoll_pwait2 is epoll_pwait with a timeout in nanoseconds.
func (t Thread) epoll_pwait2(epfd int32, events mm.Addr, maxevents int32, timeout, sigmask mm.Addr, size uint64) (int, error) {
	deadline, _, err := t.pollDeadline(timeout)
	if err != nil {
		return 0, err
	}
	if err := t.swapMask(sigmask, size); err != nil {
		return 0, err
	}
	n, err := t.epollWait(epfd, events, maxevents, deadline)
	t.unswapMask(sigmask, err == unix.EINTR)
	return n, err
}

// millisecondsFromNow is the deadline of a timeout that is not 0; negative
// ones never pass.
func millisecondsFromNow(ms int32) int64 {
	if ms < 0 {
		return wait.NoDeadline
	}
	return clock.Now() + int64(ms)*1_000_000
}

// pollDeadline reads the timespec of ppoll(2) and its kin: no pointer never
// passes, and zero, which means not to wait, is deadline 0.
func (t Thread) pollDeadline(a mm.Addr) (deadline int64, ts unix.Timespec, err error) {
	if a == 0 {
		return wait.NoDeadline, ts, nil
	}
	if ts, err = t.timespecIn(a); err != nil {
		return 0, ts, err
	}
	if ts == (unix.Timespec{}) {
		return 0, ts, nil
	}
	return clock.Add(clock.Now(), clock.Nanoseconds(ts)), ts, nil
}

// swapMask installs the signal mask of a call that waits with one; no pointer
// leaves the mask alone.
func (t Thread) swapMask(sigmask mm.Addr, size uint64) error {
	if sigmask == 0 {
		return nil
	}
	if size != 8 {
		return unix.EINVAL
	}
	var b [8]byte
	if err := t.copyIn(b[:], sigmask); err != nil {
		return err
	}
	t.SwapMask(task.SigSet(le.Uint64(b[:])))
	return nil
}

// unswapMask ends what swapMask began: after an interrupted call the handler
// runs with the new mask still, after any other the old one returns first.
func (t Thread) unswapMask(sigmask mm.Addr, interrupted bool) {
	if sigmask != 0 && !interrupted {
		t.UnswapMask()
	}
}
