package virtio

import (
	"sync"

	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
	"husk/kernel/wait"
)

const (
	rxRing = 32 // receive buffers of one page each: QEMU never delivers more at a time
	txRing = 16 // transmit chunks in flight
	// txFlight is how many chunks are handed to the device before further
	// output collects in the buffer, to go out as one larger chunk.
	txFlight = 8
	// atomicWrite is what a writer gets in whole or not at all: PIPE_BUF.
	atomicWrite = 4096
)

// Sink and Source are the memory of a read and of a write: *mm.Buffer.
type Sink interface {
	Len() int
	CopyOut(p []byte) (int, error)
}

// Source is the memory of a write.
type Source interface {
	Len() int
	CopyIn(p []byte) (int, error)
}

// Port is one port of a console device: a byte stream in each direction with
// bounded buffers. Nothing here blocks for the peer: a read without data and
// a write without room return EAGAIN, and Queue announces when to try again.
//
// Bytes move once on either way: from the pages the device filled to the
// reader's memory, and from the writer's memory to the pages the device reads.
type Port struct {
	console *Console
	id      uint32

	rmu sync.Mutex // one reader at a time; front, in, consumed
	wmu sync.Mutex // one writer at a time; the free part of out

	mu     sync.Mutex
	name   string
	named  bool
	added  bool
	opened bool // by us
	host   bool // the other side is there
	hosted bool // and was before

	// Receiving. Every buffer is with the device, in filled, or withheld.
	rx       *Queue
	in       []cpu.PhysAddr // one frame a buffer
	filled   [rxRing]received
	first, n int // filled is a ring: its first element and their number
	offset   int // bytes of the first that were read
	withheld []uint16
	received uint64
	consumed uint64
	end      uint64 // total that will come, if ended
	ended    bool

	// Transmitting. out is a ring of bytes; positions count from the start of
	// the stream: freed ≤ queued ≤ written ≤ freed + len(out).
	tx      *Queue
	out     []byte
	outPA   cpu.PhysAddr
	written uint64
	queued  uint64
	freed   uint64
	flight  [txRing]chunk // ring of chunks in flight, in stream order
	ffirst  int
	fn      int
	txWait  bool // somebody waits for room or for the end of the output

	ready wait.Queue
}

type received struct {
	buf uint16
	len uint16
}

type chunk struct {
	len  uint32
	done bool
}

// announce gives the port its name.
func (p *Port) announce(name string, host bool) {
	p.mu.Lock()
	p.name, p.named = name, true
	if host {
		p.host, p.hosted = true, true
	}
	p.mu.Unlock()
}

// Name is the port's name.
func (p *Port) Name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.name
}

// Open makes the port ready: rx is the number of pages to receive into (0 for
// a port that is only written), tx the size of the output buffer in bytes, a
// power of two of at least a page (0 for one that is only read).
func (p *Port) Open(rx, tx int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened {
		return unix.EBUSY
	}
	if rx > 0 {
		rx = min(rx, rxRing, p.rx.Size())
		frames := make([]cpu.PhysAddr, rx)
		if n := cpu.AllocFrames(frames); n < rx {
			cpu.FreeFrames(frames[:n])
			return unix.ENOMEM
		}
		p.in = frames
		p.withheld = make([]uint16, 0, rx)
		for i := range frames {
			p.rx.Add(nil, []Segment{{frames[i], cpu.PageSize}}, uint32(i))
		}
	}
	if tx > 0 {
		if tx < cpu.PageSize || tx&(tx-1) != 0 {
			return unix.EINVAL
		}
		pa, ok := cpu.AllocContiguous(tx / cpu.PageSize)
		for !ok && tx > 2*cpu.PageSize {
			tx /= 2
			pa, ok = cpu.AllocContiguous(tx / cpu.PageSize)
		}
		if !ok {
			return unix.ENOMEM
		}
		p.outPA, p.out = pa, bytesAt(pa, tx)
	}
	p.opened = true
	if rx > 0 {
		p.rx.Arm()
		p.rx.Kick()
	}
	c := p.console
	if c.ctlRx != nil {
		// Console.mu comes before Port.mu.
		p.mu.Unlock()
		c.mu.Lock()
		c.send(p.id, ctlPortOpen, 1)
		c.ctlTx.Kick()
		c.mu.Unlock()
		p.mu.Lock()
	}
	return nil
}

// setHost records whether the other side is connected.
func (p *Port) setHost(open bool) {
	p.mu.Lock()
	p.host = open
	if open {
		p.hosted = true
		p.submit()
	} else if p.hosted {
		p.written = p.queued // nobody will read what was not handed over
	}
	p.armTx()
	p.mu.Unlock()
	if open {
		p.ready.Notify(wait.Writable)
	} else {
		p.ready.Notify(wait.Readable | wait.Writable | wait.Err | wait.Hup)
	}
}

// Queue announces changes of Ready.
func (p *Port) Queue() *wait.Queue { return &p.ready }

