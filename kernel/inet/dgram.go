package inet

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// The kinds of sockets that take datagrams.
const (
	kindUDP = iota
	kindPing
	kindRaw
)

// udp is a socket of UDP, a ping socket (icmp(7)) or a raw one (raw(7)).
type udp struct {
	sock
	kind int

	// out is the part outside of the machine, made when it is first needed.
	// Guarded by net; hasOut says that there is one.
	out    Endpoint
	hasOut atomic.Bool
	conn   atomic.Bool // connected; the address is in remote
	groups []group     // guarded by net

	mu         sync.Mutex
	head, tail *datagram
	cost       int // of what waits, as RecvBuffer counts it
	drops      uint64
	errs       []*failed
	cork       []byte // what MSG_MORE and UDP_CORK hold back
	corked     atomic.Bool
	corkTo     AddrPort

	filter atomic.Uint32 // ICMP_FILTER
}

// A datagram is one that was received inside the machine.
type datagram struct {
	next     *datagram
	from     AddrPort
	to       IP
	device   int
	ttl, tos int
	port     uint16 // to which it was sent
	time     int64
	data     []byte
	room     [datagramRoom]byte
}

// datagramRoom is the size of a datagram that has its memory with it.
const datagramRoom = 1536

var datagrams = sync.Pool{New: func() any { return new(datagram) }}

func newDatagram(n int) *datagram {
	d := datagrams.Get().(*datagram)
	if n <= datagramRoom {
		d.data = d.room[:n]
	} else {
		d.data = make([]byte, n)
	}
	return d
}

// like gives d everything of o but its data.
func (d *datagram) like(o *datagram) {
	d.from, d.to, d.port, d.device, d.ttl, d.tos = o.from, o.to, o.port, o.device, o.ttl, o.tos
}

func (d *datagram) free() {
	d.next, d.data = nil, nil
	datagrams.Put(d)
}

// overhead is what Linux counts for a datagram beside its data.
const overhead = 768

// A failed is an entry of the error queue (IP_RECVERR).
type failed struct {
	errno  unix.Errno
	origin byte // SO_EE_ORIGIN_*
	typ    byte
	code   byte
	to     AddrPort // where the datagram went
	from   AddrPort // who says so
	data   []byte
}

// Bind serves bind(2).
func (s *udp) Bind(c vfs.Caller, raw []byte) error {
	a, err := s.parseBind(c, raw)
	if err != nil {
		return err
	}
	if s.kind == kindUDP {
		if err := mayUse(c, a.Port); err != nil {
			return err
		}
	}
	net.Lock()
	defer net.Unlock()
	if s.kind == kindRaw {
		s.local = AddrPort{IP: a.IP, Scope: a.Scope}
		s.bound = !a.IP.Any()
		return s.bindOut()
	}
	if s.port != nil {
		return unix.EINVAL
	}
	if err := s.space().bind(&s.sock, nil, s, a, a.Port != 0); err != nil {
		return err
	}
	s.bound = !a.IP.Any()
	s.lockPort = a.Port != 0
	if err := s.bindOut(); err != nil {
		s.space().remove(s.port)
		s.port = nil
		return err
	}
	return nil
}

// space is where the socket's ports are; those of ping sockets, which are the
// identifiers of echo requests, are a space of their own.
func (s *udp) space() *ports {
	if s.kind == kindPing {
		return &pings
	}
	return &net.udp
}

// pings is guarded by net.
var pings ports

// autobind gives the socket a port. net is held.
func (s *udp) autobind() error {
	if s.port != nil || s.kind == kindRaw {
		return nil
	}
	if err := s.space().bind(&s.sock, nil, s, AddrPort{IP: s.local.IP}, false); err != nil {
		return unix.EAGAIN
	}
	return s.bindOut()
}

// bindOut makes the outside part of a socket that can hear from there.
// net is held.
func (s *udp) bindOut() error {
	if s.local.IP.Loopback() || s.hasOut.Load() || s.device.Load() == int32(lo.Index) {
		return nil
	}
	st := theStack()
	if st == nil {
		return nil
	}
	e, err := st.Open(s.Protocol, s.v6, s.kind == kindRaw, &s.queue)
	if err != nil {
		return err
	}
	s.pass(e)
	a := s.local
	if a.IP.Multicast() || isBroadcast(&a.IP) {
		a.IP = s.anyIP()
	}
	if err := e.Bind(a, int(s.device.Load())); err != nil {
		e.Close(false)
		return err
	}
	s.out = e
	s.hasOut.Store(true)
	return nil
}

