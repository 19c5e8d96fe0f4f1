package dhcp

import (
	"encoding/binary"

	"husk/kernel/inet"
)

// Message types (RFC 2132, 9.6).
const (
	discover = 1
	offer    = 2
	request  = 3
	decline  = 4
	ack      = 5
	nak      = 6
	release  = 7
)

// Options (RFC 2132; 119: RFC 3397; 121: RFC 3442).
const (
	optPad          = 0
	optMask         = 1
	optRouter       = 3
	optDNS          = 6
	optHostName     = 12
	optDomain       = 15
	optMTU          = 26
	optRequestedIP  = 50
	optLeaseTime    = 51
	optOverload     = 52
	optType         = 53
	optServer       = 54
	optParameters   = 55
	optMaxSize      = 57
	optRenewal      = 58
	optRebinding    = 59
	optClientID     = 61
	optSearch       = 119
	optStaticRoutes = 121
	optEnd          = 255
)

// Places in a message (RFC 2131, 2).
const (
	atXID     = 4
	atCIAddr  = 12
	atYIAddr  = 16
	atCHAddr  = 28
	atSName   = 44
	atFile    = 108
	atCookie  = 236
	atOptions = 240
	leastSize = 300 // some servers drop less

	cookie = 0x63825363
)

// Sizes and ports of what is around a message.
const (
	ethernetSize = 14
	ip4Size      = 20
	udpSize      = 8
	headers      = ethernetSize + ip4Size + udpSize
	clientPort   = 68
	serverPort   = 67
	protocolUDP  = 17
	etherTypeIP4 = 0x0800
)

// message is what goes to the server.
type message struct {
	kind     byte
	xid      uint32
	mac      [6]byte
	client   inet.IP // that we have already; zero: none
	asked    inet.IP // option 50; zero: none
	server   inet.IP // option 54; zero: none
	hostname string
	// Where the frame goes.
	toMAC [6]byte
	to    inet.IP
}

// frame makes the whole Ethernet frame.
func (m *message) frame() []byte {
	p := make([]byte, headers+atOptions, headers+leastSize+64)
	b := p[headers:]
	b[0], b[1], b[2] = 1, 1, 6 // a request, Ethernet, the length of its addresses
	binary.BigEndian.PutUint32(b[atXID:], m.xid)
	if m.client != (inet.IP{}) {
		copy(b[atCIAddr:], m.client.Bytes())
	}
	copy(b[atCHAddr:], m.mac[:])
	binary.BigEndian.PutUint32(b[atCookie:], cookie)
	p = append(p, optType, 1, m.kind)
	p = append(append(p, optClientID, 7, 1), m.mac[:]...)
	if m.asked != (inet.IP{}) {
		p = append(append(p, optRequestedIP, 4), m.asked.Bytes()...)
	}
	if m.server != (inet.IP{}) {
		p = append(append(p, optServer, 4), m.server.Bytes()...)
	}
	if n := len(m.hostname); n > 0 && n < 64 && m.kind != decline && m.kind != release {
		p = append(append(p, optHostName, byte(n)), m.hostname...)
	}
	if m.kind == discover || m.kind == request {
		p = append(p, optMaxSize, 2, 1500>>8, 1500&0xff)
		p = append(p, optParameters, 10, optMask, optStaticRoutes, optRouter, optDNS, optDomain, optSearch, optMTU, optLeaseTime, optRenewal, optRebinding)
	}
	p = append(p, optEnd)
	for len(p) < headers+leastSize {
		p = append(p, optPad)
	}
	m.wrap(p)
	return p
}

