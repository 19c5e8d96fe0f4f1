package unix

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Send serves the sending calls.
func (s *sock) Send(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	return s.send(c, b, m, flags)
}

// Recv serves the receiving calls.
func (s *sock) Recv(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	return s.receive(c, b, m, flags)
}

func (s *sock) send(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 && (!s.stream() || b.Len() == 0) {
		return 0, unix.EOPNOTSUPP
	}
	switch s.Type {
	case unix.SOCK_STREAM:
		return s.sendStream(c, b, m, flags)
	case unix.SOCK_SEQPACKET:
		if err := s.TakeError(); err != nil {
			return 0, err
		}
		if s.state.Load() != connected {
			return 0, unix.ENOTCONN
		}
	}
	return s.sendPacket(c, b, m)
}

// credsFor returns what the message carries: what was given, else the
// sender's if one of the two ends asks for it.
func (s *sock) credsFor(c vfs.Caller, p *sock, m *socket.Message) socket.Creds {
	if m != nil && m.Creds != nil {
		return *m.Creds
	}
	if s.PassCred.Load() || p.PassCred.Load() {
		k := c.Cred()
		return socket.Creds{PID: int32(c.TGID()), UID: uint32(k.UID), GID: uint32(k.GID)}
	}
	return socket.Nobody
}

func (s *sock) sendStream(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if m != nil && m.Name != nil {
		if s.state.Load() == connected {
			return 0, unix.EISCONN
		}
		return 0, unix.EOPNOTSUPP
	}
	p := s.peer.Load()
	if p == nil {
		return 0, unix.ENOTCONN
	}
	done := 0
	var err error
	urgent := flags&unix.MSG_OOB != 0
	for err == nil && (b.Len() > 0 || s.shutdown.Load()&noSend != 0) {
		p.mu.Lock()
		if s.shutdown.Load()&noSend != 0 || p.dead.Load() || p.shutdown.Load()&noRecv != 0 {
			p.mu.Unlock()
			if done > 0 {
				break
			}
			if flags&unix.MSG_NOSIGNAL == 0 {
				c.Raise(int(unix.SIGPIPE))
			}
			return 0, unix.EPIPE
		}
		var n int
		last := urgent && b.Len() == 1
		n, err = s.append(c, p, b, m, urgent)
		if last && n > 0 {
			p.urgent = p.tail
		}
		p.mu.Unlock()
		done += n
		if n > 0 {
			p.queue.NotifyFrom(c, wait.Readable|wait.RdBand|wait.Pri)
		}
		if last && n > 0 {
			p.Urgent()
		}
	}
	if done > 0 && err != unix.EAGAIN {
		err = nil
	}
	return done, err
}

// append puts as much of b as one message takes behind p's queue; the last
// byte of urgent data is a message of its own. p.mu is held.
func (s *sock) append(c vfs.Caller, p *sock, b *mm.Buffer, m *socket.Message, urgent bool) (int, error) {
	want := b.Len()
	if urgent && want > 1 {
		want--
	}
	creds := s.credsFor(c, p, m)
	var rights []*vfs.File
	if m != nil {
		rights = m.Rights
	}
	if t := p.tail; t != nil && len(rights) == 0 && t.rights == nil && t != p.urgent && t.off < len(t.data) && !(urgent && want == 1) && t.from == s && t.creds == creds && len(t.data) < cap(t.data) {
		n := min(want, cap(t.data)-len(t.data))
		n, err := b.CopyIn(t.data[len(t.data) : len(t.data)+n])
		t.data = t.data[:len(t.data)+n]
		return n, err
	}
	if s.inFlight.Load() >= int64(s.SendBuffer.Load()) {
		return 0, unix.EAGAIN
	}
	n := min(want, chunk)
	room := max(n, smallest)
	if cpu.KernelTight() {
		// Thousands of sockets may hold a little each. What is received wakes
		// who waits; with nothing on its way nobody would be woken.
		const little = 512
		waiting := s.inFlight.Load() > 0
		if (waiting || n > little) && cpu.KernelShort() {
			if waiting {
				return 0, unix.EAGAIN
			}
			return 0, unix.ENOBUFS
		}
		room = n
	}
	e := p.spare
	if p.spare = nil; e == nil || n > cap(e.data) {
		e = &message{data: make([]byte, 0, room)}
	}
	n, err := b.CopyIn(e.data[:n])
	if n == 0 {
		return 0, err
	}
	e.from, e.data, e.rights, e.creds = s, e.data[:n], rights, creds
	if m != nil {
		m.Rights = nil
	}
	p.push(e, cap(e.data)+overhead)
	return n, err
}

