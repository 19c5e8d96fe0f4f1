package virtio

import (
	"sync/atomic"

	"husk/kernel/cpu"
)

// Segment is one physically contiguous piece of a buffer.
type Segment struct {
	Addr cpu.PhysAddr
	Len  uint32
}

// Queue is one split virtqueue (2.7). It has no lock: its owner serialises
// all calls.
//
// The device may write anything into the ring at any time. What the driver
// relies on (the free list, which chains are in flight, how much the device
// may have written) is therefore kept in Go memory, and used entries are
// checked against it. One that does not fit makes the queue broken for good.
type Queue struct {
	transport Transport
	index     int
	size      uint16

	desc     []descriptor
	avail    []uint16
	used     []usedElem
	availHdr *uint32 // flags in the low half, idx in the high half
	usedHdr  *uint32
	// usedEvent is at the end of the available ring, availEvent at the end of
	// the used ring; each is the low half of a word whose other half is padding.
	usedEvent  *uint32
	availEvent *uint32

	eventIdx bool
	indirect bool
	broken   bool

	availFlags uint16
	next       uint16 // available entries written
	published  uint16 // available entries the device was shown
	seen       uint16 // used entries consumed

	free     uint16 // head of the list of free descriptors
	nfree    uint16
	links    []uint16 // the free list, and the links of chains in flight
	inflight []chain  // by head
	tables   []cpu.PhysAddr
}

// chain is what the driver remembers of a request in flight.
type chain struct {
	cookie   uint32
	writable uint32 // bytes that the device may have written
	count    uint16 // descriptors in the ring, 0 when not in flight
}

// tableEntries is the number of descriptors in an indirect table: one frame.
const tableEntries = cpu.PageSize / 16

// newQueue sets queue index of the device up with at most size entries.
func newQueue(t Transport, index, size int, features uint64) (*Queue, error) {
	var pool queuePool
	pool.grow(1, size)
	return pool.queue(t, index, size, features)
}

// queuePool is room for the queues of one device: the console has a dozen,
// and allocating them one by one would be felt at boot.
type queuePool struct {
	queues []Queue
	links  []uint16
	chains []chain
	fresh  []uint16 // links as they are at first, of the largest queue so far
}

// grow makes room for n queues of entries descriptors in all.
func (pool *queuePool) grow(n, entries int) {
	pool.queues = make([]Queue, n)
	pool.links = make([]uint16, entries)
	pool.chains = make([]chain, entries)
}

// queue sets a queue up in the pool, which has room for it.
func (pool *queuePool) queue(t Transport, index, size int, features uint64) (*Queue, error) {
	limit := t.QueueMax(index)
	if limit == 0 {
		return nil, Error(t.Name() + ": a virtqueue is missing")
	}
	for size > limit {
		size /= 2
	}
	if size < 2 || size > 1<<15 || size&(size-1) != 0 {
		return nil, Error(t.Name() + ": a virtqueue has an impossible size")
	}
	// 2.7.1: the table is aligned to 16, the available ring to 2 and the used
	// ring to 4; here the rings start and end on words of their own.
	availAt := 16 * size
	usedAtOff := availAt + 4 + 2*size + 4
	total := usedAtOff + 4 + 8*size + 4
	pa, ok := dmaAlloc(total, 16)
	if !ok {
		return nil, Error(t.Name() + ": no memory for a virtqueue")
	}
	availPA, usedPA := pa+cpu.PhysAddr(availAt), pa+cpu.PhysAddr(usedAtOff)
	q := &pool.queues[0]
	pool.queues = pool.queues[1:]
	*q = Queue{
		transport:  t,
		index:      index,
		size:       uint16(size),
		desc:       descriptorsAt(pa, size),
		avail:      uint16sAt(availPA+4, size),
		used:       usedAt(usedPA+4, size),
		availHdr:   wordAt(availPA),
		usedHdr:    wordAt(usedPA),
		usedEvent:  wordAt(availPA + 4 + cpu.PhysAddr(2*size)),
		availEvent: wordAt(usedPA + 4 + cpu.PhysAddr(8*size)),
		eventIdx:   features&featureEventIdx != 0,
		indirect:   features&featureIndirect != 0,
		links:      pool.links[:size:size],
		inflight:   pool.chains[:size:size],
		nfree:      uint16(size),
	}
	pool.links, pool.chains = pool.links[size:], pool.chains[size:]
	if size <= len(pool.fresh) {
		copy(q.links, pool.fresh)
	} else {
		for i := range q.links {
			q.links[i] = uint16(i + 1)
		}
		// Valid until the queue's first request, which is after the set-up.
		pool.fresh = q.links
	}
	q.Disarm()
	atomic.StoreUint32(q.availHdr, uint32(q.availFlags))
	t.SetQueue(index, size, pa, availPA, usedPA)
	return q, nil
}

