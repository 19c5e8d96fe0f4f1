package tty

import (
	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/vfs"
)

// Job is what job control needs of the thread that uses a terminal:
// task.Thread implements it. Callers without it have no session.
type Job interface {
	// SessionID and GroupID are those of the thread's process.
	SessionID() int
	GroupID() int
	// SessionLeader reports whether the process leads its session.
	SessionLeader() bool
	// ControllingTerminal is what SetControllingTerminal set for the session:
	// a *Terminal, or nil.
	ControllingTerminal() any
	SetControllingTerminal(t any)
	// GroupOrphaned reports whether the process's group is orphaned, and
	// SignalHeld whether it blocks or ignores a signal.
	GroupOrphaned() bool
	SignalHeld(sig int) bool
	// SessionOfGroup returns the session of a process group, 0 if there is no
	// such group.
	SessionOfGroup(group int) int
}

// Installer puts a file at the lowest free descriptor of the caller, taking
// over the reference (TIOCGPTPEER).
type Installer interface {
	InstallFile(f *vfs.File, cloexec bool) (int, error)
}

// of returns the controlling terminal of c, nil if it has none.
func of(c vfs.Caller) *Terminal {
	if j, ok := c.(Job); ok {
		t, _ := j.ControllingTerminal().(*Terminal)
		return t
	}
	return nil
}

// adopt makes t the controlling terminal of the caller's session.
func (t *Terminal) adopt(j Job) {
	t.mu.Lock()
	if t.session != 0 {
		t.mu.Unlock()
		return
	}
	t.session, t.group = j.SessionID(), j.GroupID()
	t.mu.Unlock()
	j.SetControllingTerminal(t)
}

// background stops who reads (SIGTTIN) or changes (SIGTTOU) its controlling
// terminal from a background group (tty_check_change of Linux).
func (t *Terminal) background(c vfs.Caller, sig int) error {
	j, ok := c.(Job)
	if !ok || of(c) != t {
		return nil
	}
	t.mu.Lock()
	front := t.group
	t.mu.Unlock()
	if group := j.GroupID(); front == 0 || group == front {
		return nil
	}
	switch {
	case j.SignalHeld(sig):
		if sig == int(unix.SIGTTIN) {
			return unix.EIO
		}
		return nil
	case j.GroupOrphaned():
		return unix.EIO
	}
	SignalGroup(j.GroupID(), sig)
	return abi.ErrRestartSys
}

// SessionEnded is told that the leader of a session whose controlling
// terminal was t has ended: the foreground group is hung up on, and the
// terminal is free.
func SessionEnded(t any) {
	tt, ok := t.(*Terminal)
	if !ok {
		return
	}
	tt.mu.Lock()
	group := tt.group
	tt.session, tt.group = 0, 0
	tt.mu.Unlock()
	if group != 0 {
		SignalGroup(group, int(unix.SIGHUP))
		SignalGroup(group, int(unix.SIGCONT))
	}
}

// DeviceNumber is st_rdev of the terminal.
func (t *Terminal) DeviceNumber() uint64 {
	if p, ok := t.line.(*pty); ok {
		return unix.Mkdev(ptsMajor, uint32(p.index))
	}
	return unix.Mkdev(auxMajor, minorConsole)
}

// Foreground is the foreground process group, 0 for none.
func (t *Terminal) Foreground() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.group
}

// Adopt makes t the controlling terminal of the caller's session, if the
// caller leads it and neither has another.
func (t *Terminal) Adopt(c vfs.Caller) {
	if j, ok := c.(Job); ok && j.SessionLeader() && j.ControllingTerminal() == nil {
		t.adopt(j)
	}
}
