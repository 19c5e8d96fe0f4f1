package net

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// wire is a network that the test plays itself, and that needs no privilege:
// machines are connected to it by --net socket=PATH. On it are a TCP/IP stack,
// a DHCP server and, if wanted, a router of IPv6.
type wire struct {
	t     *testing.T
	path  string
	stack *stack.Stack
	far   *channel.Endpoint

	// Of 1000 frames so many are lost, and so many come later than those
	// behind them.
	lose, delay int

	// Frames of these ports of the wire's stack are dropped.
	cut map[uint16]bool

	renew    uint32 // seconds after which the DHCP server wants to be asked again
	requests chan bool
	router   bool

	mu    sync.Mutex
	ports []*port
	rand  *rand.Rand

	bytes atomic.Int64 // that machines sent
}

// port is one machine's.
type port struct {
	mu   sync.Mutex
	conn net.Conn
	held []byte
}

var (
	here4   = tcpip.AddrFrom4([4]byte{10, 6, 0, 1})
	here6   = tcpip.AddrFrom16([16]byte{0xfd, 6, 15: 1})
	link6   = tcpip.AddrFrom16([16]byte{0xfe, 0x80, 15: 1})
	hereMAC = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x02")
	offered = [4]byte{10, 6, 0, 50}
)

func newWire(t *testing.T, mtu uint32) *wire {
	t.Helper()
	w := &wire{
		t: t, path: filepath.Join(t.TempDir(), "wire"), renew: 1800, requests: make(chan bool, 100),
		rand: rand.New(rand.NewSource(1)), far: channel.New(4096, mtu, hereMAC),
	}
	w.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	sack := tcpip.TCPSACKEnabled(true)
	if err := w.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		t.Fatal(err)
	}
	if err := w.stack.CreateNIC(1, ethernet.New(w.far)); err != nil {
		t.Fatal(err)
	}
	var routes []tcpip.Route
	for _, a := range []struct {
		protocol tcpip.NetworkProtocolNumber
		address  tcpip.Address
		bits     int
	}{{ipv4.ProtocolNumber, here4, 24}, {ipv6.ProtocolNumber, here6, 64}, {ipv6.ProtocolNumber, link6, 64}} {
		p := tcpip.AddressWithPrefix{Address: a.address, PrefixLen: a.bits}
		if err := w.stack.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: a.protocol, AddressWithPrefix: p}, stack.AddressProperties{}); err != nil {
			t.Fatal(err)
		}
		routes = append(routes, tcpip.Route{Destination: p.Subnet(), NIC: 1})
	}
	w.stack.SetRouteTable(routes)
	l, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		l.Close()
		w.stack.Close()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p := &port{conn: c}
			w.mu.Lock()
			w.ports = append(w.ports, p)
			w.mu.Unlock()
			go w.serve(p)
		}
	}()
	go func() {
		for {
			pkt := w.far.ReadContext(ctx)
			if pkt == nil {
				return
			}
			v := pkt.ToView()
			w.forward(nil, append([]byte(nil), v.AsSlice()...))
			v.Release()
			pkt.DecRef()
		}
	}()
	return w
}

// serve carries what a machine sends.
func (w *wire) serve(p *port) {
	defer p.conn.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(p.conn, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(p.conn, frame); err != nil {
			return
		}
		w.bytes.Add(int64(len(frame)))
		if answer := w.dhcp(frame); answer != nil {
			p.send(answer)
			continue
		}
		if w.router && solicits(frame) {
			p.send(advertisement())
		}
		if w.lost(frame) {
			continue
		}
		w.forward(p, frame)
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
		w.far.InjectInbound(0, pkt)
		pkt.DecRef()
	}
}

func (w *wire) lost(frame []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Intn(1000) < w.lose || len(frame) > 38 && frame[23] == 6 && w.cut[binary.BigEndian.Uint16(frame[36:])]
}

// forward gives a frame to all machines but the one it is from.
func (w *wire) forward(from *port, frame []byte) {
	w.mu.Lock()
	list := w.ports
	late := w.rand.Intn(1000) < w.delay
	lost := from == nil && (w.rand.Intn(1000) < w.lose || len(frame) > 38 && frame[23] == 6 && w.cut[binary.BigEndian.Uint16(frame[34:])])
	w.mu.Unlock()
	for _, p := range list {
		if p == from || lost {
			continue
		}
		if late {
			frame = p.hold(frame)
			if frame == nil {
				continue
			}
		}
		p.send(frame)
	}
}

// hold keeps a frame back until the next, or gives the one held before.
func (p *port) hold(frame []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	frame, p.held = p.held, frame
	return frame
}

func (p *port) send(frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range [][]byte{frame, p.held} {
		if f != nil {
			_, _ = p.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...))
		}
	}
	p.held = nil
}

