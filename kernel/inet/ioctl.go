package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// Requests that x/sys lacks.
const (
	siocAtMark     = 0x8905
	siocGStamp     = 0x8906
	siocGStampNS   = 0x8907
	siocOutQNSD    = 0x894b
	siocGIFMem     = 0x891f
	siocGIFMap     = 0x8970
	siocGIFTxQLen  = 0x8942
	siocSIFTxQLen  = 0x8943
	siocEthtool    = 0x8946
	siocGIFVlan    = 0x8982
	siocWireless   = 0x8b00
	ifreqSize      = 40
	ifnamsiz       = unix.IFNAMSIZ
	hardwareEther  = unix.ARPHRD_ETHER
	hardwareLoop   = unix.ARPHRD_LOOPBACK
	rtentrySize    = 120
	ethtoolGDrv    = 0x3
	ethtoolGLink   = 0xa
	ethtoolGSet    = 0x1
	ethtoolInfoLen = 196
)

// ioctl serves the requests that every socket knows: netdevice(7).
func (s *sock) ioctl(c vfs.Caller, request uint32, arg uintptr) (uintptr, error) {
	as, a := c.AddressSpace(), mm.Addr(arg)
	if request == unix.SIOCGIFCONF || request == unix.SIOCGIFADDR {
		if err := Settle(c, true); err != nil {
			return 0, err
		}
	}
	switch request {
	case siocGStamp, siocGStampNS:
		return 0, unix.ENOENT
	case unix.SIOCGIFCONF:
		return 0, listInterfaces(as, a)
	case unix.SIOCADDRT, unix.SIOCDELRT:
		return 0, s.routeRequest(c, request == unix.SIOCADDRT, a)
	}
	if request < 0x8910 || request >= 0x8990 {
		if request >= siocWireless && request < siocWireless+0x100 {
			return 0, unix.EOPNOTSUPP
		}
		return 0, unix.ENOTTY
	}
	if s.v6 && request >= unix.SIOCGIFADDR && request <= unix.SIOCSIFNETMASK {
		return 0, unix.ENOTTY // netlink's, for IPv6
	}
	var r [ifreqSize]byte
	if _, err := as.CopyIn(r[:], a); err != nil {
		return 0, unix.EFAULT
	}
	if request == unix.SIOCGIFNAME {
		i := ByIndex(int(int32(binary.NativeEndian.Uint32(r[ifnamsiz:]))))
		if i == nil {
			return 0, unix.ENODEV
		}
		clear(r[:ifnamsiz])
		copy(r[:ifnamsiz-1], i.Snapshot().Name)
		_, err := as.CopyOut(a, r[:])
		return 0, err
	}
	i := find4(text(r[:ifnamsiz]))
	if i == nil {
		return 0, unix.ENODEV
	}
	if answer, err := i.get(request, r[ifnamsiz:]); answer || err != nil {
		if err != nil {
			return 0, err
		}
		_, err = as.CopyOut(a, r[:])
		return 0, err
	}
	switch request {
	case unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFBRDADDR, unix.SIOCSIFDSTADDR, unix.SIOCSIFFLAGS, unix.SIOCSIFMTU,
		unix.SIOCSIFNAME, unix.SIOCSIFHWADDR, siocSIFTxQLen, unix.SIOCSIFMETRIC, unix.SIOCADDMULTI, unix.SIOCDELMULTI:
		if !c.Cred().Has(unix.CAP_NET_ADMIN) {
			return 0, unix.EPERM
		}
		return 0, i.change(request, r[ifnamsiz:])
	case siocEthtool:
		return 0, i.ethtool(as, mm.Addr(binary.NativeEndian.Uint64(r[ifnamsiz:])))
	}
	return 0, unix.ENOTTY
}

// find4 finds an interface by a name that may be an alias's (eth0:1).
func find4(name string) *Interface {
	for k := range len(name) {
		if name[k] == ':' {
			name = name[:k]
			break
		}
	}
	return ByName(name)
}

// ethtool answers the few questions that programs ask of every interface.
func (i *Interface) ethtool(as *mm.AddressSpace, a mm.Addr) error {
	var p [ethtoolInfoLen]byte
	if _, err := as.CopyIn(p[:4], a); err != nil {
		return unix.EFAULT
	}
	n := 0
	switch binary.NativeEndian.Uint32(p[:]) {
	case ethtoolGLink:
		s := i.Snapshot()
		binary.NativeEndian.PutUint32(p[4:], uint32(truth(s.Flags&unix.IFF_RUNNING != 0)))
		n = 8
	case ethtoolGDrv:
		driver := "virtio_net"
		if i == lo {
			return unix.EOPNOTSUPP
		}
		copy(p[4:], driver)
		n = ethtoolInfoLen
	default:
		return unix.EOPNOTSUPP
	}
	_, err := as.CopyOut(a, p[:n])
	return err
}

