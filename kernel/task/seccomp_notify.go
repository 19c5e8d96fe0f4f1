package task

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/mm"
	"husk/kernel/seccomp"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// This file is user notification (seccomp_unotify(2)): a filter leaves the
// decision about a call to whoever reads its listener.

// listener is what the descriptor of SECCOMP_FILTER_FLAG_NEW_LISTENER refers to.
type listener struct {
	vfs.BaseOps
	filter *seccomp.Filter
	queue  wait.Queue

	mu     sync.Mutex // a leaf
	closed bool
	last   uint64
	calls  []*notification
}

// notification is a call that waits for an answer. listener.mu guards it.
type notification struct {
	id       uint64
	thread   *Thread
	data     seccomp.Data
	sent     bool // somebody has read it
	answered bool
	proceed  bool // the call is to be made after all
	result   uint64
}

// NewListener returns the listener of a filter that nobody has yet.
func NewListener(f *seccomp.Filter) *vfs.File {
	l := &listener{filter: f}
	f.Listener = l
	f.OnUnused = func() { l.queue.Notify(wait.Hup) }
	return vfs.NewAnonFile("seccomp notify", 0o600, unix.O_RDWR, l)
}

// notifyFilter asks the listener of f what is to become of a call. It reports
// whether it is to be made; if not, its result is in RAX.
func (t *Thread) notifyFilter(f *seccomp.Filter, d *seccomp.Data) bool {
	l, _ := f.Listener.(*listener)
	if l == nil {
		return false
	}
	n := &notification{thread: t, data: *d}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.last++
	n.id = l.last
	l.calls = append(l.calls, n)
	l.mu.Unlock()
	l.queue.Notify(wait.In)
	var err error
	for {
		l.mu.Lock()
		done := n.answered
		if done || err != nil {
			l.remove(n)
			l.mu.Unlock()
			if !done {
				t.RAX = negated(abi.ERESTARTSYS)
				return false
			}
			t.RAX = n.result
			return n.proceed
		}
		l.mu.Unlock()
		err = t.Sleep(wait.NoDeadline)
	}
}

// remove is called with mu held.
func (l *listener) remove(n *notification) {
	for i, o := range l.calls {
		if o == n {
			l.calls = append(l.calls[:i], l.calls[i+1:]...)
			return
		}
	}
}

// answer lets the call go on. mu is held.
func (n *notification) answer(result uint64, proceed bool) {
	n.answered, n.result, n.proceed = true, result, proceed
	n.thread.Wake()
}

// find returns the call with a number that somebody has read: ENOENT,
// EINPROGRESS. mu is held.
func (l *listener) find(id uint64) (*notification, error) {
	for _, n := range l.calls {
		if n.id == id {
			if !n.sent || n.answered {
				return nil, unix.EINPROGRESS
			}
			return n, nil
		}
	}
	return nil, unix.ENOENT
}

// Poll implements vfs.FileOps.
func (l *listener) Poll(*vfs.File) (ev wait.Events) {
	l.mu.Lock()
	for _, n := range l.calls {
		switch {
		case !n.sent:
			ev |= wait.Readable
		case !n.answered:
			ev |= wait.Writable
		}
	}
	l.mu.Unlock()
	if l.filter.Unused() {
		ev |= wait.Hup
	}
	return ev
}

// Queue implements vfs.FileOps.
func (l *listener) Queue(*vfs.File) *wait.Queue { return &l.queue }

// Release implements vfs.FileOps: nobody will answer any more.
func (l *listener) Release(*vfs.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, n := range l.calls {
		if !n.answered {
			n.answer(negated(unix.ENOSYS), false)
		}
	}
}

// The requests of a listener.
const (
	notifRecv     = 0xc0502100
	notifSend     = 0xc0182101
	notifValid    = 0x40082102
	notifValidOld = 0x80082102
	notifAddFD    = 0x40182103
	notifSize     = 80
)

