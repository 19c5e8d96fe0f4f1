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
	r.process.Signal(syscall.SIGSTOP)
	r.Terminal.Leave()
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
	r.resume()
	r.process.Signal(syscall.SIGCONT)
}

// stopped does to us what a signal did to the first process, so that the
// shell that started us notices, and continues the program when we are. The
// machine runs on: others of its programs may.
func (r *run) stopped(sig int) {
	if !signal.Ignored(syscall.SIGTSTP) && (sig == guestStop || hasShell()) {
		r.Terminal.Leave()
		// Our handler, which the runtime leaves in place, keeps SIGTSTP from
		// stopping us: SIGSTOP does.
		signal.Reset(syscall.SIGTSTP)
		if sig != guestStop {
			_ = syscall.Kill(0, syscall.SIGTSTP) // as the keyboard does, to the whole of our group
		}
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
		r.resume()
		signal.Notify(r.signals, syscall.SIGTSTP)
	}
	r.window()
	r.send(&spec.Message{Type: spec.TypeSignal, Signal: guestCont})
}

// hasShell tells whether somebody in our session may continue us: a leader
// of a session cannot be stopped from the keyboard.
func hasShell() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid != unix.Getpgrp()
}

// resume waits until we are continued. The stop may come a moment later on
// another thread; what ends it does not come before.
func (r *run) resume() {
	var held []os.Signal
	for s := range r.signals {
		if s == syscall.SIGCONT {
			break
		}
		if s != syscall.SIGTSTP {
			held = append(held, s) // SIGHUP comes before the SIGCONT that goes with it
		}
	}
	for _, s := range held {
		select {
		case r.signals <- s:
		default:
		}
	}
	if r.Size != nil {
		_ = r.Terminal.Enter()
	}
}
