package netlink

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
)

const (
	rtmsgSize  = 12      // struct rtmsg
	clonedFlag = 0x200   // RTM_F_CLONED
	localFlag  = 1 << 31 // RTCF_LOCAL
	onLinkFlag = 4       // RTNH_F_ONLINK
	fibMatch   = 0x2000  // RTM_F_FIB_MATCH
	noPref     = 0       // ICMPV6_ROUTER_PREF_MEDIUM
)

// rejects reports whether a type of route leads nowhere.
func rejects(typ uint8) bool {
	return typ == unix.RTN_UNREACHABLE || typ == unix.RTN_PROHIBIT || typ == unix.RTN_BLACKHOLE || typ == unix.RTN_THROW
}

// table32 is the table of a request.
func table32(h []byte, a attrs) (uint32, error) {
	t, ok, err := a.u32(unix.RTA_TABLE)
	if !ok {
		t = uint32(h[4])
	}
	return t, err
}

func dumpRoutes(r *request) error {
	h, a, err := r.head(rtmsgSize)
	if err != nil {
		return err
	}
	var match inet.Route
	flags := uint16(unix.NLM_F_MULTI)
	if r.strict() {
		if h[1] != 0 || h[2] != 0 || h[3] != 0 || h[6] != 0 {
			return r.fail(unix.EINVAL, "Invalid values in header for FIB dump request")
		}
		if err := r.only(a, unix.RTA_TABLE, unix.RTA_OIF); err != nil {
			return err
		}
		if match.Table, err = table32(h, a); err != nil {
			return err
		}
		oif, _, err := a.u32(unix.RTA_OIF)
		if err != nil {
			return err
		}
		match.Index, match.Protocol, match.Type = int(oif), h[5], h[7]
		if oif != 0 && inet.ByIndex(int(oif)) == nil {
			return unix.ENODEV
		}
		if match.Table != 0 || match.Index != 0 || match.Protocol != 0 || match.Type != 0 {
			flags |= unix.NLM_F_DUMP_FILTERED
		}
	}
	if f := binary.NativeEndian.Uint32(h[8:]); f&clonedFlag != 0 {
		return r.dump(new(builder), flags) // there is no cache
	}
	main, local := inet.Routes(), inet.LocalRoutes()
	slices.SortStableFunc(main, inOrder)
	slices.SortStableFunc(local, inOrder)
	all := append(main, local...)
	known := match.Table == 0 || match.Table == unix.RT_TABLE_MAIN || match.Table == unix.RT_TABLE_LOCAL
	var b builder
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		if h[0] != family && (h[0] == unix.AF_INET || h[0] == unix.AF_INET6) {
			continue
		}
		for k := range all {
			o := &all[k]
			known = known || o.Table == match.Table
			if o.V4() != (family == unix.AF_INET) || match.Table != 0 && o.Table != match.Table || match.Index != 0 && o.Index != match.Index ||
				match.Protocol != 0 && o.Protocol != match.Protocol || match.Type != 0 && o.Type != match.Type {
				continue
			}
			routeMessage(&b, r, unix.RTM_NEWROUTE, flags, o)
		}
	}
	switch {
	case known:
	case h[0] == unix.AF_INET && match.Table != unix.RT_TABLE_DEFAULT:
		return r.fail(unix.ENOENT, "ipv4: FIB table does not exist")
	case h[0] == unix.AF_INET6:
		return r.fail(unix.ENOENT, "ipv6: FIB table does not exist")
	}
	return r.dump(&b, flags)
}

// inOrder is the order in which Linux walks its tables.
func inOrder(a, b inet.Route) int {
	if a.Dst.Is4() == b.Dst.Is4() && !a.V4() {
		// What is within another prefix comes before it.
		switch {
		case a.Bits > b.Bits && a.Dst.Masked(b.Bits) == b.Dst:
			return -1
		case b.Bits > a.Bits && b.Dst.Masked(a.Bits) == a.Dst:
			return 1
		}
	}
	if c := bytes.Compare(a.Dst[:], b.Dst[:]); c != 0 {
		return c
	}
	if a.Bits != b.Bits {
		return b.Bits - a.Bits
	}
	return int(int64(a.Metric) - int64(b.Metric))
}

