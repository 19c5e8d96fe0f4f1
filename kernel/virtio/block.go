package virtio

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
)

// Feature bits, requests and status values of the block device (5.2).
const (
	blkSizeMax  = 1 << 1
	blkSegMax   = 1 << 2
	blkReadOnly = 1 << 5
	blkFlush    = 1 << 9

	blkIn    = 0
	blkOut   = 1
	blkSync  = 4
	blkGetID = 8

	blkOK          = 0
	blkIOErr       = 1
	blkUnsupported = 2

	blkConfigCapacity = 0
	blkConfigSizeMax  = 8
	blkConfigSegMax   = 12

	// SectorSize is the unit of addresses on a block device.
	SectorSize = 512

	blkSlots       = 16
	blkMaxSegments = 128 // data segments in one request
	blkHeaderSize  = 16
	blkSlotSize    = 32 // header, status, and room for the serial number
	blkStatusAt    = 16
)

// Block is a block device. Its methods may be called by any goroutine;
// requests of several goroutines are in flight together.
type Block struct {
	r        *requester
	headers  cpu.PhysAddr // blkSlotSize bytes a slot
	size     uint64
	segments int
	segSize  uint32
	readOnly bool
	flush    bool

	head head
}

// head is the beginning of the device, which is asked for as soon as the
// device is up: the first request is the slowest, for the host has to wake its
// workers, and the file system that will want it is mounted later. It serves
// the first read and is gone.
type head struct {
	mu     sync.Mutex
	active atomic.Bool
	slot   uint16
	frames [headPages]cpu.PhysAddr
}

const headPages = 8

// OpenBlock brings a block device up.
func OpenBlock(t Transport) (*Block, error) {
	features, err := negotiate(t, blkSizeMax|blkSegMax|blkReadOnly|blkFlush)
	if err != nil {
		return nil, err
	}
	q, err := newQueue(t, 0, 128, features)
	if err != nil {
		t.Fail()
		return nil, err
	}
	b := &Block{
		segments: blkMaxSegments,
		segSize:  1 << 30,
		readOnly: features&blkReadOnly != 0,
		flush:    features&blkFlush != 0,
	}
	sectors := t.Config64(blkConfigCapacity)
	if sectors >= 1<<54 {
		t.Fail()
		return nil, Error(t.Name() + ": the block device has an impossible size")
	}
	b.size = sectors * SectorSize
	if features&blkSegMax != 0 {
		b.segments = int(min(t.Config32(blkConfigSegMax), blkMaxSegments))
	}
	b.segments = max(1, min(b.segments, q.MaxSegments()-2))
	if features&blkSizeMax != 0 {
		b.segSize = max(t.Config32(blkConfigSizeMax), cpu.PageSize)
	}
	headers, ok := dmaAlloc(blkSlots*blkSlotSize, 16)
	if !ok {
		t.Fail()
		return nil, Error(t.Name() + ": no memory for requests")
	}
	b.headers = headers
	b.r = newRequester(t, q, blkSlots)
	if err := t.HandleIRQ(b.r.service); err != nil {
		t.Fail()
		return nil, err
	}
	t.Start()
	b.startHead()
	return b, nil
}

// startHead asks for the beginning of the device.
func (b *Block) startHead() {
	h := &b.head
	if b.size < headPages*cpu.PageSize || b.segments < headPages || b.segSize < cpu.PageSize {
		return
	}
	id, ok := b.r.tryAcquire()
	if !ok {
		return
	}
	if n := cpu.AllocFrames(h.frames[:]); n < headPages {
		cpu.FreeFrames(h.frames[:n])
		b.r.release(id)
		return
	}
	var chain [headPages + 2]Segment
	for i, pa := range h.frames {
		chain[i+1] = Segment{pa, cpu.PageSize}
	}
	b.fill(id, blkIn, 0, chain[:])
	if b.r.start(id, chain[:1], chain[1:]) != nil {
		cpu.FreeFrames(h.frames[:])
		b.r.release(id)
		return
	}
	h.slot = id
	h.active.Store(true)
}

// takeHead serves the first read if it lies in the head; it reports whether
// it did.
func (b *Block) takeHead(off uint64, pages [][]byte) bool {
	h := &b.head
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.active.Load() {
		return false
	}
	h.active.Store(false)
	_, err := b.r.finish(h.slot)
	ok := err == nil && b.status(h.slot) == nil && off%cpu.PageSize == 0
	b.r.release(h.slot)
	first := off / cpu.PageSize
	if ok = ok && first+uint64(len(pages)) <= headPages; ok {
		for i, p := range pages {
			if len(p) != cpu.PageSize {
				ok = false
				break
			}
			copy(p, bytesAt(h.frames[first+uint64(i)], cpu.PageSize))
		}
	}
	cpu.FreeFrames(h.frames[:])
	return ok
}

