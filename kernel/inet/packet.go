package inet

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// packet is a socket of packet(7): it sees the frames of the Links, and what
// is shown of lo (looptap.go).
type packet struct {
	sock
	tap Tap

	// Guarded by net.
	protocol uint16 // big-endian value, as a number of the host
	index    int
	tapped   []*Interface

	mu         sync.Mutex
	head, tail *frame
	cost       int
	seen       uint32
	drops      uint32
	auxdata    bool
	origin     bool
	loss       bool
	noOutgoing bool
	stamp      int32

	// Of rings (ring.go).
	layout, reserve int
	rx, tx          *ring
	ringMemory      *mm.PageCache
	retire          *clock.Timer
	freezes         uint32

	group atomic.Pointer[fanout]
}

// frame is one that a packet socket has received.
type frame struct {
	next *frame
	data []byte
	full int      // its length before the socket's filter cut it
	mac  int      // the length of its first header
	name [20]byte // struct sockaddr_ll
	time int64
}

const (
	sockaddrLL   = 20
	ethernetSize = 14
)

func newPacket(c vfs.Caller, typ, protocol int) (socket.Socket, error) {
	if !c.Cred().Has(unix.CAP_NET_RAW) {
		return nil, unix.EPERM
	}
	switch typ {
	case unix.SOCK_RAW, unix.SOCK_DGRAM, unix.SOCK_PACKET:
	default:
		return nil, unix.ESOCKTNOSUPPORT
	}
	s := &packet{}
	s.init(c, unix.AF_PACKET, typ, protocol)
	s.tap.See = s.see
	s.protocol = uint16(protocol)<<8 | uint16(protocol)>>8
	net.Lock()
	packets = append(packets, s)
	s.listen()
	net.Unlock()
	return s, nil
}

// listen makes the socket see what its protocol and interface say. net is held.
func (s *packet) listen() {
	for _, i := range s.tapped {
		i.RemoveTap(&s.tap)
	}
	s.tapped = nil
	if s.protocol == 0 {
		return
	}
	for _, n := range Interfaces() {
		if s.index == 0 || s.index == n.Index {
			n.Interface.AddTap(&s.tap)
			s.tapped = append(s.tapped, n.Interface)
		}
	}
}

// see is given every frame.
func (s *packet) see(i *Interface, f *Frame, sent bool) {
	n := f.Len()
	if n < ethernetSize || len(f.Pieces[0]) < ethernetSize {
		return
	}
	h := f.Pieces[0]
	proto := binary.BigEndian.Uint16(h[12:])
	if s.protocol != unix.ETH_P_ALL && (proto != s.protocol || sent) {
		return
	}
	if g := s.group.Load(); g != nil {
		if s = g.choose(s, h); s == nil {
			return
		}
	}
	e := &frame{data: make([]byte, 0, n), mac: ethernetSize}
	for _, p := range f.Pieces {
		e.data = append(e.data, p...)
	}
	e.name[0] = unix.AF_PACKET
	copy(e.name[2:], h[12:14])
	binary.NativeEndian.PutUint32(e.name[4:], uint32(i.Index))
	binary.NativeEndian.PutUint16(e.name[8:], hardwareEther)
	var hw [6]byte
	if i.Link != nil {
		hw = i.Link.Address()
	} else {
		binary.NativeEndian.PutUint16(e.name[8:], hardwareLoop)
	}
	switch {
	case sent:
		e.name[10] = unix.PACKET_OUTGOING
	case h[0]&1 != 0:
		e.name[10] = unix.PACKET_MULTICAST
		if string(h[:6]) == "\xff\xff\xff\xff\xff\xff" {
			e.name[10] = unix.PACKET_BROADCAST
		}
	case string(h[:6]) != string(hw[:]):
		e.name[10] = unix.PACKET_OTHERHOST
	}
	e.name[11] = 6
	copy(e.name[12:], h[6:12])
	e.time = clock.Realtime()
	if s.Type == unix.SOCK_DGRAM {
		e.data, e.mac = e.data[ethernetSize:], 0
	}
	e.full = len(e.data)
	if s.Filtered() {
		k := socket.Packet{
			Data: e.data, Network: e.mac, Protocol: proto, Kind: e.name[10], Device: i.Index,
			Hardware: binary.NativeEndian.Uint16(e.name[8:]),
		}
		keep := s.Keep(&k)
		if keep == 0 {
			return
		}
		e.data = e.data[:keep]
	}
	n = len(e.data)
	s.mu.Lock()
	if s.noOutgoing && sent {
		s.mu.Unlock()
		return
	}
	s.seen++
	if s.rx != nil {
		if !s.store(e, e.mac) {
			s.drops++
		}
		told := s.ringReady()
		s.mu.Unlock()
		if told {
			s.queue.Notify(wait.Readable)
		}
		return
	}
	if s.cost+n+overhead > int(s.RecvBuffer.Load()) {
		s.drops++
		s.mu.Unlock()
		return
	}
	s.cost += n + overhead
	if s.tail != nil {
		s.tail.next = e
	} else {
		s.head = e
	}
	s.tail = e
	s.mu.Unlock()
	s.queue.Notify(wait.Readable)
}

