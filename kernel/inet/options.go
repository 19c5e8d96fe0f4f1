package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/socket"
	"husk/kernel/vfs"
)

func number(v []byte) int32 { return int32(binary.NativeEndian.Uint32(v)) }

// OptionSet tells the part outside of an option of SOL_SOCKET.
func (s *udp) OptionSet(name int) {
	if s.hasOut.Load() {
		net.Lock()
		e := s.out
		net.Unlock()
		if e != nil {
			s.passOne(e, name)
		}
	}
}

func (r *rule) check(n int32) (int32, error) {
	switch r.kind {
	case kindBool:
		return truth(n != 0), nil
	case kindDefault:
		if n == -1 {
			return r.initial(), nil
		}
	case kindGet:
		return 0, unix.ENOPROTOOPT
	}
	if n < r.least || n > r.most {
		return 0, unix.EINVAL
	}
	return n, nil
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// text is a string that ends at its first NUL.
func text(v []byte) string {
	for i, b := range v {
		if b == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// The largest segments between two sockets of one machine and of a fresh
// socket.
const (
	mssLoopback = 32741
	mssFresh    = 536
)

// SetOption serves setsockopt(2) of a datagram socket.
func (s *udp) SetOption(c vfs.Caller, level, name int, v []byte) error {
	switch {
	case level == levelUDP && s.kind == kindUDP:
		if len(v) < 4 {
			return unix.EINVAL
		}
		r := ruleOf(level, name)
		if r == nil {
			return unix.ENOPROTOOPT
		}
		n, err := r.check(number(v))
		if err != nil {
			return err
		}
		s.setValue(level, name, n)
		if name == unix.UDP_CORK && n == 0 {
			return s.uncork()
		}
		return nil
	case level == unix.SOL_RAW && s.kind == kindRaw && !s.v6 && s.Protocol == unix.IPPROTO_ICMP && name == icmpFilter:
		var p [4]byte
		copy(p[:], v)
		s.filter.Store(binary.NativeEndian.Uint32(p[:]))
		return nil
	case level == unix.SOL_ICMPV6 && s.kind != kindUDP && s.v6:
		return nil // what comes is not filtered
	case s.kind == kindRaw && s.v6 && (level == levelIP6 || level == unix.SOL_RAW) && name == unix.IPV6_CHECKSUM:
		if len(v) < 4 {
			return unix.EINVAL
		}
		return nil
	}
	return s.setOption(c, s, level, name, v)
}

// icmpFilter is ICMP_FILTER.
const icmpFilter = 1

// Option serves getsockopt(2) of a datagram socket.
func (s *udp) Option(c vfs.Caller, level, name int, v []byte) (int, error) {
	switch {
	case level == levelUDP && s.kind == kindUDP:
		if ruleOf(level, name) == nil {
			return 0, unix.ENOPROTOOPT
		}
		return socket.PutInt(v, s.value(level, name)), nil
	case level == unix.SOL_RAW && s.kind == kindRaw && name == icmpFilter:
		return socket.PutInt(v, int32(s.filter.Load())), nil
	}
	return s.option(c, s, level, name, v)
}

// setOption serves SOL_SOCKET as far as socket.Options does not, SOL_IP and
// SOL_IPV6. u is the socket where it takes datagrams.
func (s *sock) setOption(c vfs.Caller, u *udp, level, name int, v []byte) error {
	switch level {
	case unix.SOL_SOCKET:
		return s.setSocket(c, name, v)
	case levelIP:
		if s.v6 && s.Type == unix.SOCK_RAW {
			return unix.ENOPROTOOPT
		}
		return s.setIP(c, u, name, v)
	case levelIP6:
		if s.v6 {
			return s.setIP6(c, u, name, v)
		}
	}
	return unix.ENOPROTOOPT
}

func (s *sock) setSocket(c vfs.Caller, name int, v []byte) error {
	if name == unix.SO_BINDTODEVICE {
		return s.bindToDevice(c, text(v[:min(len(v), unix.IFNAMSIZ-1)]))
	}
	if len(v) < 4 {
		return unix.EINVAL
	}
	n := number(v)
	admin := c.Cred().Has(unix.CAP_NET_ADMIN)
	switch name {
	case unix.SO_BINDTOIFINDEX:
		if n < 0 {
			return unix.EINVAL
		}
		s.device.Store(n)
	case soTimestampNew, soTimestampNSNew:
		s.stampNanoNew.Store(name == soTimestampNSNew && n != 0)
	case unix.SO_MAX_PACING_RATE, unix.SO_TIMESTAMPING_NEW:
	case unix.SO_BUSY_POLL:
		if n > 0 && !admin {
			return unix.EPERM
		}
		if n < 0 {
			return unix.EINVAL
		}
	case unix.SO_PREFER_BUSY_POLL, unix.SO_BUSY_POLL_BUDGET:
		if n != 0 && !admin {
			return unix.EPERM
		}
	case unix.SO_BUF_LOCK:
		if n&^3 != 0 {
			return unix.EINVAL
		}
	case unix.SO_TXREHASH:
		if n < -1 || n > 1 {
			return unix.EINVAL
		}
		if s.Type != unix.SOCK_STREAM {
			return unix.EOPNOTSUPP
		}
	case unix.SO_RESERVE_MEM:
		if n < 0 {
			return unix.EINVAL
		}
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// bindToDevice is SO_BINDTODEVICE; an empty name undoes it.
func (s *sock) bindToDevice(c vfs.Caller, name string) error {
	if s.device.Load() != 0 && !c.Cred().Has(unix.CAP_NET_RAW) {
		return unix.EPERM
	}
	index := 0
	if name != "" {
		i := ByName(name)
		if i == nil {
			return unix.ENODEV
		}
		index = i.Index
	}
	s.device.Store(int32(index))
	net.Lock()
	if s.port != nil {
		s.port.device = int32(index)
	}
	net.Unlock()
	return nil
}

// option is setOption's counterpart.
func (s *sock) option(_ vfs.Caller, _ *udp, level, name int, v []byte) (int, error) {
	switch level {
	case unix.SOL_SOCKET:
		return s.socketOption(name, v)
	case levelIP:
		if !s.v6 || s.Type != unix.SOCK_RAW {
			return s.ipOption(name, v)
		}
	case levelIP6:
		if s.v6 {
			return s.ip6Option(name, v)
		}
	}
	if !s.v6 {
		return 0, unix.EOPNOTSUPP
	}
	return 0, unix.ENOPROTOOPT
}

func (s *sock) socketOption(name int, v []byte) (int, error) {
	n := int32(0)
	switch name {
	case unix.SO_BINDTODEVICE:
		i := ByIndex(int(s.device.Load()))
		if i == nil {
			return 0, nil
		}
		if len(v) < unix.IFNAMSIZ {
			return 0, unix.EINVAL
		}
		return copy(v, i.Snapshot().Name+"\x00"), nil
	case unix.SO_BINDTOIFINDEX:
		n = s.device.Load()
	case soTimestampNSNew:
		n = truth(s.stampNanoNew.Load())
	case unix.SO_COOKIE, unix.SO_NETNS_COOKIE:
		if len(v) < 8 {
			return 0, unix.EINVAL
		}
		cookie := uint64(1)
		if name == unix.SO_COOKIE {
			cookie = s.cookie()
		}
		binary.NativeEndian.PutUint64(v, cookie)
		return 8, nil
	case unix.SO_MEMINFO:
		var p [36]byte
		binary.NativeEndian.PutUint32(p[4:], uint32(s.RecvBuffer.Load()))
		binary.NativeEndian.PutUint32(p[12:], uint32(s.SendBuffer.Load()))
		return copy(v, p[:]), nil
	case unix.SO_MAX_PACING_RATE:
		var p [8]byte
		for i := range p {
			p[i] = 0xff
		}
		if len(v) >= 8 {
			return copy(v, p[:]), nil
		}
		return copy(v, p[:4]), nil
	case unix.SO_PEERNAME:
		net.Lock()
		to := s.remote
		net.Unlock()
		if to.Port == 0 {
			return 0, unix.ENOTCONN
		}
		raw := to.raw(s.Domain)
		if len(v) < len(raw) {
			return 0, unix.EINVAL
		}
		return copy(v, raw), nil
	case unix.SO_INCOMING_NAPI_ID, unix.SO_TXTIME, unix.SO_PREFER_BUSY_POLL, unix.SO_BUSY_POLL_BUDGET, unix.SO_BUF_LOCK, unix.SO_RESERVE_MEM, unix.SO_TIMESTAMPING_NEW:
		if name == unix.SO_BUF_LOCK {
			n = truth(s.SendLocked()) | truth(s.RecvLocked())<<1
		}
	case unix.SO_PEERCRED:
		var p [12]byte
		for i := 4; i < 12; i++ {
			p[i] = 0xff
		}
		return copy(v, p[:]), nil
	case unix.SO_TXREHASH:
		if s.Type != unix.SOCK_STREAM {
			return 0, unix.EOPNOTSUPP
		}
		n = 1
	default:
		return 0, unix.ENOPROTOOPT
	}
	return socket.PutInt(v, n), nil
}

// Options of memberships for both families (RFC 3678).
const (
	mcastJoin        = 42
	mcastBlock       = 43
	mcastUnblock     = 44
	mcastLeave       = 45
	mcastJoinSource  = 46
	mcastLeaveSource = 47
)
