package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
)

const (
	ifaddrSize = 8 // struct ifaddrmsg
	forEver    = ^uint32(0)
)

// address reads an attribute that is an address of a family; EINVAL if it is
// not as long as such an address.
func (a attrs) address(typ int, family byte) (ip inet.IP, ok bool, err error) {
	v := a.get(typ)
	if v == nil {
		return ip, false, nil
	}
	n := 4
	if family == unix.AF_INET6 {
		n = 16
	}
	if len(v) < n {
		return ip, false, unix.EINVAL
	}
	return inet.IPFrom(v[:n]), true, nil
}

func familyOf(ip *inet.IP) byte {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func dumpAddresses(r *request) error {
	h, a, err := r.head(ifaddrSize)
	if err != nil {
		return err
	}
	index, flags := 0, uint16(unix.NLM_F_MULTI)
	if r.strict() {
		if h[1] != 0 || h[2] != 0 || h[3] != 0 {
			return r.fail(unix.EINVAL, "Invalid values in header for address dump request")
		}
		if err := r.only(a, 10); err != nil { // IFA_TARGET_NETNSID
			return err
		}
		if index = int(binary.NativeEndian.Uint32(h[4:])); index != 0 {
			flags |= unix.NLM_F_DUMP_FILTERED
			if inet.ByIndex(index) == nil {
				return unix.ENODEV
			}
		}
	}
	var b builder
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		if h[0] != family && (h[0] == unix.AF_INET || h[0] == unix.AF_INET6) {
			continue
		}
		for _, s := range inet.Interfaces() {
			for k := range s.Addresses {
				if ad := &s.Addresses[k]; familyOf(&ad.IP) == family && (index == 0 || index == s.Index) {
					addressMessage(&b, r, unix.RTM_NEWADDR, flags, s.Index, ad)
				}
			}
		}
	}
	return r.dump(&b, flags)
}

// addressMessage describes an address.
func addressMessage(b *builder, r *request, typ, flags uint16, index int, a *inet.Address) {
	b.begin(typ, flags, r)
	h := b.zeros(ifaddrSize)
	h[0], h[1], h[2] = familyOf(&a.IP), byte(a.Bits), byte(a.Flags)
	h[3] = scopeOf(a)
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	life := func() {
		v := b.room(unix.IFA_CACHEINFO, 16)
		valid, preferred := a.Valid, a.Preferred
		if valid == 0 {
			valid, preferred = forEver, forEver
		}
		binary.NativeEndian.PutUint32(v, preferred)
		binary.NativeEndian.PutUint32(v[4:], valid)
	}
	if a.IP.Is4() {
		peer := a.Peer
		if peer == (inet.IP{}) {
			peer = a.IP
		}
		b.bytes(unix.IFA_ADDRESS, peer.Bytes())
		b.bytes(unix.IFA_LOCAL, a.IP.Bytes())
		if a.Broadcast != (inet.IP{}) {
			b.bytes(unix.IFA_BROADCAST, a.Broadcast.Bytes())
		}
		if a.Label != "" {
			b.str(unix.IFA_LABEL, a.Label)
		}
		b.u32(unix.IFA_FLAGS, a.Flags)
		life()
	} else {
		if a.Peer != (inet.IP{}) {
			b.bytes(unix.IFA_LOCAL, a.IP[:])
			b.bytes(unix.IFA_ADDRESS, a.Peer[:])
		} else {
			b.bytes(unix.IFA_ADDRESS, a.IP[:])
		}
		life()
		b.u32(unix.IFA_FLAGS, a.Flags)
	}
	b.end()
}

