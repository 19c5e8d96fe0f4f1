package task

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// CloneArgs are the arguments of clone3(2), to which the older calls are
// translated.
type CloneArgs struct {
	Flags      uint64 // without the exit signal
	ExitSignal int
	PIDFD      mm.Addr
	ChildTID   mm.Addr
	ParentTID  mm.Addr
	Stack      uint64 // the initial stack pointer; 0 keeps the parent's
	TLS        uint64
	SetTID     int // wanted number; 0: any
}

const (
	cloneClearSighand = 0x100000000 // CLONE_CLEAR_SIGHAND
	cloneIntoCgroup   = 0x200000000 // CLONE_INTO_CGROUP
	cloneNewTime      = 0x80        // CLONE_NEWTIME

	cloneNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET | cloneNewTime
)

// vforkWait is where a parent waits for its child to exec or exit.
type vforkWait struct {
	parent *Thread
	done   atomic.Bool
}

func (a *CloneArgs) check(t *Thread) error {
	f := a.Flags
	switch {
	case f&unix.CLONE_FS != 0 && f&(unix.CLONE_NEWNS|unix.CLONE_NEWUSER) != 0,
		f&unix.CLONE_THREAD != 0 && f&unix.CLONE_SIGHAND == 0,
		f&unix.CLONE_SIGHAND != 0 && f&unix.CLONE_VM == 0,
		f&unix.CLONE_SIGHAND != 0 && f&cloneClearSighand != 0,
		f&unix.CLONE_THREAD != 0 && f&(unix.CLONE_NEWUSER|unix.CLONE_NEWPID) != 0,
		f&unix.CLONE_PARENT != 0 && t.Process.tgid == 1,
		f&unix.CLONE_PIDFD != 0 && f&(unix.CLONE_THREAD|unix.CLONE_DETACHED) != 0,
		f&unix.CLONE_SYSVSEM != 0 && f&unix.CLONE_NEWIPC != 0,
		f&unix.CLONE_NEWUSER != 0, // a kernel without CONFIG_USER_NS
		a.ExitSignal < 0:
		return unix.EINVAL
	case f&cloneNamespaces != 0:
		if t.Cred().Has(unix.CAP_SYS_ADMIN) {
			return unix.EINVAL // there are no namespaces
		}
		return unix.EPERM
	case f&cloneIntoCgroup != 0:
		return unix.EBADF // no descriptor is of a cgroup
	}
	if a.SetTID != 0 && !t.Cred().Has(unix.CAP_SYS_ADMIN) && !t.Cred().Has(unix.CAP_CHECKPOINT_RESTORE) {
		return unix.EPERM
	}
	return nil
}

// Clone makes a thread or process and returns its number.
func (t *Thread) Clone(a *CloneArgs) (int, error) {
	if err := a.check(t); err != nil {
		return 0, err
	}
	if cpu.KernelShortNow() {
		return 0, unix.EAGAIN
	}
	u := t.user
	if uint64(u.processes.Add(1)) > t.Process.Limit(RlimitNproc) && u.uid != 0 &&
		!t.Cred().Has(unix.CAP_SYS_RESOURCE) && !t.Cred().Has(unix.CAP_SYS_ADMIN) {
		u.processes.Add(-1)
		return 0, unix.EAGAIN
	}
	c := t.newThread()
	var err error
	if a.Flags&unix.CLONE_THREAD != 0 {
		err = t.cloneThread(c, a)
	} else {
		err = t.cloneProcess(c, a)
	}
	if err != nil {
		u.processes.Add(-1)
		c.Context.Release()
		return 0, err
	}
	tid := c.TID
	event := int(c.traceEventNr)
	if a.Flags&unix.CLONE_PARENT_SETTID != 0 {
		_ = t.mem.Store32(a.ParentTID, uint32(tid)) // Linux ignores a bad address too
	}
	if a.Flags&unix.CLONE_CHILD_SETTID != 0 {
		_ = c.mem.Store32(a.ChildTID, uint32(tid))
	}
	var v *vforkWait
	if a.Flags&unix.CLONE_VFORK != 0 {
		v = &vforkWait{parent: t}
		c.vfork = v
	}
	c.time.resume()
	c.begin()
	if event != 0 {
		t.traceEvent(event, uint64(tid))
	}
	for v != nil && !v.done.Load() {
		if t.SleepKillable(wait.NoDeadline) != nil {
			break // the parent ends; the child goes on
		}
	}
	if v != nil {
		t.traceEvent(eventVforkDone, uint64(tid))
	}
	return tid, nil
}

