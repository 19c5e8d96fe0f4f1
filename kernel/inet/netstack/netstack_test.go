package netstack

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"husk/kernel/inet"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// cable is a Link to another stack.
type cable struct {
	far *channel.Endpoint
	r   inet.Receiver
	few atomic.Bool // its queue is always nearly full
}

func (*cable) Address() [6]byte      { return [6]byte{2, 0, 0, 0, 0, 1} }
func (*cable) MTU() int              { return 1500 }
func (*cable) Queues() int           { return 1 }
func (*cable) Offload() inet.Offload { return inet.Offload{} }
func (*cable) Up() bool              { return true }

func (c *cable) Start(r inet.Receiver) error {
	c.r = r
	go func() {
		for {
			pkt := c.far.ReadContext(context.Background())
			if pkt == nil {
				return
			}
			v := pkt.ToView()
			c.r.Receive(0, []inet.Frame{{Pieces: [][]byte{v.AsSlice()}}})
			v.Release()
			pkt.DecRef()
		}
	}()
	return nil
}

func (c *cable) Transmit(_ int, frames []inet.Frame) int {
	if c.few.Load() && len(frames) > 3 {
		frames = frames[:3]
		defer func() { go c.r.Room(0) }()
	}
	for _, f := range frames {
		data := bytes.Join(f.Pieces, nil)
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(data)})
		c.far.InjectInbound(0, pkt)
		pkt.DecRef()
	}
	return len(frames)
}

var (
	ours   = inet.IP4(10, 0, 0, 1)
	theirs = tcpip.AddrFrom4([4]byte{10, 0, 0, 2})
	once   sync.Once
	peer   *stack.Stack
	wire   *cable
)

// network connects this machine with peer.
func network(t *testing.T) *stack.Stack {
	t.Helper()
	once.Do(func() {
		inet.NewStack = New
		inet.Register()
		far := channel.New(1024, 1500, "\x02\x00\x00\x00\x00\x02")
		peer = stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
		})
		if err := peer.CreateNIC(1, ethernet.New(far)); err != nil {
			t.Fatal(err)
		}
		_ = peer.AddProtocolAddress(1, tcpip.ProtocolAddress{
			Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: theirs, PrefixLen: 24},
		}, stack.AddressProperties{})
		peer.SetRouteTable([]tcpip.Route{{Destination: tcpip.AddressWithPrefix{Address: theirs, PrefixLen: 24}.Subnet(), NIC: 1}})
		wire = &cable{far: far}
		i, err := inet.AddLink("eth0", wire)
		if err == nil {
			err = inet.AddAddress(i, inet.Address{IP: ours, Bits: 24})
		}
		if err == nil {
			err = inet.SetUp(i, true)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return peer
}

