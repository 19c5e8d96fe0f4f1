package inet

import (
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/proc"
)

// registerProc makes the files of /proc/net.
func registerProc() {
	proc.RegisterNet("tcp", func(p []byte) []byte { return tcpLines(p, false) })
	proc.RegisterNet("tcp6", func(p []byte) []byte { return tcpLines(p, true) })
	proc.RegisterNet("udp", func(p []byte) []byte { return udpLines(p, false) })
	proc.RegisterNet("udp6", func(p []byte) []byte { return udpLines(p, true) })
	proc.RegisterNet("raw", func(p []byte) []byte { return rawLines(p, false) })
	proc.RegisterNet("raw6", func(p []byte) []byte { return rawLines(p, true) })
	proc.RegisterNet("dev", deviceLines)
	proc.RegisterNet("route", routeLines)
	proc.RegisterNet("ipv6_route", route6Lines)
	proc.RegisterNet("if_inet6", address6Lines)
	proc.RegisterNet("arp", neighbourLines)
	proc.RegisterNet("sockstat", func(p []byte) []byte { return statLines(p, false) })
	proc.RegisterNet("sockstat6", func(p []byte) []byte { return statLines(p, true) })
	proc.RegisterNet("snmp", snmpLines)
	proc.RegisterNet("packet", packetLines)
	proc.RegisterNet("igmp", igmpLines)
	proc.RegisterNet("igmp6", igmp6Lines)
}

const digits = "0123456789ABCDEF"

// hex appends n as w digits.
func hex(p []byte, n uint64, w int) []byte {
	for i := w - 1; i >= 0; i-- {
		p = append(p, digits[n>>(4*i)&15])
	}
	return p
}

// column appends a number, right-aligned in w places, and nothing else.
func column(p []byte, n uint64, w int) []byte {
	s := strconv.FormatUint(n, 10)
	for i := len(s); i < w; i++ {
		p = append(p, ' ')
	}
	return append(p, s...)
}

func lowHex(p []byte, b []byte) []byte {
	for _, x := range b {
		p = append(p, "0123456789abcdef"[x>>4], "0123456789abcdef"[x&15])
	}
	return p
}

// ends appends an address in the form of /proc/net: words of the host.
func (a *AddrPort) hex(p []byte, v6 bool) []byte {
	b := a.IP[12:]
	if v6 {
		b = a.IP[:]
	}
	for i := 0; i < len(b); i += 4 {
		for k := 3; k >= 0; k-- {
			p = append(p, digits[b[i+k]>>4], digits[b[i+k]&15])
		}
	}
	p = append(p, ':')
	return hex(p, uint64(a.Port), 4)
}

// line appends the common part of a socket's line.
func (x *binding) line(p []byte, n, width, state, out, in int) []byte {
	p = append(column(p, uint64(n), width), ": "...)
	p = append(x.local.hex(p, x.v6), ' ')
	r := x.remote
	if x.s != nil && r.Port == 0 {
		r.IP = IP{}
	}
	p = append(r.hex(p, x.v6), ' ')
	p = append(hex(p, uint64(state), 2), ' ')
	p = append(hex(p, uint64(out), 8), ':')
	p = append(hex(p, uint64(in), 8), " 00:00000000 00000000 "...)
	p = column(p, uint64(x.uid), 5)
	p = append(p, "        0 "...)
	return p
}

// forEach calls f with the bindings of one family. net is held.
func (t *ports) forEach(v6 bool, f func(x *binding)) {
	for _, b := range t.m {
		for x := b.first; x != nil; x = x.next {
			if x.v6 == v6 {
				f(x)
			}
		}
	}
}

func tcpLines(p []byte, v6 bool) []byte {
	net.Lock()
	defer net.Unlock()
	n := 0
	net.tcp.expire()
	net.tcp.forEach(v6, func(x *binding) {
		start := len(p)
		switch {
		case x.tcp == nil:
			p = x.line(p, n, 4, timeWait, 0, 0)
			p = append(p, "0 3 0000000000000000"...)
		default:
			state := x.tcp.state.Load()
			if state == closed {
				return
			}
			in := 0
			if state == listening {
				in = x.tcp.pending.len()
			} else {
				x.tcp.mu.Lock()
				in = x.tcp.rx.n
				x.tcp.mu.Unlock()
			}
			p = x.line(p, n, 4, int(state), 0, in)
			p = strconv.AppendUint(p, x.s.inode(), 10)
			p = append(p, " 1 0000000000000000 100 0 0 10 0"...)
		}
		n++
		p = pad(p, start, 149, v6)
	})
	return p
}

// pad fills a line up, as IPv4's are.
func pad(p []byte, start, width int, v6 bool) []byte {
	for !v6 && len(p)-start < width {
		p = append(p, ' ')
	}
	return append(p, '\n')
}

func udpLines(p []byte, v6 bool) []byte {
	net.Lock()
	defer net.Unlock()
	net.udp.forEach(v6, func(x *binding) {
		p = x.udp.line(p, x, int(x.local.Port))
	})
	return p
}

func (s *udp) line(p []byte, x *binding, n int) []byte {
	state := closed
	if s.conn.Load() {
		state = established
	}
	s.mu.Lock()
	in, drops := s.cost, s.drops
	s.mu.Unlock()
	start := len(p)
	p = x.line(p, n, 5, state, 0, in)
	p = strconv.AppendUint(p, s.inode(), 10)
	p = append(p, " 2 0000000000000000 "...)
	p = strconv.AppendUint(p, drops, 10)
	return pad(p, start, 127, x.v6)
}

