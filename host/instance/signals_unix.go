//go:build unix

package instance

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"husk/spec"
)

// The signals that not every system has.
const (
	sigUSR1  = syscall.SIGUSR1
	sigUSR2  = syscall.SIGUSR2
	sigTSTP  = syscall.SIGTSTP
	sigCONT  = syscall.SIGCONT
	sigWINCH = syscall.SIGWINCH
)

// Signals of job control by their numbers in the guest.
const (
	guestCont = 18
	guestStop = 19
)

// suspend stops the machine and ourselves until we are continued.
func (r *run) suspend() {
	if orphaned() {
		return
	}
	r.process.Signal(syscall.SIGSTOP)
	r.Terminal.Leave()
	r.stop(syscall.Getpid(), syscall.SIGTSTP)
	r.process.Signal(syscall.SIGCONT)
}

// stopped does to us what a signal did to the first process, so that the
// shell that started us notices, and continues the program when we are. The
// machine runs on: others of its programs may.
func (r *run) stopped(sig int) {
	switch {
	case signal.Ignored(syscall.SIGTSTP):
	case sig == guestStop:
		r.Terminal.Leave()
		r.stop(syscall.Getpid(), syscall.SIGSTOP)
	case !orphaned():
		r.Terminal.Leave()
		r.stop(0, syscall.SIGTSTP) // as the keyboard does, to the whole of our group
	}
	r.window()
	r.send(&spec.Message{Type: spec.TypeSignal, Signal: guestCont})
}

// stop stops us, or with 0 our group, by a signal, and waits until we are
// continued.
func (r *run) stop(pid int, sig syscall.Signal) {
	restore := sendStop(pid, sig)
	r.resume()
	restore()
}

// orphaned tells whether nobody in our session may continue us: then the
// keyboard cannot stop us either. Who may is the first of our ancestors that
// is not in our process group.
func orphaned() bool {
	group := unix.Getpgrp()
	pid := os.Getppid()
	for {
		g, err := unix.Getpgid(pid)
		if err != nil {
			return true
		}
		if g != group {
			break
		}
		if pid = parentOf(pid); pid <= 0 {
			return true
		}
	}
	session, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	s, err := unix.Getsid(pid)
	return err != nil || s != session
}

// resume waits until we are continued. The stop may come a moment later on
// another thread; what ends it does not come before.
func (r *run) resume() {
	var held []os.Signal
	ends := false
	for s := range r.signals {
		if s == syscall.SIGCONT {
			break
		}
		if s != syscall.SIGTSTP {
			held = append(held, s) // SIGHUP comes before the SIGCONT that goes with it
			ends = ends || s == syscall.SIGHUP || s == syscall.SIGTERM
		}
	}
	for _, s := range held {
		select {
		case r.signals <- s:
		default:
		}
	}
	// A shell that exits continues us to let us end. Touching its terminal
	// from the background would stop us again, with nobody left.
	if r.Size != nil && !ends {
		_ = r.Terminal.Enter()
	}
}
