package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
)

const (
	ndmsgSize = 12 // struct ndmsg
	tcmsgSize = 20 // struct tcmsg
	ruleSize  = 12 // struct fib_rule_hdr

	proxyEntry = 8 // NTF_PROXY

	ruleTable    = 15 // FRA_*
	rulePriority = 6
	ruleSuppress = 14
	ruleProtocol = 21
)

func dumpNeighbours(r *request) error {
	h, a, err := r.head(ndmsgSize)
	if err != nil {
		return err
	}
	flags := uint16(unix.NLM_F_MULTI)
	index := uint32(0)
	if r.strict() {
		if err := r.only(a, unix.NDA_IFINDEX, unix.NDA_MASTER); err != nil {
			return err
		}
		if index, _, err = a.u32(unix.NDA_IFINDEX); err != nil {
			return err
		}
	} else if len(r.body) >= ndmsgSize {
		if index, _, err = a.u32(unix.NDA_IFINDEX); err != nil {
			return err
		}
	}
	if index != 0 {
		flags |= unix.NLM_F_DUMP_FILTERED
	}
	var b builder
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		if h[0] != family && h[0] != unix.AF_UNSPEC || h[10]&proxyEntry != 0 {
			continue
		}
		for _, s := range inet.Interfaces() {
			if index != 0 && int(index) != s.Index {
				continue
			}
			for _, n := range inet.Neighbours(s.Interface) {
				if familyOf(&n.IP) == family {
					neighbourMessage(&b, r, flags, s.Index, &n)
				}
			}
		}
	}
	return r.dump(&b, flags)
}

func neighbourMessage(b *builder, r *request, flags uint16, index int, n *inet.Neighbour) {
	b.begin(unix.RTM_NEWNEIGH, flags, r)
	h := b.zeros(ndmsgSize)
	h[0] = familyOf(&n.IP)
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	binary.NativeEndian.PutUint16(h[8:], n.State)
	h[10], h[11] = n.Flags, unix.RTN_UNICAST
	b.bytes(unix.NDA_DST, n.IP.Bytes())
	if n.State&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) == 0 {
		b.bytes(unix.NDA_LLADDR, n.MAC[:])
	}
	b.u32(unix.NDA_PROBES, 0)
	b.room(unix.NDA_CACHEINFO, 16)
	b.end()
}

// readNeighbour reads what a request about a neighbour is about.
func readNeighbour(r *request) (i *inet.Interface, n inet.Neighbour, a attrs, err error) {
	h, a, err := r.head(ndmsgSize)
	if err != nil {
		return nil, n, nil, err
	}
	ip, ok, err := a.address(unix.NDA_DST, h[0])
	if err != nil {
		return nil, n, nil, r.fail(unix.EINVAL, "Invalid network address")
	}
	if !ok {
		return nil, n, nil, r.fail(unix.EINVAL, "Network address not specified")
	}
	if index := int(int32(binary.NativeEndian.Uint32(h[4:]))); index != 0 {
		if i = inet.ByIndex(index); i == nil {
			return nil, n, nil, unix.ENODEV
		}
	}
	if i == nil {
		return nil, n, nil, unix.EINVAL
	}
	return i, inet.Neighbour{IP: ip, State: binary.NativeEndian.Uint16(h[8:]), Flags: h[10]}, a, nil
}

func find(i *inet.Interface, ip *inet.IP) *inet.Neighbour {
	list := inet.Neighbours(i)
	for k := range list {
		if list[k].IP == *ip {
			return &list[k]
		}
	}
	return nil
}

func getNeighbour(r *request) error {
	i, n, _, err := readNeighbour(r)
	if err != nil {
		return err
	}
	o := find(i, &n.IP)
	if o == nil {
		return r.fail(unix.ENOENT, "Neighbour entry not found")
	}
	var b builder
	neighbourMessage(&b, r, 0, i.Index, o)
	r.reply(&b)
	return nil
}