// Ready returns what is possible now, as poll(2) reports it for the two ends
// of a pipe: Hup when no more input will come, Err when nobody reads the output.
func (p *Port) Ready() wait.Events {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ev wait.Events
	if len(p.in) > 0 {
		if p.pull() {
			ev |= wait.Readable
		}
		if p.complete() {
			ev |= wait.Hup
		}
	}
	if len(p.out) > 0 {
		p.reapTx()
		switch {
		case p.gone():
			ev |= wait.Writable | wait.Err
		case p.space() >= atomicWrite:
			ev |= wait.Writable
		default:
			if p.wantRoom(); p.space() >= atomicWrite {
				ev |= wait.Writable
			}
		}
	}
	return ev
}

// gone reports whether the reader of our output was there and has left.
func (p *Port) gone() bool { return p.hosted && !p.host }

// complete reports whether all input there will ever be has arrived.
func (p *Port) complete() bool {
	return p.ended && p.received >= p.end || p.gone()
}

// SetEnd says how many bytes the input has in all: after them reads return
// the end of the file.
func (p *Port) SetEnd(total uint64) {
	p.mu.Lock()
	p.end, p.ended = total, true
	p.mu.Unlock()
	p.ready.Notify(wait.Readable | wait.Hup)
}

// Buffered is the number of bytes that can be read now (FIONREAD).
func (p *Port) Buffered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.in) > 0 {
		p.pull()
	}
	return int(p.received - p.consumed)
}

// Written is the number of bytes that were written to the port in all.
func (p *Port) Written() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written
}

// pull takes what the device has filled. It reports whether there is input;
// if not, an interrupt will tell. Whoever takes the first input announces it:
// others may have gone to sleep for an interrupt that will now not come.
// Called with mu held.
func (p *Port) pull() bool {
	empty := p.n == 0
	defer func() {
		if empty && p.n > 0 {
			p.ready.Notify(wait.Readable)
		}
	}()
	for {
		buf, n, ok := p.rx.Pop()
		if !ok {
			if p.n > 0 || !p.rx.Arm() {
				return p.n > 0
			}
			continue
		}
		if int(buf) >= len(p.in) || n > cpu.PageSize || p.n == rxRing {
			continue // cannot be: Pop returns what was added
		}
		if n == 0 {
			p.withheld = append(p.withheld, uint16(buf))
			continue
		}
		p.filled[(p.first+p.n)%rxRing] = received{uint16(buf), uint16(n)}
		p.n++
		p.received += uint64(n)
	}
}

// ReadInto moves what has been received to dst. It returns EAGAIN when there
// is nothing yet, and 0 at the end of the input.
func (p *Port) ReadInto(dst Sink) (int, error) {
	p.rmu.Lock()
	defer p.rmu.Unlock()
	if dst.Len() == 0 {
		return 0, nil
	}
	done := 0
	for {
		page := p.front()
		if page == nil {
			break
		}
		n, err := dst.CopyOut(page)
		p.consume(n, n == len(page))
		done += n
		if err != nil && done == 0 {
			return 0, err
		}
		if err != nil || n < len(page) || dst.Len() == 0 {
			break
		}
	}
	if done > 0 {
		return done, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.n == 0 && p.complete():
		return 0, nil
	case p.rx.Broken():
		return 0, unix.EIO
	}
	return 0, unix.EAGAIN
}

// front is the unread part of the oldest filled buffer. It stays valid until
// consume, because rmu is held.
func (p *Port) front() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.in) == 0 || p.n == 0 && !p.pull() {
		return nil
	}
	r := p.filled[p.first]
	return bytesAt(p.in[r.buf], cpu.PageSize)[p.offset:r.len]
}

// consume marks n bytes of the front as read. Empty buffers go back to the
// device by halves of the ring, so that it is notified rarely.
func (p *Port) consume(n int, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.consumed += uint64(n)
	p.offset += n
	if !all {
		return
	}
	p.withheld = append(p.withheld, p.filled[p.first].buf)
	p.first = (p.first + 1) % rxRing
	p.n--
	p.offset = 0
	if len(p.withheld)*2 < len(p.in) {
		return
	}
	for _, buf := range p.withheld {
		p.rx.Add(nil, []Segment{{p.in[buf], cpu.PageSize}}, uint32(buf))
	}
	p.withheld = p.withheld[:0]
	p.rx.Kick()
}

// space is the room in the output buffer.
func (p *Port) space() int { return len(p.out) - int(p.written-p.freed) }

// WriteFrom takes output from src. When there is no room for the rest, which
// for at most a PIPE_BUF of bytes means no room for all of them, it returns
// what it took together with EAGAIN; EPIPE when nobody reads the port any more.
func (p *Port) WriteFrom(src Source) (int, error) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	if len(p.out) == 0 {
		return 0, unix.EBADF
	}
	done := 0
	for src.Len() > 0 {
		room, err := p.room(src.Len(), done)
		if room == nil && err == nil {
			return done, unix.EAGAIN
		}
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
		n, err := src.CopyIn(room[:min(len(room), src.Len())])
		if n > 0 {
			done += n
			p.commit(n)
		}
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
	}
	return done, nil
}

