package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/proc"
	"husk/kernel/inet"
	"husk/kernel/socket"
	unixsock "husk/kernel/unix"
	"husk/kernel/vfs"
)

// sock_diag(7).

const (
	byFamily      = 20 // SOCK_DIAG_BY_FAMILY
	maxFamily     = 46 // AF_MAX
	inetReqSize   = 56 // struct inet_diag_req_v2
	unixReqSize   = 24 // struct unix_diag_req
	otherReqSize  = 20 // struct netlink_diag_req
	inetMsgSize   = 72 // struct inet_diag_msg
	stateListen   = 10
	stateClosed   = 7
	stateOpen     = 1
	noCookie      = ^uint32(0)
	showName      = 1 << 0 // UDIAG_SHOW_*
	showInode     = 1 << 1
	showPeer      = 1 << 2
	showWaiting   = 1 << 3
	showQueue     = 1 << 4
	showMemory    = 1 << 5
	showUID       = 1 << 6
	extMemory     = 1 << (inetMemory - 1)
	extInfo       = 1 << (inetInfo - 1)
	extCongestion = 1 << (inetCongestion - 1)
	extSkMemory   = 1 << (inetSkMemory - 1)
)

// The attributes of an internet socket (INET_DIAG_*) and of one of AF_UNIX
// (UNIX_DIAG_*).
const (
	inetMemory     = 1
	inetInfo       = 2
	inetCongestion = 4
	inetTOS        = 5
	inetClass      = 6
	inetSkMemory   = 7
	inetShutdown   = 8
	inetOnly6      = 11
	inetMark       = 15

	unixName     = 0
	unixInode    = 1
	unixPeer     = 2
	unixWaiting  = 3
	unixQueue    = 4
	unixMemory   = 5
	unixShutdown = 6
	unixUID      = 7

	ndiagMemory = 0
	ndiagGroups = 1

	allProtocols = 255 // NDIAG_PROTO_ALL
)

func diag(r *request) error {
	if r.typ != byFamily {
		return unix.EINVAL
	}
	if len(r.body) < 4 { // struct sock_diag_req and what follows it
		return unix.EINVAL
	}
	switch family := r.body[0]; {
	case family >= maxFamily:
		return unix.EINVAL
	case family == unix.AF_INET || family == unix.AF_INET6:
		return inetDiag(r)
	case family == unix.AF_UNIX:
		return unixDiag(r)
	case family == unix.AF_NETLINK:
		return netlinkDiag(r)
	}
	return unix.ENOENT
}

// An inetQuery is struct inet_diag_req_v2.
type inetQuery struct {
	family, protocol, ext byte
	states                uint32
	id                    []byte // struct inet_diag_sockid
}

func inetDiag(r *request) error {
	if len(r.body) < inetReqSize {
		return unix.EINVAL
	}
	q := inetQuery{r.body[0], r.body[1], r.body[2], binary.NativeEndian.Uint32(r.body[4:]), r.body[8:inetReqSize]}
	switch q.protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_RAW:
	default:
		return unix.ENOENT
	}
	list := inet.Sockets(int(q.protocol))
	var b builder
	if r.dumps() {
		port, peer := binary.BigEndian.Uint16(q.id), binary.BigEndian.Uint16(q.id[2:])
		for k := range list {
			s := &list[k]
			if s.V6 != (q.family == unix.AF_INET6) || q.states>>s.State&1 == 0 || port != 0 && port != s.Local.Port || peer != 0 && peer != s.Remote.Port {
				continue
			}
			q.message(&b, r, unix.NLM_F_MULTI, s)
		}
		return r.dump(&b, 0)
	}
	for k := range list {
		if s := &list[k]; q.names(s) {
			q.message(&b, r, 0, s)
			r.reply(&b)
			return nil
		}
	}
	return unix.ENOENT
}

// names reports whether a request for one socket is for s.
func (q *inetQuery) names(s *inet.SocketInfo) bool {
	local, remote := s.Local.IP.Bytes(), s.Remote.IP.Bytes()
	if s.V6 {
		local, remote = s.Local.IP[:], s.Remote.IP[:]
	}
	low, high := binary.NativeEndian.Uint32(q.id[40:]), binary.NativeEndian.Uint32(q.id[44:])
	return s.V6 == (q.family == unix.AF_INET6) && binary.BigEndian.Uint16(q.id) == s.Local.Port && binary.BigEndian.Uint16(q.id[2:]) == s.Remote.Port &&
		string(q.id[4:4+len(local)]) == string(local) && string(q.id[20:20+len(remote)]) == string(remote) &&
		(low == noCookie && high == noCookie || uint64(low)|uint64(high)<<32 == s.Cookie)
}

