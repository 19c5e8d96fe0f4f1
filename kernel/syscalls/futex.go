package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/task"
)

// futex operations, futex(2).
const (
	futexWait          = 0
	futexWake          = 1
	futexFD            = 2
	futexRequeue       = 3
	futexCmpRequeue    = 4
	futexWakeOp        = 5
	futexLockPI        = 6
	futexUnlockPI      = 7
	futexTrylockPI     = 8
	futexWaitBitset    = 9
	futexWakeBitset    = 10
	futexWaitRequeuePI = 11
	futexCmpRequeuePI  = 12
	futexLockPI2       = 13

	futexPrivate  = 128
	futexRealtime = 256

	anyBit = ^uint32(0) // FUTEX_BITSET_MATCH_ANY
)

// futex waits for and wakes waiters of a word (futex(2)). The fourth argument
// is a timeout or a number, as the operation has it.
func (t Thread) futex(a mm.Addr, op int32, val uint32, timeout uint64, a2 mm.Addr, val3 uint32) (int, error) {
	private := op&futexPrivate != 0
	realtime := op&futexRealtime != 0
	cmd := op &^ (futexPrivate | futexRealtime)
	if realtime && cmd != futexWaitBitset && cmd != futexWaitRequeuePI && cmd != futexLockPI2 {
		return 0, unix.ENOSYS
	}
	switch cmd {
	case futexWait:
		deadline, err := t.futexTimeout(timeout, false, false)
		if err != nil {
			return 0, err
		}
		return 0, t.FutexWaitCall(a, val, anyBit, deadline, private)
	case futexWaitBitset:
		deadline, err := t.futexTimeout(timeout, true, realtime)
		if err != nil {
			return 0, err
		}
		return 0, t.FutexWaitCall(a, val, val3, deadline, private)
	case futexWake:
		return t.FutexWake(a, int32(val), anyBit, private)
	case futexWakeBitset:
		return t.FutexWake(a, int32(val), val3, private)
	case futexRequeue:
		return t.FutexRequeue(a, a2, int32(val), int32(timeout), nil, private)
	case futexCmpRequeue:
		return t.FutexRequeue(a, a2, int32(val), int32(timeout), &val3, private)
	case futexWakeOp:
		return t.FutexWakeOp(a, a2, int32(val), int32(timeout), val3, private)
	case futexLockPI, futexLockPI2:
		deadline, err := t.futexTimeout(timeout, true, realtime || cmd == futexLockPI)
		if err != nil {
			return 0, err
		}
		return 0, t.FutexLockPI(a, deadline, false, private)
	case futexTrylockPI:
		return 0, t.FutexLockPI(a, clock.Never, true, private)
	case futexUnlockPI:
		return 0, t.FutexUnlockPI(a, private)
	case futexWaitRequeuePI:
		deadline, err := t.futexTimeout(timeout, true, realtime)
		if err != nil {
			return 0, err
		}
		return 0, t.FutexWaitRequeuePI(a, val, anyBit, a2, deadline, private)
	case futexCmpRequeuePI:
		return t.FutexCmpRequeuePI(a, a2, int32(val), int32(timeout), val3, private)
	}
	return 0, unix.ENOSYS
}

func (t Thread) futexTimeout(a uint64, absolute, realtime bool) (int64, error) {
	if a == 0 {
		return clock.Never, nil
	}
	ts, err := t.timespecIn(mm.Addr(a))
	if err != nil {
		return 0, err
	}
	return task.FutexDeadline(&ts, absolute, realtime)
}

// futex_waitv waits for one of several words (futex_waitv(2)).
func (t Thread) futex_waitv(waiters mm.Addr, n, flags uint32, timeout mm.Addr, clockid int32) (int, error) {
	const size32, privateFlag, maxWaiters = 2, 128, 128
	if flags != 0 || n == 0 || n > maxWaiters || waiters == 0 {
		return 0, unix.EINVAL
	}
	deadline := clock.Never
	if timeout != 0 {
		if clockid != unix.CLOCK_MONOTONIC && clockid != unix.CLOCK_REALTIME {
			return 0, unix.EINVAL
		}
		ts, err := t.timespecIn(timeout)
		if err != nil {
			return 0, err
		}
		if deadline, err = task.FutexDeadline(&ts, true, clockid == unix.CLOCK_REALTIME); err != nil {
			return 0, err
		}
	}
	b := make([]byte, 24*n)
	if err := t.copyIn(b, waiters); err != nil {
		return 0, err
	}
	v := make([]task.FutexV, n)
	for i := range v {
		e := b[24*i:]
		f := le.Uint32(e[16:])
		if f&^uint32(size32|privateFlag) != 0 || f&size32 == 0 || le.Uint32(e[20:]) != 0 {
			return 0, unix.EINVAL
		}
		v[i] = task.FutexV{Val: uint32(le.Uint64(e)), Addr: mm.Addr(le.Uint64(e[8:])), Private: f&privateFlag != 0}
	}
	return t.FutexWaitV(v, deadline)
}

// robustListSize is sizeof(struct robust_list_head).
const robustListSize = 24

// set_robust_list says where the list of held robust futexes is (set_robust_list(2)).
func (t Thread) set_robust_list(head mm.Addr, size uint64) error {
	if size != robustListSize {
		return unix.EINVAL
	}
	t.SetRobustList(head)
	return nil
}

// get_robust_list returns it (get_robust_list(2)).
func (t Thread) get_robust_list(pid int32, head, size mm.Addr) error {
	o := t.Thread
	if pid != 0 {
		if o = task.FindThread(int(pid)); o == nil {
			return unix.ESRCH
		}
		if !t.mayTrace(o.Process) {
			return unix.EPERM
		}
	}
	var b [8]byte
	le.PutUint64(b[:], robustListSize)
	if err := t.copyOut(size, b[:]); err != nil {
		return err
	}
	le.PutUint64(b[:], uint64(o.RobustList()))
	return t.copyOut(head, b[:])
}
