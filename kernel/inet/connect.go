package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

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
	if err := settleFor(c, raw); err != nil {
		return err
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
	if loTapped() {
		s.showHandshake(n)
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