// dhcp answers a client's message; nil is for other frames.
func (w *wire) dhcp(frame []byte) []byte {
	const at = 14 + 20 + 8
	if len(frame) < at+240 || frame[12] != 8 || frame[13] != 0 || frame[23] != 17 || binary.BigEndian.Uint16(frame[36:]) != 67 {
		return nil
	}
	q := frame[at:]
	kind := byte(0)
	for o := q[240:]; len(o) > 2 && o[0] != 255; o = o[2+int(o[1]):] {
		if o[0] == 53 {
			kind = o[2]
		}
	}
	p := make([]byte, at+240)
	b := p[at:]
	copy(b, q[:240])
	b[0] = 2
	copy(b[16:], offered[:])
	answer := byte(2)
	if kind == 3 {
		answer = 5
		w.requests <- binary.BigEndian.Uint32(q[12:]) != 0 // who has an address renews it
	}
	ip := here4.As4()
	p = append(p, 53, 1, answer, 54, 4, ip[0], ip[1], ip[2], ip[3], 1, 4, 255, 255, 255, 0, 3, 4, ip[0], ip[1], ip[2], ip[3])
	p = append(p, 6, 4, 10, 6, 0, 53, 15, 9, 'w', 'i', 'r', 'e', '.', 't', 'e', 's', 't', 51, 4)
	p = append(binary.BigEndian.AppendUint32(p, 3600), 58, 4)
	p = append(binary.BigEndian.AppendUint32(p, w.renew), 255)
	copy(p, frame[6:12])
	copy(p[6:], hereMAC)
	p[12] = 8
	h := header.IPv4(p[14:])
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(h)), TTL: 64, Protocol: 17, SrcAddr: here4, DstAddr: tcpip.AddrFrom4([4]byte{255, 255, 255, 255}),
	})
	h.SetChecksum(^h.CalculateChecksum())
	header.UDP(p[34:]).Encode(&header.UDPFields{SrcPort: 67, DstPort: 68, Length: uint16(len(p) - 34)})
	return p
}

// solicits reports whether a frame asks for routers.
func solicits(frame []byte) bool {
	return len(frame) > 54 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == 58 && frame[54] == 133
}

// advertisement is the router's, with the prefix fd06::/64 and a name server.
func advertisement() []byte {
	all := tcpip.AddrFrom16([16]byte{0xff, 2, 15: 1})
	body := []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	body = append(body, 1, 1, 2, 0, 0, 0, 0, 2)                               // source link-layer address
	body = append(body, 3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 7, 8, 0, 0, 0, 0) // prefix information
	body = append(body, 0xfd, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)    //
	body = append(body, 25, 3, 0, 0, 0, 0, 7, 8)                              // name server
	body = append(append(body, 0xfd, 6), make([]byte, 13)...)
	body = append(body, 0x35)
	p := make([]byte, 14+40, 14+40+len(body))
	copy(p, "\x33\x33\x00\x00\x00\x01")
	copy(p[6:], hereMAC)
	p[12], p[13] = 0x86, 0xdd
	header.IPv6(p[14:]).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(body)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 255, SrcAddr: link6, DstAddr: all,
	})
	p = append(p, body...)
	m := header.ICMPv6(p[54:])
	m.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: m, Src: link6, Dst: all}))
	return p
}

// echo serves a port of the wire's stack.
func (w *wire) echo(address tcpip.Address, protocol tcpip.NetworkProtocolNumber, port uint16) {
	w.t.Helper()
	l, err := gonet.ListenTCP(w.stack, tcpip.FullAddress{Addr: address, Port: port}, protocol)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// dial connects to the machine that has an address of the DHCP server.
func (w *wire) dial(port uint16) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return gonet.DialContextTCP(ctx, w.stack, tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(offered), Port: port}, ipv4.ProtocolNumber)
}

// reset connects to the machine and resets the connection, with data on its
// way.
func (w *wire) reset(port uint16) {
	w.t.Helper()
	var q waiter.Queue
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	q.EventRegister(&entry)
	ep, err := w.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &q)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := ep.Connect(tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(offered), Port: port}); err != nil {
		if _, ok := err.(*tcpip.ErrConnectStarted); !ok {
			w.t.Fatal(err)
		}
	}
	<-ready
	if _, err := ep.Write(bytes.NewReader([]byte("hello")), tcpip.WriteOptions{}); err != nil {
		w.t.Error(err)
	}
	ep.Abort()
}

