package virtio

import (
	"encoding/binary"
	"sync"

	"husk/kernel/cpu"
	"husk/kernel/inet"
)

// Feature bits and configuration of the network device (5.1).
const (
	netCsum      = 1 << 0
	netGuestCsum = 1 << 1
	netMTU       = 1 << 3
	netMAC       = 1 << 5
	netGuestTSO4 = 1 << 7
	netGuestTSO6 = 1 << 8
	netHostTSO4  = 1 << 11
	netHostTSO6  = 1 << 12
	netMergeable = 1 << 15
	netStatus    = 1 << 16
	netHostUSO   = 1 << 56

	netConfigMAC    = 0
	netConfigStatus = 6
	netConfigMTU    = 10
	netLinkUp       = 1

	// The header before each frame (5.1.6).
	netHeader     = 12
	netNeedsCsum  = 1
	netDataValid  = 2
	netGSONone    = 0
	netGSOTCP4    = 1
	netGSOTCP6    = 4
	netGSOUDP     = 5
	netGSOECN     = 0x80
	netEthernet   = 14
	netDefaultMTU = 1500

	netRing    = 256
	netBuffers = 128 // posted for reception, a page each
	netTxPages = 256 // that frames in flight may have
	netFrameTx = netHeader + 64<<10
	netPieces  = (netFrameTx + cpu.PageSize - 1) / cpu.PageSize
	netBatch   = 64 // frames given to the receiver at once
)

// Net is a network card with one pair of queues. It implements inet.Link.
//
// Frames are copied once in either direction, for the stack's memory is the
// Go heap, of which a device cannot be given a physical address.
type Net struct {
	t       Transport
	address [6]byte
	mtu     int
	offload inet.Offload
	status  bool // the device tells of its carrier

	rx netRx
	tx netTx
}

// netRx is the receiving queue. mu is held while the receiver runs, which may
// call Transmit.
type netRx struct {
	mu       sync.Mutex
	q        *Queue
	receiver inet.Receiver
	up       bool
	buffers  [netBuffers]cpu.PhysAddr
	skip     int // buffers to come of a frame that is dropped

	frames [netBatch]inet.Frame
	pieces [netBuffers][]byte
	taken  [netBuffers]uint16
}

