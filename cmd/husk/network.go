package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"husk/host/instance"
	"husk/host/network"
	"husk/host/vmm"
	"husk/spec"
)

// netFlags are the flags of the network as they were typed, and what was
// opened for them.
type netFlags struct {
	nets     []string
	publish  []string
	ip       []string
	gateway  []string
	mac      string
	mtu      int
	dns      []string
	hostname string

	close []func()
}

func (n *netFlags) define(flags *pflag.FlagSet) {
	flags.StringArrayVar(&n.nets, "net", nil, "network of a card: user (the monitor's own, no privilege needed), passt, tap[=NAME], bridge=NAME, socket=PATH, or none (default user with -p, else none); several for several cards, each with ,ip=… ,gateway=… ,mac=… ,mtu=… of its own")
	flags.StringArrayVarP(&n.publish, "publish", "p", nil, "lead a port of the host to the program: [ADDR:]HOST:GUEST[/udp], also ranges (ADDR is 127.0.0.1 unless given)")
	flags.StringArrayVar(&n.ip, "ip", nil, "address of the machine, with or without /PREFIX, IPv4 or IPv6 (default 10.0.2.15/24 with user, else what DHCP and routers say)")
	flags.StringArrayVar(&n.gateway, "gateway", nil, "address of the way out of the machine's network (default with user the second of it, else the bridge's)")
	flags.StringVar(&n.mac, "mac", "", "MAC address of the network card")
	flags.IntVar(&n.mtu, "mtu", 0, "largest packet of the network card (default 1500, or the bridge's)")
	flags.StringArrayVar(&n.dns, "dns", nil, "name server, instead of the one that asks the host's")
	flags.StringVar(&n.hostname, "hostname", "husk", "name of the machine")
}

// nic is one network card as the flags have it.
type nic struct {
	text     string // as typed, for errors
	kind     string
	name     string // of the tap, the bridge or the socket
	ips      []netip.Prefix
	bare     []bool // no prefix was given with the address
	gateways []netip.Addr
	mac      string
	mtu      int
}

