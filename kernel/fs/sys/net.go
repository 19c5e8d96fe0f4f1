package sys

import (
	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/inet"
	"husk/kernel/vfs"
)

// Network interfaces. The subject of their entries has the interface's number.

// netOf returns the interface: EINVAL when it is gone.
func netOf(s subject) (inet.Snapshot, error) {
	i := inet.ByIndex(s.N)
	if i == nil {
		return inet.Snapshot{}, unix.EINVAL
	}
	return i.Snapshot(), nil
}

var netLink = entry{Special: &pseudo.Special{Link: readNetLink}}

func readNetLink(c vfs.Caller, s subject) (string, error) {
	i, err := netOf(s)
	return "../../devices/virtual/net/" + i.Name, err
}

func lookupClassNet(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return findNet(d, name, &netLink)
}

func listClassNet(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return listNet(d, unix.DT_LNK, pos, emit)
}

func lookupNet(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	return findNet(d, name, &netEntry)
}

func listNets(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	return listNet(d, unix.DT_DIR, pos, emit)
}

func findNet(d *vfs.Inode, name string, e *entry) (*vfs.Inode, error) {
	i := inet.ByName(name)
	if i == nil {
		return nil, unix.ENOENT
	}
	return tree.Node(d.FS, dynamic(d.Ino, i.Index), e, subject{N: i.Index}), nil
}

func listNet(d *vfs.Inode, kind uint8, pos int64, emit func(vfs.Dirent) bool) error {
	list := inet.Interfaces()
	for k := int(pos); k < len(list); k++ {
		if !emit(vfs.Dirent{Name: list[k].Name, Ino: dynamic(d.Ino, list[k].Index), Type: kind, Next: int64(k) + 1}) {
			break
		}
	}
	return nil
}

// netEntry is an interface; its statistics are a table below.
var netEntry = entry{Dir: &dir{Entries: []entry{
	{Name: "addr_assign_type", Const: "0\n"},
	{Name: "addr_len", Const: "6\n"},
	{Name: "address", Show: showNetAddress},
	{Name: "broadcast", Show: showNetBroadcast},
	{Name: "carrier", Mode: 0o644, Show: showNetCarrier},
	{Name: "carrier_changes", Const: "0\n"},
	{Name: "carrier_down_count", Const: "0\n"},
	{Name: "carrier_up_count", Const: "0\n"},
	{Name: "dev_id", Const: "0x0\n"},
	{Name: "dev_port", Const: "0\n"},
	{Name: "dormant", Show: showNetDormant},
	{Name: "duplex", Show: showNetDuplex},
	{Name: "flags", Mode: 0o644, Show: showNetFlags, Store: storeNetFlags},
	{Name: "gro_flush_timeout", Mode: 0o644, Const: "0\n"},
	{Name: "ifalias", Mode: 0o644, Const: "\n"},
	{Name: "ifindex", Show: showNetIndex},
	{Name: "iflink", Show: showNetIndex},
	{Name: "link_mode", Const: "0\n"},
	{Name: "mtu", Mode: 0o644, Show: showNetMTU, Store: storeNetMTU},
	{Name: "name_assign_type", Const: "2\n"},
	{Name: "netdev_group", Mode: 0o644, Const: "0\n"},
	{Name: "operstate", Show: showNetState},
	{Name: "proto_down", Mode: 0o644, Const: "0\n"},
	{Name: "queues", Dir: &dir{Entries: []entry{{Name: "rx-0", Dir: &dir{}}, {Name: "tx-0", Dir: &dir{}}}}},
	{Name: "speed", Show: showNetSpeed},
	{Name: "statistics", Dir: &dir{Entries: []entry{
		{Name: "collisions", Const: "0\n"},
		{Name: "multicast", Const: "0\n"},
		{Name: "rx_bytes", Show: showNetRxBytes},
		{Name: "rx_compressed", Const: "0\n"},
		{Name: "rx_crc_errors", Const: "0\n"},
		{Name: "rx_dropped", Show: showNetRxDropped},
		{Name: "rx_errors", Const: "0\n"},
		{Name: "rx_fifo_errors", Const: "0\n"},
		{Name: "rx_frame_errors", Const: "0\n"},
		{Name: "rx_length_errors", Const: "0\n"},
		{Name: "rx_missed_errors", Const: "0\n"},
		{Name: "rx_nohandler", Const: "0\n"},
		{Name: "rx_over_errors", Const: "0\n"},
		{Name: "rx_packets", Show: showNetRxPackets},
		{Name: "tx_aborted_errors", Const: "0\n"},
		{Name: "tx_bytes", Show: showNetTxBytes},
		{Name: "tx_carrier_errors", Const: "0\n"},
		{Name: "tx_compressed", Const: "0\n"},
		{Name: "tx_dropped", Show: showNetTxDropped},
		{Name: "tx_errors", Const: "0\n"},
		{Name: "tx_fifo_errors", Const: "0\n"},
		{Name: "tx_heartbeat_errors", Const: "0\n"},
		{Name: "tx_packets", Show: showNetTxPackets},
		{Name: "tx_window_errors", Const: "0\n"},
	}}},
	{Name: "subsystem", Kind: pseudo.Link, Const: "../../../../class/net"},
	{Name: "testing", Const: "0\n"},
	{Name: "threaded", Mode: 0o644, Const: "0\n"},
	{Name: "tx_queue_len", Mode: 0o644, Show: showNetQueue, Store: storeNetQueue},
	{Name: "type", Show: showNetType},
	{Name: "uevent", Mode: 0o644, Show: showNetEvent, Store: storeIgnored},
}}}

