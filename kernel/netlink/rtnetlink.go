package netlink

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
)

// rtnl lets one change of the configuration run at a time; by is the request
// that makes it, which the notifications about it name.
var rtnl struct {
	sync.Mutex
	by atomic.Pointer[request]
}

// The highest type of message that rtnetlink has, RTM_MAX.
const routeMost = 123

// route serves rtnetlink(7).
func route(r *request) error {
	if r.typ > routeMost {
		return unix.EOPNOTSUPP
	}
	if len(r.body) < 1 {
		return nil
	}
	if r.typ&3 == unix.RTM_GETLINK&3 {
		if r.dumps() {
			return r.ended(routeDump(r))
		}
		return routeGet(r)
	}
	if !admin(r.c) {
		return unix.EPERM
	}
	rtnl.Lock()
	defer rtnl.Unlock()
	rtnl.by.Store(r)
	defer rtnl.by.Store(nil)
	switch r.typ {
	case unix.RTM_NEWLINK, unix.RTM_SETLINK:
		return setLink(r)
	case unix.RTM_DELLINK:
		return removeLink(r)
	}
	family := r.body[0]
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return unix.EOPNOTSUPP
	}
	switch r.typ {
	case unix.RTM_NEWADDR:
		return newAddress(r)
	case unix.RTM_DELADDR:
		return removeAddress(r)
	case unix.RTM_NEWROUTE:
		return newRoute(r)
	case unix.RTM_DELROUTE:
		return removeRoute(r)
	case unix.RTM_NEWNEIGH:
		return newNeighbour(r)
	case unix.RTM_DELNEIGH:
		return removeNeighbour(r)
	}
	return unix.EOPNOTSUPP
}

func routeGet(r *request) error {
	switch r.typ {
	case unix.RTM_GETLINK:
		return getLink(r)
	case unix.RTM_GETADDR:
		return getAddress(r)
	case unix.RTM_GETROUTE:
		return getRoute(r)
	case unix.RTM_GETNEIGH:
		return getNeighbour(r)
	}
	return unix.EOPNOTSUPP
}

func routeDump(r *request) error {
	if r.typ == unix.RTM_GETADDR || r.typ == unix.RTM_GETROUTE {
		// Who lists addresses may take what there is for all there will be.
		_ = inet.Settle(r.c, true)
	}
	switch r.typ {
	case unix.RTM_GETLINK:
		return dumpLinks(r)
	case unix.RTM_GETADDR:
		return dumpAddresses(r)
	case unix.RTM_GETROUTE:
		return dumpRoutes(r)
	case unix.RTM_GETNEIGH:
		return dumpNeighbours(r)
	case unix.RTM_GETRULE:
		return dumpRules(r)
	case unix.RTM_GETQDISC:
		return dumpQueues(r)
	case unix.RTM_GETTCLASS, unix.RTM_GETTFILTER, unix.RTM_GETMULTICAST, unix.RTM_GETANYCAST, unix.RTM_GETADDRLABEL,
		unix.RTM_GETNETCONF, unix.RTM_GETNEIGHTBL, unix.RTM_GETNEXTHOP, unix.RTM_GETNSID:
		return r.dump(new(builder), 0)
	}
	return unix.EOPNOTSUPP
}

// head returns the n bytes that a request begins with and the attributes
// behind them. A dump may be asked for with the family alone, unless the
// program is strict about it.
func (r *request) head(n int) ([]byte, attrs, error) {
	if len(r.body) < n {
		if !r.dumps() || r.strict() {
			return nil, nil, r.fail(unix.EINVAL, "Invalid header for request")
		}
		h := make([]byte, n)
		copy(h, r.body)
		return h, nil, nil
	}
	a, err := parse(r.body[n:], false)
	return r.body[:n], a, err
}

// only refuses a strict request with attributes other than these.
func (r *request) only(a attrs, types ...int) error {
	if !r.strict() {
		return nil
	}
	err := error(nil)
	a.each(func(typ int, v []byte) bool {
		for _, t := range types {
			if t == typ {
				return true
			}
		}
		err = r.fail(unix.EINVAL, "Unsupported attribute in dump request")
		return false
	})
	return err
}

// The groups of notifications (RTNLGRP_*).
const (
	groupLink     = 1
	groupNeigh    = 3
	groupAddress4 = 5
	groupRoute4   = 7
	groupAddress6 = 9
	groupRoute6   = 11
)

// changed tells the members of a group what has happened.
func changed(c inet.Change) {
	by := rtnl.by.Load()
	var b builder
	group := uint32(0)
	pick := func(v4 bool, g4, g6 uint32, add, remove uint16) uint16 {
		if group = g6; v4 {
			group = g4
		}
		if c.Removed {
			return remove
		}
		return add
	}
	switch {
	case c.Route != nil:
		typ := pick(c.Route.V4(), groupRoute4, groupRoute6, unix.RTM_NEWROUTE, unix.RTM_DELROUTE)
		routeMessage(&b, by, typ, 0, c.Route)
	case c.Address != nil && c.Interface != nil:
		typ := pick(c.Address.IP.Is4(), groupAddress4, groupAddress6, unix.RTM_NEWADDR, unix.RTM_DELADDR)
		addressMessage(&b, by, typ, 0, c.Interface.Index, c.Address)
	case c.Interface != nil:
		typ := pick(true, groupLink, 0, unix.RTM_NEWLINK, unix.RTM_DELLINK)
		s := c.Interface.Snapshot()
		linkMessage(&b, nil, typ, 0, &s, 0)
	default:
		return
	}
	notify(by, group, &b)
}

// notify sends a notification, also to who asked for the change if it wants
// an echo.
func notify(by *request, group uint32, b *builder) {
	p := &packet{data: b.p, group: group}
	if by != nil && by.flags&unix.NLM_F_ECHO != 0 {
		by.s.deliver(&packet{data: b.p})
		broadcast(unix.NETLINK_ROUTE, group, p, nil, by.port)
		return
	}
	broadcast(unix.NETLINK_ROUTE, group, p, nil, 0)
}
