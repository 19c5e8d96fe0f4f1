package proc

import (
	"sync/atomic"

	"husk/kernel/fs/pseudo"
	"husk/kernel/vfs"
)

// netShow are the functions that append the lines of files in /proc/net; the
// network's packages register them at boot through RegisterNet.
var netShow atomic.Pointer[[]netFile]

type netFile struct {
	name   string
	append func([]byte) []byte
}

// RegisterNet makes lines the source of what follows the heading of
// /proc/net/name ("tcp", "unix", "dev" …).
func RegisterNet(name string, lines func([]byte) []byte) {
	var list []netFile
	if p := netShow.Load(); p != nil {
		list = append(list, *p...)
	}
	list = append(list, netFile{name, lines})
	netShow.Store(&list)
}

// netLines appends what is registered for a file and reports whether anything
// is.
func netLines(t *text, name string) bool {
	p := netShow.Load()
	if p == nil {
		return false
	}
	for _, f := range *p {
		if f.name == name {
			*t = f.append(*t)
			return true
		}
	}
	return false
}

const (
	headDev = "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	lineLo   = "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"
	headTCP  = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n"
	headTCP6 = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	headUDP  = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n"
	headUDP6 = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	headRaw  = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	headICMP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n"
	headUnix = "Num       RefCount Protocol Flags    Type St Inode Path\n"

	headRoute   = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n"
	headARP     = "IP address       HW type     Flags       HW address            Mask     Device\n"
	headPacket  = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"
	headNetlink = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
	headPtype   = "Type Device      Function\n"
	headIGMP    = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
	headMC      = "Idx Device        MCA        SRC    INC    EXC\n"
	headCache   = "Iface\tDestination\tGateway \tFlags\t\tRefCnt\tUse\tMetric\tSource\t\tMTU\tWindow\tIRTT\tTOS\tHHRef\tHHUptod\tSpecDst                          \n"

	headProtocols = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n"

	sockstat  = "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
	sockstat6 = "TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n"

	netstat = "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows ListenDrops TCPTimeouts\nTcpExt: 0 0 0 0 0 0\n" +
		"IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts ReasmOverlaps\n" +
		"IpExt: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)

// netDir is /proc/PID/net. There is one network, so it is everybody's.
var netDir = pseudo.Dir{Entries: []pseudo.Entry{
	{Name: "anycast6"},
	{Name: "arp", Show: showNetARP},
	{Name: "dev", Show: showNetDev},
	{Name: "dev_mcast"},
	{Name: "fib_trie"},
	{Name: "icmp", Const: headICMP},
	{Name: "icmp6", Const: headUDP6},
	{Name: "if_inet6", Show: showNetIfInet6},
	{Name: "igmp", Show: showNetIGMP},
	{Name: "igmp6", Show: showNetIGMP6},
	{Name: "ip6_flowlabel", Const: "Label S Owner  Users  Linger Expires  Dst                              Opt\n"},
	{Name: "ipv6_route", Show: showNetIPv6Route},
	{Name: "mcfilter", Const: headMC},
	{Name: "mcfilter6", Const: headMC},
	{Name: "netlink", Show: showNetNetlink},
	{Name: "netstat", Const: netstat},
	{Name: "packet", Show: showNetPacket},
	{Name: "protocols", Const: headProtocols},
	{Name: "psched", Const: "000003e8 00000040 000f4240 3b9aca00\n"},
	{Name: "ptype", Const: headPtype},
	{Name: "raw", Show: showNetRaw},
	{Name: "raw6", Show: showNetRaw6},
	{Name: "route", Show: showNetRoute},
	{Name: "rt_cache", Const: headCache},
	{Name: "snmp", Show: showNetSNMP},
	{Name: "snmp6"},
	{Name: "sockstat", Show: showNetSockstat},
	{Name: "sockstat6", Show: showNetSockstat6},
	{Name: "softnet_stat", Const: "00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n"},
	{Name: "stat", Dir: &pseudo.Dir{}},
	{Name: "tcp", Show: showNetTCP},
	{Name: "tcp6", Show: showNetTCP6},
	{Name: "udp", Show: showNetUDP},
	{Name: "udp6", Show: showNetUDP6},
	{Name: "udplite", Const: headUDP},
	{Name: "udplite6", Const: headUDP6},
	{Name: "unix", Show: showNetUnix},
	{Name: "wireless", Const: "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"},
}}

// headed renders a heading and what is registered.
func headed(t *text, name, head string) error {
	t.S(head)
	netLines(t, name)
	return nil
}

// whole renders what is registered, or what stands for nothing.
func whole(t *text, name, nothing string) error {
	if !netLines(t, name) {
		t.S(nothing)
	}
	return nil
}

func showNetDev(t *text, c vfs.Caller, _ subject) error {
	t.S(headDev)
	return whole(t, "dev", lineLo)
}

func showNetTCP(t *text, c vfs.Caller, _ subject) error  { return headed(t, "tcp", headTCP) }
func showNetTCP6(t *text, c vfs.Caller, _ subject) error { return headed(t, "tcp6", headTCP6) }
func showNetUDP(t *text, c vfs.Caller, _ subject) error  { return headed(t, "udp", headUDP) }
func showNetUDP6(t *text, c vfs.Caller, _ subject) error { return headed(t, "udp6", headUDP6) }
func showNetRaw(t *text, c vfs.Caller, _ subject) error  { return headed(t, "raw", headRaw) }
func showNetARP(t *text, c vfs.Caller, _ subject) error  { return headed(t, "arp", headARP) }

func showNetRoute(t *text, c vfs.Caller, _ subject) error   { return headed(t, "route", headRoute) }
func showNetNetlink(t *text, c vfs.Caller, _ subject) error { return headed(t, "netlink", headNetlink) }
func showNetSNMP(t *text, c vfs.Caller, _ subject) error    { return whole(t, "snmp", "") }

func showNetRaw6(t *text, c vfs.Caller, _ subject) error   { return headed(t, "raw6", headUDP6) }
func showNetPacket(t *text, c vfs.Caller, _ subject) error { return headed(t, "packet", headPacket) }
func showNetIGMP(t *text, c vfs.Caller, _ subject) error   { return headed(t, "igmp", headIGMP) }
func showNetIGMP6(t *text, c vfs.Caller, _ subject) error  { return whole(t, "igmp6", "") }

func showNetSockstat6(t *text, c vfs.Caller, _ subject) error {
	return whole(t, "sockstat6", sockstat6)
}

func showNetSockstat(t *text, c vfs.Caller, _ subject) error  { return whole(t, "sockstat", sockstat) }
func showNetIPv6Route(t *text, c vfs.Caller, _ subject) error { return whole(t, "ipv6_route", "") }

func showNetIfInet6(t *text, c vfs.Caller, _ subject) error {
	return whole(t, "if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n")
}