// message describes an internet socket.
func (q *inetQuery) message(b *builder, r *request, flags uint16, s *inet.SocketInfo) {
	b.begin(byFamily, flags, r)
	m := b.zeros(inetMsgSize)
	m[0], m[1] = unix.AF_INET, byte(s.State)
	local, remote := s.Local.IP[12:], s.Remote.IP[12:]
	if s.V6 {
		m[0], local, remote = unix.AF_INET6, s.Local.IP[:], s.Remote.IP[:]
	}
	id := m[4:]
	binary.BigEndian.PutUint16(id, s.Local.Port)
	binary.BigEndian.PutUint16(id[2:], s.Remote.Port)
	copy(id[4:20], local)
	copy(id[20:36], remote)
	binary.NativeEndian.PutUint32(id[36:], uint32(s.Device))
	binary.NativeEndian.PutUint64(id[40:], s.Cookie)
	if s.Seconds > 0 {
		m[2] = 3 // TIME_WAIT's timer
		binary.NativeEndian.PutUint32(m[52:], uint32(s.Seconds)*1000)
	}
	binary.NativeEndian.PutUint32(m[56:], uint32(s.In))
	binary.NativeEndian.PutUint32(m[60:], uint32(s.Out))
	binary.NativeEndian.PutUint32(m[64:], s.UID)
	binary.NativeEndian.PutUint32(m[68:], uint32(s.Inode))
	if s.Inode == 0 && s.Seconds > 0 {
		b.end()
		return
	}
	b.u8(inetShutdown, uint8(s.Shutdown))
	if s.V6 {
		only := uint8(0)
		if s.Only6 {
			only = 1
		}
		if s.State == stateListen || s.State == stateClosed {
			b.u8(inetOnly6, only)
		}
		b.u8(inetClass, 0)
	} else if q.ext&(1<<(inetTOS-1)) != 0 {
		b.u8(inetTOS, 0)
	}
	if admin(r.c) {
		b.u32(inetMark, s.Mark)
	}
	if q.ext&extMemory != 0 {
		b.room(inetMemory, 16)
	}
	if q.ext&extSkMemory != 0 {
		v := b.room(inetSkMemory, 36)
		binary.NativeEndian.PutUint32(v, uint32(s.In))
		binary.NativeEndian.PutUint32(v[4:], uint32(s.Receive))
		binary.NativeEndian.PutUint32(v[12:], uint32(s.Send))
	}
	if q.protocol == unix.IPPROTO_TCP {
		if info := s.Info(); info != nil && q.ext&extInfo != 0 {
			b.bytes(inetInfo, info)
		}
		if q.ext&extCongestion != 0 {
			b.str(inetCongestion, "cubic")
		}
	}
	b.end()
}

// unixDiag lists the sockets of AF_UNIX that have a descriptor.
func unixDiag(r *request) error {
	if len(r.body) < unixReqSize {
		return unix.EINVAL
	}
	states, ino, show := binary.NativeEndian.Uint32(r.body[4:]), binary.NativeEndian.Uint32(r.body[8:]), binary.NativeEndian.Uint32(r.body[12:])
	if !r.dumps() && ino == 0 {
		return unix.EINVAL
	}
	var b builder
	flags := uint16(0)
	if r.dumps() {
		flags = unix.NLM_F_MULTI
	}
	proc.OpenFiles(func(f *vfs.File) {
		s, ok := f.Ops.(socket.Socket)
		if !ok {
			return
		}
		i, ok := unixsock.Describe(s)
		if !ok {
			return
		}
		state := byte(stateClosed)
		switch {
		case i.Listening:
			state = stateListen
		case i.Connected:
			state = stateOpen
		}
		if r.dumps() && states>>state&1 == 0 || !r.dumps() && uint32(s.Common().Inode.Load()) != ino {
			return
		}
		unixMessage(&b, r, flags, s, &i, state, show)
	})
	switch {
	case r.dumps():
		return r.dump(&b, 0)
	case len(b.p) == 0:
		return unix.ENOENT
	}
	r.reply(&b)
	return nil
}

