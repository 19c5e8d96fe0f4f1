package inet

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/vfs"
)

// What netlink asks for beside the functions of config.go.

// Masked is ip without the bits behind a prefix.
func (ip IP) Masked(bits int) IP { return masked(ip, bits) }

// IsLocal reports whether ip is an address of this machine.
func IsLocal(ip IP) bool { return local(&ip) != nil }

// ChangeAddress gives an address that an interface has other flags and another
// lifetime: EADDRNOTAVAIL.
func ChangeAddress(i *Interface, a Address) error {
	config.Lock()
	for k := range i.addresses {
		if o := i.addresses[k]; o.IP == a.IP {
			o.Flags, o.Valid, o.Preferred = a.Flags, a.Valid, a.Preferred
			list := append([]Address(nil), i.addresses...)
			list[k] = o
			i.addresses = list
			config.Unlock()
			tell(Change{Interface: i, Address: &o})
			return nil
		}
	}
	config.Unlock()
	return unix.EADDRNOTAVAIL
}

// LocalRoutes is the table "local", which follows from the addresses.
func LocalRoutes() []Route {
	var list []Route
	for _, s := range Interfaces() {
		if s.Flags&unix.IFF_UP == 0 {
			continue
		}
		for k := range s.Addresses {
			list = appendLocal(list, &s, &s.Addresses[k])
		}
		if s.Link != nil {
			list = append(list, Route{
				Dst: IP{0: 0xff}, Bits: 8, Index: s.Index, Metric: 256, Table: unix.RT_TABLE_LOCAL,
				Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_MULTICAST,
			})
		}
	}
	return list
}

func appendLocal(list []Route, s *Snapshot, a *Address) []Route {
	r := Route{Dst: a.IP, Bits: 128, Index: s.Index, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_LOCAL}
	if !a.IP.Is4() {
		return append(list, r)
	}
	r.Bits, r.Scope, r.Source = 32, unix.RT_SCOPE_HOST, a.IP
	if s.Link == nil && a.Bits < 32 {
		net := r
		net.Dst, net.Bits = masked(a.IP, a.Bits), a.Bits
		list = append(list, net)
	}
	list = append(list, r)
	if a.Bits < 31 {
		r.Dst, r.Type, r.Scope = directed(a.IP, a.Bits), unix.RTN_BROADCAST, unix.RT_SCOPE_LINK
		list = append(list, r)
	}
	return list
}

// RouteTo is the way that a packet to dst takes, by a device if device is not
// 0, with the source that it has: ENETUNREACH, and what routes that reject
// say.
func RouteTo(dst IP, device int) (r Route, isLocal bool, err error) {
	full := 128
	if dst.Is4() {
		full = 32
	}
	if dst.Any() {
		if dst.Is4() {
			dst = loopback4
		} else {
			dst = loopback6
		}
	}
	if i := local(&dst); i != nil {
		r = Route{Dst: dst, Bits: full, Source: dst, Index: lo.Index, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_LOCAL}
		if !dst.Is4() {
			r.Index = i.Index
		}
		if dst.Is4() && dst.Loopback() {
			r.Source = loopback4
		}
		if lo.Snapshot().Flags&unix.IFF_UP == 0 {
			return r, false, unix.ENETUNREACH
		}
		return r, true, nil
	}
	r, ok := route(&dst, device)
	if !ok {
		return r, false, unix.ENETUNREACH
	}
	switch r.Type {
	case unix.RTN_UNREACHABLE:
		return r, false, unix.EHOSTUNREACH
	case unix.RTN_PROHIBIT:
		return r, false, unix.EACCES
	case unix.RTN_BLACKHOLE:
		return r, false, unix.EINVAL
	case unix.RTN_THROW:
		return r, false, unix.ENETUNREACH
	}
	r.Source, _ = sourceFor(&r, &dst)
	return r, false, nil
}