// Connect serves connect(2): it fixes where the socket sends to and receives
// from.
func (s *udp) Connect(_ vfs.Caller, raw []byte, _ bool) error {
	if len(raw) < 2 {
		return unix.EINVAL
	}
	family := binary.NativeEndian.Uint16(raw)
	if family == unix.AF_UNSPEC {
		net.Lock()
		s.disconnect()
		net.Unlock()
		return nil
	}
	to, err := s.destination(raw)
	if err != nil {
		return err
	}
	s.wildcard(&to)
	if isBroadcast(&to.IP) && !s.Flag(unix.SO_BROADCAST) {
		return unix.EACCES
	}
	w, err := s.find6(&to)
	if err != nil {
		return err
	}
	net.Lock()
	defer net.Unlock()
	if err := s.autobind(); err != nil {
		return err
	}
	if s.local.IP.Any() {
		s.local.IP = w.source
		if s.port != nil {
			s.port.local.IP = w.source
		}
	} else if s.local.IP.Is4() != to.IP.Is4() {
		return unix.ENETUNREACH
	}
	s.remote = to
	if s.port != nil {
		s.port.remote = to
	}
	s.conn.Store(true)
	if s.hasOut.Load() && !w.inside {
		if err := s.out.Connect(to); err != nil {
			return err
		}
	}
	return nil
}

// disconnect undoes Connect. net is held.
func (s *udp) disconnect() {
	s.conn.Store(false)
	s.remote = AddrPort{IP: s.anyIP()}
	if s.hasOut.Load() {
		_ = s.out.Disconnect()
	}
	if !s.bound {
		s.local.IP = s.anyIP()
	}
	if s.port == nil {
		return
	}
	s.port.remote = AddrPort{}
	s.port.local.IP = s.local.IP
	if s.lockPort {
		return
	}
	s.space().remove(s.port)
	s.port = nil
	s.local.Port = 0
	s.closeOut()
}

func (s *udp) closeOut() {
	if s.hasOut.Load() {
		s.hasOut.Store(false)
		s.out.Close(false)
		s.out = nil
	}
}

// destination decodes where to send. A socket of IPv6 takes addresses of
// IPv4 as well.
func (s *udp) destination(raw []byte) (AddrPort, error) {
	if s.v6 && len(raw) >= sockaddr4 && binary.NativeEndian.Uint16(raw) == unix.AF_INET && s.kind != kindRaw {
		if s.only6.Load() {
			return AddrPort{}, unix.ENETUNREACH
		}
		return parse4(raw), nil
	}
	return s.parse(raw)
}

// wildcard makes the unspecified address that of this machine.
func (s *udp) wildcard(a *AddrPort) {
	if a.IP == any4 {
		a.IP = loopback4
	} else if a.IP == any6 {
		a.IP = loopback6
	}
}

// find6 is find for a destination that may be a group's.
func (s *udp) find6(to *AddrPort) (way, error) {
	if to.IP.LinkLocal() && to.Scope == 0 {
		if to.Scope = uint32(s.device.Load()); to.Scope == 0 {
			return way{}, unix.EINVAL
		}
	}
	if to.IP.Multicast() {
		return s.findGroup(to)
	}
	return s.find(&to.IP)
}

// Listen and Accept are not for datagrams.
func (s *udp) Listen(vfs.Caller, int) error { return unix.EOPNOTSUPP }

// Accept is described at Listen.
func (s *udp) Accept(vfs.Caller, bool) (socket.Socket, error) { return nil, unix.EOPNOTSUPP }

// Name returns the socket's own address.
func (s *udp) Name() ([]byte, error) {
	if s.kind == kindRaw {
		net.Lock()
		defer net.Unlock()
		a := s.local
		a.Port = uint16(s.Protocol)
		return a.raw(s.Domain), nil
	}
	return s.name(), nil
}

// PeerName returns where it is connected to.
func (s *udp) PeerName() ([]byte, error) {
	net.Lock()
	defer net.Unlock()
	if !s.conn.Load() || s.remote.Port == 0 {
		return nil, unix.ENOTCONN
	}
	return s.remote.raw(s.Domain), nil
}

// Shutdown serves shutdown(2), which works before it fails on a socket that is
// not connected.
func (s *udp) Shutdown(how int) error {
	s.shutdown.Or(uint32(how + 1))
	s.queue.Notify(everything)
	if !s.conn.Load() {
		return unix.ENOTCONN
	}
	return nil
}