// listInterfaces is SIOCGIFCONF: the addresses of IPv4.
func listInterfaces(as *mm.AddressSpace, a mm.Addr) error {
	var h [16]byte
	if _, err := as.CopyIn(h[:], a); err != nil {
		return unix.EFAULT
	}
	room, to := int(int32(binary.NativeEndian.Uint32(h[:]))), mm.Addr(binary.NativeEndian.Uint64(h[8:]))
	var out []byte
	for _, s := range Interfaces() {
		for k := range s.Addresses {
			ad := &s.Addresses[k]
			if !ad.IP.Is4() {
				continue
			}
			var r [ifreqSize]byte
			name := s.Name
			if ad.Label != "" {
				name = ad.Label
			}
			copy(r[:ifnamsiz-1], name)
			sockaddrIn(r[ifnamsiz:], &ad.IP)
			out = append(out, r[:]...)
		}
	}
	if to != 0 {
		if room < 0 {
			return unix.EINVAL
		}
		out = out[:min(len(out), room/ifreqSize*ifreqSize)]
		if _, err := as.CopyOut(to, out); err != nil {
			return unix.EFAULT
		}
	}
	binary.NativeEndian.PutUint32(h[:], uint32(len(out)))
	_, err := as.CopyOut(a, h[:4])
	return err
}

// sockaddrIn writes a sockaddr_in without a port.
func sockaddrIn(p []byte, ip *IP) {
	clear(p[:16])
	binary.NativeEndian.PutUint16(p, unix.AF_INET)
	copy(p[4:8], ip[12:])
}

// get answers a question about an interface in r, the part of struct ifreq
// behind the name; false if it is none.
func (i *Interface) get(request uint32, r []byte) (bool, error) {
	s := i.Snapshot()
	put := func(n uint32) { binary.NativeEndian.PutUint32(r, n) }
	var first *Address
	for k := range s.Addresses {
		if s.Addresses[k].IP.Is4() {
			first = &s.Addresses[k]
			break
		}
	}
	switch request {
	case unix.SIOCGIFFLAGS:
		binary.NativeEndian.PutUint16(r, uint16(s.Flags))
	case unix.SIOCGIFINDEX:
		put(uint32(i.Index))
	case unix.SIOCGIFMTU:
		put(uint32(s.MTU))
	case unix.SIOCGIFMETRIC:
		put(0)
	case siocGIFTxQLen:
		put(uint32(s.QueueLen))
	case siocGIFMap:
		clear(r)
	case siocGIFMem:
		return false, unix.ENOTTY
	case unix.SIOCGIFHWADDR:
		clear(r)
		if i == lo {
			binary.NativeEndian.PutUint16(r, hardwareLoop)
		} else {
			binary.NativeEndian.PutUint16(r, hardwareEther)
			copy(r[2:], s.Hardware[:])
		}
	case unix.SIOCGIFADDR, unix.SIOCGIFNETMASK, unix.SIOCGIFBRDADDR, unix.SIOCGIFDSTADDR:
		if first == nil {
			return false, unix.EADDRNOTAVAIL
		}
		ip := first.IP
		switch request {
		case unix.SIOCGIFNETMASK:
			ip = masked(broadcast, first.Bits)
		case unix.SIOCGIFBRDADDR:
			if ip = first.Broadcast; ip == (IP{}) {
				ip = any4
			}
		case unix.SIOCGIFDSTADDR:
			if first.Peer != (IP{}) {
				ip = first.Peer
			}
		}
		sockaddrIn(r, &ip)
	default:
		return false, nil
	}
	return true, nil
}

