//go:build inet

package main

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
	"husk/kernel/inet/dhcp"
	"husk/kernel/task"
)

// auto are the interfaces that ask for their addresses.
var auto struct {
	mu   sync.Mutex // guards the interfaces' fields, and who writes files
	list []*autoInterface
}

// autoInterface is one of them.
type autoInterface struct {
	m      *machine
	i      *inet.Interface
	lease  *dhcp.Lease
	dns6   []inet.IP
	search []string
	found4 func()
	found6 func()
	heard  func(inet.Discovery)
}

// listenToRouters prepares an interface that is down still to hear of IPv6's
// routers as soon as it is up.
func listenToRouters(i *inet.Interface) error {
	a := &autoInterface{i: i}
	if err := inet.Autoconfigure(i, func(d inet.Discovery) { a.discovered(d) }); err != nil {
		return err
	}
	auto.list = append(auto.list, a)
	return nil
}

// askForAddresses begins to ask. The program does not wait for an answer,
// unless it needs one (inet.Settle).
func (m *machine) askForAddresses() {
	auto.mu.Lock()
	defer auto.mu.Unlock()
	for _, a := range auto.list {
		a.m, a.found4, a.found6 = m, inet.Ask(true), inet.Ask(false)
		c := &dhcp.Client{Hostname: task.Hostname(), Change: a.leased}
		dhcp.Attach(a.i, c)
		go c.Run()
	}
}

// leased is told of the lease, nil for none.
func (a *autoInterface) leased(l *dhcp.Lease) {
	auto.mu.Lock()
	defer auto.mu.Unlock()
	old := a.lease
	a.lease = l
	if old != nil && (l == nil || l.IP != old.IP || l.Bits != old.Bits) {
		a.routes(old, inet.RemoveRoute)
		_ = inet.RemoveAddress(a.i, old.IP)
		old = nil
	}
	if l == nil {
		a.m.log("dhcp: " + a.i.Snapshot().Name + ": the lease is over")
		return
	}
	if old == nil {
		address := inet.Address{IP: l.IP, Bits: l.Bits, Broadcast: l.IP, Valid: l.Seconds, Preferred: l.Seconds}
		for k := l.Bits; k < 32; k++ {
			address.Broadcast[12+k/8] |= 0x80 >> (k % 8)
		}
		if l.Seconds == ^uint32(0) {
			address.Valid, address.Preferred, address.Flags = 0, 0, unix.IFA_F_PERMANENT
		}
		if l.MTU >= 68 && l.MTU <= a.i.Link.MTU() {
			_ = inet.SetMTU(a.i, l.MTU)
		}
		if err := inet.AddAddress(a.i, address); err != nil {
			a.m.log("dhcp: " + a.i.Snapshot().Name + ": " + err.Error())
		}
		a.routes(l, inet.AddRoute)
		a.m.log("dhcp: " + a.i.Snapshot().Name + " is " + l.IP.String())
	}
	a.m.rewriteNames()
	a.found4()
}

// routes adds or removes what the lease says of ways.
func (a *autoInterface) routes(l *dhcp.Lease, do func(inet.Route) error) {
	r := inet.Route{Index: a.i.Index, Protocol: unix.RTPROT_DHCP, Type: unix.RTN_UNICAST}
	for _, s := range l.Routes {
		r.Dst, r.Bits, r.Gateway, r.Scope = s.Dst, s.Bits, s.Router, unix.RT_SCOPE_UNIVERSE
		if s.Router.Any() {
			r.Gateway, r.Scope = inet.IP{}, unix.RT_SCOPE_LINK
		}
		_ = do(r)
	}
	if len(l.Routers) > 0 {
		r.Dst, r.Bits, r.Gateway, r.Scope = inet.IP4(0, 0, 0, 0), 0, l.Routers[0], unix.RT_SCOPE_UNIVERSE
		_ = do(r)
	}
}

// discovered is told of what routers say.
func (a *autoInterface) discovered(d inet.Discovery) {
	auto.mu.Lock()
	defer auto.mu.Unlock()
	switch {
	case d.Address != nil && d.Gone:
		inet.ForgetAddress(a.i, d.Address.IP)
	case d.Address != nil:
		inet.NoteAddress(a.i, *d.Address)
		if a.found6 != nil {
			a.found6()
		}
	case d.Route != nil && d.Gone:
		_ = inet.RemoveRoute(*d.Route)
	case d.Route != nil:
		_ = inet.AddRoute(*d.Route)
	default:
		for _, ip := range d.DNS {
			a.dns6 = slices.DeleteFunc(a.dns6, func(o inet.IP) bool { return o == ip })
			if !d.Gone && len(a.dns6) < 3 {
				a.dns6 = append(a.dns6, ip)
			}
		}
		for _, s := range d.Search {
			a.search = slices.DeleteFunc(a.search, func(o string) bool { return o == s })
			if !d.Gone && dhcp.Plain(s) && len(a.search) < 6 {
				a.search = append(a.search, s)
			}
		}
	}
	if a.m != nil {
		a.m.rewriteNames()
	}
}

// rewriteNames writes what is known by now. auto.mu is held.
func (m *machine) rewriteNames() {
	n := m.spec.Network
	dns, search := slices.Clone(n.DNS), slices.Clone(n.Search)
	var found []string
	for _, a := range auto.list {
		if l := a.lease; l != nil {
			found = append(found, l.IP.String())
			for _, ip := range l.DNS {
				if len(n.DNS) == 0 {
					dns = append(dns, ip.String())
				}
			}
			search = append(search, l.Search...)
		}
		for _, ip := range a.dns6 {
			if len(n.DNS) > 0 {
				continue
			}
			text := ip.String()
			if ip.LinkLocal() {
				text += "%" + a.i.Snapshot().Name
			}
			dns = append(dns, text)
		}
		search = append(search, a.search...)
	}
	slices.Sort(search)
	m.rewrite("/etc/resolv.conf", resolvText(dns, slices.Compact(search)))
	m.rewrite("/etc/hosts", hostsText(n, found))
}
