package inet

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// net is the lock of all that is bound and connected, with the tables of
// ports. See the package's comment.
var net struct {
	sync.Mutex
	tcp, udp ports
}

// What shutdown(2) has closed.
const (
	noRecv = 1 << iota
	noSend
)

var everything = wait.Readable | wait.Writable | wait.Err | wait.Hup | wait.RdHup | wait.RdBand | wait.WrBand | wait.Pri

// A sock is what all sockets of this package have.
type sock struct {
	vfs.BaseOps
	socket.Options
	queue    wait.Queue
	shutdown atomic.Uint32

	uid uint32 // of who made it
	v6  bool   // AF_INET6
	// Guarded by net.
	local, remote AddrPort
	port          *binding
	bound         bool // by bind(2): to an address other than the wildcard
	lockPort      bool // by bind(2) to a port

	only6  atomic.Bool  // IPV6_V6ONLY
	device atomic.Int32 // SO_BINDTODEVICE
	settings
}

func (s *sock) init(c vfs.Caller, family, typ, protocol int) {
	s.Init(family, typ, protocol)
	s.v6 = family == unix.AF_INET6
	s.uid = uint32(c.Cred().EUID)
	if s.v6 {
		s.local.IP, s.remote.IP = any6, any6
		if tunable(&only6Bind) != 0 {
			s.only6.Store(true)
		}
	} else {
		s.local.IP, s.remote.IP = any4, any4
	}
}

// Common returns the options of SOL_SOCKET.
func (s *sock) Common() *socket.Options { return &s.Options }

// Queue announces every change.
func (s *sock) Queue(*vfs.File) *wait.Queue { return &s.queue }

// Register installs the address families.
func Register() {
	f := &socket.Family{New: func(c vfs.Caller, typ, protocol int) (socket.Socket, error) {
		return newSocket(c, unix.AF_INET, typ, protocol)
	}}
	socket.Register(unix.AF_INET, f)
	socket.Register(unix.AF_INET6, &socket.Family{New: func(c vfs.Caller, typ, protocol int) (socket.Socket, error) {
		return newSocket(c, unix.AF_INET6, typ, protocol)
	}})
	socket.Register(unix.AF_PACKET, &socket.Family{New: newPacket})
	socket.Register(unix.AF_VSOCK, &socket.Family{New: newVsock})
	socket.DeviceIoctl = deviceRequest
	registerProc()
	registerSettings()
}

// newSocket makes a socket as inet_create does.
func newSocket(c vfs.Caller, family, typ, protocol int) (socket.Socket, error) {
	if protocol < 0 || protocol >= 263 { // IPPROTO_MAX
		return nil, unix.EINVAL
	}
	switch typ {
	case unix.SOCK_STREAM:
		switch protocol {
		case 0, unix.IPPROTO_TCP:
			s := new(tcp)
			s.setup(c, family)
			return s, nil
		}
		return nil, unix.EPROTONOSUPPORT
	case unix.SOCK_DGRAM:
		switch {
		case protocol == 0 || protocol == unix.IPPROTO_UDP || protocol == unix.IPPROTO_UDPLITE:
			s := new(udp)
			if protocol == 0 {
				protocol = unix.IPPROTO_UDP
			}
			s.init(c, family, typ, protocol)
			return s, nil
		case protocol == unix.IPPROTO_ICMP && family == unix.AF_INET, protocol == unix.IPPROTO_ICMPV6 && family == unix.AF_INET6:
			return newPing(c, family, protocol)
		}
		return nil, unix.EPROTONOSUPPORT
	case unix.SOCK_RAW:
		if protocol == 0 {
			return nil, unix.EPROTONOSUPPORT
		}
		if !c.Cred().Has(unix.CAP_NET_RAW) {
			return nil, unix.EPERM
		}
		return newRaw(c, family, protocol), nil
	case unix.SOCK_PACKET:
		if family == unix.AF_INET {
			return newPacket(c, unix.SOCK_PACKET, protocol)
		}
	}
	return nil, unix.ESOCKTNOSUPPORT
}

// parse decodes an address for connect(2) and the sending calls.
func (s *sock) parse(raw []byte) (AddrPort, error) {
	if !s.v6 {
		if len(raw) < sockaddr4 {
			return AddrPort{}, unix.EINVAL
		}
		if binary.NativeEndian.Uint16(raw) != unix.AF_INET {
			return AddrPort{}, unix.EAFNOSUPPORT
		}
		return parse4(raw), nil
	}
	if len(raw) < sockaddr6Old {
		return AddrPort{}, unix.EINVAL
	}
	if binary.NativeEndian.Uint16(raw) != unix.AF_INET6 {
		return AddrPort{}, unix.EAFNOSUPPORT
	}
	a := parse6(raw)
	if a.IP.Is4() && s.only6.Load() {
		return AddrPort{}, unix.ENETUNREACH
	}
	return a, nil
}

