package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

// Rings of packet sockets (PACKET_RX_RING, PACKET_TX_RING): frames in memory
// that the program has mapped, in the three layouts of packet_mmap.rst. Both
// rings of a socket lie one behind the other in one page cache. All of it is
// guarded by packet.mu.

// The layouts, as PACKET_VERSION numbers them.
const (
	layout1 = iota
	layout2
	layout3
)

const (
	statusKernel  = 0 // of a frame to receive into, and of one that was sent
	statusUser    = 1 // TP_STATUS_USER; in a ring to send from TP_STATUS_SEND_REQUEST
	statusLosing  = 4
	statusTimeout = 1 << 5 // TP_STATUS_BLK_TMO
	wrongFormat   = 4      // TP_STATUS_WRONG_FORMAT

	blockHead   = 48 // struct tpacket_block_desc
	retireAfter = 8  // ms, unless the program says
	mostRing    = 64 << 20
)

type ring struct {
	blockSize, blocks, frameSize, frames int
	next                                 int // the frame or block to be used next
	base                                 uint64
	// Of layout3.
	private, after, fill, packets int
	last                          int // where the last packet of the block is
	sequence                      uint64
	first, latest                 int64
}

func (r *ring) size() uint64 {
	if r == nil {
		return 0
	}
	return uint64(r.blockSize) * uint64(r.blocks)
}

// headSize is the size of a frame's header in each layout; behind it, aligned
// to 16, is a sockaddr_ll.
func headSize(layout int) int {
	if layout == layout3 {
		return 48
	}
	return 32
}

func fullHead(layout int) int { return (headSize(layout)+15)&^15 + sockaddrLL }

// setRing serves the two options; mu is held.
func (s *packet) setRing(v []byte, send bool) error {
	need := 16
	if s.layout == layout3 {
		need = 28
	}
	if len(v) < need {
		return unix.EINVAL
	}
	n := func(i int) int { return int(binary.NativeEndian.Uint32(v[4*i:])) }
	r := &ring{blockSize: n(0), blocks: n(1), frameSize: n(2), frames: n(3)}
	if s.layout == layout3 {
		if r.after, r.private = n(4), n(5); r.after == 0 {
			r.after = retireAfter
		}
		if send && (n(4) != 0 || n(5) != 0 || n(6) != 0) {
			return unix.EINVAL
		}
	}
	slot := &s.rx
	if send {
		slot = &s.tx
	}
	if r.blocks == 0 {
		if r.frames != 0 {
			return unix.EINVAL
		}
		*slot = nil
		s.placeRings()
		return nil
	}
	if *slot != nil {
		return unix.EBUSY
	}
	least := fullHead(s.layout) + s.reserve
	if r.blockSize <= 0 || r.blockSize%mm.PageSize != 0 || s.layout == layout3 && !send && r.blockSize < r.start()+least ||
		r.frameSize < least || r.frameSize%16 != 0 || r.blockSize/r.frameSize == 0 ||
		r.blockSize/r.frameSize*r.blocks != r.frames {
		return unix.EINVAL
	}
	total := r.size() + s.rx.size() + s.tx.size()
	if total > mostRing || !cpu.KernelRoom(total) {
		return unix.ENOMEM
	}
	if s.ringMemory == nil {
		s.ringMemory = mm.NewPageCache(nil)
	}
	*slot = r
	s.placeRings()
	s.ringMemory.Truncate(total)
	if err := s.ringMemory.Allocate(0, total); err != nil {
		*slot = nil
		s.placeRings()
		return unix.ENOMEM
	}
	if s.layout == layout3 && !send {
		s.openBlock()
	}
	return nil
}

// placeRings says where the rings lie. mu is held.
func (s *packet) placeRings() {
	if s.tx != nil {
		s.tx.base = s.rx.size()
	}
}

// start is where the packets of a block of layout3 begin.
func (r *ring) start() int { return blockHead + (r.private+7)&^7 }

// at is where frame i is.
func (r *ring) at(i int) uint64 {
	per := r.blockSize / r.frameSize
	return r.base + uint64(i/per)*uint64(r.blockSize) + uint64(i%per)*uint64(r.frameSize)
}