// routeHead begins the message of a route.
func routeHead(b *builder, r *request, typ, flags uint16, o *inet.Route) []byte {
	b.begin(typ, flags, r)
	h := b.zeros(rtmsgSize)
	h[0], h[1] = familyOf(&o.Dst), byte(o.Bits)
	h[4] = byte(o.Table)
	if o.Table > 255 {
		h[4] = unix.RT_TABLE_COMPAT
	}
	h[5], h[6], h[7] = o.Protocol, o.Scope, o.Type
	return h
}

// routeMessage describes a route.
func routeMessage(b *builder, r *request, typ, flags uint16, o *inet.Route) {
	if typ == unix.RTM_NEWROUTE && r != nil && flags&unix.NLM_F_MULTI == 0 {
		flags |= r.flags & (unix.NLM_F_CREATE | unix.NLM_F_REPLACE | unix.NLM_F_APPEND)
	}
	routeHead(b, r, typ, flags, o)
	v4 := o.V4()
	gateway := o.Gateway != (inet.IP{})
	oif := !v4 || !rejects(o.Type)
	if v4 {
		b.u32(unix.RTA_TABLE, o.Table)
		if o.Bits > 0 {
			b.bytes(unix.RTA_DST, o.Dst.Bytes())
		}
		if o.Metric != 0 {
			b.u32(unix.RTA_PRIORITY, o.Metric)
		}
		metrics(b, o)
		if o.Source != (inet.IP{}) {
			b.bytes(unix.RTA_PREFSRC, o.Source.Bytes())
		}
		if gateway {
			via(b, o)
		}
		if oif {
			b.u32(unix.RTA_OIF, uint32(o.Index))
		}
	} else {
		if o.Bits > 0 {
			b.bytes(unix.RTA_DST, o.Dst.Bytes())
		}
		b.u32(unix.RTA_TABLE, o.Table)
		if o.Source != (inet.IP{}) {
			b.bytes(unix.RTA_PREFSRC, o.Source.Bytes())
		}
		metrics(b, o)
		b.u32(unix.RTA_PRIORITY, o.Metric)
		if gateway {
			via(b, o)
		}
		b.u32(unix.RTA_OIF, uint32(o.Index))
		b.room(unix.RTA_CACHEINFO, 32)
		b.u8(unix.RTA_PREF, noPref)
	}
	b.end()
}

func via(b *builder, o *inet.Route) {
	if o.Gateway.Is4() == o.V4() {
		b.bytes(unix.RTA_GATEWAY, o.Gateway.Bytes())
		return
	}
	v := b.room(unix.RTA_VIA, 18)
	v[0] = unix.AF_INET6
	copy(v[2:], o.Gateway[:])
}

func metrics(b *builder, o *inet.Route) {
	if o.MTU != 0 {
		at := b.nest(unix.RTA_METRICS)
		b.u32(unix.RTAX_MTU, o.MTU)
		b.close(at)
	}
}

