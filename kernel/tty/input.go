package tty

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/wait"
)

// disabled is the value of a control character that is off, and what stands
// in the buffer for an end of file.
const disabled = 0

func (t *Terminal) lflag(f uint32) bool { return t.termios.Lflag&f != 0 }
func (t *Terminal) iflag(f uint32) bool { return t.termios.Iflag&f != 0 }

// is reports whether c is the control character i, which must not be off.
func (t *Terminal) is(c byte, i int) bool {
	return t.termios.Cc[i] != disabled && t.termios.Cc[i] == c
}

func (t *Terminal) at(pos uint32) byte { return t.buf[pos%inputSize] }

func (t *Terminal) isEnd(pos uint32) bool {
	i := pos % inputSize
	return t.ends[i/64]>>(i%64)&1 != 0
}

func (t *Terminal) markEnd(pos uint32, on bool) {
	i := pos % inputSize
	if on {
		t.ends[i/64] |= 1 << (i % 64)
	} else {
		t.ends[i/64] &^= 1 << (i % 64)
	}
}

// available reports whether a read would find something; poll asks for VMIN
// bytes where read waits for them.
func (t *Terminal) available(poll bool) bool {
	if t.lflag(unix.ICANON) && !t.lflag(unix.EXTPROC) {
		return t.canon != t.tail
	}
	least := uint32(1)
	if poll && t.termios.Cc[unix.VTIME] == 0 && t.termios.Cc[unix.VMIN] != 0 {
		least = uint32(t.termios.Cc[unix.VMIN])
	}
	return t.head-t.tail >= least
}

// receive takes bytes that arrived and returns how many; the others wait with
// the sender. mu is held.
func (t *Terminal) receive(p []byte) int {
	n := min(len(p), outputSize-len(t.pending))
	t.pending = append(t.pending, p[:n]...)
	t.accept()
	return n
}

// accept gives pending bytes to the line discipline as far as it has room, and
// tells readers.
func (t *Terminal) accept() {
	done := 0
	t.batch = t.line.mark()
	for done < len(t.pending) && t.hasRoom() {
		t.input(t.pending[done])
		done++
	}
	if done == 0 {
		return
	}
	if t.termios.Lflag&(unix.ECHO|unix.ECHONL) != 0 {
		t.showEchoes()
	}
	t.pending = append(t.pending[:0], t.pending[done:]...)
	if t.available(true) || t.head != t.tail {
		t.queue.Notify(wait.Readable)
	}
	t.line.consumed()
}

// hasRoom makes sure that one more character can be stored. In a line that
// fills the buffer further characters replace the last, so that its end still
// gets in.
func (t *Terminal) hasRoom() bool {
	room := inputSize - int(t.head-t.tail)
	if t.iflag(unix.PARMRK) {
		room = (room + 2) / 3
	}
	if room--; room > 0 {
		return true
	}
	overflow := t.lflag(unix.ICANON) && t.canon == t.tail
	if overflow && room < 0 {
		t.head--
	}
	return overflow
}

func (t *Terminal) store(c byte) {
	t.buf[t.head%inputSize] = c
	t.head++
}

// put stores a character, doubling 0xff where that marks errors.
func (t *Terminal) put(c byte) {
	if c == 0xff && t.iflag(unix.PARMRK) {
		t.store(c)
	}
	t.store(c)
}

// input is the line discipline for one character (n_tty_receive_char).
func (t *Terminal) input(c byte) {
	if t.literal {
		t.literal = false
		if t.iflag(unix.ISTRIP) {
			c &= 0x7f
		}
		t.ordinary(c, true)
		return
	}
	raw := t.termios.Lflag&(unix.ISIG|unix.ICANON|unix.ECHO|unix.ECHONL|unix.IEXTEN) == 0 &&
		t.termios.Iflag&(unix.IXON|unix.ICRNL|unix.INLCR|unix.IGNCR|unix.ISTRIP|unix.IUCLC|unix.PARMRK) == 0
	if raw {
		t.store(c)
		return
	}
	if t.iflag(unix.ISTRIP) {
		c &= 0x7f
	}
	if t.iflag(unix.IUCLC) && t.lflag(unix.IEXTEN) {
		c = lower(c)
	}
	if t.lflag(unix.EXTPROC) {
		t.store(c)
		return
	}
	if t.iflag(unix.IXON) {
		start, stop := t.is(c, unix.VSTART), t.is(c, unix.VSTOP)
		switch {
		case start && stop:
			t.flow(t.stopped)
			t.showEchoes()
			return
		case start:
			t.flow(true)
			t.showEchoes()
			return
		case stop:
			t.flow(false)
			return
		}
	}
	if t.stopped && !t.held && t.iflag(unix.IXON) && t.iflag(unix.IXANY) && !t.signalChar(c) {
		t.flow(true)
		t.showEchoes()
	}
	if t.lflag(unix.ISIG) {
		switch {
		case t.is(c, unix.VINTR):
			t.signal(int(unix.SIGINT), c)
			return
		case t.is(c, unix.VQUIT):
			t.signal(int(unix.SIGQUIT), c)
			return
		case t.is(c, unix.VSUSP):
			t.signal(int(unix.SIGTSTP), c)
			return
		}
	}
	typed := true
	switch c {
	case '\r':
		if t.iflag(unix.IGNCR) {
			return
		}
		if t.iflag(unix.ICRNL) {
			c, typed = '\n', false
		}
	case '\n':
		if t.iflag(unix.INLCR) {
			c = '\r'
		}
	}
	if t.lflag(unix.ICANON) && t.edit(c) {
		return
	}
	t.ordinary(c, typed)
}

