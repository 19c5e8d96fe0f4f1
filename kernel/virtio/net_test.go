package virtio

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"husk/kernel/cpu"
	"husk/kernel/inet"
)

// sink is a receiver that keeps copies of what it is given.
type sink struct {
	frames []string
	room   int
}

func (s *sink) Receive(_ int, frames []inet.Frame) {
	for i := range frames {
		b := ""
		for _, p := range frames[i].Pieces {
			b += string(p)
		}
		s.frames = append(s.frames, b)
	}
}
func (s *sink) Room(int)     { s.room++ }
func (s *sink) Carrier(bool) {}

func someNet(t *testing.T, features uint64, pairs int) (*fake, *Net) {
	t.Helper()
	dev, n, err := tryNet(t, features, pairs)
	if err != nil {
		t.Fatal(err)
	}
	return dev, n
}

// ringRegion is where the rings of these tests' cards lie: rings are never
// freed, and a fuzzer opens cards without end.
var ringRegion struct {
	once sync.Once
	pa   cpu.PhysAddr
}

const ringPages = 64

func useRingRegion(t *testing.T) {
	t.Helper()
	ringRegion.once.Do(func() {
		pa, ok := cpu.AllocContiguous(ringPages)
		if !ok {
			t.Fatal("no memory")
		}
		ringRegion.pa = pa
	})
	clear(bytesAt(ringRegion.pa, ringPages*cpu.PageSize))
	dma.mu.Lock()
	next, left := dma.next, dma.left
	dma.next, dma.left = ringRegion.pa, ringPages*cpu.PageSize
	dma.mu.Unlock()
	t.Cleanup(func() {
		dma.mu.Lock()
		dma.next, dma.left = next, left
		dma.mu.Unlock()
	})
}

// tryNet opens a card. The test is its interrupts: it calls service.
func tryNet(t *testing.T, features uint64, pairs int) (*fake, *Net, error) {
	useRingRegion(t)
	dev := newFake(KindNet, features|netMAC, []byte{2, 1, 2, 3, 4, 5, netLinkUp, 0, 4, 0})
	dev.maxQueue = 256
	dev.handle = func(i int) {
		if i != 2*4 {
			return
		}
		for c, ok := dev.queues[i].pop(); ok; c, ok = dev.queues[i].pop() {
			if string(c.read()) == string([]byte{netClassQueues, netSetPairs, byte(pairs), 0}) {
				c.write([]byte{netOK})
			}
			dev.queues[i].push(c)
		}
	}
	n, err := openNet(dev, pairs)
	if err != nil {
		return nil, nil, err
	}
	dev.irq = func() {}
	t.Cleanup(func() {
		dev.running.Wait()
		free := func(pages []cpu.PhysAddr) {
			for _, pa := range pages {
				if pa != 0 {
					cpu.FreeFrames([]cpu.PhysAddr{pa})
				}
			}
		}
		queues := []*Queue{n.control}
		for i := range n.pairs {
			p := &n.pairs[i]
			if p.wake != nil {
				close(p.wake)
			}
			// Who serves the pair has it locked.
			p.rx.mu.Lock()
			free(p.rx.buffers[:])
			p.rx.receiver = nil
			p.rx.mu.Unlock()
			free(p.tx.pages)
			for k := range p.tx.slots {
				free(p.tx.slots[k].pages[:p.tx.slots[k].n])
			}
			queues = append(queues, p.rx.q, p.tx.q)
		}
		for _, q := range queues {
			if q != nil {
				free(q.tables)
			}
		}
	})
	return dev, n, nil
}

func TestNetCarriesFramesBothWays(t *testing.T) {
	for _, m := range modes {
		dev, n := someNet(t, m.features|netMergeable|netCsum, 1)
		s := &sink{}
		if err := n.Start(s); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 9000)
		for i := range body {
			body[i] = byte(i * 7)
		}
		if got := n.Transmit(0, []inet.Frame{{Pieces: [][]byte{body[:14], body[14:]}, Partial: true, Start: 34, Offset: 16}}); got != 1 {
			t.Fatalf("%s: %d frames taken", m.name, got)
		}
		c, ok := dev.queues[1].pop()
		if !ok {
			t.Fatalf("%s: nothing sent", m.name)
		}
		all := c.read()
		if string(all[netHeader:]) != string(body) || all[0] != netNeedsCsum || all[6] != 34 || all[8] != 16 {
			t.Errorf("%s: sent %d bytes, header %v", m.name, len(all), all[:netHeader])
		}
		dev.queues[1].push(c)
		// The same comes back in as many buffers as it needs.
		clear(all[:netHeader])
		binary.LittleEndian.PutUint16(all[10:], 3)
		for len(all) > 0 {
			c, ok := dev.queues[0].pop()
			if !ok {
				t.Fatalf("%s: no buffer", m.name)
			}
			all = all[c.write(all):]
			dev.queues[0].push(c)
		}
		n.service()
		if len(s.frames) != 1 || s.frames[0] != string(body) {
			t.Errorf("%s: received %d frames", m.name, len(s.frames))
		}
	}
}