// Bind chooses an interface and a protocol.
func (s *packet) Bind(_ vfs.Caller, raw []byte) error {
	if s.Type == unix.SOCK_PACKET {
		if len(raw) != 16 {
			return unix.EINVAL
		}
		i := ByName(text(raw[2:16]))
		if i == nil {
			return unix.ENODEV
		}
		net.Lock()
		defer net.Unlock()
		s.index = i.Index
		s.listen()
		return nil
	}
	if len(raw) < sockaddrLL || binary.NativeEndian.Uint16(raw) != unix.AF_PACKET {
		return unix.EINVAL
	}
	index := int(int32(binary.NativeEndian.Uint32(raw[4:])))
	if index != 0 && ByIndex(index) == nil {
		return unix.ENODEV
	}
	net.Lock()
	defer net.Unlock()
	s.index = index
	if p := binary.BigEndian.Uint16(raw[2:]); p != 0 {
		s.protocol = p
	}
	s.listen()
	return nil
}

// Name returns where it is bound.
func (s *packet) Name() ([]byte, error) {
	net.Lock()
	defer net.Unlock()
	p := make([]byte, sockaddrLL)
	p[0] = unix.AF_PACKET
	binary.BigEndian.PutUint16(p[2:], s.protocol)
	binary.NativeEndian.PutUint32(p[4:], uint32(s.index))
	if i := ByIndex(s.index); i != nil {
		binary.NativeEndian.PutUint16(p[8:], hardwareLoop)
		p[11] = 6
		if i != lo {
			binary.NativeEndian.PutUint16(p[8:], hardwareEther)
			hw := i.Snapshot().Hardware
			copy(p[12:], hw[:])
		}
	}
	return p[:12+int(p[11])], nil
}

// Connect, Listen, Accept, PeerName and Shutdown are not for packet sockets.
func (s *packet) Connect(vfs.Caller, []byte, bool) error { return unix.EOPNOTSUPP }

// Listen is described at Connect.
func (s *packet) Listen(vfs.Caller, int) error { return unix.EOPNOTSUPP }

// Accept is described at Connect.
func (s *packet) Accept(vfs.Caller, bool) (socket.Socket, error) { return nil, unix.EOPNOTSUPP }

// PeerName is described at Connect.
func (s *packet) PeerName() ([]byte, error) { return nil, unix.EOPNOTSUPP }

// Shutdown is described at Connect.
func (s *packet) Shutdown(int) error { return unix.EOPNOTSUPP }

// Send sends a frame; a SOCK_DGRAM socket's lacks the header.
func (s *packet) Send(_ vfs.Caller, b *mm.Buffer, m *socket.Message, _ int) (int, error) {
	net.Lock()
	index, proto := s.index, s.protocol
	net.Unlock()
	var to [6]byte
	if m != nil && m.Name != nil {
		if s.Type == unix.SOCK_PACKET {
			return 0, unix.EOPNOTSUPP
		}
		if len(m.Name) < 12 {
			return 0, unix.EINVAL
		}
		if p := binary.BigEndian.Uint16(m.Name[2:]); p != 0 {
			proto = p
		}
		index = int(int32(binary.NativeEndian.Uint32(m.Name[4:])))
		copy(to[:], m.Name[12:])
	}
	i := ByIndex(index)
	if i == nil {
		return 0, unix.ENXIO
	}
	s.mu.Lock()
	ring := s.tx != nil
	s.mu.Unlock()
	if ring {
		return s.sendRing(i, to, proto)
	}
	at := 0
	if s.Type == unix.SOCK_DGRAM {
		at = ethernetSize
	}
	n := b.Len()
	if n+at > i.Snapshot().MTU+ethernetSize {
		return 0, unix.EMSGSIZE
	}
	p := make([]byte, at+n)
	if k, err := b.CopyIn(p[at:]); err != nil || k < n {
		return 0, unix.EFAULT
	}
	if at > 0 {
		fillEthernet(p, i, to, proto)
	} else if n < ethernetSize {
		return 0, unix.EINVAL
	}
	if i == lo {
		return n, nil // there is nobody to see it
	}
	return n, i.SendFrame(p)
}

