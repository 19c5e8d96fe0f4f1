// Package mqueue is POSIX message queues, mq_overview(7), and the file system
// "mqueue" that shows them. There is one instance of it, which every mount
// shows and which exists without any: queues are its files, and what the calls
// get is an open file of it.
//
// Package syscalls turns registers and user memory into its calls.
//
// Locks: queue.mu guards a queue. Below it are usage.mu, a leaf, and what a
// notification's Send takes; wait.Queue is notified without it.
package mqueue

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// The settings in /proc/sys/fs/mqueue; read and written with package atomic.
var (
	MsgDefault     int64 = 10
	MsgMax         int64 = 10
	MsgSizeDefault int64 = 8192
	MsgSizeMax     int64 = 8192
	QueuesMax      int64 = 256
)

// Limits that hold for everybody, and what a message of a queue is counted as
// beside its text (RLIMIT_MSGQUEUE).
const (
	hardMsgMax     = 65536
	hardMsgSizeMax = 16 << 20
	PrioMax        = 32768
	overhead       = 48
)

// Attr is struct mq_attr.
type Attr struct {
	Flags, MaxMsg, MsgSize, CurMsgs int64
	_                               [4]int64
}

// Message is one message.
type Message struct {
	Prio uint32
	Text []byte
}

// Notice is who wants to be told of a message in an empty queue, once.
type Notice struct {
	TGID   int
	Method int32 // SIGEV_*
	Signo  int32
	// Send tells it, with the sender of the message; Removed that it will
	// never be.
	Send    func(pid int, uid uint32)
	Removed func()
}

// queue is a message queue: the behaviour of an inode and of its open files.
type queue struct {
	vfs.BaseInode
	uid   uint32 // whose RLIMIT_MSGQUEUE it counts in
	bytes uint64 // what it counts there

	mu        sync.Mutex
	attr      Attr
	messages  []*Message // the next to be received first
	size      int        // bytes of them
	notice    *Notice
	receivers []*waiter // in the order of arrival
	senders   []*waiter
	changed   wait.Queue
}

// waiter is a call that waits. queue.mu guards it but for done, which the
// caller reads without: what is written before done is set is visible then.
type waiter struct {
	sleeper wait.Sleeper
	message *Message // that is to be sent, or that came
	done    atomic.Bool
}

func (w *waiter) finish() {
	w.done.Store(true)
	w.sleeper.Wake()
}

// usage is what queues take, by user.
var usage struct {
	mu     sync.Mutex
	bytes  map[uint32]uint64
	queues int64
}

// newQueue makes a queue for c, whose RLIMIT_MSGQUEUE is limit. a may be nil.
func newQueue(c vfs.Caller, a *Attr, limit uint64) (*queue, error) {
	capable := c.Cred().Has(unix.CAP_SYS_RESOURCE)
	q := &queue{uid: uint32(c.Cred().UID)}
	q.attr.MaxMsg = min(atomic.LoadInt64(&MsgMax), atomic.LoadInt64(&MsgDefault))
	q.attr.MsgSize = min(atomic.LoadInt64(&MsgSizeMax), atomic.LoadInt64(&MsgSizeDefault))
	if a != nil {
		q.attr.MaxMsg, q.attr.MsgSize = a.MaxMsg, a.MsgSize
	}
	n, size := q.attr.MaxMsg, q.attr.MsgSize
	mostN, mostSize := atomic.LoadInt64(&MsgMax), atomic.LoadInt64(&MsgSizeMax)
	if capable {
		mostN, mostSize = hardMsgMax, hardMsgSizeMax
	}
	usage.mu.Lock()
	defer usage.mu.Unlock()
	if usage.queues >= atomic.LoadInt64(&QueuesMax) && !capable {
		return nil, unix.ENOSPC
	}
	if n <= 0 || size <= 0 || n > mostN || size > mostSize {
		return nil, unix.EINVAL
	}
	q.bytes = uint64(n*size + n*overhead + min(n, PrioMax)*overhead)
	if usage.bytes[q.uid]+q.bytes > limit {
		return nil, unix.EMFILE
	}
	if cpu.KernelShort() {
		return nil, unix.ENOMEM
	}
	if usage.bytes == nil {
		usage.bytes = make(map[uint32]uint64)
	}
	usage.bytes[q.uid] += q.bytes
	usage.queues++
	return q, nil
}