// nics reads --net and, for the first card, the flags beside it.
func (n *netFlags) nics() ([]*nic, error) {
	nets := n.nets
	if len(nets) == 0 && len(n.publish) > 0 {
		nets = []string{"user"}
	}
	var list []*nic
	for _, text := range nets {
		words := strings.Split(text, ",")
		c := &nic{text: "--net " + text}
		c.kind, c.name, _ = strings.Cut(words[0], "=")
		named := strings.Contains(words[0], "=")
		switch {
		case c.kind == "none" && text == "none" && len(nets) == 1:
			return nil, nil
		case c.kind == "none":
			return nil, fmt.Errorf("%s: there are other cards, or options of it", c.text)
		case (c.kind == "user" || c.kind == "passt") && !named, c.kind == "tap" && (!named || c.name != ""),
			(c.kind == "bridge" || c.kind == "socket") && c.name != "":
		case c.kind == "bridge" || c.kind == "socket":
			return nil, fmt.Errorf("%s: which? %s=NAME", c.text, c.kind)
		default:
			return nil, fmt.Errorf("%s: not one of user, passt, tap, bridge=NAME, socket=PATH, none", c.text)
		}
		if c.kind != "socket" && (len(c.name) > 15 || strings.ContainsAny(c.name, "/ %")) {
			return nil, fmt.Errorf("%s: not the name of a device", c.text)
		}
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			if err := c.set(key, value, c.text); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, n.useless()
	}
	first := list[0]
	mtu := ""
	if n.mtu != 0 {
		mtu = strconv.Itoa(n.mtu)
	}
	for _, x := range []struct {
		key    string
		values []string
	}{{"ip", n.ip}, {"gateway", n.gateway}, {"mac", []string{n.mac}}, {"mtu", []string{mtu}}} {
		for _, v := range x.values {
			if v == "" {
				continue
			}
			if err := first.set(x.key, v, "--"+x.key+" "+v); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// useless complains of flags that say nothing without a card.
func (n *netFlags) useless() error {
	for _, x := range []struct {
		flag  string
		given bool
	}{
		{"-p", len(n.publish) > 0},
		{"--ip", len(n.ip) > 0},
		{"--gateway", len(n.gateway) > 0},
		{"--mac", n.mac != ""},
		{"--mtu", n.mtu != 0},
		{"--dns", len(n.dns) > 0},
	} {
		if x.given {
			return fmt.Errorf("%s needs a network: say --net user", x.flag)
		}
	}
	return nil
}

// set gives a card one property; where says what the user typed.
func (c *nic) set(key, value, where string) error {
	switch key {
	case "ip":
		text := value
		if address, mask, ok := strings.Cut(value, "/"); ok && strings.Contains(mask, ".") {
			if m := net.ParseIP(mask).To4(); m != nil {
				if ones, bits := net.IPMask(m).Size(); bits != 0 {
					text = address + "/" + strconv.Itoa(ones)
				}
			}
		}
		bare := !strings.Contains(text, "/")
		if bare && strings.Contains(text, ":") {
			text += "/64"
		} else if bare {
			text += "/24"
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().IsUnspecified() || p.Addr().IsMulticast() || p.Addr().IsLoopback() || p.Addr().Is4In6() ||
			p.Bits() < 1 || p.Addr().Is4() && p.Bits() < 31 && (p.Addr() == p.Masked().Addr() || p.Addr() == last(p)) {
			return fmt.Errorf("%s: not the address of a machine in its network", where)
		}
		c.ips, c.bare = append(c.ips, p), append(c.bare, bare)
	case "gateway":
		a, err := netip.ParseAddr(value)
		if err != nil || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() {
			return fmt.Errorf("%s: not an address", where)
		}
		c.gateways = append(c.gateways, a.WithZone(""))
	case "mac":
		m, err := net.ParseMAC(value)
		if err != nil || len(m) != 6 || m[0]&1 != 0 || m.String() == "00:00:00:00:00:00" {
			return fmt.Errorf("%s: not the MAC address of a card", where)
		}
		c.mac = m.String()
	case "mtu":
		m, err := strconv.Atoi(value)
		if err != nil || m < 68 || m > 65521 || c.kind == "user" && m > 1500 {
			return fmt.Errorf("%s: an MTU is 68 to 65521, with user at most 1500", where)
		}
		c.mtu = m
	default:
		return fmt.Errorf("%s: %q is not one of ip, gateway, mac, mtu", where, key)
	}
	return nil
}

// randomMAC is a card's address of our own: on a bridge no two machines may
// have the monitor's.
func randomMAC() string {
	m := make(net.HardwareAddr, 6)
	_, _ = rand.Read(m)
	m[0] = m[0]&^1 | 2 // locally administered, not a group's
	return m.String()
}

// last is the broadcast address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for k := p.Bits(); k < 32; k++ {
		b[k/8] |= 0x80 >> (k % 8)
	}
	return netip.AddrFrom4(b)
}

// apply gives the machine its cards and the specification its network.
func (n *netFlags) apply(c *instance.Config) error {
	if n.hostname == "" || len(n.hostname) > 64 || strings.ContainsAny(n.hostname, " \t\n/") {
		return fmt.Errorf("--hostname %q: not the name of a machine", n.hostname)
	}
	c.Spec.Hostname = n.hostname
	for _, d := range n.dns {
		if _, err := netip.ParseAddr(d); err != nil {
			return fmt.Errorf("--dns %s: not an address", d)
		}
	}
	list, err := n.nics()
	if err != nil || len(list) == 0 {
		if err == nil {
			err = n.useless()
		}
		return err
	}
	var forward []vmm.Forward
	for _, text := range n.publish {
		f, err := parsePublish(text)
		if err == nil {
			err = vacant(f, forward)
		}
		if err != nil {
			return fmt.Errorf("-p %s: %w", text, err)
		}
		forward = append(forward, f...)
	}
	dns := n.dns
	c.Spec.Network = &spec.Network{}
	for k, x := range list {
		var card *vmm.Card
		i := &spec.Interface{MTU: x.mtu}
		switch x.kind {
		case "user":
			card, err = x.user(k, i)
			if err == nil {
				card.User.Forward, forward = forward, nil
				if len(n.dns) == 0 && len(dns) == 0 {
					dns = []string{card.User.DNS}
				}
			}
		case "passt":
			card, err = n.passt(x, i, forward)
			forward = nil
		case "socket":
			card, err = x.socket(i)
		default:
			card, err = n.tap(x, i, c.Machine.CPUs)
		}
		if err != nil {
			return err
		}
		if card.MAC = x.mac; card.MAC == "" {
			card.MAC = randomMAC()
		}
		if card.MTU == 0 {
			card.MTU = x.mtu
		}
		if k > 0 && len(x.gateways) == 0 {
			i.Gateways = nil // the first card's is the way out
		}
		c.Machine.Cards = append(c.Machine.Cards, *card)
		c.Spec.Network.Interfaces = append(c.Spec.Network.Interfaces, *i)
	}
	if len(forward) > 0 {
		return errors.New("-p leads through --net user or passt; with a network of its own the machine has its ports there")
	}
	c.Spec.Network.DNS = dns
	return nil
}

// static gives the interface the addresses and gateways that were typed, or
// has it ask for them.
func (c *nic) static(i *spec.Interface) error {
	for _, p := range c.ips {
		i.Addresses = append(i.Addresses, p.String())
	}
	for _, g := range c.gateways {
		reachable := false
		for _, p := range c.ips {
			reachable = reachable || p.Contains(g) && p.Addr() != g
		}
		if !reachable && !g.IsLinkLocalUnicast() {
			return fmt.Errorf("--gateway %s: not another address of the machine's network (%s)", g, c.networks())
		}
		i.Gateways = append(i.Gateways, g.String())
	}
	i.Auto = len(c.ips) == 0
	return nil
}

func (c *nic) networks() string {
	var list []string
	for _, p := range c.ips {
		list = append(list, p.Masked().String())
	}
	if list == nil {
		return "--ip says which"
	}
	return strings.Join(list, ", ")
}

// user lays out the network that the monitor plays: the guest, the gateway
// and the name server have an address each. Card k is in 10.0.(2+k).0.
func (c *nic) user(k int, i *spec.Interface) (*vmm.Card, error) {
	guest := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(2 + k), 15}), 24)
	u := &vmm.UserNetwork{}
	seen4, seen6 := false, false
	for _, p := range c.ips {
		if p.Addr().Is4() {
			if seen4 || p.Bits() < 4 || p.Bits() > 29 {
				return nil, fmt.Errorf("--ip %s: with user a machine has one IPv4 address, in a network of /4 to /29", p)
			}
			guest, seen4 = p, true
			continue
		}
		if seen6 || p.Bits() != 64 {
			return nil, fmt.Errorf("--ip %s: with user a machine has one IPv6 address, in a network of /64", p)
		}
		seen6 = true
		host := p.Masked().Addr().Next().Next()
		u.Network6, u.Gateway6, u.DNS6 = p.Masked().String(), host.String(), host.Next().String()
		if p.Addr() == host || p.Addr() == host.Next() {
			return nil, fmt.Errorf("--ip %s: this address is the gateway's or the name server's", p)
		}
		i.Addresses = append(i.Addresses, p.String())
		i.Gateways = append(i.Gateways, u.Gateway6)
	}
	network := guest.Masked()
	gateway := network.Addr().Next().Next()
	for _, g := range c.gateways {
		if !network.Contains(g) || g == guest.Addr() || g == network.Addr() || g == last(network) {
			return nil, fmt.Errorf("--gateway %s: not another address of %s", g, network)
		}
		gateway = g
	}
	if gateway == guest.Addr() {
		gateway = gateway.Next()
	}
	dns := network.Addr().Next()
	for dns == gateway || dns == guest.Addr() {
		dns = dns.Next()
	}
	if third := gateway.Next(); network.Contains(third) && third != guest.Addr() && third != last(network) {
		dns = third
	}
	u.Network, u.Guest, u.Gateway, u.DNS = network.String(), guest.Addr().String(), gateway.String(), dns.String()
	i.Addresses = append([]string{guest.String()}, i.Addresses...)
	i.Gateways = append([]string{u.Gateway}, i.Gateways...)
	return &vmm.Card{User: u}, nil
}

