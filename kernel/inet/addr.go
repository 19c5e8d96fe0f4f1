package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// IP is an address of either family; one of IPv4 is written as IPv6 maps it
// (::ffff:a.b.c.d), so that one comparison serves both.
type IP [16]byte

var (
	any4      = IP{10: 0xff, 11: 0xff}
	any6      = IP{}
	loopback4 = IP4(127, 0, 0, 1)
	loopback6 = IP{15: 1}
	broadcast = IP4(255, 255, 255, 255)
)

// IP4 makes the address a.b.c.d.
func IP4(a, b, c, d byte) IP { return IP{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d} }

// IPFrom makes an address of 4 or 16 bytes.
func IPFrom(p []byte) (ip IP) {
	if len(p) == 4 {
		return IP4(p[0], p[1], p[2], p[3])
	}
	copy(ip[:], p)
	return ip
}

// Is4 reports whether ip is of IPv4.
func (ip *IP) Is4() bool {
	return binary.NativeEndian.Uint64(ip[:]) == 0 && binary.LittleEndian.Uint32(ip[8:]) == 0xffff0000
}

// Bytes is the address as its family writes it: 4 or 16 bytes.
func (ip *IP) Bytes() []byte {
	if ip.Is4() {
		return ip[12:]
	}
	return ip[:]
}

// Any reports whether ip is the unspecified address of its family.
func (ip *IP) Any() bool { return *ip == any4 || *ip == any6 }

// Loopback reports whether ip is 127.0.0.0/8 or ::1.
func (ip *IP) Loopback() bool { return ip.Is4() && ip[12] == 127 || *ip == loopback6 }

// Multicast reports whether ip is 224.0.0.0/4 or ff00::/8.
func (ip *IP) Multicast() bool { return ip.Is4() && ip[12]&0xf0 == 224 || ip[0] == 0xff }

// LinkLocal reports whether ip is fe80::/10, which needs a scope.
func (ip *IP) LinkLocal() bool { return ip[0] == 0xfe && ip[1]&0xc0 == 0x80 }

// Within reports whether ip is in prefix/bits; bits are those of the family
// (0 to 32, or to 128).
func (ip *IP) Within(prefix *IP, bits int) bool {
	if prefix.Is4() != ip.Is4() {
		return false
	}
	if ip.Is4() {
		bits += 96
	}
	n := bits / 8
	if string(ip[:n]) != string(prefix[:n]) {
		return false
	}
	rest := bits % 8
	return rest == 0 || (ip[n]^prefix[n])>>(8-rest) == 0
}

// AddrPort is where a socket is: IP, port and for link-local addresses the interface.
type AddrPort struct {
	IP    IP
	Port  uint16
	Scope uint32
}

// size of struct sockaddr_in and sockaddr_in6; the latter without its last
// field was the first form of it (RFC 2133) and is still accepted.
const (
	sockaddr4    = 16
	sockaddr6    = 28
	sockaddr6Old = 24
)

// parse4 decodes a sockaddr_in whose family was checked.
func parse4(raw []byte) AddrPort {
	return AddrPort{IP: IPFrom(raw[4:8]), Port: binary.BigEndian.Uint16(raw[2:])}
}

// parse6 decodes a sockaddr_in6.
func parse6(raw []byte) AddrPort {
	a := AddrPort{IP: IPFrom(raw[8:24]), Port: binary.BigEndian.Uint16(raw[2:])}
	if len(raw) >= sockaddr6 && a.IP.LinkLocal() {
		a.Scope = binary.NativeEndian.Uint32(raw[24:])
	}
	return a
}

// raw encodes a as a sockaddr of the socket's family.
func (a *AddrPort) raw(family int) []byte {
	if family == unix.AF_INET {
		p := make([]byte, sockaddr4)
		p[0] = unix.AF_INET
		binary.BigEndian.PutUint16(p[2:], a.Port)
		copy(p[4:], a.IP[12:])
		return p
	}
	p := make([]byte, sockaddr6)
	p[0] = unix.AF_INET6
	binary.BigEndian.PutUint16(p[2:], a.Port)
	copy(p[8:], a.IP[:])
	binary.NativeEndian.PutUint32(p[24:], a.Scope)
	return p
}
