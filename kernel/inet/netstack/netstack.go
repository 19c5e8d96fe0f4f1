// Package netstack is inet's Stack over gVisor's TCP/IP stack. Only the kernel
// with the build tag inet has it, and nothing of it runs before the first
// network card is added.
//
// Frames arrive on the drivers' goroutines, which carry them through IP; TCP's
// segments are then handled by goroutines of gVisor's, one a processor. What
// is sent goes to the card on the goroutine that sends it.
//
// Locks: queue.mu guards what waits for room in a queue of the card, and is a
// leaf. gVisor's locks are taken before it and never within it.
package netstack

import (
	"math/rand"
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"husk/kernel/inet"
	"husk/kernel/random"
	"husk/kernel/wait"
)

type netstack struct {
	stack   *stack.Stack
	routers routers
}

// entropy is the kernel's generator.
type entropy struct{}

func (entropy) Read(p []byte) (int, error) {
	random.Read(p)
	return len(p), nil
}

// source is the kernel's generator as one of math/rand.
type source struct{}

func (source) Uint64() uint64 {
	var p [8]byte
	random.Read(p[:])
	n := uint64(0)
	for _, b := range p {
		n = n<<8 | uint64(b)
	}
	return n
}

func (s source) Int63() int64 { return int64(s.Uint64() >> 1) }
func (source) Seed(int64)     {}

var _ rand.Source64 = source{}

// Limits of TCP's buffers: what a fresh connection has and how far it grows.
const (
	leastBuffer = 4096
	sendBuffer  = 256 << 10
	recvBuffer  = 1 << 20
	mostBuffer  = 6 << 20
)

// New makes the stack.
func New() (inet.Stack, error) {
	n := &netstack{}
	s := stack.New(stack.Options{
		Clock: newClock(),
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocol,
			// Addresses are given, and not found, unless Autoconfigure says so.
			ipv6.NewProtocolWithOptions(ipv6.Options{NDPDisp: &n.routers}),
			arp.NewProtocol,
		},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		RawFactory:         raw.EndpointFactory{},
		SecureRNG:          entropy{},
		RandSource:         source{},
	})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: leastBuffer, Default: sendBuffer, Max: mostBuffer}
	recv := tcpip.TCPReceiveBufferSizeRangeOption{Min: leastBuffer, Default: recvBuffer, Max: mostBuffer}
	cubic := tcpip.CongestionControlOption("cubic")
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &send, &recv, &cubic} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return nil, errno(err)
		}
	}
	n.stack = s
	return n, nil
}

func address(ip *inet.IP) tcpip.Address {
	if ip.Any() && *ip == (inet.IP{}) {
		return tcpip.AddrFrom16([16]byte{})
	}
	return tcpip.AddrFromSlice(ip.Bytes())
}

func protocolOf(ip *inet.IP) tcpip.NetworkProtocolNumber {
	if ip.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// AddLink makes a NIC, which is off.
func (n *netstack) AddLink(i *inet.Interface) error {
	c := newNIC(i)
	if err := n.stack.CreateNICWithOptions(tcpip.NICID(i.Index), c, stack.NICOptions{Disabled: true}); err != nil {
		return errno(err)
	}
	return i.Link.Start(c)
}

// SetUp turns a NIC on or off.
func (n *netstack) SetUp(i *inet.Interface, up bool) error {
	if up {
		return errno(n.stack.EnableNIC(tcpip.NICID(i.Index)))
	}
	return errno(n.stack.DisableNIC(tcpip.NICID(i.Index)))
}

// SetMTU changes the MTU of a NIC.
func (n *netstack) SetMTU(i *inet.Interface, mtu int) error {
	return errno(n.stack.SetNICMTU(tcpip.NICID(i.Index), uint32(mtu)))
}

// AddAddress gives a NIC an address.
func (n *netstack) AddAddress(i *inet.Interface, a *inet.Address) error {
	return errno(n.stack.AddProtocolAddress(tcpip.NICID(i.Index), tcpip.ProtocolAddress{
		Protocol:          protocolOf(&a.IP),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(&a.IP), PrefixLen: a.Bits},
	}, stack.AddressProperties{}))
}

// RemoveAddress takes it away.
func (n *netstack) RemoveAddress(i *inet.Interface, a *inet.Address) error {
	return errno(n.stack.RemoveAddress(tcpip.NICID(i.Index), address(&a.IP)))
}