// tap opens a tap device, with bridge as a port of that.
func (n *netFlags) tap(c *nic, i *spec.Interface, queues int) (*vmm.Card, error) {
	name, bridge := c.name, ""
	if c.kind == "bridge" {
		name, bridge = "", c.name
	}
	t, err := network.OpenTap(name, bridge, queues, c.mtu)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.text, err)
	}
	n.close = append(n.close, t.Close)
	of := t.Name
	if bridge != "" {
		of = bridge
	}
	if err := c.fit(of); err != nil {
		return nil, err
	}
	if err := c.static(i); err != nil {
		return nil, err
	}
	if c.kind == "tap" && name == "" {
		// Nobody else can give our end of a device an address that was not
		// there before and will not be there afterwards.
		for _, g := range c.gateways {
			for _, p := range c.ips {
				if g.Is4() && p.Contains(g) {
					if err := t.Assign(netip.PrefixFrom(g, p.Bits())); err != nil {
						return nil, fmt.Errorf("%s: %w", c.text, err)
					}
				}
			}
		}
	}
	return &vmm.Card{Tap: t.Files, MTU: t.MTU}, nil
}

// fit checks the addresses against those that the device has on this host,
// and takes prefix and gateway from there if they were not given.
func (c *nic) fit(device string) error {
	ours, err := network.Addresses(device)
	if err != nil {
		return fmt.Errorf("%s: %w", c.text, err)
	}
	for k, p := range c.ips {
		var known []string
		inside := false
		for _, o := range ours {
			if o.Addr().Is4() != p.Addr().Is4() {
				continue
			}
			known = append(known, o.Masked().String())
			switch {
			case o.Addr() == p.Addr():
				return fmt.Errorf("--ip %s: %s has this address itself", p.Addr(), device)
			case o.Contains(p.Addr()):
				inside = true
				if c.bare[k] {
					c.ips[k] = netip.PrefixFrom(p.Addr(), o.Bits())
				}
				if !c.hasGateway(p.Addr().Is4()) {
					c.gateways = append(c.gateways, o.Addr())
				}
			}
		}
		if len(known) > 0 && !inside {
			return fmt.Errorf("--ip %s: outside the network of %s (%s)", p, device, strings.Join(known, ", "))
		}
	}
	return nil
}

