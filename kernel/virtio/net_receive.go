package virtio

import (
	"encoding/binary"
	"sync"

	"husk/kernel/cpu"
	"husk/kernel/inet"
)

// netRx is the receiving queue. mu is held while the receiver runs, which may
// call Transmit.
type netRx struct {
	mu       sync.Mutex
	q        *Queue
	index    int
	receiver inet.Receiver
	up       bool // of the first pair: the carrier
	buffers  [netBuffers]cpu.PhysAddr
	skip     int // buffers to come of a frame that is dropped

	frames [netBatch]inet.Frame
	pieces [netBuffers][]byte
	taken  [netBuffers]uint16
}

// fill posts buffers.
func (rx *netRx) fill(r inet.Receiver, count int) bool {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	got := cpu.AllocFrames(rx.buffers[:min(count, rx.q.Size())])
	if got == 0 {
		return false
	}
	rx.receiver, rx.up = r, true
	for i := range got {
		rx.post(uint16(i))
	}
	rx.q.Arm()
	rx.q.Kick()
	return true
}

func (rx *netRx) post(i uint16) {
	in := [1]Segment{{rx.buffers[i], cpu.PageSize}}
	rx.q.Add(nil, in[:], uint32(i))
}

// receive carries up what has arrived, and reports whether there was any.
func (p *netPair) receive() bool {
	rx := &p.rx
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
			rx.receiver.Receive(rx.index, rx.frames[:frames])
		}
		for i := range frames {
			rx.frames[i] = inet.Frame{}
		}
		for _, b := range rx.taken[:buffers] {
			rx.post(b)
		}
		rx.q.Kick()
	}
	if rx.q.Broken() {
		p.card.fail()
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
