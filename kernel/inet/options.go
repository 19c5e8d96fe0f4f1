package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/socket"
	"husk/kernel/vfs"
)

func number(v []byte) int32 { return int32(binary.NativeEndian.Uint32(v)) }

// SetOption serves setsockopt(2) of a TCP socket.
func (s *tcp) SetOption(c vfs.Caller, level, name int, v []byte) error {
	if level != levelTCP {
		return s.setOption(c, nil, level, name, v)
	}
	switch name {
	case unix.TCP_CONGESTION:
		return s.setCongestion(v)
	case unix.TCP_ULP:
		if len(v) == 0 {
			return unix.EINVAL
		}
		return unix.ENOENT // there is no module of that name
	case unix.TCP_FASTOPEN_KEY:
		if len(v) != 16 && len(v) != 32 {
			return unix.EINVAL
		}
		return nil
	}
	if len(v) < 4 {
		return unix.EINVAL
	}
	n := number(v)
	state := s.state.Load()
	switch name {
	case unix.TCP_MAXSEG:
		if n != 0 && (n < 88 || n > 32767) {
			return unix.EINVAL
		}
	case unix.TCP_WINDOW_CLAMP:
		if n == 0 && state != closed {
			return unix.EINVAL
		}
		if n != 0 {
			n = max(n, 1152)
		}
	case unix.TCP_FASTOPEN:
		if n < 0 || state != closed && state != listening {
			return unix.EINVAL
		}
		n = min(n, somaxconn)
	case unix.TCP_FASTOPEN_CONNECT:
		if n > 1 || n < 0 || state != closed {
			return unix.EINVAL
		}
	case unix.TCP_FASTOPEN_NO_COOKIE:
		if n > 1 || n < 0 || state != closed && state != listening {
			return unix.EINVAL
		}
	case unix.TCP_LINGER2:
		if n < 0 {
			n = -1
		} else if n > 120 {
			n = 120
		}
	case unix.TCP_DEFER_ACCEPT:
		n = retries(n)
	case unix.TCP_REPAIR, unix.TCP_REPAIR_QUEUE, unix.TCP_QUEUE_SEQ, unix.TCP_REPAIR_OPTIONS, unix.TCP_REPAIR_WINDOW, unix.TCP_TIMESTAMP:
		return unix.EPERM
	default:
		r := ruleOf(level, name)
		if r == nil {
			return unix.ENOPROTOOPT
		}
		var err error
		if n, err = r.check(n); err != nil {
			return err
		}
	}
	s.setValue(level, name, n)
	s.tellOut(level, name, int(n))
	return nil
}

// OptionSet tells the part outside of an option of SOL_SOCKET.
func (s *tcp) OptionSet(name int) {
	net.Lock()
	e := s.out
	net.Unlock()
	if e != nil {
		s.passOne(e, name)
	}
}

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

// tellOut passes a setting on to the part outside.
func (s *tcp) tellOut(level, name, n int) {
	net.Lock()
	e := s.out
	net.Unlock()
	if e != nil {
		_ = e.Set(level, name, n)
	}
}

// retries is how Linux keeps TCP_DEFER_ACCEPT: as a number of
// retransmissions, after 1, 3, 7 … seconds, of which none waits longer than
// two minutes and there are at most 255.
func retries(seconds int32) int32 {
	if seconds <= 0 {
		return 0
	}
	n, wait := int32(1), int32(1)
	for k := 1; n < seconds && k < 255; k++ {
		wait = min(wait*2, 120)
		n += wait
	}
	return n
}