// push appends e to the queue. p.mu is held.
func (p *sock) push(e *message, cost int) {
	e.cost = cost
	if len(e.rights) > 0 {
		sent(e.rights)
	}
	e.from.inFlight.Add(int64(cost))
	if p.tail != nil {
		p.tail.next = e
	} else {
		p.head = e
	}
	p.tail = e
	p.count++
}

// pop removes the first message. s.mu is held; the caller settles it.
func (s *sock) pop() *message {
	e := s.head
	s.head = e.next
	if s.head == nil {
		s.tail = nil
	}
	e.next = nil
	s.count--
	return e
}

func (s *sock) sendPacket(c vfs.Caller, b *mm.Buffer, m *socket.Message) (int, error) {
	named := m != nil && m.Name != nil && s.dgram()
	if named {
		if name, path, err := parseName(m.Name); err != nil {
			return 0, err
		} else if name == "" && path == "" {
			return 0, unix.EINVAL
		}
	}
	n := b.Len()
	if n > int(s.SendBuffer.Load())-32 {
		return 0, unix.EMSGSIZE
	}
	if s.PassCred.Load() && s.addr.Load() == nil {
		if err := s.autobind(); err != nil {
			return 0, err
		}
	}
	if err := s.TakeError(); err != nil {
		return 0, err
	}
	if s.shutdown.Load()&noSend != 0 {
		return 0, unix.EPIPE
	}
	if s.inFlight.Load() >= int64(s.SendBuffer.Load()) {
		return 0, unix.EAGAIN
	}
	if !cpu.KernelRoom(uint64(n)) {
		return 0, unix.ENOBUFS
	}
	e := &message{from: s, data: make([]byte, n)}
	peek := *b // a packet that has to wait is sent again from its start
	if _, err := peek.CopyIn(e.data); err != nil {
		return 0, err
	}
	p := s.peer.Load()
	toPeer := true
	if named {
		var err error
		graph.Lock()
		p, err = find(c, m.Name, s.Type)
		graph.Unlock()
		if err != nil {
			return 0, err
		}
		toPeer = p == s.peer.Load()
	}
	if p == nil {
		return 0, unix.ENOTCONN
	}
	e.creds = s.credsFor(c, p, m)
	p.mu.Lock()
	if p.dead.Load() {
		p.mu.Unlock()
		if toPeer && s.dgram() {
			s.forgetPeer(p)
		}
		if !s.dgram() {
			return 0, unix.EPIPE
		}
		return 0, unix.ECONNREFUSED
	}
	other := p.peer.Load()
	var err error
	switch {
	case s.dgram() && other != nil && other != s:
		err = unix.EPERM
	case p.shutdown.Load()&noRecv != 0:
		err = unix.EPIPE
	case s.dgram() && p != s && other != s && p.count > queueMost():
		p.block(s)
		err = unix.EAGAIN
	}
	if err != nil {
		p.mu.Unlock()
		return 0, err
	}
	*b = peek
	if p.Filtered() {
		keep := p.Keep(&socket.Packet{Data: e.data})
		if keep == 0 {
			p.mu.Unlock()
			return n, nil
		}
		e.data = e.data[:keep]
	}
	if m != nil {
		e.rights, m.Rights = m.Rights, nil
	}
	p.push(e, n+overhead)
	p.mu.Unlock()
	p.queue.NotifyFrom(c, wait.Readable|wait.RdBand|wait.Pri)
	return n, nil
}