// deviceRequest serves the requests about interfaces for sockets of other
// families; those about addresses and routes are for IPv4's alone.
func deviceRequest(c vfs.Caller, request uint32, arg uintptr) (uintptr, error) {
	switch request {
	case unix.SIOCADDRT, unix.SIOCDELRT, siocGStamp, siocGStampNS:
		return 0, unix.ENOTTY
	}
	if request >= unix.SIOCGIFADDR && request <= unix.SIOCSIFNETMASK {
		return 0, unix.ENOTTY
	}
	return new(sock).ioctl(c, request, arg)
}

// A SocketInfo is one socket as sock_diag(7) shows it.
type SocketInfo struct {
	V6, Only6     bool
	State         int
	Local, Remote AddrPort
	Device        int
	Shutdown      uint32
	UID           uint32
	Inode, Cookie uint64
	Mark          uint32
	In, Out       int // bytes to read, and sent but not read or, of a listener, its backlog
	Receive, Send int // the sizes of the buffers
	Seconds       int // left of TIME_WAIT
	Listener      bool
	tcp           *tcp
}

// Info is struct tcp_info of a TCP socket that is connected or listens, nil of
// others.
func (i *SocketInfo) Info() []byte {
	if i.tcp == nil {
		return nil
	}
	v := make([]byte, unix.SizeofTCPInfo)
	n, err := i.tcp.Option(nil, unix.SOL_TCP, unix.TCP_INFO, v)
	if err != nil {
		return nil
	}
	return v[:n]
}

// Sockets lists the sockets of a protocol: IPPROTO_TCP, UDP or RAW.
func Sockets(protocol int) []SocketInfo {
	net.Lock()
	defer net.Unlock()
	var list []SocketInfo
	add := func(x *binding) {
		i := SocketInfo{V6: x.v6, Only6: x.only6, Local: x.local, Remote: x.remote, Device: int(x.device), UID: x.uid, State: closed}
		if s := x.s; s != nil {
			if s.Device() != 0 {
				i.Device = s.Device()
			}
			i.Only6 = s.only6.Load()
			i.Shutdown, i.Inode, i.Cookie, i.Mark = s.shutdown.Load(), s.inode(), s.cookie(), uint32(s.Mark())
			i.Receive, i.Send = int(s.RecvBuffer.Load()), int(s.SendBuffer.Load())
		}
		if x.remote.Port == 0 && protocol != unix.IPPROTO_RAW {
			i.Remote.IP = any4
			if x.v6 {
				i.Remote.IP = any6
			}
		}
		switch {
		case x.udp != nil:
			if x.udp.conn.Load() {
				i.State = established
			}
			x.udp.mu.Lock()
			i.In = x.udp.cost
			x.udp.mu.Unlock()
		case x.tcp != nil:
			i.tcp, i.State = x.tcp, int(x.tcp.state.Load())
			if i.State == listening {
				i.Listener = true
				i.In, i.Out = x.tcp.pending.len(), x.tcp.backlog
			} else {
				x.tcp.mu.Lock()
				i.In = x.tcp.rx.n
				x.tcp.mu.Unlock()
			}
		default:
			i.State, i.Seconds = timeWait, secondsLeft(x)
		}
		list = append(list, i)
	}
	both := func(p *ports) {
		p.forEach(false, add)
		p.forEach(true, add)
	}
	switch protocol {
	case unix.IPPROTO_TCP:
		net.tcp.expire()
		both(&net.tcp)
	case unix.IPPROTO_UDP:
		both(&net.udp)
	case unix.IPPROTO_RAW:
		for _, r := range raws {
			x := &binding{s: &r.sock, udp: r, local: r.local, remote: r.remote, uid: r.uid, v6: r.v6}
			x.local.Port = uint16(r.Protocol)
			add(x)
		}
	}
	return list
}

// Device is SO_BINDTODEVICE.
func (s *sock) Device() int { return int(s.device.Load()) }

// secondsLeft is how long a connection stays in TIME_WAIT.
func secondsLeft(x *binding) int { return int(max(x.expires-clock.Now(), 0) / clock.Second) }