func (r *rule) check(n int32) (int32, error) {
	switch r.kind {
	case kindBool:
		return truth(n != 0), nil
	case kindDefault:
		if n == -1 {
			return r.fresh, nil
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

func (s *tcp) setCongestion(v []byte) error {
	if len(v) == 0 {
		return unix.EINVAL
	}
	name := text(v[:min(len(v), 15)])
	if name != "cubic" && name != "reno" {
		return unix.ENOENT
	}
	s.setMu.Lock()
	s.congestion = name
	s.setMu.Unlock()
	return nil
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

// Option serves getsockopt(2) of a TCP socket.
func (s *tcp) Option(c vfs.Caller, level, name int, v []byte) (int, error) {
	if level != levelTCP {
		return s.option(c, nil, level, name, v)
	}
	n := int32(0)
	switch name {
	case unix.TCP_INFO:
		return s.info(v), nil
	case unix.TCP_CONGESTION:
		s.setMu.Lock()
		name := s.congestion
		s.setMu.Unlock()
		if name == "" {
			name = "cubic"
		}
		var p [16]byte
		copy(p[:], name)
		return copy(v, p[:]), nil
	case unix.TCP_ULP, unix.TCP_SAVED_SYN, unix.TCP_CC_INFO:
		return 0, nil
	case unix.TCP_FASTOPEN_KEY:
		return 0, nil
	case unix.TCP_MAXSEG:
		n = s.segment()
	case unix.TCP_TIMESTAMP:
		n = int32(clock.Now() / 1_000_000)
	case unix.TCP_REPAIR:
		n = 0
	case unix.TCP_WINDOW_CLAMP:
		n = s.value(level, name)
		if n == 0 && s.state.Load() != closed && s.state.Load() != listening {
			n = 65536
		}
	default:
		if ruleOf(level, name) == nil {
			return 0, unix.ENOPROTOOPT
		}
		if n = s.value(level, name); name == unix.TCP_LINGER2 && n == 0 {
			n = 60 // net.ipv4.tcp_fin_timeout
		}
	}
	return socket.PutInt(v, n), nil
}

// The largest segments between two sockets of one machine and of a fresh
// socket.
const (
	mssLoopback = 32741
	mssFresh    = 536
)

func (s *tcp) segment() int32 {
	switch s.state.Load() {
	case closed, listening:
		if n := s.value(levelTCP, unix.TCP_MAXSEG); n != 0 {
			return n
		}
		return mssFresh
	}
	if s.outside.Load() {
		var t unix.TCPInfo
		net.Lock()
		if s.out != nil {
			s.out.Info(&t)
		}
		net.Unlock()
		if t.Snd_mss != 0 {
			return int32(t.Snd_mss)
		}
		return 1448
	}
	return mssLoopback
}

// info fills in struct tcp_info.
func (s *tcp) info(v []byte) int {
	state := s.state.Load()
	t := unix.TCPInfo{
		State: uint8(state), Rto: 1000000, Ato: 0, Snd_mss: mssFresh, Rcv_mss: mssFresh, Snd_cwnd: 10, Snd_ssthresh: 1<<31 - 1,
		Advmss: mssFresh, Reordering: 3, Rcv_space: 0,
	}
	switch state {
	case listening:
		net.Lock()
		t.Unacked, t.Sacked = uint32(s.pending.len()), uint32(s.backlog)
		net.Unlock()
	case closed, synSent:
	default:
		t.Options = 7 // timestamps, SACK and window scaling
		t.Rto, t.Snd_mss, t.Advmss, t.Pmtu, t.Rtt, t.Rttvar = 204000, mssLoopback, 65483, 65535, 20, 10
		t.Rcv_ssthresh, t.Rcv_space = 65495, 65495
		t.Rcv_rtt, t.Min_rtt = 0, 10
		since := uint32((clock.Now() - s.opened) / 1_000_000)
		t.Last_data_sent, t.Last_data_recv, t.Last_ack_recv = since, since, since
		t.Bytes_acked = s.sent.Load()
		s.mu.Lock()
		t.Bytes_received = s.rx.end()
		s.mu.Unlock()
	}
	if s.outside.Load() {
		net.Lock()
		if s.out != nil {
			s.out.Info(&t)
		}
		net.Unlock()
	}
	return copy(v, infoBytes(&t))
}

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
	case unix.SO_DETACH_FILTER:
		return unix.ENOENT
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
	case unix.SO_ATTACH_FILTER: // SO_GET_FILTER
		return 0, nil
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

// setGroupIF is IP_MULTICAST_IF: an address, or struct ip_mreqn.
func (s *sock) setGroupIF(v []byte) error {
	if s.Type == unix.SOCK_STREAM || len(v) < 4 {
		return unix.EINVAL
	}
	ip, index := IPFrom(v[:4]), 0
	if len(v) >= 8 {
		ip = IPFrom(v[4:8])
	}
	if len(v) >= 12 {
		index = int(number(v[8:]))
	}
	if index == 0 && ip != any4 {
		i := local(&ip)
		if i == nil {
			return unix.EADDRNOTAVAIL
		}
		index = i.Index
	}
	if index != 0 && ByIndex(index) == nil {
		return unix.EADDRNOTAVAIL
	}
	s.setMu.Lock()
	s.groupIF = ip
	s.setMu.Unlock()
	s.setValue(levelIP, unix.IP_MULTICAST_IF, int32(index))
	return nil
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

// membership4 takes struct ip_mreq or ip_mreqn.
func (s *udp) membership4(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) < 8 {
		return unix.EINVAL
	}
	ip, by, index := IPFrom(v[:4]), IPFrom(v[4:8]), 0
	if len(v) >= 12 {
		index = int(number(v[8:]))
	}
	if index == 0 && by != any4 {
		i := local(&by)
		if i == nil {
			if name == unix.IP_DROP_MEMBERSHIP {
				return unix.EADDRNOTAVAIL
			}
			return unix.ENODEV
		}
		index = i.Index
	}
	if name == unix.IP_ADD_MEMBERSHIP {
		return s.join(ip, index)
	}
	return s.leave(ip, index)
}

// source4 takes struct ip_mreq_source.
func (s *udp) source4(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) != 12 {
		return unix.EINVAL
	}
	ip, by, src := IPFrom(v[:4]), IPFrom(v[4:8]), IPFrom(v[8:12])
	index := 0
	if by != any4 {
		i := local(&by)
		if i == nil {
			return unix.ENODEV
		}
		index = i.Index
	}
	exclude := name == unix.IP_BLOCK_SOURCE || name == unix.IP_UNBLOCK_SOURCE
	add := name == unix.IP_ADD_SOURCE_MEMBERSHIP || name == unix.IP_BLOCK_SOURCE
	return s.source(ip, src, index, exclude, add)
}

// storage decodes a sockaddr_storage.
func storage(v []byte) (IP, bool) {
	switch binary.NativeEndian.Uint16(v) {
	case unix.AF_INET:
		return parse4(v).IP, true
	case unix.AF_INET6:
		return parse6(v).IP, true
	}
	return IP{}, false
}

// membershipAny takes struct group_req.
func (s *udp) membershipAny(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) < 8+128 {
		return unix.EINVAL
	}
	ip, ok := storage(v[8:])
	if !ok {
		return unix.EINVAL
	}
	if name == mcastJoin {
		return s.join(ip, int(number(v)))
	}
	return s.leave(ip, int(number(v)))
}

// sourceAny takes struct group_source_req.
func (s *udp) sourceAny(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) < 8+256 {
		return unix.EINVAL
	}
	ip, ok := storage(v[8:])
	src, ok2 := storage(v[136:])
	if !ok || !ok2 {
		return unix.EADDRNOTAVAIL
	}
	exclude := name == mcastBlock || name == mcastUnblock
	return s.source(ip, src, int(number(v)), exclude, name == mcastJoinSource || name == mcastBlock)
}

// sendControl reads the control messages of a datagram to be sent.
func (s *udp) sendControl(p []byte, h *hints) error {
	for len(p) >= 16 {
		n := binary.NativeEndian.Uint64(p)
		if n < 16 || n > uint64(len(p)) {
			return unix.EINVAL
		}
		level, typ := int(number(p[8:])), int(number(p[12:]))
		v := p[16:n]
		if err := s.sendControl1(level, typ, v, h); err != nil {
			return err
		}
		p = p[min(int(n+7)&^7, len(p)):]
	}
	return nil
}

func (s *udp) sendControl1(level, typ int, v []byte, h *hints) error {
	switch {
	case level == unix.SOL_SOCKET:
	case level == levelUDP && typ == unix.UDP_SEGMENT:
		if len(v) != 2 {
			return unix.EINVAL
		}
		h.segment = int(binary.NativeEndian.Uint16(v))
	case level == levelIP && s.v6, level == levelIP && typ == unix.IP_RETOPTS:
	case level == levelIP:
		switch typ {
		case unix.IP_PKTINFO:
			if len(v) != 12 {
				return unix.EINVAL
			}
			h.device, h.source = int(number(v)), IPFrom(v[4:8])
		case unix.IP_TTL:
			if len(v) != 4 || number(v) < 1 || number(v) > 255 {
				return unix.EINVAL
			}
			h.ttl = int(number(v))
		case unix.IP_TOS:
			switch {
			case len(v) == 4:
				h.tos = int(number(v))
			case len(v) == 1:
				h.tos = int(v[0])
			default:
				return unix.EINVAL
			}
			if h.tos < 0 || h.tos > 255 {
				return unix.EINVAL
			}
		default:
			return unix.EINVAL
		}
	case level == levelIP6 && s.v6:
		switch typ {
		case unix.IPV6_PKTINFO, unix.IPV6_2292PKTINFO:
			if len(v) < 20 {
				return unix.EINVAL
			}
			h.source, h.device = IPFrom(v[:16]), int(number(v[16:]))
		case unix.IPV6_HOPLIMIT, unix.IPV6_2292HOPLIMIT:
			if len(v) != 4 || number(v) < -1 || number(v) > 255 {
				return unix.EINVAL
			}
			h.ttl = int(number(v))
		case unix.IPV6_TCLASS:
			if len(v) != 4 || number(v) < -1 || number(v) > 255 {
				return unix.EINVAL
			}
			h.tos = int(number(v))
		case unix.IPV6_DONTFRAG, unix.IPV6_HOPOPTS, unix.IPV6_DSTOPTS, unix.IPV6_RTHDR, unix.IPV6_RTHDRDSTOPTS:
		default:
			return unix.EINVAL
		}
	}
	if h.device != 0 && ByIndex(h.device) == nil {
		return unix.ENODEV
	}
	if h.source != (IP{}) && !h.source.Any() && !s.canBind(&h.source) {
		return unix.EINVAL
	}
	return nil
}

// describe appends the control messages that the program wants with d.
func (s *udp) describe(m *socket.Message, d *datagram) {
	out := m.Control
	if s.stamps() {
		t := d.time
		if t == 0 {
			t = clock.Realtime()
		}
		out = s.appendTime(out, t)
	}
	marks := s.marks.Load()
	var w [4]byte
	if d.to.Is4() {
		if marks&markPktinfo != 0 {
			var v [12]byte
			binary.NativeEndian.PutUint32(v[:], uint32(d.device))
			spec := d.to
			if d.to.Multicast() || isBroadcast(&d.to) {
				spec = d.from.IP
				if i := ByIndex(d.device); i != nil && i != lo {
					for _, a := range i.Snapshot().Addresses {
						if a.IP.Is4() {
							spec = a.IP
							break
						}
					}
				}
			}
			copy(v[4:], spec[12:])
			copy(v[8:], d.to[12:])
			out = appendControl(out, levelIP, unix.IP_PKTINFO, v[:])
		}
		if marks&markTTL != 0 {
			binary.NativeEndian.PutUint32(w[:], uint32(d.ttl))
			out = appendControl(out, levelIP, unix.IP_TTL, w[:])
		}
		if marks&markTOS != 0 {
			out = appendControl(out, levelIP, unix.IP_TOS, []byte{byte(d.tos)})
		}
		if marks&markOrigDst != 0 {
			out = appendControl(out, levelIP, unix.IP_ORIGDSTADDR, (&AddrPort{IP: d.to, Port: d.port}).raw(unix.AF_INET))
		}
	}
	if s.v6 && (!d.to.Is4() || marks&markPktinfo6 != 0) {
		if marks&markPktinfo6 != 0 {
			var v [20]byte
			copy(v[:], d.to[:])
			binary.NativeEndian.PutUint32(v[16:], uint32(d.device))
			out = appendControl(out, levelIP6, unix.IPV6_PKTINFO, v[:])
		}
		if !d.to.Is4() {
			if marks&markHops6 != 0 {
				binary.NativeEndian.PutUint32(w[:], uint32(d.ttl))
				out = appendControl(out, levelIP6, unix.IPV6_HOPLIMIT, w[:])
			}
			if marks&markClass6 != 0 {
				binary.NativeEndian.PutUint32(w[:], uint32(d.tos))
				out = appendControl(out, levelIP6, unix.IPV6_TCLASS, w[:])
			}
		}
	}
	m.Control = out
}
