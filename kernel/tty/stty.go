package tty

import (
	"strconv"
	"strings"
)

// Restore sets the terminal as a line of "stty -g" says: four sets of flags
// and the control characters, in hexadecimal, separated by colons. A line
// that makes no sense changes nothing.
func (t *Terminal) Restore(line string) {
	t.mu.Lock()
	defer t.unlock()
	next := t.termios
	if next.parse(line) {
		t.termios = next
	}
}

// parse reports whether the line was whole.
func (t *Termios) parse(line string) bool {
	field := func(bits int) (uint32, bool) {
		s, rest, _ := strings.Cut(line, ":")
		line = rest
		v, err := strconv.ParseUint(s, 16, bits)
		return uint32(v), err == nil
	}
	for _, to := range []*uint32{&t.Iflag, &t.Oflag, &t.Cflag, &t.Lflag} {
		v, ok := field(32)
		if !ok {
			return false
		}
		*to = v
	}
	for i := 0; i < len(t.Cc) && line != ""; i++ {
		v, ok := field(8)
		if !ok {
			return false
		}
		t.Cc[i] = uint8(v)
	}
	t.setSpeeds()
	return true
}
