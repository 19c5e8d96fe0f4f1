// Package instance runs a machine in the foreground: it connects the
// program's streams and signals with ours and ends with the program's status.
//
// What flows: stdin → port → program → ports → stdout and stderr, one pump (a
// goroutine) each; the control port carries signals in and the exit report
// out. The goroutine in Run owns the machine's life; the others only move
// bytes and end when their sockets do, which the end of the monitor causes.
package instance

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"husk/host/terminal"
	"husk/host/vmm"
	"husk/spec"
)

// Config is one run.
type Config struct {
	// Start starts the monitor.
	Start func(*vmm.Machine) (*vmm.Process, error)
	// Machine is what to start. Spec, Ports and Serial are filled in by Run.
	Machine vmm.Machine
	Spec    *spec.Spec

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// OneOutput says that Stdout and Stderr are one open file: the program
	// then has one stream for both, so that their order is kept.
	OneOutput bool
	// Terminal is ours when the program gets a tty and stdin is one.
	Terminal *terminal.Raw
	// Size asks for the terminal's size; nil without one.
	Size func() (height, width uint16, err error)
	// Trace receives the system call trace; nil when there is none.
	Trace io.Writer
	// Serial receives the kernel's own messages as they come; may be nil.
	Serial io.Writer
	// BootLimit is how long the kernel may take until the program runs; 0 is
	// for ever.
	BootLimit time.Duration
	// Ready, unless nil, is called once, when the kernel is about to start
	// the program: the monitor has opened all its files.
	Ready func()
	// HostPath finds the file on the host that the machine knows as path.
	HostPath func(path string) string
}

// secondInterrupt is how fast the second Ctrl-C must follow the first to
// mean: now.
const secondInterrupt = time.Second

// DeadError is a machine that ended without a report.
type DeadError struct {
	Booted bool   // the kernel had announced itself
	Reason string // what the monitor said
	Log    []byte // the last of the serial port
}

