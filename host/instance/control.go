package instance

import (
	"bufio"
	"os"
	"os/signal"
	"syscall"
	"time"

	"husk/spec"
)

// readControl passes the guest's messages on and closes to at the end.
// What it does not understand it leaves out.
func (r *run) readControl(to chan<- *spec.Message) {
	defer close(to)
	in := bufio.NewReaderSize(r.control, spec.MaxMessage)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		m, err := spec.ParseMessage(line)
		if err != nil || m.Type == spec.TypeExit && m.Exit == nil {
			continue
		}
		select {
		case to <- m:
		case <-r.quit:
			return
		}
	}
}

// send gives false when the guest is gone or has stopped listening.
func (r *run) send(m *spec.Message) bool {
	r.controlMu.Lock()
	defer r.controlMu.Unlock()
	_ = r.control.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := r.control.Write(spec.AppendMessage(nil, m))
	return err == nil
}

// guestSignals are the signals that are passed on, with their numbers in the
// guest.
var guestSignals = map[os.Signal]int{
	syscall.SIGHUP:  1,
	syscall.SIGINT:  2,
	syscall.SIGQUIT: 3,
	sigUSR1:         10,
	sigUSR2:         12,
	syscall.SIGALRM: 14,
	syscall.SIGTERM: 15,
}

// catch subscribes to what a local program would be sent. What is ignored
// when we start (nohup, a job in the background) stays so.
func catch(window bool) chan os.Signal {
	c := make(chan os.Signal, 16)
	for s := range guestSignals {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	if !signal.Ignored(sigTSTP) {
		signal.Notify(c, sigTSTP, sigCONT)
	}
	if window {
		signal.Notify(c, sigWINCH)
	}
	// A write to a closed stdout shall fail, not end us before the guest
	// has been told.
	signal.Ignore(syscall.SIGPIPE)
	return c
}

// signal handles one signal. end means that the machine is to be killed.
func (r *run) signal(s os.Signal) (status int, end bool) {
	switch s {
	case sigWINCH:
		r.window()
		return 0, false
	case sigTSTP:
		r.suspend()
		return 0, false
	case sigCONT:
		return 0, false
	}
	n := guestSignals[s]
	fatal := n == 1 || n == 2 || n == 3 || n == 15
	if fatal && !r.ready {
		// There is no program yet to decide.
		return Status(n), true
	}
	if s == syscall.SIGINT {
		if time.Since(r.lastInterrupt) < secondInterrupt {
			return Status(n), true
		}
		r.lastInterrupt = time.Now()
	}
	if !r.send(&spec.Message{Type: spec.TypeSignal, Signal: n}) && fatal {
		return Status(n), true
	}
	return 0, false
}

// window tells the guest the size of the terminal.
func (r *run) window() {
	if r.Size == nil {
		return
	}
	if height, width, err := r.Size(); err == nil {
		r.send(&spec.Message{Type: spec.TypeWinsize, Winsize: &spec.ConsoleSize{Height: height, Width: width}})
	}
}