func (s *packet) peek32(at uint64) uint32 {
	var v [4]byte
	b := mm.KernelBuffer(v[:])
	if _, err := s.ringMemory.ReadAt(&b, at, at+4); err != nil {
		return ^uint32(0)
	}
	return binary.NativeEndian.Uint32(v[:])
}

func (s *packet) poke(at uint64, p []byte) {
	b := mm.KernelBuffer(p)
	_, _ = s.ringMemory.WriteAt(&b, at)
}

func (s *packet) poke32(at uint64, n uint32) {
	var v [4]byte
	binary.NativeEndian.PutUint32(v[:], n)
	s.poke(at, v[:])
}

// ringReady reports whether the program has something to read. mu is held.
func (s *packet) ringReady() bool {
	r := s.rx
	if s.layout == layout3 {
		return s.peek32(r.block((r.next+r.blocks-1)%r.blocks)+8)&statusUser != 0
	}
	return s.peek32(r.at((r.next+r.frames-1)%r.frames))&statusUser != 0
}

// store puts a frame into the ring; false if there is no room. mu is held.
func (s *packet) store(e *frame, network int) bool {
	r := s.rx
	head := (fullHead(s.layout) + 15) &^ 15
	macAt := head + 16 + s.reserve
	netAt := macAt
	if s.Type != unix.SOCK_DGRAM {
		netAt = (fullHead(s.layout)+max(network, 16)+15)&^15 + s.reserve
		macAt = netAt - network
	}
	if s.layout == layout3 {
		return s.storeBlock(e, macAt, netAt)
	}
	at := r.at(r.next)
	if s.peek32(at) != statusKernel {
		return false
	}
	data := e.data[:min(len(e.data), max(r.frameSize-macAt, 0))]
	var h [32]byte
	le := binary.NativeEndian
	status := uint32(statusUser)
	if s.drops > 0 {
		status |= statusLosing
	}
	if s.layout == layout1 {
		le.PutUint32(h[8:], uint32(e.full))
		le.PutUint32(h[12:], uint32(len(data)))
		le.PutUint16(h[16:], uint16(macAt))
		le.PutUint16(h[18:], uint16(netAt))
		le.PutUint32(h[20:], uint32(e.time/clock.Second))
		le.PutUint32(h[24:], uint32(e.time%clock.Second/1000))
	} else {
		le.PutUint32(h[4:], uint32(e.full))
		le.PutUint32(h[8:], uint32(len(data)))
		le.PutUint16(h[12:], uint16(macAt))
		le.PutUint16(h[14:], uint16(netAt))
		le.PutUint32(h[16:], uint32(e.time/clock.Second))
		le.PutUint32(h[20:], uint32(e.time%clock.Second))
	}
	s.poke(at+8, h[8:])
	s.poke(at+4, h[4:8])
	s.poke(at+32, e.name[:])
	s.poke(at+uint64(macAt), data)
	s.poke32(at, status) // the last, so that the program sees all of it
	r.next = (r.next + 1) % r.frames
	return true
}

func (r *ring) block(i int) uint64 { return r.base + uint64(i)*uint64(r.blockSize) }

// openBlock prepares the next block. mu is held.
func (s *packet) openBlock() {
	r := s.rx
	r.sequence++
	r.packets, r.fill, r.last = 0, r.start(), 0
	var h [blockHead]byte
	le := binary.NativeEndian
	le.PutUint32(h[:], layout3)
	le.PutUint32(h[4:], blockHead)
	le.PutUint32(h[16:], uint32(r.start()))
	le.PutUint32(h[20:], uint32(r.start()))
	le.PutUint64(h[24:], r.sequence)
	s.poke(r.block(r.next), h[:])
}

// closeBlock gives the block at hand to the program. mu is held.
func (s *packet) closeBlock(status uint32) {
	r := s.rx
	at := r.block(r.next)
	if r.last > 0 {
		s.poke32(at+uint64(r.last), 0) // no packet follows
	}
	var v [36]byte
	le := binary.NativeEndian
	le.PutUint32(v[:], uint32(r.packets))
	le.PutUint32(v[4:], uint32(r.start()))
	le.PutUint32(v[8:], uint32(r.fill))
	le.PutUint64(v[12:], r.sequence)
	for k, t := range [...]int64{r.first, r.latest} {
		le.PutUint32(v[20+8*k:], uint32(t/clock.Second))
		le.PutUint32(v[24+8*k:], uint32(t%clock.Second))
	}
	s.poke(at+12, v[:])
	if s.drops > 0 {
		status |= statusLosing
	}
	s.poke32(at+8, status|statusUser)
	r.next = (r.next + 1) % r.blocks
	r.packets, r.fill = 0, 0
}

