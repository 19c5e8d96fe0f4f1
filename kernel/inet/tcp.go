package inet

import (
	"math"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// The states of TCP, as struct tcp_info and /proc/net/tcp number them. What
// is between two sockets of one machine is acknowledged at once, so that
// FIN_WAIT1, LAST_ACK and CLOSING do not last and do not occur.
const (
	established = 1
	synSent     = 2
	synRecv     = 3
	finWait2    = 5
	timeWait    = 6
	closed      = 7
	closeWait   = 8
	listening   = 10
)

// The phases of a socket as connect(2) sees them: enum socket_state of Linux.
const (
	unconnected = iota
	connecting
	connected
	disconnecting
)

// tcp is a TCP socket.
type tcp struct {
	sock
	// Written under net, read under it or as a hint; gone and done also
	// under mu.
	state atomic.Int32
	peer  atomic.Pointer[tcp] // the other end inside the machine; stays when it is gone
	gone  atomic.Bool         // the program has closed it
	done  atomic.Bool         // the other end has sent its FIN

	// Guarded by net.
	phase    int
	listener *tcp // that has it among its pending or its waiting
	backlog  int
	pending  fifo   // connections to accept
	waiting  []*tcp // that found the backlog full
	syns     *clock.Timer

	deferred atomic.Bool // TCP_DEFER_ACCEPT: not yet among pending

	// out is the part outside of the machine: of a connection to or from
	// there, of a listener that also listens there. It is set before the
	// state that needs it and then stays.
	out     Endpoint
	outside atomic.Bool // the connection is out's

	mu      sync.Mutex // guards rx
	rx      stream
	nospace atomic.Bool // somebody waits until there is room at the peer's

	opened int64 // when it was connected
	sent   atomic.Uint64
}

// fifo is a queue of connections.
type fifo struct {
	list []*tcp
	off  int
}

func (f *fifo) len() int { return len(f.list) - f.off }

func (f *fifo) push(t *tcp) { f.list = append(f.list, t) }

func (f *fifo) pop() *tcp {
	t := f.list[f.off]
	f.list[f.off] = nil
	if f.off++; f.off == len(f.list) {
		f.list, f.off = f.list[:0], 0
	} else if f.off > 64 && f.off*2 > len(f.list) {
		f.list = append(f.list[:0], f.list[f.off:]...)
		f.off = 0
	}
	return t
}

// The sizes of buffers of a fresh socket and of one that is connected, as
// getsockopt(2) shows them.
const (
	freshSend     = 16384
	freshRecv     = 131072
	connectedSend = 2626560
	// window is how many bytes may wait at the other end when the program has
	// not set the size of a buffer.
	window = 1 << 20
)

func (s *tcp) setup(c vfs.Caller, family int) {
	s.init(c, family, unix.SOCK_STREAM, unix.IPPROTO_TCP)
	s.SendBuffer.Store(int32(tunable(&sendSizes[1])))
	s.RecvBuffer.Store(int32(tunable(&receiveSizes[1])))
	s.state.Store(closed)
}

// Bind serves bind(2).
func (s *tcp) Bind(c vfs.Caller, raw []byte) error {
	if err := settleFor(c, raw); err != nil {
		return err
	}
	a, err := s.parseBind(c, raw)
	if err != nil {
		return err
	}
	if err := mayUse(c, a.Port); err != nil {
		return err
	}
	net.Lock()
	defer net.Unlock()
	if s.state.Load() != closed || s.port != nil {
		return unix.EINVAL
	}
	if err := net.tcp.bind(&s.sock, s, nil, a, a.Port != 0); err != nil {
		return err
	}
	s.port.explicit = true
	s.bound = !a.IP.Any()
	s.lockPort = a.Port != 0
	s.remote = AddrPort{IP: s.remote.IP}
	return nil
}

// Listen serves listen(2).
func (s *tcp) Listen(_ vfs.Caller, backlog int) error {
	if most := tunable(&socket.BacklogMax); backlog < 0 || backlog > most {
		backlog = most
	}
	net.Lock()
	defer net.Unlock()
	if s.phase != unconnected {
		return unix.EINVAL
	}
	switch s.state.Load() {
	case listening:
		s.backlog = backlog
		s.admit()
		return nil
	case closed:
	default:
		return unix.EINVAL
	}
	if s.port == nil {
		if err := net.tcp.bind(&s.sock, s, nil, AddrPort{IP: s.local.IP}, false); err != nil {
			return err
		}
	}
	x := s.port
	x.refresh()
	for o := x.b.first; o != nil; o = o.next {
		if o != x && x.conflict(o, true, true) {
			return unix.EADDRINUSE
		}
	}
	if st := theStack(); st != nil && !s.local.IP.Loopback() && s.device.Load() != int32(lo.Index) {
		e, err := st.Open(unix.IPPROTO_TCP, s.v6, false, &s.queue)
		if err == nil {
			s.pass(e)
			if err = e.Bind(s.local, int(s.device.Load())); err == nil {
				err = e.Listen(backlog)
			}
			if err != nil {
				e.Close(false)
			}
		}
		if err != nil {
			return err
		}
		s.out = e
	}
	s.backlog = backlog
	s.shutdown.Store(0)
	s.state.Store(listening)
	s.Listening.Store(true)
	x.b.listeners = append(x.b.listeners, s)
	return nil
}

// stopListening undoes Listen: connections that wait are reset. net is held.
func (s *tcp) stopListening() {
	b := s.port.b
	for i, l := range b.listeners {
		if l == s {
			b.listeners = append(b.listeners[:i:i], b.listeners[i+1:]...)
			break
		}
	}
	s.Listening.Store(false)
	s.state.Store(closed)
	if s.out != nil {
		s.out.Close(false)
		s.out = nil
	}
	for s.pending.len() > 0 {
		n := s.pending.pop()
		n.listener = nil
		n.end(true)
	}
	// Connections that have not been offered yet are found by their ports.
	for o := b.first; o != nil; {
		next := o.next
		if o.tcp != nil && o.tcp.listener == s && o.tcp.deferred.Load() {
			o.tcp.listener = nil
			o.tcp.end(true)
		}
		o = next
	}
	waiting := s.waiting
	s.waiting = nil
	for _, w := range waiting {
		w.listener = nil
		w.reset()
	}
}

// listenerFor finds who listens for connections to dst. net is held.
func listenerFor(from, dst *AddrPort) *tcp {
	b := net.tcp.m[dst.Port]
	if b == nil {
		return nil
	}
	var best *tcp
	most, same := -1, uint32(0)
	for _, l := range b.listeners {
		n := l.port.score(&dst.IP, int32(lo.Index))
		switch {
		case n < 0:
		case n > most:
			best, most, same = l, n, 1
		case n == most && l.port.reusePort:
			same++
		}
	}
	if same < 2 || !best.port.reusePort {
		return best
	}
	pick := mix(from, dst) % same
	for _, l := range b.listeners {
		if l.port.score(&dst.IP, int32(lo.Index)) == most && l.port.reusePort {
			if pick == 0 {
				return l
			}
			pick--
		}
	}
	return best
}

// Accept serves accept(2).
func (s *tcp) Accept(vfs.Caller, bool) (socket.Socket, error) {
	net.Lock()
	defer net.Unlock()
	if s.state.Load() != listening {
		return nil, unix.EINVAL
	}
	if s.pending.len() > 0 {
		n := s.pending.pop()
		n.listener = nil
		if len(s.waiting) > 0 {
			s.admit()
		}
		return n, nil
	}
	if s.out == nil {
		return nil, unix.EAGAIN
	}
	e, err := s.out.Accept()
	if err != nil {
		return nil, err
	}
	n := &tcp{out: e}
	n.inherit(s)
	n.local, _ = e.Local()
	n.remote, _ = e.Remote()
	n.port = &binding{s: &n.sock, tcp: n, local: n.local, remote: n.remote}
	n.port.refresh()
	n.port.reuse, n.port.reusePort, n.port.explicit = s.port.reuse, s.port.reusePort, true
	net.tcp.add(n.port)
	n.live()
	n.pass(e)
	n.outside.Store(true)
	n.state.Store(established)
	e.Adopt(&n.queue)
	return n, nil
}

// Name returns the socket's own address.
func (s *tcp) Name() ([]byte, error) { return s.name(), nil }

// PeerName returns that of the other end.
func (s *tcp) PeerName() ([]byte, error) {
	net.Lock()
	defer net.Unlock()
	s.progress()
	switch s.state.Load() {
	case closed, synSent, listening:
		return nil, unix.ENOTCONN
	}
	if s.gone.Load() || s.remote.Port == 0 {
		return nil, unix.ENOTCONN
	}
	return s.remote.raw(s.Domain), nil
}

// Poll is tcp_poll of Linux.
func (s *tcp) Poll(*vfs.File) wait.Events {
	state := s.state.Load()
	var ev wait.Events
	switch state {
	case listening:
		net.Lock()
		if s.pending.len() > 0 || s.out != nil && s.out.Ready()&wait.In != 0 {
			ev = wait.Readable
		}
		net.Unlock()
		return ev
	case synSent:
		if !s.outside.Load() {
			return 0
		}
		net.Lock()
		s.progress()
		net.Unlock()
		if state = s.state.Load(); state == synSent {
			return 0
		}
	}
	if s.outside.Load() {
		return s.pollOutside()
	}
	down := s.shutdown.Load()
	if down == noRecv|noSend || state == closed {
		ev |= wait.Hup
	}
	if down&noRecv != 0 {
		ev |= wait.Readable | wait.RdHup
	}
	s.mu.Lock()
	if s.rx.readable(min(s.Lowat(), math.MaxInt32), s.Flag(unix.SO_OOBINLINE)) {
		ev |= wait.Readable
	}
	if s.rx.urg == urgentValid {
		ev |= wait.Pri
	}
	s.mu.Unlock()
	if down&noSend != 0 || s.room() {
		ev |= wait.Writable
	}
	if s.HasError() {
		ev |= wait.Err
	}
	return ev
}

func (s *tcp) pollOutside() wait.Events {
	net.Lock()
	defer net.Unlock()
	if s.out == nil {
		return wait.Hup
	}
	ev := s.out.Ready()
	down := s.shutdown.Load()
	if down&noRecv != 0 {
		ev |= wait.Readable | wait.RdHup
	}
	if down&noSend != 0 {
		ev |= wait.Writable
	}
	if down == noRecv|noSend {
		ev |= wait.Hup
	}
	if s.HasError() {
		ev |= wait.Err
	}
	return ev
}

// limit is how many bytes of s may wait at its peer p.
func (s *tcp) limit(p *tcp) int {
	if !s.SendLocked() {
		return window
	}
	n := int(s.SendBuffer.Load())
	if p.RecvLocked() {
		return n + int(p.RecvBuffer.Load())
	}
	return n + freshRecv
}

// room reports whether s is writable: a third of what may wait is free.
func (s *tcp) room() bool {
	p := s.peer.Load()
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone.Load() || p.rx.n*3 <= s.limit(p)*2 {
		return true
	}
	s.nospace.Store(true)
	return false
}
