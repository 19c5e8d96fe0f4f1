package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"husk/host/instance"
	"husk/host/vmm"
	"husk/spec"
)

// netFlags are the flags of the network as they were typed.
type netFlags struct {
	mode     string
	publish  []string
	ip       string
	gateway  string
	mac      string
	dns      []string
	hostname string
}

func (n *netFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&n.mode, "net", "", "network: user (the monitor's own, no privilege needed) or none (default user with -p, else none)")
	flags.StringArrayVarP(&n.publish, "publish", "p", nil, "lead a port of the host to the program: [ADDR:]HOST:GUEST[/udp], also ranges (ADDR is 127.0.0.1 unless given)")
	flags.StringVar(&n.ip, "ip", "", "address of the machine, with or without /PREFIX (default 10.0.2.15/24)")
	flags.StringVar(&n.gateway, "gateway", "", "address of the host in the machine's network (default the second of it)")
	flags.StringVar(&n.mac, "mac", "", "MAC address of the network card")
	flags.StringArrayVar(&n.dns, "dns", nil, "name server, instead of the one that asks the host's")
	flags.StringVar(&n.hostname, "hostname", "husk", "name of the machine")
}

// wanted says whether the machine has a card.
func (n *netFlags) wanted() bool { return n.mode == "user" || n.mode == "" && len(n.publish) > 0 }

// apply gives the machine its card and the specification its network.
func (n *netFlags) apply(c *instance.Config) error {
	if n.mode != "" && n.mode != "user" && n.mode != "none" {
		return fmt.Errorf("--net %s: not one of user, none", n.mode)
	}
	if len(n.hostname) > 64 || strings.ContainsAny(n.hostname, " \t\n/") {
		return fmt.Errorf("--hostname %q: not the name of a machine", n.hostname)
	}
	c.Spec.Hostname = n.hostname
	if !n.wanted() {
		for flag, given := range map[string]bool{"-p": len(n.publish) > 0, "--ip": n.ip != "", "--gateway": n.gateway != "", "--mac": n.mac != "", "--dns": len(n.dns) > 0} {
			if given {
				return fmt.Errorf("%s needs a network: say --net user", flag)
			}
		}
		return nil
	}
	card, err := n.card()
	if err != nil {
		return err
	}
	prefix, _ := netip.ParsePrefix(card.Network)
	dns := n.dns
	for _, d := range dns {
		if _, err := netip.ParseAddr(d); err != nil {
			return fmt.Errorf("--dns %s: not an address", d)
		}
	}
	if len(dns) == 0 {
		dns = []string{card.DNS}
	}
	c.Machine.Cards = []vmm.Card{*card}
	c.Spec.Network = &spec.Network{DNS: dns, Interfaces: []spec.Interface{{
		Addresses: []string{card.Guest + "/" + strconv.Itoa(prefix.Bits())}, Gateways: []string{card.Gateway},
	}}}
	return nil
}

// card lays out the network: the guest, the gateway and the name server have
// an address each.
func (n *netFlags) card() (*vmm.Card, error) {
	ip := n.ip
	if ip == "" {
		ip = "10.0.2.15"
	}
	if !strings.Contains(ip, "/") {
		ip += "/24"
	}
	if address, mask, _ := strings.Cut(ip, "/"); strings.Contains(mask, ".") {
		if m := net.ParseIP(mask).To4(); m != nil {
			ones, _ := net.IPMask(m).Size()
			ip = address + "/" + strconv.Itoa(ones)
		}
	}
	p, err := netip.ParsePrefix(ip)
	if err != nil || !p.Addr().Is4() || p.Bits() < 4 || p.Bits() > 29 || p.Addr() == p.Masked().Addr() {
		return nil, fmt.Errorf("--ip %s: not the address of a machine in an IPv4 network of /4 to /29", n.ip)
	}
	network := p.Masked()
	gateway := network.Addr().Next().Next()
	if n.gateway != "" {
		if gateway, err = netip.ParseAddr(n.gateway); err != nil || !network.Contains(gateway) || gateway == p.Addr() {
			return nil, fmt.Errorf("--gateway %s: not another address of %s", n.gateway, network)
		}
	}
	if gateway == p.Addr() {
		gateway = gateway.Next()
	}
	dns := network.Addr().Next()
	for dns == gateway || dns == p.Addr() {
		dns = dns.Next()
	}
	if third := gateway.Next(); network.Contains(third) && third != p.Addr() {
		dns = third
	}
	if n.mac != "" {
		if m, err := net.ParseMAC(n.mac); err != nil || len(m) != 6 || m[0]&1 != 0 {
			return nil, fmt.Errorf("--mac %s: not the MAC address of a card", n.mac)
		}
	}
	card := &vmm.Card{MAC: n.mac, Network: network.String(), Guest: p.Addr().String(), Gateway: gateway.String(), DNS: dns.String()}
	for _, text := range n.publish {
		forwards, err := parsePublish(text)
		if err == nil {
			err = vacant(forwards)
		}
		if err != nil {
			return nil, fmt.Errorf("-p %s: %w", text, err)
		}
		card.Forward = append(card.Forward, forwards...)
	}
	return card, nil
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
// would fail on it.
func vacant(list []vmm.Forward) error {
	for _, f := range list {
		at := net.JoinHostPort(f.Addr, strconv.Itoa(f.Host))
		var c interface{ Close() error }
		var err error
		if f.Protocol == "udp" {
			c, err = net.ListenPacket("udp4", at)
		} else {
			c, err = net.Listen("tcp4", at)
		}
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) {
				err = op.Err
			}
			return fmt.Errorf("port %d/%s of %s cannot be had: %w", f.Host, f.Protocol, f.Addr, err)
		}
		c.Close()
	}
	return nil
}
