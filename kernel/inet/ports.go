package inet

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
)

// ports is the space of ports of one protocol. It is guarded by net.
type ports struct {
	m    map[uint16]*bucket
	next uint32 // where the search for a free port goes on
	// TIME_WAIT, the oldest first; all last equally long.
	oldest, newest *binding
	waiting        int
}

// A bucket is all that is bound to one port.
type bucket struct {
	number    uint16
	first     *binding
	listeners []*tcp
}

// A binding is one socket's use of a port, or what is left of a connection in
// TIME_WAIT.
type binding struct {
	b          *bucket
	next, prev *binding
	s          *sock // nil in TIME_WAIT
	tcp        *tcp  // the socket as what it is
	udp        *udp

	local, remote    AddrPort // the latter of a connection
	device           int32
	uid              uint32
	v6, only6        bool
	reuse, reusePort bool
	explicit         bool // by bind(2)

	expires int64    // of TIME_WAIT
	younger *binding // in TIME_WAIT
}

const (
	timeWaitTime = 60 * clock.Second
	// A connection in TIME_WAIT gives way to a new one between the same ends
	// after a second (net.ipv4.tcp_tw_reuse of 2, for the loopback).
	timeWaitReused = clock.Second
)

// bucket returns that of a port, made if need be.
func (p *ports) bucket(port uint16) *bucket {
	b := p.m[port]
	if b == nil {
		if p.m == nil {
			p.m = make(map[uint16]*bucket)
		}
		b = &bucket{number: port}
		p.m[port] = b
	}
	return b
}

// add puts x, whose local address has its port, into its bucket.
func (p *ports) add(x *binding) {
	b := p.bucket(x.local.Port)
	x.b = b
	x.prev, x.next = nil, b.first
	if b.first != nil {
		b.first.prev = x
	}
	b.first = x
}

