package inet

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The levels of options.
const (
	levelIP  = unix.SOL_IP
	levelTCP = unix.SOL_TCP
	levelUDP = unix.SOL_UDP
	levelIP6 = unix.SOL_IPV6
)

// settings are the options of a socket that differ from what a fresh one has:
// most sockets have none or a few.
type settings struct {
	setMu sync.Mutex
	set   []setting
	some  atomic.Bool // set is not empty

	marks        atomic.Uint32 // what the program wants to be told with a datagram
	stampNanoNew atomic.Bool   // SO_TIMESTAMPNS_NEW
	congestion   string        // TCP_CONGESTION; empty: cubic. Guarded by setMu
	groupIF      IP            // IP_MULTICAST_IF as it was set. Guarded by setMu
}

type setting struct {
	level, name uint8
	v           int32
}

// What marks holds.
const (
	markPktinfo = 1 << iota
	markTTL
	markTOS
	markOrigDst
	markPktinfo6
	markHops6
	markClass6
	markOrigDst6
)

// value is an option of int type.
func (s *settings) value(level, name int) int32 {
	if s.some.Load() {
		s.setMu.Lock()
		defer s.setMu.Unlock()
		for i := range s.set {
			if o := &s.set[i]; int(o.level) == level && int(o.name) == name {
				return o.v
			}
		}
	}
	if r := ruleOf(level, name); r != nil {
		return r.initial()
	}
	return 0
}

func (s *settings) flagSet(level, name int) bool { return s.some.Load() && s.value(level, name) != 0 }

func (s *settings) setValue(level, name int, v int32) {
	s.setMu.Lock()
	defer s.setMu.Unlock()
	for i := range s.set {
		if o := &s.set[i]; int(o.level) == level && int(o.name) == name {
			o.v = v
			return
		}
	}
	s.set = append(s.set, setting{uint8(level), uint8(name), v})
	s.some.Store(true)
}

// inherit takes over a listener's.
func (s *settings) inherit(l *settings) {
	if l.some.Load() {
		l.setMu.Lock()
		s.set = append([]setting(nil), l.set...)
		s.congestion = l.congestion
		l.setMu.Unlock()
		s.some.Store(true)
	}
	s.marks.Store(l.marks.Load())
	s.stampNanoNew.Store(l.stampNanoNew.Load())
}

// passed are the options of SOL_SOCKET that a Stack is told of.
var passed = [...]int{unix.SO_KEEPALIVE, unix.SO_SNDBUF, unix.SO_RCVBUF}

// passOne tells e of one of them, if it is not as in a fresh socket.
func (s *sock) passOne(e Endpoint, name int) {
	switch name {
	case unix.SO_KEEPALIVE:
		_ = e.Set(unix.SOL_SOCKET, name, int(truth(s.Flag(name))))
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		if s.SendLocked() {
			_ = e.Set(unix.SOL_SOCKET, unix.SO_SNDBUF, int(s.SendBuffer.Load()))
		}
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		if s.RecvLocked() {
			_ = e.Set(unix.SOL_SOCKET, unix.SO_RCVBUF, int(s.RecvBuffer.Load()))
		}
	}
}

// pass tells a new Endpoint of the options.
func (s *sock) pass(e Endpoint) {
	for _, name := range passed {
		s.passOne(e, name)
	}
	if s.only6.Load() {
		_ = e.Set(levelIP6, unix.IPV6_V6ONLY, 1)
	}
	if !s.some.Load() {
		return
	}
	s.setMu.Lock()
	list := append([]setting(nil), s.set...)
	s.setMu.Unlock()
	for _, o := range list {
		_ = e.Set(int(o.level), int(o.name), int(o.v))
	}
}

// A rule is what setsockopt(2) accepts for an option.
type rule struct {
	level, name uint8
	kind        uint8
	least, most int32
	fresh       int32
	dgram       bool // not for sockets of TCP
	admin       bool // needs CAP_NET_ADMIN or, to be lenient as Linux, CAP_NET_RAW
	mark        uint32
	home        *int64 // the setting that is the fresh value, nil: fresh
}

