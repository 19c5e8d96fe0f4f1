package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/cred"
	"husk/kernel/signalfd"
	"husk/kernel/wait"
)

// mayKill checks the permission of kill(2). p.mu is not held.
func (t *Thread) mayKill(target *Thread, sig int) error {
	c, o := t.Cred(), target.Cred()
	if t.Process == target.Process || c.EUID == o.SUID || c.EUID == o.UID || c.UID == o.SUID || c.UID == o.UID ||
		c.Has(unix.CAP_KILL) {
		return nil
	}
	if sig == int(unix.SIGCONT) && t.Process.SID() == target.Process.SID() {
		return nil
	}
	return unix.EPERM
}

func validSignal(sig int) bool { return sig >= 0 && sig <= NSignals }

// Kill serves kill(2).
func (t *Thread) Kill(pid, sig int) error {
	if !validSignal(sig) {
		return unix.EINVAL
	}
	si := t.UserSignal(sig)
	switch {
	case pid == t.Process.tgid && sig != 0:
		return t.Process.signalFrom(t, si) // no question of being there or being allowed
	case pid > 0:
		// kill also takes the number of any thread for its process.
		p := FindProcess(pid)
		if p == nil {
			th := FindThread(pid)
			if th == nil {
				return unix.ESRCH
			}
			p = th.Process
		}
		return t.KillProcess(p, si)
	case pid == -1<<31:
		return unix.ESRCH
	case pid == -1:
		var all []*Process
		for _, p := range Processes() {
			if p.tgid != 1 && p != t.Process {
				all = append(all, p)
			}
		}
		return t.killAll(all, si)
	}
	id := -pid
	if pid == 0 {
		id = t.Process.PGID()
	}
	tasks.mu.RLock()
	var members []*Process
	if g := lookup(id).group; g != nil {
		members = append(members, g.members...)
	}
	tasks.mu.RUnlock()
	return t.killAll(members, si)
}

// killAll sends to several: success if any could be sent to.
func (t *Thread) killAll(ps []*Process, si *SigInfo) error {
	err, sent := error(unix.ESRCH), false
	for _, p := range ps {
		switch e := t.KillProcess(p, si); {
		case e == nil:
			sent = true
		case !sent:
			err = e
		}
	}
	if sent {
		return nil
	}
	return err
}

// KillProcess sends si to a process if t may; signal 0 only asks.
func (t *Thread) KillProcess(p *Process, si *SigInfo) error {
	if err := t.mayKill(p.Leader(), int(si.Signo)); err != nil {
		return err
	}
	if p.Reaped() {
		return unix.ESRCH
	}
	if si.Signo == 0 {
		return nil
	}
	return p.signalFrom(t, t.marked(p, si))
}

// marked is si as t sends it to p.
func (t *Thread) marked(p *Process, si *SigInfo) *SigInfo {
	if p.tgid != 1 || p == t.Process {
		return si
	}
	inside := *si
	inside.inside = 1
	return &inside
}

// SignalMessage sends the signal that tells of a message in a queue
// (mq_notify(3)).
func (p *Process) SignalMessage(sig, pid int, uid uint32, value uint64) {
	si := &SigInfo{Signo: int32(sig), Code: siMessage}
	si.setSender(pid, uid)
	si.Fields[1] = value
	_ = p.Signal(si)
}

// Tgkill serves tgkill(2), and tkill(2) with a tgid of -1.
func (t *Thread) Tgkill(tgid, tid, sig int) error {
	if tid <= 0 || tgid == 0 || tgid < -1 || !validSignal(sig) {
		return unix.EINVAL
	}
	si := &SigInfo{Signo: int32(sig), Code: siTKill}
	si.setSender(t.Process.tgid, uint32(t.Cred().UID))
	return t.KillThread(tgid, tid, si)
}

// KillThread sends si to a thread if t may; signal 0 only asks.
func (t *Thread) KillThread(tgid, tid int, si *SigInfo) error {
	target := FindThread(tid)
	if target == nil || tgid > 0 && target.Process.tgid != tgid {
		return unix.ESRCH
	}
	if err := t.mayKill(target, int(si.Signo)); err != nil || si.Signo == 0 {
		return err
	}
	return target.Signal(t.marked(target.Process, si))
}

// SignalGroup sends a signal from the kernel to a process group (a terminal's
// foreground group).
func SignalGroup(pgid, sig int) {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if g := lookup(pgid).group; g != nil {
		si := SigInfo{Signo: int32(sig), Code: siKernel}
		if sig == int(unix.SIGHUP) {
			si.inside = 1
		}
		g.signal(&si)
	}
}

