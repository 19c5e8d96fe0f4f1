package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// What packet sockets see of lo. Nothing that stays inside the machine is a
// packet, so where somebody looks, packets are made up that tell what happens:
// with their addresses, their data, and sequence numbers that count it.

// Flags of a TCP segment.
const (
	segFIN = 1 << iota
	segSYN
	segRST
	segPSH
	segACK
)

// What Linux would add to data inside of one machine: the headers of IPv4, and
// of UDP or of TCP with a timestamp.
const (
	udpHeaders = 28
	tcpHeaders = 52
)

// countLo counts what stays inside the machine as traffic of lo.
func countLo(bytes int) {
	lo.TxPackets.Add(1)
	lo.TxBytes.Add(uint64(bytes))
	lo.RxPackets.Add(1)
	lo.RxBytes.Add(uint64(bytes))
}

// loTapped reports whether somebody looks at lo.
func loTapped() bool { return lo.taps.Load() != nil }

// showLo shows a packet of IP that goes from one address to another, first as
// sent and then as received.
func showLo(protocol int, from, to *IP, ttl, tos int, body []byte) {
	v4 := to.Is4()
	head := ethernetSize + 40
	if v4 {
		head = ethernetSize + 20
	}
	p := make([]byte, head+len(body))
	copy(p[head:], body)
	ip := p[ethernetSize:]
	if v4 {
		binary.BigEndian.PutUint16(p[12:], unix.ETH_P_IP)
		ip[0], ip[1], ip[6], ip[8], ip[9] = 0x45, byte(tos), 0x40, byte(ttl), byte(protocol)
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(body)))
		copy(ip[12:], from[12:])
		copy(ip[16:], to[12:])
		binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
	} else {
		binary.BigEndian.PutUint16(p[12:], unix.ETH_P_IPV6)
		ip[0], ip[6], ip[7] = 0x60, byte(protocol), byte(ttl)
		binary.BigEndian.PutUint16(ip[4:], uint16(len(body)))
		copy(ip[8:], from[:])
		copy(ip[24:], to[:])
	}
	sumTransport(protocol, from, to, p[head:])
	f := Frame{Pieces: [][]byte{p}}
	lo.Tapped(&f, true)
	lo.Tapped(&f, false)
}

// sumTransport fills in the checksum of TCP and UDP.
func sumTransport(protocol int, from, to *IP, body []byte) {
	at := 16
	switch {
	case protocol == unix.IPPROTO_UDP && len(body) >= 8:
		at = 6
	case protocol != unix.IPPROTO_TCP || len(body) < 20:
		return
	}
	pseudo := append(append(make([]byte, 0, 40+len(body)), from.Bytes()...), to.Bytes()...)
	pseudo = append(pseudo, byte(len(body)>>24), byte(len(body)>>16), byte(len(body)>>8), byte(len(body)), 0, 0, 0, byte(protocol))
	body[at], body[at+1] = 0, 0
	binary.BigEndian.PutUint16(body[at:], checksum(append(pseudo, body...)))
}

// showDatagram shows a datagram of UDP.
func showDatagram(d *datagram, to *AddrPort) {
	p := make([]byte, 8+len(d.data))
	binary.BigEndian.PutUint16(p, d.from.Port)
	binary.BigEndian.PutUint16(p[2:], to.Port)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)))
	copy(p[8:], d.data)
	showLo(unix.IPPROTO_UDP, &d.from.IP, &to.IP, d.ttl, d.tos, p)
}

// showSegment shows a segment that s sends to p, whose data ends what s has
// sent. net is held, or both ends are known not to change.
func (s *tcp) showSegment(p *tcp, flags byte, data []byte, before uint64) {
	for {
		n := min(len(data), 65483)
		var h [20]byte
		binary.BigEndian.PutUint16(h[:], s.local.Port)
		binary.BigEndian.PutUint16(h[2:], s.remote.Port)
		sequence := uint32(before)
		if flags&segSYN == 0 {
			sequence++
		}
		if p.done.Load() { // the FIN before it counts
			sequence++
		}
		binary.BigEndian.PutUint32(h[4:], s.loSequence()+sequence)
		if flags&segACK != 0 {
			ack := p.loSequence() + uint32(p.sent.Load()) + 1
			if s.done.Load() {
				ack++
			}
			binary.BigEndian.PutUint32(h[8:], ack)
		}
		h[12], h[13] = 5<<4, flags
		binary.BigEndian.PutUint16(h[14:], 65535)
		from, to := s.local.IP, s.remote.IP
		if from.Any() {
			from = to
		}
		showLo(unix.IPPROTO_TCP, &from, &to, 64, 0, append(h[:], data[:n]...))
		if data = data[n:]; len(data) == 0 {
			return
		}
		before += uint64(n)
	}
}

// loSequence is where the numbers of a connection's end start: it follows from
// the ports, so that nothing has to be kept for it.
func (s *tcp) loSequence() uint32 {
	return (uint32(s.local.Port)<<16 | uint32(s.remote.Port)) * 0x9e3779b1
}

// showHandshake shows how s was connected to n. net is held.
func (s *tcp) showHandshake(n *tcp) {
	s.showSegment(n, segSYN, nil, 0)
	n.showSegment(s, segSYN|segACK, nil, 0)
	s.showSegment(n, segACK, nil, 0)
}

// showData shows what s has sent, which is the last of all it has.
func (s *tcp) showData(p *tcp, data []byte, before uint64) {
	net.Lock()
	defer net.Unlock()
	s.showSegment(p, segPSH|segACK, data, before)
}

// ahead is what the next n bytes of b are.
func ahead(b *mm.Buffer, n int) []byte {
	look := *b
	p := make([]byte, n)
	k, _ := look.CopyIn(p)
	return p[:k]
}
