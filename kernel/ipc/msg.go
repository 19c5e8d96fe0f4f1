package ipc

import (
	"math"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/cpu"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// The limits of message queues, kernel.msg* of /proc/sys; read and written
// with package atomic.
var (
	MsgMax int64 = 8192  // bytes of a message
	MsgMnb int64 = 16384 // of a queue
	MsgMni int64 = 32000 // queues
)

// Flags of msgrcv(2) and commands of msgctl(2).
const (
	msgNoError = 0o10000
	msgExcept  = 0o20000
	msgCopy    = 0o40000

	MsgStat    = 11
	MsgInfo    = 12
	MsgStatAny = 13
)

var msg struct {
	table
	messages, bytes int64 // in all queues
}

// Message is one message.
type Message struct {
	Type int64
	Text []byte
}

// queue is a message queue. msg.mu guards it.
type queue struct {
	Perm
	messages            []*Message
	bytes, most         int64
	lspid, lrpid        int32
	stime, rtime, ctime int64
	changed             wait.Queue // In: a message came, Out: there is room; both: it is gone
}

func (q *queue) perm() *Perm { return &q.Perm }

// Msgget serves msgget(2).
func Msgget(c vfs.Caller, key int32, flags uint32) (int, error) {
	return msg.create(c, key, flags, func(object) error { return nil }, func() (object, error) {
		if int64(msg.inUse) >= atomic.LoadInt64(&MsgMni) {
			return nil, unix.ENOSPC
		}
		return &queue{most: atomic.LoadInt64(&MsgMnb), ctime: seconds()}, nil
	})
}

// use finds a queue and checks permission. msg.mu is held.
func useQueue(c vfs.Caller, id int, want uint32) (*queue, error) {
	o, err := msg.find(id)
	if err != nil {
		return nil, err
	}
	return o.(*queue), o.perm().allows(c, want)
}

// Msgsnd serves msgsnd(2) for a message of valid type and size.
func Msgsnd(c vfs.Caller, id int, m *Message, flags uint32) error {
	msg.mu.Lock()
	q, err := useQueue(c, id, 0o222)
	msg.mu.Unlock()
	if err != nil {
		return err
	}
	var result error
	sent := func() bool {
		msg.mu.Lock()
		defer msg.mu.Unlock()
		if q.gone {
			result = unix.EIDRM
			return true
		}
		if result = q.allows(c, 0o222); result != nil {
			return true
		}
		if n := int64(len(m.Text)); n+q.bytes > q.most || int64(len(q.messages)) >= q.most {
			if flags&ipcNoWait != 0 {
				result = unix.EAGAIN
			}
			return flags&ipcNoWait != 0
		}
		q.messages = append(q.messages, m)
		q.count(m, 1)
		q.lspid, q.stime = int32(c.TGID()), seconds()
		return true
	}
	if err := q.changed.Until(c, wait.Out, wait.NoDeadline, sent); err != nil {
		return interrupted(err)
	}
	if result == nil {
		q.changed.Notify(wait.In)
	}
	return result
}

// count adds a message to the sums, or with -1 takes it off. msg.mu is held.
func (q *queue) count(m *Message, sign int64) {
	n := sign * int64(len(m.Text))
	q.bytes += n
	msg.bytes += n
	msg.messages += sign
}

// interrupted is the error of a call that a signal ended: it is only begun
// again when no handler runs.
func interrupted(err error) error {
	if err == unix.ETIMEDOUT {
		return unix.EAGAIN
	}
	return abi.ErrRestartNoHnd
}

// Msgrcv serves msgrcv(2) for a buffer of size bytes.
func Msgrcv(c vfs.Caller, id int, size uint64, kind int64, flags uint32) (*Message, error) {
	if id < 0 || int64(size) < 0 {
		return nil, unix.EINVAL
	}
	if flags&msgCopy != 0 && (flags&msgExcept != 0 || flags&ipcNoWait == 0) {
		return nil, unix.EINVAL
	}
	msg.mu.Lock()
	q, err := useQueue(c, id, 0o444)
	msg.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var m *Message
	var result error
	received := func() bool {
		msg.mu.Lock()
		defer msg.mu.Unlock()
		if q.gone {
			result = unix.EIDRM
			return true
		}
		if result = q.allows(c, 0o444); result != nil {
			return true
		}
		i := q.search(kind, flags)
		if i < 0 {
			if flags&ipcNoWait != 0 {
				result = unix.ENOMSG
			}
			return flags&ipcNoWait != 0
		}
		m = q.messages[i]
		if uint64(len(m.Text)) > size && flags&msgNoError == 0 {
			result = unix.E2BIG
			return true
		}
		if flags&msgCopy != 0 {
			if uint64(len(m.Text)) > size {
				result = unix.EINVAL
			}
			return true
		}
		q.messages = slices.Delete(q.messages, i, i+1)
		q.count(m, -1)
		q.lrpid, q.rtime = int32(c.TGID()), seconds()
		return true
	}
	if err := q.changed.Until(c, wait.In, wait.NoDeadline, received); err != nil {
		return nil, interrupted(err)
	}
	if result != nil {
		return nil, result
	}
	q.changed.Notify(wait.Out)
	return m, nil
}

// search returns the position of the message that msgrcv's arguments choose,
// -1 if there is none.
func (q *queue) search(kind int64, flags uint32) int {
	switch {
	case flags&msgCopy != 0:
		if kind >= 0 && kind < int64(len(q.messages)) {
			return int(kind)
		}
		return -1
	case kind < 0:
		least, at := int64(math.MaxInt64), -1
		if kind != math.MinInt64 {
			least = -kind
		}
		for i, m := range q.messages {
			if m.Type < least || m.Type == least && at < 0 {
				least, at = m.Type, i
			}
		}
		return at
	}
	for i, m := range q.messages {
		if kind == 0 || (m.Type == kind) == (flags&msgExcept == 0) {
			return i
		}
	}
	return -1
}

// MsgRemove serves IPC_RMID of msgctl(2).
func MsgRemove(c vfs.Caller, id int) error {
	msg.mu.Lock()
	o, err := msg.find(id)
	if err == nil {
		err = o.perm().owned(c)
	}
	if err != nil {
		msg.mu.Unlock()
		return err
	}
	q := o.(*queue)
	msg.remove(q)
	for _, m := range q.messages {
		q.count(m, -1)
	}
	q.messages = nil
	msg.mu.Unlock()
	q.changed.Notify(wait.In | wait.Out)
	return nil
}

// MsgSet serves IPC_SET.
func MsgSet(c vfs.Caller, id int, b *[MsqidSize]byte) error {
	most := le.Uint64(b[88:])
	msg.mu.Lock()
	o, err := msg.find(id)
	if err == nil {
		err = o.perm().owned(c)
	}
	if err == nil && most > uint64(atomic.LoadInt64(&MsgMnb)) && !c.Cred().Has(unix.CAP_SYS_RESOURCE) {
		err = unix.EPERM
	}
	if err == nil {
		err = o.perm().set(b[:])
	}
	if err != nil {
		msg.mu.Unlock()
		return err
	}
	q := o.(*queue)
	q.most, q.ctime = int64(min(most, math.MaxInt64/2)), seconds()
	msg.mu.Unlock()
	q.changed.Notify(wait.In | wait.Out)
	return nil
}

// MsgStatus serves IPC_STAT, MSG_STAT and MSG_STAT_ANY.
func MsgStatus(c vfs.Caller, id int, byIndex, anybody bool, b *[MsqidSize]byte) (int, error) {
	msg.mu.Lock()
	defer msg.mu.Unlock()
	o, err := msg.named(c, id, byIndex, anybody)
	if err != nil {
		return 0, err
	}
	q := o.(*queue)
	q.put(b[:])
	le.PutUint64(b[48:], uint64(q.stime))
	le.PutUint64(b[56:], uint64(q.rtime))
	le.PutUint64(b[64:], uint64(q.ctime))
	le.PutUint64(b[72:], uint64(q.bytes))
	le.PutUint64(b[80:], uint64(len(q.messages)))
	le.PutUint64(b[88:], uint64(q.most))
	le.PutUint32(b[96:], uint32(q.lspid))
	le.PutUint32(b[100:], uint32(q.lrpid))
	return int(q.ID), nil
}

// MsgInfos serves IPC_INFO, and with usage MSG_INFO: struct msginfo.
func MsgInfos(usage bool) (b [32]byte, highest int) {
	mnb, mni := atomic.LoadInt64(&MsgMnb), atomic.LoadInt64(&MsgMni)
	msg.mu.Lock()
	defer msg.mu.Unlock()
	const defaultMnb, defaultMni = 16384, 32000
	pool, maps, total := int64(defaultMnb*defaultMni/1024), int64(defaultMnb), int64(defaultMnb)
	if usage {
		pool, maps, total = int64(msg.inUse), msg.messages, msg.bytes
	}
	for i, v := range [...]int64{pool, maps, atomic.LoadInt64(&MsgMax), mnb, mni, 16, total} {
		le.PutUint32(b[4*i:], uint32(v))
	}
	le.PutUint16(b[28:], 0xffff)
	return b, msg.highest()
}

// Room reports whether the kernel has memory for a message of n bytes.
func Room(n uint64) bool { return cpu.KernelRoom(n + 128) }
