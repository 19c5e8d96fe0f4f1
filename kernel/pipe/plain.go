package pipe

import (
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// ReadPlain implements vfs.Plain: it reads all there is, if that is one page
// or less of it.
func (p *Pipe) ReadPlain(as *mm.AddressSpace, a mm.Addr, n int, w *wait.Waiter) int {
	p.mu.Lock()
	s := p.at(0)
	if p.used != 1 || s.n > n || p.full() {
		if p.used == 0 && p.writers > 0 && w != nil && !w.Registered() {
			p.rd.Add(w)
		}
		p.mu.Unlock()
		return 0
	}
	pg := s.pg
	n, _ = as.CopyOut(a, pg.data[s.off:s.off+s.n])
	if n == s.n { // the next write takes the same slot
		p.used = 0
		if p.spare[0] == nil && pg.refs.Load() == 1 {
			p.spare[0] = pg
		} else {
			p.drop(pg)
		}
	} else {
		s.off += n
		s.n -= n
	}
	p.mu.Unlock()
	return n
}

// WritePlain implements vfs.Plain: it writes to an empty pipe.
func (p *Pipe) WritePlain(c vfs.Caller, as *mm.AddressSpace, a mm.Addr, n int) int {
	p.mu.Lock()
	if p.used+p.held != 0 || n > pageSize || p.readers == 0 {
		p.mu.Unlock()
		return 0
	}
	pg := p.spare[0]
	if pg == nil {
		pg = newPage()
	}
	if k, _ := as.CopyIn(pg.data[:n], a); k != n {
		p.mu.Unlock()
		return 0
	}
	p.spare[0] = nil
	s := p.at(0)
	s.pg, s.off, s.n, s.merge, s.packet = pg, 0, n, true, false
	p.used = 1
	p.mu.Unlock()
	p.rd.NotifyFrom(c, wait.Readable)
	p.rw.NotifyFrom(c, wait.Readable)
	return n
}
