package inet

import (
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// ReadPlain implements vfs.Plain: it reads from one chunk what there is, or as
// much as is asked for.
func (s *tcp) ReadPlain(as *mm.AddressSpace, a mm.Addr, n int, w *wait.Waiter) int {
	if s.outside.Load() {
		return 0
	}
	s.mu.Lock()
	r := &s.rx
	c := r.head
	if c == nil {
		if w != nil && !w.Registered() && s.state.Load() == established && !s.done.Load() && s.shutdown.Load()&noRecv == 0 && !s.HasError() && s.ReadTimeout() == 0 {
			s.queue.Add(w)
		}
		s.mu.Unlock()
		return 0
	}
	p := s.peer.Load()
	have := c.end - c.off
	if r.urg != urgentNone || c.next != nil && have < n || have < s.Lowat() || p == nil || p.nospace.Load() {
		s.mu.Unlock()
		return 0
	}
	n, _ = as.CopyOut(a, c.data[c.off:c.off+min(n, have)])
	r.n -= n
	r.read += uint64(n)
	if c.off += n; c.off == c.end {
		if r.head = c.next; r.head == nil {
			r.tail = nil
		}
		if r.spare == nil && len(c.data) == smallChunk {
			c.next, c.off, c.end = nil, 0, 0
			r.spare = c
		} else {
			c.free()
		}
	}
	s.mu.Unlock()
	return n
}

// WritePlain implements vfs.Plain: it sends what fits the chunk that the
// receiver has left, if that has received all before.
func (s *tcp) WritePlain(c vfs.Caller, as *mm.AddressSpace, a mm.Addr, n int) int {
	p := s.peer.Load()
	if p == nil || s.shutdown.Load()&noSend != 0 || s.outside.Load() || s.HasError() || p.deferred.Load() || cpu.KernelShort() {
		return 0
	}
	p.mu.Lock()
	r := &p.rx
	k := r.spare
	if k == nil || r.head != nil || n > min(len(k.data), s.limit(p)) || p.gone.Load() || p.shutdown.Load()&noRecv != 0 {
		p.mu.Unlock()
		return 0
	}
	if m, _ := as.CopyIn(k.data[:n], a); m != n {
		p.mu.Unlock()
		return 0
	}
	k.end = n
	r.spare, r.head, r.tail, r.n = nil, k, k, n
	p.mu.Unlock()
	s.sent.Add(uint64(n))
	p.queue.NotifyFrom(c, wait.Readable)
	return n
}

var _ vfs.Plain = (*tcp)(nil)