// newThread returns a copy of t that is in no table yet.
func (t *Thread) newThread() *Thread {
	c := new(Thread)
	c.setupWaiters()
	c.Context.CopyFrom(&t.Context)
	c.cred.Store(t.cred.Load())
	c.user = t.user
	c.name.Store(t.name.Load())
	c.blocked = t.blocked
	c.timerSlack = t.timerSlack
	c.attr = t.attr.inherited()
	c.path.Store(&direct)
	if t.watched.Load()&WatchStrace != 0 {
		c.watch(WatchStrace)
	}
	if pt := t.pt.Load(); pt != nil && pt.stepping {
		c.RFLAGS &^= flagTF
	}
	return c
}

// enter sets the registers with which a clone begins.
func (c *Thread) enter(a *CloneArgs) {
	c.RAX = 0
	if a.Stack != 0 {
		c.RSP = a.Stack
	}
	if a.Flags&unix.CLONE_SETTLS != 0 {
		c.FSBase = a.TLS
	}
	if a.Flags&unix.CLONE_CHILD_CLEARTID != 0 {
		c.clearTID = a.ChildTID
	}
}

// cloneThread adds c to t's process.
func (t *Thread) cloneThread(c *Thread, a *CloneArgs) error {
	p := t.Process
	c.Process, c.mem = p, t.mem
	c.enter(a)
	t.shareFiles(c, a.Flags)
	tasks.mu.Lock()
	p.mu.Lock()
	err := t.mayAdd(a)
	if err == nil {
		err = c.register(a.SetTID)
	}
	if err == nil {
		p.addThread(c)
		c.traceEventNr = uint8(t.inheritTrace(c, a))
		t.inheritFilter(c)
	}
	p.mu.Unlock()
	tasks.mu.Unlock()
	if err != nil {
		c.unshareFiles()
	}
	return err
}

// mayAdd checks whether t may make a thread or process now. tasks.mu and
// Process.mu are held.
func (t *Thread) mayAdd(*CloneArgs) error {
	if t.work.Load()&workInterrupt != 0 {
		// Like Linux: signals first, so that a group stop or a kill never
		// misses a new thread.
		return abi.ErrRestartNoInt
	}
	if tasks.threads >= threadLimit() {
		return unix.EAGAIN
	}
	return nil
}

// register gives c its number. tasks.mu is held.
func (c *Thread) register(want int) error {
	if want != 0 {
		if want < 1 || want >= pidMax {
			return unix.EINVAL
		}
		if tasks.pids[want] != nil {
			return unix.EEXIST
		}
		c.TID = want
	} else {
		nr, err := allocPID()
		if err != nil {
			return err
		}
		c.TID = nr
	}
	entry(c.TID).thread = c
	tasks.threads++
	tasks.forks++
	return nil
}

// addThread enters c in the process. mu is held.
func (p *Process) addThread(c *Thread) {
	c.index = len(p.threads)
	p.threads = append(p.threads, c)
	p.live++
}