// netTx is the sending queue. Its lock is a leaf.
type netTx struct {
	mu    sync.Mutex
	q     *Queue
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

// OpenNet brings a network card up. It receives nothing before Start.
func OpenNet(t Transport) (*Net, error) {
	want := uint64(netCsum | netGuestCsum | netMTU | netMAC | netHostTSO4 | netHostTSO6 | netMergeable | netStatus | netHostUSO)
	t.Reset()
	// 5.1.3.1: what needs what. A train fits in merged buffers only.
	if offered := t.Features(); offered&netMergeable != 0 && offered&netGuestCsum != 0 {
		want |= netGuestTSO4 | netGuestTSO6
	}
	if t.Features()&netCsum == 0 {
		want &^= netHostTSO4 | netHostTSO6 | netHostUSO
	}
	features, err := negotiate(t, want)
	if err != nil {
		return nil, err
	}
	n := &Net{t: t, mtu: netDefaultMTU, status: features&netStatus != 0}
	if err := n.setup(features); err != nil {
		t.Fail()
		return nil, err
	}
	if err := t.HandleIRQ(n.service); err != nil {
		t.Fail()
		return nil, err
	}
	t.Start()
	return n, nil
}

func (n *Net) setup(features uint64) error {
	var pool queuePool
	pool.grow(2, 2*netRing)
	var err error
	if n.rx.q, err = pool.queue(n.t, 0, netRing, features); err != nil {
		return err
	}
	if n.tx.q, err = pool.queue(n.t, 1, netRing, features); err != nil {
		return err
	}
	if features&netMAC != 0 {
		for i := range n.address {
			n.address[i] = n.t.Config8(netConfigMAC + i)
		}
	} else {
		binary.LittleEndian.PutUint32(n.address[2:], uint32(cpu.Nanotime()))
	}
	if n.address[0]&1 != 0 || n.address == ([6]byte{}) {
		n.address[0] = 2 // neither a group's nor nobody's
	}
	merge := features&netMergeable != 0
	if features&netMTU != 0 {
		if mtu := int(n.t.Config16(netConfigMTU)); mtu >= 68 {
			n.mtu = mtu
		}
	}
	if !merge {
		n.mtu = min(n.mtu, cpu.PageSize-netHeader-netEthernet)
	}
	n.offload = inet.Offload{
		SendChecksum:    features&netCsum != 0,
		ReceiveChecksum: features&netGuestCsum != 0,
		TCP4:            features&netHostTSO4 != 0,
		TCP6:            features&netHostTSO6 != 0,
		UDP:             features&netHostUSO != 0,
		Merge:           features&(netGuestTSO4|netGuestTSO6) != 0,
		MaxFrame:        min(netPieces, n.tx.q.MaxSegments())*cpu.PageSize - netHeader,
	}
	n.offload.MaxFrame = min(n.offload.MaxFrame, 65535)
	n.tx.free = make([]uint16, n.tx.q.Size())
	for i := range n.tx.free {
		n.tx.free[i] = uint16(i)
	}
	return nil
}

// Address, MTU, Queues and Offload say what the card is.
func (n *Net) Address() [6]byte { return n.address }

// MTU is described at Address.
func (n *Net) MTU() int { return n.mtu }

// Queues is described at Address.
func (n *Net) Queues() int { return 1 }

// Offload is described at Address.
func (n *Net) Offload() inet.Offload { return n.offload }

// Up asks the device for its carrier.
func (n *Net) Up() bool { return !n.status || n.t.Config16(netConfigStatus)&netLinkUp != 0 }

// Start gives the device buffers and r what arrives in them.
func (n *Net) Start(r inet.Receiver) error {
	rx := &n.rx
	rx.mu.Lock()
	defer rx.mu.Unlock()
	count := min(netBuffers, rx.q.Size())
	got := cpu.AllocFrames(rx.buffers[:count])
	if got == 0 {
		return Error(n.t.Name() + ": no memory for frames")
	}
	rx.receiver, rx.up = r, n.Up()
	for i := range got {
		rx.post(uint16(i))
	}
	rx.q.Arm()
	rx.q.Kick()
	return nil
}

func (rx *netRx) post(i uint16) {
	in := [1]Segment{{rx.buffers[i], cpu.PageSize}}
	rx.q.Add(nil, in[:], uint32(i))
}

// service is the interrupt function.
func (n *Net) service() {
	n.t.Acknowledge()
	worked := n.receive()
	if n.sent() {
		worked = true
	}
	// To read the status is dear in a virtual machine: an interrupt that had
	// no other reason is one for it.
	if !worked && n.status {
		n.carrier()
	}
}

func (n *Net) carrier() {
	rx := &n.rx
	rx.mu.Lock()
	defer rx.mu.Unlock()
	if up := n.Up(); up != rx.up && rx.receiver != nil {
		rx.up = up
		rx.receiver.Carrier(up)
	}
}

// receive carries up what has arrived, and reports whether there was any.
func (n *Net) receive() bool {
	rx := &n.rx
	rx.mu.Lock()
	defer rx.mu.Unlock()
	if rx.receiver == nil {
		return false
	}
	worked := false
	rx.q.Disarm()
	for {
		frames, buffers := rx.collect()
		if buffers == 0 {
			if rx.q.Arm() {
				continue
			}
			break
		}
		worked = true
		if frames > 0 {
			rx.receiver.Receive(0, rx.frames[:frames])
		}
		for i := range frames {
			rx.frames[i] = inet.Frame{}
		}
		for _, b := range rx.taken[:buffers] {
			rx.post(b)
		}
		rx.q.Kick()
	}
	if rx.q.Broken() && rx.up {
		rx.up = false
		rx.receiver.Carrier(false)
	}
	return worked
}

// collect takes frames from the ring, and says how many and in how many
// buffers, which are to be posted again.
func (rx *netRx) collect() (frames, buffers int) {
	for frames < netBatch {
		first, size, ok := rx.pop(buffers)
		if !ok {
			break
		}
		start := buffers
		buffers++
		if rx.skip > 0 {
			rx.skip--
			continue
		}
		// The device may write to its buffers at any time: the header is
		// copied before it is looked at.
		var h [netHeader]byte
		copy(h[:], first)
		more := int(binary.LittleEndian.Uint16(h[10:])) - 1
		if size < netHeader {
			continue
		}
		rx.pieces[start] = first[netHeader:]
		total := size - netHeader
		for more > 0 {
			p, size, ok := rx.pop(buffers)
			if !ok {
				break
			}
			rx.pieces[buffers] = p
			buffers++
			total += size
			more--
		}
		if more > 0 {
			rx.skip = min(more, netBuffers) // all buffers of a frame come at once (5.1.6.4.1)
			continue
		}
		f := &rx.frames[frames]
		f.Pieces = rx.pieces[start:buffers]
		if total >= netEthernet && len(f.Pieces[0]) >= netEthernet && describe(f, &h, total) {
			frames++
		} else {
			*f = inet.Frame{}
		}
	}
	return frames, buffers
}

// pop takes a buffer from the ring as the at-th of this batch.
func (rx *netRx) pop(at int) (p []byte, size int, ok bool) {
	if at >= len(rx.taken) {
		return nil, 0, false
	}
	id, n, ok := rx.q.Pop()
	if !ok {
		return nil, 0, false
	}
	// id is ours and n at most what was posted: Pop has seen to it.
	rx.taken[at] = uint16(id)
	return bytesAt(rx.buffers[id], int(n)), int(n), true
}

// describe copies what the device says of a frame; it reports false for what
// cannot be.
func describe(f *inet.Frame, h *[netHeader]byte, total int) bool {
	if h[0]&netNeedsCsum != 0 {
		f.Partial = true
		f.Start = binary.LittleEndian.Uint16(h[6:])
		f.Offset = binary.LittleEndian.Uint16(h[8:])
		if int(f.Start)+int(f.Offset)+2 > total {
			return false
		}
	}
	f.Verified = h[0]&netDataValid != 0
	switch h[1] &^ netGSOECN {
	case netGSONone:
		return true
	case netGSOTCP4:
		f.Protocol = inet.SegmentTCP4
	case netGSOTCP6:
		f.Protocol = inet.SegmentTCP6
	case netGSOUDP:
		f.Protocol = inet.SegmentUDP
	default:
		return false
	}
	f.Header = binary.LittleEndian.Uint16(h[2:])
	f.Segment = binary.LittleEndian.Uint16(h[4:])
	return f.Segment != 0 && int(f.Header) <= total
}

// Transmit copies frames into the ring and shows them to the device together.
func (n *Net) Transmit(_ int, frames []inet.Frame) int {
	tx := &n.tx
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.reclaim()
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
func (n *Net) sent() bool {
	tx := &n.tx
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
		n.rx.mu.Lock()
		r := n.rx.receiver
		n.rx.mu.Unlock()
		if r != nil {
			r.Room(0)
		}
	}
	return any
}