// change serves the requests that configure an interface.
func (i *Interface) change(request uint32, r []byte) error {
	s := i.Snapshot()
	n := int(int32(binary.NativeEndian.Uint32(r)))
	var old *Address
	for k := range s.Addresses {
		if s.Addresses[k].IP.Is4() {
			old = &s.Addresses[k]
			break
		}
	}
	switch request {
	case unix.SIOCSIFFLAGS:
		f := uint32(binary.NativeEndian.Uint16(r))
		return SetFlags(i, f, 0xffff)
	case unix.SIOCSIFMTU:
		return SetMTU(i, n)
	case siocSIFTxQLen:
		return SetQueueLen(i, n)
	case unix.SIOCSIFNAME:
		return Rename(i, text(r[:ifnamsiz]))
	case unix.SIOCSIFMETRIC, unix.SIOCADDMULTI, unix.SIOCDELMULTI:
		return nil
	case unix.SIOCSIFHWADDR:
		return unix.EOPNOTSUPP
	}
	if binary.NativeEndian.Uint16(r) != unix.AF_INET {
		return unix.EINVAL
	}
	ip := IPFrom(r[4:8])
	if request == unix.SIOCSIFADDR {
		if old != nil {
			if err := RemoveAddress(i, old.IP); err != nil {
				return err
			}
		}
		if ip == any4 {
			return nil
		}
		bits := 24 // of the classes of old
		switch {
		case ip[12] < 128:
			bits = 8
		case ip[12] < 192:
			bits = 16
		}
		a := Address{IP: ip, Bits: bits, Flags: unix.IFA_F_PERMANENT}
		if i != lo {
			a.Broadcast = directed(ip, bits)
		}
		if err := AddAddress(i, a); err != nil {
			return err
		}
		return SetUp(i, true)
	}
	if old == nil {
		return unix.EADDRNOTAVAIL
	}
	a := *old
	switch request {
	case unix.SIOCSIFNETMASK:
		mask := binary.BigEndian.Uint32(ip[12:])
		a.Bits = 0
		for mask&(1<<31) != 0 {
			a.Bits++
			mask <<= 1
		}
		if mask != 0 {
			return unix.EINVAL
		}
		if a.Broadcast != (IP{}) {
			a.Broadcast = directed(a.IP, a.Bits)
		}
	case unix.SIOCSIFBRDADDR:
		a.Broadcast = ip
	case unix.SIOCSIFDSTADDR:
		a.Peer = ip
	}
	if err := RemoveAddress(i, old.IP); err != nil {
		return err
	}
	return AddAddress(i, a)
}

// directed is the broadcast address of a network.
func directed(ip IP, bits int) IP {
	n := binary.BigEndian.Uint32(ip[12:]) | (1<<(32-bits) - 1)
	binary.BigEndian.PutUint32(ip[12:], n)
	return ip
}

// routeRequest takes struct rtentry (route(8)).
func (s *sock) routeRequest(c vfs.Caller, add bool, a mm.Addr) error {
	if !c.Cred().Has(unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	if s.v6 {
		return unix.EOPNOTSUPP
	}
	var p [rtentrySize]byte
	as := c.AddressSpace()
	if _, err := as.CopyIn(p[:], a); err != nil {
		return unix.EFAULT
	}
	dst, gateway, mask := p[8:24], p[24:40], p[40:56]
	if binary.NativeEndian.Uint16(dst) != unix.AF_INET {
		return unix.EAFNOSUPPORT
	}
	flags := binary.NativeEndian.Uint16(p[56:])
	r := Route{
		Dst: IPFrom(dst[4:8]), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
		Scope: unix.RT_SCOPE_LINK,
	}
	m := binary.BigEndian.Uint32(mask[4:])
	for ; m&(1<<31) != 0; m <<= 1 {
		r.Bits++
	}
	if flags&unix.RTF_HOST != 0 {
		r.Bits, m = 32, 0
	}
	if m != 0 || masked(r.Dst, r.Bits) != r.Dst {
		return unix.EINVAL
	}
	if flags&unix.RTF_GATEWAY != 0 {
		r.Gateway, r.Scope = IPFrom(gateway[4:8]), unix.RT_SCOPE_UNIVERSE
	}
	if metric := int16(binary.NativeEndian.Uint16(p[80:])); metric > 0 {
		r.Metric = uint32(metric) - 1
	}
	if dev := mm.Addr(binary.NativeEndian.Uint64(p[88:])); dev != 0 {
		var name [ifnamsiz]byte
		if _, err := as.CopyIn(name[:], dev); err != nil {
			return unix.EFAULT
		}
		i := find4(text(name[:]))
		if i == nil {
			return unix.ENODEV
		}
		r.Index = i.Index
	}
	if add {
		return AddRoute(r)
	}
	return RemoveRoute(r)
}