// initial is what a fresh socket has.
func (r *rule) initial() int32 {
	if r.home != nil {
		return int32(tunable(r.home))
	}
	return r.fresh
}

// The kinds of options.
const (
	kindBool    = iota // 0 or 1
	kindRange          // EINVAL outside of it
	kindDefault        // a range, in which -1 stands for what a fresh socket has
	kindGet            // only read
)

// rules are the options of int type that need no work of their own.
var rules = [...]rule{
	{level: levelIP, name: unix.IP_TOS, kind: kindRange, least: -1 << 31, most: 1<<31 - 1},
	{level: levelIP, name: unix.IP_TTL, kind: kindDefault, least: 1, most: 255, home: &defaultTTL},
	{level: levelIP, name: unix.IP_RECVOPTS},
	{level: levelIP, name: unix.IP_RETOPTS},
	{level: levelIP, name: unix.IP_PKTINFO, mark: markPktinfo},
	{level: levelIP, name: unix.IP_MTU_DISCOVER, kind: kindRange, most: 5, fresh: 1},
	{level: levelIP, name: unix.IP_RECVERR},
	{level: levelIP, name: unix.IP_RECVTTL, mark: markTTL},
	{level: levelIP, name: unix.IP_RECVTOS, mark: markTOS},
	{level: levelIP, name: unix.IP_FREEBIND},
	{level: levelIP, name: unix.IP_PASSSEC},
	{level: levelIP, name: unix.IP_TRANSPARENT, admin: true},
	{level: levelIP, name: unix.IP_RECVORIGDSTADDR, mark: markOrigDst},
	{level: levelIP, name: unix.IP_MINTTL, kind: kindRange, most: 255},
	{level: levelIP, name: 23}, // IP_CHECKSUM
	{level: levelIP, name: unix.IP_BIND_ADDRESS_NO_PORT},
	{level: levelIP, name: 25, dgram: true}, // IP_RECVFRAGSIZE
	{level: levelIP, name: 26},              // IP_RECVERR_RFC4884
	{level: levelIP, name: unix.IP_MULTICAST_TTL, kind: kindDefault, most: 255, fresh: 1, dgram: true},
	{level: levelIP, name: unix.IP_MULTICAST_LOOP, fresh: 1},
	{level: levelIP, name: unix.IP_MULTICAST_ALL, fresh: 1, kind: kindRange, most: 1},
	{level: levelIP, name: 51, kind: kindRange, least: -1 << 31, most: 1<<31 - 1}, // IP_LOCAL_PORT_RANGE

	{level: levelIP6, name: 2}, // the options of RFC 2292
	{level: levelIP6, name: 3},
	{level: levelIP6, name: 4},
	{level: levelIP6, name: 5},
	{level: levelIP6, name: 8},
	{level: levelIP6, name: 11},
	{level: levelIP6, name: unix.IPV6_UNICAST_HOPS, kind: kindDefault, most: 255, fresh: 64},
	{level: levelIP6, name: unix.IPV6_MULTICAST_HOPS, kind: kindDefault, most: 255, fresh: 1, dgram: true},
	{level: levelIP6, name: unix.IPV6_MULTICAST_LOOP, kind: kindRange, most: 1, fresh: 1},
	{level: levelIP6, name: unix.IPV6_MTU_DISCOVER, kind: kindRange, most: 5, fresh: 1},
	{level: levelIP6, name: unix.IPV6_RECVERR},
	{level: levelIP6, name: 29, kind: kindRange, most: 1, fresh: 1}, // IPV6_MULTICAST_ALL
	{level: levelIP6, name: 30}, // IPV6_ROUTER_ALERT_ISOLATE
	{level: levelIP6, name: 33}, // IPV6_FLOWINFO_SEND
	{level: levelIP6, name: unix.IPV6_RECVPKTINFO, mark: markPktinfo6},
	{level: levelIP6, name: unix.IPV6_RECVHOPLIMIT, mark: markHops6},
	{level: levelIP6, name: unix.IPV6_RECVHOPOPTS},
	{level: levelIP6, name: unix.IPV6_RECVRTHDR},
	{level: levelIP6, name: unix.IPV6_RECVDSTOPTS},
	{level: levelIP6, name: unix.IPV6_RECVPATHMTU},
	{level: levelIP6, name: unix.IPV6_DONTFRAG},
	{level: levelIP6, name: unix.IPV6_RECVTCLASS, mark: markClass6},
	{level: levelIP6, name: unix.IPV6_TCLASS, kind: kindDefault, most: 255},
	{level: levelIP6, name: unix.IPV6_AUTOFLOWLABEL, fresh: 1},
	{level: levelIP6, name: unix.IPV6_ADDR_PREFERENCES, kind: kindRange, most: 0xffff, fresh: 1280},
	{level: levelIP6, name: unix.IPV6_MINHOPCOUNT, kind: kindRange, most: 255},
	{level: levelIP6, name: unix.IPV6_ORIGDSTADDR, mark: markOrigDst6},
	{level: levelIP6, name: unix.IPV6_TRANSPARENT, admin: true},
	{level: levelIP6, name: 77}, // IPV6_RECVFRAGSIZE
	{level: levelIP6, name: unix.IPV6_FREEBIND},

	{level: levelTCP, name: unix.TCP_NODELAY},
	{level: levelTCP, name: unix.TCP_CORK},
	{level: levelTCP, name: unix.TCP_KEEPIDLE, kind: kindRange, least: 1, most: 32767, home: &keepIdle},
	{level: levelTCP, name: unix.TCP_KEEPINTVL, kind: kindRange, least: 1, most: 32767, home: &keepInterval},
	{level: levelTCP, name: unix.TCP_KEEPCNT, kind: kindRange, least: 1, most: 127, home: &keepProbes},
	{level: levelTCP, name: unix.TCP_SYNCNT, kind: kindRange, least: 1, most: 127, home: &synRetries},
	{level: levelTCP, name: unix.TCP_LINGER2, kind: kindRange, least: -1 << 31, most: 1<<31 - 1, home: &finTimeout},
	{level: levelTCP, name: unix.TCP_DEFER_ACCEPT, kind: kindRange, least: -1 << 31, most: 1<<31 - 1},
	{level: levelTCP, name: unix.TCP_QUICKACK, fresh: 1},
	{level: levelTCP, name: unix.TCP_THIN_LINEAR_TIMEOUTS, kind: kindRange, most: 1},
	{level: levelTCP, name: unix.TCP_THIN_DUPACK, kind: kindRange, most: 1},
	{level: levelTCP, name: unix.TCP_USER_TIMEOUT, kind: kindRange, most: 1<<31 - 1},
	{level: levelTCP, name: unix.TCP_NOTSENT_LOWAT, kind: kindRange, least: -1 << 31, most: 1<<31 - 1},
	{level: levelTCP, name: unix.TCP_SAVE_SYN, kind: kindRange, most: 2},
	{level: levelTCP, name: unix.TCP_FASTOPEN, kind: kindRange, most: 1<<31 - 1},
	{level: levelTCP, name: unix.TCP_FASTOPEN_CONNECT, kind: kindRange, most: 1},
	{level: levelTCP, name: unix.TCP_FASTOPEN_NO_COOKIE, kind: kindRange, most: 1},
	{level: levelTCP, name: unix.TCP_INQ, kind: kindRange, most: 1},
	{level: levelTCP, name: 37, kind: kindRange, most: 1<<31 - 1}, // TCP_TX_DELAY

	{level: levelUDP, name: unix.UDP_CORK},
	{level: levelUDP, name: unix.UDP_NO_CHECK6_TX},
	{level: levelUDP, name: unix.UDP_NO_CHECK6_RX},
	{level: levelUDP, name: unix.UDP_SEGMENT, kind: kindRange, most: 65535},
	{level: levelUDP, name: unix.UDP_GRO},
}

func ruleOf(level, name int) *rule {
	for i := range rules {
		if r := &rules[i]; int(r.name) == name && int(r.level) == level {
			return r
		}
	}
	return nil
}