// fillEthernet writes the header of a frame.
func fillEthernet(p []byte, i *Interface, to [6]byte, proto uint16) {
	hw := i.Snapshot().Hardware
	copy(p, to[:])
	copy(p[6:], hw[:])
	binary.BigEndian.PutUint16(p[12:], proto)
}

// Mmap gives the memory of the rings.
func (s *packet) Mmap(*vfs.File) (*mm.PageCache, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rx == nil && s.tx == nil {
		return nil, unix.EINVAL
	}
	return s.ringMemory, nil
}

// Recv returns the next frame.
func (s *packet) Recv(_ vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EINVAL
	}
	if flags&unix.MSG_ERRQUEUE != 0 {
		return 0, unix.EAGAIN
	}
	if err := s.TakeError(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.head
	if f == nil {
		return 0, unix.EAGAIN
	}
	n, err := b.CopyOut(f.data)
	if err != nil {
		return 0, err
	}
	if m != nil {
		m.Name = append([]byte(nil), f.name[:18]...)
		if n < len(f.data) {
			m.Flags |= unix.MSG_TRUNC
		}
		if s.stamps() {
			m.Control = s.appendTime(m.Control, f.time)
		}
		if s.auxdata {
			var v [20]byte // struct tpacket_auxdata
			binary.NativeEndian.PutUint32(v[:], unix.TP_STATUS_USER)
			binary.NativeEndian.PutUint32(v[4:], uint32(f.full))
			binary.NativeEndian.PutUint32(v[8:], uint32(len(f.data)))
			binary.NativeEndian.PutUint16(v[14:], uint16(f.mac))
			m.Control = appendControl(m.Control, unix.SOL_PACKET, unix.PACKET_AUXDATA, v[:])
		}
	}
	if flags&unix.MSG_TRUNC != 0 {
		n = len(f.data)
	}
	if flags&unix.MSG_PEEK == 0 {
		if s.head = f.next; s.head == nil {
			s.tail = nil
		}
		s.cost -= len(f.data) + overhead
	}
	return n, nil
}

// Read and Write are Recv and Send without anything beside the data.
func (s *packet) Read(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	return s.Recv(c, b, nil, 0)
}

// Write is described at Read.
func (s *packet) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n, err := s.Send(c, b, nil, 0)
	return n, 0, err
}

// Poll reports data, errors, and that there is always room.
func (s *packet) Poll(*vfs.File) wait.Events {
	ev := wait.Writable | wait.WrBand
	s.mu.Lock()
	if s.head != nil || s.rx != nil && s.ringReady() {
		ev |= wait.Readable
	}
	s.mu.Unlock()
	if s.HasError() {
		ev |= wait.Err
	}
	return ev
}

// Release closes the socket.
func (s *packet) Release(*vfs.File) {
	net.Lock()
	s.protocol = 0
	s.listen()
	s.leaveFanout()
	if k := slices.Index(packets, s); k >= 0 {
		packets = slices.Delete(packets, k, k+1)
	}
	net.Unlock()
	s.mu.Lock()
	memory, retire := s.ringMemory, s.retire
	s.rx, s.tx, s.ringMemory, s.head, s.tail = nil, nil, nil, nil, nil
	s.mu.Unlock()
	if retire != nil {
		retire.Stop()
	}
	if memory != nil {
		memory.Release()
	}
}

// Ioctl serves SIOCINQ and the requests of interfaces.
func (s *packet) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	n := 0
	switch request {
	case unix.TIOCINQ:
		s.mu.Lock()
		if s.head != nil {
			n = len(s.head.data)
		}
		s.mu.Unlock()
	case unix.TIOCOUTQ:
	default:
		return s.ioctl(c, request, arg)
	}
	return store32(c, arg, n)
}

