package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
)

const (
	ifinfoSize = 16 // struct ifinfomsg
	// skipStats of IFLA_EXT_MASK leaves the counters out.
	skipStats   = 1 << 3
	altName     = 53 // IFLA_ALT_IFNAME
	allMulti    = 61 // IFLA_ALLMULTI
	minMTU      = 50
	maxMTU      = 51
	upCount     = 47
	downCount   = 48
	groMaxSize  = 58
	tsoMaxSize  = 59
	tsoMaxSegs  = 60
	operUnknown = 0
	operDown    = 2
	operUp      = 6
)

// findLink returns the interface that a request names by its number or name.
func findLink(h []byte, a attrs) (*inet.Interface, error) {
	if index := int32(binary.NativeEndian.Uint32(h[4:])); index > 0 {
		if i := inet.ByIndex(int(index)); i != nil {
			return i, nil
		}
		return nil, unix.ENODEV
	}
	for _, typ := range [...]int{unix.IFLA_IFNAME, altName} {
		v := a.get(typ)
		if v == nil {
			continue
		}
		if typ == unix.IFLA_IFNAME && len(v) > unix.IFNAMSIZ {
			return nil, unix.ERANGE
		}
		if i := inet.ByName(a.str(typ)); i != nil {
			return i, nil
		}
		return nil, unix.ENODEV
	}
	return nil, unix.EINVAL
}

func getLink(r *request) error {
	h, a, err := r.head(ifinfoSize)
	if err != nil {
		return err
	}
	i, err := findLink(h, a)
	if err != nil {
		return err
	}
	mask, _, err := a.u32(unix.IFLA_EXT_MASK)
	if err != nil {
		return err
	}
	s := i.Snapshot()
	var b builder
	linkMessage(&b, r, unix.RTM_NEWLINK, 0, &s, mask)
	r.reply(&b)
	return nil
}

func dumpLinks(r *request) error {
	h, a, err := r.head(ifinfoSize)
	if err != nil {
		return err
	}
	if r.strict() && (h[1] != 0 || binary.NativeEndian.Uint32(h[12:]) != 0 || binary.NativeEndian.Uint32(h[8:]) != 0) {
		return r.fail(unix.EINVAL, "Invalid values in header for link dump request")
	}
	if r.strict() && binary.NativeEndian.Uint32(h[4:]) != 0 {
		return r.fail(unix.EINVAL, "Filter by device index not supported for link dumps")
	}
	mask, _, err := a.u32(unix.IFLA_EXT_MASK)
	if err != nil {
		return err
	}
	flags := uint16(0)
	// A kind or a master is something that no interface here has.
	none := a.get(unix.IFLA_LINKINFO) != nil || h[0] == unix.AF_BRIDGE
	if m, ok, _ := a.u32(unix.IFLA_MASTER); ok && m != 0 {
		none = true
	}
	if none {
		flags = unix.NLM_F_DUMP_FILTERED
	}
	var b builder
	for _, s := range inet.Interfaces() {
		switch {
		case none:
		case h[0] == unix.AF_INET6:
			link6Message(&b, r, &s)
		default:
			linkMessage(&b, r, unix.RTM_NEWLINK, unix.NLM_F_MULTI, &s, mask)
		}
	}
	return r.dump(&b, flags)
}

// link6Message describes an interface as IPv6 does.
func link6Message(b *builder, r *request, s *inet.Snapshot) {
	b.begin(unix.RTM_NEWLINK, unix.NLM_F_MULTI, r)
	h := b.zeros(ifinfoSize)
	h[0] = unix.AF_INET6
	hw, state := uint16(unix.ARPHRD_ETHER), uint8(operDown)
	switch {
	case s.Link == nil:
		hw, state = unix.ARPHRD_LOOPBACK, operUnknown
	case s.Flags&unix.IFF_RUNNING != 0:
		state = operUp
	}
	binary.NativeEndian.PutUint16(h[2:], hw)
	binary.NativeEndian.PutUint32(h[4:], uint32(s.Index))
	binary.NativeEndian.PutUint32(h[8:], s.Flags)
	b.str(unix.IFLA_IFNAME, s.Name)
	b.bytes(unix.IFLA_ADDRESS, s.Hardware[:])
	b.u32(unix.IFLA_MTU, uint32(s.MTU))
	b.u8(unix.IFLA_OPERSTATE, state)
	info := b.nest(unix.IFLA_PROTINFO | unix.NLA_F_NESTED)
	b.u32(unix.IFLA_INET6_FLAGS, 1<<31) // IF_READY
	b.close(info)
	b.end()
}

