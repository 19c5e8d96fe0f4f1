// Package tty is terminals: the N_TTY line discipline, pseudo terminals with
// devpts, and the console.
//
// A Terminal is what programs see as a terminal: it has settings, a line
// discipline, a session and a foreground group. Its bytes come from and go to
// a line: the master of a pseudo terminal, or the console's port. Bytes that
// arrive are given to receive, which edits, echoes and raises signals; bytes
// that programs write go through output processing into the line's buffer.
//
// Locks: Terminal.mu guards a terminal and its line together, so a pseudo
// terminal has one lock. ptys.mu guards the table of pseudo terminals. Order:
// ptys.mu, Terminal.mu, wait.Queue. Signals are sent, and sessions changed,
// without these locks: package task takes its own.
package tty

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

const (
	inputSize  = 4096 // N_TTY_BUF_SIZE
	outputSize = 8192 // of a pseudo terminal in each direction
	// wakeupChars is how little a line's buffer must hold for poll to report
	// room (WAKEUP_CHARS).
	wakeupChars = 256
)

// A line is where a terminal's output goes and its input comes from. Its
// methods are called with the terminal's mu held.
type line interface {
	// room is how many bytes put takes.
	room() int
	put(p []byte)
	// buffered is how many bytes have been put and not been taken.
	buffered() int
	// mark is a position in the output; discard drops what is under way
	// (TCOFLUSH): what was put since mark, and before it what has not arrived.
	mark() int
	discard(mark int)
	// flowing tells of output being stopped and started, consumed of room for
	// more input.
	flowing(on bool)
	consumed()
	// settings tells of changed settings.
	settings(old, now *Termios)
	// flushed tells that input was dropped.
	flushed()
}

// Terminal is one terminal.
type Terminal struct {
	name string

	mu      sync.Mutex
	termios Termios
	winsize unix.Winsize
	line    line

	// Input: a ring, with free-running positions. Bytes up to canon are whole
	// lines in canonical mode; ends marks their last bytes.
	buf               [inputSize]byte
	ends              [inputSize / 64]uint64
	head, tail, canon uint32
	pending           []byte // arrived when buf had no room
	lineStart         uint32

	literal     bool // the next character is taken as it is (VLNEXT)
	erasing     bool // between \ and / of ECHOPRT
	column      int  // of the cursor, for tabs
	canonColumn int  // where the line being edited began
	echoes      []uint16
	batch       int // the line's mark when the bytes at hand arrived

	stopped bool // output, by VSTOP or TCOOFF
	held    bool // by TCOOFF: only TCOON starts it again

	opens      int
	exclusive  bool
	generation uint32 // files of earlier ones are hung up
	lineGone   bool   // the other side is closed: reads fail

	session, group int // ids; 0: none

	queue wait.Queue
	// signals to send once mu is released.
	signals []int
}

// handle is one open file of a terminal.
type handle struct {
	vfs.BaseOps
	t          *Terminal
	generation uint32
}

func newTerminal(name string, l line) *Terminal {
	t := &Terminal{name: name, line: l, termios: standard}
	return t
}

// unlock releases mu and then sends the signals that were raised under it.
func (t *Terminal) unlock() {
	group, signals := t.group, t.signals
	t.signals = nil
	t.mu.Unlock()
	if group != 0 {
		for _, sig := range signals {
			SignalGroup(group, sig)
		}
	}
}

// SignalGroup sends a signal to a process group: package task's, set when the
// machine boots.
var SignalGroup = func(group, sig int) {}

// open makes the behaviour of a new open file.
func (t *Terminal) open(c vfs.Caller, f *vfs.File, noctty bool) (vfs.FileOps, error) {
	t.mu.Lock()
	if t.exclusive && t.opens > 0 && !c.Cred().Has(unix.CAP_SYS_ADMIN) {
		t.mu.Unlock()
		return nil, unix.EBUSY
	}
	t.opens++
	h := &handle{t: t, generation: t.generation}
	free := t.session == 0
	t.mu.Unlock()
	if j, ok := c.(Job); ok && !noctty && free && f.Flags()&unix.O_NOCTTY == 0 && f.Readable() &&
		j.SessionLeader() && j.ControllingTerminal() == nil {
		t.adopt(j)
	}
	return h, nil
}

// hungUp reports whether the file was open when the terminal was hung up.
func (h *handle) hungUp() bool { return h.generation != h.t.generation }

// Read returns input as the line discipline has it: a line in canonical mode,
// else what VMIN and VTIME ask for.
func (h *handle) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	t := h.t
	if err := t.background(c, int(unix.SIGTTIN)); err != nil {
		return 0, err
	}
	if b.Len() == 0 {
		return 0, nil
	}
	t.mu.Lock()
	timed := t.termios.Lflag&unix.ICANON == 0 && t.termios.Cc[unix.VTIME] != 0 && !f.NonBlock()
	if !timed {
		n, err := h.read(f, b)
		t.unlock()
		return n, err
	}
	t.mu.Unlock()
	return h.readTimed(c, f, b)
}