func netNumber(t *text, s subject, n func(i *inet.Snapshot) uint64) error {
	i, err := netOf(s)
	if err == nil {
		t.U(n(&i))
		t.C('\n')
	}
	return err
}

func netMAC(t *text, mac [6]byte) {
	for k, b := range mac {
		if k > 0 {
			t.C(':')
		}
		t.X(uint64(b), 2)
	}
	t.C('\n')
}

func showNetAddress(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	netMAC(t, i.Hardware)
	return err
}

func showNetBroadcast(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	if i.Link == nil {
		netMAC(t, [6]byte{})
	} else {
		netMAC(t, [6]byte{255, 255, 255, 255, 255, 255})
	}
	return err
}

// showNetCarrier and the next know nothing of an interface that is down.
func showNetCarrier(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	switch {
	case err != nil || i.Flags&unix.IFF_UP == 0:
		return unix.EINVAL
	case i.Flags&unix.IFF_RUNNING != 0:
		return figure(t, 1)
	}
	return figure(t, 0)
}

func showNetDormant(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	if err != nil || i.Flags&unix.IFF_UP == 0 {
		return unix.EINVAL
	}
	return figure(t, 0)
}

// showNetDuplex and showNetSpeed: neither lo nor virtio-net knows.
func showNetDuplex(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	if err != nil || i.Link == nil || i.Flags&unix.IFF_UP == 0 {
		return unix.EINVAL
	}
	t.S("unknown\n")
	return nil
}

func showNetSpeed(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	if err != nil || i.Link == nil || i.Flags&unix.IFF_UP == 0 {
		return unix.EINVAL
	}
	t.S("-1\n")
	return nil
}

func showNetFlags(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	t.S("0x")
	t.X(uint64(i.Flags&0xffff&^unix.IFF_RUNNING), 1)
	t.C('\n')
	return err
}

// netStore reads a number and passes it to set, which the superuser may.
func netStore(c vfs.Caller, s subject, value string, set func(i *inet.Interface, n int) error) error {
	if !c.Cred().Has(unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	n, err := pseudo.ParseInt(value)
	if err != nil {
		return err
	}
	i := inet.ByIndex(s.N)
	if i == nil {
		return unix.EINVAL
	}
	return set(i, int(n))
}

func storeNetFlags(c vfs.Caller, s subject, value string) error {
	return netStore(c, s, value, func(i *inet.Interface, n int) error { return inet.SetFlags(i, uint32(n), 0xffff) })
}

func storeNetMTU(c vfs.Caller, s subject, value string) error {
	return netStore(c, s, value, inet.SetMTU)
}

func storeNetQueue(c vfs.Caller, s subject, value string) error {
	return netStore(c, s, value, inet.SetQueueLen)
}

func showNetIndex(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return uint64(i.Index) })
}

func showNetMTU(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return uint64(i.MTU) })
}

func showNetQueue(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return uint64(i.QueueLen) })
}

func showNetType(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 {
		if i.Link == nil {
			return unix.ARPHRD_LOOPBACK
		}
		return unix.ARPHRD_ETHER
	})
}

func showNetRxBytes(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return i.RxBytes.Load() })
}

func showNetRxDropped(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return i.RxDropped.Load() })
}

func showNetRxPackets(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return i.RxPackets.Load() })
}

func showNetTxBytes(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return i.TxBytes.Load() })
}

func showNetTxDropped(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return i.TxDropped.Load() })
}

func showNetTxPackets(t *text, c vfs.Caller, s subject) error {
	return netNumber(t, s, func(i *inet.Snapshot) uint64 { return i.TxPackets.Load() })
}

func showNetState(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	switch {
	case err != nil:
		return err
	case i.Flags&unix.IFF_UP == 0:
		t.S("down\n")
	case i.Link == nil:
		t.S("unknown\n")
	case i.Flags&unix.IFF_RUNNING != 0:
		t.S("up\n")
	default:
		t.S("down\n")
	}
	return nil
}

func showNetEvent(t *text, c vfs.Caller, s subject) error {
	i, err := netOf(s)
	t.S("INTERFACE=")
	t.S(i.Name)
	t.S("\nIFINDEX=")
	t.U(uint64(s.N))
	t.C('\n')
	return err
}