func open(t *testing.T, typ int) (*vfs.File, socket.Socket) {
	t.Helper()
	f, err := socket.New(vfstest.New(), unix.AF_INET, typ, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := socket.Of(f)
	t.Cleanup(f.Put)
	return f, s
}

func sockaddr(last byte, port uint16) []byte {
	p := make([]byte, 16)
	p[0], p[2], p[3], p[4], p[7] = unix.AF_INET, byte(port>>8), byte(port), 10, last
	return p
}

func send(t *testing.T, f *vfs.File, s socket.Socket, p []byte) {
	t.Helper()
	b := mm.KernelBuffer(p)
	if n, err := socket.Send(vfstest.New(), f, s, &b, &socket.Message{}, 0); n != len(p) || err != nil {
		t.Errorf("sent %d: %v", n, err)
	}
}

func recv(t *testing.T, f *vfs.File, s socket.Socket, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	b := mm.KernelBuffer(p)
	n, err := socket.Recv(vfstest.New(), f, s, &b, &socket.Message{}, unix.MSG_WAITALL)
	if err != nil {
		t.Error(err)
	}
	return p[:n]
}

func TestPeerConnectsToOurListener(t *testing.T) {
	p := network(t)
	f, s := open(t, unix.SOCK_STREAM)
	c := vfstest.New()
	if err := s.Bind(c, sockaddr(1, 80)); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(c, 5); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	done := make(chan error, 1)
	big := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	go func() {
		k, err := gonet.DialContextTCP(ctx, p, tcpip.FullAddress{Addr: tcpip.AddrFromSlice(ours.Bytes()), Port: 80}, ipv4.ProtocolNumber)
		if err == nil {
			_, err = k.Write(big)
		}
		if err == nil {
			_ = k.CloseWrite()
			var back []byte
			if back, err = io.ReadAll(k); err == nil && !bytes.Equal(back, big) {
				err = io.ErrUnexpectedEOF
			}
			k.Close()
		}
		done <- err
	}()
	n, ns, err := socket.Accept(c, f, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Put()
	got := recv(t, n, ns, len(big))
	if !bytes.Equal(got, big) {
		t.Error("other bytes came")
	}
	if rest := recv(t, n, ns, 1); len(rest) != 0 {
		t.Error("more came")
	}
	send(t, n, ns, big)
	if err := ns.Shutdown(unix.SHUT_WR); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	name, err := ns.PeerName()
	if err == nil && !bytes.Equal(name[4:8], []byte{10, 0, 0, 2}) {
		t.Errorf("peer %v %v", name, err)
	}
}

// TestTrainsSurviveAFullQueue has the card take a train of segments in parts.
func TestTrainsSurviveAFullQueue(t *testing.T) {
	p := network(t)
	wire.few.Store(true)
	defer wire.few.Store(false)
	f, s := open(t, unix.SOCK_STREAM)
	c := vfstest.New()
	if err := s.Bind(c, sockaddr(1, 81)); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(c, 5); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	done := make(chan error, 1)
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		k, err := gonet.DialContextTCP(ctx, p, tcpip.FullAddress{Addr: tcpip.AddrFromSlice(ours.Bytes()), Port: 81}, ipv4.ProtocolNumber)
		if err == nil {
			var got []byte
			if got, err = io.ReadAll(k); err == nil && !bytes.Equal(got, big) {
				err = io.ErrUnexpectedEOF
			}
			k.Close()
		}
		done <- err
	}()
	n, ns, err := socket.Accept(c, f, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Put()
	send(t, n, ns, big)
	if err := ns.Shutdown(unix.SHUT_WR); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestListenerServesBothSides(t *testing.T) {
	p := network(t)
	f, s := open(t, unix.SOCK_STREAM)
	c := vfstest.New()
	any := sockaddr(0, 81)
	any[4] = 0
	if err := s.Bind(c, any); err != nil {
		t.Fatal(err)
	}
	_ = s.Listen(c, 5)
	_, in := open(t, unix.SOCK_STREAM)
	if err := in.Connect(c, sockaddr(1, 81), false); err != nil {
		t.Fatal(err)
	}
	n, _, err := socket.Accept(c, f, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.Put()
	go func() {
		if k, err := gonet.DialTCP(p, tcpip.FullAddress{Addr: tcpip.AddrFromSlice(ours.Bytes()), Port: 81}, ipv4.ProtocolNumber); err == nil {
			k.Close()
		}
	}()
	n, ns, err := socket.Accept(c, f, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := recv(t, n, ns, 1); len(got) != 0 {
		t.Error(got)
	}
	n.Put()
}

func TestConnectingOut(t *testing.T) {
	p := network(t)
	l, err := gonet.ListenTCP(p, tcpip.FullAddress{Addr: theirs, Port: 7}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		k, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(k, k)
			k.Close()
		}
	}()
	f, s := open(t, unix.SOCK_STREAM)
	c := vfstest.New()
	if err := s.Connect(c, sockaddr(2, 7), false); err != nil {
		t.Fatal(err)
	}
	send(t, f, s, []byte("echo"))
	if got := recv(t, f, s, 4); string(got) != "echo" {
		t.Errorf("%q", got)
	}
	_, s = open(t, unix.SOCK_STREAM)
	if err := s.Connect(c, sockaddr(2, 9), false); err != unix.ECONNREFUSED {
		t.Error(err)
	}
	_, s = open(t, unix.SOCK_STREAM)
	if err := s.Connect(c, []byte{2, 0, 0, 80, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0}, false); err != unix.ENETUNREACH {
		t.Error(err)
	}
}

func TestDatagramsOut(t *testing.T) {
	p := network(t)
	k, err := gonet.DialUDP(p, &tcpip.FullAddress{Addr: theirs, Port: 53}, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	f, s := open(t, unix.SOCK_DGRAM)
	c := vfstest.New()
	b := mm.KernelBuffer([]byte("question"))
	if n, err := socket.Send(c, f, s, &b, &socket.Message{Name: sockaddr(2, 53)}, 0); n != 8 || err != nil {
		t.Fatal(n, err)
	}
	q := make([]byte, 100)
	n, from, err := k.ReadFrom(q)
	if err != nil || string(q[:n]) != "question" {
		t.Fatal(n, err)
	}
	if _, err := k.WriteTo([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	var m socket.Message
	b = mm.KernelBuffer(q)
	n, err = socket.Recv(c, f, s, &b, &m, 0)
	if err != nil || string(q[:n]) != "answer" || !bytes.Equal(m.Name[4:8], []byte{10, 0, 0, 2}) {
		t.Error(n, err, m.Name)
	}
}
