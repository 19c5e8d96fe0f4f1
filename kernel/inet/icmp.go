package inet

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/socket"
	"husk/kernel/vfs"
)

func newPing(c vfs.Caller, family, protocol int) (socket.Socket, error) {
	if !mayPing(c) {
		return nil, unix.EACCES
	}
	s := &udp{kind: kindPing}
	s.init(c, family, unix.SOCK_DGRAM, protocol)
	return s, nil
}

// mayPing reports whether one of the caller's groups is among those of
// net.ipv4.ping_group_range, which is everybody at first, as in containers.
func mayPing(c vfs.Caller) bool {
	least, most := tunable(&pingGroups[0]), tunable(&pingGroups[1])
	may := func(g cred.GID) bool { return int(g) >= least && int(g) <= most }
	k := c.Cred()
	return may(k.EGID) || slices.ContainsFunc(k.Groups, may)
}

// raws are the raw sockets. Guarded by net.
var raws []*udp

func newRaw(c vfs.Caller, family, protocol int) socket.Socket {
	s := &udp{kind: kindRaw}
	s.init(c, family, unix.SOCK_RAW, protocol)
	net.Lock()
	raws = append(raws, s)
	net.Unlock()
	return s
}

func dropRaw(s *udp) {
	for i, r := range raws {
		if r == s {
			raws = append(raws[:i:i], raws[i+1:]...)
			return
		}
	}
}

// Types of ICMP messages.
const (
	echoReply    = 0
	echoRequest  = 8
	echoRequest6 = 128
	echoReply6   = 129
)

// deliverICMP delivers what a ping or a raw socket sends to this machine: an
// echo request is answered, and raw sockets see both. net is held.
func (s *udp) deliverICMP(d *datagram, to *AddrPort) error {
	defer d.free()
	msg := d.data
	header := s.kind == kindRaw && !s.v6 && (s.Protocol == unix.IPPROTO_RAW || s.flagSet(levelIP, unix.IP_HDRINCL))
	protocol := s.Protocol
	if header {
		if len(msg) < 20 || int(msg[0]&15)*4 > len(msg) || msg[0]>>4 != 4 {
			return unix.EINVAL
		}
		protocol = int(msg[9])
		msg = msg[int(msg[0]&15)*4:]
	}
	if s.kind == kindPing {
		request := byte(echoRequest)
		if s.v6 {
			request = echoRequest6
		}
		if len(msg) < 8 || msg[0] != request || msg[1] != 0 {
			return unix.EINVAL
		}
		binary.BigEndian.PutUint16(msg[4:], s.local.Port)
		if !s.v6 {
			sumICMP(msg)
		}
	}
	from := AddrPort{IP: d.from.IP}
	if loTapped() {
		showLo(protocol, &d.from.IP, &to.IP, d.ttl, d.tos, msg)
	}
	toRaw(protocol, msg, from, to.IP, d)
	if len(msg) < 8 {
		return nil
	}
	switch {
	case protocol == unix.IPPROTO_ICMP && to.IP.Is4() && msg[0] == echoRequest && msg[1] == 0:
		answer := append([]byte(nil), msg...)
		answer[0] = echoReply
		sumICMP(answer)
		s.answered(protocol, answer, to.IP, d)
	case protocol == unix.IPPROTO_ICMPV6 && !to.IP.Is4() && msg[0] == echoRequest6 && msg[1] == 0:
		answer := append([]byte(nil), msg...)
		answer[0] = echoReply6
		s.answered(protocol, answer, to.IP, d)
	}
	return nil
}

// answered delivers the answer to an echo request.
func (s *udp) answered(protocol int, p []byte, from IP, d *datagram) {
	if loTapped() {
		showLo(protocol, &from, &d.from.IP, 64, d.tos, p)
	}
	toRaw(protocol, p, AddrPort{IP: from}, d.from.IP, d)
	b := pings.m[binary.BigEndian.Uint16(p[4:])]
	if b == nil {
		return
	}
	for x := b.first; x != nil; x = x.next {
		if x.v6 == from.Is4() || x.score(&d.from.IP, int32(lo.Index)) < 0 || x.udp.conn.Load() && x.remote.IP != from {
			continue
		}
		n := newDatagram(len(p))
		copy(n.data, p)
		n.from, n.to, n.device, n.ttl, n.tos = AddrPort{IP: from}, d.from.IP, lo.Index, 64, d.tos
		x.udp.push(n)
	}
}

// toRaw gives a message to the raw sockets of its protocol, which see IPv4
// with its header.
func toRaw(protocol int, p []byte, from AddrPort, to IP, d *datagram) {
	for _, r := range raws {
		if r.Protocol != protocol || r.v6 == to.Is4() || !r.local.IP.Any() && r.local.IP != to ||
			r.conn.Load() && r.remote.IP != from.IP || r.Protocol == unix.IPPROTO_ICMP && r.filtered(p) {
			continue
		}
		n := newDatagram(20 + len(p))
		if to.Is4() {
			h := n.data[:20]
			clear(h)
			h[0], h[1], h[8], h[9] = 0x45, byte(d.tos), byte(d.ttl), byte(protocol)
			binary.BigEndian.PutUint16(h[2:], uint16(20+len(p)))
			copy(h[12:], from.IP[12:])
			copy(h[16:], to[12:])
			binary.BigEndian.PutUint16(h[10:], checksum(h))
			copy(n.data[20:], p)
		} else {
			n.data = n.data[:len(p)]
			copy(n.data, p)
		}
		n.from, n.to, n.device, n.ttl, n.tos = from, to, lo.Index, d.ttl, d.tos
		r.push(n)
	}
}

// filtered is ICMP_FILTER.
func (s *udp) filtered(p []byte) bool {
	return len(p) > 0 && p[0] < 32 && s.filter.Load()>>p[0]&1 != 0
}

func sumICMP(p []byte) {
	p[2], p[3] = 0, 0
	binary.BigEndian.PutUint16(p[2:], checksum(p))
}

// checksum is the internet checksum (RFC 1071).
func checksum(p []byte) uint16 {
	sum := uint32(0)
	for ; len(p) >= 2; p = p[2:] {
		sum += uint32(binary.BigEndian.Uint16(p))
	}
	if len(p) == 1 {
		sum += uint32(p[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