// Evict ends a queue that has no name and is not open.
func (q *queue) Evict(*vfs.Inode) {
	usage.mu.Lock()
	defer usage.mu.Unlock()
	usage.queues--
	if usage.bytes[q.uid] -= q.bytes; usage.bytes[q.uid] == 0 {
		delete(usage.bytes, q.uid)
	}
}

// of returns the queue of an open file: EBADF.
func of(f *vfs.File) (*queue, error) {
	if o, ok := f.Ops.(*openQueue); ok {
		return o.queue, nil
	}
	return nil, unix.EBADF
}

// Room says whether a message of n bytes can be sent to f: EBADF, EMSGSIZE,
// ENOMEM.
func Room(f *vfs.File, n uint64) error {
	q, err := of(f)
	if err != nil || !f.Writable() {
		return unix.EBADF
	}
	if n > uint64(q.attr.MsgSize) { // which never changes
		return unix.EMSGSIZE
	}
	if !cpu.KernelRoom(n + 128) {
		return unix.ENOMEM
	}
	return nil
}

// Send serves mq_timedsend(2) for a message that Room has let through.
func Send(c vfs.Caller, f *vfs.File, m *Message, deadline int64) error {
	q, err := of(f)
	if err != nil {
		return err
	}
	q.mu.Lock()
	if len(q.messages) >= int(q.attr.MaxMsg) {
		if f.NonBlock() {
			q.mu.Unlock()
			return unix.EAGAIN
		}
		w := &waiter{sleeper: c, message: m}
		q.senders = append(q.senders, w)
		q.mu.Unlock()
		return q.sleep(c, w, &q.senders, deadline)
	}
	if len(q.receivers) > 0 {
		w := q.receivers[0]
		q.receivers = slices.Delete(q.receivers, 0, 1)
		w.message = m
		q.mu.Unlock()
		w.finish()
		f.Inode.Touch()
		return nil
	}
	q.insert(m)
	send := (func(int, uint32))(nil)
	if q.notice != nil && len(q.messages) == 1 {
		send = q.notice.Send
		q.notice = nil
	}
	q.mu.Unlock()
	if send != nil {
		send(c.TGID(), uint32(c.Cred().UID))
	}
	q.changed.Notify(wait.Readable)
	f.Inode.Touch()
	return nil
}

// sleep waits until w, which is on list, is done.
func (q *queue) sleep(c vfs.Caller, w *waiter, list *[]*waiter, deadline int64) error {
	for !w.done.Load() {
		err := c.Sleep(deadline)
		if err == nil {
			continue
		}
		q.mu.Lock()
		i := slices.Index(*list, w)
		if i < 0 {
			q.mu.Unlock()
			return nil // it has been done all the same
		}
		*list = slices.Delete(*list, i, i+1)
		q.mu.Unlock()
		return err
	}
	return nil
}

// insert puts a message behind those of its priority. mu is held.
func (q *queue) insert(m *Message) {
	i := len(q.messages)
	for i > 0 && q.messages[i-1].Prio < m.Prio {
		i--
	}
	q.messages = slices.Insert(q.messages, i, m)
	q.size += len(m.Text)
}

// Receive serves mq_timedreceive(2) for a buffer of n bytes.
func Receive(c vfs.Caller, f *vfs.File, n uint64, deadline int64) (*Message, error) {
	q, err := of(f)
	if err != nil || !f.Readable() {
		return nil, unix.EBADF
	}
	if n < uint64(q.attr.MsgSize) {
		return nil, unix.EMSGSIZE
	}
	q.mu.Lock()
	if len(q.messages) == 0 {
		if f.NonBlock() {
			q.mu.Unlock()
			return nil, unix.EAGAIN
		}
		w := &waiter{sleeper: c}
		q.receivers = append(q.receivers, w)
		q.mu.Unlock()
		if err := q.sleep(c, w, &q.receivers, deadline); err != nil {
			return nil, err
		}
		return w.message, nil
	}
	m := q.messages[0]
	q.messages = slices.Delete(q.messages, 0, 1)
	q.size -= len(m.Text)
	if len(q.senders) > 0 {
		w := q.senders[0]
		q.senders = slices.Delete(q.senders, 0, 1)
		q.insert(w.message)
		q.mu.Unlock()
		w.finish()
	} else {
		q.mu.Unlock()
		q.changed.Notify(wait.Writable)
	}
	f.Inode.Touch()
	return m, nil
}