// room returns a contiguous free part of the output buffer, nil when there is
// none for a write of which want bytes are left and done are written.
func (p *Port) room(want, done int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone() {
		return nil, unix.EPIPE
	}
	if p.tx.Broken() {
		return nil, unix.EIO
	}
	least := 1
	if done == 0 && want <= atomicWrite {
		least = want
	}
	if p.reapTx(); p.space() < least {
		if p.wantRoom(); p.space() < least {
			return nil, nil
		}
	}
	at := int(p.written % uint64(len(p.out)))
	return p.out[at:min(len(p.out), at+p.space())], nil
}

// commit hands n bytes that were copied into room to the device.
func (p *Port) commit(n int) {
	p.mu.Lock()
	if !p.gone() {
		p.written += uint64(n)
	}
	p.submit()
	p.reapTx() // a device without a thread of its own is done by now
	p.armTx()
	p.mu.Unlock()
}

// submit gives the device what was written. Called with mu held.
func (p *Port) submit() {
	for p.host && p.queued < p.written && p.fn < txFlight {
		at := p.queued % uint64(len(p.out))
		n := min(p.written-p.queued, uint64(len(p.out))-at)
		slot := (p.ffirst + p.fn) % txRing
		if !p.tx.Add([]Segment{{p.outPA + cpu.PhysAddr(at), uint32(n)}}, nil, uint32(slot)) {
			break
		}
		p.flight[slot] = chunk{len: uint32(n)}
		p.fn++
		p.queued += n
	}
	p.tx.Kick()
}

// reapTx frees what the device has taken and gives it what waited for that.
// Called with mu held.
func (p *Port) reapTx() {
	for {
		slot, _, ok := p.tx.Pop()
		if !ok {
			break
		}
		p.flight[slot%txRing].done = true
	}
	before := p.fn
	for p.fn > 0 && p.flight[p.ffirst].done {
		p.flight[p.ffirst].done = false
		p.freed += uint64(p.flight[p.ffirst].len)
		p.ffirst = (p.ffirst + 1) % txRing
		p.fn--
	}
	if p.fn == before {
		return
	}
	if p.queued < p.written {
		p.submit()
	}
	// As with pull: who frees the room tells those who wait for it.
	if p.txWait && (p.space() >= atomicWrite || p.freed == p.written) {
		p.txWait = false
		p.ready.Notify(wait.Writable)
	}
}

// wantRoom has the interrupt come when room is made, and frees what was
// finished meanwhile. Called with mu held.
func (p *Port) wantRoom() {
	p.txWait = true
	p.armTx()
}

// armTx asks for an interrupt if somebody depends on one. Called with mu held.
func (p *Port) armTx() {
	if len(p.out) == 0 {
		return
	}
	for p.txWait || p.queued < p.written {
		if !p.tx.Arm() {
			return
		}
		p.reapTx()
	}
	p.tx.Disarm()
}

// Drained reports whether the device has taken all output. If not, Queue
// will announce Writable events until it has.
func (p *Port) Drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.out) == 0 {
		return true
	}
	p.submit()
	p.reapTx()
	if p.freed < p.written && !p.gone() && !p.tx.Broken() {
		p.wantRoom()
	}
	return p.freed == p.written || p.gone() || p.tx.Broken()
}

// Flush waits until the device has taken all output: ETIMEDOUT if it has not
// by the deadline.
func (p *Port) Flush(s wait.Sleeper, deadline int64) error {
	return p.ready.Until(s, wait.Out|wait.Err, deadline, p.Drained)
}

// service is the port's part of an interrupt.
func (p *Port) service() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.in) > 0 && p.rx.Ready() {
		if p.pull() {
			p.rx.Disarm() // until a reader has emptied the buffers
		}
		if p.complete() {
			p.ready.Notify(wait.Hup)
		}
	}
	if len(p.out) > 0 {
		p.reapTx()
		p.armTx()
	}
}

// Read and Write are ReadInto and WriteFrom for kernel memory.
func (p *Port) Read(b []byte) (int, error) { return p.ReadInto(&kernelBytes{b}) }

// Write writes kernel memory.
func (p *Port) Write(b []byte) (int, error) { return p.WriteFrom(&kernelBytes{b}) }

type kernelBytes struct{ b []byte }

func (k *kernelBytes) Len() int { return len(k.b) }

func (k *kernelBytes) CopyOut(p []byte) (int, error) {
	n := copy(k.b, p)
	k.b = k.b[n:]
	return n, nil
}

func (k *kernelBytes) CopyIn(p []byte) (int, error) {
	n := copy(p, k.b)
	k.b = k.b[n:]
	return n, nil
}
