// Package netlink is netlink(7): the sockets, the delivery of messages between
// them and the kernel, and what the kernel answers. rtnetlink(7) shows and
// changes the configuration of package inet; sock_diag(7) lists the sockets;
// the protocols of audit, of device events and of generic netlink answer as a
// kernel that has nothing to say.
//
// A dump is made whole when it is asked for and handed out in the portions
// that the program reads, so that it always shows one moment.
//
// Locks: table guards who is bound to which port and group; sock.mu guards one
// receive queue; rtnl lets one change of the configuration run at a time.
// Order: rtnl, inet's locks, table, sock.mu, wait.Queue.
package netlink

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/proc"
	"husk/kernel/inet"
	"husk/kernel/socket"
	"husk/kernel/vfs"
)

// A protocol is what stands behind one number of NETLINK_*.
type protocol struct {
	groups int // multicast groups
	// recvAny and sendAny: who lacks CAP_NET_ADMIN may join groups, and send
	// to others than the kernel.
	recvAny, sendAny bool
	// handle serves one request; nil where the kernel does not listen.
	handle func(r *request) error
}

// The protocols that there are.
const maxProtocol = 32

func protocolOf(n int) *protocol {
	switch n {
	case unix.NETLINK_ROUTE:
		return &routeProtocol
	case unix.NETLINK_USERSOCK:
		return &userProtocol
	case unix.NETLINK_SOCK_DIAG:
		return &diagProtocol
	case unix.NETLINK_AUDIT:
		return &auditProtocol
	case unix.NETLINK_KOBJECT_UEVENT:
		return &eventProtocol
	case unix.NETLINK_GENERIC:
		return &genericProtocol
	}
	return nil
}

var (
	routeProtocol   protocol
	userProtocol    = protocol{groups: 32, recvAny: true, sendAny: true}
	diagProtocol    protocol
	auditProtocol   protocol
	eventProtocol   = protocol{groups: 32, recvAny: true}
	genericProtocol protocol
)

// Register installs the address family.
func Register() {
	routeProtocol = protocol{groups: 36, recvAny: true, handle: route}
	diagProtocol = protocol{groups: 32, recvAny: true, handle: diag}
	auditProtocol = protocol{groups: 32, handle: audit}
	eventProtocol.handle = event
	genericProtocol = protocol{groups: 32, recvAny: true, handle: generic}
	socket.Register(unix.AF_NETLINK, &socket.Family{New: newSocket})
	inet.OnChange(changed)
	proc.RegisterNet("netlink", lines)
}

// table is all sockets.
var table struct {
	sync.RWMutex
	list []*sock
	auto uint32 // the next number for who has no other
}

// lookup finds the socket with a port; nil if there is none. table is held.
func lookup(number int, port uint32) *sock {
	for _, s := range table.list {
		if s.Protocol == number && s.bound && s.port == port {
			return s
		}
	}
	return nil
}

func newSocket(c vfs.Caller, typ, number int) (socket.Socket, error) {
	if typ != unix.SOCK_RAW && typ != unix.SOCK_DGRAM {
		return nil, unix.ESOCKTNOSUPPORT
	}
	p := protocolOf(number)
	if number < 0 || number >= maxProtocol || p == nil {
		return nil, unix.EPROTONOSUPPORT
	}
	s := &sock{protocol: p}
	s.Init(unix.AF_NETLINK, typ, number)
	table.Lock()
	table.list = append(table.list, s)
	table.Unlock()
	return s, nil
}
