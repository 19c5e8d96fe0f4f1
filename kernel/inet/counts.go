package inet

import (
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/proc"
	"husk/kernel/vfs"
)

// census is how many sockets of a family have a port, or are raw.
func census(v6 bool) (tcps, open, udps, raw, waiting int) {
	net.Lock()
	defer net.Unlock()
	net.tcp.expire()
	net.tcp.forEach(v6, func(x *binding) {
		if x.tcp == nil {
			return
		}
		tcps++
		if s := x.tcp.state.Load(); s == established || s == closeWait {
			open++
		}
	})
	net.udp.forEach(v6, func(*binding) { udps++ })
	for _, r := range raws {
		if r.v6 == v6 {
			raw++
		}
	}
	return tcps, open, udps, raw, net.tcp.waiting
}

// statLines are /proc/net/sockstat and sockstat6.
func statLines(p []byte, v6 bool) []byte {
	tcps, _, udps, raw, waiting := census(v6)
	add := func(s string, n int) {
		p = append(p, s...)
		p = strconv.AppendUint(p, uint64(n), 10)
	}
	if v6 {
		add("TCP6: inuse ", tcps)
		add("\nUDP6: inuse ", udps)
		add("\nUDPLITE6: inuse 0\nRAW6: inuse ", raw)
		return append(p, "\nFRAG6: inuse 0 memory 0\n"...)
	}
	used := 0
	proc.OpenFiles(func(f *vfs.File) {
		if f.Inode.Type() == unix.S_IFSOCK {
			used++
		}
	})
	six, _, _, _, _ := census(true)
	add("sockets: used ", used)
	add("\nTCP: inuse ", tcps)
	add(" orphan 0 tw ", waiting)
	add(" alloc ", tcps+six)
	add(" mem 0\nUDP: inuse ", udps)
	add(" mem 0\nUDPLITE: inuse 0\nRAW: inuse ", raw)
	return append(p, "\nFRAG: inuse 0 memory 0\n"...)
}

// snmpLines are /proc/net/snmp.
func snmpLines(p []byte) []byte {
	var c Counters
	if s := theStack(); s != nil {
		c = *s.Counters()
	}
	_, open, _, _, _ := census(false)
	_, open6, _, _, _ := census(true)
	line := func(name, head string, v ...int64) {
		p = append(append(append(append(p, name...), ' '), head...), '\n')
		p = append(p, name...)
		for _, n := range v {
			p = strconv.AppendInt(append(p, ' '), n, 10)
		}
		p = append(p, '\n')
	}
	n := func(v uint64) int64 { return int64(v) }
	line("Ip:", "Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates",
		2, int64(tunable(&defaultTTL)), n(c.IPIn), n(c.IPBad), 0, 0, 0, 0, n(c.IPDelivered), n(c.IPOut), 0, n(c.IPNoRoute), 0, 0, 0, 0, 0, 0, 0)
	line("Icmp:", "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps",
		n(c.ICMPIn), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n(c.ICMPOut), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	line("Tcp:", "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors",
		1, 200, 120000, -1, n(c.TCPActive), n(c.TCPPassive), n(c.TCPFailed), n(c.TCPReset), int64(open+open6), n(c.TCPIn), n(c.TCPOut), n(c.TCPRetransmitted), n(c.TCPInBad), n(c.TCPOutRst), 0)
	line("Udp:", "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors",
		n(c.UDPIn), n(c.UDPNoPort), n(c.UDPBad), n(c.UDPOut), n(c.UDPFull), 0, 0, 0, 0)
	line("UdpLite:", "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors",
		0, 0, 0, 0, 0, 0, 0, 0, 0)
	return p
}

// packets are the packet sockets. Guarded by net.
var packets []*packet

// packetLines are those of /proc/net/packet.
func packetLines(p []byte) []byte {
	net.Lock()
	defer net.Unlock()
	for _, s := range packets {
		left := func(n uint64, width int) {
			start := len(p)
			p = strconv.AppendUint(p, n, 10)
			for len(p)-start < width {
				p = append(p, ' ')
			}
			p = append(p, ' ')
		}
		s.mu.Lock()
		cost := s.cost
		s.mu.Unlock()
		p = append(p, "0000000000000000 "...)
		left(3, 6)
		left(uint64(s.Type), 4)
		p = lowHex(p, []byte{byte(s.protocol >> 8), byte(s.protocol)})
		p = append(p, "   "...)
		left(uint64(s.index), 5)
		left(uint64(truth(s.protocol != 0)), 1)
		left(uint64(cost), 6)
		left(uint64(s.uid), 6)
		left(s.inode(), 6)
		p[len(p)-1] = '\n'
	}
	return p
}

// groupsOf counts the sockets in each group of an interface, after those that
// every interface is in.
func groupsOf(index int, v6 bool, every ...IP) (list []IP, users []int) {
	for _, ip := range every {
		list, users = append(list, ip), append(users, 1)
	}
	net.Lock()
	defer net.Unlock()
	net.udp.forEach(v6, func(x *binding) {
		for _, g := range x.udp.groups {
			if g.index != index || g.ip.Is4() == v6 {
				continue
			}
			known := false
			for k := range list {
				if list[k] == g.ip {
					users[k]++
					known = true
				}
			}
			if !known {
				list, users = append(list, g.ip), append(users, 1)
			}
		}
	})
	return list, users
}

func igmpLines(p []byte) []byte {
	for _, i := range Interfaces() {
		if i.Flags&unix.IFF_UP == 0 {
			continue
		}
		list, users := groupsOf(i.Index, false, IP4(224, 0, 0, 1))
		p = append(strconv.AppendInt(p, int64(i.Index), 10), '\t')
		start := len(p)
		p = append(p, i.Name...)
		for len(p)-start < 10 {
			p = append(p, ' ')
		}
		p = append(column(append(p, ": "...), uint64(len(list)), 5), "      V3\n"...)
		for k, ip := range list {
			p = append(p, "\t\t\t\t"...)
			p = append(hex(p, uint64(ip[15])<<24|uint64(ip[14])<<16|uint64(ip[13])<<8|uint64(ip[12]), 8), ' ')
			p = append(column(p, uint64(users[k]), 5), " 0:00000000\t\t0\n"...)
		}
	}
	return p
}

func igmp6Lines(p []byte) []byte {
	for _, i := range Interfaces() {
		list, users := groupsOf(i.Index, true, IP{0: 0xff, 1: 2, 15: 1}, IP{0: 0xff, 1: 1, 15: 1})
		for k, ip := range list {
			left := func(s string, width int) {
				p = append(p, s...)
				for n := len(s); n < width; n++ {
					p = append(p, ' ')
				}
				p = append(p, ' ')
			}
			left(strconv.Itoa(i.Index), 4)
			left(i.Name, 15)
			p = append(lowHex(p, ip[:]), ' ')
			p = append(column(p, uint64(users[k]), 5), " 0000000C 0\n"...)
		}
	}
	return p
}