func unixMessage(b *builder, r *request, flags uint16, s socket.Socket, i *unixsock.Info, state byte, show uint32) {
	o := s.Common()
	inode := o.Inode.Load()
	b.begin(byFamily, flags, r)
	m := b.zeros(16) // struct unix_diag_msg
	m[0], m[1], m[2] = unix.AF_UNIX, byte(o.Type), state
	binary.NativeEndian.PutUint32(m[4:], uint32(inode))
	binary.NativeEndian.PutUint64(m[8:], inode)
	if show&showName != 0 {
		if raw, err := s.Name(); err == nil && len(raw) > 2 {
			raw = raw[2:]
			if raw[0] != 0 && raw[len(raw)-1] == 0 {
				raw = raw[:len(raw)-1]
			}
			b.bytes(unixName, raw)
		}
	}
	if show&showInode != 0 && i.Inode != 0 {
		v := b.room(unixInode, 8)
		binary.NativeEndian.PutUint32(v, uint32(i.Inode))
		binary.NativeEndian.PutUint32(v[4:], uint32(unix.Major(i.Device)<<20|unix.Minor(i.Device)))
	}
	if show&showPeer != 0 && i.HasPeer {
		b.u32(unixPeer, uint32(i.Peer))
	}
	if show&showWaiting != 0 && i.Listening {
		v := b.room(unixWaiting, 4*len(i.Waiting))
		for k, n := range i.Waiting {
			binary.NativeEndian.PutUint32(v[4*k:], uint32(n))
		}
	}
	if show&showQueue != 0 {
		v := b.room(unixQueue, 8)
		binary.NativeEndian.PutUint32(v, uint32(i.In))
		binary.NativeEndian.PutUint32(v[4:], uint32(i.Out))
	}
	if show&showMemory != 0 {
		v := b.room(unixMemory, 36)
		binary.NativeEndian.PutUint32(v[4:], uint32(o.RecvBuffer.Load()))
		binary.NativeEndian.PutUint32(v[12:], uint32(o.SendBuffer.Load()))
	}
	b.u8(unixShutdown, uint8(i.Shutdown))
	if show&showUID != 0 {
		b.u32(unixUID, 0)
	}
	b.end()
}

// netlinkDiag lists the sockets of this package.
func netlinkDiag(r *request) error {
	if len(r.body) < otherReqSize {
		return unix.EINVAL
	}
	if !r.dumps() {
		return unix.EOPNOTSUPP
	}
	protocol, show := r.body[1], binary.NativeEndian.Uint32(r.body[8:])
	if protocol >= maxProtocol && protocol != allProtocols {
		return unix.ENOENT
	}
	var b builder
	begin := func(typ, number int, inode uint64) []byte {
		b.begin(byFamily, unix.NLM_F_MULTI, r)
		m := b.zeros(28) // struct netlink_diag_msg
		m[0], m[1], m[2], m[3] = unix.AF_NETLINK, byte(typ), byte(number), stateClosed
		binary.NativeEndian.PutUint32(m[16:], uint32(inode))
		binary.NativeEndian.PutUint64(m[20:], inode)
		return m
	}
	for n := range maxProtocol { // the kernel's ends
		if p := protocolOf(n); p != nil && p.handle != nil && (protocol == allProtocols || int(protocol) == n) {
			begin(unix.SOCK_DGRAM, n, 0)
			if show&1 != 0 {
				b.room(ndiagMemory, 36)
			}
			b.end()
		}
	}
	table.RLock()
	for _, s := range table.list {
		if protocol != allProtocols && int(protocol) != s.Protocol {
			continue
		}
		m := begin(s.Type, s.Protocol, s.Inode.Load())
		if s.isConnected {
			m[3] = stateOpen
		}
		binary.NativeEndian.PutUint32(m[4:], s.port)
		binary.NativeEndian.PutUint32(m[8:], s.toPort)
		binary.NativeEndian.PutUint32(m[12:], s.toGroup)
		if show&1 != 0 { // NDIAG_SHOW_MEMINFO
			v := b.room(ndiagMemory, 36)
			s.mu.Lock()
			binary.NativeEndian.PutUint32(v, uint32(s.cost))
			binary.NativeEndian.PutUint32(v[32:], s.drops)
			s.mu.Unlock()
			binary.NativeEndian.PutUint32(v[4:], uint32(s.RecvBuffer.Load()))
			binary.NativeEndian.PutUint32(v[12:], uint32(s.SendBuffer.Load()))
		}
		if show&2 != 0 { // NDIAG_SHOW_GROUPS
			v := b.room(ndiagGroups, (s.protocol.groups+31)/32*4)
			var all [16]byte
			binary.NativeEndian.PutUint64(all[:], s.groups[0])
			binary.NativeEndian.PutUint64(all[8:], s.groups[1])
			copy(v, all[:])
		}
		b.end()
	}
	table.RUnlock()
	return r.dump(&b, 0)
}