func (c *nic) hasGateway(v4 bool) bool {
	for _, g := range c.gateways {
		if g.Is4() == v4 {
			return true
		}
	}
	return false
}

// passt has that program behind the card.
func (n *netFlags) passt(c *nic, i *spec.Interface, forward []vmm.Forward) (*vmm.Card, error) {
	p := &network.Passt{}
	if err := p.Find(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.text, err)
	}
	if err := c.static(i); err != nil {
		return nil, err
	}
	for _, a := range c.ips {
		p.Args = append(p.Args, "--address", a.Addr().String())
		if a.Addr().Is4() {
			p.Args = append(p.Args, "--netmask", strconv.Itoa(a.Bits()))
		}
	}
	for _, g := range c.gateways {
		p.Args = append(p.Args, "--gateway", g.String())
	}
	if c.mtu != 0 {
		p.Args = append(p.Args, "--mtu", strconv.Itoa(c.mtu))
	}
	for _, f := range forward {
		p.Args = append(p.Args, "--"+f.Protocol+"-ports", f.Addr+"/"+strconv.Itoa(f.Host)+":"+strconv.Itoa(f.GuestPort))
	}
	n.close = append(n.close, p.Close)
	return &vmm.Card{Connect: p.Start}, nil
}

// socket has behind the card whoever listens on a socket.
func (c *nic) socket(i *spec.Interface) (*vmm.Card, error) {
	if st, err := os.Stat(c.name); err != nil || st.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("%s: there is no socket", c.text)
	}
	if err := c.static(i); err != nil {
		return nil, err
	}
	return &vmm.Card{Connect: func() (*os.File, error) { return network.Dial(c.name) }}, nil
}