// Size is the number of descriptors; Free how many are unused.
func (q *Queue) Size() int { return int(q.size) }

// Free is the number of unused descriptors.
func (q *Queue) Free() int { return int(q.nfree) }

// Broken reports whether the device broke the rules of the ring.
func (q *Queue) Broken() bool { return q.broken }

// Pending is the number of chains the device has not returned.
func (q *Queue) Pending() int { return int(q.next - q.seen) }

// MaxSegments is the length of the longest request: a chain must not be
// longer than the queue (2.7.5.2, 2.7.5.3.1).
func (q *Queue) MaxSegments() int { return min(int(q.size), tableEntries) }

// Add queues a request of segments that the device reads followed by segments
// that it writes, to be shown to the device by Kick. cookie comes back from
// Pop. It reports false when there is no room.
func (q *Queue) Add(out, in []Segment, cookie uint32) bool {
	n := len(out) + len(in)
	if n == 0 || n > q.MaxSegments() || q.nfree == 0 || q.broken {
		return false
	}
	head := q.free
	if n == 1 {
		d, writable := descriptor{}, uint32(0)
		if len(in) == 1 {
			writable = in[0].Len
			d = descriptor{addr: uint64(in[0].Addr), len: writable, flags: descWrite}
		} else {
			d = descriptor{addr: uint64(out[0].Addr), len: out[0].Len}
		}
		q.desc[head] = d
		q.free = q.links[head]
		q.nfree--
		q.publish(head, chain{cookie: cookie, writable: writable, count: 1})
		return true
	}
	count := uint16(n)
	if q.indirect {
		if table := q.table(head); table != 0 {
			fillTable(descriptorsAt(table, n), out, in)
			q.desc[head] = descriptor{addr: uint64(table), len: uint32(n * 16), flags: descIndirect}
			count = 1
		}
	}
	if count > q.nfree {
		return false
	}
	if int(count) == n {
		q.fillChain(out, in)
	}
	last := head
	for range count - 1 {
		last = q.links[last]
	}
	q.free = q.links[last]
	q.nfree -= count
	writable := uint32(0)
	for _, s := range in {
		writable += s.Len
	}
	q.publish(head, chain{cookie: cookie, writable: writable, count: count})
	return true
}

// publish enters a chain into the available ring.
func (q *Queue) publish(head uint16, c chain) {
	q.inflight[head] = c
	q.avail[q.next&(q.size-1)] = head
	q.next++
}

// table returns the indirect table of a head, 0 when there is none to be had.
// The free list is last in, first out, so a queue that is never deep has few.
func (q *Queue) table(head uint16) cpu.PhysAddr {
	if q.tables == nil {
		q.tables = make([]cpu.PhysAddr, q.size)
	}
	if q.tables[head] == 0 {
		var frame [1]cpu.PhysAddr
		if cpu.AllocFrames(frame[:]) == 0 {
			return 0
		}
		q.tables[head] = frame[0]
	}
	return q.tables[head]
}

// fillTable writes an indirect table, whose length is that of both lists
// (2.7.5.3).
func fillTable(table []descriptor, out, in []Segment) {
	for i, s := range out {
		table[i] = descriptor{addr: uint64(s.Addr), len: s.Len, flags: descNext, next: uint16(i + 1)}
	}
	for i, s := range in {
		i += len(out)
		table[i] = descriptor{addr: uint64(s.Addr), len: s.Len, flags: descNext | descWrite, next: uint16(i + 1)}
	}
	table[len(table)-1].flags &^= descNext
}

