// Package epoll is epoll(7). An item watches one descriptor of the interest
// list: a wait.Waiter on the file's queue puts it on the ready list, and
// epoll_wait asks each ready item's file what holds now.
//
// An item does not keep its file open: the last close of the file takes the
// item away (vfs.FileWatch).
//
// Lock order: nestMu (who may add an epoll to an epoll), Epoll.mu of the
// outer before the inner epoll, locks of files taken by their Poll,
// wait.Queue of a watched file, readyMu, wait.Queue of the epoll itself.
package epoll

import (
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Event is struct epoll_event, which is packed: 12 bytes.
type Event struct {
	Events uint32
	Data   uint64
}

// EventSize is the size of an Event in user memory.
const EventSize = 12

// MaxEvents is the greatest count that epoll_wait(2) takes.
const MaxEvents = (1<<31 - 1) / EventSize

// behaviour are the bits of Events that are no events. An item with none but
// these is disabled (EPOLLONESHOT has fired).
const behaviour = unix.EPOLLWAKEUP | unix.EPOLLONESHOT | edge | unix.EPOLLEXCLUSIVE

const (
	edge = 1 << 31 // EPOLLET, which package unix has as a negative number
	// exclusiveOK is what may stand beside EPOLLEXCLUSIVE.
	exclusiveOK = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLERR | unix.EPOLLHUP |
		unix.EPOLLWAKEUP | edge | unix.EPOLLEXCLUSIVE
	// maxNests is how deep epolls may watch each other.
	maxNests = 4
)

// Epoll is an epoll instance: the FileOps of its descriptor.
type Epoll struct {
	vfs.BaseOps

	mu    sync.Mutex
	items map[key]*item

	// readyMu guards the ready list. readyN is written under it and read
	// without: nothing ready is the common answer of epoll_wait(0).
	readyMu    sync.Mutex
	head, tail *item
	readyN     atomic.Int32

	sleepers wait.Queue // threads in epoll_wait
	queue    wait.Queue // those who poll the epoll
	// parents counts the epolls that watch this one. Guarded by nestMu.
	parents map[*Epoll]int
}

type key struct {
	f  *vfs.File
	fd int32
}

type item struct {
	ep     *Epoll
	key    key
	waiter wait.Waiter
	watch  vfs.FileWatch
	queue  *wait.Queue
	data   uint64        // guarded by ep.mu
	events atomic.Uint32 // written under ep.mu, read by wake
	// Guarded by ep.readyMu.
	next   *item
	linked bool
	gone   bool
}

// New serves epoll_create1(2).
func New(flags int) (*vfs.File, error) {
	if flags&^unix.EPOLL_CLOEXEC != 0 {
		return nil, unix.EINVAL
	}
	return vfs.NewAnonFile("eventpoll", 0o600, unix.O_RDWR, new(Epoll)), nil
}

// Of returns the epoll behind f, nil if there is none.
func Of(f *vfs.File) *Epoll {
	ep, _ := f.Ops.(*Epoll)
	return ep
}

// wake is called by a watched file's queue, with that queue's lock held.
func wake(w *wait.Waiter, ev wait.Events) bool {
	it := w.Owner.(*item)
	events := it.events.Load()
	if events&^uint32(behaviour) == 0 || ev != 0 && uint32(ev)&events == 0 {
		return false
	}
	ep := it.ep
	woke := !ep.sleepers.Empty()
	ep.enqueue(it)
	ep.sleepers.Notify(wait.In)
	ep.queue.Notify(wait.In)
	return woke || events&unix.EPOLLEXCLUSIVE == 0
}

func (ep *Epoll) enqueue(it *item) {
	ep.readyMu.Lock()
	if !it.linked && !it.gone {
		it.linked, it.next = true, nil
		if ep.tail != nil {
			ep.tail.next = it
		} else {
			ep.head = it
		}
		ep.tail = it
		ep.readyN.Add(1)
	}
	ep.readyMu.Unlock()
}

func (ep *Epoll) dequeue() *item {
	ep.readyMu.Lock()
	it := ep.head
	if it != nil {
		ep.head = it.next
		if ep.head == nil {
			ep.tail = nil
		}
		it.next, it.linked = nil, false
		ep.readyN.Add(-1)
	}
	ep.readyMu.Unlock()
	return it
}

// requeue puts back at the front what dequeue took.
func (ep *Epoll) requeue(it *item) {
	ep.readyMu.Lock()
	if !it.linked && !it.gone {
		it.linked, it.next = true, ep.head
		ep.head = it
		if ep.tail == nil {
			ep.tail = it
		}
		ep.readyN.Add(1)
	}
	ep.readyMu.Unlock()
}

// forget takes a removed item off the ready list for good.
func (ep *Epoll) forget(it *item) {
	ep.readyMu.Lock()
	it.gone = true
	if it.linked {
		var prev *item
		for p := ep.head; p != it; p = p.next {
			prev = p
		}
		if prev == nil {
			ep.head = it.next
		} else {
			prev.next = it.next
		}
		if ep.tail == it {
			ep.tail = prev
		}
		it.next, it.linked = nil, false
		ep.readyN.Add(-1)
	}
	ep.readyMu.Unlock()
}

// poll returns the events of interest that hold now.
func (it *item) poll() uint32 {
	return uint32(it.key.f.Ops.Poll(it.key.f)) & it.events.Load()
}

// announce tells the waiters that the ready list has grown.
func (ep *Epoll) announce() {
	ep.sleepers.Notify(wait.In)
	ep.queue.Notify(wait.In)
}

// Ctl serves epoll_ctl(2). file is what fd refers to; ev is nil for
// EPOLL_CTL_DEL.
func Ctl(c vfs.Caller, epFile *vfs.File, op int, fd int32, file *vfs.File, ev Event) error {
	if file.Ops.Queue(file) == nil {
		return unix.EPERM
	}
	ep := Of(epFile)
	if ep == nil || file == epFile {
		return unix.EINVAL
	}
	inner := Of(file)
	if op != unix.EPOLL_CTL_DEL && ev.Events&unix.EPOLLEXCLUSIVE != 0 {
		if op == unix.EPOLL_CTL_MOD {
			return unix.EINVAL
		}
		if op == unix.EPOLL_CTL_ADD && (inner != nil || ev.Events&^uint32(exclusiveOK) != 0) {
			return unix.EINVAL
		}
	}
	ev.Events |= unix.EPOLLERR | unix.EPOLLHUP
	k := key{file, fd}
	switch op {
	case unix.EPOLL_CTL_ADD:
		if inner != nil {
			nestMu.Lock()
			defer nestMu.Unlock()
			if !ep.mayWatch(inner) {
				return unix.ELOOP
			}
		}
		return ep.add(c, k, inner, ev)
	case unix.EPOLL_CTL_MOD:
		return ep.modify(k, ev)
	case unix.EPOLL_CTL_DEL:
		return ep.remove(k)
	}
	return unix.EINVAL
}

// fewItems is how many files an instance may watch however short memory is.
const fewItems = 64

func (ep *Epoll) add(c vfs.Caller, k key, inner *Epoll, ev Event) error {
	if p, ok := k.f.Ops.(interface{ PollAs(vfs.Caller) }); ok {
		p.PollAs(c)
	}
	ep.mu.Lock()
	if len(ep.items) >= fewItems && cpu.KernelShort() {
		ep.mu.Unlock()
		return unix.ENOMEM
	}
	if ep.items == nil {
		ep.items = make(map[key]*item)
	}
	if ep.items[k] != nil {
		ep.mu.Unlock()
		return unix.EEXIST
	}
	it := &item{ep: ep, key: k, data: ev.Data, queue: k.f.Ops.Queue(k.f)}
	it.events.Store(ev.Events)
	it.waiter = wait.Waiter{Mask: ^wait.Events(0), Wake: wake, Owner: it, Exclusive: ev.Events&unix.EPOLLEXCLUSIVE != 0}
	it.watch.Gone = func(*vfs.FileWatch) { ep.drop(it) }
	ep.items[k] = it
	if inner != nil {
		if inner.parents == nil {
			inner.parents = make(map[*Epoll]int)
		}
		inner.parents[ep]++
	}
	k.f.Watch(&it.watch)
	it.queue.Add(&it.waiter)
	ready := it.poll() != 0
	if ready {
		ep.enqueue(it)
	}
	ep.mu.Unlock()
	if ready {
		ep.announce()
	}
	return nil
}

func (ep *Epoll) modify(k key, ev Event) error {
	ep.mu.Lock()
	it := ep.items[k]
	if it == nil {
		ep.mu.Unlock()
		return unix.ENOENT
	}
	if it.events.Load()&unix.EPOLLEXCLUSIVE != 0 {
		ep.mu.Unlock()
		return unix.EINVAL
	}
	it.data = ev.Data
	it.events.Store(ev.Events)
	ready := it.poll() != 0
	if ready {
		ep.enqueue(it)
	}
	ep.mu.Unlock()
	if ready {
		ep.announce()
	}
	return nil
}

func (ep *Epoll) remove(k key) error {
	ep.mu.Lock()
	it := ep.items[k]
	if it != nil {
		delete(ep.items, k)
		k.f.Unwatch(&it.watch)
		it.queue.Remove(&it.waiter)
		ep.forget(it)
	}
	ep.mu.Unlock()
	if it == nil {
		return unix.ENOENT
	}
	ep.unnest(k.f)
	return nil
}

// drop removes an item whose file is going away.
func (ep *Epoll) drop(it *item) {
	ep.mu.Lock()
	mine := ep.items[it.key] == it
	if mine {
		delete(ep.items, it.key)
		it.queue.Remove(&it.waiter)
		ep.forget(it)
	}
	ep.mu.Unlock()
	if mine {
		ep.unnest(it.key.f)
	}
}

// MayBeReady reports whether Wait would look at anything now.
func (ep *Epoll) MayBeReady() bool { return ep.readyN.Load() != 0 }

// Wait serves epoll_wait(2) with its mask already set: it writes at most max
// events to b and returns how many. A deadline of 0 does not wait.
func (ep *Epoll) Wait(s wait.Sleeper, b *mm.Buffer, maximum int, deadline int64) (int, error) {
	if ep.readyN.Load() == 0 && deadline == 0 {
		return 0, nil
	}
	for {
		if ep.readyN.Load() != 0 {
			if n, err := ep.send(b, maximum); n != 0 || err != nil {
				return n, err
			}
		}
		if deadline == 0 {
			return 0, nil
		}
		err := ep.sleep(s, deadline)
		switch err {
		case nil:
		case unix.ETIMEDOUT:
			deadline = 0 // one more look
		default:
			if ep.readyN.Load() != 0 {
				if n, err := ep.send(b, maximum); n != 0 || err != nil {
					return n, err
				}
			}
			return 0, unix.EINTR
		}
	}
}

// sleep waits for the ready list to be filled. It is exclusive: one event
// wakes one of the threads that wait.
func (ep *Epoll) sleep(s wait.Sleeper, deadline int64) error {
	w := wait.Waiter{Mask: wait.In, Exclusive: true, Sleeper: s}
	ep.sleepers.Add(&w)
	var err error
	for err == nil && ep.readyN.Load() == 0 {
		err = s.Sleep(deadline)
	}
	ep.sleepers.Remove(&w)
	return err
}

// batch is how many events are copied to the program at a time.
const batch = 16

// send moves ready events to b. Every item that was ready when it began is
// looked at once; level-triggered ones go back to the end of the list.
func (ep *Epoll) send(b *mm.Buffer, maximum int) (int, error) {
	var (
		buf   [batch * EventSize]byte
		items [batch]*item
		n     int // in the batch
		done  int
		err   error
	)
	ep.mu.Lock()
	flush := func() bool {
		if _, err = b.CopyOut(buf[:n*EventSize]); err != nil {
			for _, it := range items[:n] {
				ep.enqueue(it)
			}
			return false
		}
		for _, it := range items[:n] {
			switch events := it.events.Load(); {
			case events&unix.EPOLLONESHOT != 0:
				it.events.Store(events & behaviour)
			case events&edge == 0:
				ep.enqueue(it)
			}
		}
		done += n
		n = 0
		return true
	}
	for left := ep.readyN.Load(); left > 0 && done+n < maximum; left-- {
		it := ep.dequeue()
		if it == nil {
			break
		}
		ev := it.poll()
		if ev == 0 {
			continue
		}
		binary.LittleEndian.PutUint32(buf[n*EventSize:], ev)
		binary.LittleEndian.PutUint64(buf[n*EventSize+4:], it.data)
		items[n] = it
		if n++; n == batch && !flush() {
			break
		}
	}
	if n > 0 && err == nil {
		flush()
	}
	more := ep.readyN.Load() != 0
	ep.mu.Unlock()
	if more {
		ep.sleepers.Notify(wait.In)
	}
	if done > 0 {
		err = nil
	}
	return done, err
}

// Poll reports In when an item is ready in earnest.
func (ep *Epoll) Poll(*vfs.File) wait.Events {
	if ep.readyN.Load() == 0 {
		return 0
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for left := ep.readyN.Load(); left > 0; left-- {
		it := ep.dequeue()
		if it == nil {
			break
		}
		if it.poll() != 0 {
			ep.requeue(it)
			return wait.Readable
		}
	}
	return 0
}

// Queue announces that the ready list has grown.
func (ep *Epoll) Queue(*vfs.File) *wait.Queue { return &ep.queue }

// Release forgets all items.
func (ep *Epoll) Release(*vfs.File) {
	ep.mu.Lock()
	items := ep.items
	ep.items = nil
	for k, it := range items {
		k.f.Unwatch(&it.watch)
		it.queue.Remove(&it.waiter)
		ep.forget(it)
	}
	ep.mu.Unlock()
	for k := range items {
		ep.unnest(k.f)
	}
}

// Seek succeeds and does nothing, as in Linux.
func (ep *Epoll) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, nil }

// FDInfo appends what /proc/PID/fdinfo shows.
func (ep *Epoll) FDInfo(_ *vfs.File, b []byte) []byte {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	pad := func(s string, width int) {
		for range width - len(s) {
			b = append(b, ' ')
		}
		b = append(b, s...)
	}
	for k, it := range ep.items {
		b = append(b, "tfd: "...)
		pad(strconv.FormatInt(int64(k.fd), 10), 8)
		b = append(b, " events: "...)
		pad(strconv.FormatUint(uint64(it.events.Load()), 16), 8)
		b = append(b, " data: "...)
		pad(strconv.FormatUint(it.data, 16), 16)
		b = append(b, "  pos:0 ino:"...)
		ino, dev := uint64(0), uint64(0)
		if k.f.Inode != nil {
			ino = k.f.Inode.Ino
			if k.f.Inode.FS != nil {
				dev = k.f.Inode.FS.Dev
			}
		}
		b = strconv.AppendUint(b, ino, 16)
		b = append(b, " sdev:"...)
		b = strconv.AppendUint(b, dev, 16)
		b = append(b, '\n')
	}
	return b
}
