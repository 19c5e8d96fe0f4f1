package inet

import (
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// A machine whose addresses are asked for (DHCP, IPv6's routers) runs its
// program at once. Only who needs an address before there is one waits, and
// only for so long: that is what this file is about.

// How long who needs an address waits for it, from when it was asked for.
const (
	wait4 = 10e9
	wait6 = 3e9
)

// asking counts the interfaces that have asked for an address of a family and
// have none yet, and says until when that is worth waiting for.
type asking struct {
	count atomic.Int32
	until atomic.Int64
}

var (
	asking4, asking6 asking
	settled          wait.Queue
)

func askingFor(v4 bool) *asking {
	if v4 {
		return &asking4
	}
	return &asking6
}

// Ask says that an interface asks for an address of a family. Its result is
// called when it has one, or never; further calls do nothing.
func Ask(v4 bool) (found func()) {
	a, patience := askingFor(v4), int64(wait6)
	if v4 {
		patience = wait4
	}
	a.until.Store(clock.Add(clock.Now(), patience))
	a.count.Add(1)
	var done atomic.Bool
	return func() {
		if !done.Swap(true) && a.count.Add(-1) == 0 {
			settled.Notify(wait.Readable)
		}
	}
}

// Settle waits until addresses of a family that are being asked for are
// there, or that took too long. Its errors are those of a sleep that a signal
// ended.
func Settle(c wait.Sleeper, v4 bool) error {
	a := askingFor(v4)
	if a.count.Load() == 0 {
		return nil
	}
	err := settled.Until(c, wait.Readable, a.until.Load(), func() bool { return a.count.Load() == 0 })
	if err == unix.ETIMEDOUT {
		return nil
	}
	return err
}

// settleFor is Settle for who connects, sends or binds to an address; this
// machine's own need no waiting.
func settleFor(c vfs.Caller, raw []byte) error {
	if asking4.count.Load()|asking6.count.Load() == 0 || len(raw) < sockaddr4 {
		return nil
	}
	var a AddrPort
	switch family := binary.NativeEndian.Uint16(raw); {
	case family == unix.AF_INET:
		a = parse4(raw)
	case family == unix.AF_INET6 && len(raw) >= sockaddr6Old:
		a = parse6(raw)
	default:
		return nil
	}
	if a.IP.Any() || a.IP.Loopback() {
		return nil
	}
	return Settle(c, a.IP.Is4())
}

// A Discovery is what a router of IPv6 advertises, or has ceased to.
type Discovery struct {
	Gone    bool
	Address *Address // made of an advertised prefix; the Stack has it already
	Route   *Route   // to the prefix, or the default route
	DNS     []IP
	Search  []string
}

// Autoconfigure has the Stack listen to the routers of IPv6 on an interface
// that is down still. heard is called from one goroutine.
func Autoconfigure(i *Interface, heard func(Discovery)) error {
	s := theStack()
	if s == nil {
		return unix.ENODEV
	}
	return s.Autoconfigure(i, heard)
}

// NoteAddress enters an address that the Stack has by itself.
func NoteAddress(i *Interface, a Address) {
	config.Lock()
	i.drop(a.IP)
	i.addresses = append(i.addresses[:len(i.addresses):len(i.addresses)], a)
	config.Unlock()
	tell(Change{Interface: i, Address: &a})
}

// ForgetAddress undoes NoteAddress.
func ForgetAddress(i *Interface, ip IP) {
	config.Lock()
	a, ok := i.drop(ip)
	config.Unlock()
	if ok {
		tell(Change{Removed: true, Interface: i, Address: &a})
	}
}

// LinkLocalOf is the link-local address of a card (RFC 4291, appendix A).
func LinkLocalOf(mac [6]byte) IP {
	return IP{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
}
