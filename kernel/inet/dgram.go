package inet

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

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
	if err := settleFor(c, raw); err != nil {
		return err
	}
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
func (s *udp) Connect(c vfs.Caller, raw []byte, _ bool) error {
	if err := settleFor(c, raw); err != nil {
		return err
	}
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
