package netlink

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

// sock is a netlink socket.
type sock struct {
	vfs.BaseOps
	socket.Options
	protocol *protocol
	queue    wait.Queue

	// Guarded by table.
	bound       bool
	port        uint32
	groups      [2]uint64 // a bit each, group 1 the first
	toPort      uint32    // of connect(2)
	toGroup     uint32
	isConnected bool

	options atomic.Uint32 // a bit for each NETLINK_* option that is on

	mu        sync.Mutex
	packets   []*packet
	cost      int
	congested bool // no more until the program has read everything
	drops     uint32
	longest   int // the most that the program has asked for in one call
	dumping   bool
	dump      []byte  // what of a dump is still to come
	blocked   []*sock // senders that found the queue full
}

// A packet is what one receive returns.
type packet struct {
	data  []byte
	from  uint32
	group uint32
	creds socket.Creds
}

const (
	sockaddrSize = 12
	overhead     = 768 // what Linux counts for a packet beside its data
)

// Common returns the options of SOL_SOCKET.
func (s *sock) Common() *socket.Options { return &s.Options }

// Queue announces every change.
func (s *sock) Queue(*vfs.File) *wait.Queue { return &s.queue }

// name is struct sockaddr_nl.
func name(port, groups uint32) []byte {
	p := make([]byte, sockaddrSize)
	p[0] = unix.AF_NETLINK
	binary.NativeEndian.PutUint32(p[4:], port)
	binary.NativeEndian.PutUint32(p[8:], groups)
	return p
}

// mask is a group as sockaddr_nl has it.
func mask(group uint32) uint32 {
	if group == 0 || group > 32 {
		return 0
	}
	return 1 << (group - 1)
}

func parseName(raw []byte) (port, groups uint32, err error) {
	if len(raw) < sockaddrSize || binary.NativeEndian.Uint16(raw) != unix.AF_NETLINK {
		return 0, 0, unix.EINVAL
	}
	return binary.NativeEndian.Uint32(raw[4:]), binary.NativeEndian.Uint32(raw[8:]), nil
}

func admin(c vfs.Caller) bool { return c.Cred().Has(unix.CAP_NET_ADMIN) }

// Bind serves bind(2): a port, 0 for one of the kernel's choice, and groups.
func (s *sock) Bind(c vfs.Caller, raw []byte) error {
	port, groups, err := parseName(raw)
	if err != nil {
		return err
	}
	if groups != 0 {
		if err := s.mayJoin(c); err != nil {
			return err
		}
	}
	table.Lock()
	defer table.Unlock()
	if s.bound && port != s.port {
		return unix.EINVAL
	}
	if !s.bound {
		if port == 0 {
			s.autobind(c)
		} else {
			if lookup(s.Protocol, port) != nil {
				return unix.EADDRINUSE
			}
			s.bound, s.port = true, port
		}
	}
	s.groups[0] = s.groups[0]&^0xffffffff | uint64(groups)
	return nil
}

func (s *sock) mayJoin(c vfs.Caller) error {
	if s.protocol.recvAny || admin(c) {
		return nil
	}
	if s.Protocol == unix.NETLINK_AUDIT && c.Cred().Has(unix.CAP_AUDIT_READ) {
		return nil
	}
	return unix.EPERM
}

// autobind gives the socket the process's number as its port, or one that no
// process has. table is held.
func (s *sock) autobind(c vfs.Caller) {
	if s.bound {
		return
	}
	port := uint32(c.TGID())
	for lookup(s.Protocol, port) != nil {
		if table.auto >= 1<<31-4096 {
			table.auto = 0
		}
		table.auto++
		port = 0xfffff000 - table.auto
	}
	s.bound, s.port = true, port
}

// Connect serves connect(2): where to send to from now on.
func (s *sock) Connect(c vfs.Caller, raw []byte, _ bool) error {
	if len(raw) < 2 {
		return unix.EINVAL
	}
	table.Lock()
	defer table.Unlock()
	if binary.NativeEndian.Uint16(raw) == unix.AF_UNSPEC {
		s.toPort, s.toGroup, s.isConnected = 0, 0, false
		return nil
	}
	port, groups, err := parseName(raw)
	if err != nil {
		return err
	}
	if (port != 0 || groups != 0) && !s.protocol.sendAny && !admin(c) {
		return unix.EPERM
	}
	s.autobind(c)
	s.toPort, s.toGroup, s.isConnected = port, first(groups), true
	return nil
}

// first is the number of the lowest group in a mask, 0 if it is empty.
func first(groups uint32) uint32 {
	for i := uint32(1); groups != 0; i++ {
		if groups&1 != 0 {
			return i
		}
		groups >>= 1
	}
	return 0
}

// Name returns the port and the groups.
func (s *sock) Name() ([]byte, error) {
	table.RLock()
	defer table.RUnlock()
	return name(s.port, uint32(s.groups[0])), nil
}

