package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/socket"
	"husk/kernel/vfs"
)

// ipNumber reads a value of an option of SOL_IP, which may be a byte.
func ipNumber(v []byte) int32 {
	switch {
	case len(v) >= 4:
		return number(v)
	case len(v) >= 1:
		return int32(v[0])
	}
	return 0
}

func (s *sock) setIP(c vfs.Caller, u *udp, name int, v []byte) error {
	n := ipNumber(v)
	raw := u != nil && u.kind == kindRaw
	switch name {
	case unix.IP_TOS:
		if s.Type == unix.SOCK_STREAM {
			n &^= 3
		}
		s.SetPriority(priorityOf[n>>1&15])
		n &= 0xff
	case unix.IP_OPTIONS:
		if len(v) > 40 {
			return unix.EINVAL
		}
		return nil
	case unix.IP_HDRINCL:
		if !raw {
			return unix.ENOPROTOOPT
		}
		n = truth(n != 0)
	case unix.IP_ROUTER_ALERT, unix.IP_NODEFRAG:
		if !raw {
			return unix.ENOPROTOOPT
		}
		return nil
	case unix.IP_TTL:
		if len(v) < 1 {
			return unix.EINVAL
		}
		if n != -1 && (n < 1 || n > 255) {
			return unix.EINVAL
		}
		if n == -1 {
			n = 64
		}
	case unix.IP_UNICAST_IF:
		if len(v) != 4 {
			return unix.EINVAL
		}
		n = int32(binary.BigEndian.Uint32(v))
		if n != 0 && ByIndex(int(n)) == nil {
			return unix.EADDRNOTAVAIL
		}
	case unix.IP_MULTICAST_IF:
		return s.setGroupIF(v)
	case unix.IP_ADD_MEMBERSHIP, unix.IP_DROP_MEMBERSHIP:
		return u.membership4(name, v)
	case unix.IP_ADD_SOURCE_MEMBERSHIP, unix.IP_DROP_SOURCE_MEMBERSHIP, unix.IP_BLOCK_SOURCE, unix.IP_UNBLOCK_SOURCE:
		return u.source4(name, v)
	case mcastJoin, mcastLeave:
		return u.membershipAny(name, v)
	case mcastJoinSource, mcastLeaveSource, mcastBlock, mcastUnblock:
		return u.sourceAny(name, v)
	case unix.IP_MULTICAST_TTL, unix.IP_MULTICAST_LOOP, unix.IP_MULTICAST_ALL:
		if len(v) < 1 {
			return unix.EINVAL
		}
		fallthrough
	default:
		r := ruleOf(levelIP, name)
		if r == nil {
			return unix.ENOPROTOOPT
		}
		if r.admin && n != 0 && !c.Cred().Has(unix.CAP_NET_ADMIN) && !c.Cred().Has(unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		if r.dgram && s.Type == unix.SOCK_STREAM {
			return unix.EINVAL
		}
		var err error
		if n, err = r.check(n); err != nil {
			return err
		}
		s.mark(r.mark, n != 0)
	}
	s.setValue(levelIP, name, n)
	s.tell(u, levelIP, name, int(n))
	return nil
}

// tell passes a setting on to the part outside of a datagram socket.
func (s *sock) tell(u *udp, level, name, n int) {
	if u != nil && u.hasOut.Load() {
		net.Lock()
		e := u.out
		net.Unlock()
		if e != nil {
			_ = e.Set(level, name, n)
		}
	}
}

// priorityOf is the priority of a type of service (tc-prio(8)).
var priorityOf = [16]int32{0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4}

func (s *settings) mark(bit uint32, on bool) {
	if on {
		s.marks.Or(bit)
	} else {
		s.marks.And(^bit)
	}
}

func (s *sock) setIP6(c vfs.Caller, u *udp, name int, v []byte) error {
	switch name {
	case unix.IPV6_PKTINFO, unix.IPV6_HOPOPTS, unix.IPV6_DSTOPTS, unix.IPV6_RTHDR, unix.IPV6_RTHDRDSTOPTS, unix.IPV6_2292PKTOPTIONS, unix.IPV6_NEXTHOP:
		return nil
	case mcastJoin, mcastLeave:
		return u.membershipAny(name, v)
	case mcastJoinSource, mcastLeaveSource, mcastBlock, mcastUnblock:
		return u.sourceAny(name, v)
	case unix.IPV6_JOIN_GROUP, unix.IPV6_LEAVE_GROUP:
		if u == nil {
			return unix.EPROTO
		}
		if len(v) < 20 {
			return unix.EINVAL
		}
		ip := IPFrom(v[:16])
		if ip.Is4() {
			return unix.EINVAL
		}
		if name == unix.IPV6_JOIN_GROUP {
			return u.join(ip, int(number(v[16:])))
		}
		return u.leave(ip, int(number(v[16:])))
	}
	if name == unix.IPV6_DONTFRAG && len(v) < 4 {
		v = make([]byte, 4) // Linux does not look
	}
	if r := ruleOf(levelIP6, name); r != nil && r.dgram && s.Type == unix.SOCK_STREAM {
		return unix.ENOPROTOOPT
	}
	if len(v) < 4 {
		if name >= 100 {
			return unix.ENOPROTOOPT // there are none up there
		}
		return unix.EINVAL
	}
	n := number(v)
	switch name {
	case unix.IPV6_V6ONLY:
		net.Lock()
		bound := s.port != nil
		net.Unlock()
		if bound {
			return unix.EINVAL
		}
		s.only6.Store(n != 0)
		return nil
	case unix.IPV6_ADDRFORM:
		if n != unix.AF_INET {
			return unix.EINVAL
		}
		return unix.ENOTCONN
	case unix.IPV6_MULTICAST_IF, unix.IPV6_UNICAST_IF:
		if s.Type == unix.SOCK_STREAM && name == unix.IPV6_MULTICAST_IF {
			return unix.ENOPROTOOPT
		}
		if name == unix.IPV6_UNICAST_IF {
			n = int32(binary.BigEndian.Uint32(v))
		}
		if n < 0 || n != 0 && ByIndex(int(n)) == nil {
			if name == unix.IPV6_UNICAST_IF {
				return unix.EADDRNOTAVAIL
			}
			return unix.ENODEV
		}
	case unix.IPV6_MTU:
		if n != 0 && n < 1280 {
			return unix.EINVAL
		}
		return nil
	case unix.IPV6_ROUTER_ALERT:
		return unix.ENOPROTOOPT
	default:
		r := ruleOf(levelIP6, name)
		if r == nil {
			return unix.ENOPROTOOPT
		}
		if r.admin && n != 0 && !c.Cred().Has(unix.CAP_NET_ADMIN) && !c.Cred().Has(unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		var err error
		if n, err = r.check(n); err != nil {
			return err
		}
		if name == unix.IPV6_TCLASS && s.Type == unix.SOCK_STREAM {
			n &^= 3 // congestion is TCP's affair
		}
		s.mark(r.mark, n != 0)
	}
	s.setValue(levelIP6, name, n)
	s.tell(u, levelIP6, name, int(n))
	return nil
}

func (s *sock) ipOption(name int, v []byte) (int, error) {
	n := int32(0)
	switch name {
	case unix.IP_OPTIONS:
		return 0, nil
	case unix.IP_PKTOPTIONS:
		if s.Type != unix.SOCK_STREAM {
			return 0, unix.ENOPROTOOPT
		}
		return 0, nil
	case unix.IP_HDRINCL, unix.IP_ROUTER_ALERT, unix.IP_NODEFRAG:
		n = s.value(levelIP, name)
	case unix.IP_MULTICAST_IF:
		s.setMu.Lock()
		ip := s.groupIF
		s.setMu.Unlock()
		return copy(v, ip[12:]), nil
	case unix.IP_UNICAST_IF:
		var p [4]byte
		binary.BigEndian.PutUint32(p[:], uint32(s.value(levelIP, name)))
		return copy(v, p[:]), nil
	case unix.IP_MTU:
		mtu, err := s.pathMTU()
		if err != nil {
			return 0, err
		}
		n = mtu
	case 52: // IP_PROTOCOL
		n = int32(s.Protocol)
	default:
		if ruleOf(levelIP, name) == nil {
			return 0, unix.ENOPROTOOPT
		}
		n = s.value(levelIP, name)
		if name == unix.IP_MULTICAST_ALL && s.v6 && !s.some.Load() {
			n = 0 // Linux gives sockets of IPv6 another start
		}
	}
	// A small value may be read as a byte.
	if len(v) < 4 && len(v) > 0 && n >= 0 && n <= 255 {
		v[0] = byte(n)
		return 1, nil
	}
	return socket.PutInt(v, n), nil
}

// pathMTU is IP_MTU of a socket that is connected.
func (s *sock) pathMTU() (int32, error) {
	net.Lock()
	to := s.remote
	net.Unlock()
	if to.IP.Any() {
		return 0, unix.ENOTCONN
	}
	if local(&to.IP) != nil {
		if to.IP.Is4() {
			return 65535, nil
		}
		return 65536, nil
	}
	r, ok := route(&to.IP, 0)
	if !ok {
		return 0, unix.ENOTCONN
	}
	if r.MTU != 0 {
		return int32(r.MTU), nil
	}
	return int32(ByIndex(r.Index).Snapshot().MTU), nil
}

func (s *sock) ip6Option(name int, v []byte) (int, error) {
	n := int32(0)
	switch name {
	case unix.IPV6_V6ONLY:
		n = truth(s.only6.Load())
	case unix.IPV6_MTU:
		mtu, err := s.pathMTU()
		if err != nil {
			return 0, err
		}
		n = mtu
	case unix.IPV6_MULTICAST_IF, unix.IPV6_ROUTER_ALERT:
		n = s.value(levelIP6, name)
	case unix.IPV6_UNICAST_IF:
		var p [4]byte
		binary.BigEndian.PutUint32(p[:], uint32(s.value(levelIP6, name)))
		return copy(v, p[:]), nil
	case unix.IPV6_HOPOPTS, unix.IPV6_RTHDRDSTOPTS, unix.IPV6_RTHDR, unix.IPV6_DSTOPTS:
		return 0, nil
	case unix.IPV6_2292PKTOPTIONS:
		if s.Type != unix.SOCK_STREAM {
			return 0, unix.ENOPROTOOPT
		}
		return 0, nil
	default:
		if ruleOf(levelIP6, name) == nil {
			return 0, unix.ENOPROTOOPT
		}
		n = s.value(levelIP6, name)
	}
	return socket.PutInt(v, n), nil
}
