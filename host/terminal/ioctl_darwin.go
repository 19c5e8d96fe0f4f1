package terminal

import "golang.org/x/sys/unix"

const (
	getAttributes = unix.TIOCGETA
	setAttributes = unix.TIOCSETA
)

// settings of a terminal with other flags: none.
func settings(*unix.Termios) string { return "" }