// SetRoutes replaces the routes. gVisor takes the first that suits.
func (n *netstack) SetRoutes(list []inet.Route) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b inet.Route) int {
		if a.Bits != b.Bits {
			return b.Bits - a.Bits
		}
		return int(a.Metric) - int(b.Metric)
	})
	table := make([]tcpip.Route, 0, len(list))
	for _, r := range list {
		if r.Type > unix.RTN_UNICAST {
			continue // found before it comes to packets
		}
		dst := tcpip.AddressWithPrefix{Address: address(&r.Dst), PrefixLen: r.Bits}
		t := tcpip.Route{Destination: dst.Subnet(), NIC: tcpip.NICID(r.Index), MTU: r.MTU}
		if r.Gateway != (inet.IP{}) {
			t.Gateway = address(&r.Gateway)
		}
		if r.Source != (inet.IP{}) {
			t.SourceHint = address(&r.Source)
		}
		table = append(table, t)
	}
	n.stack.SetRouteTable(table)
	return nil
}

// JoinGroup makes a NIC hear a multicast group.
func (n *netstack) JoinGroup(i *inet.Interface, group inet.IP) error {
	return errno(n.stack.JoinGroup(protocolOf(&group), tcpip.NICID(i.Index), address(&group)))
}

// LeaveGroup undoes JoinGroup.
func (n *netstack) LeaveGroup(i *inet.Interface, group inet.IP) error {
	return errno(n.stack.LeaveGroup(protocolOf(&group), tcpip.NICID(i.Index), address(&group)))
}

// Neighbours lists what ARP and neighbour discovery have found.
func (n *netstack) Neighbours(i *inet.Interface) []inet.Neighbour {
	var list []inet.Neighbour
	for _, p := range [...]tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		entries, err := n.stack.Neighbors(tcpip.NICID(i.Index), p)
		if err != nil {
			continue
		}
		for _, e := range entries {
			b := inet.Neighbour{IP: inet.IPFrom(e.Addr.AsSlice()), State: neighbourStates[e.State]}
			copy(b.MAC[:], e.LinkAddr)
			list = append(list, b)
		}
	}
	return list
}

var neighbourStates = [...]uint16{
	stack.Unknown: unix.NUD_NONE, stack.Incomplete: unix.NUD_INCOMPLETE, stack.Reachable: unix.NUD_REACHABLE,
	stack.Stale: unix.NUD_STALE, stack.Delay: unix.NUD_DELAY, stack.Probe: unix.NUD_PROBE,
	stack.Static: unix.NUD_PERMANENT, stack.Unreachable: unix.NUD_FAILED,
}

// AddNeighbour adds a permanent entry.
func (n *netstack) AddNeighbour(i *inet.Interface, b *inet.Neighbour) error {
	return errno(n.stack.AddStaticNeighbor(tcpip.NICID(i.Index), protocolOf(&b.IP), address(&b.IP), tcpip.LinkAddress(b.MAC[:])))
}

// RemoveNeighbour removes an entry.
func (n *netstack) RemoveNeighbour(i *inet.Interface, ip inet.IP) error {
	if err := n.stack.RemoveNeighbor(tcpip.NICID(i.Index), protocolOf(&ip), address(&ip)); err != nil {
		return unix.ENOENT
	}
	return nil
}

// Counters are gVisor's statistics.
func (n *netstack) Counters() *inet.Counters {
	s := n.stack.Stats()
	return &inet.Counters{
		IPIn: s.IP.PacketsReceived.Value(), IPOut: s.IP.PacketsSent.Value(), IPDelivered: s.IP.PacketsDelivered.Value(),
		IPBad: s.IP.MalformedPacketsReceived.Value(), IPNoRoute: s.IP.OutgoingPacketErrors.Value(),
		TCPActive: s.TCP.ActiveConnectionOpenings.Value(), TCPPassive: s.TCP.PassiveConnectionOpenings.Value(),
		TCPFailed: s.TCP.FailedConnectionAttempts.Value(), TCPReset: s.TCP.EstablishedResets.Value(),
		TCPOpen: s.TCP.CurrentEstablished.Value(), TCPIn: s.TCP.ValidSegmentsReceived.Value(),
		TCPOut: s.TCP.SegmentsSent.Value(), TCPRetransmitted: s.TCP.Retransmits.Value(),
		TCPInBad: s.TCP.InvalidSegmentsReceived.Value(), TCPOutRst: s.TCP.ResetsSent.Value(),
		UDPIn: s.UDP.PacketsReceived.Value(), UDPOut: s.UDP.PacketsSent.Value(), UDPNoPort: s.UDP.UnknownPortErrors.Value(),
		UDPBad: s.UDP.MalformedPacketsReceived.Value(), UDPFull: s.UDP.ReceiveBufferErrors.Value(),
	}
}