// read moves what there is to b. mu is held.
func (h *handle) read(f *vfs.File, b *mm.Buffer) (int, error) {
	t := h.t
	if h.hungUp() {
		return 0, nil
	}
	if !t.available(false) {
		switch {
		case t.lineGone:
			return 0, unix.EIO
		case t.termios.Lflag&unix.ICANON == 0 && t.termios.Cc[unix.VMIN] == 0 && t.termios.Cc[unix.VTIME] == 0:
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	if t.termios.Lflag&unix.ICANON == 0 && !f.NonBlock() {
		least := min(int(t.termios.Cc[unix.VMIN]), b.Len())
		if int(t.head-t.tail) < least {
			return 0, unix.EAGAIN
		}
	}
	n, err := t.take(b)
	t.accept()
	return n, err
}

// readTimed is read with VTIME: with VMIN the time runs between bytes, without
// it from the start.
func (h *handle) readTimed(c vfs.Caller, f *vfs.File, b *mm.Buffer) (int, error) {
	t := h.t
	done := 0
	t.mu.Lock()
	least := int(t.termios.Cc[unix.VMIN])
	span := int64(t.termios.Cc[unix.VTIME]) * (clock.Second / 10)
	t.mu.Unlock()
	deadline := wait.NoDeadline
	if least == 0 {
		deadline, least = clock.Now()+span, 1
	}
	timedOut := false
	var err error
	for err == nil && !timedOut {
		err = t.queue.Until(c, wait.In|wait.Hup, deadline, func() bool {
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.head != t.tail || t.lineGone || h.hungUp()
		})
		if err == unix.ETIMEDOUT {
			timedOut, err = true, nil
		}
		if err != nil {
			break
		}
		t.mu.Lock()
		n := 0
		if t.head != t.tail && !h.hungUp() {
			n, err = t.take(b)
			t.accept()
		} else if t.lineGone && !h.hungUp() && done == 0 && !timedOut {
			err = unix.EIO
		} else if !timedOut {
			timedOut = true // hung up: what there is
		}
		t.unlock()
		done += n
		if done >= least || b.Len() == 0 {
			break
		}
		if done > 0 {
			deadline = clock.Now() + span
		}
	}
	if done > 0 {
		return done, nil
	}
	return 0, err
}

// Write passes b through output processing as far as the line has room.
func (h *handle) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	t := h.t
	t.mu.Lock()
	tostop := t.termios.Lflag&unix.TOSTOP != 0
	t.mu.Unlock()
	if tostop {
		if err := t.background(c, int(unix.SIGTTOU)); err != nil {
			return 0, 0, err
		}
	}
	var chunk [512]byte
	done := 0
	for b.Len() > 0 {
		peek := *b
		n := min(b.Len(), len(chunk))
		if _, err := peek.CopyIn(chunk[:n]); err != nil {
			if done > 0 {
				return done, 0, nil
			}
			return 0, 0, err
		}
		t.mu.Lock()
		if h.hungUp() || t.lineGone {
			t.unlock()
			if done > 0 {
				return done, 0, nil
			}
			return 0, 0, unix.EIO
		}
		took := t.write(chunk[:n])
		t.unlock()
		done += took
		if took < n {
			_, _ = b.CopyIn(chunk[:took])
			return done, 0, unix.EAGAIN
		}
		*b = peek
	}
	return done, 0, nil
}

// Poll is n_tty_poll of Linux.
func (h *handle) Poll(*vfs.File) wait.Events {
	t := h.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.hungUp() {
		return wait.Readable | wait.Writable | wait.Err | wait.Hup
	}
	var ev wait.Events
	if t.available(true) {
		ev |= wait.Readable
	}
	if t.lineGone {
		ev |= wait.Hup
	}
	if !t.stopped && t.line.buffered() < wakeupChars && t.line.room() > 0 {
		ev |= wait.Writable
	}
	return ev
}

// Queue announces input, room and hang-up.
func (h *handle) Queue(*vfs.File) *wait.Queue { return &h.t.queue }

// Seek and Sync are refused as Linux does.
func (h *handle) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, unix.ESPIPE }

// Release closes one file.
func (h *handle) Release(*vfs.File) {
	t := h.t
	t.mu.Lock()
	if t.opens--; t.opens == 0 {
		t.exclusive = false
	}
	last := t.opens == 0
	p, _ := t.line.(*pty)
	if last && p != nil {
		p.slaveClosed()
	}
	t.mu.Unlock()
	if last && p != nil {
		p.queue.Notify(wait.Readable | wait.Hup)
	}
}

// hangup ends all open files of the terminal and its session's use of it.
func (t *Terminal) hangup() {
	t.mu.Lock()
	t.generation++
	session := t.session
	t.session, t.group = 0, 0
	t.head, t.tail, t.canon, t.pending = 0, 0, 0, nil
	t.ends = [inputSize / 64]uint64{}
	t.mu.Unlock()
	if session != 0 {
		HangupSession(session)
	}
	t.queue.Notify(wait.Readable | wait.Writable | wait.Err | wait.Hup)
}

// HangupSession takes the terminal from a session and sends its leader SIGHUP
// and SIGCONT: package task's, set when the machine boots.
var HangupSession = func(session int) {}

// SetWinsize changes the size and tells the foreground group.
func (t *Terminal) SetWinsize(w unix.Winsize) {
	t.mu.Lock()
	if t.winsize != w {
		t.winsize = w
		t.signals = append(t.signals, int(unix.SIGWINCH))
	}
	t.unlock()
}