// scopeOf is the scope of an address, which IPv6 derives from it.
func scopeOf(a *inet.Address) uint8 {
	switch {
	case a.IP.Is4():
		return a.Scope
	case a.IP.Loopback():
		return unix.RT_SCOPE_HOST
	case a.IP.LinkLocal():
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// getAddress serves a request for one address, which only IPv6 has.
func getAddress(r *request) error {
	if r.body[0] != unix.AF_INET6 {
		return unix.EOPNOTSUPP
	}
	h, a, err := r.head(ifaddrSize)
	if err != nil {
		return err
	}
	ip, ok, err := a.address(unix.IFA_LOCAL, h[0])
	if !ok && err == nil {
		ip, ok, err = a.address(unix.IFA_ADDRESS, h[0])
	}
	if err != nil || !ok {
		return unix.EINVAL
	}
	index := int(binary.NativeEndian.Uint32(h[4:]))
	for _, s := range inet.Interfaces() {
		for k := range s.Addresses {
			if ad := &s.Addresses[k]; ad.IP == ip && (index == 0 || index == s.Index) {
				var b builder
				addressMessage(&b, r, unix.RTM_NEWADDR, 0, s.Index, ad)
				r.reply(&b)
				return nil
			}
		}
	}
	return unix.EADDRNOTAVAIL
}

// readAddress reads what RTM_NEWADDR and RTM_DELADDR are about.
func readAddress(r *request) (i *inet.Interface, ad inet.Address, err error) {
	h, a, err := r.head(ifaddrSize)
	if err != nil {
		return nil, ad, err
	}
	family := h[0]
	local, hasLocal, err := a.address(unix.IFA_LOCAL, family)
	if err != nil {
		return nil, ad, err
	}
	peer, hasPeer, err := a.address(unix.IFA_ADDRESS, family)
	if err != nil {
		return nil, ad, err
	}
	most := 32
	if family == unix.AF_INET6 {
		most = 128
		if !hasLocal {
			local, hasLocal = peer, hasPeer
		}
	}
	if r.typ == unix.RTM_NEWADDR || family == unix.AF_INET6 {
		switch {
		case int(h[1]) > most && family == unix.AF_INET:
			return nil, ad, r.fail(unix.EINVAL, "ipv4: Invalid prefix length")
		case int(h[1]) > most:
			return nil, ad, r.fail(unix.EINVAL, "ipv6: Invalid prefix length")
		case !hasLocal && family == unix.AF_INET:
			return nil, ad, r.fail(unix.EINVAL, "ipv4: Local address is not supplied")
		case !hasLocal:
			return nil, ad, unix.EINVAL
		}
	}
	if i = inet.ByIndex(int(int32(binary.NativeEndian.Uint32(h[4:])))); i == nil {
		return nil, ad, unix.ENODEV
	}
	ad = inet.Address{IP: local, Bits: int(h[1]), Scope: h[3], Flags: uint32(h[2]), Label: a.str(unix.IFA_LABEL)}
	if hasPeer && peer != local {
		ad.Peer = peer
	}
	if ip, ok, err := a.address(unix.IFA_BROADCAST, family); err != nil {
		return nil, ad, err
	} else if ok && family == unix.AF_INET {
		ad.Broadcast = ip
	}
	if f, ok, err := a.u32(unix.IFA_FLAGS); err != nil {
		return nil, ad, err
	} else if ok {
		ad.Flags = f
	}
	ad.Valid, ad.Preferred = forEver, forEver
	if v := a.get(unix.IFA_CACHEINFO); len(v) >= 8 {
		ad.Preferred, ad.Valid = binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:])
		if ad.Valid == 0 || ad.Preferred > ad.Valid {
			return nil, ad, unix.EINVAL
		}
	}
	if ad.Valid == forEver {
		ad.Flags |= unix.IFA_F_PERMANENT
	}
	if ad.Valid == forEver && ad.Preferred == forEver {
		ad.Valid, ad.Preferred = 0, 0
	}
	if !hasLocal {
		ad.IP = inet.IP{}
	}
	return i, ad, nil
}

func newAddress(r *request) error {
	i, ad, err := readAddress(r)
	if err != nil {
		return err
	}
	s := i.Snapshot()
	for k := range s.Addresses {
		o := &s.Addresses[k]
		if o.IP != ad.IP {
			continue
		}
		if r.flags&unix.NLM_F_EXCL != 0 || r.flags&unix.NLM_F_REPLACE == 0 {
			if ad.IP.Is4() {
				return r.fail(unix.EEXIST, "ipv4: Address already assigned")
			}
			return r.fail(unix.EEXIST, "ipv6: address already assigned")
		}
		return inet.ChangeAddress(i, ad)
	}
	if ad.IP.Multicast() && !ad.IP.Is4() {
		return r.fail(unix.EADDRNOTAVAIL, "ipv6: Cannot assign requested address")
	}
	return inet.AddAddress(i, ad)
}

func removeAddress(r *request) error {
	i, ad, err := readAddress(r)
	if err != nil {
		return err
	}
	s := i.Snapshot()
	for k := range s.Addresses {
		o := &s.Addresses[k]
		if o.IP.Is4() != (r.body[0] == unix.AF_INET) || ad.IP != (inet.IP{}) && o.IP != ad.IP || ad.Label != "" && o.Label != ad.Label {
			continue
		}
		if r.body[0] == unix.AF_INET6 && o.Bits != ad.Bits || ad.Peer != (inet.IP{}) && ad.Peer != o.Peer {
			continue
		}
		return inet.RemoveAddress(i, o.IP)
	}
	if r.body[0] == unix.AF_INET {
		return r.fail(unix.EADDRNOTAVAIL, "ipv4: Address not found")
	}
	return r.fail(unix.EADDRNOTAVAIL, "ipv6: address not found")
}