// getRoute answers how a destination is reached.
func getRoute(r *request) error {
	h, a, err := r.head(rtmsgSize)
	if err != nil {
		return err
	}
	family := h[0]
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return unix.EOPNOTSUPP
	}
	dst, ok, err := a.address(unix.RTA_DST, family)
	if err != nil {
		return err
	}
	if !ok {
		if dst = inet.IPFrom(make([]byte, 4)); family == unix.AF_INET6 {
			dst = inet.IP{}
		}
	}
	oif, _, err := a.u32(unix.RTA_OIF)
	if err != nil {
		return err
	}
	if oif != 0 && inet.ByIndex(int(oif)) == nil {
		return unix.ENODEV
	}
	src, hasSource, err := a.address(unix.RTA_SRC, family)
	if err != nil {
		return err
	}
	o, local, err := inet.RouteTo(dst, int(oif))
	if err != nil {
		return err
	}
	if hasSource && !inet.IsLocal(src) {
		return unix.EINVAL
	}
	var b builder
	if binary.NativeEndian.Uint32(h[8:])&fibMatch != 0 {
		routeMessage(&b, r, unix.RTM_NEWROUTE, 0, &o)
		r.reply(&b)
		return nil
	}
	gateway := o.Gateway
	answer := inet.Route{Dst: dst, Bits: 32, Table: unix.RT_TABLE_MAIN, Type: o.Type, Index: o.Index, Scope: unix.RT_SCOPE_UNIVERSE}
	v4 := family == unix.AF_INET
	if !v4 {
		answer.Bits, answer.Protocol, answer.Table = 128, o.Protocol, o.Table
	}
	routeHead(&b, r, unix.RTM_NEWROUTE, 0, &answer)
	rt := b.p[headerSize:]
	flags := uint32(clonedFlag)
	if v4 && local {
		flags |= localFlag
	}
	if !v4 {
		flags = 0
	}
	binary.NativeEndian.PutUint32(rt[8:], flags)
	if v4 {
		b.u32(unix.RTA_TABLE, answer.Table)
	}
	b.bytes(unix.RTA_DST, dst.Bytes())
	if hasSource {
		b.bytes(unix.RTA_SRC, src.Bytes())
	}
	if !v4 {
		if !hasSource {
			b.room(unix.RTA_SRC, 16)
		}
		b.p[headerSize+2] = 128
		b.u32(unix.RTA_TABLE, answer.Table)
	}
	if v4 {
		b.u32(unix.RTA_OIF, uint32(o.Index))
	}
	if !hasSource && o.Source != (inet.IP{}) {
		b.bytes(unix.RTA_PREFSRC, o.Source.Bytes())
	}
	if v4 {
		if gateway != (inet.IP{}) {
			b.bytes(unix.RTA_GATEWAY, gateway.Bytes())
		}
		b.u32(unix.RTA_UID, uint32(r.c.Cred().EUID))
		b.room(unix.RTA_CACHEINFO, 32)
	} else {
		b.u32(unix.RTA_PRIORITY, o.Metric)
		if gateway != (inet.IP{}) {
			b.bytes(unix.RTA_GATEWAY, gateway.Bytes())
		}
		b.u32(unix.RTA_OIF, uint32(o.Index))
		b.room(unix.RTA_CACHEINFO, 32)
		b.u8(unix.RTA_PREF, noPref)
	}
	b.end()
	r.reply(&b)
	return nil
}

// readRoute reads what RTM_NEWROUTE and RTM_DELROUTE are about.
func readRoute(r *request) (o inet.Route, onLink bool, err error) {
	h, a, err := r.head(rtmsgSize)
	if err != nil {
		return o, false, err
	}
	family, most := h[0], 32
	if family == unix.AF_INET6 {
		most = 128
	}
	if int(h[1]) > most {
		return o, false, r.fail(unix.EINVAL, "Invalid prefix length")
	}
	o = inet.Route{Bits: int(h[1]), Protocol: h[5], Scope: h[6], Type: h[7]}
	onLink = binary.NativeEndian.Uint32(h[8:])&onLinkFlag != 0
	if o.Table, err = table32(h, a); err != nil {
		return o, false, err
	}
	if o.Table == 0 {
		o.Table = unix.RT_TABLE_MAIN
	}
	if family == unix.AF_INET {
		o.Dst = inet.IP4(0, 0, 0, 0)
	}
	if dst, ok, err := a.address(unix.RTA_DST, family); err != nil {
		return o, false, err
	} else if ok {
		o.Dst = dst
	}
	if masked := o.Dst.Masked(o.Bits); masked != o.Dst {
		if family == unix.AF_INET {
			return o, false, r.fail(unix.EINVAL, "Invalid prefix for given prefix length")
		}
		o.Dst = masked
	}
	// Several ways to one destination: the first is taken.
	if v := a.get(unix.RTA_MULTIPATH); v != nil {
		if len(v) < 8 || int(binary.NativeEndian.Uint16(v)) > len(v) || binary.NativeEndian.Uint16(v) < 8 {
			return o, false, unix.EINVAL
		}
		o.Index = int(binary.NativeEndian.Uint32(v[4:]))
		hop, err := parse(v[8:binary.NativeEndian.Uint16(v)], false)
		if err != nil {
			return o, false, err
		}
		onLink = onLink || v[2]&onLinkFlag != 0
		if o.Gateway, _, err = hop.address(unix.RTA_GATEWAY, family); err != nil {
			return o, false, err
		}
	}
	if g, ok, err := a.address(unix.RTA_GATEWAY, family); err != nil {
		return o, false, err
	} else if ok && !g.Any() {
		o.Gateway = g
	}
	if v := a.get(unix.RTA_VIA); v != nil {
		switch {
		case len(v) == 6 && v[0] == unix.AF_INET:
			o.Gateway = inet.IPFrom(v[2:])
		case len(v) == 18 && v[0] == unix.AF_INET6:
			o.Gateway = inet.IPFrom(v[2:])
		default:
			return o, false, unix.EINVAL
		}
	}
	if o.Source, _, err = a.address(unix.RTA_PREFSRC, family); err != nil {
		return o, false, err
	}
	if n, ok, err := a.u32(unix.RTA_OIF); err != nil {
		return o, false, err
	} else if ok {
		o.Index = int(int32(n))
	}
	if o.Metric, _, err = a.u32(unix.RTA_PRIORITY); err != nil {
		return o, false, err
	}
	if v := a.get(unix.RTA_METRICS); v != nil {
		m, err := parse(v, false)
		if err != nil {
			return o, false, err
		}
		if o.MTU, _, err = m.u32(unix.RTAX_MTU); err != nil {
			return o, false, err
		}
	}
	return o, onLink, nil
}

