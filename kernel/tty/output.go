package tty

import (
	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

// xtabs is TAB3 of c_oflag: tabs become spaces.
const xtabs = 0o14000

func (t *Terminal) oflag(f uint32) bool { return t.termios.Oflag&f != 0 }

// write passes p through output processing and returns how much of it found
// room. mu is held.
func (t *Terminal) write(p []byte) int {
	t.showEchoes()
	if t.stopped {
		return 0
	}
	if !t.oflag(unix.OPOST) {
		n := min(len(p), t.line.room())
		t.line.put(p[:n])
		return n
	}
	for i := 0; i < len(p); i++ {
		// Runs of ordinary characters go out together.
		run := i
		for run < len(p) && plain(p[run]) && !t.oflag(unix.OLCUC) {
			run++
		}
		if run > i {
			n := min(run-i, t.line.room())
			t.line.put(p[i : i+n])
			for _, c := range p[i : i+n] {
				if !t.continuation(c) {
					t.column++
				}
			}
			if n < run-i {
				return i + n
			}
			i = run - 1
			continue
		}
		if !t.process(p[i]) {
			return i
		}
	}
	return len(p)
}

func plain(c byte) bool { return c >= 0x20 && c != 0x7f }

// process is output processing of one character (do_output_char); false says
// that there was no room.
func (t *Terminal) process(c byte) bool {
	room := t.line.room()
	if room == 0 {
		return false
	}
	switch c {
	case '\n':
		if t.oflag(unix.ONLRET) {
			t.column = 0
		}
		if t.oflag(unix.ONLCR) {
			if room < 2 {
				return false
			}
			t.canonColumn, t.column = 0, 0
			t.line.put([]byte{'\r', '\n'})
			return true
		}
		t.canonColumn = t.column
	case '\r':
		if t.oflag(unix.ONOCR) && t.column == 0 {
			return true
		}
		if t.oflag(unix.OCRNL) {
			c = '\n'
			if t.oflag(unix.ONLRET) {
				t.canonColumn, t.column = 0, 0
			}
			break
		}
		t.canonColumn, t.column = 0, 0
	case '\t':
		spaces := 8 - t.column&7
		if t.termios.Oflag&xtabs == xtabs {
			if room < spaces {
				return false
			}
			t.column += spaces
			t.line.put([]byte("        ")[:spaces])
			return true
		}
		t.column += spaces
	case '\b':
		t.column = max(t.column-1, 0)
	default:
		if !control(c) {
			if t.oflag(unix.OLCUC) {
				c = upper(c)
			}
			if !t.continuation(c) {
				t.column++
			}
		}
	}
	t.line.put([]byte{c})
	return true
}

// emit puts a character out as it is.
func (t *Terminal) emit(c byte) {
	if t.line.room() > 0 {
		t.line.put([]byte{c})
	}
}

// Echoes are queued while input is processed and shown after it, so that a
// signal can take back those that were not shown yet, and output that is
// stopped holds them up. An echo is a character that goes through output
// processing, or one of these with an operand in its low byte.
const (
	echoControl  = 0x100 // ^X
	echoErase    = 0x200 // move back over a tab: columns before it
	echoEraseTab = 0x300 // the same, when another tab comes before it
	echoSetCol   = 0x400 // the line being edited begins here
	echoBack     = 0x500 // the cursor is one column further left than counted
	echoLimit    = 4096
	echoBatch    = 256 // ECHO_COMMIT_WATERMARK
)

func (t *Terminal) queueEcho(op uint16) {
	if len(t.echoes) == echoLimit {
		t.echoes = append(t.echoes[:0], t.echoes[1:]...)
	}
	t.echoes = append(t.echoes, op)
	if len(t.echoes) >= echoBatch {
		t.showEchoes()
	}
}

// echo shows a typed character, control characters as ^X where ECHOCTL says.
func (t *Terminal) echo(c byte) {
	if t.lflag(unix.ECHOCTL) && control(c) && c != '\t' {
		t.queueEcho(echoControl | uint16(c))
		return
	}
	t.queueEcho(uint16(c))
}

// echoRaw shows a character after output processing.
func (t *Terminal) echoRaw(c byte) { t.queueEcho(uint16(c)) }

// showEchoes shows what is queued as far as there is room.
func (t *Terminal) showEchoes() {
	done := 0
	for done < len(t.echoes) && t.showEcho(t.echoes[done]) {
		done++
	}
	t.echoes = append(t.echoes[:0], t.echoes[done:]...)
}

func (t *Terminal) showEcho(op uint16) bool {
	if t.stopped {
		return false
	}
	c := byte(op)
	switch op &^ 0xff {
	case 0:
		if c == 0xff && t.line.room() > 0 { // as Linux, whose queue has it for an escape
			t.emit(c)
			t.column++
			break
		}
		if t.oflag(unix.OPOST) {
			return t.process(c)
		}
		if t.line.room() == 0 {
			return false
		}
		t.emit(c)
	case echoControl:
		if t.line.room() < 2 {
			return false
		}
		t.emit('^')
		t.emit(c ^ 0x40)
		t.column += 2
	case echoErase, echoEraseTab:
		width := int(c)
		if op&^0xff == echoErase {
			width += t.canonColumn
		}
		n := 8 - width&7
		if t.line.room() < n {
			return false
		}
		for range n {
			t.emit('\b')
			t.column = max(t.column-1, 0)
		}
	case echoSetCol:
		t.canonColumn = t.column
	case echoBack:
		t.column = max(t.column-1, 0)
	}
	return true
}

// flow stops or starts output. mu is held.
func (t *Terminal) flow(on bool) {
	if t.stopped == !on || on && t.held {
		return
	}
	t.stopped = !on
	t.line.flowing(on)
	if on {
		t.queue.Notify(wait.Writable)
	}
}