// linkMessage describes an interface.
func linkMessage(b *builder, r *request, typ, flags uint16, s *inet.Snapshot, mask uint32) {
	b.begin(typ, flags, r)
	h := b.zeros(ifinfoSize)
	hw, queue, state := uint16(unix.ARPHRD_ETHER), "pfifo_fast", uint8(operDown)
	var broadcast [6]byte
	maxSize := uint32(65535)
	loop := s.Link == nil
	running := s.Flags&unix.IFF_RUNNING != 0
	switch {
	case loop:
		hw, queue, state, maxSize = unix.ARPHRD_LOOPBACK, "noqueue", operUnknown, 0
		if s.Flags&unix.IFF_UP == 0 {
			state = operDown
		}
	case s.Flags&unix.IFF_UP == 0:
		queue = "noop"
	case running:
		state = operUp
	}
	if !loop {
		broadcast = [6]byte{255, 255, 255, 255, 255, 255}
	}
	binary.NativeEndian.PutUint16(h[2:], hw)
	binary.NativeEndian.PutUint32(h[4:], uint32(s.Index))
	binary.NativeEndian.PutUint32(h[8:], s.Flags)
	b.str(unix.IFLA_IFNAME, s.Name)
	b.u32(unix.IFLA_TXQLEN, uint32(s.QueueLen))
	b.u8(unix.IFLA_OPERSTATE, state)
	b.u8(unix.IFLA_LINKMODE, 0)
	b.u32(unix.IFLA_MTU, uint32(s.MTU))
	if loop {
		b.u32(minMTU, 0)
	} else {
		b.u32(minMTU, 68)
	}
	b.u32(maxMTU, maxSize)
	b.u32(unix.IFLA_GROUP, 0)
	promiscuous, multi := uint32(0), uint32(0)
	if s.Flags&unix.IFF_PROMISC != 0 {
		promiscuous = 1
	}
	if s.Flags&unix.IFF_ALLMULTI != 0 {
		multi = 1
	}
	b.u32(unix.IFLA_PROMISCUITY, promiscuous)
	b.u32(allMulti, multi)
	queues := uint32(1)
	if !loop {
		queues = uint32(max(s.Link.Queues(), 1))
	}
	b.u32(unix.IFLA_NUM_TX_QUEUES, queues)
	b.u32(unix.IFLA_GSO_MAX_SEGS, 65535)
	b.u32(unix.IFLA_GSO_MAX_SIZE, 65536)
	b.u32(groMaxSize, 65536)
	if loop {
		b.u32(tsoMaxSize, 524280)
	} else {
		b.u32(tsoMaxSize, 65536)
	}
	b.u32(tsoMaxSegs, 65535)
	b.u32(unix.IFLA_NUM_RX_QUEUES, queues)
	if running {
		b.u8(unix.IFLA_CARRIER, 1)
	} else {
		b.u8(unix.IFLA_CARRIER, 0)
	}
	b.str(unix.IFLA_QDISC, queue)
	b.u32(unix.IFLA_CARRIER_CHANGES, 0)
	b.u32(upCount, 0)
	b.u32(downCount, 0)
	b.u8(unix.IFLA_PROTO_DOWN, 0)
	b.room(unix.IFLA_MAP, 32)
	b.bytes(unix.IFLA_ADDRESS, s.Hardware[:])
	b.bytes(unix.IFLA_BROADCAST, broadcast[:])
	if mask&skipStats == 0 {
		counters := [...]uint64{
			s.RxPackets.Load(), s.TxPackets.Load(), s.RxBytes.Load(), s.TxBytes.Load(), 0, 0, s.RxDropped.Load(), s.TxDropped.Load(),
		}
		long, short := b.room(unix.IFLA_STATS64, 25*8), []byte(nil)
		for k, n := range counters {
			binary.NativeEndian.PutUint64(long[8*k:], n)
		}
		short = b.room(unix.IFLA_STATS, 24*4)
		for k, n := range counters {
			binary.NativeEndian.PutUint32(short[4*k:], uint32(n))
		}
	}
	x := b.nest(unix.IFLA_XDP)
	b.u8(unix.IFLA_XDP_ATTACHED, 0)
	b.close(x)
	spec := b.nest(unix.IFLA_AF_SPEC)
	six := b.nest(unix.AF_INET6)
	b.u32(unix.IFLA_INET6_FLAGS, 1<<31) // IF_READY
	b.u8(unix.IFLA_INET6_ADDR_GEN_MODE, 0)
	b.close(six)
	b.close(spec)
	b.end()
}