// SetOption serves SOL_PACKET.
func (s *packet) SetOption(c vfs.Caller, level, name int, v []byte) error {
	if level == unix.SOL_SOCKET {
		return s.setSocket(c, name, v)
	}
	if level != unix.SOL_PACKET {
		return unix.ENOPROTOOPT
	}
	switch name {
	case unix.PACKET_ADD_MEMBERSHIP, unix.PACKET_DROP_MEMBERSHIP:
		if len(v) < 16 {
			return unix.EINVAL
		}
		i := ByIndex(int(number(v)))
		if i == nil {
			return unix.ENODEV
		}
		if binary.NativeEndian.Uint16(v[4:]) == unix.PACKET_MR_PROMISC {
			flags := uint32(0)
			if name == unix.PACKET_ADD_MEMBERSHIP {
				flags = unix.IFF_PROMISC
			}
			return SetFlags(i, flags, unix.IFF_PROMISC)
		}
		return nil
	}
	if len(v) < 4 {
		return unix.EINVAL
	}
	n := number(v)
	if name == unix.PACKET_FANOUT {
		return s.joinFanout(uint32(n))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ringed := s.rx != nil || s.tx != nil
	switch name {
	case unix.PACKET_RX_RING, unix.PACKET_TX_RING:
		return s.setRing(v, name == unix.PACKET_TX_RING)
	case unix.PACKET_VERSION:
		if n < layout1 || n > layout3 {
			return unix.EINVAL
		}
		if ringed {
			return unix.EBUSY
		}
		s.layout = int(n)
	case unix.PACKET_RESERVE:
		if n < 0 {
			return unix.EINVAL
		}
		if ringed {
			return unix.EBUSY
		}
		if n > 1<<20 {
			return unix.EINVAL
		}
		s.reserve = int(n)
	case unix.PACKET_LOSS:
		if ringed {
			return unix.EBUSY
		}
		s.loss = n != 0
	case unix.PACKET_AUXDATA:
		s.auxdata = n != 0
	case unix.PACKET_ORIGDEV:
		s.origin = n != 0
	case unix.PACKET_IGNORE_OUTGOING:
		if n < 0 || n > 1 {
			return unix.EINVAL
		}
		s.noOutgoing = n != 0
	case unix.PACKET_TIMESTAMP:
		s.stamp = n
	case unix.PACKET_VNET_HDR:
		if n != 0 {
			return unix.EINVAL
		}
	case unix.PACKET_QDISC_BYPASS, unix.PACKET_COPY_THRESH, unix.PACKET_TX_TIMESTAMP, unix.PACKET_TX_HAS_OFF:
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// Option serves SOL_PACKET.
func (s *packet) Option(_ vfs.Caller, level, name int, v []byte) (int, error) {
	if level == unix.SOL_SOCKET {
		return s.socketOption(name, v)
	}
	if level != unix.SOL_PACKET {
		return 0, unix.ENOPROTOOPT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int32(0)
	switch name {
	case unix.PACKET_STATISTICS:
		var p [12]byte
		size := 8
		binary.NativeEndian.PutUint32(p[:], s.seen)
		binary.NativeEndian.PutUint32(p[4:], s.drops)
		if s.layout == layout3 {
			size = 12
			binary.NativeEndian.PutUint32(p[8:], s.freezes)
		}
		s.seen, s.drops, s.freezes = 0, 0, 0
		return copy(v, p[:size]), nil
	case unix.PACKET_HDRLEN: // of the layout that the program has put there
		if len(v) < 4 {
			return 0, unix.EINVAL
		}
		layout := number(v)
		if layout < layout1 || layout > layout3 {
			return 0, unix.EINVAL
		}
		n = int32(headSize(int(layout)))
	case unix.PACKET_VERSION:
		n = int32(s.layout)
	case unix.PACKET_RESERVE:
		n = int32(s.reserve)
	case unix.PACKET_LOSS:
		n = truth(s.loss)
	case unix.PACKET_AUXDATA:
		n = truth(s.auxdata)
	case unix.PACKET_ORIGDEV:
		n = truth(s.origin)
	case unix.PACKET_IGNORE_OUTGOING:
		n = truth(s.noOutgoing)
	case unix.PACKET_TIMESTAMP:
		n = s.stamp
	case unix.PACKET_FANOUT:
		if g := s.group.Load(); g != nil {
			n = int32(g.id) | int32(g.mode)<<16
		}
	case unix.PACKET_VNET_HDR, unix.PACKET_QDISC_BYPASS, unix.PACKET_TX_HAS_OFF:
	default:
		return 0, unix.ENOPROTOOPT
	}
	return socket.PutInt(v, n), nil
}
