package inet

import (
	"encoding/binary"
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
	s.SendBuffer.Store(freshSend)
	s.RecvBuffer.Store(freshRecv)
	s.state.Store(closed)
}

// Bind serves bind(2).
func (s *tcp) Bind(c vfs.Caller, raw []byte) error {
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

// somaxconn bounds every backlog (net.core.somaxconn).
const somaxconn = 4096

// Listen serves listen(2).
func (s *tcp) Listen(_ vfs.Caller, backlog int) error {
	if backlog < 0 || backlog > somaxconn {
		backlog = somaxconn
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

// Connect serves connect(2), in the steps of inet_stream_connect.
func (s *tcp) Connect(c vfs.Caller, raw []byte, nonblock bool) error {
	if len(raw) < 2 {
		return unix.EINVAL
	}
	if binary.NativeEndian.Uint16(raw) == unix.AF_UNSPEC {
		net.Lock()
		s.disconnect()
		s.phase = unconnected
		net.Unlock()
		return nil
	}
	net.Lock()
	var answer error
	switch s.phase {
	case connected:
		net.Unlock()
		return unix.EISCONN
	case connecting:
		answer = unix.EALREADY
	case unconnected:
		err := error(unix.EISCONN)
		if s.state.Load() == closed {
			err = s.start(raw)
		}
		if err != nil {
			net.Unlock()
			return err
		}
		s.phase = connecting
		answer = unix.EINPROGRESS
		if nonblock {
			// Linux has the answer only once the call is over, too.
			net.Unlock()
			s.queue.Notify(everything)
			return answer
		}
	default:
		net.Unlock()
		return unix.EINVAL
	}
	s.progress()
	if s.state.Load() == synSent {
		net.Unlock()
		if nonblock {
			return answer
		}
		timeout := s.WriteTimeout()
		deadline := wait.NoDeadline
		if timeout > 0 {
			deadline = clock.Add(clock.Now(), timeout)
		}
		err := s.queue.Until(c, everything, deadline, func() bool {
			net.Lock()
			defer net.Unlock()
			s.progress()
			return s.state.Load() != synSent
		})
		switch {
		case err == unix.ETIMEDOUT:
			return answer
		case err != nil && timeout > 0:
			return unix.EINTR
		case err != nil:
			return err
		}
		net.Lock()
	}
	defer net.Unlock()
	if s.state.Load() == closed {
		s.phase = unconnected
		err := s.TakeError()
		if err == nil {
			err = unix.ECONNABORTED
		}
		s.disconnect()
		return err
	}
	s.phase = connected
	return nil
}

// progress looks how far a connection to the outside has come. net is held.
func (s *tcp) progress() {
	if s.state.Load() != synSent || s.out == nil {
		return
	}
	ev := s.out.Ready()
	switch {
	case ev&wait.Err != 0:
		err := s.out.Error()
		e, _ := err.(unix.Errno)
		if e == 0 {
			e = unix.ECONNREFUSED
		}
		s.SetError(e)
		s.outside.Store(false)
		s.out.Close(false)
		s.out = nil
		s.over()
	case ev&wait.Out != 0:
		s.out.Adopt(&s.queue)
		s.live()
		s.state.Store(established)
	}
}

// start begins a connection: it finds the way and the ports and, inside the
// machine, shakes hands. A refusal is an error of the socket, not of start.
// net is held.
func (s *tcp) start(raw []byte) error {
	to, err := s.parse(raw)
	if err != nil {
		return err
	}
	if to.IP.Any() {
		switch {
		case to.IP == any4 || s.local.IP.Is4() && !s.local.IP.Any():
			to.IP = loopback4
		default:
			to.IP = loopback6
		}
	}
	if to.IP.Multicast() || isBroadcast(&to.IP) {
		return unix.ENETUNREACH
	}
	if to.IP.LinkLocal() && to.Scope == 0 {
		if to.Scope = uint32(s.device.Load()); to.Scope == 0 {
			return unix.EINVAL
		}
	}
	w, err := s.find(&to.IP)
	if err != nil {
		return err
	}
	from := s.local
	switch {
	case from.IP.Any():
		if s.bound || s.port != nil && from.IP == any4 && !to.IP.Is4() {
			return unix.ENETUNREACH
		}
		from.IP = w.source
	case from.IP.Is4() != to.IP.Is4():
		return unix.ENETUNREACH
	case !w.inside && from.IP.Loopback():
		return unix.EINVAL
	}
	s.shutdown.Store(0)
	s.done.Store(false)
	_ = s.TakeError()
	if s.port == nil {
		if err := net.tcp.bindFor(&s.sock, s, nil, from, to); err != nil {
			return err
		}
		from = s.local
	} else if !net.tcp.unique(s.port, &from, &to) {
		return unix.EADDRNOTAVAIL
	}
	s.local, s.remote = from, to
	s.port.local.IP, s.port.remote = from.IP, to
	if !w.inside {
		return s.startOutside(w)
	}
	if from == to {
		s.meet(s)
		return nil
	}
	l := listenerFor(&from, &to)
	if l == nil {
		s.state.Store(synSent)
		s.reset()
		return nil
	}
	if l.pending.len() > l.backlog {
		s.state.Store(synSent)
		s.listener = l
		l.waiting = append(l.waiting, s)
		s.keepTrying()
		return nil
	}
	s.handshake(l)
	return nil
}

func (s *tcp) startOutside(w way) error {
	e, err := theStack().Open(unix.IPPROTO_TCP, s.v6, false, &s.queue)
	if err != nil {
		s.unbind()
		return err
	}
	s.pass(e)
	if err = e.Bind(s.local, int(s.device.Load())); err == nil {
		err = e.Connect(s.remote)
	}
	if err != nil && err != unix.EINPROGRESS {
		e.Close(false)
		s.unbind()
		return err
	}
	s.out = e
	s.outside.Store(true)
	s.state.Store(synSent)
	s.progress()
	return nil
}

// keepTrying bounds how long a connection waits for room in a backlog: as
// long as Linux would send its SYN again.
func (s *tcp) keepTrying() {
	limit := int64(127) * clock.Second
	if n := s.value(levelTCP, unix.TCP_SYNCNT); n > 0 && n < 6 {
		limit = int64(1<<(n+1)-1) * clock.Second
	}
	s.syns = clock.NewTimer(func(uint64) {
		net.Lock()
		defer net.Unlock()
		if s.state.Load() != synSent || s.listener == nil {
			return
		}
		s.leave()
		s.SetError(unix.ETIMEDOUT)
		s.over()
		s.queue.Notify(everything)
	})
	s.syns.Start(clock.Now()+limit, 0)
}

// leave takes s off the list of those that wait for its listener. net is held.
func (s *tcp) leave() {
	l := s.listener
	s.listener = nil
	if s.syns != nil {
		s.syns.Stop()
		s.syns = nil
	}
	if l == nil {
		return
	}
	for i, w := range l.waiting {
		if w == s {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
}

// admit lets in who found the backlog full. net is held.
func (s *tcp) admit() {
	for len(s.waiting) > 0 && s.pending.len() <= s.backlog {
		w := s.waiting[0]
		w.leave()
		w.handshake(s)
		w.queue.Notify(everything)
	}
}

// handshake connects s with a new socket of the listener l. net is held.
func (s *tcp) handshake(l *tcp) {
	n := &tcp{}
	n.inherit(l)
	n.local, n.remote = s.remote, s.local
	n.local.Scope, n.remote.Scope = s.remote.Scope, s.local.Scope
	n.port = &binding{s: &n.sock, tcp: n, local: n.local, remote: n.remote}
	n.port.refresh()
	n.port.reuse, n.port.reusePort, n.port.explicit = l.port.reuse, l.port.reusePort, true
	net.tcp.add(n.port)
	s.meet(n)
	if after := l.value(levelTCP, unix.TCP_DEFER_ACCEPT); after > 0 {
		n.listener = l
		n.deferred.Store(true)
		n.ripenLater(after)
		return
	}
	n.listener = l
	l.pending.push(n)
	l.queue.Notify(wait.Readable)
}

// inherit takes over what a connection has from its listener.
func (s *tcp) inherit(l *tcp) {
	s.Inherit(&l.Options)
	s.v6, s.uid = l.v6, l.uid
	s.only6.Store(l.only6.Load())
	s.device.Store(l.device.Load())
	s.settings.inherit(&l.settings)
	s.phase = connected
	s.state.Store(closed)
}

// meet makes s and n the two ends of a connection. net is held.
func (s *tcp) meet(n *tcp) {
	s.peer.Store(n)
	n.peer.Store(s)
	for _, t := range [...]*tcp{s, n} {
		t.live()
		t.state.Store(established)
	}
}

func (s *tcp) live() {
	s.opened = clock.Now()
	if !s.SendLocked() {
		s.SendBuffer.Store(connectedSend)
	}
}

// ripen offers a connection that TCP_DEFER_ACCEPT held back.
func (s *tcp) ripen() {
	net.Lock()
	defer net.Unlock()
	if l := s.listener; l != nil && s.deferred.Load() {
		s.deferred.Store(false)
		l.pending.push(s)
		l.queue.Notify(wait.Readable)
	}
}

// ripenLater offers it when the time is up.
func (s *tcp) ripenLater(seconds int32) {
	clock.NewTimer(func(uint64) { s.ripen() }).Start(clock.Now()+int64(seconds)*clock.Second, 0)
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

// fin sends the FIN of s: nothing more will come from it. net is held.
func (s *tcp) fin() {
	p := s.peer.Load()
	switch s.state.Load() {
	case established:
		s.state.Store(finWait2)
	case closeWait:
		s.over()
	default:
		return
	}
	if p == nil {
		return
	}
	p.mu.Lock()
	p.done.Store(true)
	p.mu.Unlock()
	switch p.state.Load() {
	case established:
		p.shutdown.Or(noRecv)
		p.state.Store(closeWait)
	case finWait2:
		// TIME_WAIT, which is a matter of the ports alone.
		p.state.Store(closed)
		p.shutdown.Store(noRecv | noSend)
		if p.port != nil && !p.gone.Load() {
			x := p.port
			net.tcp.linger(x, clock.Now())
			p.port = nil
			if p.lockPort {
				p.keepPort(x)
			}
		}
	}
	if p.deferred.Load() && p.listener != nil {
		p.deferred.Store(false)
		p.listener.pending.push(p)
		p.listener.queue.Notify(wait.Readable)
	}
	p.queue.Notify(wait.Readable | wait.RdHup | wait.Hup | wait.Writable)
}

// keepPort binds a socket whose connection is over to its port again, which
// it keeps until it is closed.
func (s *tcp) keepPort(x *binding) {
	n := &binding{s: &s.sock, tcp: s, local: s.local, explicit: true}
	n.refresh()
	n.reuse, n.reusePort = x.reuse, x.reusePort
	net.tcp.add(n)
	s.port = n
}

// reset is what a RST does to s. net is held.
func (s *tcp) reset() {
	switch s.state.Load() {
	case closed, listening:
		return
	case synSent:
		s.SetError(unix.ECONNREFUSED)
	case closeWait:
		s.SetError(unix.EPIPE)
	default:
		s.SetError(unix.ECONNRESET)
	}
	if s.listener != nil && s.state.Load() == synSent {
		s.leave()
	}
	s.over()
	s.queue.Notify(everything)
}

// over makes s closed: nothing comes or goes, and a port that the program has
// not chosen is given up. net is held.
func (s *tcp) over() {
	s.state.Store(closed)
	s.shutdown.Store(noRecv | noSend)
	if s.port == nil {
		return
	}
	if s.lockPort && !s.gone.Load() {
		s.port.remote = AddrPort{}
		return
	}
	net.tcp.remove(s.port)
	s.port = nil
}

// unbind takes a socket's port away that a call that failed had given it.
// net is held.
func (s *tcp) unbind() {
	if s.lockPort || s.port == nil {
		if s.port != nil {
			s.port.remote = AddrPort{}
		}
		return
	}
	net.tcp.remove(s.port)
	s.port = nil
	s.local.Port = 0
	if !s.bound {
		s.local.IP = s.anyIP()
	}
}

func (s *sock) anyIP() IP {
	if s.v6 {
		return any6
	}
	return any4
}

// disconnect is connect(2) with AF_UNSPEC: tcp_disconnect. net is held.
func (s *tcp) disconnect() {
	p := s.peer.Load()
	switch s.state.Load() {
	case listening:
		s.stopListening()
	case synSent:
		s.leave()
		s.SetError(unix.ECONNRESET)
	case established, closeWait, finWait2:
		if s.outside.Load() {
			break
		}
		s.SetError(unix.ECONNRESET)
		s.mu.Lock()
		s.rx.drop()
		s.mu.Unlock()
		if p != nil && p != s {
			p.reset()
		}
	}
	if s.outside.Load() {
		s.outside.Store(false)
		s.out.Close(true)
		s.out = nil
	}
	s.mu.Lock()
	s.rx.drop()
	s.rx = stream{}
	s.mu.Unlock()
	s.peer.Store(nil)
	s.over()
	s.shutdown.Store(0)
	s.done.Store(false)
	if !s.bound {
		s.local.IP = s.anyIP()
	}
	if s.port != nil {
		s.port.local.IP = s.local.IP
	}
	s.remote = AddrPort{IP: s.anyIP()}
	s.queue.Notify(everything)
}

// Shutdown serves shutdown(2): inet_shutdown.
func (s *tcp) Shutdown(how int) error {
	what := uint32(how + 1)
	net.Lock()
	defer net.Unlock()
	s.progress()
	if s.phase == connecting {
		switch s.state.Load() {
		case synSent, closed:
			s.phase = disconnecting
		default:
			s.phase = connected
		}
	}
	var err error
	switch s.state.Load() {
	case listening:
		if what&noRecv != 0 {
			s.disconnect()
			s.phase = unconnected
		}
	case synSent:
		s.disconnect()
		s.phase = unconnected
	case closed:
		err = unix.ENOTCONN
		s.shutdown.Or(what)
	default:
		s.shutdown.Or(what)
		if s.outside.Load() {
			err = s.out.Shutdown(how)
		} else if what&noSend != 0 {
			s.fin()
		}
	}
	s.queue.Notify(everything)
	return err
}

// Release closes the socket.
func (s *tcp) Release(*vfs.File) {
	net.Lock()
	defer net.Unlock()
	if s.state.Load() == listening {
		s.stopListening()
	}
	s.end(false)
}

// end gives a connection up; nobody has it open any more, or with embryo
// nobody ever had. net is held.
func (s *tcp) end(embryo bool) {
	if s.state.Load() == synSent {
		s.leave()
	}
	s.mu.Lock()
	s.gone.Store(true)
	unread := s.rx.n > 0
	s.rx.drop()
	s.mu.Unlock()
	on, seconds := s.Linger()
	hard := unread || embryo || on && seconds == 0
	if s.out != nil {
		s.out.Close(hard)
		s.outside.Store(false)
		s.out = nil
		s.over()
	}
	switch s.state.Load() {
	case established, closeWait, finWait2:
		p := s.peer.Load()
		if hard {
			s.over()
			if p != nil && p != s {
				p.reset()
			}
			break
		}
		s.fin()
		if s.state.Load() == finWait2 && s.port != nil {
			// An orphan in FIN_WAIT2 lasts as long as TIME_WAIT.
			net.tcp.linger(s.port, clock.Now())
			s.port = nil
		}
	}
	s.shutdown.Store(noRecv | noSend)
	if s.port != nil {
		net.tcp.remove(s.port)
		s.port = nil
	}
	s.queue.Notify(everything)
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
