package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

// Options of waitid(2) that golang.org/x/sys/unix lacks or hides.
const (
	wNoThread = 0x20000000 // __WNOTHREAD
	wAll      = 0x40000000 // __WALL
	wClone    = 0x80000000 // __WCLONE
)

// WaitFor says which children a wait is for.
type WaitFor struct {
	Type    int // unix.P_ALL, P_PID, P_PGID
	ID      int // of the process or group; the caller's own group if 0
	Process *Process
	Options uint32 // WNOHANG, WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, __W…
}

// WaitResult is what was found. A zero PID is WNOHANG without a result.
type WaitResult struct {
	PID    int
	UID    uint32
	Code   int32 // CLD_*
	Value  int   // exit status or signal, si_status
	Status int   // as wait4(2) encodes it
	Usage  unix.Rusage
}

// Wait serves wait4(2) and waitid(2).
func (t *Thread) Wait(w WaitFor) (WaitResult, error) {
	p := t.Process
	var waiter wait.Waiter
	registered := false
	defer func() {
		if registered {
			p.childWait.Remove(&waiter)
		}
	}()
	for {
		r, candidates := t.collect(&w)
		switch {
		case r.PID != 0:
			return r, nil
		case !candidates:
			return r, unix.ECHILD
		case w.Options&unix.WNOHANG != 0:
			return r, nil
		}
		if !registered {
			registered = true
			waiter.Mask, waiter.Wake = wait.In, wait.WakeSleeper(t)
			p.childWait.Add(&waiter)
			continue // look again: a child may have ended in between
		}
		if err := t.Sleep(wait.NoDeadline); err != nil {
			return r, err
		}
	}
}

// collect looks through the children once. candidates tells whether there is
// any that could still give a result.
func (t *Thread) collect(w *WaitFor) (r WaitResult, candidates bool) {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	for _, c := range t.Process.children {
		pt := c.leader.pt.Load()
		if pt != nil && pt.tracer.Process == t.Process || !t.eligible(c, w) {
			continue
		}
		if c.state == zombie {
			if pt != nil {
				continue // first its tracer must see it
			}
			if w.Options&unix.WEXITED != 0 {
				return t.collectZombie(c, w.Options&unix.WNOWAIT == 0), true
			}
			continue // there is nothing more to come
		}
		candidates = true
		if w.Options&(unix.WSTOPPED|unix.WCONTINUED) != 0 {
			if r := c.collectStop(w.Options); r.PID != 0 {
				return r, true
			}
		}
	}
	if t.Process.tracing > 0 {
		r, traced := t.collectTraced(w)
		return r, candidates || traced
	}
	return r, candidates
}

func (t *Thread) eligible(c *Process, w *WaitFor) bool {
	if c.adopted || !t.named(c, c.tgid, w) {
		return false
	}
	if w.Options&wNoThread != 0 && c.creator != nil && c.creator != t {
		return false
	}
	return w.Options&wAll != 0 || (c.exitSignal != int(unix.SIGCHLD)) == (w.Options&wClone != 0)
}

// named reports whether the wait is for c, of which the thread nr is meant.
func (t *Thread) named(c *Process, nr int, w *WaitFor) bool {
	switch w.Type {
	case unix.P_PID:
		if nr != w.ID {
			return false
		}
	case unix.P_PGID:
		id := w.ID
		if id == 0 {
			id = t.Process.group.id
		}
		if c.group == nil || c.group.id != id {
			return false
		}
	case unix.P_PIDFD:
		if c != w.Process {
			return false
		}
	}
	return true
}

func (t *Thread) collectZombie(c *Process, remove bool) WaitResult {
	c.mu.Lock()
	s := c.exitStats
	rss := c.reaped.maxRSS
	all := c.reaped
	all.add(&s)
	r := WaitResult{PID: c.tgid, UID: uint32(c.leader.Cred().UID), Status: c.exitStatus}
	c.mu.Unlock()
	r.Code, r.Value = exitCode(r.Status)
	// rusage of a child includes the children that it waited for.
	r.Usage = all.rusage(rss)
	if remove {
		p := t.Process
		p.mu.Lock()
		p.reaped.add(&all.exitStats)
		p.reaped.maxRSS = max(p.reaped.maxRSS, rss)
		p.mu.Unlock()
		c.reap()
	}
	return r
}

// collectStop finds a stop or a continuation that was not reported yet.
func (c *Process) collectStop(options uint32) (r WaitResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := options&unix.WNOWAIT != 0
	switch {
	case options&unix.WSTOPPED != 0 && c.stop.complete && !c.stop.reported:
		c.stop.reported = !keep
		r = WaitResult{Code: CldStopped, Value: c.stop.sig, Status: c.stop.sig<<8 | 0x7f}
	case options&unix.WCONTINUED != 0 && c.stop.continued:
		c.stop.continued = keep
		r = WaitResult{Code: CldContinued, Value: int(unix.SIGCONT), Status: 0xffff}
	default:
		return r
	}
	s := c.stats()
	r.PID, r.UID, r.Usage = c.tgid, uint32(c.leader.Cred().UID), s.rusage(peakRSS(c.mem))
	return r
}