// exchange sends n bytes to a port of the machine and expects them back.
func (w *wire) exchange(port uint16, n int) {
	w.t.Helper()
	c, err := w.dial(port)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	data := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(data)
	go func() {
		_, _ = c.Write(data)
		_ = c.CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(back, data) {
		w.t.Errorf("%d bytes came back for %d: %v", len(back), n, err)
	}
}

func (w *wire) tell(port uint16) {
	w.t.Helper()
	c, err := w.dial(port)
	if err != nil {
		w.t.Error(err)
		return
	}
	_, _ = c.Write([]byte("end"))
	c.Close()
}

func TestAddressesAreAskedForAndKept(t *testing.T) {
	w := newWire(t, 1500)
	w.renew, w.router = 1, true
	w.echo(here4, ipv4.ProtocolNumber, 7)
	w.echo(here6, ipv6.ProtocolNumber, 7)
	b := start(t, []string{"--net", "socket=" + w.path, "--mac", "02:00:00:00:00:07", "--hostname", "box"},
		"source:10.6.0.1", "send:tcp:10.6.0.1:7:100000", "send:tcp:[fd06::1]:7:100000", "source:fd06::1",
		"until:/etc/resolv.conf:nameserver fd06::35", "file:/etc/resolv.conf", "file:/etc/hosts", "tcp:9", "until-told")
	if !b.expect("10.6.0.50", "same", "same", "fd06::ff:fe00:7", "there", "nameserver 10.6.0.53; nameserver fd06::35; search wire.test",
		"127.0.0.1\tlocalhost; ::1\tlocalhost ip6-localhost ip6-loopback; 10.6.0.50\tbox", "listening") {
		return
	}
	for range 2 {
		for renewed := false; !renewed; {
			select {
			case renewed = <-w.requests:
			case <-b.ended:
				t.Fatalf("%v: %s", b.cmd.ProcessState, b.stderr.String())
			}
		}
	}
	w.tell(9)
	b.expect("told")
	b.end()
}

func TestMachineWithoutAnAnswerRuns(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody ever answers
	b := start(t, []string{"--net", "socket=" + l.Addr().String()}, "hostname", "tcp:9", "send:tcp:127.0.0.1:9:1000")
	b.expect("husk", "listening", "same")
	b.end()
}

func TestDataSurvivesLossAndReordering(t *testing.T) {
	w := newWire(t, 1500)
	w.lose, w.delay = 50, 100
	b := start(t, []string{"--net", "socket=" + w.path, "--ip", "10.6.0.50/24"}, "tcp:9", "until-told")
	if !b.expect("listening") {
		return
	}
	w.exchange(9, size(200000, 20<<20))
	w.tell(9)
	b.expect("told")
	b.end()
}

// size is n, or more in the nightly run.
func size(n, nightly int) int {
	if os.Getenv("HUSK_NIGHTLY") != "" {
		return nightly
	}
	return n
}

// TestPeersThatMisbehave has one that reads slowly, one that is gone without
// a word, and a storm of resets; the others are served all the same.
func TestPeersThatMisbehave(t *testing.T) {
	w := newWire(t, 1500)
	w.cut = map[uint16]bool{}
	b := start(t, []string{"--net", "socket=" + w.path, "--ip", "10.6.0.50/24"}, "tcp:9", "until-told")
	if !b.expect("listening") {
		return
	}
	gone, err := w.dial(9)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.cut[uint16(gone.LocalAddr().(*net.TCPAddr).Port)] = true
	w.mu.Unlock()
	_, _ = gone.Write([]byte("is anybody there?"))

	slow, err := w.dial(9)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_ = slow.SetDeadline(time.Now().Add(patience))
	data := bytes.Repeat([]byte("slow and steady "), size(4<<20, 64<<20)/16)
	sent := make(chan error, 1)
	go func() {
		_, err := slow.Write(data)
		_ = slow.CloseWrite()
		sent <- err
	}()

	for range size(100, 5000) {
		w.reset(9)
	}
	w.exchange(9, 100000)

	// Nothing of the slow one was read so far: its window was closed.
	back, err := io.ReadAll(slow)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d bytes came back for %d: %v", len(back), len(data), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	w.tell(9)
	b.expect("told")
	b.end()
}

func TestTwoMachinesShareAWire(t *testing.T) {
	w := newWire(t, 1500)
	a := start(t, []string{"--net", "socket=" + w.path, "--ip", "10.6.0.50/24", "--ip", "fd06::50"}, "tcp:9", "udp:9", "until-told")
	if !a.expect("listening", "listening") {
		return
	}
	b := start(t, []string{"--net", "socket=" + w.path, "--ip", "10.6.0.51/24", "--ip", "fd06::51", "--machine", "q35"},
		"send:tcp:10.6.0.50:9:300000", "send:udp:10.6.0.50:9:3", "send:tcp:[fd06::50]:9:300000", "send:udp:[fd06::50]:9:3")
	b.expect("same", "same", "same", "same")
	b.end()
	w.tell(9)
	a.expect("told")
	a.end()
}