// PeerName returns where connect(2) pointed it, the kernel at first.
func (s *sock) PeerName() ([]byte, error) {
	table.RLock()
	defer table.RUnlock()
	return name(s.toPort, mask(s.toGroup)), nil
}

// Listen, Accept and Shutdown are not for these sockets.
func (s *sock) Listen(vfs.Caller, int) error { return unix.EOPNOTSUPP }

// Accept is described at Listen.
func (s *sock) Accept(vfs.Caller, bool) (socket.Socket, error) { return nil, unix.EOPNOTSUPP }

// Shutdown is described at Listen.
func (s *sock) Shutdown(int) error { return unix.EOPNOTSUPP }

// Release closes the socket.
func (s *sock) Release(*vfs.File) {
	table.Lock()
	for i, o := range table.list {
		if o == s {
			table.list = append(table.list[:i:i], table.list[i+1:]...)
			break
		}
	}
	s.bound = false
	table.Unlock()
	s.mu.Lock()
	blocked := s.blocked
	s.packets, s.dump, s.dumping, s.blocked = nil, nil, false, nil
	s.mu.Unlock()
	for _, b := range blocked {
		b.queue.Notify(wait.Writable)
	}
}

// Poll reports data and errors; there is always room to send.
func (s *sock) Poll(*vfs.File) wait.Events {
	ev := wait.Writable | wait.WrBand
	s.mu.Lock()
	if len(s.packets) > 0 {
		ev |= wait.Readable
	}
	s.mu.Unlock()
	if s.HasError() {
		ev |= wait.Err
	}
	return ev
}

// Ioctl serves the requests that every socket knows.
func (s *sock) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	if socket.DeviceIoctl == nil {
		return 0, unix.ENOTTY
	}
	return socket.DeviceIoctl(c, request, arg)
}

// Read and Write are Recv and Send without anything beside the data.
func (s *sock) Read(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	return s.Recv(c, b, nil, 0)
}

// Write is described at Read.
func (s *sock) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n, err := s.Send(c, b, nil, 0)
	return n, 0, err
}

// The options of SOL_NETLINK that are a bit each.
const flagOptions = 1<<unix.NETLINK_PKTINFO | 1<<unix.NETLINK_BROADCAST_ERROR | 1<<unix.NETLINK_NO_ENOBUFS |
	1<<unix.NETLINK_LISTEN_ALL_NSID | 1<<unix.NETLINK_CAP_ACK | 1<<unix.NETLINK_EXT_ACK | 1<<unix.NETLINK_GET_STRICT_CHK

func (s *sock) on(option int) bool { return s.options.Load()>>option&1 != 0 }

// SetOption serves SOL_NETLINK.
func (s *sock) SetOption(c vfs.Caller, level, name int, v []byte) error {
	if level != unix.SOL_NETLINK {
		return unix.ENOPROTOOPT
	}
	n := uint32(0)
	if len(v) >= 4 {
		n = binary.NativeEndian.Uint32(v)
	}
	switch {
	case name == unix.NETLINK_ADD_MEMBERSHIP || name == unix.NETLINK_DROP_MEMBERSHIP:
		if err := s.mayJoin(c); err != nil {
			return err
		}
		if n == 0 || n > uint32(s.protocol.groups) {
			return unix.EINVAL
		}
		table.Lock()
		word, bit := (n-1)/64, uint64(1)<<((n-1)%64)
		s.groups[word] &^= bit
		if name == unix.NETLINK_ADD_MEMBERSHIP {
			s.groups[word] |= bit
		}
		table.Unlock()
	case name > 0 && name < 32 && uint32(flagOptions)>>name&1 != 0:
		if name == unix.NETLINK_LISTEN_ALL_NSID && !c.Cred().Has(unix.CAP_NET_BROADCAST) {
			return unix.EPERM
		}
		if n != 0 {
			s.options.Or(1 << name)
		} else {
			s.options.And(^uint32(1 << name))
		}
		if name == unix.NETLINK_NO_ENOBUFS && n != 0 {
			s.mu.Lock()
			s.congested = false
			s.mu.Unlock()
			s.queue.Notify(wait.Writable)
		}
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// Option serves SOL_NETLINK.
func (s *sock) Option(_ vfs.Caller, level, name int, v []byte) (int, error) {
	if level != unix.SOL_NETLINK {
		return 0, unix.ENOPROTOOPT
	}
	switch {
	case name == unix.NETLINK_LIST_MEMBERSHIPS:
		var all [16]byte
		table.RLock()
		binary.NativeEndian.PutUint64(all[:], s.groups[0])
		binary.NativeEndian.PutUint64(all[8:], s.groups[1])
		table.RUnlock()
		n := (s.protocol.groups + 31) / 32 * 4
		copy(v, all[:n])
		return n, nil
	case name > 0 && name < 32 && uint32(flagOptions)>>name&1 != 0:
		if len(v) < 4 {
			return 0, unix.EINVAL
		}
		n := int32(0)
		if s.on(name) {
			n = 1
		}
		return socket.PutInt(v, n), nil
	}
	return 0, unix.ENOPROTOOPT
}
