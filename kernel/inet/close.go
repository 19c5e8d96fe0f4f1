package inet

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

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
	tapped := loTapped()
	if tapped {
		s.showSegment(p, segFIN|segACK, nil, s.sent.Load())
	}
	p.mu.Lock()
	p.done.Store(true)
	p.mu.Unlock()
	if tapped {
		p.showSegment(s, segACK, nil, p.sent.Load())
	}
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
	if p := s.peer.Load(); p != nil && loTapped() {
		p.showSegment(s, segRST|segACK, nil, p.sent.Load())
	}
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
