package netstack

import (
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"husk/kernel/inet"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

// endpoint is the part of a socket that gVisor serves.
type endpoint struct {
	stack    *netstack
	ep       tcpip.Endpoint
	v6       bool
	raw      bool
	protocol int
	queue    atomic.Pointer[wait.Queue] // whom events are for
	entry    waiter.Entry
}

// NotifyEvent passes an event of gVisor's on; their numbers are Linux's.
func (e *endpoint) NotifyEvent(mask waiter.EventMask) {
	if q := e.queue.Load(); q != nil {
		q.Notify(wait.Events(mask) & everything)
	}
}

const everything = wait.Readable | wait.Writable | wait.Err | wait.Hup | wait.RdHup | wait.Pri

func (e *endpoint) watch(w *waiter.Queue) {
	e.entry.Init(e, waiter.AllEvents)
	w.EventRegister(&e.entry)
}

// Adopt makes q the queue of the endpoint's events.
func (e *endpoint) Adopt(q *wait.Queue) { e.queue.Store(q) }

// full is an address as gVisor has it.
func (e *endpoint) full(a *inet.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{Port: a.Port, NIC: tcpip.NICID(a.Scope)}
	switch {
	case a.IP.Is4() && e.v6 && !a.IP.Any():
		f.Addr = tcpip.AddrFrom16(a.IP) // mapped
	case a.IP.Is4() && e.v6:
		f.Addr = tcpip.AddrFrom16(a.IP)
	case !a.IP.Any():
		f.Addr = address(&a.IP)
	}
	return f
}

func addrPort(f tcpip.FullAddress, v6 bool) inet.AddrPort {
	a := inet.AddrPort{Port: f.Port}
	switch f.Addr.Len() {
	case 0:
		if !v6 {
			a.IP = inet.IP4(0, 0, 0, 0)
		}
	default:
		a.IP = inet.IPFrom(f.Addr.AsSlice())
	}
	if a.IP.LinkLocal() {
		a.Scope = uint32(f.NIC)
	}
	return a
}

// Bind binds to a port that was reserved, and to an interface.
func (e *endpoint) Bind(a inet.AddrPort, device int) error {
	if device != 0 {
		if err := e.ep.SocketOptions().SetBindToDevice(int32(device)); err != nil {
			return errno(err)
		}
	}
	return errno(e.ep.Bind(e.full(&a)))
}

// Connect starts a connection.
func (e *endpoint) Connect(a inet.AddrPort) error { return errno(e.ep.Connect(e.full(&a))) }

// Disconnect undoes Connect of a datagram endpoint.
func (e *endpoint) Disconnect() error { return errno(e.ep.Disconnect()) }

// Listen accepts connections.
func (e *endpoint) Listen(backlog int) error { return errno(e.ep.Listen(backlog)) }

// Accept returns the next connection.
func (e *endpoint) Accept() (inet.Endpoint, error) {
	ep, w, err := e.ep.Accept(nil)
	if err != nil {
		return nil, errno(err)
	}
	n := &endpoint{stack: e.stack, ep: ep, v6: e.v6, protocol: e.protocol}
	n.watch(w)
	return n, nil
}

// Local returns the own address.
func (e *endpoint) Local() (inet.AddrPort, error) {
	f, err := e.ep.GetLocalAddress()
	return addrPort(f, e.v6), errno(err)
}

// Remote returns that of the other end.
func (e *endpoint) Remote() (inet.AddrPort, error) {
	f, err := e.ep.GetRemoteAddress()
	return addrPort(f, e.v6), errno(err)
}

// Shutdown closes directions.
func (e *endpoint) Shutdown(how int) error {
	flags := [...]tcpip.ShutdownFlags{tcpip.ShutdownRead, tcpip.ShutdownWrite, tcpip.ShutdownRead | tcpip.ShutdownWrite}
	return errno(e.ep.Shutdown(flags[how]))
}

// Close gives the endpoint up.
func (e *endpoint) Close(reset bool) {
	e.queue.Store(nil)
	if reset && e.protocol == unix.IPPROTO_TCP {
		e.ep.Abort()
		return
	}
	e.ep.Close()
}

// payload lets gVisor read from user memory.
type payload struct{ b *mm.Buffer }

func (p payload) Len() int { return p.b.Len() }

func (p payload) Read(to []byte) (int, error) {
	if p.b.Len() == 0 {
		return 0, io.EOF
	}
	return p.b.CopyIn(to)
}

// Send sends data.
func (e *endpoint) Send(b *mm.Buffer, p *inet.Packet) (int, error) {
	o := tcpip.WriteOptions{More: p.Flags&unix.MSG_MORE != 0}
	if p.Has {
		to := e.full(&p.To)
		if p.Device != 0 {
			to.NIC = tcpip.NICID(p.Device)
		}
		o.To = &to
		if p.TTL >= 0 {
			if p.To.IP.Is4() {
				o.ControlMessages.HasTTL, o.ControlMessages.TTL = true, uint8(p.TTL)
			} else {
				o.ControlMessages.HasHopLimit, o.ControlMessages.HopLimit = true, uint8(p.TTL)
			}
		}
	}
	if e.protocol != unix.IPPROTO_TCP {
		o.Atomic = true
	}
	n, err := e.ep.Write(payload{b}, o)
	if err != nil && n == 0 {
		return 0, errno(err)
	}
	return int(n), nil
}

// writer lets gVisor write to user memory.
type writer struct {
	b    *mm.Buffer
	skip bool // data is dropped
	err  error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.skip {
		n := min(len(p), w.b.Len())
		w.b.Limit(w.b.Len() - n)
		if n < len(p) {
			return n, io.ErrShortWrite
		}
		return n, nil
	}
	n, err := w.b.CopyOut(p)
	if err != nil {
		w.err = err
		return n, err
	}
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Recv receives data.
func (e *endpoint) Recv(b *mm.Buffer, p *inet.Packet) (int, error) {
	stream := e.protocol == unix.IPPROTO_TCP && !e.raw
	if stream && b.Len() == 0 {
		return 0, nil
	}
	w := &writer{b: b, skip: stream && p.Flags&unix.MSG_TRUNC != 0}
	r, err := e.ep.Read(w, tcpip.ReadOptions{Peek: p.Flags&unix.MSG_PEEK != 0, NeedRemoteAddr: !stream})
	if err != nil {
		if _, ok := err.(*tcpip.ErrClosedForReceive); ok {
			return 0, nil
		}
		if w.err != nil {
			return 0, w.err
		}
		return 0, errno(err)
	}
	if stream {
		e.ep.ModerateRecvBuf(r.Count)
		return r.Count, nil
	}
	p.Full = r.Total
	p.To, p.Has = addrPort(r.RemoteAddr, e.v6), true
	c := &r.ControlMessages
	switch {
	case c.HasIPv6PacketInfo:
		p.Dst, p.Device = inet.IPFrom(c.IPv6PacketInfo.Addr.AsSlice()), int(c.IPv6PacketInfo.NIC)
	case c.HasIPPacketInfo:
		p.Dst, p.Device = inet.IPFrom(c.PacketInfo.DestinationAddr.AsSlice()), int(c.PacketInfo.NIC)
	}
	if c.HasTTL {
		p.TTL = int(c.TTL)
	} else if c.HasHopLimit {
		p.TTL = int(c.HopLimit)
	}
	if c.HasTOS {
		p.TOS = int(c.TOS)
	} else if c.HasTClass {
		p.TOS = int(c.TClass)
	}
	if c.HasTimestamp {
		p.Time = c.Timestamp.UnixNano()
	}
	return r.Count, nil
}

// Ready returns the events that hold now. A connection that is over reports
// everything to gVisor, and what Linux would to us.
func (e *endpoint) Ready() wait.Events {
	ev := wait.Events(e.ep.Readiness(waiter.AllEvents)) & everything
	if e.protocol != unix.IPPROTO_TCP || e.raw {
		return ev & (wait.Readable | wait.Writable | wait.Err)
	}
	switch tcp.EndpointState(e.ep.State()) {
	case tcp.StateError:
		return ev | wait.Err | wait.Hup
	case tcp.StateClose, tcp.StateTimeWait:
		return wait.Readable | wait.Writable | wait.Hup | wait.RdHup
	case tcp.StateCloseWait:
		ev |= wait.RdHup
	}
	return ev &^ (wait.Err | wait.Pri)
}

// Error takes the pending error.
func (e *endpoint) Error() error { return errno(e.ep.LastError()) }

// Queued are the bytes to read and those not acknowledged.
func (e *endpoint) Queued() (in, out int) {
	in, _ = e.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	out, _ = e.ep.GetSockOptInt(tcpip.SendQueueSizeOption)
	return in, out
}

// Set passes an option on.
func (e *endpoint) Set(level, name, v int) error {
	o := e.ep.SocketOptions()
	seconds := time.Duration(v) * time.Second
	var err tcpip.Error
	switch level {
	case unix.SOL_SOCKET:
		switch name {
		case unix.SO_KEEPALIVE:
			o.SetKeepAlive(v != 0)
		case unix.SO_SNDBUF:
			o.SetSendBufferSize(int64(v), true)
		case unix.SO_RCVBUF:
			o.SetReceiveBufferSize(int64(v), true)
		}
	case unix.SOL_TCP:
		switch name {
		case unix.TCP_NODELAY:
			o.SetDelayOption(v == 0)
		case unix.TCP_CORK:
			o.SetCorkOption(v != 0)
		case unix.TCP_QUICKACK:
			o.SetQuickAck(v != 0)
		case unix.TCP_KEEPIDLE:
			t := tcpip.KeepaliveIdleOption(seconds)
			err = e.ep.SetSockOpt(&t)
		case unix.TCP_KEEPINTVL:
			t := tcpip.KeepaliveIntervalOption(seconds)
			err = e.ep.SetSockOpt(&t)
		case unix.TCP_KEEPCNT:
			err = e.ep.SetSockOptInt(tcpip.KeepaliveCountOption, v)
		case unix.TCP_USER_TIMEOUT:
			t := tcpip.TCPUserTimeoutOption(time.Duration(v) * time.Millisecond)
			err = e.ep.SetSockOpt(&t)
		case unix.TCP_LINGER2:
			t := tcpip.TCPLingerTimeoutOption(seconds)
			err = e.ep.SetSockOpt(&t)
		case unix.TCP_DEFER_ACCEPT:
			t := tcpip.TCPDeferAcceptOption(seconds)
			err = e.ep.SetSockOpt(&t)
		case unix.TCP_SYNCNT:
			err = e.ep.SetSockOptInt(tcpip.TCPSynCountOption, v)
		case unix.TCP_MAXSEG:
			err = e.ep.SetSockOptInt(tcpip.MaxSegOption, v)
		case unix.TCP_WINDOW_CLAMP:
			err = e.ep.SetSockOptInt(tcpip.TCPWindowClampOption, v)
		}
	case unix.SOL_IP:
		switch name {
		case unix.IP_TOS:
			err = e.ep.SetSockOptInt(tcpip.IPv4TOSOption, v)
		case unix.IP_TTL:
			err = e.ep.SetSockOptInt(tcpip.IPv4TTLOption, v)
		case unix.IP_MULTICAST_TTL:
			err = e.ep.SetSockOptInt(tcpip.MulticastTTLOption, v)
		case unix.IP_MULTICAST_IF:
			err = e.ep.SetSockOpt(&tcpip.MulticastInterfaceOption{NIC: tcpip.NICID(v)})
		case unix.IP_HDRINCL:
			o.SetHeaderIncluded(v != 0)
		}
	case unix.SOL_IPV6:
		switch name {
		case unix.IPV6_V6ONLY:
			o.SetV6Only(v != 0)
		case unix.IPV6_UNICAST_HOPS:
			err = e.ep.SetSockOptInt(tcpip.IPv6HopLimitOption, v)
		case unix.IPV6_MULTICAST_HOPS:
			err = e.ep.SetSockOptInt(tcpip.MulticastTTLOption, v)
		case unix.IPV6_TCLASS:
			err = e.ep.SetSockOptInt(tcpip.IPv6TrafficClassOption, v)
		case unix.IPV6_MULTICAST_IF:
			err = e.ep.SetSockOpt(&tcpip.MulticastInterfaceOption{NIC: tcpip.NICID(v)})
		}
	}
	return errno(err)
}

// Info fills in what gVisor knows of a connection.
func (e *endpoint) Info(t *unix.TCPInfo) {
	var i tcpip.TCPInfoOption
	if e.ep.GetSockOpt(&i) != nil {
		return
	}
	t.State = states[min(int(i.State), len(states)-1)]
	t.Rtt, t.Rttvar = uint32(i.RTT/time.Microsecond), uint32(i.RTTVar/time.Microsecond)
	t.Rto = uint32(i.RTO / time.Microsecond)
	t.Snd_cwnd, t.Snd_ssthresh = i.SndCwnd, i.SndSsthresh
	if n, err := e.ep.GetSockOptInt(tcpip.MaxSegOption); err == nil {
		t.Snd_mss, t.Advmss, t.Rcv_mss = uint32(n), uint32(n), uint32(n)
	}
	t.Pmtu = 1500
}

// states are Linux's numbers of gVisor's.
var states = [...]uint8{
	tcp.StateInitial: 7, tcp.StateBound: 7, tcp.StateListen: 10, tcp.StateConnecting: 2, tcp.StateError: 7,
	tcp.StateEstablished: 1, tcp.StateSynSent: 2, tcp.StateSynRecv: 3, tcp.StateFinWait1: 4, tcp.StateFinWait2: 5,
	tcp.StateTimeWait: 6, tcp.StateClose: 7, tcp.StateCloseWait: 8, tcp.StateLastAck: 9, tcp.StateClosing: 11,
}
