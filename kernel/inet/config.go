package inet

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The machine's configuration: interfaces, addresses, routes. Who configures
// it (the run specification, DHCP, netlink, ioctls) calls the functions of
// this file; they keep the tables, tell the Stack, and then whoever asked by
// OnChange.

// An Interface is lo or a Link. Its fields do not change but through the
// functions of this file, and are read through Snapshot.
type Interface struct {
	Index int
	Link  Link // nil for lo

	// Guarded by config.
	name      string
	flags     uint32 // IFF_*
	mtu       int
	queueLen  int
	hardware  [6]byte
	addresses []Address

	RxPackets, RxBytes, RxDropped, TxPackets, TxBytes, TxDropped atomic.Uint64

	taps atomic.Pointer[[]*Tap]
}

// An Address is one of an interface's.
type Address struct {
	IP        IP
	Bits      int // of the prefix
	Broadcast IP  // IPv4; zero: none
	Peer      IP  // of a point-to-point link; zero: none
	Label     string
	Scope     uint8
	Flags     uint32 // IFA_F_*
	// Seconds that it lasts; 0 is for ever.
	Valid, Preferred uint32
}

// A Route is an entry of the main table or of another.
type Route struct {
	Dst      IP // of the family of the route; Bits 0 is the default route
	Bits     int
	Gateway  IP // zero: the destination is on the link
	Source   IP // preferred, zero: none
	Index    int
	Metric   uint32
	Table    uint32 // RT_TABLE_*
	Protocol uint8  // RTPROT_*
	Scope    uint8
	Type     uint8 // RTN_*
	MTU      uint32
}

// V4 reports whether the route is of IPv4.
func (r *Route) V4() bool { return r.Dst.Is4() }

// A Change is what OnChange is told: what was added, removed or altered. Of
// Interface, Address and Route those are set that it is about.
type Change struct {
	Removed   bool
	Interface *Interface
	Address   *Address
	Route     *Route
}

// config holds the tables. Its lock is described in the package's comment.
var config struct {
	sync.RWMutex
	interfaces []*Interface
	routes     []Route
	stack      Stack
	watchers   []func(Change)
}

// Snapshot is an interface at one moment.
type Snapshot struct {
	*Interface
	Name      string
	Flags     uint32
	MTU       int
	QueueLen  int
	Hardware  [6]byte
	Addresses []Address
}

// lo is interface 1 of every machine. It is up, as a container engine would
// have made it.
var lo = &Interface{
	Index: 1, name: "lo", flags: unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING | 1<<16, mtu: 65536, queueLen: 1000,
	addresses: []Address{
		{IP: loopback4, Bits: 8, Label: "lo", Scope: unix.RT_SCOPE_HOST, Flags: unix.IFA_F_PERMANENT},
		{IP: loopback6, Bits: 128, Scope: unix.RT_SCOPE_HOST, Flags: unix.IFA_F_PERMANENT},
	},
}

// lowerUp is IFF_LOWER_UP, which netlink shows beside IFF_RUNNING.
const lowerUp = 1 << 16

// onlyLo is what a machine without cards has.
var onlyLo = []*Interface{lo}

func interfaces() []*Interface {
	if config.interfaces == nil {
		return onlyLo
	}
	return config.interfaces
}

// Interfaces lists the interfaces in the order of their numbers.
func Interfaces() []Snapshot {
	config.RLock()
	defer config.RUnlock()
	list := make([]Snapshot, 0, 2)
	for _, i := range interfaces() {
		list = append(list, i.snapshot())
	}
	return list
}

func (i *Interface) snapshot() Snapshot {
	s := Snapshot{i, i.name, i.flags, i.mtu, i.queueLen, i.hardware, append([]Address(nil), i.addresses...)}
	switch {
	case i.flags&unix.IFF_UP == 0:
		s.Flags &^= unix.IFF_RUNNING | lowerUp
	case i.Link != nil && i.Link.Up():
		s.Flags |= unix.IFF_RUNNING | lowerUp
	}
	return s
}

// Snapshot returns the interface as it is now.
func (i *Interface) Snapshot() Snapshot {
	config.RLock()
	defer config.RUnlock()
	return i.snapshot()
}

// ByIndex returns an interface, nil if there is none.
func ByIndex(index int) *Interface {
	config.RLock()
	defer config.RUnlock()
	return byIndex(index)
}

func byIndex(index int) *Interface {
	for _, i := range interfaces() {
		if i.Index == index {
			return i
		}
	}
	return nil
}

// ByName returns an interface, nil if there is none.
func ByName(name string) *Interface {
	config.RLock()
	defer config.RUnlock()
	for _, i := range interfaces() {
		if i.name == name {
			return i
		}
	}
	return nil
}

