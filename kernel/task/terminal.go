package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// The following make Thread a tty.Job and tty.Installer: what terminals need
// of sessions and groups.

// SessionID is the number of the thread's session.
func (t *Thread) SessionID() int { return t.Process.SID() }

// GroupID is the number of its process group.
func (t *Thread) GroupID() int { return t.Process.PGID() }

// SessionLeader reports whether its process leads its session.
func (t *Thread) SessionLeader() bool {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	g := t.Process.group
	return g != nil && g.session.leader == t.Process
}

// ControllingTerminal is what SetControllingTerminal set for the session.
func (t *Thread) ControllingTerminal() any { return t.Process.Terminal() }

// SetControllingTerminal sets or, with nil, takes away the session's terminal.
func (t *Thread) SetControllingTerminal(tty any) {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	if g := t.Process.group; g != nil {
		g.session.tty = tty
	}
}

// GroupOrphaned reports whether the process's group is orphaned.
func (t *Thread) GroupOrphaned() bool {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	g := t.Process.group
	return g == nil || g.orphaned(nil)
}

// SignalHeld reports whether the thread blocks or ignores a signal.
func (t *Thread) SignalHeld(sig int) bool {
	return t.blocked.Has(sig) || t.Process.handlers.get(sig).Handler == sigIgn
}

// SessionOfGroup returns the session of a process group, 0 if there is no
// such group.
func (t *Thread) SessionOfGroup(pgid int) int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if g := lookup(pgid).group; g != nil {
		return g.session.id
	}
	return 0
}

// InstallFile puts f at the lowest free descriptor, taking over the reference.
func (t *Thread) InstallFile(f *vfs.File, cloexec bool) (int, error) {
	fd, err := t.files.Install(f, 0, cloexec, t.Process.Limit(RlimitNofile))
	if err != nil {
		f.Put()
	}
	return fd, err
}

// ReleaseSession takes its terminal from a session.
func ReleaseSession(sid int) {
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	if s := lookup(sid).session; s != nil {
		s.tty = nil
	}
}

// HangupSession takes its terminal from a session and sends the leader SIGHUP
// and SIGCONT.
func HangupSession(sid int) {
	tasks.mu.Lock()
	s := lookup(sid).session
	var leader *Process
	if s != nil {
		s.tty, leader = nil, s.leader
	}
	tasks.mu.Unlock()
	if leader == nil {
		return
	}
	_ = leader.Signal(&SigInfo{Signo: int32(unix.SIGHUP), Code: siKernel, inside: 1})
	_ = leader.Signal(&SigInfo{Signo: int32(unix.SIGCONT), Code: siKernel})
}