// wrap fills in the headers of Ethernet, IP and UDP.
func (m *message) wrap(p []byte) {
	copy(p, m.toMAC[:])
	copy(p[6:], m.mac[:])
	binary.BigEndian.PutUint16(p[12:], etherTypeIP4)
	ip := p[ethernetSize:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocolUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	if m.client != (inet.IP{}) {
		copy(ip[12:16], m.client.Bytes())
	}
	copy(ip[16:20], m.to.Bytes())
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:ip4Size], 0))
	udp := ip[ip4Size:]
	binary.BigEndian.PutUint16(udp[0:], clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	pseudo := uint32(protocolUDP) + uint32(len(udp))
	c := ^sum(udp, pseudo+uint32(sum(ip[12:20], 0)))
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], c)
}

// sum is the Internet checksum without its complement.
func sum(p []byte, s uint32) uint16 {
	for ; len(p) > 1; p = p[2:] {
		s += uint32(p[0])<<8 | uint32(p[1])
	}
	if len(p) > 0 {
		s += uint32(p[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// reply is what a server answered.
type reply struct {
	kind byte
	xid  uint32
	from [6]byte // who is next on the way to the server
	Lease
}

// parse reads a frame; it reports false unless it is a server's message for
// mac. The sum of UDP is the card's affair: between machines of one host
// nobody may ever have made it.
func parse(frame []byte, mac [6]byte) (r reply, ok bool) {
	if len(frame) < headers+atOptions || binary.BigEndian.Uint16(frame[12:]) != etherTypeIP4 {
		return r, false
	}
	ip := frame[ethernetSize:]
	head := int(ip[0]&15) * 4
	if ip[0]>>4 != 4 || head < ip4Size || ip[9] != protocolUDP || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || len(ip) < head+udpSize {
		return r, false
	}
	udp := ip[head:]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[0:]) != serverPort || binary.BigEndian.Uint16(udp[2:]) != clientPort || size > len(udp) || size < udpSize+atOptions {
		return r, false
	}
	b := udp[udpSize:size]
	if b[0] != 2 || b[1] != 1 || b[2] != 6 || [6]byte(b[atCHAddr:]) != mac || binary.BigEndian.Uint32(b[atCookie:]) != cookie {
		return r, false
	}
	copy(r.from[:], frame[6:12])
	r.xid = binary.BigEndian.Uint32(b[atXID:])
	r.IP = inet.IPFrom(b[atYIAddr : atYIAddr+4])
	r.Bits = -1
	overload := r.options(b[atOptions:])
	if overload&1 != 0 {
		r.options(b[atFile:atCookie])
	}
	if overload&2 != 0 {
		r.options(b[atSName:atFile])
	}
	r.complete()
	return r, r.kind != 0
}

// options reads a field of options and returns the value of "overload".
func (r *reply) options(p []byte) (overload byte) {
	for len(p) > 0 && p[0] != optEnd {
		if p[0] == optPad {
			p = p[1:]
			continue
		}
		if len(p) < 2 || len(p) < 2+int(p[1]) {
			break
		}
		code, v := p[0], p[2:2+int(p[1])]
		p = p[2+len(v):]
		if code == optOverload && len(v) == 1 {
			overload = v[0]
			continue
		}
		r.option(code, v)
	}
	return overload
}

func (r *reply) option(code byte, v []byte) {
	seconds := func() uint32 {
		if len(v) != 4 {
			return 0
		}
		return binary.BigEndian.Uint32(v)
	}
	switch code {
	case optType:
		if len(v) == 1 {
			r.kind = v[0]
		}
	case optMask:
		if len(v) == 4 {
			m := binary.BigEndian.Uint32(v)
			r.Bits = 0
			for ; m&(1<<31) != 0; m <<= 1 {
				r.Bits++
			}
			if m != 0 {
				r.Bits = -1 // not the mask of a prefix
			}
		}
	case optServer:
		if len(v) == 4 {
			r.Server = inet.IPFrom(v)
		}
	case optRouter:
		r.Routers = addresses(r.Routers, v)
	case optDNS:
		r.DNS = addresses(r.DNS, v)
	case optDomain:
		if name := string(v); Plain(name) {
			r.Domain = name
		}
	case optSearch:
		r.search = append(r.search, v...) // may come in pieces
	case optStaticRoutes:
		r.routes = append(r.routes, v...)
	case optMTU:
		if len(v) == 2 {
			r.MTU = int(binary.BigEndian.Uint16(v))
		}
	case optLeaseTime:
		r.Seconds = seconds()
	case optRenewal:
		r.Renew = seconds()
	case optRebinding:
		r.Rebind = seconds()
	}
}

// most bounds lists of addresses and names that a server sends.
const most = 16

func addresses(list []inet.IP, v []byte) []inet.IP {
	for ; len(v) >= 4 && len(list) < most; v = v[4:] {
		if ip := inet.IPFrom(v[:4]); !ip.Any() {
			list = append(list, ip)
		}
	}
	return list
}

// complete settles what depends on several options.
func (r *reply) complete() {
	if r.Bits < 0 {
		switch b := r.IP.Bytes()[0]; { // the class of the address
		case b < 128:
			r.Bits = 8
		case b < 192:
			r.Bits = 16
		default:
			r.Bits = 24
		}
	}
	if r.Seconds == 0 {
		r.Seconds = 1 // cannot be; a server that says so is asked again
	}
	if r.Renew == 0 || r.Renew >= r.Seconds {
		r.Renew = r.Seconds / 2
	}
	if r.Rebind <= r.Renew || r.Rebind >= r.Seconds {
		r.Rebind = r.Renew + (r.Seconds-r.Renew)*3/4
	}
	r.Search = names(r.search)
	if len(r.Search) == 0 && r.Domain != "" {
		r.Search = []string{r.Domain}
	}
	r.staticRoutes()
}

// staticRoutes reads option 121, which replaces the routers (RFC 3442): for
// each route the length of its prefix, as much of it as that needs, and the
// router, 0.0.0.0 for the link itself.
func (r *reply) staticRoutes() {
	p := r.routes
	first := true
	for len(p) > 0 && len(r.Routes) < most {
		bits := int(p[0])
		n := (bits + 7) / 8
		if bits > 32 || len(p) < 1+n+4 {
			return
		}
		if first {
			r.Routers, first = nil, false
		}
		var dst [4]byte
		copy(dst[:], p[1:1+n])
		route := Route{Dst: inet.IPFrom(dst[:]), Bits: bits, Router: inet.IPFrom(p[1+n : 5+n])}
		p = p[5+n:]
		if bits == 0 && !route.Router.Any() {
			r.Routers = append(r.Routers, route.Router)
			continue
		}
		r.Routes = append(r.Routes, route)
	}
}

// names reads the domains of option 119 (RFC 1035, 4.1.4: labels, which may
// end in the place where the rest stands).
func names(p []byte) []string {
	var list []string
	for at := 0; at < len(p) && len(list) < most; {
		name, next := domain(p, at)
		if next <= at {
			return list
		}
		if Plain(name) {
			list = append(list, name)
		}
		at = next
	}
	return list
}

func domain(p []byte, at int) (name string, next int) {
	for jumps := 0; at < len(p); {
		n := int(p[at])
		switch {
		case n == 0:
			if next == 0 {
				next = at + 1
			}
			return name, next
		case n >= 0xc0:
			if at+1 >= len(p) || jumps > most {
				return "", 0
			}
			if next == 0 {
				next = at + 2
			}
			at = n&0x3f<<8 | int(p[at+1])
			jumps++
		case n >= 64 || at+1+n > len(p) || len(name) > 255:
			return "", 0
		default:
			if name != "" {
				name += "."
			}
			name += string(p[at+1 : at+1+n])
			at += 1 + n
		}
	}
	return "", 0
}

// Plain reports whether a name can stand in /etc/resolv.conf: what a server
// sends must not become a line of its own there.
func Plain(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return name != "" && len(name) < 256
}