// OnChange registers f to be told of every change after it was made. f may
// be called from any goroutine.
func OnChange(f func(Change)) {
	config.Lock()
	config.watchers = append(config.watchers, f)
	config.Unlock()
}

func tell(c Change) {
	config.RLock()
	w := config.watchers
	config.RUnlock()
	for _, f := range w {
		f(c)
	}
}

// theStack is the Stack, nil while there is none.
func theStack() Stack {
	config.RLock()
	defer config.RUnlock()
	return config.stack
}

// AddLink makes an interface of a card; it is down and has no address. Without
// a Stack in the kernel it is ENODEV.
func AddLink(name string, l Link) (*Interface, error) {
	config.Lock()
	if config.stack == nil {
		if NewStack == nil {
			config.Unlock()
			return nil, unix.ENODEV
		}
		s, err := NewStack()
		if err != nil {
			config.Unlock()
			return nil, err
		}
		config.stack = s
	}
	all := interfaces()
	i := &Interface{
		Index: all[len(all)-1].Index + 1, Link: l, name: name,
		flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, mtu: l.MTU(), queueLen: 1000, hardware: l.Address(),
	}
	config.interfaces = append(append([]*Interface(nil), all...), i)
	s := config.stack
	config.Unlock()
	if err := s.AddLink(i); err != nil {
		return nil, err
	}
	tell(Change{Interface: i})
	return i, nil
}

// SetUp turns an interface on or off.
func SetUp(i *Interface, up bool) error {
	config.Lock()
	was := i.flags
	if up {
		i.flags |= unix.IFF_UP
	} else {
		i.flags &^= unix.IFF_UP
	}
	s := config.stack
	config.Unlock()
	if was == i.flags {
		return nil
	}
	if i.Link != nil && s != nil {
		if err := s.SetUp(i, up); err != nil {
			return err
		}
	}
	tell(Change{Interface: i})
	return i.followRoutes(up)
}