// fillChain writes a chain along the free list (2.7.5).
func (q *Queue) fillChain(out, in []Segment) {
	at := q.free
	left := len(out) + len(in)
	for _, s := range out {
		left--
		q.put(at, s, 0, left)
		at = q.links[at]
	}
	for _, s := range in {
		left--
		q.put(at, s, descWrite, left)
		at = q.links[at]
	}
}

func (q *Queue) put(at uint16, s Segment, flags uint16, left int) {
	d := descriptor{addr: uint64(s.Addr), len: s.Len, flags: flags}
	if left > 0 {
		d.flags |= descNext
		d.next = q.links[at]
	}
	q.desc[at] = d
}

// Kick shows the device what was added and notifies it unless it asked not
// to be (2.7.10, 2.7.13).
func (q *Queue) Kick() {
	old := q.published
	if old == q.next {
		return
	}
	q.published = q.next
	// The exchange that StoreUint32 is on amd64 orders the publication before
	// the look at the device's wish.
	atomic.StoreUint32(q.availHdr, uint32(q.availFlags)|uint32(q.next)<<16)
	if q.eventIdx {
		event := uint16(atomic.LoadUint32(q.availEvent))
		if q.next-event-1 < q.next-old {
			q.transport.Notify(q.index)
		}
	} else if atomic.LoadUint32(q.usedHdr)&1 == 0 {
		q.transport.Notify(q.index)
	}
}

// Ready reports whether Pop would return something.
func (q *Queue) Ready() bool {
	return uint16(atomic.LoadUint32(q.usedHdr)>>16) != q.seen && !q.broken
}

// Pop takes one request that the device has finished: its cookie and how many
// bytes were written (2.7.14).
func (q *Queue) Pop() (cookie, n uint32, ok bool) {
	if q.broken {
		return 0, 0, false
	}
	idx := uint16(atomic.LoadUint32(q.usedHdr) >> 16)
	if idx == q.seen {
		return 0, 0, false
	}
	if idx-q.seen > q.published-q.seen {
		q.broken = true // more than was ever given
		return 0, 0, false
	}
	e := q.used[q.seen&(q.size-1)]
	if e.id >= uint32(q.size) {
		q.broken = true
		return 0, 0, false
	}
	c := &q.inflight[e.id]
	if c.count == 0 || e.len > c.writable {
		q.broken = true
		return 0, 0, false
	}
	q.seen++
	head := uint16(e.id)
	last := head
	for range c.count - 1 {
		last = q.links[last]
	}
	q.links[last] = q.free
	q.free = head
	q.nfree += c.count
	c.count = 0
	return c.cookie, e.len, true
}

// Arm asks for an interrupt at the next used entry; it reports true when
// there is one already, for which no interrupt may come (2.7.7).
func (q *Queue) Arm() bool {
	if q.eventIdx {
		atomic.StoreUint32(q.usedEvent, uint32(q.seen))
	} else if q.availFlags != 0 {
		q.availFlags = 0
		atomic.StoreUint32(q.availHdr, uint32(q.published)<<16)
	}
	return q.Ready()
}

// ArmAfter is Arm for the n-th used entry from here, n ≥ 1. Without event
// indices it is Arm.
func (q *Queue) ArmAfter(n int) bool {
	if !q.eventIdx {
		return q.Arm()
	}
	atomic.StoreUint32(q.usedEvent, uint32(q.seen+uint16(n-1)))
	return uint16(atomic.LoadUint32(q.usedHdr)>>16)-q.seen >= uint16(n) && !q.broken
}

// Disarm asks for no interrupts. It is a hint to the device.
func (q *Queue) Disarm() {
	if q.eventIdx {
		atomic.StoreUint32(q.usedEvent, uint32(q.seen-1))
	} else if q.availFlags == 0 {
		q.availFlags = 1
		atomic.StoreUint32(q.availHdr, uint32(q.availFlags)|uint32(q.published)<<16)
	}
}
