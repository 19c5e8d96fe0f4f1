package unix

import (
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// ReadPlain implements vfs.Plain for streams: it reads from one message what
// there is, or as much as is asked for.
func (s *sock) ReadPlain(as *mm.AddressSpace, a mm.Addr, n int, w *wait.Waiter) int {
	s.mu.Lock()
	e := s.head
	if e == nil {
		if w != nil && s.mustWait() && !w.Registered() {
			s.queue.Add(w)
		}
		s.mu.Unlock()
		return 0
	}
	b := e.data[e.off:]
	if len(b) > n {
		b = b[:n]
	} else if e.next != nil && len(b) < n {
		b = nil
	}
	if e.rights != nil || e == s.urgent || len(b) == 0 {
		s.mu.Unlock()
		return 0
	}
	n, _ = as.CopyOut(a, b)
	e.off += n
	if e.off != len(e.data) {
		s.mu.Unlock()
		return n
	}
	if s.head = e.next; s.head == nil {
		s.tail = nil
	}
	s.count--
	from, cost := e.from, e.cost
	if cap(e.data) <= smallest { // a dead socket keeps it until it is collected
		e.next, e.off = nil, 0
		s.spare = e
	}
	s.mu.Unlock()
	if from.inFlight.Add(int64(-cost))*4 <= int64(from.SendBuffer.Load()) {
		from.queue.Notify(wait.Writable | wait.WrBand)
	}
	return n
}

// mustWait reports whether an empty stream is one to wait for, and without a
// deadline. mu is held.
func (s *sock) mustWait() bool {
	if s.state.Load() != connected || s.shutdown.Load()&noRecv != 0 {
		return false
	}
	return !s.HasError() && s.ReadTimeout() == 0
}

// WritePlain implements vfs.Plain for streams: it sends what fits the buffer
// that the receiver has left, if that has received all before.
func (s *sock) WritePlain(c vfs.Caller, as *mm.AddressSpace, a mm.Addr, n int) int {
	p := s.peer.Load()
	if p == nil {
		return 0
	}
	if s.PassCred.Load() {
		return 0
	}
	if p.PassCred.Load() {
		return 0
	}
	p.mu.Lock()
	e := p.spare
	if e == nil || p.head != nil || n > cap(e.data) || s.closedFor(p) {
		p.mu.Unlock()
		return 0
	}
	b := e.data[:n]
	if k, _ := as.CopyIn(b, a); k != n {
		p.mu.Unlock()
		return 0
	}
	p.spare = nil
	e.data, e.creds = b, socket.Nobody
	if e.from != s {
		e.from = s
	}
	p.push(e, cap(b)+overhead)
	p.mu.Unlock()
	p.queue.NotifyFrom(c, wait.Readable|wait.RdBand|wait.Pri)
	return n
}

// closedFor reports whether s cannot send to p any more.
func (s *sock) closedFor(p *sock) bool {
	if s.shutdown.Load()&noSend|p.shutdown.Load()&noRecv != 0 {
		return true
	}
	return p.dead.Load()
}