// followRoutes removes the routes by an interface that goes down, and brings
// back those to its networks when it comes up.
func (i *Interface) followRoutes(up bool) error {
	if up {
		for _, a := range i.Snapshot().Addresses {
			if err := i.addPrefix(&a); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range Routes() {
		if r.Index != i.Index {
			continue
		}
		if err := RemoveRoute(r); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}

// SetFlags changes those of the flags in mask that are a matter of setting.
func SetFlags(i *Interface, flags, mask uint32) error {
	const settable = unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_NOARP | unix.IFF_DYNAMIC | unix.IFF_DEBUG | unix.IFF_NOTRAILERS
	config.Lock()
	i.flags = i.flags&^(mask&settable) | flags&mask&settable
	config.Unlock()
	if mask&unix.IFF_UP != 0 {
		return SetUp(i, flags&unix.IFF_UP != 0)
	}
	tell(Change{Interface: i})
	return nil
}

// SetMTU changes the MTU of an interface.
func SetMTU(i *Interface, mtu int) error {
	if i.Link != nil && (mtu < 68 || mtu > 65535) || mtu < 0 {
		return unix.EINVAL
	}
	config.Lock()
	i.mtu = mtu
	s := config.stack
	config.Unlock()
	if i.Link != nil && s != nil {
		if err := s.SetMTU(i, mtu); err != nil {
			return err
		}
	}
	tell(Change{Interface: i})
	return nil
}

// Rename gives an interface that is down another name.
func Rename(i *Interface, name string) error {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return unix.EINVAL
	}
	if ByName(name) != nil {
		return unix.EEXIST
	}
	config.Lock()
	i.name = name
	config.Unlock()
	tell(Change{Interface: i})
	return nil
}

// SetQueueLen changes the length of an interface's queue, which is only shown.
func SetQueueLen(i *Interface, n int) error {
	if n < 0 {
		return unix.EINVAL
	}
	config.Lock()
	i.queueLen = n
	config.Unlock()
	tell(Change{Interface: i})
	return nil
}

// AddAddress gives an interface an address, and the route to its prefix.
// EEXIST if it has it.
func AddAddress(i *Interface, a Address) error {
	config.Lock()
	for k := range i.addresses {
		if i.addresses[k].IP == a.IP {
			config.Unlock()
			return unix.EEXIST
		}
	}
	if a.Label == "" && a.IP.Is4() {
		a.Label = i.name
	}
	if i.primary(&a) != nil {
		a.Flags |= unix.IFA_F_SECONDARY
	}
	i.addresses = slices.Insert(slices.Clone(i.addresses), i.place(&a), a)
	s := config.stack
	config.Unlock()
	if i.Link != nil && s != nil {
		if err := s.AddAddress(i, &a); err != nil {
			config.Lock()
			i.drop(a.IP)
			config.Unlock()
			return err
		}
	}
	tell(Change{Interface: i, Address: &a})
	return i.addPrefix(&a)
}

// addPrefix adds the route to the network of an address.
func (i *Interface) addPrefix(a *Address) error {
	full := 128
	if a.IP.Is4() {
		full = 32
	}
	if i.Link == nil || a.Bits >= full || a.Flags&unix.IFA_F_NOPREFIXROUTE != 0 {
		return nil
	}
	r := Route{
		Dst: masked(a.IP, a.Bits), Bits: a.Bits, Index: i.Index, Table: unix.RT_TABLE_MAIN,
		Protocol: unix.RTPROT_KERNEL, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
	}
	if a.IP.Is4() {
		r.Source = a.IP
	} else {
		r.Metric, r.Scope = 256, unix.RT_SCOPE_UNIVERSE
	}
	if err := AddRoute(r); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// place is where Linux would list a new address: of IPv4 the first of their
// networks come before the others, of IPv6 those of wider scope, the newest
// first. config is held.
func (i *Interface) place(a *Address) int {
	at := 0
	switch {
	case a.Flags&unix.IFA_F_SECONDARY != 0:
		return len(i.addresses)
	case a.IP.Is4():
		for k := range i.addresses {
			if o := &i.addresses[k]; o.IP.Is4() && o.Flags&unix.IFA_F_SECONDARY == 0 && a.Scope <= o.Scope {
				at = k + 1
			}
		}
		return at
	}
	for at = range i.addresses {
		if o := &i.addresses[at]; !o.IP.Is4() && reach6(&a.IP) >= reach6(&o.IP) {
			return at
		}
	}
	return len(i.addresses)
}

// reach6 is the scope of an address as multicast's are numbered (RFC 4291).
func reach6(ip *IP) int {
	switch {
	case ip.Loopback():
		return 1
	case ip.LinkLocal():
		return 2
	}
	return 14
}

// primary is the first address of a's network, if a is of IPv4 and is not it;
// the others of the network are secondary. config is held.
func (i *Interface) primary(a *Address) *Address {
	for k := range i.addresses {
		o := &i.addresses[k]
		if a.IP.Is4() && o.IP.Is4() && o.IP != a.IP && o.Bits == a.Bits && o.Flags&unix.IFA_F_SECONDARY == 0 && a.IP.Within(&o.IP, o.Bits) {
			return o
		}
	}
	return nil
}

// drop forgets an address and returns it. config is held.
func (i *Interface) drop(ip IP) (Address, bool) {
	for k, a := range i.addresses {
		if a.IP == ip {
			i.addresses = append(append([]Address(nil), i.addresses[:k]...), i.addresses[k+1:]...)
			return a, true
		}
	}
	return Address{}, false
}

// RemoveAddress takes an address away, with the routes that have it as their
// source or came with it. EADDRNOTAVAIL if it is not there.
func RemoveAddress(i *Interface, ip IP) error {
	config.Lock()
	a, ok := i.drop(ip)
	s := config.stack
	var gone []Route
	// A network goes with its first address, and so do its other addresses.
	keep := i.primary(&a) != nil
	var others []IP
	for _, o := range i.addresses {
		if ok && !keep && o.Flags&unix.IFA_F_SECONDARY != 0 && o.Bits == a.Bits && o.IP.Within(&a.IP, a.Bits) {
			others = append(others, o.IP)
		}
	}
	for _, r := range config.routes {
		if keep && r.Source != ip {
			continue
		}
		if r.Index == i.Index && (r.Source == ip || r.Protocol == unix.RTPROT_KERNEL && r.Bits == a.Bits && ip.Within(&r.Dst, r.Bits)) {
			gone = append(gone, r)
		}
	}
	config.Unlock()
	if !ok {
		return unix.EADDRNOTAVAIL
	}
	if i.Link != nil && s != nil {
		if err := s.RemoveAddress(i, &a); err != nil {
			return err
		}
	}
	tell(Change{Removed: true, Interface: i, Address: &a})
	for _, r := range gone {
		if err := RemoveRoute(r); err != nil && err != unix.ESRCH {
			return err
		}
	}
	for _, o := range others {
		if err := RemoveAddress(i, o); err != nil && err != unix.EADDRNOTAVAIL {
			return err
		}
	}
	return nil
}

// masked is ip without the bits behind its prefix.
func masked(ip IP, bits int) IP {
	if ip.Is4() {
		bits += 96
	}
	for k := range ip {
		switch {
		case k*8 >= bits:
			ip[k] = 0
		case k*8+8 > bits:
			ip[k] &= 0xff << (k*8 + 8 - bits)
		}
	}
	return ip
}

// Routes lists the routes.
func Routes() []Route {
	config.RLock()
	defer config.RUnlock()
	return append([]Route(nil), config.routes...)
}

// AddRoute adds a route. EEXIST if there is one to the same destination with
// the same metric, ENETUNREACH if the gateway is on no link.
func AddRoute(r Route) error {
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	config.Lock()
	if r.Index == 0 && r.Gateway != (IP{}) {
		for _, o := range config.routes {
			if o.Gateway == (IP{}) && r.Gateway.Within(&o.Dst, o.Bits) {
				r.Index = o.Index
			}
		}
	}
	if r.Index == 0 {
		config.Unlock()
		return unix.ENETUNREACH
	}
	if byIndex(r.Index) == nil {
		config.Unlock()
		return unix.ENODEV
	}
	for _, o := range config.routes {
		if o.same(&r) {
			config.Unlock()
			return unix.EEXIST
		}
	}
	err := setRoutes(append(config.routes[:len(config.routes):len(config.routes)], r))
	config.Unlock()
	if err != nil {
		return err
	}
	tell(Change{Route: &r})
	return nil
}

func (r *Route) same(o *Route) bool {
	return r.Dst == o.Dst && r.Bits == o.Bits && r.Metric == o.Metric && r.Table == o.Table && r.V4() == o.V4()
}

// RemoveRoute removes the first route that has r's destination and, where r
// has them, its gateway, interface and metric. ESRCH if there is none.
func RemoveRoute(r Route) error {
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	config.Lock()
	for k, o := range config.routes {
		if o.Dst != r.Dst || o.Bits != r.Bits || o.Table != r.Table || r.Gateway != (IP{}) && o.Gateway != r.Gateway ||
			r.Index != 0 && o.Index != r.Index || r.Metric != 0 && o.Metric != r.Metric {
			continue
		}
		err := setRoutes(append(append([]Route(nil), config.routes[:k]...), config.routes[k+1:]...))
		config.Unlock()
		if err != nil {
			return err
		}
		tell(Change{Removed: true, Route: &o})
		return nil
	}
	config.Unlock()
	return unix.ESRCH
}

// setRoutes replaces the table. config is held.
func setRoutes(list []Route) error {
	if config.stack != nil {
		if err := config.stack.SetRoutes(list); err != nil {
			return err
		}
	}
	config.routes = list
	return nil
}

// Neighbours lists the neighbours of an interface.
func Neighbours(i *Interface) []Neighbour {
	if s := theStack(); s != nil && i.Link != nil {
		return s.Neighbours(i)
	}
	return nil
}

// AddNeighbour adds a permanent entry or changes one.
func AddNeighbour(i *Interface, n Neighbour) error {
	if s := theStack(); s != nil && i.Link != nil {
		return s.AddNeighbour(i, &n)
	}
	return unix.EINVAL
}

// RemoveNeighbour removes an entry; ENOENT if there is none.
func RemoveNeighbour(i *Interface, ip IP) error {
	if s := theStack(); s != nil && i.Link != nil {
		return s.RemoveNeighbour(i, ip)
	}
	return unix.ENOENT
}

// local reports whether ip is an address of this machine, and which
// interface's.
func local(ip *IP) *Interface {
	if ip.Loopback() {
		return lo
	}
	config.RLock()
	defer config.RUnlock()
	for _, i := range interfaces() {
		for k := range i.addresses {
			// All of a network of lo is this machine.
			if a := &i.addresses[k]; a.IP == *ip || i == lo && a.Bits < 32 && ip.Is4() && ip.Within(&a.IP, a.Bits) {
				return i
			}
		}
	}
	return nil
}

// route finds the way to ip: the route of the longest prefix and least metric
// among those of interfaces that are up (device 0: any).
func route(ip *IP, device int) (r Route, ok bool) {
	config.RLock()
	defer config.RUnlock()
	for _, o := range config.routes {
		if device != 0 && o.Index != device || !ip.Within(&o.Dst, o.Bits) {
			continue
		}
		if i := byIndex(o.Index); i == nil || i.flags&unix.IFF_UP == 0 {
			continue
		}
		if !ok || o.Bits > r.Bits || o.Bits == r.Bits && o.Metric < r.Metric {
			r, ok = o, true
		}
	}
	return r, ok
}

// sourceFor is the address that a packet along r has if its socket has none.
func sourceFor(r *Route, dst *IP) (IP, bool) {
	if r.Source != (IP{}) {
		return r.Source, true
	}
	config.RLock()
	defer config.RUnlock()
	i := byIndex(r.Index)
	if i == nil {
		return IP{}, false
	}
	found := -1
	for k := range i.addresses {
		a := &i.addresses[k]
		if a.IP.Is4() != dst.Is4() || !a.IP.Is4() && a.IP.LinkLocal() != dst.LinkLocal() {
			continue
		}
		if found < 0 || r.Gateway != (IP{}) && r.Gateway.Within(&a.IP, a.Bits) && !r.Gateway.Within(&i.addresses[found].IP, i.addresses[found].Bits) {
			found = k
		}
	}
	if found < 0 {
		return IP{}, false
	}
	return i.addresses[found].IP, true
}