// parseBind decodes and checks an address for bind(2).
func (s *sock) parseBind(c vfs.Caller, raw []byte) (AddrPort, error) {
	var a AddrPort
	if len(raw) < 2 {
		return a, unix.EINVAL
	}
	family := binary.NativeEndian.Uint16(raw)
	if !s.v6 {
		if len(raw) < sockaddr4 {
			return a, unix.EINVAL
		}
		a = parse4(raw)
		// AF_UNSPEC with the wildcard address is an old way to say AF_INET.
		if family != unix.AF_INET && (family != unix.AF_UNSPEC || a.IP != any4) {
			return a, unix.EAFNOSUPPORT
		}
	} else {
		if len(raw) < sockaddr6Old {
			return a, unix.EINVAL
		}
		if family != unix.AF_INET6 {
			return a, unix.EAFNOSUPPORT
		}
		a = parse6(raw)
		switch {
		case a.IP.Is4():
			if s.only6.Load() {
				return a, unix.EINVAL
			}
		case a.IP.Multicast() && s.Type == unix.SOCK_STREAM:
			return a, unix.EINVAL
		case a.IP.LinkLocal():
			if a.Scope == 0 {
				a.Scope = uint32(s.device.Load())
			}
			if a.Scope == 0 {
				return a, unix.EINVAL
			}
			if ByIndex(int(a.Scope)) == nil {
				return a, unix.ENODEV
			}
		}
	}
	if !s.canBind(&a.IP) {
		return a, unix.EADDRNOTAVAIL
	}
	return a, nil
}

// canBind reports whether ip is an address to which a socket can be bound.
func (s *sock) canBind(ip *IP) bool {
	if ip.Any() || local(ip) != nil {
		return true
	}
	if ip.Multicast() || *ip == broadcast {
		return s.Type != unix.SOCK_STREAM
	}
	if s.Type != unix.SOCK_STREAM && isBroadcast(ip) {
		return true
	}
	if ip.Is4() && tunable(&nonlocalBind) != 0 || !ip.Is4() && tunable(&nonlocalBind6) != 0 {
		return true
	}
	return s.flagSet(levelIP, unix.IP_FREEBIND) || s.flagSet(levelIP, unix.IP_TRANSPARENT) ||
		s.flagSet(levelIP6, unix.IPV6_FREEBIND)
}

// isBroadcast reports whether ip is the broadcast address of an interface.
func isBroadcast(ip *IP) bool {
	if !ip.Is4() {
		return false
	}
	if *ip == broadcast || *ip == IP4(127, 255, 255, 255) {
		return true
	}
	config.RLock()
	defer config.RUnlock()
	for _, i := range config.interfaces {
		for k := range i.addresses {
			a := &i.addresses[k]
			if a.Broadcast != (IP{}) && a.Broadcast == *ip {
				return true
			}
		}
	}
	return false
}

// mayUse checks the right to bind to a port.
func mayUse(c vfs.Caller, port uint16) error {
	if port != 0 && int(port) < tunable(&unprivilegedStart) && !c.Cred().Has(unix.CAP_NET_BIND_SERVICE) {
		return unix.EACCES
	}
	return nil
}

// way is how a destination is reached.
type way struct {
	inside bool // it is an address of this machine
	source IP   // what the packet's source address is if the socket has none
	index  int  // of the interface
}

// find looks a way to dst up.
func (s *sock) find(dst *IP) (way, error) {
	if i := local(dst); i != nil {
		w := way{true, *dst, lo.Index}
		if dst.Is4() && dst.Loopback() {
			w.source = loopback4
		}
		if d := int(s.device.Load()); d != 0 && d != lo.Index && d != i.Index {
			return w, unix.ENETUNREACH
		}
		return w, nil
	}
	if dst.Is4() && dst[12] == 127 {
		return way{true, loopback4, lo.Index}, nil
	}
	r, ok := route(dst, int(s.device.Load()))
	if !ok {
		return way{}, unix.ENETUNREACH
	}
	switch r.Type {
	case unix.RTN_UNREACHABLE:
		return way{}, unix.EHOSTUNREACH
	case unix.RTN_PROHIBIT:
		return way{}, unix.EACCES
	case unix.RTN_BLACKHOLE:
		return way{}, unix.EINVAL
	}
	src, ok := sourceFor(&r, dst)
	if !ok {
		return way{}, unix.EADDRNOTAVAIL
	}
	if theStack() == nil {
		return way{}, unix.ENETUNREACH
	}
	return way{false, src, r.Index}, nil
}

// name is the sockaddr of the socket's own end.
func (s *sock) name() []byte {
	net.Lock()
	defer net.Unlock()
	return s.local.raw(s.Domain)
}

// store32 answers an ioctl(2) with an int.
func store32(c vfs.Caller, arg uintptr, n int) (uintptr, error) {
	return 0, c.AddressSpace().Store32(mm.Addr(arg), uint32(n))
}

// inode is the number that /proc/PID/fd shows the socket by.
func (s *sock) inode() uint64 { return s.Inode.Load() }
