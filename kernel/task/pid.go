package task

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/cred"
)

// tasks is the pid table and the process tree.
var tasks = struct {
	mu      sync.RWMutex
	pids    map[int]*pidEntry // made by the first process
	last    int               // the number given last
	threads int
	init    *Process
	users   map[cred.UID]*user
	forks   uint64
	onStop  func(sig int) // of the first process; nil, or set before it runs
}{}

// pidEntry is what one number names (Linux's struct pid). It is in the table
// while at least one member is set.
type pidEntry struct {
	thread  *Thread
	process *Process
	group   *Group
	session *Session
}

// pidMax is the limit of numbers, and firstReused where they start again after
// the limit was reached (RESERVED_PIDS).
const (
	pidMax      = 32768
	firstReused = 300
	maxThreads  = pidMax - firstReused - 2
)

// threadLimit bounds threads by memory (Linux's threads-max): 64 frames of it
// each. A process costs the kernel 5 or 6 frames of its own share, an eighth
// of memory; without a bound a fork bomb has the runtime collect garbage
// without end.
func threadLimit() int {
	const least = 64
	total, _ := cpu.FrameStats()
	n := min(max(total/64, least), maxThreads)
	if set := int(threadsMax.Load()); set != 0 {
		n = min(n, set)
	}
	return n
}

// threadsMax is kernel.threads-max when it was set: it may lower the limit.
var threadsMax atomic.Int32

// ThreadsMax and SetThreadsMax are kernel.threads-max.
func ThreadsMax() int64 { return int64(threadLimit()) }

// SetThreadsMax is described at ThreadsMax.
func SetThreadsMax(n int64) error {
	threadsMax.Store(int32(n))
	return nil
}

// Group is a process group. Guarded by tasks.mu.
type Group struct {
	id      int
	session *Session
	members []*Process
}

// Session is a session. Guarded by tasks.mu but for what belongs to the tty.
type Session struct {
	id     int
	leader *Process // nil once it is gone
	groups int
	tty    any // the controlling terminal, owned by package tty
}

// allocPID returns a free number. tasks.mu is held.
func allocPID() (int, error) {
	for n := 0; n < pidMax; n++ {
		tasks.last++
		if tasks.last >= pidMax {
			tasks.last = firstReused
		}
		if tasks.pids[tasks.last] == nil {
			return tasks.last, nil
		}
	}
	return 0, unix.EAGAIN
}

// entry returns the entry of a number, making it when there is none.
func entry(nr int) *pidEntry {
	e := tasks.pids[nr]
	if e == nil {
		e = new(pidEntry)
		tasks.pids[nr] = e
	}
	return e
}

// release drops an entry that names nothing any more.
func release(nr int, e *pidEntry) {
	if *e == (pidEntry{}) {
		delete(tasks.pids, nr)
	}
}

// lookup finds what a number names; the zero entry when nothing.
func lookup(nr int) pidEntry {
	if e := tasks.pids[nr]; e != nil {
		return *e
	}
	return pidEntry{}
}

// FindThread returns the thread with a number, nil when there is none.
func FindThread(tid int) *Thread {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return lookup(tid).thread
}

// FindProcess returns the process with a number, nil when there is none. A
// zombie is found until it is reaped.
func FindProcess(pid int) *Process {
	tasks.mu.RLock()
	p := lookup(pid).process
	tasks.mu.RUnlock()
	return p
}

// Processes returns all processes, zombies included, in no order.
func Processes() []*Process {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	all := make([]*Process, 0, len(tasks.pids))
	for _, e := range tasks.pids {
		if e.process != nil {
			all = append(all, e.process)
		}
	}
	return all
}

// InitProcess is pid 1, nil before it was started.
func InitProcess() *Process {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return tasks.init
}

// Counts returns the number of threads and of forks since boot.
func Counts() (threads int, forks uint64) {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return tasks.threads, tasks.forks
}

// LastPID is the number that was given last.
func LastPID() int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return tasks.last
}

// The following need tasks.mu held for writing.

func (p *Process) addChild(c *Process) {
	c.parent, c.childIndex = p, len(p.children)
	c.ppid.Store(int32(p.tgid))
	p.children = append(p.children, c)
}

func (p *Process) removeChild(c *Process) {
	last := len(p.children) - 1
	p.children[c.childIndex] = p.children[last]
	p.children[c.childIndex].childIndex = c.childIndex
	p.children[last] = nil
	p.children = p.children[:last]
	c.parent = nil
	c.ppid.Store(0)
}

