package terminal

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	getAttributes = unix.TCGETS
	setAttributes = unix.TCSETS
)

// settings is what "stty -g" prints.
func settings(t *unix.Termios) string {
	s := fmt.Sprintf("%x:%x:%x:%x", t.Iflag, t.Oflag, t.Cflag, t.Lflag)
	for _, c := range t.Cc {
		s += fmt.Sprintf(":%x", c)
	}
	return s
}