// Size is the size of the device in bytes.
func (b *Block) Size() uint64 { return b.size }

// ReadOnly reports whether the device refuses writes.
func (b *Block) ReadOnly() bool { return b.readOnly }

// ReadPages reads into consecutive pages from byte offset off, a multiple of
// SectorSize. The pages must be in the direct map; the device writes them
// itself. Bytes past the end of the device are zeroed.
func (b *Block) ReadPages(off uint64, pages [][]byte) error {
	if b.head.active.Load() && b.takeHead(off, pages) {
		return nil
	}
	return b.transfer(blkIn, off, pages)
}

// WritePages writes consecutive pages at byte offset off.
func (b *Block) WritePages(off uint64, pages [][]byte) error {
	if b.readOnly {
		return unix.EROFS
	}
	return b.transfer(blkOut, off, pages)
}

// ReadAt reads anywhere into any memory, by way of a page of its own. It is
// for superblocks; bulk data is for ReadPages.
func (b *Block) ReadAt(p []byte, off uint64) (int, error) {
	var frame [1]cpu.PhysAddr
	if cpu.AllocFrames(frame[:]) == 0 {
		return 0, unix.ENOMEM
	}
	defer cpu.FreeFrames(frame[:])
	page := [][]byte{bytesAt(frame[0], cpu.PageSize)}
	done := 0
	for done < len(p) && off < b.size {
		start := off &^ (SectorSize - 1)
		if err := b.transfer(blkIn, start, page); err != nil {
			return done, err
		}
		have := page[0][off-start:]
		n := copy(p[done:], have[:min(uint64(len(have)), b.size-off)])
		done += n
		off += uint64(n)
	}
	return done, nil
}

// Flush makes what was written durable.
func (b *Block) Flush() error {
	if !b.flush {
		return nil
	}
	return b.request(blkSync, 0, nil)
}

// transfer splits pages into requests of at most b.segments segments.
func (b *Block) transfer(kind uint32, off uint64, pages [][]byte) error {
	if off%SectorSize != 0 {
		return unix.EINVAL
	}
	var segs [blkMaxSegments]Segment
	n, start := 0, off
	for _, p := range pages {
		rest := uint64(0)
		if off < b.size {
			rest = b.size - off
		}
		if uint64(len(p)) > rest {
			if kind == blkOut {
				return unix.EIO
			}
			clear(p[rest:])
			p = p[:rest]
		}
		for len(p) > 0 {
			pa, ok := PhysOf(p)
			if !ok {
				return unix.EFAULT
			}
			if n > 0 && segs[n-1].Addr+cpu.PhysAddr(segs[n-1].Len) == pa && segs[n-1].Len+uint32(len(p)) <= b.segSize {
				segs[n-1].Len += uint32(len(p))
				off += uint64(len(p))
				break
			}
			if n == b.segments {
				if err := b.request(kind, start/SectorSize, segs[:n]); err != nil {
					return err
				}
				n, start = 0, off
			}
			part := p[:min(len(p), int(b.segSize&^(SectorSize-1)))]
			segs[n] = Segment{pa, uint32(len(part))}
			n++
			off += uint64(len(part))
			p = p[len(part):]
		}
	}
	if n == 0 {
		return nil
	}
	return b.request(kind, start/SectorSize, segs[:n])
}

// request runs one request (5.2.6).
func (b *Block) request(kind uint32, sector uint64, data []Segment) error {
	id := b.r.acquire()
	defer b.r.release(id)
	var chain [blkMaxSegments + 2]Segment
	n := 1 + copy(chain[1:], data)
	b.fill(id, kind, sector, chain[:n+1])
	outs := 1
	if kind == blkOut {
		outs = n
	}
	if _, err := b.r.do(id, chain[:outs], chain[outs:n+1]); err != nil {
		return err
	}
	return b.status(id)
}

// fill writes the header of slot id's request and puts it and the status at
// the ends of the chain.
func (b *Block) fill(id uint16, kind uint32, sector uint64, chain []Segment) {
	pa := b.headers + cpu.PhysAddr(id)*blkSlotSize
	h := bytesAt(pa, blkSlotSize)
	binary.LittleEndian.PutUint32(h, kind)
	binary.LittleEndian.PutUint32(h[4:], 0)
	binary.LittleEndian.PutUint64(h[8:], sector)
	h[blkStatusAt] = blkIOErr
	chain[0] = Segment{pa, blkHeaderSize}
	chain[len(chain)-1] = Segment{pa + blkStatusAt, 1}
}

// status is how slot id's request ended.
func (b *Block) status(id uint16) error {
	switch bytesAt(b.headers+cpu.PhysAddr(id)*blkSlotSize, blkSlotSize)[blkStatusAt] {
	case blkOK:
		return nil
	case blkUnsupported:
		return unix.EOPNOTSUPP
	}
	return unix.EIO
}
