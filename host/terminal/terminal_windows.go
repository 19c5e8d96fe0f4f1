package terminal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// IsTerminal tells whether f is one.
func IsTerminal(f *os.File) bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}

// Size gives height and width of the terminal f in characters.
func Size(f *os.File) (height, width uint16, err error) {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0, 0, err
	}
	return uint16(info.Window.Bottom - info.Window.Top + 1), uint16(info.Window.Right - info.Window.Left + 1), nil
}

// Foreground tells whether we may use the terminal.
func Foreground(*os.File) bool { return true }

// SameFile tells whether two files are one, as far as is known.
func SameFile(f, g *os.File) bool { return f == g }

// Settings are those of a terminal that has none.
func (r *Raw) Settings() string { return "" }

// Raw is not there yet: machines cannot be started on Windows.
type Raw struct{}

// New remembers the attributes of f.
func New(*os.File) (*Raw, error) { return nil, errors.ErrUnsupported }

// Enter makes the terminal raw.
func (r *Raw) Enter() error { return nil }

// Leave puts the attributes back.
func (r *Raw) Leave() {}