// Ioctl implements vfs.FileOps.
func (l *listener) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	t := c.(interface{ Self() *Thread }).Self()
	a := mm.Addr(arg)
	var b [notifSize]byte
	switch request {
	case notifRecv:
		return 0, l.receive(t, a, &b)
	case notifSend:
		if _, err := t.mem.CopyIn(b[:24], a); err != nil {
			return 0, err
		}
		return 0, l.send(le.Uint64(b[:]), le.Uint64(b[8:]), int32(le.Uint32(b[16:])), le.Uint32(b[20:]))
	case notifValid, notifValidOld:
		if _, err := t.mem.CopyIn(b[:8], a); err != nil {
			return 0, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, err := l.find(le.Uint64(b[:])); err != nil {
			return 0, unix.ENOENT
		}
		return 0, nil
	case notifAddFD:
		if _, err := t.mem.CopyIn(b[:24], a); err != nil {
			return 0, err
		}
		fd, err := l.addFD(t, le.Uint64(b[:]), le.Uint32(b[8:]), int(int32(le.Uint32(b[12:]))), int(int32(le.Uint32(b[16:]))), le.Uint32(b[20:]))
		return uintptr(fd), err
	}
	return 0, unix.EINVAL
}

// receive serves SECCOMP_IOCTL_NOTIF_RECV: it waits for a call and tells of it.
func (l *listener) receive(t *Thread, a mm.Addr, b *[notifSize]byte) error {
	if _, err := t.mem.CopyIn(b[:], a); err != nil {
		return err
	}
	if *b != ([notifSize]byte{}) {
		return unix.EINVAL
	}
	waiter := wait.Waiter{Mask: wait.In | wait.Hup, Wake: wait.WakeSleeper(t)}
	l.queue.Add(&waiter)
	defer l.queue.Remove(&waiter)
	for {
		l.mu.Lock()
		for _, n := range l.calls {
			if n.sent || n.answered {
				continue
			}
			n.sent = true
			le.PutUint64(b[:], n.id)
			le.PutUint32(b[8:], uint32(n.thread.TID))
			le.PutUint32(b[16:], uint32(n.data.NR))
			le.PutUint32(b[20:], n.data.Arch)
			le.PutUint64(b[24:], n.data.IP)
			for i, v := range n.data.Args {
				le.PutUint64(b[32+8*i:], v)
			}
			l.mu.Unlock()
			_, err := t.mem.CopyOut(a, b[:])
			if err != nil {
				l.mu.Lock()
				n.sent = false
				l.mu.Unlock()
				l.queue.Notify(wait.In)
				return err
			}
			l.queue.Notify(wait.Out)
			return nil
		}
		l.mu.Unlock()
		if l.filter.Unused() {
			return unix.ENOENT
		}
		if t.Sleep(wait.NoDeadline) != nil {
			return unix.EINTR
		}
	}
}

// send serves SECCOMP_IOCTL_NOTIF_SEND: it answers a call.
func (l *listener) send(id, value uint64, errno int32, flags uint32) error {
	const proceed = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	if flags&^proceed != 0 || flags != 0 && (errno != 0 || value != 0) {
		return unix.EINVAL
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.find(id)
	if err != nil {
		return err
	}
	if errno != 0 {
		value = uint64(int64(errno))
	}
	n.answer(value, flags != 0)
	return nil
}

// addFD serves SECCOMP_IOCTL_NOTIF_ADDFD: it gives the process of a call a copy
// of a descriptor of t, and with the flag for it makes that the call's result.
func (l *listener) addFD(t *Thread, id uint64, flags uint32, from, to int, fdFlags uint32) (int, error) {
	const set, send = 1, 2
	if flags&^(set|send) != 0 || fdFlags&^unix.O_CLOEXEC != 0 || to != 0 && flags&set == 0 {
		return 0, unix.EINVAL
	}
	f, err := t.files.Get(from)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	n, err := l.find(id)
	l.mu.Unlock()
	if err != nil {
		f.Put()
		return 0, err
	}
	files := n.thread.FilesRef()
	if files == nil {
		f.Put()
		return 0, unix.ENOENT
	}
	defer files.Unref(t)
	limit := n.thread.Process.Limit(RlimitNofile)
	fd, cloexec := to, fdFlags&unix.O_CLOEXEC != 0
	if flags&set != 0 {
		err = files.InstallAt(t, f, to, cloexec, limit)
	} else {
		fd, err = files.Install(f, 0, cloexec, limit)
	}
	if err != nil {
		f.Put()
		return 0, err
	}
	if flags&send != 0 {
		l.mu.Lock()
		if !n.answered {
			n.answer(uint64(fd), false)
		}
		l.mu.Unlock()
	}
	return fd, nil
}