func newRoute(r *request) error {
	o, onLink, err := readRoute(r)
	if err != nil {
		return err
	}
	v4 := o.V4()
	if o.Type == 0 {
		o.Type = unix.RTN_UNICAST
	}
	if o.Type > unix.RTN_XRESOLVE {
		return r.fail(unix.EINVAL, "Invalid route type")
	}
	if !v4 && o.Metric == 0 {
		o.Metric = 1024
	}
	if !v4 {
		o.Scope = unix.RT_SCOPE_UNIVERSE
	}
	switch {
	case rejects(o.Type):
		o.Index, o.Gateway = 1, inet.IP{}
	case o.Index == 0 && o.Gateway == (inet.IP{}):
		if v4 {
			return r.fail(unix.ENODEV, "No egress device specified")
		}
		return unix.ENODEV
	}
	if o.Index != 0 {
		i := inet.ByIndex(o.Index)
		if i == nil {
			return unix.ENODEV
		}
		if i.Snapshot().Flags&unix.IFF_UP == 0 {
			return r.fail(unix.ENETDOWN, "Device for nexthop is not up")
		}
	}
	if o.Gateway != (inet.IP{}) && !onLink {
		if v4 && o.Scope >= unix.RT_SCOPE_LINK {
			return r.fail(unix.EINVAL, "Scope of gateway is not within scope of route")
		}
		if inet.IsLocal(o.Gateway) {
			return r.fail(unix.EINVAL, "Nexthop has invalid gateway")
		}
		way, _, err := inet.RouteTo(o.Gateway, o.Index)
		if err != nil || way.Gateway != (inet.IP{}) {
			if v4 {
				return r.fail(unix.ENETUNREACH, "Nexthop has invalid gateway")
			}
			return unix.EHOSTUNREACH
		}
		if o.Index == 0 {
			o.Index = way.Index
		}
	}
	if o.Source != (inet.IP{}) && !inet.IsLocal(o.Source) {
		return r.fail(unix.EINVAL, "Invalid prefsrc address")
	}
	for _, e := range inet.Routes() {
		if e.Dst != o.Dst || e.Bits != o.Bits || e.Table != o.Table || e.V4() != v4 || e.Metric != o.Metric {
			continue
		}
		switch {
		case r.flags&unix.NLM_F_EXCL != 0:
			return unix.EEXIST
		case r.flags&unix.NLM_F_REPLACE != 0:
			if e == o {
				return nil
			}
			if err := inet.RemoveRoute(e); err != nil {
				return err
			}
			return inet.AddRoute(o)
		case e == o:
			return unix.EEXIST
		}
		return inet.AddRoute(o)
	}
	if r.flags&unix.NLM_F_CREATE == 0 {
		return unix.ENOENT
	}
	return inet.AddRoute(o)
}

func removeRoute(r *request) error {
	o, _, err := readRoute(r)
	if err != nil {
		return err
	}
	for _, e := range inet.Routes() {
		if e.Dst != o.Dst || e.Bits != o.Bits || e.Table != o.Table || e.V4() != o.V4() ||
			o.Type != 0 && e.Type != o.Type || o.Protocol != 0 && e.Protocol != o.Protocol ||
			o.V4() && o.Scope != unix.RT_SCOPE_NOWHERE && e.Scope != o.Scope ||
			o.Metric != 0 && e.Metric != o.Metric || o.Index != 0 && e.Index != o.Index ||
			o.Gateway != (inet.IP{}) && e.Gateway != o.Gateway || o.Source != (inet.IP{}) && e.Source != o.Source {
			continue
		}
		return inet.RemoveRoute(e)
	}
	return unix.ESRCH
}