func (t *Terminal) signalChar(c byte) bool {
	return t.lflag(unix.ISIG) && (t.is(c, unix.VINTR) || t.is(c, unix.VQUIT) || t.is(c, unix.VSUSP))
}

// ordinary stores a character and echoes it. A newline that was
// typed as such, and does not end a line, shows as ^J.
func (t *Terminal) ordinary(c byte, typed bool) {
	if t.lflag(unix.ECHO) {
		t.finishErasing()
		if c == '\n' && !typed {
			t.echoRaw('\n')
		} else {
			if t.canon == t.head {
				t.queueEcho(echoSetCol)
			}
			t.echo(c)
		}
	}
	t.put(c)
}

// signal raises sig for the foreground group, and drops what was typed and
// what is yet to be shown unless NOFLSH forbids.
func (t *Terminal) signal(sig int, c byte) {
	t.signals = append(t.signals, sig)
	if !t.lflag(unix.NOFLSH) {
		t.echoes = t.echoes[:0]
		t.line.discard(t.batch)
		t.dropInput()
		t.line.flushed()
	}
	if t.iflag(unix.IXON) {
		t.flow(true)
	}
	if t.lflag(unix.ECHO) {
		t.echo(c)
	}
}

// dropInput empties the line discipline's buffer.
func (t *Terminal) dropInput() {
	t.head, t.tail, t.canon = 0, 0, 0
	t.ends = [inputSize / 64]uint64{}
	t.erasing, t.literal, t.lineStart = false, false, 0
}

// edit does what canonical mode does beside storing; false leaves c to
// ordinary.
func (t *Terminal) edit(c byte) bool {
	extended := t.lflag(unix.IEXTEN)
	switch {
	case t.is(c, unix.VERASE), t.is(c, unix.VKILL), extended && t.is(c, unix.VWERASE):
		t.erase(c)
		return true
	case extended && t.is(c, unix.VLNEXT):
		t.literal = true
		if t.lflag(unix.ECHO) {
			t.finishErasing()
			if t.lflag(unix.ECHOCTL) {
				t.echoRaw('^')
				t.echoRaw('\b')
			}
		}
		return true
	case extended && t.lflag(unix.ECHO) && t.is(c, unix.VREPRINT):
		t.finishErasing()
		t.echo(c)
		t.echoRaw('\n')
		for pos := t.canon; pos != t.head; pos++ {
			t.echo(t.at(pos))
		}
		return true
	case c == '\n':
		if t.termios.Lflag&(unix.ECHO|unix.ECHONL) != 0 {
			t.echoRaw('\n')
		}
		t.endLine(c, false)
		return true
	case t.is(c, unix.VEOF):
		t.endLine(disabled, false)
		return true
	case t.is(c, unix.VEOL), extended && t.is(c, unix.VEOL2):
		if t.lflag(unix.ECHO) {
			if t.canon == t.head {
				t.queueEcho(echoSetCol)
			}
			t.echo(c)
		}
		t.endLine(c, c == 0xff && t.iflag(unix.PARMRK))
		return true
	}
	return false
}

// endLine stores the last character of a line and makes the line readable.
func (t *Terminal) endLine(c byte, double bool) {
	if double {
		t.store(c)
	}
	t.markEnd(t.head, true)
	t.store(c)
	t.canon = t.head
}

func (t *Terminal) finishErasing() {
	if t.erasing {
		t.echoRaw('/')
		t.erasing = false
	}
}

// continuation reports whether c is a later byte of a UTF-8 character.
func (t *Terminal) continuation(c byte) bool {
	return t.iflag(unix.IUTF8) && c&0xc0 == 0x80
}