// Release closes the socket.
func (s *udp) Release(*vfs.File) {
	net.Lock()
	s.shutdown.Store(noRecv | noSend)
	if s.port != nil {
		s.space().remove(s.port)
		s.port = nil
	}
	if s.kind == kindRaw {
		dropRaw(s)
	}
	s.leaveAll()
	s.closeOut()
	net.Unlock()
	s.mu.Lock()
	s.shutdown.Store(noRecv | noSend)
	for d := s.head; d != nil; {
		next := d.next
		d.free()
		d = next
	}
	s.head, s.tail, s.cost, s.errs = nil, nil, 0, nil
	s.mu.Unlock()
	s.queue.Notify(everything)
}

// Poll is datagram_poll of Linux.
func (s *udp) Poll(*vfs.File) wait.Events {
	ev := wait.Writable | wait.WrBand
	down := s.shutdown.Load()
	if down&noRecv != 0 {
		ev |= wait.Readable | wait.RdHup
	}
	if down == noRecv|noSend {
		ev |= wait.Hup
	}
	if s.HasError() {
		ev |= wait.Err
	}
	s.mu.Lock()
	if s.head != nil {
		ev |= wait.Readable
	}
	if len(s.errs) > 0 {
		ev |= wait.Err
		if s.Flag(unix.SO_SELECT_ERR_QUEUE) {
			ev |= wait.Pri
		}
	}
	s.mu.Unlock()
	if s.hasOut.Load() {
		net.Lock()
		if s.out != nil {
			ev |= s.out.Ready() & (wait.Readable | wait.Err)
		}
		net.Unlock()
	}
	return ev
}

// Read is Recv without anything beside the data.
func (s *udp) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	if b.Len() == 0 {
		return 0, nil
	}
	flags := 0
	if f.NonBlock() {
		flags = unix.MSG_DONTWAIT
	}
	return s.Recv(c, b, nil, flags)
}

// Write is Send.
func (s *udp) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n, err := s.Send(c, b, nil, 0)
	return n, 0, err
}

// The largest payloads of datagrams.
const (
	mostUDP4 = 65507
	mostUDP6 = 65527
)

// Send serves the sending calls.
func (s *udp) Send(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	n := b.Len()
	if n > 0xffff {
		return 0, unix.EMSGSIZE
	}
	if flags&unix.MSG_OOB != 0 && !s.v6 {
		return 0, unix.EOPNOTSUPP
	}
	var h hints
	if err := s.address(m, &h); err != nil {
		return 0, err
	}
	if err := s.check(&h.to, n); err != nil {
		return 0, err
	}
	if cpu.KernelShort() {
		return 0, unix.ENOBUFS
	}
	if s.kind == kindUDP && (flags&unix.MSG_MORE != 0 || s.corked.Load() || s.flagSet(levelUDP, unix.UDP_CORK)) {
		return s.sendCorked(b, &h, flags)
	}
	d := newDatagram(n)
	keep := *b
	if k, err := keep.CopyIn(d.data); err != nil || k < n {
		d.free()
		return 0, unix.EFAULT
	}
	if err := s.emit(c, d, &h); err != nil {
		return 0, err
	}
	*b = keep
	return n, nil
}

// hints are what an address and the control messages say of one datagram.
type hints struct {
	to       AddrPort
	source   IP // zero: the socket's
	device   int
	ttl, tos int // -1: the socket's
	segment  int // UDP_SEGMENT
}

// address finds where a message goes.
func (s *udp) address(m *socket.Message, h *hints) error {
	h.ttl, h.tos = -1, -1
	h.segment = int(s.value(levelUDP, unix.UDP_SEGMENT))
	if m != nil && m.Control != nil {
		if err := s.sendControl(m.Control, h); err != nil {
			return err
		}
	}
	named := m != nil && m.Name != nil
	if named && len(m.Name) >= 2 && binary.NativeEndian.Uint16(m.Name) == unix.AF_UNSPEC {
		if s.v6 {
			named = false
		} else if len(m.Name) >= sockaddr4 {
			m.Name[0] = unix.AF_INET // as the first programs did
		}
	}
	if !named {
		if !s.conn.Load() {
			return unix.EDESTADDRREQ
		}
		net.Lock()
		h.to = s.remote
		net.Unlock()
		return nil
	}
	to, err := s.destination(m.Name)
	if err != nil {
		return err
	}
	if to.Port == 0 && s.kind == kindUDP {
		return unix.EINVAL
	}
	s.wildcard(&to)
	h.to = to
	return nil
}

