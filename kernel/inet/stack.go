package inet

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// A Stack turns what sockets do into packets for the Links and back. It knows
// nothing of descriptors, of blocking, and of who may do what.
//
// The configuration is this package's: a Stack is told of it and keeps what it
// needs. Ports are this package's as well: an Endpoint is always bound to a
// port that was reserved before.
type Stack interface {
	// AddLink is told of a new interface and starts its Link.
	AddLink(i *Interface) error
	// SetUp, SetMTU and the rest are told of changes.
	SetUp(i *Interface, up bool) error
	SetMTU(i *Interface, mtu int) error
	AddAddress(i *Interface, a *Address) error
	RemoveAddress(i *Interface, a *Address) error
	SetRoutes(r []Route) error
	// Autoconfigure is described at the function of this name.
	Autoconfigure(i *Interface, heard func(Discovery)) error
	JoinGroup(i *Interface, group IP) error
	LeaveGroup(i *Interface, group IP) error

	// Neighbours lists what ARP and neighbour discovery know; the others
	// change that.
	Neighbours(i *Interface) []Neighbour
	AddNeighbour(i *Interface, n *Neighbour) error
	RemoveNeighbour(i *Interface, ip IP) error
	// Counters are the packets of the layers above the links.
	Counters() *Counters

	// Open makes an endpoint of IPPROTO_TCP, UDP, ICMP or ICMPV6, or with
	// raw of any protocol. v6 endpoints serve IPv4 too unless told not to.
	// The queue is notified when the endpoint's readiness changes.
	Open(protocol int, v6, raw bool, q *wait.Queue) (Endpoint, error)
}

// An Endpoint is the Stack's part of a socket. No method waits. Errors are
// errnos: EAGAIN when there is nothing now, EINPROGRESS for a connection that
// is on its way and whose end Ready tells of.
type Endpoint interface {
	Bind(a AddrPort, device int) error
	Connect(a AddrPort) error
	Disconnect() error
	Listen(backlog int) error
	// Accept returns a connection; its events go to q of Adopt.
	Accept() (Endpoint, error)
	// Adopt makes q the queue of an endpoint that Accept returned.
	Adopt(q *wait.Queue)
	Local() (AddrPort, error)
	Remote() (AddrPort, error)
	// Shutdown takes SHUT_RD, SHUT_WR or SHUT_RDWR.
	Shutdown(how int) error
	// Close gives the endpoint up; reset says that a connection ends with
	// a reset instead of a FIN. linger 0 is the usual close.
	Close(reset bool)

	Send(b *mm.Buffer, p *Packet) (int, error)
	Recv(b *mm.Buffer, p *Packet) (int, error)
	// Ready returns the events that hold now, of Readable, Writable, RdHup,
	// Hup, Err and Pri.
	Ready() wait.Events
	// Error takes the pending error.
	Error() error
	// Queued are the bytes to read, and those sent but not acknowledged.
	Queued() (in, out int)

	// Set is told of options that matter to the packets; ENOPROTOOPT is no
	// harm. Info fills in struct tcp_info as far as it is known.
	Set(level, name int, value int) error
	Info(t *unix.TCPInfo)
}

// A Packet is what goes with the data of one Send or Recv.
type Packet struct {
	// To is the destination, or the source of what was received; Has says
	// that there is one.
	To  AddrPort
	Has bool
	// Dst, Device, TTL and TOS are of a packet that was received; with
	// sending, TTL (-1: the socket's) and Source and Device if not zero.
	Dst      IP
	Device   int
	TTL, TOS int
	Time     int64 // of the packet's arrival, real time; 0 if not known
	// Flags are MSG_PEEK, MSG_TRUNC, MSG_MORE; Full is the length of a
	// datagram that did not fit.
	Flags int
	Full  int
}

// A Neighbour is an entry of the ARP or the neighbour table.
type Neighbour struct {
	IP    IP
	MAC   [6]byte
	State uint16 // NUD_*
	Flags uint8  // NTF_*
}

// Counters are those that /proc/net/snmp shows and that are not of the
// loopback alone.
type Counters struct {
	IPIn, IPOut, IPDelivered, IPBad, IPNoRoute           uint64
	ICMPIn, ICMPOut                                      uint64
	TCPActive, TCPPassive, TCPFailed, TCPReset, TCPOpen  uint64
	TCPIn, TCPOut, TCPRetransmitted, TCPInBad, TCPOutRst uint64
	UDPIn, UDPOut, UDPNoPort, UDPBad, UDPFull            uint64
}

// NewStack makes the Stack the first time an interface is added; nil in a
// kernel without one. cmd/kernel sets it before anything else runs.
var NewStack func() (Stack, error)

// Sender is the caller of a socket, for layers that need its rights.
type Sender = vfs.Caller