func (e *DeadError) Error() string {
	s := "run the machine: the kernel stopped without a report"
	if !e.Booted {
		s = "start the machine: the kernel did not boot"
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// StatusFailed is the exit status of husk's own failures.
const StatusFailed = 125

// Status is the exit status when a signal ended the program.
func Status(sig int) int { return 128 + sig }

// Run runs the machine and gives the exit status of the program. With an
// error it is husk that failed, or the program that could not be started.
func Run(c *Config) (status int, err error) {
	r := &run{Config: c, logDone: make(chan struct{}), quit: make(chan struct{})}
	defer r.close()
	// A panic on the way out finds the terminal as it was.
	defer r.Terminal.Leave()
	if err := r.open(); err != nil {
		return StatusFailed, err
	}
	// Signals first: one that arrives while the monitor starts must not
	// leave it behind.
	r.signals = catch(c.Size != nil)
	defer signal.Stop(r.signals)
	if err := r.Terminal.Enter(); err != nil {
		return StatusFailed, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	r.process, err = c.Start(&c.Machine)
	if err != nil {
		return StatusFailed, err
	}
	r.guard(r.drainSerial)
	defer func() {
		r.process.Kill()
		<-r.logDone
	}()
	for _, f := range r.theirs {
		f.Close()
	}
	r.theirs = nil
	return r.wait()
}

// run is the state of Run. Fields without a word are Run's own goroutine's.
type run struct {
	*Config
	process *vmm.Process
	signals chan os.Signal
	quit    chan struct{} // closed at the end of Run

	ready         bool // the guest has announced itself
	feeding       bool // stdin is being pumped
	lastInterrupt time.Time

	controlMu sync.Mutex // held while writing to control
	control   *os.File
	serial    *os.File
	input     *os.File // the port of stdin or the console
	stdout    *pump
	stderr    *pump // nil with a terminal or OneOutput
	trace     *pump // nil without a trace
	ours      []*os.File
	theirs    []*os.File

	log     ring // written by the serial goroutine until logDone is closed
	logDone chan struct{}
}

// open makes the streams and the run specification.
func (r *run) open() (err error) {
	port := func(name string) *os.File {
		ours, theirs := r.pair(name, &err)
		r.Machine.Ports = append(r.Machine.Ports, vmm.Port{Name: name, File: theirs})
		return ours
	}
	r.Machine.Ports = nil
	r.control = port(spec.PortControl)
	if r.Spec.Process.Terminal {
		r.input = port(spec.PortConsole)
		r.stdout = newPump("stdout", r.input, r.Stdout)
	} else {
		r.input = port(spec.PortStdin)
		r.stdout = newPump("stdout", port(spec.PortStdout), r.Stdout)
		if !r.OneOutput {
			r.stderr = newPump("stderr", port(spec.PortStderr), r.Stderr)
		}
	}
	if r.Trace != nil {
		r.trace = newPump("the trace", port(spec.PortTrace), r.Trace)
	}
	r.serial, r.Machine.Serial = r.pair("serial", &err)
	if err != nil {
		return err
	}
	r.Machine.Spec, err = vmm.File("spec", bytes.NewReader(spec.AppendSpec(nil, r.Spec)))
	if err != nil {
		return err
	}
	r.theirs = append(r.theirs, r.Machine.Spec)
	return nil
}

// pair makes one stream unless *err is set, and sets it on failure.
func (r *run) pair(name string, err *error) (ours, theirs *os.File) {
	if *err != nil {
		return nil, nil
	}
	ours, theirs, *err = vmm.SocketPair(name)
	if *err == nil {
		r.ours = append(r.ours, ours)
		r.theirs = append(r.theirs, theirs)
	}
	return ours, theirs
}

func (r *run) close() {
	close(r.quit)
	for _, f := range append(r.ours, r.theirs...) {
		f.Close()
	}
}

// wait sees the machine through to its end.
func (r *run) wait() (status int, err error) {
	messages := make(chan *spec.Message)
	r.guard(func() { r.readControl(messages) })
	for _, p := range r.outputs() {
		r.guard(p.run)
	}
	var late <-chan time.Time
	if r.BootLimit != 0 {
		t := time.NewTimer(r.BootLimit)
		defer t.Stop()
		late = t.C
	}
	var exit *spec.Exit
	for exit == nil {
		select {
		case <-late:
			r.process.Kill()
			return r.dead(fmt.Sprintf("no sign of life within %v", r.BootLimit))
		case m, open := <-messages:
			if !open {
				return r.dead("")
			}
			switch m.Type {
			case spec.TypeReady:
				if r.Ready != nil && !r.ready {
					r.Ready()
				}
				if !r.ready && r.listens() {
					r.process.WidenBacklogs()
				}
				r.ready, late = true, nil
				if m.Text != spec.ReadyAsks || r.Spec.Process.Terminal {
					r.startStdin()
				}
			case spec.TypeStdinWanted:
				r.startStdin()
			case spec.TypeStopped:
				r.stopped(m.Signal)
			case spec.TypeNotice:
				r.notice(m.Text)
			case spec.TypeExit:
				exit = m.Exit
			}
		case s := <-r.signals:
			if status, end := r.signal(s); end {
				return status, nil
			}
		}
	}
	arrived := make(chan struct{})
	r.guard(func() {
		defer close(arrived)
		r.stdout.finish(exit.Stdout)
		r.stderr.finish(exit.Stderr)
		r.trace.finish(exit.Trace)
	})
	for {
		select {
		case <-arrived:
			return r.report(exit)
		case s := <-r.signals:
			if status, end := r.signal(s); end {
				return status, nil
			}
		}
	}
}

// listens reports whether the monitor listens on ports of the host.
func (r *run) listens() bool {
	for _, c := range r.Machine.Cards {
		if c.User != nil && len(c.User.Forward) > 0 {
			return true
		}
	}
	return false
}

func (r *run) outputs() []*pump {
	all := []*pump{r.stdout}
	if r.stderr != nil {
		all = append(all, r.stderr)
	}
	if r.trace != nil {
		all = append(all, r.trace)
	}
	return all
}

// report turns the guest's last message into our end.
func (r *run) report(exit *spec.Exit) (status int, err error) {
	r.Terminal.Leave()
	for _, p := range r.outputs() {
		if p.err != nil {
			return StatusFailed, p.err
		}
	}
	if exit.Crash != nil {
		_, _ = r.Stderr.Write(FormatCrash(exit.Crash, r.HostPath))
	}
	switch {
	case exit.Error != "":
		return exit.Code, fmt.Errorf("run %s: %s", r.Spec.Process.Args[0], exit.Error)
	case exit.Signal != 0:
		return Status(exit.Signal), nil
	}
	return exit.Code, nil
}

// dead is the end without a report, for a reason that we know or the monitor.
func (r *run) dead(reason string) (status int, err error) {
	r.Terminal.Leave()
	// The monitor closes its streams just before it ends.
	select {
	case <-r.process.Done():
	case <-time.After(time.Second):
	}
	r.process.Kill()
	<-r.logDone
	if reason == "" {
		reason = r.process.Complaint()
	}
	return StatusFailed, &DeadError{Booted: r.ready, Reason: reason, Log: r.log.bytes()}
}

// notice writes one line for the user.
func (r *run) notice(text string) {
	end := "\n"
	if r.Terminal != nil {
		end = "\r\n"
	}
	fmt.Fprint(r.Stderr, "husk: ", text, end)
}

// guard starts a goroutine that leaves the terminal in order if it panics.
func (r *run) guard(f func()) {
	go func() {
		defer func() {
			if v := recover(); v != nil {
				r.Terminal.Leave()
				panic(v)
			}
		}()
		f()
	}()
}