// Open makes an endpoint.
func (n *netstack) Open(protocol int, v6, isRaw bool, q *wait.Queue) (inet.Endpoint, error) {
	e := &endpoint{stack: n, v6: v6, protocol: protocol, raw: isRaw}
	e.queue.Store(q)
	family := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if v6 {
		family = header.IPv6ProtocolNumber
	}
	w := &waiter.Queue{}
	var err tcpip.Error
	if isRaw {
		e.ep, err = n.stack.NewRawEndpoint(tcpip.TransportProtocolNumber(protocol), family, w, true)
	} else {
		e.ep, err = n.stack.NewEndpoint(tcpip.TransportProtocolNumber(protocol), family, w)
	}
	if err != nil {
		return nil, errno(err)
	}
	e.watch(w)
	// Who may be bound beside whom was decided before.
	o := e.ep.SocketOptions()
	o.SetReuseAddress(true)
	o.SetReusePort(true)
	o.SetBroadcast(true)
	o.SetMulticastLoop(false)
	if protocol != unix.IPPROTO_TCP {
		o.SetReceivePacketInfo(true)
		o.SetReceiveTTL(true)
		o.SetReceiveTOS(true)
		if v6 {
			o.SetIPv6ReceivePacketInfo(true)
			o.SetReceiveHopLimit(true)
			o.SetReceiveTClass(true)
		}
	}
	return e, nil
}

// errno turns gVisor's error into Linux's.
func errno(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrWouldBlock:
		return unix.EAGAIN
	case *tcpip.ErrConnectStarted:
		return unix.EINPROGRESS
	case *tcpip.ErrConnectionRefused:
		return unix.ECONNREFUSED
	case *tcpip.ErrConnectionReset:
		return unix.ECONNRESET
	case *tcpip.ErrConnectionAborted, *tcpip.ErrAborted:
		return unix.ECONNABORTED
	case *tcpip.ErrTimeout:
		return unix.ETIMEDOUT
	case *tcpip.ErrHostUnreachable, *tcpip.ErrHostDown:
		return unix.EHOSTUNREACH
	case *tcpip.ErrNetworkUnreachable, *tcpip.ErrNoNet:
		return unix.ENETUNREACH
	case *tcpip.ErrClosedForSend:
		return unix.EPIPE
	case *tcpip.ErrNotConnected:
		return unix.ENOTCONN
	case *tcpip.ErrAlreadyConnecting:
		return unix.EALREADY
	case *tcpip.ErrAlreadyConnected:
		return unix.EISCONN
	case *tcpip.ErrMessageTooLong:
		return unix.EMSGSIZE
	case *tcpip.ErrNoBufferSpace:
		return unix.ENOBUFS
	case *tcpip.ErrPortInUse:
		return unix.EADDRINUSE
	case *tcpip.ErrNoPortAvailable:
		return unix.EAGAIN
	case *tcpip.ErrBadLocalAddress:
		return unix.EADDRNOTAVAIL
	case *tcpip.ErrBroadcastDisabled:
		return unix.EACCES
	case *tcpip.ErrDestinationRequired:
		return unix.EDESTADDRREQ
	case *tcpip.ErrNotPermitted:
		return unix.EPERM
	case *tcpip.ErrNotSupported, *tcpip.ErrUnknownProtocolOption:
		return unix.EOPNOTSUPP
	case *tcpip.ErrDuplicateAddress:
		return unix.EEXIST
	case *tcpip.ErrUnknownDevice, *tcpip.ErrUnknownNICID, *tcpip.ErrInvalidNICID:
		return unix.ENODEV
	case *tcpip.ErrBadBuffer, *tcpip.ErrBadAddress:
		return unix.EFAULT
	case *tcpip.ErrAddressFamilyNotSupported:
		return unix.EAFNOSUPPORT
	case *tcpip.ErrUnknownProtocol:
		return unix.EPROTONOSUPPORT
	}
	return unix.EINVAL
}
