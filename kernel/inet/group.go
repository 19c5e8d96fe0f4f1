package inet

import (
	"golang.org/x/sys/unix"
)

// A group is one membership of a socket in a multicast group.
type group struct {
	ip      IP
	index   int
	sources []IP
	exclude bool // sources are those not wanted
}

// members counts who is in a group on an interface. Guarded by net.
var members map[group2]int

type group2 struct {
	ip    IP
	index int
}

// findGroup finds the way to a multicast group: by the interface that the
// socket has chosen, by the scope, or by the routes.
func (s *sock) findGroup(to *AddrPort) (way, error) {
	index := int(to.Scope)
	if index == 0 {
		if to.IP.Is4() {
			index = int(s.value(levelIP, unix.IP_MULTICAST_IF))
		} else {
			index = int(s.value(levelIP6, unix.IPV6_MULTICAST_IF))
		}
	}
	if index == 0 {
		index = int(s.device.Load())
	}
	net.Lock()
	from := s.local.IP
	net.Unlock()
	if index == 0 && !from.Any() && from.Is4() == to.IP.Is4() {
		if i := local(&from); i != nil && i != lo {
			index = i.Index
		}
	}
	if index == 0 {
		r, ok := route(&to.IP, 0)
		if !ok {
			return way{}, unix.ENETUNREACH
		}
		index = r.Index
	}
	i := ByIndex(index)
	if i == nil {
		return way{}, unix.ENODEV
	}
	if i == lo {
		w := way{true, loopback4, lo.Index}
		if !to.IP.Is4() {
			w.source = loopback6
		}
		return w, nil
	}
	src, ok := sourceFor(&Route{Index: index}, &to.IP)
	if !ok {
		return way{}, unix.EADDRNOTAVAIL
	}
	return way{false, src, index}, nil
}

// spread delivers a datagram to everybody who hears a group or a broadcast,
// and takes it. net is held.
func (s *udp) spread(d *datagram, to *AddrPort) {
	defer d.free()
	b := net.udp.m[to.Port]
	if b == nil {
		return
	}
	multicast := to.IP.Multicast()
	if multicast && members[group2{to.IP, d.device}] == 0 {
		return
	}
	for x := b.first; x != nil; x = x.next {
		u := x.udp
		switch l := &x.local.IP; {
		case *l == to.IP, *l == any4 && to.IP.Is4(), *l == any6 && !u.only6.Load(), *l == any6 && !to.IP.Is4():
		default:
			continue
		}
		if dev := int(u.device.Load()); dev != 0 && dev != d.device || u.conn.Load() && (x.remote.IP != d.from.IP || x.remote.Port != d.from.Port) {
			continue
		}
		if multicast && !u.hears(&to.IP, d.device, &d.from.IP) {
			continue
		}
		n := newDatagram(len(d.data))
		copy(n.data, d.data)
		n.like(d)
		u.push(n)
	}
}

// hears reports whether the socket wants what source sends to a group.
func (s *udp) hears(ip *IP, index int, source *IP) bool {
	for i := range s.groups {
		g := &s.groups[i]
		if g.ip != *ip || g.index != index {
			continue
		}
		for k := range g.sources {
			if g.sources[k] == *source {
				return !g.exclude
			}
		}
		return g.exclude
	}
	if ip.Is4() {
		return s.value(levelIP, unix.IP_MULTICAST_ALL) != 0
	}
	return s.value(levelIP6, 29) != 0 // IPV6_MULTICAST_ALL
}

// join makes the socket a member. index 0 asks for the interface of the route.
func (s *udp) join(ip IP, index int) error {
	i, err := groupInterface(&ip, index)
	if err != nil {
		return err
	}
	net.Lock()
	defer net.Unlock()
	for _, g := range s.groups {
		if g.ip == ip && g.index == i.Index {
			return unix.EADDRINUSE
		}
	}
	if len(s.groups) >= tunable(&groupsMost) && ip.Is4() {
		return unix.ENOBUFS
	}
	return s.enter(group{ip: ip, index: i.Index, exclude: true}, i)
}

func (s *udp) enter(g group, i *Interface) error {
	key := group2{g.ip, g.index}
	if members == nil {
		members = make(map[group2]int)
	}
	if members[key] == 0 && i.Link != nil {
		if st := theStack(); st != nil {
			if err := st.JoinGroup(i, g.ip); err != nil {
				return err
			}
		}
	}
	members[key]++
	s.groups = append(s.groups, g)
	return nil
}

func groupInterface(ip *IP, index int) (*Interface, error) {
	if !ip.Multicast() {
		return nil, unix.EINVAL
	}
	if index == 0 {
		r, ok := route(ip, 0)
		if !ok {
			if !ip.Is4() {
				return nil, unix.EADDRNOTAVAIL
			}
			return nil, unix.ENODEV
		}
		index = r.Index
	}
	if i := ByIndex(index); i != nil {
		return i, nil
	}
	return nil, unix.ENODEV
}

// leave ends a membership.
func (s *udp) leave(ip IP, index int) error {
	if !ip.Multicast() {
		return unix.EINVAL
	}
	net.Lock()
	defer net.Unlock()
	for k, g := range s.groups {
		if g.ip == ip && (index == 0 || g.index == index) {
			s.groups = append(s.groups[:k:k], s.groups[k+1:]...)
			g.forget()
			return nil
		}
	}
	return unix.EADDRNOTAVAIL
}

// leaveAll ends all of them. net is held.
func (s *udp) leaveAll() {
	for _, g := range s.groups {
		g.forget()
	}
	s.groups = nil
}

func (g *group) forget() {
	key := group2{g.ip, g.index}
	if members[key]--; members[key] > 0 {
		return
	}
	delete(members, key)
	if i := ByIndex(g.index); i != nil && i.Link != nil {
		if st := theStack(); st != nil {
			_ = st.LeaveGroup(i, g.ip)
		}
	}
}

// source adds or removes a source of a membership. With add and no membership
// a socket of IP_ADD_SOURCE_MEMBERSHIP becomes a member.
func (s *udp) source(ip, src IP, index int, exclude, add bool) error {
	i, err := groupInterface(&ip, index)
	if err != nil {
		return err
	}
	net.Lock()
	defer net.Unlock()
	for k := range s.groups {
		g := &s.groups[k]
		if g.ip != ip || g.index != i.Index {
			continue
		}
		if g.exclude != exclude && len(g.sources) > 0 {
			return unix.EINVAL
		}
		at := -1
		for n := range g.sources {
			if g.sources[n] == src {
				at = n
			}
		}
		switch {
		case add && at >= 0, !add && at < 0:
			return unix.EADDRNOTAVAIL
		case add:
			if g.exclude != exclude {
				return unix.EINVAL
			}
			g.sources = append(g.sources, src)
		default:
			g.sources = append(g.sources[:at:at], g.sources[at+1:]...)
			if len(g.sources) == 0 && !g.exclude {
				gone := *g
				s.groups = append(s.groups[:k:k], s.groups[k+1:]...)
				gone.forget()
			}
		}
		return nil
	}
	if !add || exclude {
		if exclude {
			return unix.EINVAL
		}
		return unix.EADDRNOTAVAIL
	}
	return s.enter(group{ip: ip, index: i.Index, sources: []IP{src}}, i)
}