func (s *udp) check(to *AddrPort, n int) error {
	most := mostUDP4
	if !to.IP.Is4() {
		most = mostUDP6
	}
	if s.kind == kindRaw {
		most = 65535
	}
	if n > most {
		return unix.EMSGSIZE
	}
	if isBroadcast(&to.IP) && !s.Flag(unix.SO_BROADCAST) {
		return unix.EACCES
	}
	return nil
}

// sendCorked collects a datagram from several calls.
func (s *udp) sendCorked(b *mm.Buffer, h *hints, flags int) (int, error) {
	n := b.Len()
	p := make([]byte, n)
	if k, err := b.CopyIn(p); err != nil || k < n {
		return 0, unix.EFAULT
	}
	s.mu.Lock()
	if !s.corked.Load() {
		s.corkTo = h.to
	}
	if len(s.cork)+n > mostUDP4 {
		s.mu.Unlock()
		return 0, unix.EMSGSIZE
	}
	s.cork = append(s.cork, p...)
	s.corked.Store(true)
	s.mu.Unlock()
	if flags&unix.MSG_MORE != 0 || s.flagSet(levelUDP, unix.UDP_CORK) {
		return n, nil
	}
	return n, s.uncork()
}

// uncork sends what was held back.
func (s *udp) uncork() error {
	s.mu.Lock()
	p, was := s.cork, s.corked.Load()
	h := hints{to: s.corkTo, ttl: -1, tos: -1}
	s.cork = nil
	s.corked.Store(false)
	s.mu.Unlock()
	if !was {
		return nil
	}
	d := newDatagram(len(p))
	copy(d.data, p)
	return s.emit(nil, d, &h)
}

// emit sends d, which it takes.
func (s *udp) emit(c vfs.Caller, d *datagram, h *hints) error {
	if err := s.TakeError(); err != nil {
		d.free()
		return err
	}
	if s.shutdown.Load()&noSend != 0 {
		d.free()
		return unix.EPIPE
	}
	w, err := s.find6(&h.to)
	if err != nil {
		d.free()
		return err
	}
	net.Lock()
	if err := s.autobind(); err != nil {
		net.Unlock()
		d.free()
		return err
	}
	d.from = s.local
	switch {
	case h.source != (IP{}) && !h.source.Any():
		d.from.IP = h.source
	case d.from.IP.Any() || d.from.IP.Multicast():
		d.from.IP = w.source
	case d.from.IP.Is4() != h.to.IP.Is4():
		net.Unlock()
		d.free()
		return unix.ENETUNREACH
	}
	d.to, d.device = h.to.IP, w.index
	s.outgoing(d, h)
	if w.inside {
		defer net.Unlock()
		return s.deliver(d, &h.to, h.segment)
	}
	if h.to.IP.Multicast() && s.value(levelIP, unix.IP_MULTICAST_LOOP) != 0 && s.kind == kindUDP {
		copied := newDatagram(len(d.data))
		copy(copied.data, d.data)
		copied.like(d)
		s.spread(copied, &h.to)
	}
	e := s.out
	net.Unlock()
	defer d.free()
	if e == nil {
		return unix.ENETUNREACH
	}
	p := Packet{To: h.to, Has: true, TTL: h.ttl, TOS: h.tos, Device: h.device}
	if h.source != (IP{}) {
		p.Dst = h.source
	}
	if h.segment > 0 {
		for rest := d.data; len(rest) > 0; {
			k := min(h.segment, len(rest))
			b := mm.KernelBuffer(rest[:k])
			if _, err := e.Send(&b, &p); err != nil {
				return err
			}
			rest = rest[k:]
		}
		return nil
	}
	b := mm.KernelBuffer(d.data)
	_, err = e.Send(&b, &p)
	return err
}

// outgoing notes the time to live and the type of service of d.
func (s *udp) outgoing(d *datagram, h *hints) {
	d.port = h.to.Port
	if d.ttl, d.tos = h.ttl, h.tos; d.ttl < 0 {
		d.ttl = s.hops(&h.to.IP)
	}
	if d.tos < 0 {
		if h.to.IP.Is4() {
			d.tos = int(s.value(levelIP, unix.IP_TOS))
		} else {
			d.tos = max(int(s.value(levelIP6, unix.IPV6_TCLASS)), 0)
		}
	}
}

