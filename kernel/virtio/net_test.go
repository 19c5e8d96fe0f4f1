package virtio

import (
	"encoding/binary"
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

func openNet(t *testing.T, features uint64) (*fake, *Net) {
	t.Helper()
	dev, n, err := tryNet(t, features)
	if err != nil {
		t.Fatal(err)
	}
	return dev, n
}

func tryNet(t *testing.T, features uint64) (*fake, *Net, error) {
	dev := newFake(KindNet, features|netMAC, []byte{2, 1, 2, 3, 4, 5})
	dev.maxQueue = 256
	dev.handle = func(int) {}
	n, err := OpenNet(dev)
	if err != nil {
		return nil, nil, err
	}
	dev.irq = func() {} // the test calls service
	t.Cleanup(func() {
		dev.running.Wait()
		for _, pages := range [][]cpu.PhysAddr{n.rx.buffers[:], n.tx.pages} {
			for _, pa := range pages {
				if pa != 0 {
					cpu.FreeFrames([]cpu.PhysAddr{pa})
				}
			}
		}
		for i := range n.tx.slots {
			cpu.FreeFrames(n.tx.slots[i].pages[:n.tx.slots[i].n])
		}
		for _, q := range []*Queue{n.rx.q, n.tx.q} {
			for _, table := range q.tables {
				if table != 0 {
					cpu.FreeFrames([]cpu.PhysAddr{table})
				}
			}
		}
	})
	return dev, n, nil
}

func TestNetCarriesFramesBothWays(t *testing.T) {
	for _, m := range modes {
		dev, n := openNet(t, m.features|netMergeable|netCsum)
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
	dev, n := openNet(t, featureEventIdx)
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

// FuzzNet has a device that writes what it likes into rings and buffers.
func FuzzNet(f *testing.F) {
	f.Add([]byte{0, 60, 1, 0, 0, 12, 3, 9, 0, 255, 2, 4}, uint8(3))
	f.Add([]byte{0, 11, 4, 200, 0, 60, 2, 1, 2, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, script []byte, mode uint8) {
		dev, n, err := tryNet(t, uint64(mode&3)<<28|netMergeable|netCsum|netGuestCsum|netGuestTSO4)
		if err != nil {
			t.Skip(err) // rings are never freed: a long run uses the fake memory up
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