// Sigtimedwait takes a pending signal of set, waiting for one until deadline:
// EAGAIN then, EINTR when another signal came.
func (t *Thread) Sigtimedwait(set SigSet, deadline int64) (SigInfo, error) {
	set &^= maskKill
	p := t.Process
	var si SigInfo
	p.mu.Lock()
	if t.dequeue(^set, &si) != 0 {
		t.recalc()
		p.mu.Unlock()
		return si, nil
	}
	// Unblock them for the time of the wait, so that they wake this thread.
	old := t.blocked
	t.blocked &^= set
	t.recalc()
	p.mu.Unlock()
	err := t.Sleep(deadline)
	for err == nil {
		err = t.Sleep(deadline) // a wake-up that was not for us
	}
	p.mu.Lock()
	t.blocked = old
	sig := t.dequeue(^set, &si)
	t.recalc()
	p.mu.Unlock()
	switch {
	case sig != 0:
		return si, nil
	case err == unix.ETIMEDOUT:
		return si, unix.EAGAIN
	}
	return si, unix.EINTR
}

// Sigsuspend waits for a signal with a temporary mask.
func (t *Thread) Sigsuspend(m SigSet) error {
	t.SwapMask(m)
	return t.Pause()
}

// Pause waits for a signal that has a handler or ends the process.
func (t *Thread) Pause() error {
	if t.CanLeave() {
		return t.leavePause()
	}
	for t.Sleep(wait.NoDeadline) == nil {
	}
	return abi.ErrRestartNoHnd
}

// The following make Thread a signalfd.Signals.

// SignalQueue announces every signal that is queued for the process.
func (t *Thread) SignalQueue() *wait.Queue { return &t.Process.sigWatch }

// PendingSignals is the set pending for the thread or its process.
func (t *Thread) PendingSignals() uint64 {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint64(t.pending.set | p.shared.set)
}

// TakeSignal removes one pending signal of set.
func (t *Thread) TakeSignal(set uint64) (info signalfd.Info, ok bool) {
	var si SigInfo
	p := t.Process
	p.mu.Lock()
	sig := t.dequeue(^SigSet(set), &si)
	if sig != 0 {
		t.recalcFrom()
	}
	p.mu.Unlock()
	if sig == 0 {
		return info, false
	}
	return si.forSignalFD(), true
}

// recalcFrom is recalc for a caller that may not be the thread itself: the bit
// is only ever set. The thread clears it when it finds nothing.
func (t *Thread) recalcFrom() {
	if (t.pending.set|t.Process.shared.set)&^t.blocked != 0 {
		t.work.Or(workSignal)
	}
}

// forSignalFD tells the members of the union apart by si_code and number.
func (si *SigInfo) forSignalFD() signalfd.Info {
	f := &si.Fields
	i := signalfd.Info{Signo: si.Signo, Errno: si.Errno, Code: si.Code}
	switch {
	case si.Code == siTimer:
		i.TID, i.Overrun = int32(f[0]), uint32(f[0]>>32)
		i.Ptr, i.Int = f[1], int32(f[1])
	case si.Code > siUser && si.Code < siKernel && maskSync.Has(int(si.Signo)):
		i.Addr = f[0]
	case si.Code > siUser && si.Code < siKernel && si.Signo == int32(unix.SIGCHLD):
		i.PID, i.UID = uint32(f[0]), uint32(f[0]>>32)
		i.Status, i.Utime, i.Stime = int32(f[1]), f[2], f[3]
	case si.Code > siUser && si.Code < siKernel && si.Signo == int32(unix.SIGIO):
		i.Band, i.FD = uint32(f[0]), int32(f[1])
	default:
		i.PID, i.UID = uint32(f[0]), uint32(f[0]>>32)
		i.Ptr, i.Int = f[1], int32(f[1])
	}
	return i
}

// SetCred publishes new credentials of the thread and moves the counts of its
// user when the real user changed.
func (t *Thread) SetCred(c *cred.Cred) {
	if u := t.user; u.uid != c.UID {
		n := findUser(c.UID)
		n.processes.Add(1)
		u.processes.Add(-1)
		t.Process.mu.Lock()
		t.user = n
		t.Process.mu.Unlock()
	}
	old := t.cred.Swap(c)
	if old.EUID != c.EUID || old.EGID != c.EGID || old.FSUID != c.FSUID || old.FSGID != c.FSGID || c.Permitted&^old.Permitted != 0 {
		t.Process.dumpable.Store(0)
		t.deathSignal.Store(0)
	}
}
