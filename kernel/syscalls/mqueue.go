package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/mqueue"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// mq_open opens a message queue (mq_open(2)).
func (t Thread) mq_open(name mm.Addr, flags, mode uint32, attr mm.Addr) (int, error) {
	var a *mqueue.Attr
	if attr != 0 {
		a = new(mqueue.Attr)
		if err := get(t, attr, a); err != nil {
			return 0, err
		}
	}
	s, err := t.pathArg(name)
	if err != nil {
		return 0, err
	}
	f, err := mqueue.Open(t.Thread, s, flags, mode, a, t.Process.Limit(task.RlimitMsgqueue))
	if err != nil {
		return 0, err
	}
	return t.install(f, true)
}

// mq_unlink removes a message queue (mq_unlink(2)).
func (t Thread) mq_unlink(name mm.Addr) error {
	s, err := t.pathArg(name)
	if err != nil {
		return err
	}
	return mqueue.Unlink(t.Thread, s)
}

// realDeadline reads an absolute real time and returns the monotonic time that
// it is now thought to be.
func (t Thread) realDeadline(a mm.Addr) (int64, error) {
	if a == 0 {
		return clock.Never, nil
	}
	ts, err := t.timespecIn(a)
	if err != nil {
		return 0, err
	}
	return max(clock.Nanoseconds(ts)-clock.RealtimeOffset(), 0), nil
}

// mq_timedsend sends a message (mq_send(2)).
func (t Thread) mq_timedsend(fd int32, p mm.Addr, n uint64, prio uint32, timeout mm.Addr) error {
	deadline, err := t.realDeadline(timeout)
	if err != nil {
		return err
	}
	if prio >= mqueue.PrioMax {
		return unix.EINVAL
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	if err := mqueue.Room(f, n); err != nil {
		return err
	}
	m := &mqueue.Message{Prio: prio, Text: make([]byte, n)}
	if err := t.copyIn(m.Text, p); err != nil {
		return err
	}
	return mqueue.Send(t.Thread, f, m, deadline)
}

// mq_timedreceive receives a message (mq_receive(2)).
func (t Thread) mq_timedreceive(fd int32, p mm.Addr, n uint64, prio, timeout mm.Addr) (int, error) {
	deadline, err := t.realDeadline(timeout)
	if err != nil {
		return 0, err
	}
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	m, err := mqueue.Receive(t.Thread, f, n, deadline)
	if err != nil {
		return 0, err
	}
	if prio != 0 {
		if err := t.store32(prio, m.Prio); err != nil {
			return 0, err
		}
	}
	return len(m.Text), t.copyOut(p, m.Text)
}

// Notification by a thread: the C library's socket gets the cookie, its last
// byte being the cause (netlink(7) is not otherwise involved).
const (
	notifyCookie  = 32
	notifyWoken   = 1
	notifyRemoved = 2
)

// cookieTaker is implemented by the files of netlink sockets: it queues a
// message from the kernel.
type cookieTaker interface{ Deliver(data []byte) error }

// mq_notify asks to be told of a message (mq_notify(2)).
func (t Thread) mq_notify(fd int32, sevp mm.Addr) error {
	var n *mqueue.Notice
	if sevp != 0 {
		ev, err := t.sigeventIn(sevp)
		if err != nil {
			return err
		}
		if n, err = t.notice(&ev); err != nil {
			return err
		}
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return mqueue.Notify(t.Thread, f, n)
}

func (t Thread) notice(ev *sigevent) (*mqueue.Notice, error) {
	p := t.Process
	n := &mqueue.Notice{TGID: p.PID(), Method: ev.notify, Signo: ev.signo, Send: func(int, uint32) {}}
	value := ev.value
	switch ev.notify {
	case sigevNone:
	case sigevSignal:
		signo := ev.signo
		if signo < 0 || signo > task.NSignals {
			return nil, unix.EINVAL
		}
		n.Send = func(pid int, uid uint32) {
			if signo != 0 {
				p.SignalMessage(int(signo), pid, uid, value)
			}
		}
	case sigevThread:
		cookie := make([]byte, notifyCookie)
		if err := t.copyIn(cookie, mm.Addr(value)); err != nil {
			return nil, err
		}
		taker, err := t.cookieTaker(ev.signo)
		if err != nil {
			return nil, err
		}
		tell := func(why byte) {
			cookie[notifyCookie-1] = why
			_ = taker.Ops.(cookieTaker).Deliver(cookie)
			taker.Put()
		}
		n.Send = func(int, uint32) { tell(notifyWoken) }
		n.Removed = func() { tell(notifyRemoved) }
	default:
		return nil, unix.EINVAL
	}
	return n, nil
}

// cookieTaker returns the netlink socket of a descriptor: EBADF, ENOTSOCK, and
// EINVAL for other sockets.
func (t Thread) cookieTaker(fd int32) (*vfs.File, error) {
	f, err := t.file(fd)
	if err != nil {
		return nil, err
	}
	if _, ok := f.Ops.(cookieTaker); ok {
		return f, nil
	}
	defer f.Put()
	if f.Inode.Type() != unix.S_IFSOCK {
		return nil, unix.ENOTSOCK
	}
	return nil, unix.EINVAL
}

// mq_getsetattr reads and sets attributes (mq_getsetattr(2)).
func (t Thread) mq_getsetattr(fd int32, set, old mm.Addr) error {
	var a *mqueue.Attr
	if set != 0 {
		a = new(mqueue.Attr)
		if err := get(t, set, a); err != nil {
			return err
		}
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	was, err := mqueue.SetAttr(f, a)
	if err != nil || old == 0 {
		return err
	}
	return put(t, old, &was)
}
