package inet

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs/vfstest"
)

func option(t *testing.T, s *packet, name int, words ...uint32) {
	t.Helper()
	var v []byte
	for _, w := range words {
		v = binary.NativeEndian.AppendUint32(v, w)
	}
	if err := s.SetOption(vfstest.New(), unix.SOL_PACKET, name, v); err != nil {
		t.Fatalf("option %d: %v", name, err)
	}
}

// datagrams sends n of them to itself, each of one byte more.
func sendDatagrams(t *testing.T, n int) {
	t.Helper()
	c := vfstest.New()
	o, err := newSocket(c, unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := o.(*udp)
	defer s.Release(nil)
	a := AddrPort{IP: loopback4}
	if err := s.Bind(c, a.raw(unix.AF_INET)); err != nil {
		t.Fatal(err)
	}
	to, err := s.Name()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b := mm.KernelBuffer(make([]byte, i))
		if _, err := s.Send(c, &b, &socket.Message{Name: to}, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRingsShowWhatHappensOnLo(t *testing.T) {
	for layout := range 3 {
		o, err := newPacket(vfstest.New(), unix.SOCK_RAW, int(unix.ETH_P_IP>>8|unix.ETH_P_IP&0xff<<8))
		if err != nil {
			t.Fatal(err)
		}
		s := o.(*packet)
		option(t, s, unix.PACKET_VERSION, uint32(layout))
		words := []uint32{4096, 4, 2048, 8}
		if layout == layout3 {
			words = append(words, 1000, 0, 0)
		}
		option(t, s, unix.PACKET_RX_RING, words...)
		sendDatagrams(t, 5)
		s.retireBlock()
		p := make([]byte, 4*4096)
		b := mm.KernelBuffer(p)
		if _, err := s.ringMemory.ReadAt(&b, 0, uint64(len(p))); err != nil {
			t.Fatal(err)
		}
		le := binary.NativeEndian
		frame := p
		if layout == layout3 {
			if n := le.Uint32(p[12:]); n != 5 || le.Uint32(p[8:])&statusUser == 0 {
				t.Fatalf("a block of %d packets, status %#x", n, le.Uint32(p[8:]))
			}
			frame = p[le.Uint32(p[16:]):]
		}
		for i := range 5 {
			var status, length, snap uint32
			var mac, network uint16
			switch layout {
			case layout1:
				status, length, snap, mac, network = le.Uint32(frame), le.Uint32(frame[8:]), le.Uint32(frame[12:]), le.Uint16(frame[16:]), le.Uint16(frame[18:])
			case layout2:
				status, length, snap, mac, network = le.Uint32(frame), le.Uint32(frame[4:]), le.Uint32(frame[8:]), le.Uint16(frame[12:]), le.Uint16(frame[14:])
			case layout3:
				status, length, snap, mac, network = le.Uint32(frame[20:]), le.Uint32(frame[16:]), le.Uint32(frame[12:]), le.Uint16(frame[24:]), le.Uint16(frame[26:])
			}
			if status&statusUser == 0 || length != uint32(42+i) || snap != length || network != mac+14 || frame[network] != 0x45 {
				t.Fatalf("layout %d, frame %d: status %#x length %d snap %d at %d and %d", layout, i, status, length, snap, mac, network)
			}
			if layout == layout3 {
				frame = frame[le.Uint32(frame):]
			} else {
				frame = frame[2048:]
			}
		}
		sendDatagrams(t, 100)
		var v [12]byte
		if _, err := s.Option(nil, unix.SOL_PACKET, unix.PACKET_STATISTICS, v[:]); err != nil {
			t.Fatal(err)
		}
		if seen, drops := le.Uint32(v[:]), le.Uint32(v[4:]); seen != 105 || drops == 0 || drops >= 100 {
			t.Errorf("layout %d: %d packets, %d dropped", layout, seen, drops)
		}
		s.Release(nil)
	}
	if lo.taps.Load() != nil {
		t.Error("somebody still looks at lo")
	}
}

func TestFanoutSharesFrames(t *testing.T) {
	var all [3]*packet
	for i := range all {
		o, err := newPacket(vfstest.New(), unix.SOCK_DGRAM, int(unix.ETH_P_IP>>8|unix.ETH_P_IP&0xff<<8))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = o.(*packet)
		option(t, all[i], unix.PACKET_FANOUT, 7|fanoutTurn<<16)
	}
	sendDatagrams(t, 30)
	for i, s := range all {
		n := 0
		for f := s.head; f != nil; f = f.next {
			n++
		}
		if n != 10 {
			t.Errorf("member %d has %d", i, n)
		}
		s.Release(nil)
	}
	if len(fanouts) != 0 {
		t.Error("the group is still there")
	}
}