// erase takes characters off the line being edited: one, a word or all
// (n_tty's eraser).
func (t *Terminal) erase(c byte) {
	if t.head == t.canon {
		return
	}
	one, word := t.is(c, unix.VERASE), false
	if !one {
		if word = t.lflag(unix.IEXTEN) && t.is(c, unix.VWERASE); !word {
			if !t.lflag(unix.ECHO) {
				t.head = t.canon
				return
			}
			if t.termios.Lflag&(unix.ECHOK|unix.ECHOKE|unix.ECHOE) != unix.ECHOK|unix.ECHOKE|unix.ECHOE {
				t.head = t.canon
				t.finishErasing()
				t.echo(t.termios.Cc[unix.VKILL])
				if t.lflag(unix.ECHOK) {
					t.echoRaw('\n')
				}
				return
			}
		}
	}
	seenWord := false
	for t.head != t.canon {
		pos := t.head
		for {
			pos--
			c = t.at(pos)
			if !t.continuation(c) || pos == t.canon {
				break
			}
		}
		if t.continuation(c) {
			break // a part of a character is not erased
		}
		if word {
			if alnum(c) || c == '_' {
				seenWord = true
			} else if seenWord {
				break
			}
		}
		count := t.head - pos
		t.head = pos
		if t.lflag(unix.ECHO) {
			t.echoErased(c, count, one)
		}
		if one {
			break
		}
	}
	if t.head == t.canon && t.lflag(unix.ECHO) {
		t.finishErasing()
	}
}

// echoErased shows that the character c, of count bytes, is gone.
func (t *Terminal) echoErased(c byte, count uint32, one bool) {
	switch {
	case t.lflag(unix.ECHOPRT):
		if !t.erasing {
			t.echoRaw('\\')
			t.erasing = true
		}
		t.echo(c)
		for i := uint32(1); i < count; i++ {
			t.echoRaw(t.at(t.head + i))
			t.queueEcho(echoBack)
		}
	case one && !t.lflag(unix.ECHOE):
		t.echo(t.termios.Cc[unix.VERASE])
	case c == '\t':
		width, afterTab := 0, false
		for pos := t.head; pos != t.canon; {
			pos--
			c := t.at(pos)
			if c == '\t' {
				afterTab = true
				break
			}
			if control(c) {
				if t.lflag(unix.ECHOCTL) {
					width += 2
				}
			} else if !t.continuation(c) {
				width++
			}
		}
		op := uint16(echoErase)
		if afterTab {
			op = echoEraseTab
		}
		t.queueEcho(op | uint16(width&7))
	default:
		if control(c) && t.lflag(unix.ECHOCTL) {
			t.echoRaw('\b')
			t.echoRaw(' ')
			t.echoRaw('\b')
		}
		if !control(c) || t.lflag(unix.ECHOCTL) {
			t.echoRaw('\b')
			t.echoRaw(' ')
			t.echoRaw('\b')
		}
	}
}

// take moves input to b: up to the end of a line in canonical mode. mu is
// held.
func (t *Terminal) take(b *mm.Buffer) (int, error) {
	if !t.lflag(unix.ICANON) || t.lflag(unix.EXTPROC) {
		n := min(int(t.head-t.tail), b.Len())
		return t.move(b, n)
	}
	want := min(int(t.canon-t.tail), b.Len())
	n, end := 0, false
	for n < want && !end {
		end = t.isEnd(t.tail + uint32(n))
		n++
	}
	eof := end && t.at(t.tail+uint32(n-1)) == disabled
	if eof {
		n--
	}
	done, err := t.move(b, n)
	if err != nil {
		return done, err
	}
	if eof {
		t.markEnd(t.tail, false)
		t.tail++
	} else if end {
		t.markEnd(t.tail-1, false)
	} else if b.Len() == 0 && t.tail != t.canon && t.isEnd(t.tail) && t.at(t.tail) == disabled {
		// A read that took all of a line but its end of file takes that too.
		t.markEnd(t.tail, false)
		t.tail++
	}
	return done, nil
}

// move copies n bytes of the ring to b and drops them.
func (t *Terminal) move(b *mm.Buffer, n int) (int, error) {
	done := 0
	for done < n {
		at := int(t.tail % inputSize)
		k, err := b.CopyOut(t.buf[at : at+min(n-done, inputSize-at)])
		t.tail += uint32(k)
		done += k
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
	}
	if !t.lflag(unix.ICANON) {
		t.canonFollows()
	}
	return done, nil
}

// canonFollows keeps canon from falling behind tail in raw mode.
func (t *Terminal) canonFollows() {
	if int32(t.canon-t.tail) < 0 {
		t.canon = t.tail
	}
}

// The classes of Linux's character table, Latin-1.

func control(c byte) bool { return c < 0x20 || c == 0x7f }

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c >= 0xc0 && c != 0xd7 && c != 0xf7
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' || c >= 0xc0 && c <= 0xde && c != 0xd7 {
		return c + 32
	}
	return c
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' || c >= 0xe0 && c != 0xf7 {
		return c - 32
	}
	return c
}
