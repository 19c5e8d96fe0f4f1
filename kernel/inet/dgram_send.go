package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Send serves the sending calls.
func (s *udp) Send(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if m != nil && m.Name != nil {
		if err := settleFor(c, m.Name); err != nil {
			return 0, err
		}
	}
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
		countLo(len(d.data) + udpHeaders)
		if loTapped() && s.kind == kindUDP {
			showDatagram(d, &h.to)
		}
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
