package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/poll"
	"husk/kernel/task"
	"husk/kernel/wait"
)

// poll waits for events of descriptors (poll(2)).
func (t Thread) poll(fds mm.Addr, nfds uint32, timeout int32) (int, error) {
	deadline := int64(0)
	if timeout != 0 {
		deadline = millisecondsFromNow(timeout)
	}
	return t.restartingPoll(fds, nfds, deadline)
}

// restartingPoll is poll that goes on after a stop with what is left of its
// time, but not after a handler has run.
func (t Thread) restartingPoll(fds mm.Addr, nfds uint32, deadline int64) (int, error) {
	n, err := t.doPoll(fds, nfds, deadline)
	if err == abi.ErrRestartSys {
		err = t.SetRestart(func(t *task.Thread) (uintptr, error) {
			n, err := Thread{t}.restartingPoll(fds, nfds, deadline)
			return uintptr(n), err
		})
	}
	return n, err
}

// pollFDSize is the size of struct pollfd.
const pollFDSize = 8

func (t Thread) doPoll(fds mm.Addr, nfds uint32, deadline int64) (int, error) {
	if uint64(nfds) > t.fdLimit() {
		return 0, unix.EINVAL
	}
	var (
		fewRaw [16 * pollFDSize]byte
		few    [16]poll.FD
	)
	raw, list := fewRaw[:], few[:]
	if int(nfds) > len(few) {
		// Three times the size of the list: raw, list and watches.
		if size := uint64(nfds) * 3 * 32; size > 64<<10 && !cpu.KernelRoom(size) {
			return 0, unix.ENOMEM
		}
		raw, list = make([]byte, nfds*pollFDSize), make([]poll.FD, nfds)
	}
	raw, list = raw[:nfds*pollFDSize], list[:nfds]
	if err := t.copyIn(raw, fds); err != nil {
		return 0, err
	}
	for i := range list {
		b := raw[i*pollFDSize:]
		list[i] = poll.FD{FD: int32(le.Uint32(b)), Events: int16(le.Uint16(b[4:]))}
	}
	n, err := poll.Poll(t.Thread, t.Files(), list, deadline)
	if err != nil {
		return 0, err
	}
	for i := range list {
		le.PutUint16(raw[i*pollFDSize+6:], uint16(list[i].Revents))
	}
	if err := t.copyOut(fds, raw); err != nil {
		return 0, err
	}
	return n, nil
}

// ppoll is poll with a timeout in nanoseconds and a signal mask.
func (t Thread) ppoll(fds mm.Addr, nfds uint32, timeout, sigmask mm.Addr, size uint64) (int, error) {
	deadline, ts, err := t.pollDeadline(timeout)
	if err != nil {
		return 0, err
	}
	if err := t.swapMask(sigmask, size); err != nil {
		return 0, err
	}
	n, err := t.doPoll(fds, nfds, deadline)
	if err == abi.ErrRestartSys {
		err = abi.ErrRestartNoHnd
	}
	t.unswapMask(sigmask, err == abi.ErrRestartNoHnd)
	if timeout != 0 && ts != (unix.Timespec{}) {
		err = t.showRemaining(err, t.timespecOut(timeout, remaining(deadline)))
	}
	return n, err
}

// remaining is the time until a deadline, not less than 0.
func remaining(deadline int64) int64 {
	return max(deadline-clock.Now(), 0)
}

// showRemaining decides what a call returns that could not tell the time that
// was left: the result stands, but the call cannot be restarted.
func (t Thread) showRemaining(err, copyErr error) error {
	if copyErr != nil && err == abi.ErrRestartNoHnd {
		return unix.EINTR
	}
	return err
}

// select_ waits for descriptors in sets (select(2)).
func (t Thread) select_(nfds int32, readfds, writefds, exceptfds, timeout mm.Addr) (int, error) {
	deadline := wait.NoDeadline
	zero := false
	if timeout != 0 {
		var b [16]byte
		if err := t.copyIn(b[:], timeout); err != nil {
			return 0, err
		}
		sec, usec := int64(le.Uint64(b[:])), int64(le.Uint64(b[8:]))
		ts := unix.Timespec{Sec: sec + usec/1_000_000, Nsec: usec % 1_000_000 * 1000}
		if ts.Sec < 0 || ts.Nsec < 0 {
			return 0, unix.EINVAL
		}
		if zero = ts == (unix.Timespec{}); zero {
			deadline = 0
		} else {
			deadline = clock.Add(clock.Now(), clock.Nanoseconds(ts))
		}
	}
	n, err := t.doSelect(nfds, readfds, writefds, exceptfds, deadline)
	if timeout != 0 && !zero {
		err = t.showRemaining(err, t.timevalOut(timeout, remaining(deadline)))
	}
	return n, err
}

// pselect6 is select with a timeout in nanoseconds and a signal mask.
func (t Thread) pselect6(nfds int32, readfds, writefds, exceptfds, timeout, sig mm.Addr) (int, error) {
	var mask mm.Addr
	var size uint64
	if sig != 0 {
		var b [16]byte
		if err := t.copyIn(b[:], sig); err != nil {
			return 0, err
		}
		mask, size = mm.Addr(le.Uint64(b[:])), le.Uint64(b[8:])
	}
	deadline, ts, err := t.pollDeadline(timeout)
	if err != nil {
		return 0, err
	}
	if err := t.swapMask(mask, size); err != nil {
		return 0, err
	}
	n, err := t.doSelect(nfds, readfds, writefds, exceptfds, deadline)
	t.unswapMask(mask, err == abi.ErrRestartNoHnd)
	if timeout != 0 && ts != (unix.Timespec{}) {
		err = t.showRemaining(err, t.timespecOut(timeout, remaining(deadline)))
	}
	return n, err
}

func (t Thread) doSelect(nfds int32, readfds, writefds, exceptfds mm.Addr, deadline int64) (int, error) {
	if nfds < 0 {
		return 0, unix.EINVAL
	}
	// As on Linux, what lies beyond the table is not looked at (and no EBADF).
	n := min(int(nfds), t.Files().Size())
	words := (n + 63) / 64
	var few [3 * 16]uint64
	all := few[:]
	if 3*words > len(few) {
		all = make([]uint64, 3*words)
	}
	users := [3]mm.Addr{readfds, writefds, exceptfds}
	var sets [3][]uint64
	for i, a := range users {
		if a == 0 {
			continue
		}
		sets[i] = all[i*words : (i+1)*words]
		for w := range sets[i] {
			var b [8]byte
			if err := t.copyIn(b[:], a+mm.Addr(8*w)); err != nil {
				return 0, err
			}
			sets[i][w] = le.Uint64(b[:])
		}
		if n%64 != 0 {
			sets[i][words-1] &= 1<<(n%64) - 1
		}
	}
	count, err := poll.Select(t.Thread, t.Files(), n, poll.Sets{In: sets[0], Out: sets[1], Except: sets[2]}, deadline)
	if err != nil {
		if err == abi.ErrRestartSys {
			err = abi.ErrRestartNoHnd
		}
		return 0, err
	}
	for i, a := range users {
		for w, v := range sets[i] {
			var b [8]byte
			le.PutUint64(b[:], v)
			if err := t.copyOut(a+mm.Addr(8*w), b[:]); err != nil {
				return 0, err
			}
		}
	}
	return count, nil
}