func newSession(leader *Process) *Session {
	s := &Session{id: leader.tgid, leader: leader}
	entry(s.id).session = s
	return s
}

func newGroup(id int, s *Session) *Group {
	g := &Group{id: id, session: s}
	entry(id).group = g
	s.groups++
	return g
}

func (g *Group) add(p *Process) {
	p.group, p.groupIndex = g, len(g.members)
	g.members = append(g.members, p)
}

func (g *Group) remove(p *Process) {
	last := len(g.members) - 1
	g.members[p.groupIndex] = g.members[last]
	g.members[p.groupIndex].groupIndex = p.groupIndex
	g.members[last] = nil
	g.members = g.members[:last]
	p.group = nil
	if last > 0 {
		return
	}
	if e := tasks.pids[g.id]; e != nil {
		e.group = nil
		release(g.id, e)
	}
	s := g.session
	if s.groups--; s.groups == 0 {
		if e := tasks.pids[s.id]; e != nil {
			e.session = nil
			release(s.id, e)
		}
	}
}

// orphaned reports whether no member of g but those of without has a parent in
// the same session and another group (credentials(7): orphaned process group).
func (g *Group) orphaned(without *Process) bool {
	for _, p := range g.members {
		if p == tasks.init && tasks.onStop != nil && p != without && p.state == alive {
			return false // the user's shell, outside, is who continues it
		}
		if p == without || p.state != alive || p.parent == nil || p.parent == tasks.init && p.adopted {
			continue
		}
		if pg := p.parent.group; pg != nil && pg != g && pg.session == g.session {
			return false
		}
	}
	return true
}

// PGID returns the process's group; SID its session; PPID its parent.
func (p *Process) PGID() int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if p.group == nil {
		return 0
	}
	return p.group.id
}

// SID returns the session's number.
func (p *Process) SID() int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if p.group == nil {
		return 0
	}
	return p.group.session.id
}

// PPID returns the parent's number, 0 for the first process.
func (p *Process) PPID() int { return int(p.ppid.Load()) }

// PID returns the process's number.
func (p *Process) PID() int { return p.tgid }

// target finds the process that pid names for the caller, which is meant by 0.
func (t *Thread) target(pid int) *Process {
	if pid == 0 || pid == t.Process.tgid {
		return t.Process
	}
	return FindProcess(pid)
}

// Getpgid serves getpgid(2).
func (t *Thread) Getpgid(pid int) (int, error) {
	p := t.target(pid)
	if p == nil {
		return 0, unix.ESRCH
	}
	return p.PGID(), nil
}

// Getsid serves getsid(2).
func (t *Thread) Getsid(pid int) (int, error) {
	p := t.target(pid)
	if p == nil {
		return 0, unix.ESRCH
	}
	return p.SID(), nil
}

// Setpgid serves setpgid(2).
func (t *Thread) Setpgid(pid, pgid int) error {
	if pgid < 0 {
		return unix.EINVAL
	}
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p := t.Process
	if pid != 0 && pid != p.tgid {
		if p = lookup(pid).process; p == nil {
			return unix.ESRCH
		}
	}
	if pgid == 0 {
		pgid = p.tgid
	}
	switch {
	case p.state != alive:
		return unix.ESRCH
	case p != t.Process && p.parent != t.Process:
		return unix.ESRCH
	case p.parent == t.Process && p.group.session != t.Process.group.session:
		return unix.EPERM
	case p != t.Process && p.execed:
		return unix.EACCES
	case p.group.session.leader == p:
		return unix.EPERM
	case p.group.id == pgid:
		return nil
	}
	g := lookup(pgid).group
	if g == nil {
		if pgid != p.tgid {
			return unix.EPERM
		}
		g = newGroup(pgid, p.group.session)
	} else if g.session != p.group.session {
		return unix.EPERM
	}
	p.group.remove(p)
	g.add(p)
	return nil
}

// Setsid serves setsid(2).
func (t *Thread) Setsid() (int, error) {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p := t.Process
	if p.group.session.leader == p || lookup(p.tgid).group != nil {
		return 0, unix.EPERM
	}
	s := newSession(p)
	g := newGroup(p.tgid, s)
	p.group.remove(p)
	g.add(p)
	return s.id, nil
}
