package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// push puts d into the queue, or drops it when that is full.
func (s *udp) push(d *datagram) {
	if s.stamps() {
		d.time = clock.Realtime()
	} else {
		d.time = 0
	}
	if s.Filtered() && !s.passes(d) {
		s.mu.Lock()
		s.drops++
		s.mu.Unlock()
		d.free()
		return
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

// passes asks the socket's filter about a datagram, and cuts it to what the
// filter leaves. Filters of UDP sockets see its header.
func (s *udp) passes(d *datagram) bool {
	head := 0
	p := d.data
	if s.kind == kindUDP {
		head = 8
		p = make([]byte, head+len(d.data))
		binary.BigEndian.PutUint16(p, d.from.Port)
		binary.BigEndian.PutUint16(p[2:], d.port)
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)))
		copy(p[head:], d.data)
	}
	k := socket.Packet{Data: p, Protocol: unix.ETH_P_IP, Device: d.device, Hardware: unix.ARPHRD_LOOPBACK}
	if s.v6 {
		k.Protocol = unix.ETH_P_IPV6
	}
	n := s.Keep(&k)
	if n == 0 {
		return false
	}
	d.data = d.data[:min(max(n-head, 0), len(d.data))]
	return true
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