// storeBlock is store in layout3. mu is held.
func (s *packet) storeBlock(e *frame, macAt, netAt int) bool {
	r := s.rx
	data := e.data[:min(len(e.data), max(r.blockSize-r.start()-macAt, 0))]
	size := (macAt + len(data) + 7) &^ 7
	if r.fill > 0 && r.fill+size > r.blockSize {
		s.closeBlock(0)
	}
	if r.fill == 0 {
		if s.peek32(r.block(r.next)+8) != statusKernel {
			s.freezes++
			return false
		}
		s.openBlock()
	}
	at := r.block(r.next) + uint64(r.fill)
	var h [48]byte
	le := binary.NativeEndian
	le.PutUint32(h[:], uint32(size))
	le.PutUint32(h[4:], uint32(e.time/clock.Second))
	le.PutUint32(h[8:], uint32(e.time%clock.Second))
	le.PutUint32(h[12:], uint32(len(data)))
	le.PutUint32(h[16:], uint32(e.full))
	le.PutUint32(h[20:], statusUser)
	le.PutUint16(h[24:], uint16(macAt))
	le.PutUint16(h[26:], uint16(netAt))
	s.poke(at, h[:])
	s.poke(at+48, e.name[:])
	s.poke(at+uint64(macAt), data)
	if r.latest = e.time; r.packets == 0 {
		r.first = e.time
		if s.retire == nil {
			s.retire = clock.NewTimer(func(uint64) { s.retireBlock() })
		}
		s.retire.Start(clock.Now()+int64(r.after)*1_000_000, 0)
	}
	r.last = r.fill
	r.packets++
	r.fill += size
	return true
}

// retireBlock gives a block to the program that is not full, when the time
// for it is up.
func (s *packet) retireBlock() {
	s.mu.Lock()
	told := s.rx != nil && s.layout == layout3 && s.rx.packets > 0
	if told {
		s.closeBlock(statusTimeout)
	}
	s.mu.Unlock()
	if told {
		s.queue.Notify(wait.Readable)
	}
}

// sendRing sends what the program has put into the ring for it.
func (s *packet) sendRing(i *Interface, to [6]byte, proto uint16) (int, error) {
	done := 0
	for {
		s.mu.Lock()
		r := s.tx
		if r == nil {
			s.mu.Unlock()
			return done, nil
		}
		at := r.at(r.next)
		statusAt, lengthAt := at, at+4
		switch s.layout {
		case layout1:
			lengthAt = at + 8
		case layout3:
			statusAt, lengthAt = at+20, at+16
		}
		if s.peek32(statusAt)&statusUser == 0 {
			s.mu.Unlock()
			return done, nil
		}
		n := int(s.peek32(lengthAt))
		from := (headSize(s.layout) + 15) &^ 15
		head := 0
		if s.Type == unix.SOCK_DGRAM {
			head = ethernetSize
		}
		if n <= 0 || n > r.frameSize-from || n+head > i.Snapshot().MTU+ethernetSize || n+head < ethernetSize {
			if s.loss {
				s.poke32(statusAt, statusKernel)
				r.next = (r.next + 1) % r.frames
				s.mu.Unlock()
				continue
			}
			s.poke32(statusAt, wrongFormat)
			s.mu.Unlock()
			if done > 0 {
				return done, nil
			}
			return 0, unix.EMSGSIZE
		}
		p := make([]byte, head+n)
		b := mm.KernelBuffer(p[head:])
		_, err := s.ringMemory.ReadAt(&b, at+uint64(from), at+uint64(from)+uint64(n))
		s.mu.Unlock()
		if err != nil {
			return done, err
		}
		if head > 0 {
			fillEthernet(p, i, to, proto)
		}
		if i != lo {
			if err := i.SendFrame(p); err != nil {
				if done > 0 {
					return done, nil
				}
				return 0, err
			}
		}
		s.mu.Lock()
		s.poke32(statusAt, statusKernel)
		r.next = (r.next + 1) % r.frames
		s.mu.Unlock()
		done += n
	}
}
