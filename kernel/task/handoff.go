package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// A thread that waits keeps its goroutine, parked on it, except in the calls
// by which programs hand control to and fro. These leave: they register for
// an event and say how the call goes on after it, and no stack holds anything
// of the thread any more. Any worker can go on with it then, above all that of
// the thread which woke it and now waits itself: control goes from one to the
// other without the runtime's scheduler, which is most of what a switch costs.
//
// The thread that was woken is its waker's next until then. As nobody else
// knows of it, the waker passes it on to another worker before it does
// anything but return to its program and make a call that may leave. Such
// calls wait for nothing that another thread of a program has to do first,
// locks included, unless they leave or sleep.

// departure is a call that its thread has left: one on a file, or one that
// waits for a signal, without again.
type departure struct {
	file  *vfs.File // with the call's reference
	again func(t *Thread, f *vfs.File) (int, error)
}

// CanLeave reports whether the call that t makes may end with Leave: nobody
// wants to see it return.
func (t *Thread) CanLeave() bool { return t.path.Load() == &direct }

// Recall is the registration of a thread that leaves. Whoever tries the call
// may register it, for a reader's events.
func (t *Thread) Recall() *wait.Waiter { return &t.recall }

// readable is what a thread that leaves waits for.
const readable = wait.In | wait.RdNorm | wait.RdHup

func (t *Thread) setupWaiters() {
	t.queued.Sleeper = t
	t.recall.Sleeper, t.recall.Mask, t.recall.Once = t, readable, true
}

// Leave is the end of a call that has to wait until f is readable, without a
// deadline, and for which Recall is registered. again tries the call, and
// returns EAGAIN while there is nothing to do; it runs after each event, on
// whatever goroutine. The call's result is what it returns, or a restart when a
// signal comes first. Leave takes over the call's reference of f.
func (t *Thread) Leave(f *vfs.File, again func(*Thread, *vfs.File) (int, error)) (int, error) {
	t.left = departure{f, again}
	t.away = true
	return 0, abi.ErrLeft
}

// leavePause is the end of a call that waits for a signal.
func (t *Thread) leavePause() error {
	t.away = true
	return abi.ErrLeft
}

func wouldWait(err error) bool {
	e, ok := err.(unix.Errno)
	return ok && e == unix.EAGAIN
}

// comeBack goes on with the call of a thread that was woken.
func (t *Thread) comeBack() {
	for t.sleep.word.Load()&woken != 0 {
		t.sleep.word.And(^uint32(woken))
		if t.left.again == nil {
			continue
		}
		n, err := t.left.again(t, t.left.file)
		if !wouldWait(err) {
			t.arrive()
			t.RAX = uint64(n)
			if err != nil {
				t.RAX = negated(errno(err))
			}
			return
		}
		if !t.recall.Registered() {
			f := t.left.file
			f.Ops.Queue(f).Add(&t.recall)
			t.sleep.word.Or(woken) // what came before is not announced any more
		}
	}
	t.sleep.word.And(^uint32(poked)) // before the test: what comes later is seen by depart
	if t.work.Load()&workInterrupt != 0 {
		t.RAX = negated(abi.ERESTARTSYS)
		if t.left.again == nil {
			t.RAX = negated(abi.ERESTARTNOHAND)
		}
		t.arrive()
	}
}

// errno is the number of an error. One that has none is a defect of the
// kernel; the program sees EIO.
func errno(err error) unix.Errno {
	if e, ok := err.(unix.Errno); ok {
		return e
	}
	return unix.EIO
}

// arrive ends the absence.
func (t *Thread) arrive() {
	t.away = false
	if f := t.left.file; f != nil {
		t.recall.Unregister()
		t.left = departure{}
		f.Put()
	}
}

// depart parks t, which is away, and returns the thread to go on with, nil for
// none. It returns t itself when that was woken meanwhile.
func (w *worker) depart(t *Thread) *Thread {
	// What makes an interruptible sleep end may have come before the call.
	if t.work.Load()&workInterrupt != 0 {
		return t
	}
	next := t.next
	t.next = nil
	t.keeper = nil
	if next == nil {
		t.keeper = w
	}
	t.voluntary.Add(1)
	now := clock.Now()
	t.time.pauseAt(now)
	if !t.sleep.word.CompareAndSwap(0, parked|left) {
		t.time.resumeAt(now)
		t.next = next
		return t
	}
	// From here on t is another's.
	if next != nil {
		next.time.resumeAt(now)
	} else {
		next = w.await()
	}
	w.thread = next
	return next
}

// goOn finds a worker for a thread that is away and was woken: by's own, if by
// is given, once by waits. No CPU must be idle then, or it had better go on there.
func (t *Thread) goOn(by *Thread) {
	k := t.keeper
	t.keeper = nil
	if by != nil && by.next == nil && !cpu.AnyIdle() {
		by.next = t
		if k != nil && !k.retire() {
			k.call(nil)
		}
		return
	}
	if k != nil {
		k.call(t)
		return
	}
	t.begin()
}

// passOn finds a worker for the thread that t would go on with.
func (t *Thread) passOn() {
	if n := t.next; n != nil {
		t.next = nil
		n.begin()
	}
}

// mayPassOn is passOn unless the call that t is about to make may leave and
// is likely to.
func (t *Thread) mayPassOn() {
	switch t.RAX {
	case unix.SYS_READ, unix.SYS_RECVFROM, unix.SYS_RT_SIGSUSPEND:
		return
	}
	t.passOn()
}
