package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/socket"
)

// sendControl reads the control messages of a datagram to be sent.
func (s *udp) sendControl(p []byte, h *hints) error {
	for len(p) >= 16 {
		n := binary.NativeEndian.Uint64(p)
		if n < 16 || n > uint64(len(p)) {
			return unix.EINVAL
		}
		level, typ := int(number(p[8:])), int(number(p[12:]))
		v := p[16:n]
		if err := s.sendControl1(level, typ, v, h); err != nil {
			return err
		}
		p = p[min(int(n+7)&^7, len(p)):]
	}
	return nil
}

func (s *udp) sendControl1(level, typ int, v []byte, h *hints) error {
	switch {
	case level == unix.SOL_SOCKET:
	case level == levelUDP && typ == unix.UDP_SEGMENT:
		if len(v) != 2 {
			return unix.EINVAL
		}
		h.segment = int(binary.NativeEndian.Uint16(v))
	case level == levelIP && s.v6, level == levelIP && typ == unix.IP_RETOPTS:
	case level == levelIP:
		switch typ {
		case unix.IP_PKTINFO:
			if len(v) != 12 {
				return unix.EINVAL
			}
			h.device, h.source = int(number(v)), IPFrom(v[4:8])
		case unix.IP_TTL:
			if len(v) != 4 || number(v) < 1 || number(v) > 255 {
				return unix.EINVAL
			}
			h.ttl = int(number(v))
		case unix.IP_TOS:
			switch {
			case len(v) == 4:
				h.tos = int(number(v))
			case len(v) == 1:
				h.tos = int(v[0])
			default:
				return unix.EINVAL
			}
			if h.tos < 0 || h.tos > 255 {
				return unix.EINVAL
			}
		default:
			return unix.EINVAL
		}
	case level == levelIP6 && s.v6:
		switch typ {
		case unix.IPV6_PKTINFO, unix.IPV6_2292PKTINFO:
			if len(v) < 20 {
				return unix.EINVAL
			}
			h.source, h.device = IPFrom(v[:16]), int(number(v[16:]))
		case unix.IPV6_HOPLIMIT, unix.IPV6_2292HOPLIMIT:
			if len(v) != 4 || number(v) < -1 || number(v) > 255 {
				return unix.EINVAL
			}
			h.ttl = int(number(v))
		case unix.IPV6_TCLASS:
			if len(v) != 4 || number(v) < -1 || number(v) > 255 {
				return unix.EINVAL
			}
			h.tos = int(number(v))
		case unix.IPV6_DONTFRAG, unix.IPV6_HOPOPTS, unix.IPV6_DSTOPTS, unix.IPV6_RTHDR, unix.IPV6_RTHDRDSTOPTS:
		default:
			return unix.EINVAL
		}
	}
	if h.device != 0 && ByIndex(h.device) == nil {
		return unix.ENODEV
	}
	if h.source != (IP{}) && !h.source.Any() && !s.canBind(&h.source) {
		return unix.EINVAL
	}
	return nil
}

// describe appends the control messages that the program wants with d.
func (s *udp) describe(m *socket.Message, d *datagram) {
	out := m.Control
	if s.stamps() {
		t := d.time
		if t == 0 {
			t = clock.Realtime()
		}
		out = s.appendTime(out, t)
	}
	marks := s.marks.Load()
	var w [4]byte
	if d.to.Is4() {
		if marks&markPktinfo != 0 {
			var v [12]byte
			binary.NativeEndian.PutUint32(v[:], uint32(d.device))
			spec := d.to
			if d.to.Multicast() || isBroadcast(&d.to) {
				spec = d.from.IP
				if i := ByIndex(d.device); i != nil && i != lo {
					for _, a := range i.Snapshot().Addresses {
						if a.IP.Is4() {
							spec = a.IP
							break
						}
					}
				}
			}
			copy(v[4:], spec[12:])
			copy(v[8:], d.to[12:])
			out = appendControl(out, levelIP, unix.IP_PKTINFO, v[:])
		}
		if marks&markTTL != 0 {
			binary.NativeEndian.PutUint32(w[:], uint32(d.ttl))
			out = appendControl(out, levelIP, unix.IP_TTL, w[:])
		}
		if marks&markTOS != 0 {
			out = appendControl(out, levelIP, unix.IP_TOS, []byte{byte(d.tos)})
		}
		if marks&markOrigDst != 0 {
			out = appendControl(out, levelIP, unix.IP_ORIGDSTADDR, (&AddrPort{IP: d.to, Port: d.port}).raw(unix.AF_INET))
		}
	}
	if s.v6 && (!d.to.Is4() || marks&markPktinfo6 != 0) {
		if marks&markPktinfo6 != 0 {
			var v [20]byte
			copy(v[:], d.to[:])
			binary.NativeEndian.PutUint32(v[16:], uint32(d.device))
			out = appendControl(out, levelIP6, unix.IPV6_PKTINFO, v[:])
		}
		if !d.to.Is4() {
			if marks&markHops6 != 0 {
				binary.NativeEndian.PutUint32(w[:], uint32(d.ttl))
				out = appendControl(out, levelIP6, unix.IPV6_HOPLIMIT, w[:])
			}
			if marks&markClass6 != 0 {
				binary.NativeEndian.PutUint32(w[:], uint32(d.tos))
				out = appendControl(out, levelIP6, unix.IPV6_TCLASS, w[:])
			}
		}
	}
	m.Control = out
}
