package netstack

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"husk/kernel/inet"
)

// How duplicates of an own address are looked for before it is used: once,
// and not for a second as RFC 4862 has it by default; cards have addresses
// of their own, made at random.
const (
	duplicateProbes = 1
	duplicateWait   = 250 * time.Millisecond
)

// routers hears of IPv6's routers from gVisor, which calls it with locks held
// that setting routes takes: what it says is passed on by a goroutine.
type routers struct {
	mu    sync.Mutex
	some  sync.Cond
	heard map[tcpip.NICID]func(inet.Discovery)
	queue []func()
}

// Autoconfigure starts to listen to the routers of a NIC that is off.
func (n *netstack) Autoconfigure(i *inet.Interface, heard func(inet.Discovery)) error {
	id := tcpip.NICID(i.Index)
	ep, err := n.stack.GetNetworkEndpoint(id, ipv6.ProtocolNumber)
	if err != nil {
		return errno(err)
	}
	r := &n.routers
	r.mu.Lock()
	if r.heard == nil {
		r.heard = map[tcpip.NICID]func(inet.Discovery){}
		r.some.L = &r.mu
		go r.serve()
	}
	r.heard[id] = heard
	r.mu.Unlock()
	if d, ok := ep.(stack.DuplicateAddressDetector); ok {
		d.SetDADConfigurations(stack.DADConfigurations{DupAddrDetectTransmits: duplicateProbes, RetransmitTimer: duplicateWait})
	}
	if e, ok := ep.(ipv6.NDPEndpoint); ok {
		c := ipv6.DefaultNDPConfigurations()
		c.MaxRtrSolicitationDelay = 0 // the delay is for rooms full of machines that start together
		c.AutoGenTempGlobalAddresses = false
		e.SetNDPConfigurations(c)
	}
	return nil
}

func (r *routers) serve() {
	r.mu.Lock()
	for {
		for len(r.queue) == 0 {
			r.some.Wait()
		}
		list := r.queue
		r.queue = nil
		r.mu.Unlock()
		for _, f := range list {
			f()
		}
		r.mu.Lock()
	}
}

func (r *routers) tell(id tcpip.NICID, d inet.Discovery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.heard[id]; f != nil {
		r.queue = append(r.queue, func() { f(d) })
		r.some.Signal()
	}
}

func route(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address) *inet.Route {
	r := &inet.Route{
		Dst: inet.IPFrom(subnetAddress(to)), Bits: to.Prefix(), Index: int(id), Table: unix.RT_TABLE_MAIN,
		Protocol: unix.RTPROT_RA, Type: unix.RTN_UNICAST, Metric: 1024,
	}
	if router.Len() != 0 {
		r.Gateway = inet.IPFrom(router.AsSlice())
	} else {
		r.Protocol, r.Metric = unix.RTPROT_KERNEL, 256
	}
	return r
}

func subnetAddress(s tcpip.Subnet) []byte {
	id := s.ID()
	if id.Len() == 0 {
		return make([]byte, header.IPv6AddressSize)
	}
	return id.AsSlice()
}

// OnDuplicateAddressDetectionResult and the others are ipv6.NDPDispatcher.
func (r *routers) OnDuplicateAddressDetectionResult(tcpip.NICID, tcpip.Address, stack.DADResult) {}

// OnOffLinkRouteUpdated tells of a router.
func (r *routers) OnOffLinkRouteUpdated(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address, _ header.NDPRoutePreference) {
	r.tell(id, inet.Discovery{Route: route(id, to, router)})
}

// OnOffLinkRouteInvalidated tells of a router that is gone.
func (r *routers) OnOffLinkRouteInvalidated(id tcpip.NICID, to tcpip.Subnet, router tcpip.Address) {
	r.tell(id, inet.Discovery{Gone: true, Route: route(id, to, router)})
}

// OnOnLinkPrefixDiscovered tells of a network on the link.
func (r *routers) OnOnLinkPrefixDiscovered(id tcpip.NICID, to tcpip.Subnet) {
	r.tell(id, inet.Discovery{Route: route(id, to, tcpip.Address{})})
}

// OnOnLinkPrefixInvalidated tells of one that is gone.
func (r *routers) OnOnLinkPrefixInvalidated(id tcpip.NICID, to tcpip.Subnet) {
	r.tell(id, inet.Discovery{Gone: true, Route: route(id, to, tcpip.Address{})})
}

// OnAutoGenAddress tells of a new address, once it is known to be nobody
// else's.
func (r *routers) OnAutoGenAddress(id tcpip.NICID, a tcpip.AddressWithPrefix) stack.AddressDispatcher {
	return &ownAddress{r: r, id: id, address: inet.Address{
		IP: inet.IPFrom(a.Address.AsSlice()), Bits: a.PrefixLen, Flags: unix.IFA_F_NOPREFIXROUTE,
	}}
}

// OnAutoGenAddressDeprecated is no change for us.
func (r *routers) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix) {}

// OnAutoGenAddressInvalidated is told by the address itself.
func (r *routers) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix) {}

// OnRecursiveDNSServerOption tells of name servers.
func (r *routers) OnRecursiveDNSServerOption(id tcpip.NICID, list []tcpip.Address, lifetime time.Duration) {
	d := inet.Discovery{Gone: lifetime == 0}
	for _, a := range list {
		d.DNS = append(d.DNS, inet.IPFrom(a.AsSlice()))
	}
	r.tell(id, d)
}

// OnDNSSearchListOption tells of domains.
func (r *routers) OnDNSSearchListOption(id tcpip.NICID, list []string, lifetime time.Duration) {
	r.tell(id, inet.Discovery{Gone: lifetime == 0, Search: list})
}

// OnDHCPv6Configuration says that there is DHCPv6, which we do not ask.
func (r *routers) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA) {}

// ownAddress hears of one address.
type ownAddress struct {
	r       *routers
	id      tcpip.NICID
	address inet.Address
	told    bool // gVisor calls one at a time
}

// OnChanged is stack.AddressDispatcher's.
func (o *ownAddress) OnChanged(_ stack.AddressLifetimes, state stack.AddressAssignmentState) {
	if state == stack.AddressAssigned && !o.told {
		o.told = true
		a := o.address
		o.r.tell(o.id, inet.Discovery{Address: &a})
	}
}

// OnRemoved is stack.AddressDispatcher's.
func (o *ownAddress) OnRemoved(stack.AddressRemovalReason) {
	if o.told {
		a := o.address
		o.r.tell(o.id, inet.Discovery{Gone: true, Address: &a})
	}
}