// cloneProcess makes a process with c as its leader.
func (t *Thread) cloneProcess(c *Thread, a *CloneArgs) error {
	p := t.Process
	n := &Process{start: clock.Now(), leader: c, exitSignal: a.ExitSignal}
	c.Process = n
	c.enter(a)
	c.altstack = t.altstack
	if a.Flags&unix.CLONE_VM != 0 {
		n.mem = t.mem
		n.mem.Get()
		if a.Flags&unix.CLONE_VFORK == 0 {
			c.altstack = AltStack{} // the stack is the parent's
		}
	} else {
		as, err := t.mem.Fork()
		if err != nil {
			return err
		}
		n.mem = as
	}
	c.mem = n.mem
	t.shareFiles(c, a.Flags)

	fdno, pidfd := -1, (*vfs.File)(nil)
	var err error
	if a.Flags&unix.CLONE_PIDFD != 0 {
		pidfd = newPIDFD(n, 0)
		if fdno, err = t.files.Install(pidfd, 0, true, p.Limit(RlimitNofile)); err == nil {
			if err = t.mem.Store32(a.PIDFD, uint32(fdno)); err != nil {
				closeFD(t, fdno)
			}
		} else {
			pidfd.Put()
		}
	}
	if err == nil {
		if err = t.linkProcess(n, c, a); err != nil && fdno >= 0 {
			closeFD(t, fdno)
		}
	}
	if err != nil {
		c.unshareFiles()
		n.mem.Put()
	}
	return err
}

// linkProcess enters a new process in the tables, as a copy of t's.
func (t *Thread) linkProcess(n *Process, c *Thread, a *CloneArgs) error {
	p := t.Process
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := t.mayAdd(a); err != nil {
		return err
	}
	if err := c.register(a.SetTID); err != nil {
		return err
	}
	n.tgid = c.TID
	entry(n.tgid).process = n
	n.addThread(c)
	n.limits.copyFrom(&p.limits)
	n.dumpable.Store(p.dumpable.Load())
	n.personality.Store(p.personality.Load())
	n.oomScoreAdj.Store(p.oomScoreAdj.Load())
	n.coreFilter.Store(p.coreFilter.Load())
	n.exe, n.program = shareExe(p.exe), p.program
	switch {
	case a.Flags&unix.CLONE_SIGHAND != 0:
		n.handlers = p.handlers
		n.handlers.refs.Add(1)
	default:
		n.handlers = p.handlers.clone()
		if a.Flags&cloneClearSighand != 0 {
			n.handlers.reset(false)
		}
	}
	parent, creator := p, t
	if a.Flags&unix.CLONE_PARENT != 0 {
		parent, creator = p.parent, nil
		n.exitSignal, n.adopted = p.exitSignal, p.adopted
	}
	parent.addChild(n)
	n.creator = creator
	p.group.add(n)
	n.cpuLimit.arm(n)
	c.traceEventNr = uint8(t.inheritTrace(c, a))
	t.inheritFilter(c)
	return nil
}

// shareFiles gives c t's descriptors and FS context, shared or copied.
func (t *Thread) shareFiles(c *Thread, flags uint64) {
	if flags&unix.CLONE_FILES != 0 {
		c.files = t.files.Ref()
	} else {
		c.files = t.files.Clone()
	}
	if flags&unix.CLONE_FS != 0 {
		c.fs = t.fs.Get()
	} else {
		c.fs = t.fs.Clone()
	}
	if flags&unix.CLONE_SYSVSEM != 0 {
		c.semUndo = t.SemUndo().Get()
	}
}

func (c *Thread) unshareFiles() {
	c.files.Unref(c)
	c.fs.Put()
	c.dropSemUndo()
}

// SetTIDAddress serves set_tid_address(2).
func (t *Thread) SetTIDAddress(a mm.Addr) int {
	t.clearTID = a
	return t.TID
}

// enterTables makes t's process the first one.
func (t *Thread) enterTables() {
	p := t.Process
	p.start = clock.Now()
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	tasks.pids = make(map[int]*pidEntry)
	tasks.users = make(map[cred.UID]*user)
	tasks.last = 1
	tasks.init = p
	t.TID, p.tgid = 1, 1
	e := entry(1)
	e.thread, e.process = t, p
	tasks.threads = 1
	t.user = findUserLocked(t.Cred().UID)
	t.user.processes.Add(1)
	p.addThread(t)
	newGroup(1, newSession(p)).add(p)
	p.cpuLimit.arm(p)
}