// forgetPeer undoes the connection of a datagram socket to one that is gone.
func (s *sock) forgetPeer(p *sock) {
	graph.Lock()
	var lost *message
	if s.peer.Load() == p {
		s.peer.Store(nil)
		s.state.Store(idle)
		lost = s.disconnected()
	}
	graph.Unlock()
	s.purge(lost)
}

// disconnected empties the queue of a datagram socket whose connection ends:
// what the former peer sent is not for the next conversation. graph is held;
// the messages go to purge once it is not.
func (s *sock) disconnected() *message {
	s.mu.Lock()
	lost := s.head
	s.head, s.tail, s.count = nil, nil, 0
	s.mu.Unlock()
	return lost
}

func (s *sock) purge(lost *message) {
	if lost == nil {
		return
	}
	s.mu.Lock()
	blocked := s.blocked
	s.blocked = nil
	s.mu.Unlock()
	for lost != nil {
		next := lost.next
		lost.discard()
		lost = next
	}
	for _, b := range blocked {
		b.queue.Notify(wait.Writable | wait.WrBand)
	}
}

func (s *sock) receive(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		if s.stream() {
			return s.recvUrgent(b, m, flags)
		}
		return 0, unix.EOPNOTSUPP
	}
	if flags&unix.MSG_ERRQUEUE != 0 {
		return 0, unix.EAGAIN
	}
	if s.stream() {
		return s.recvStream(b, m, flags)
	}
	return s.recvPacket(b, m, flags)
}

// source is the sender's name, nil if it has none.
func (m *message) source() []byte {
	if a := m.from.addr.Load(); a != nil {
		return a.raw
	}
	return nil
}

// nothing is the answer of an empty queue.
func (s *sock) nothing(flags int) error {
	if err := s.TakeError(); err != nil {
		return err
	}
	// Who would not wait for a datagram does not see the end of them either.
	if s.shutdown.Load()&noRecv != 0 && !(s.dgram() && flags&unix.MSG_DONTWAIT != 0) {
		return nil
	}
	return unix.EAGAIN
}

func (s *sock) recvStream(b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if s.state.Load() != connected {
		return 0, unix.EINVAL
	}
	if b.Len() == 0 && m == nil {
		return 0, nil
	}
	peek := flags&unix.MSG_PEEK != 0
	pass := s.PassCred.Load()
	var used, last *message // to settle without the lock
	var drop []*vfs.File
	done := 0
	var err error
	s.mu.Lock()
	if s.head == nil {
		err = s.nothing(flags)
		s.mu.Unlock()
		if err == unix.EAGAIN && b.Len() == 0 {
			return 0, err
		}
		return 0, err
	}
	var first *message
	for e := s.head; e != nil && (b.Len() > 0 || done == 0); {
		if pass && first != nil && first.creds != e.creds {
			break
		}
		if e == s.urgent || e.off == len(e.data) {
			// The urgent byte ends what one call reads, and is not part of
			// the stream unless the program wants it there.
			if first != nil {
				break
			}
			if e.off == len(e.data) || !s.Flag(unix.SO_OOBINLINE) {
				next := e.next
				if !peek {
					s.pop()
					if s.urgent == e {
						s.urgent = nil
					}
					if last == nil {
						used = e
					} else {
						last.next = e
					}
					last = e
				}
				e = next
				continue
			}
			if !peek {
				s.urgent = nil
			}
		}
		if first == nil {
			first = e
			if m != nil {
				m.Name = e.source()
			}
			if pass && m != nil {
				m.Creds = &socket.Creds{PID: e.creds.PID, UID: e.creds.UID, GID: e.creds.GID}
			}
		}
		var n int
		n, err = b.CopyOut(e.data[e.off:])
		if err != nil && n == 0 {
			break
		}
		done += n
		rights := e.rights
		if rights != nil {
			s.takeRights(e, m, peek, &drop)
		}
		next := e.next
		if !peek {
			if e.off += n; e.off == len(e.data) {
				s.pop()
				if last == nil {
					used = e
				} else {
					last.next = e
				}
				last = e
			}
		}
		if err != nil || rights != nil || n == 0 {
			break
		}
		e = next
	}
	if s.head == nil && b.Len() > 0 && flags&unix.MSG_WAITALL != 0 {
		_ = s.TakeError() // whoever waits for more would see it
	}
	if first == nil && err == nil { // there was nothing but the urgent byte
		err = s.nothing(flags)
	}
	s.mu.Unlock()
	s.settleAll(used)
	for _, f := range drop {
		f.Put()
	}
	if done > 0 {
		err = nil
	}
	return done, err
}

