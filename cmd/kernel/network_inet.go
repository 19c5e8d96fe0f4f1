//go:build inet

package main

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
	"husk/kernel/inet/netstack"
	"husk/kernel/virtio"
	"husk/spec"
)

// cards are the network cards in the order of the machine. They are no field of
// it, because the kernel without a TCP/IP stack knows none.
var cards []*virtio.Net

// useStack gives the sockets a way out of the machine. Nothing of it runs
// before the first network card is added.
func useStack() { inet.NewStack = netstack.New }

func (m *machine) openCard(t virtio.Transport) error {
	n, err := virtio.OpenNet(t)
	if err == nil {
		cards = append(cards, n)
	}
	return err
}

// configureNetwork makes interfaces of the cards, sets them up as the
// specification has it, and writes what programs read of that. A card beyond
// those of the specification stays down.
func (m *machine) configureNetwork() error {
	n := m.spec.Network
	if n == nil {
		n = &spec.Network{}
	}
	if len(n.Interfaces) > len(cards) {
		return fail("set up the network", "the machine has "+strconv.Itoa(len(cards))+" usable network cards for "+strconv.Itoa(len(n.Interfaces))+" interfaces")
	}
	for k, card := range cards {
		var c spec.Interface
		if k < len(n.Interfaces) {
			c = n.Interfaces[k]
		}
		if c.Name == "" {
			c.Name = "eth" + strconv.Itoa(k)
		}
		card.Broken = func() { m.lostCard(c.Name) }
		i, err := inet.AddLink(c.Name, card)
		if err == nil && k < len(n.Interfaces) {
			err = setInterface(i, &c)
		}
		if err != nil {
			return wrap("set up the network interface "+c.Name, err)
		}
	}
	if m.spec.Network == nil {
		return nil
	}
	if err := m.writeNames(n); err != nil {
		return err
	}
	m.askForAddresses()
	return nil
}

// lostCard is the end of a card whose device is gone or works no more: the
// interface goes down, so that programs are told instead of left waiting.
func (m *machine) lostCard(name string) {
	_ = m.control.Notice("network card " + name + ": the device broke down; the interface is turned off")
	if i := inet.ByName(name); i != nil {
		_ = inet.SetUp(i, false)
	}
}

// setInterface gives an interface what the specification says.
func setInterface(i *inet.Interface, c *spec.Interface) error {
	if c.MTU != 0 {
		if err := inet.SetMTU(i, c.MTU); err != nil {
			return wrap("MTU "+strconv.Itoa(c.MTU), err)
		}
	}
	if c.Auto {
		if err := listenToRouters(i); err != nil {
			return err
		}
	}
	if c.Auto || slices.ContainsFunc(c.Addresses, func(a string) bool { return strings.Contains(a, ":") }) {
		err := inet.AddAddress(i, inet.Address{
			IP: inet.LinkLocalOf(i.Snapshot().Hardware), Bits: 64, Scope: unix.RT_SCOPE_LINK, Flags: unix.IFA_F_PERMANENT,
		})
		if err != nil && err != unix.EEXIST {
			return err
		}
	}
	if err := inet.SetUp(i, true); err != nil {
		return err
	}
	for _, text := range c.Addresses {
		ip, bits, ok := inet.ParsePrefix(text)
		if !ok {
			return fail("address "+text, "it is not an address with its prefix")
		}
		a := inet.Address{IP: ip, Bits: bits, Flags: unix.IFA_F_PERMANENT}
		if ip.Is4() && bits < 31 {
			a.Broadcast = ip
			for k := bits; k < 32; k++ {
				a.Broadcast[12+k/8] |= 0x80 >> (k % 8)
			}
		}
		if err := inet.AddAddress(i, a); err != nil {
			return wrap("address "+text, err)
		}
	}
	for _, r := range c.Routes {
		if err := addRoute(i, r.Destination, r.Gateway); err != nil {
			return wrap("route to "+r.Destination, err)
		}
	}
	for _, gateway := range c.Gateways {
		if err := addRoute(i, "", gateway); err != nil {
			return wrap("gateway "+gateway, err)
		}
	}
	return nil
}

// addRoute adds the way to a prefix, "" for the default route.
func addRoute(i *inet.Interface, to, gateway string) error {
	r := inet.Route{Index: i.Index, Protocol: unix.RTPROT_BOOT, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST}
	if gateway != "" {
		ip, ok := inet.ParseIP(gateway)
		if !ok {
			return unix.EINVAL
		}
		r.Gateway, r.Scope = ip, unix.RT_SCOPE_UNIVERSE
		if ip.Is4() {
			r.Dst = inet.IP4(0, 0, 0, 0)
		} else {
			r.Metric = 1024 // what Linux gives to who names none
		}
	}
	if to != "" {
		var ok bool
		if r.Dst, r.Bits, ok = inet.ParsePrefix(to); !ok {
			return unix.EINVAL
		}
	}
	return inet.AddRoute(r)
}