func TestNetTellsOfRoom(t *testing.T) {
	dev, n := someNet(t, featureEventIdx, 1)
	s := &sink{}
	if err := n.Start(s); err != nil {
		t.Fatal(err)
	}
	frame := []inet.Frame{{Pieces: [][]byte{make([]byte, 60)}}}
	sent := 0
	for n.Transmit(0, frame) == 1 {
		if sent++; sent > netRing {
			t.Fatal("the ring has no end")
		}
	}
	for {
		c, ok := dev.queues[1].pop()
		if !ok {
			break
		}
		dev.queues[1].push(c)
	}
	n.service()
	if s.room != 1 || n.Transmit(0, frame) != 1 {
		t.Errorf("told %d times after %d frames", s.room, sent)
	}
}

// counter is a receiver that counts the frames of each queue.
type counter struct {
	got     [4]atomic.Int32
	arrived chan int
}

func (c *counter) Receive(q int, frames []inet.Frame) {
	c.got[q].Add(int32(len(frames)))
	c.arrived <- q
}
func (*counter) Room(int)     {}
func (*counter) Carrier(bool) {}

func TestNetServesAllItsQueues(t *testing.T) {
	dev, n := someNet(t, featureEventIdx|netMergeable|netControl|netQueues, 3)
	if n.Queues() != 3 {
		t.Fatalf("%d pairs of queues", n.Queues())
	}
	c := &counter{arrived: make(chan int, 16)}
	if err := n.Start(c); err != nil {
		t.Fatal(err)
	}
	for q := range 3 {
		if n.Transmit(q, []inet.Frame{{Pieces: [][]byte{make([]byte, 60+q)}}}) != 1 {
			t.Fatal("not sent")
		}
		out, ok := dev.queues[2*q+1].pop()
		if !ok || len(out.read()) != netHeader+60+q {
			t.Fatalf("queue %d: sent elsewhere", q)
		}
		dev.queues[2*q+1].push(out)
		in, ok := dev.queues[2*q].pop()
		if !ok {
			t.Fatalf("queue %d has no buffers", q)
		}
		frame := make([]byte, netHeader+60)
		frame[10] = 1
		in.write(frame)
		dev.queues[2*q].push(in)
		n.service()
		if got := <-c.arrived; got != q {
			t.Errorf("a frame of queue %d arrived by %d", q, got)
		}
	}
}

func TestNetThatBreaksIsToldOfOnce(t *testing.T) {
	dev, n := someNet(t, featureEventIdx, 1)
	told := make(chan bool, 4)
	n.Broken = func() { told <- true }
	if err := n.Start(&sink{}); err != nil {
		t.Fatal(err)
	}
	dev.queues[0].pushRaw(4000, 1)
	for range 3 {
		n.service()
	}
	<-told
	if n.Transmit(0, []inet.Frame{{Pieces: [][]byte{make([]byte, 60)}}}) != 1 || len(told) > 0 {
		t.Error("told again")
	}
}

// FuzzNet has a device that writes what it likes into rings and buffers.
func FuzzNet(f *testing.F) {
	f.Add([]byte{0, 60, 1, 0, 0, 12, 3, 9, 0, 255, 2, 4}, uint8(3))
	f.Add([]byte{0, 11, 4, 200, 0, 60, 2, 1, 2, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, script []byte, mode uint8) {
		dev, n, err := tryNet(t, uint64(mode&3)<<28|netMergeable|netCsum|netGuestCsum|netGuestTSO4, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(&sink{}); err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(script); i += 2 {
			arg := script[i+1]
			switch script[i] % 5 {
			case 0: // a frame whose header is of the script
				if c, ok := dev.queues[0].pop(); ok {
					c.write(append(append([]byte(nil), script[i:min(i+12, len(script))]...), make([]byte, arg)...))
					dev.queues[0].push(c)
				}
			case 1:
				n.Transmit(0, []inet.Frame{{Pieces: [][]byte{make([]byte, int(arg)*300)}}})
			case 2:
				dev.queues[int(arg&1)].pushRaw(uint32(arg>>1), uint32(arg))
			case 3:
				if c, ok := dev.queues[1].pop(); ok {
					dev.queues[1].push(c)
				}
			case 4:
				n.service()
			}
		}
		n.service()
	})
}
