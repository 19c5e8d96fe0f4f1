//go:build unix

// Package terminal puts the user's terminal into raw mode for a machine with
// a tty of its own, and back.
package terminal

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// IsTerminal tells whether f is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getAttributes)
	return err == nil
}

// Size gives height and width of the terminal f in characters.
func Size(f *os.File) (height, width uint16, err error) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, err
	}
	return w.Row, w.Col, nil
}

// Foreground tells whether we may use the terminal f, being in its
// foreground process group.
func Foreground(f *os.File) bool {
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), unix.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == unix.Getpgrp()
}

// Raw is a terminal whose attributes can be switched. All methods may be
// called at any time from any goroutine, and on a nil Raw.
type Raw struct {
	mu    sync.Mutex
	fd    int
	saved unix.Termios
	raw   bool
}

// New remembers the attributes of f.
func New(f *os.File) (*Raw, error) {
	fd := int(f.Fd())
	saved, err := unix.IoctlGetTermios(fd, getAttributes)
	if err != nil {
		return nil, errors.New("not a terminal")
	}
	return &Raw{fd: fd, saved: *saved}, nil
}

// Enter makes the terminal raw: each byte goes through as it is typed.
func (r *Raw) Enter() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.saved
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN] = 1
	t.Cc[unix.VTIME] = 0
	if err := unix.IoctlSetTermios(r.fd, setAttributes, &t); err != nil {
		return err
	}
	r.raw = true
	return nil
}

// Settings are the attributes that New found, as "stty -g" of Linux prints
// them; empty where those of this machine mean something else.
func (r *Raw) Settings() string { return settings(&r.saved) }

// Leave puts the attributes back, once.
func (r *Raw) Leave() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.raw {
		r.raw = false
		_ = unix.IoctlSetTermios(r.fd, setAttributes, &r.saved)
	}
}