// release gives back what apply opened.
func (n *netFlags) release() {
	for _, f := range n.close {
		f()
	}
	n.close = nil
}

// parsePublish reads [ADDR:]HOST:GUEST[/udp], HOST and GUEST a port or a range.
func parsePublish(text string) ([]vmm.Forward, error) {
	rest, protocol, ok := strings.Cut(text, "/")
	if !ok {
		protocol = "tcp"
	}
	if protocol != "tcp" && protocol != "udp" {
		return nil, fmt.Errorf("protocol %q is neither tcp nor udp", protocol)
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return nil, errors.New("it takes [ADDR:]HOST:GUEST[/udp]")
	}
	host, guest, addr := rest[:i], rest[i+1:], "127.0.0.1"
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		addr, host = host[:i], host[i+1:]
		if a, err := netip.ParseAddr(addr); err != nil || !a.Is4() {
			return nil, fmt.Errorf("%q is not an IPv4 address of this host", addr)
		}
	}
	h, hn, err := portRange(host)
	if err != nil {
		return nil, err
	}
	g, gn, err := portRange(guest)
	if err != nil {
		return nil, err
	}
	if hn != gn {
		return nil, errors.New("the two ranges are not of one length")
	}
	var list []vmm.Forward
	for k := range hn {
		list = append(list, vmm.Forward{Protocol: protocol, Addr: addr, Host: h + k, GuestPort: g + k})
	}
	return list, nil
}

func portRange(s string) (first, n int, err error) {
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || first < 1 || last > 65535 || last < first {
		return 0, 0, fmt.Errorf("%q is not a port or a range of them", s)
	}
	return first, last - first + 1, nil
}

// vacant says which port cannot be had, before a machine is started that
// would fail on it. taken are those of the same command.
func vacant(list, taken []vmm.Forward) error {
	for _, f := range list {
		for _, o := range taken {
			if o.Protocol == f.Protocol && o.Host == f.Host && (o.Addr == f.Addr || o.Addr == "0.0.0.0" || f.Addr == "0.0.0.0") {
				return fmt.Errorf("port %d/%s of %s is led elsewhere already", f.Host, f.Protocol, f.Addr)
			}
		}
		at := net.JoinHostPort(f.Addr, strconv.Itoa(f.Host))
		var c interface{ Close() error }
		var err error
		if f.Protocol == "udp" {
			c, err = net.ListenPacket("udp4", at)
		} else {
			c, err = net.Listen("tcp4", at)
		}
		if err == nil {
			c.Close()
			continue
		}
		if owner := network.Owner(f.Protocol, netip.MustParseAddrPort(at)); owner != "" && errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %d/%s of %s is in use by %s", f.Host, f.Protocol, f.Addr, owner)
		}
		var call *os.SyscallError
		if errors.As(err, &call) {
			err = call.Err
		}
		return fmt.Errorf("port %d/%s of %s cannot be had: %w", f.Host, f.Protocol, f.Addr, err)
	}
	return nil
}