// Notify serves mq_notify(2): it registers n, or with nil ends the registration
// of the caller's process.
func Notify(c vfs.Caller, f *vfs.File, n *Notice) error {
	q, err := of(f)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n == nil {
		q.forget(c.TGID())
		return nil
	}
	if q.notice != nil {
		return unix.EBUSY
	}
	q.notice = n
	return nil
}

// forget ends the registration of a process. mu is held.
func (q *queue) forget(tgid int) {
	if n := q.notice; n != nil && n.TGID == tgid {
		q.notice = nil
		if n.Removed != nil {
			n.Removed()
		}
	}
}

// SetAttr serves mq_getsetattr(2): it returns the attributes, and sets the
// flags if set is not nil.
func SetAttr(f *vfs.File, set *Attr) (Attr, error) {
	if set != nil && set.Flags&^unix.O_NONBLOCK != 0 {
		return Attr{}, unix.EINVAL
	}
	q, err := of(f)
	if err != nil {
		return Attr{}, err
	}
	q.mu.Lock()
	a := q.attr
	a.CurMsgs = int64(len(q.messages))
	q.mu.Unlock()
	a.Flags = int64(f.Flags() & unix.O_NONBLOCK)
	if set != nil {
		err = f.SetStatusFlags(f.Flags()&^unix.O_NONBLOCK | uint32(set.Flags))
	}
	return a, err
}

// openQueue is the behaviour of an open queue as a file: its text is a line
// about it.
type openQueue struct {
	vfs.BaseOps
	*queue
}

// Open implements vfs.InodeOps.
func (q *queue) Open(vfs.Caller, *vfs.File) (vfs.FileOps, error) { return &openQueue{queue: q}, nil }

func (o *openQueue) Seekable() bool { return true }

// Seek from the end is from the size that stat(2) shows.
func (o *openQueue) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, unix.EINVAL }

func (o *openQueue) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, error) {
	q := o.queue
	var method, signo, pid int64
	q.mu.Lock()
	size := q.size
	if n := q.notice; n != nil {
		method, pid = int64(n.Method), int64(n.TGID)
		if n.Method == 0 { // SIGEV_SIGNAL
			signo = int64(n.Signo)
		}
	}
	q.mu.Unlock()
	t := column(nil, "QSIZE:", int64(size), 10)
	t = column(t, " NOTIFY:", method, 5)
	t = column(t, " SIGNO:", signo, 5)
	t = column(t, " NOTIFY_PID:", pid, 6)
	t = append(t, '\n')
	if off >= int64(len(t)) {
		return 0, nil
	}
	return b.CopyOut(t[off:min(int64(len(t)), off+int64(b.Len()))])
}

// column appends a name and a number, left-aligned.
func column(t []byte, name string, v int64, width int) []byte {
	t = append(t, name...)
	at := len(t)
	t = strconv.AppendInt(t, v, 10)
	for len(t) < at+width {
		t = append(t, ' ')
	}
	return t
}

// Poll reports In for a queue with messages and Out for one that is not full.
func (o *openQueue) Poll(*vfs.File) (ev wait.Events) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) > 0 {
		ev |= wait.Readable
	}
	if len(o.messages) < int(o.attr.MaxMsg) {
		ev |= wait.Writable
	}
	return ev
}

// Queue announces every change.
func (o *openQueue) Queue(*vfs.File) *wait.Queue { return &o.changed }

// Flush ends the registration of a process that closes a descriptor.
func (o *openQueue) Flush(c vfs.Caller, _ *vfs.File) error {
	o.mu.Lock()
	o.forget(c.TGID())
	o.mu.Unlock()
	return nil
}

// Setattr implements vfs.InodeOps.
func (q *queue) Setattr(_ vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error {
	i.Apply(s)
	return nil
}