func newNeighbour(r *request) error {
	i, n, a, err := readNeighbour(r)
	if err != nil {
		return err
	}
	if n.Flags&proxyEntry != 0 {
		return unix.EOPNOTSUPP
	}
	mac := a.get(unix.NDA_LLADDR)
	if mac != nil && len(mac) < 6 {
		return r.fail(unix.EINVAL, "Invalid link address")
	}
	o := find(i, &n.IP)
	switch {
	case o == nil && r.flags&unix.NLM_F_CREATE == 0:
		return unix.ENOENT
	case o != nil && r.flags&unix.NLM_F_EXCL != 0:
		return unix.EEXIST
	case mac == nil && o == nil:
		return unix.EINVAL
	case mac == nil:
		n.MAC = o.MAC
	}
	copy(n.MAC[:], mac)
	if err := inet.AddNeighbour(i, n); err != nil {
		return err
	}
	var b builder
	neighbourMessage(&b, r, 0, i.Index, &n)
	notify(r, groupNeigh, &b)
	return nil
}

func removeNeighbour(r *request) error {
	i, n, _, err := readNeighbour(r)
	if err != nil {
		return err
	}
	if err := inet.RemoveNeighbour(i, n.IP); err != nil {
		return err
	}
	var b builder
	n.State = unix.NUD_FAILED
	neighbourMessage(&b, r, 0, i.Index, &n)
	binary.NativeEndian.PutUint16(b.p[4:], unix.RTM_DELNEIGH)
	notify(r, groupNeigh, &b)
	return nil
}

// dumpRules lists the rules that every machine has; there are no others.
func dumpRules(r *request) error {
	h, _, err := r.head(ruleSize)
	if err != nil {
		return err
	}
	var b builder
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		if h[0] != family && (h[0] == unix.AF_INET || h[0] == unix.AF_INET6) {
			continue
		}
		for _, o := range [...]struct {
			table    byte
			priority uint32
		}{{unix.RT_TABLE_LOCAL, 0}, {unix.RT_TABLE_MAIN, 32766}, {unix.RT_TABLE_DEFAULT, 32767}} {
			if o.table == unix.RT_TABLE_DEFAULT && family == unix.AF_INET6 {
				continue
			}
			b.begin(unix.RTM_NEWRULE, unix.NLM_F_MULTI, r)
			rule := b.zeros(ruleSize)
			rule[0], rule[4], rule[7] = family, o.table, 1 // FR_ACT_TO_TBL
			b.u32(ruleTable, uint32(o.table))
			b.u32(ruleSuppress, ^uint32(0))
			b.u8(ruleProtocol, unix.RTPROT_KERNEL)
			if o.priority != 0 {
				b.u32(rulePriority, o.priority)
			}
			b.end()
		}
	}
	return r.dump(&b, 0)
}

// dumpQueues lists the queueing disciplines, one for each interface.
func dumpQueues(r *request) error {
	h, _, err := r.head(tcmsgSize)
	if err != nil {
		return err
	}
	only := int(binary.NativeEndian.Uint32(h[4:]))
	var b builder
	for _, s := range inet.Interfaces() {
		if s.Flags&unix.IFF_UP == 0 || only != 0 && only != s.Index {
			continue
		}
		b.begin(unix.RTM_NEWQDISC, unix.NLM_F_MULTI, r)
		m := b.zeros(tcmsgSize)
		binary.NativeEndian.PutUint32(m[4:], uint32(s.Index))
		binary.NativeEndian.PutUint32(m[12:], ^uint32(0)) // TC_H_ROOT
		binary.NativeEndian.PutUint32(m[16:], 2)          // references
		kind := "noqueue"
		if s.Link != nil {
			kind = "pfifo_fast"
		}
		b.str(unix.TCA_KIND, kind)
		if s.Link != nil {
			opt := b.room(unix.TCA_OPTIONS, 20) // struct tc_prio_qopt
			opt[0] = 3
			copy(opt[4:], "\x01\x02\x02\x02\x01\x02\x00\x00\x01\x01\x01\x01\x01\x01\x01\x01")
		}
		b.u8(12, 0) // TCA_HW_OFFLOAD
		b.end()
	}
	return r.dump(&b, 0)
}