func (s *sock) hops(to *IP) int {
	n := int32(64)
	switch {
	case to.Is4() && to.Multicast():
		n = s.value(levelIP, unix.IP_MULTICAST_TTL)
	case to.Is4():
		n = s.value(levelIP, unix.IP_TTL)
	case to.Multicast():
		n = s.value(levelIP6, unix.IPV6_MULTICAST_HOPS)
	default:
		n = s.value(levelIP6, unix.IPV6_UNICAST_HOPS)
	}
	if n < 0 {
		n = 64
	}
	return int(n)
}

// deliver gives d to who is bound to its destination inside the machine.
// net is held.
func (s *udp) deliver(d *datagram, to *AddrPort, segment int) error {
	if s.kind != kindUDP {
		return s.deliverICMP(d, to)
	}
	if to.IP.Multicast() || isBroadcast(&to.IP) {
		s.spread(d, to)
		return nil
	}
	r := receiver(&d.from, to, int32(lo.Index))
	if r == nil {
		s.unreachable(d, to)
		return nil
	}
	if segment > 0 && len(d.data) > segment {
		for rest := d.data; len(rest) > 0; {
			k := min(segment, len(rest))
			e := newDatagram(k)
			copy(e.data, rest[:k])
			e.like(d)
			r.push(e)
			rest = rest[k:]
		}
		d.free()
		return nil
	}
	r.push(d)
	return nil
}

// unreachable is the answer to a datagram that nobody waits for.
func (s *udp) unreachable(d *datagram, to *AddrPort) {
	wants := s.flagSet(levelIP, unix.IP_RECVERR)
	if !to.IP.Is4() {
		wants = s.flagSet(levelIP6, unix.IPV6_RECVERR)
	}
	if s.conn.Load() && (s.remote.IP != to.IP || s.remote.Port != to.Port) {
		d.free() // no socket has such a conversation
		return
	}
	if wants {
		f := &failed{
			errno: unix.ECONNREFUSED, origin: 2, typ: 3, code: 3, to: *to,
			from: AddrPort{IP: to.IP}, data: append([]byte(nil), d.data...),
		}
		if !to.IP.Is4() {
			f.origin, f.typ, f.code = 3, 1, 4
		}
		s.mu.Lock()
		if len(s.errs) < 64 {
			s.errs = append(s.errs, f)
		}
		s.mu.Unlock()
	}
	if wants || s.conn.Load() {
		s.SetError(unix.ECONNREFUSED)
		s.queue.Notify(wait.Err)
	}
	d.free()
}

// receiver finds who a datagram is for. net is held.
func receiver(from, to *AddrPort, device int32) *udp {
	b := net.udp.m[to.Port]
	if b == nil {
		return nil
	}
	best, same := -1, uint32(0)
	var found *udp
	for x := b.first; x != nil; x = x.next {
		n := x.points(from, to, device)
		switch {
		case n < 0:
		case n > best:
			best, found, same = n, x.udp, 1
		case n == best && x.s.Flag(unix.SO_REUSEPORT):
			same++
		}
	}
	if same < 2 || found.conn.Load() {
		return found
	}
	pick := mix(from, to) % same
	for x := b.first; x != nil; x = x.next {
		if x.points(from, to, device) == best {
			if pick == 0 {
				return x.udp
			}
			pick--
		}
	}
	return found
}

// points is score for a datagram.
func (x *binding) points(from, to *AddrPort, device int32) int {
	n := x.score(&to.IP, device)
	if n < 0 || x.udp == nil || !x.udp.conn.Load() {
		return n
	}
	if x.remote.Port != from.Port || x.remote.IP != from.IP {
		return -1
	}
	return n + 16
}

// push puts d into the queue, or drops it when that is full.
func (s *udp) push(d *datagram) {
	if s.stamps() {
		d.time = clock.Realtime()
	} else {
		d.time = 0
	}
	cost := overhead + len(d.data)
	s.mu.Lock()
	if s.shutdown.Load() == noRecv|noSend && s.port == nil && s.kind == kindUDP || s.cost+cost > int(s.RecvBuffer.Load()) && s.cost > 0 {
		s.drops++
		s.mu.Unlock()
		d.free()
		return
	}
	s.cost += cost
	if s.tail != nil {
		s.tail.next = d
	} else {
		s.head = d
	}
	s.tail = d
	s.mu.Unlock()
	s.queue.Notify(wait.Readable | wait.RdBand)
}