func rawLines(p []byte, v6 bool) []byte {
	net.Lock()
	defer net.Unlock()
	for _, r := range raws {
		if r.v6 == v6 {
			x := &binding{s: &r.sock, local: r.local, remote: r.remote, uid: r.uid, v6: v6}
			x.local.Port = uint16(r.Protocol)
			p = r.line(p, x, r.Protocol)
		}
	}
	return p
}

func deviceLines(p []byte) []byte {
	for _, i := range Interfaces() {
		for k := len(i.Name); k < 6; k++ {
			p = append(p, ' ')
		}
		p = append(p, i.Name...)
		p = append(p, ':')
		for k, n := range [...]uint64{
			i.RxBytes.Load(), i.RxPackets.Load(), 0, i.RxDropped.Load(), 0, 0, 0, 0,
			i.TxBytes.Load(), i.TxPackets.Load(), 0, i.TxDropped.Load(), 0, 0, 0, 0,
		} {
			p = append(p, ' ')
			p = column(p, n, [...]int{7, 7, 4, 4, 4, 5, 10, 9, 8, 7, 4, 4, 4, 5, 7, 10}[k])
		}
		p = append(p, '\n')
	}
	return p
}

func routeLines(p []byte) []byte {
	for _, r := range Routes() {
		if !r.V4() || r.Table != unix.RT_TABLE_MAIN {
			continue
		}
		i := ByIndex(r.Index)
		if i == nil {
			continue
		}
		start := len(p)
		p = append(append(p, i.Snapshot().Name...), '\t')
		word := func(ip *IP) {
			for k := 15; k >= 12; k-- {
				p = append(p, digits[ip[k]>>4], digits[ip[k]&15])
			}
			p = append(p, '\t')
		}
		word(&r.Dst)
		flags := uint64(unix.RTF_UP)
		if r.Gateway != (IP{}) {
			flags |= unix.RTF_GATEWAY
		}
		if r.Bits == 32 {
			flags |= unix.RTF_HOST
		}
		word(&r.Gateway)
		p = hex(p, flags, 4)
		p = append(p, "\t0\t0\t"...)
		p = append(strconv.AppendUint(p, uint64(r.Metric), 10), '\t')
		mask := masked(broadcast, r.Bits)
		word(&mask)
		p = append(strconv.AppendUint(p, uint64(r.MTU), 10), "\t0\t0"...)
		p = pad(p, start, 127, false)
	}
	return p
}

func route6Lines(p []byte) []byte {
	line := func(dst *IP, bits int, gateway *IP, metric, flags uint64, name string) {
		p = append(lowHex(p, dst[:]), ' ')
		p = append(hex(p, uint64(bits), 2), " 00000000000000000000000000000000 00 "...)
		p = append(lowHex(p, gateway[:]), ' ')
		for _, n := range [...]uint64{metric, 1, 0, flags} {
			p = append(lowHex(p, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), ' ')
		}
		for k := len(name); k < 8; k++ {
			p = append(p, ' ')
		}
		p = append(append(p, name...), '\n')
	}
	for _, r := range Routes() {
		i := ByIndex(r.Index)
		if r.V4() || i == nil {
			continue
		}
		flags := uint64(unix.RTF_UP)
		if r.Gateway != (IP{}) {
			flags |= unix.RTF_GATEWAY
		}
		line(&r.Dst, r.Bits, &r.Gateway, uint64(r.Metric), flags, i.Snapshot().Name)
	}
	line(&loopback6, 128, &any6, 0, 0x80200001, "lo")
	return p
}

func address6Lines(p []byte) []byte {
	for _, i := range Interfaces() {
		for _, a := range i.Addresses {
			if a.IP.Is4() {
				continue
			}
			scope := uint64(0)
			switch {
			case a.IP.Loopback():
				scope = 0x10
			case a.IP.LinkLocal():
				scope = 0x20
			}
			p = append(lowHex(p, a.IP[:]), ' ')
			for _, n := range [...]uint64{uint64(i.Index), uint64(a.Bits), scope, uint64(a.Flags & 0xff)} {
				p = append(lowHex(p, []byte{byte(n)}), ' ')
			}
			for k := len(i.Name); k < 8; k++ {
				p = append(p, ' ')
			}
			p = append(append(p, i.Name...), '\n')
		}
	}
	return p
}

func neighbourLines(p []byte) []byte {
	for _, i := range Interfaces() {
		if i.Link == nil {
			continue
		}
		for _, n := range Neighbours(i.Interface) {
			if !n.IP.Is4() {
				continue
			}
			start := len(p)
			for k, b := range n.IP[12:] {
				if k > 0 {
					p = append(p, '.')
				}
				p = strconv.AppendUint(p, uint64(b), 10)
			}
			for len(p)-start < 17 {
				p = append(p, ' ')
			}
			p = append(p, "0x1         0x2         "...)
			for k, b := range n.MAC {
				if k > 0 {
					p = append(p, ':')
				}
				p = lowHex(p, []byte{b})
			}
			p = append(p, "     *        "...)
			p = append(append(p, i.Name...), '\n')
		}
	}
	return p
}
