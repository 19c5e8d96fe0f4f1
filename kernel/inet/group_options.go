package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// setGroupIF is IP_MULTICAST_IF: an address, or struct ip_mreqn.
func (s *sock) setGroupIF(v []byte) error {
	if s.Type == unix.SOCK_STREAM || len(v) < 4 {
		return unix.EINVAL
	}
	ip, index := IPFrom(v[:4]), 0
	if len(v) >= 8 {
		ip = IPFrom(v[4:8])
	}
	if len(v) >= 12 {
		index = int(number(v[8:]))
	}
	if index == 0 && ip != any4 {
		i := local(&ip)
		if i == nil {
			return unix.EADDRNOTAVAIL
		}
		index = i.Index
	}
	if index != 0 && ByIndex(index) == nil {
		return unix.EADDRNOTAVAIL
	}
	s.setMu.Lock()
	s.groupIF = ip
	s.setMu.Unlock()
	s.setValue(levelIP, unix.IP_MULTICAST_IF, int32(index))
	return nil
}

// membership4 takes struct ip_mreq or ip_mreqn.
func (s *udp) membership4(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) < 8 {
		return unix.EINVAL
	}
	ip, by, index := IPFrom(v[:4]), IPFrom(v[4:8]), 0
	if len(v) >= 12 {
		index = int(number(v[8:]))
	}
	if index == 0 && by != any4 {
		i := local(&by)
		if i == nil {
			if name == unix.IP_DROP_MEMBERSHIP {
				return unix.EADDRNOTAVAIL
			}
			return unix.ENODEV
		}
		index = i.Index
	}
	if name == unix.IP_ADD_MEMBERSHIP {
		return s.join(ip, index)
	}
	return s.leave(ip, index)
}

// source4 takes struct ip_mreq_source.
func (s *udp) source4(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) != 12 {
		return unix.EINVAL
	}
	ip, by, src := IPFrom(v[:4]), IPFrom(v[4:8]), IPFrom(v[8:12])
	index := 0
	if by != any4 {
		i := local(&by)
		if i == nil {
			return unix.ENODEV
		}
		index = i.Index
	}
	exclude := name == unix.IP_BLOCK_SOURCE || name == unix.IP_UNBLOCK_SOURCE
	add := name == unix.IP_ADD_SOURCE_MEMBERSHIP || name == unix.IP_BLOCK_SOURCE
	return s.source(ip, src, index, exclude, add)
}

// storage decodes a sockaddr_storage.
func storage(v []byte) (IP, bool) {
	switch binary.NativeEndian.Uint16(v) {
	case unix.AF_INET:
		return parse4(v).IP, true
	case unix.AF_INET6:
		return parse6(v).IP, true
	}
	return IP{}, false
}

// membershipAny takes struct group_req.
func (s *udp) membershipAny(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) < 8+128 {
		return unix.EINVAL
	}
	ip, ok := storage(v[8:])
	if !ok {
		return unix.EINVAL
	}
	if name == mcastJoin {
		return s.join(ip, int(number(v)))
	}
	return s.leave(ip, int(number(v)))
}

// sourceAny takes struct group_source_req.
func (s *udp) sourceAny(name int, v []byte) error {
	if s == nil {
		return unix.EPROTO
	}
	if len(v) < 8+256 {
		return unix.EINVAL
	}
	ip, ok := storage(v[8:])
	src, ok2 := storage(v[136:])
	if !ok || !ok2 {
		return unix.EADDRNOTAVAIL
	}
	exclude := name == mcastBlock || name == mcastUnblock
	return s.source(ip, src, int(number(v)), exclude, name == mcastJoinSource || name == mcastBlock)
}
