package inet

import (
	"sync/atomic"

	"husk/kernel/fs/proc"
	"husk/kernel/socket"
)

// What of /proc/sys/net this package obeys. All are read and written with
// package atomic; their values at boot are those of proc's table.
var (
	portRange         = [2]int64{32768, 60999} // ports that the kernel chooses
	unprivilegedStart = int64(1024)            // the first port that everybody may bind to
	pingGroups        = [2]int64{0, 2147483647}
	nonlocalBind      int64
	nonlocalBind6     int64
	echoIgnore        int64
	defaultTTL        = int64(64)
	only6Bind         int64
	timeWaitMost      = int64(16384)
	timeWaitReuse     = int64(2)
	keepIdle          = int64(7200)
	keepInterval      = int64(75)
	keepProbes        = int64(9)
	synRetries        = int64(6)
	finTimeout        = int64(60)
	receiveSizes      = [3]int64{4096, 131072, 6291456}
	sendSizes         = [3]int64{4096, 16384, 4194304}
	groupsMost        = int64(20)
)

func registerSettings() {
	proc.RegisterSettings([]proc.Setting{
		{Path: "net/core/rmem_default", Words: []*int64{&socket.ReadDefault}},
		{Path: "net/core/rmem_max", Words: []*int64{&socket.ReadMax}},
		{Path: "net/core/somaxconn", Words: []*int64{&socket.BacklogMax}},
		{Path: "net/core/wmem_default", Words: []*int64{&socket.WriteDefault}},
		{Path: "net/core/wmem_max", Words: []*int64{&socket.WriteMax}},
		{Path: "net/ipv4/icmp_echo_ignore_all", Words: []*int64{&echoIgnore}},
		{Path: "net/ipv4/igmp_max_memberships", Words: []*int64{&groupsMost}},
		{Path: "net/ipv4/ip_default_ttl", Words: []*int64{&defaultTTL}},
		{Path: "net/ipv4/ip_local_port_range", Words: []*int64{&portRange[0], &portRange[1]}},
		{Path: "net/ipv4/ip_nonlocal_bind", Words: []*int64{&nonlocalBind}},
		{Path: "net/ipv4/ip_unprivileged_port_start", Words: []*int64{&unprivilegedStart}},
		{Path: "net/ipv4/ping_group_range", Words: []*int64{&pingGroups[0], &pingGroups[1]}},
		{Path: "net/ipv4/tcp_fin_timeout", Words: []*int64{&finTimeout}},
		{Path: "net/ipv4/tcp_keepalive_intvl", Words: []*int64{&keepInterval}},
		{Path: "net/ipv4/tcp_keepalive_probes", Words: []*int64{&keepProbes}},
		{Path: "net/ipv4/tcp_keepalive_time", Words: []*int64{&keepIdle}},
		{Path: "net/ipv4/tcp_max_tw_buckets", Words: []*int64{&timeWaitMost}},
		{Path: "net/ipv4/tcp_rmem", Words: []*int64{&receiveSizes[0], &receiveSizes[1], &receiveSizes[2]}},
		{Path: "net/ipv4/tcp_syn_retries", Words: []*int64{&synRetries}},
		{Path: "net/ipv4/tcp_tw_reuse", Words: []*int64{&timeWaitReuse}},
		{Path: "net/ipv4/tcp_wmem", Words: []*int64{&sendSizes[0], &sendSizes[1], &sendSizes[2]}},
		{Path: "net/ipv6/bindv6only", Words: []*int64{&only6Bind}},
		{Path: "net/ipv6/ip_nonlocal_bind", Words: []*int64{&nonlocalBind6}},
	})
}

func tunable(p *int64) int { return int(atomic.LoadInt64(p)) }