// remove takes x out.
func (p *ports) remove(x *binding) {
	b := x.b
	if b == nil {
		return
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		b.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.b, x.next, x.prev = nil, nil, nil
	if b.first == nil {
		delete(p.m, b.number)
	}
}

// refresh updates what of x depends on its socket's options.
func (x *binding) refresh() {
	s := x.s
	x.reuse, x.reusePort = s.Flag(unix.SO_REUSEADDR), s.Flag(unix.SO_REUSEPORT)
	x.device, x.only6, x.v6, x.uid = s.device.Load(), s.only6.Load(), s.v6, s.uid
}

// overlap reports whether the local addresses of two bindings have one in
// common.
func (x *binding) overlap(o *binding) bool {
	a, b := &x.local.IP, &o.local.IP
	switch {
	case *a == *b && a.Is4() == b.Is4():
		return true
	case *a == any6:
		return !b.Is4() || !x.only6
	case *b == any6:
		return !a.Is4() || !o.only6
	case *a == any4:
		return b.Is4()
	case *b == any4:
		return a.Is4()
	}
	return false
}

// conflict reports whether x may not be bound beside o: inet_bind_conflict of
// Linux. chosen says that the port was asked for.
func (x *binding) conflict(o *binding, chosen, stream bool) bool {
	if x == o || x.device != 0 && o.device != 0 && x.device != o.device || !x.overlap(o) {
		return false
	}
	if !stream {
		if x.reuse && o.reuse && chosen {
			return false
		}
		return !(x.reusePort && o.reusePort && x.uid == o.uid)
	}
	both := x.reusePort && o.reusePort && (o.s == nil || x.uid == o.uid)
	if x.reuse && o.reuse && (o.tcp == nil || o.tcp.state.Load() != listening) {
		return !chosen && !both
	}
	return !both
}

// bind binds s to a, looking for a port if a has none.
func (p *ports) bind(s *sock, t *tcp, u *udp, a AddrPort, chosen bool) error {
	x := &binding{s: s, tcp: t, udp: u, local: a}
	x.refresh()
	p.expire()
	stream := t != nil
	if a.Port != 0 {
		if b := p.m[a.Port]; b != nil {
			for o := b.first; o != nil; o = o.next {
				if x.conflict(o, true, stream) {
					return unix.EADDRINUSE
				}
			}
		}
	} else {
		port, ok := p.search(func(b *bucket) bool {
			for o := b.first; o != nil; o = o.next {
				if x.conflict(o, false, stream) {
					return false
				}
			}
			return true
		})
		if !ok {
			return unix.EADDRINUSE
		}
		x.local.Port = port
	}
	x.explicit = chosen
	p.add(x)
	s.port, s.local = x, x.local
	return nil
}

// bindFor binds s to an ephemeral port for a connection from local to remote,
// for which a port may be shared with other connections.
func (p *ports) bindFor(s *sock, t *tcp, u *udp, from, to AddrPort) error {
	p.expire()
	x := &binding{s: s, tcp: t, udp: u, local: from, remote: to}
	x.refresh()
	port, ok := p.search(func(b *bucket) bool {
		for o := b.first; o != nil; o = o.next {
			if o.explicit || !p.distinct(o, &from, &to) {
				return false
			}
		}
		return true
	})
	if !ok {
		return unix.EADDRNOTAVAIL
	}
	x.local.Port = port
	p.add(x)
	s.port, s.local = x, x.local
	return nil
}

// distinct reports whether o is not the connection from local to remote. One
// in TIME_WAIT that is old enough is dropped.
func (p *ports) distinct(o *binding, from, to *AddrPort) bool {
	if o.remote.Port == 0 || o.remote != *to || o.local.IP != from.IP {
		return true
	}
	return o.s == nil && tunable(&timeWaitReuse) != 0 && o.expires-timeWaitTime+timeWaitReused < clock.Now()
}

// unique reports whether nothing else is connected from local to remote.
func (p *ports) unique(x *binding, from, to *AddrPort) bool {
	p.expire()
	b := p.m[from.Port]
	if b == nil {
		return true
	}
	for o := b.first; o != nil; o = o.next {
		if o != x && !p.distinct(o, from, to) {
			return false
		}
	}
	return true
}

// search looks for a port whose bucket suits, from a place that moves on.
func (p *ports) search(suits func(*bucket) bool) (uint16, bool) {
	start := min(max(tunable(&portRange[0]), 1), 65535)
	n := min(max(tunable(&portRange[1]), start), 65535) - start + 1
	if p.next == 0 {
		p.next = uint32(clock.Now()>>10)%uint32(n) + 1
	}
	at := int(p.next - 1)
	for k := range n {
		port := uint16(start + (at+k)%n)
		if b := p.m[port]; b == nil || suits(b) {
			p.next = uint32((at+k+1)%n) + 1
			return port, true
		}
	}
	return 0, false
}

// linger leaves a connection in TIME_WAIT in place of x.
func (p *ports) linger(x *binding, now int64) {
	w := &binding{
		local: x.local, remote: x.remote, device: x.device, uid: x.uid, v6: x.v6, only6: x.only6,
		reuse: x.reuse, reusePort: x.reusePort, expires: now + timeWaitTime,
	}
	p.remove(x)
	if p.waiting >= tunable(&timeWaitMost) {
		return
	}
	p.add(w)
	if p.newest != nil {
		p.newest.younger = w
	} else {
		p.oldest = w
	}
	p.newest = w
	p.waiting++
}

// expire forgets the connections whose TIME_WAIT is over.
func (p *ports) expire() {
	if p.oldest == nil {
		return
	}
	now := clock.Now()
	for w := p.oldest; w != nil && w.expires <= now; w = p.oldest {
		p.remove(w)
		if p.oldest = w.younger; p.oldest == nil {
			p.newest = nil
		}
		p.waiting--
	}
}

// mix spreads the ends of a connection over a number of sockets that share a
// port.
func mix(a, b *AddrPort) uint32 {
	h := uint64(a.Port)<<16 | uint64(b.Port)
	for i := range a.IP {
		h = h*31 + uint64(a.IP[i]^b.IP[i]<<1)
	}
	hi, lo := bits.Mul64(h, 0x9e3779b97f4a7c15)
	return uint32(hi ^ lo>>32)
}

// score is how well x suits a packet to dst that came in by device; negative
// if it does not.
func (x *binding) score(dst *IP, device int32) int {
	n := 0
	switch l := &x.local.IP; {
	case *l == *dst:
		n = 8
	case *l == any6:
		if dst.Is4() && x.s.only6.Load() {
			return -1
		}
	case *l == any4:
		if !dst.Is4() {
			return -1
		}
	default:
		return -1
	}
	if d := x.s.device.Load(); d != 0 {
		if d != device {
			return -1
		}
		n += 2
	}
	if !x.v6 {
		n++
	}
	return n
}
