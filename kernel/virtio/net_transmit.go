package virtio

import (
	"encoding/binary"
	"sync"

	"husk/kernel/cpu"
	"husk/kernel/inet"
)

// netTx is the sending queue. Its lock is a leaf.
type netTx struct {
	mu    sync.Mutex
	q     *Queue
	index int
	full  bool // somebody waits for Room
	pages []cpu.PhysAddr
	made  int
	slots [netRing]netSlot
	free  []uint16 // slots
}

// netSlot is what a frame in flight has.
type netSlot struct {
	n     int
	pages [netPieces]cpu.PhysAddr
}

// Transmit copies frames into the ring and shows them to the device together.
func (n *Net) Transmit(q int, frames []inet.Frame) int {
	tx := &n.pairs[q].tx
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.reclaim()
	if tx.q.Broken() {
		n.fail()
	}
	for i := range frames {
		for !tx.add(&frames[i], n.offload.MaxFrame) {
			tx.q.Kick()
			tx.full = true
			// Half a ring of room is worth an interrupt.
			if !tx.q.ArmAfter(max(tx.q.Pending()/2, 1)) {
				return i
			}
			tx.full = false
			tx.reclaim()
			tx.q.Disarm()
		}
		if done := frames[i].Done; done != nil {
			done()
		}
	}
	tx.q.Kick()
	return len(frames)
}

// add queues one frame. It reports false when there is no room now; a frame
// that can never be sent is dropped.
func (tx *netTx) add(f *inet.Frame, most int) bool {
	size := f.Len()
	if tx.q.Broken() || size < netEthernet || size > most+netEthernet {
		return true
	}
	count := (netHeader + size + cpu.PageSize - 1) / cpu.PageSize
	if count > min(netPieces, tx.q.MaxSegments()) {
		return true
	}
	if len(tx.free) == 0 || tx.q.Free() < count {
		return tx.q.Pending() == 0 // no room ever
	}
	if !tx.reserve(count) {
		return tx.q.Pending() == 0
	}
	slot := tx.free[len(tx.free)-1]
	s := &tx.slots[slot]
	s.n = copy(s.pages[:count], tx.pages[len(tx.pages)-count:])
	var segments [netPieces]Segment
	left := netHeader + size
	for i, pa := range s.pages[:count] {
		segments[i] = Segment{pa, uint32(min(left, cpu.PageSize))}
		left -= cpu.PageSize
	}
	header(bytesAt(s.pages[0], netHeader), f)
	at := netHeader
	for _, p := range f.Pieces {
		for len(p) > 0 {
			done := copy(bytesAt(s.pages[at/cpu.PageSize], cpu.PageSize)[at%cpu.PageSize:], p)
			at += done
			p = p[done:]
		}
	}
	if !tx.q.Add(segments[:count], nil, uint32(slot)) {
		return tx.q.Pending() == 0
	}
	tx.pages = tx.pages[:len(tx.pages)-count]
	tx.free = tx.free[:len(tx.free)-1]
	return true
}

// reserve sees to it that count pages are free.
func (tx *netTx) reserve(count int) bool {
	for len(tx.pages) < count {
		var page [1]cpu.PhysAddr
		if tx.made >= netTxPages || cpu.AllocFrames(page[:]) == 0 {
			return false
		}
		tx.made++
		tx.pages = append(tx.pages, page[0])
	}
	return true
}

// header writes what the device has to know of a frame (5.1.6.2).
func header(h []byte, f *inet.Frame) {
	clear(h)
	if f.Partial {
		h[0] = netNeedsCsum
		binary.LittleEndian.PutUint16(h[6:], f.Start)
		binary.LittleEndian.PutUint16(h[8:], f.Offset)
	}
	if f.Segment != 0 {
		switch f.Protocol {
		case inet.SegmentTCP4:
			h[1] = netGSOTCP4
		case inet.SegmentTCP6:
			h[1] = netGSOTCP6
		case inet.SegmentUDP:
			h[1] = netGSOUDP
		}
		binary.LittleEndian.PutUint16(h[2:], f.Header)
		binary.LittleEndian.PutUint16(h[4:], f.Segment)
	}
}

// reclaim takes back what was sent. mu is held.
func (tx *netTx) reclaim() bool {
	any := false
	for {
		slot, _, ok := tx.q.Pop()
		if !ok {
			return any
		}
		any = true
		s := &tx.slots[slot]
		tx.pages = append(tx.pages, s.pages[:s.n]...)
		tx.free = append(tx.free, uint16(slot))
		s.n = 0
	}
}

// sent handles the interrupt of the sending queue, which is asked for only
// when the queue was full.
func (p *netPair) sent() bool {
	tx := &p.tx
	tx.mu.Lock()
	if !tx.full {
		tx.mu.Unlock()
		return false
	}
	any := tx.reclaim()
	room := any || tx.q.Broken()
	if room {
		tx.full = false
		tx.q.Disarm()
	}
	tx.mu.Unlock()
	if room {
		p.rx.mu.Lock()
		r := p.rx.receiver
		p.rx.mu.Unlock()
		if r != nil {
			r.Room(tx.index)
		}
	}
	return any
}
