// Package dhcp asks a DHCP server for an interface's IPv4 configuration and
// keeps it (RFC 2131, 2132). It sends whole frames past the stack and sees
// what arrives by a tap, since there is no address to have a socket with.
//
// Run is one goroutine, which belongs to its caller's machine and never ends
// unless it is told to. The tap's function only copies frames into a channel.
package dhcp

import (
	"encoding/binary"
	"time"

	"husk/kernel/inet"
	"husk/kernel/random"
)

// A Lease is what a server grants.
type Lease struct {
	IP      inet.IP
	Bits    int // of the prefix
	Server  inet.IP
	Routers []inet.IP
	Routes  []Route
	DNS     []inet.IP
	Search  []string
	Domain  string
	MTU     int // 0: the server says nothing

	// Seconds it lasts, until the server is asked to renew it, and until any
	// server is.
	Seconds, Renew, Rebind uint32

	search, routes []byte // as they came, in pieces
}

// A Route is one of RFC 3442.
type Route struct {
	Dst    inet.IP
	Bits   int
	Router inet.IP // any: on the link
}

// forever is a lease without an end.
const forever = ^uint32(0)

// A Client is who asks.
type Client struct {
	MAC      [6]byte
	Hostname string
	// Send sends a frame; one that is lost is sent again.
	Send func(frame []byte)
	// Frames are those that arrived and may be for the client.
	Frames <-chan []byte
	// Change is told of a new lease, of one that was renewed, and with nil of
	// one that is over.
	Change func(*Lease)
	// Quit ends Run.
	Quit <-chan struct{}
	// After is time.After but for tests.
	After func(time.Duration) <-chan time.Time

	xid    uint32
	server [6]byte // who is next on the way to it
}

// broadcast is everybody on the link.
var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// How long an answer is waited for, at first and at most. A server that
// pings an address before it offers it takes three seconds.
const (
	firstWait = time.Second
	mostWait  = 32 * time.Second
	attempts  = 4 // of one request before all is begun anew
)

// Run asks for a lease and keeps it until Quit.
func (c *Client) Run() {
	if c.After == nil {
		c.After = time.After
	}
	for {
		l, ok := c.acquire()
		if !ok {
			return
		}
		c.Change(l)
		if !c.hold(l) {
			return
		}
		c.Change(nil)
	}
}

// newTransaction begins an exchange with a number of its own.
func (c *Client) newTransaction() {
	var p [4]byte
	random.Read(p[:])
	c.xid = binary.NativeEndian.Uint32(p[:])
}

// acquire finds a server and gets a lease; false is for Quit.
func (c *Client) acquire() (*Lease, bool) {
	// One exchange for all that is sent again: the answer to the first may
	// come after the second was sent.
	c.newTransaction()
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		m := message{kind: discover, xid: c.xid, mac: c.MAC, hostname: c.Hostname, toMAC: broadcast, to: inet.IP4(255, 255, 255, 255)}
		c.Send(m.frame())
		offered, ok := c.await(wait, offer)
		if !ok {
			return nil, false
		}
		if offered == nil || offered.Server == (inet.IP{}) {
			continue
		}
		m.kind, m.asked, m.server = request, offered.IP, offered.Server
		for again := firstWait; again < firstWait<<attempts; again *= 2 {
			c.Send(m.frame())
			granted, ok := c.await(again, ack, nak)
			if !ok {
				return nil, false
			}
			if granted == nil {
				continue
			}
			if granted.kind == nak || granted.IP != offered.IP {
				// Not at once: a server that refuses may do so for long.
				if !c.rest(uint32(wait / time.Second)) {
					return nil, false
				}
				break
			}
			if granted.Server == (inet.IP{}) {
				granted.Server = offered.Server
			}
			c.server = granted.from
			return &granted.Lease, true
		}
	}
}

// await waits for an answer of a kind; nil is for none in time, false for
// Quit.
func (c *Client) await(wait time.Duration, kinds ...byte) (*reply, bool) {
	timeout := c.After(wait)
	for {
		select {
		case <-c.Quit:
			return nil, false
		case <-timeout:
			return nil, true
		case frame := <-c.Frames:
			r, ok := parse(frame, c.MAC)
			if !ok || r.xid != c.xid {
				continue
			}
			for _, k := range kinds {
				if r.kind == k && (k == nak || usable(&r.IP)) {
					return &r, true
				}
			}
		}
	}
}

// usable reports whether an address can be ours.
func usable(ip *inet.IP) bool {
	b := ip.Bytes()
	return !ip.Any() && !ip.Loopback() && !ip.Multicast() && b[0] < 224
}

// hold keeps a lease: it asks its server to renew it, later any server, until
// it is over. true is for a lease that is over, false for Quit.
func (c *Client) hold(l *Lease) bool {
	for l.Seconds != forever {
		// Times since the lease was granted, in seconds (RFC 2131, 4.4.5).
		at := l.Renew
		if !c.rest(at) {
			return false
		}
		renewed := (*Lease)(nil)
		for at < l.Seconds && renewed == nil {
			limit := l.Seconds
			m := message{kind: request, mac: c.MAC, client: l.IP, hostname: c.Hostname, toMAC: broadcast, to: inet.IP4(255, 255, 255, 255)}
			if at < l.Rebind {
				limit = l.Rebind
				m.toMAC, m.to = c.server, l.Server
			}
			c.newTransaction()
			m.xid = c.xid
			c.Send(m.frame())
			// Half of what is left, but not every second.
			wait := min(max((limit-at)/2, 60), limit-at)
			r, ok := c.await(time.Duration(wait)*time.Second, ack, nak)
			if !ok {
				return false
			}
			if r != nil {
				if r.kind == nak || r.IP != l.IP {
					return true
				}
				if r.Server == (inet.IP{}) {
					r.Server = l.Server
				}
				c.server = r.from
				renewed = &r.Lease
			}
			at += wait
		}
		if renewed == nil {
			return true
		}
		l = renewed
		c.Change(l)
	}
	<-c.Quit
	return false
}

// rest lets seconds pass; frames that come meanwhile are nobody's.
func (c *Client) rest(seconds uint32) bool {
	timeout := c.After(time.Duration(seconds) * time.Second)
	for {
		select {
		case <-c.Quit:
			return false
		case <-timeout:
			return true
		case <-c.Frames:
		}
	}
}

// Attach makes a client of an interface: its frames come by a tap, which the
// result removes.
func Attach(i *inet.Interface, c *Client) (detach func()) {
	frames := make(chan []byte, 8)
	c.Frames = frames
	c.MAC = i.Snapshot().Hardware
	c.Send = func(frame []byte) { _ = i.SendFrame(frame) }
	tap := &inet.Tap{See: func(_ *inet.Interface, f *inet.Frame, sent bool) {
		if sent || !forClient(f) {
			return
		}
		p := make([]byte, 0, f.Len())
		for _, piece := range f.Pieces {
			p = append(p, piece...)
		}
		select {
		case frames <- p:
		default: // the server will be asked again
		}
	}}
	i.AddTap(tap)
	return func() { i.RemoveTap(tap) }
}

// forClient reports whether a frame is UDP to the client's port.
func forClient(f *inet.Frame) bool {
	p := f.Pieces[0]
	if len(p) < headers || binary.BigEndian.Uint16(p[12:]) != etherTypeIP4 || p[ethernetSize+9] != protocolUDP {
		return false
	}
	udp := ethernetSize + int(p[ethernetSize]&15)*4
	return len(p) >= udp+udpSize && binary.BigEndian.Uint16(p[udp+2:]) == clientPort
}