// setLink serves RTM_SETLINK and RTM_NEWLINK.
func setLink(r *request) error {
	h, a, err := r.head(ifinfoSize)
	if err != nil {
		return err
	}
	if v := a.get(unix.IFLA_IFNAME); len(v) > unix.IFNAMSIZ {
		return unix.ERANGE
	}
	i, err := findLink(h, a)
	create := r.typ == unix.RTM_NEWLINK && r.flags&unix.NLM_F_CREATE != 0
	switch {
	case err == unix.ENODEV && create && binary.NativeEndian.Uint32(h[4:]) == 0, err == unix.EINVAL && create:
		if a.get(unix.IFLA_LINKINFO) == nil {
			return unix.EOPNOTSUPP
		}
		return r.fail(unix.EOPNOTSUPP, "Unknown device type")
	case err == unix.EINVAL && r.typ == unix.RTM_NEWLINK:
		return unix.ENODEV
	case err != nil:
		return err
	case r.typ == unix.RTM_NEWLINK && r.flags&unix.NLM_F_EXCL != 0:
		return unix.EEXIST
	}
	if a.get(unix.IFLA_LINKINFO) != nil && r.flags&unix.NLM_F_REPLACE != 0 {
		return unix.EOPNOTSUPP
	}
	s := i.Snapshot()
	if v := a.get(unix.IFLA_ADDRESS); v != nil && string(v) != string(s.Hardware[:]) {
		return unix.EOPNOTSUPP
	}
	if m, ok, err := a.u32(unix.IFLA_MTU); err != nil {
		return err
	} else if ok && int(m) != s.MTU {
		if i.Link != nil && m < 68 {
			return r.fail(unix.EINVAL, "mtu less than device minimum")
		}
		if i.Link != nil && m > 65535 {
			return r.fail(unix.EINVAL, "mtu greater than device maximum")
		}
		if err := inet.SetMTU(i, int(int32(m))); err != nil {
			return err
		}
	}
	if name := a.str(unix.IFLA_IFNAME); name != "" && name != s.Name {
		if err := inet.Rename(i, name); err != nil {
			return err
		}
	}
	if n, ok, err := a.u32(unix.IFLA_TXQLEN); err != nil {
		return err
	} else if ok && int(n) != s.QueueLen {
		if err := inet.SetQueueLen(i, int(int32(n))); err != nil {
			return err
		}
	}
	flags, change := binary.NativeEndian.Uint32(h[8:]), binary.NativeEndian.Uint32(h[12:])
	if flags != 0 || change != 0 {
		if change == 0 {
			change = ^uint32(0)
		}
		return inet.SetFlags(i, flags, change)
	}
	return nil
}

// removeLink serves RTM_DELLINK: no interface can be removed.
func removeLink(r *request) error {
	h, a, err := r.head(ifinfoSize)
	if err != nil {
		return err
	}
	if _, err := findLink(h, a); err != nil {
		return err
	}
	return unix.EOPNOTSUPP
}