// Recv serves the receiving calls.
func (s *udp) Recv(_ vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_ERRQUEUE != 0 {
		return s.recvError(b, m)
	}
	if err := s.TakeError(); err != nil {
		return 0, err
	}
	peek := flags&unix.MSG_PEEK != 0
	s.mu.Lock()
	d := s.head
	if d == nil {
		s.mu.Unlock()
		if s.hasOut.Load() {
			if n, err := s.recvOutside(b, m, flags); err != unix.EAGAIN {
				return n, err
			}
		}
		if s.shutdown.Load()&noRecv != 0 && flags&unix.MSG_DONTWAIT == 0 {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	n, err := b.CopyOut(d.data)
	full := len(d.data)
	if m != nil {
		m.Name = d.from.rawFor(s)
		if n < full && err == nil {
			m.Flags |= unix.MSG_TRUNC
		}
		if s.marks.Load() != 0 || s.stamps() {
			s.describe(m, d)
		}
	}
	if !peek {
		if s.head = d.next; s.head == nil {
			s.tail = nil
		}
		s.cost -= overhead + full
	}
	s.mu.Unlock()
	if !peek {
		d.free()
	}
	if err != nil {
		return 0, err
	}
	if flags&unix.MSG_TRUNC != 0 {
		n = full
	}
	return n, nil
}

// rawFor is a sender's address as s shows it.
func (a *AddrPort) rawFor(s *udp) []byte {
	if s.kind == kindRaw || s.kind == kindPing {
		x := *a
		x.Port = 0
		return x.raw(s.Domain)
	}
	return a.raw(s.Domain)
}

func (s *udp) recvOutside(b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	net.Lock()
	e := s.out
	net.Unlock()
	if e == nil {
		return 0, unix.EAGAIN
	}
	p := Packet{Flags: flags}
	n, err := e.Recv(b, &p)
	if err != nil {
		return 0, err
	}
	if m != nil {
		m.Name = p.To.rawFor(s)
		if p.Full > n {
			m.Flags |= unix.MSG_TRUNC
		}
		if s.marks.Load() != 0 || s.stamps() {
			if p.Time == 0 {
				p.Time = clock.Realtime()
			}
			d := datagram{from: p.To, to: p.Dst, device: p.Device, ttl: p.TTL, tos: p.TOS, time: p.Time}
			s.describe(m, &d)
		}
	}
	if flags&unix.MSG_TRUNC != 0 {
		n = max(n, p.Full)
	}
	return n, nil
}

// recvError reads the error queue.
func (s *udp) recvError(b *mm.Buffer, m *socket.Message) (int, error) {
	s.mu.Lock()
	if len(s.errs) == 0 {
		s.mu.Unlock()
		return 0, unix.EAGAIN
	}
	f := s.errs[0]
	s.errs = s.errs[1:]
	s.mu.Unlock()
	n, err := b.CopyOut(f.data)
	if err != nil {
		return 0, err
	}
	if m != nil {
		m.Flags |= unix.MSG_ERRQUEUE
		if n < len(f.data) {
			m.Flags |= unix.MSG_TRUNC
		}
		m.Name = f.to.raw(s.Domain)
		p := make([]byte, 16, 16+sockaddr6)
		binary.NativeEndian.PutUint32(p, uint32(f.errno))
		p[4], p[5], p[6] = f.origin, f.typ, f.code
		level, typ, family := levelIP, unix.IP_RECVERR, unix.AF_INET
		if s.v6 {
			level, typ, family = levelIP6, unix.IPV6_RECVERR, unix.AF_INET6
		}
		p = append(p, f.from.raw(family)...)
		m.Control = appendControl(m.Control, level, typ, p)
	}
	return n, nil
}

// Ioctl serves SIOCINQ and SIOCOUTQ and the requests of interfaces.
func (s *udp) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	n := 0
	switch request {
	case unix.TIOCINQ:
		s.mu.Lock()
		if s.head != nil {
			n = len(s.head.data)
		}
		s.mu.Unlock()
		if n == 0 && s.hasOut.Load() {
			net.Lock()
			if s.out != nil {
				n, _ = s.out.Queued()
			}
			net.Unlock()
		}
	case unix.TIOCOUTQ:
	default:
		return s.ioctl(c, request, arg)
	}
	return store32(c, arg, n)
}