// recvUrgent is MSG_OOB.
func (s *sock) recvUrgent(b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.urgent
	if s.Flag(unix.SO_OOBINLINE) || e == nil {
		return 0, unix.EINVAL
	}
	n, err := b.CopyOut(e.data)
	if err != nil {
		return 0, err
	}
	if flags&unix.MSG_PEEK == 0 {
		s.urgent = nil
		e.off = len(e.data) // what is left marks the place
	}
	if m != nil {
		m.Flags |= unix.MSG_OOB
		if n == 0 {
			m.Flags |= unix.MSG_TRUNC
		}
	}
	return n, nil
}

// takeRights passes the files of e on to m, or to drop when nobody wants
// them. s.mu is held.
func (s *sock) takeRights(e *message, m *socket.Message, peek bool, drop *[]*vfs.File) {
	switch {
	case m == nil && peek:
	case m == nil:
		received(e.rights)
		*drop = append(*drop, e.rights...)
		e.rights = nil
	case peek:
		peeked()
		m.Rights = append([]*vfs.File(nil), e.rights...)
		for _, f := range m.Rights {
			f.Get()
		}
	default:
		received(e.rights)
		m.Rights, e.rights = e.rights, nil
	}
}

// settleAll settles a list of received messages and keeps one for later.
func (s *sock) settleAll(e *message) {
	for e != nil {
		next := e.next
		e.settle()
		if next == nil && cap(e.data) <= smallest && s.stream() {
			*e = message{data: e.data[:0]}
			s.mu.Lock()
			if !s.dead.Load() {
				s.spare = e
			}
			s.mu.Unlock()
		}
		e = next
	}
}

func (s *sock) recvPacket(b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if !s.dgram() && s.state.Load() != connected {
		return 0, unix.ENOTCONN
	}
	if err := s.TakeError(); err != nil { // before data, unlike a stream
		return 0, err
	}
	peek := flags&unix.MSG_PEEK != 0
	var drop []*vfs.File
	s.mu.Lock()
	e := s.head
	if e == nil {
		err := s.nothing(flags)
		s.mu.Unlock()
		return 0, err
	}
	n, err := b.CopyOut(e.data)
	whole := len(e.data)
	if m != nil {
		m.Name = e.source()
		if s.PassCred.Load() {
			m.Creds = &socket.Creds{PID: e.creds.PID, UID: e.creds.UID, GID: e.creds.GID}
		}
		if n < whole && err == nil {
			m.Flags |= unix.MSG_TRUNC
		}
	}
	if e.rights != nil {
		s.takeRights(e, m, peek, &drop)
	}
	var blocked []*sock
	if !peek {
		s.pop()
		if s.count <= queueMost() {
			blocked, s.blocked = s.blocked, nil
		}
	}
	s.mu.Unlock()
	if !peek {
		e.settle()
	}
	for _, o := range blocked {
		o.queue.Notify(wait.Writable | wait.WrBand)
	}
	for _, f := range drop {
		f.Put()
	}
	if err != nil {
		return 0, err
	}
	if flags&unix.MSG_TRUNC != 0 {
		n = whole
	}
	return n, nil
}
