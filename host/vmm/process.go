package vmm

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Process is a running monitor. It is the leader of a process group of its
// own, so that the terminal's signals do not reach it, and it dies with us.
type Process struct {
	pid    int
	stderr tail
	done   chan struct{}
	err    error // why it ended; set before done is closed
}

// Start runs the program at path. files become its descriptors 3, 4, ….
func Start(path string, args []string, files []*os.File) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.ExtraFiles = files
	cmd.Stderr = &p.stderr
	cmd.SysProcAttr = processAttributes()
	started := make(chan error)
	go func() {
		// The parent-death signal is tied to the thread that starts the
		// child: that thread is kept until the child is gone.
		runtime.LockOSThread()
		defer close(p.done)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the monitor's process number.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig to the process group.
func (p *Process) Signal(sig syscall.Signal) {
	select {
	case <-p.done:
	default:
		signalGroup(p.pid, sig)
	}
}

// Kill ends the process group and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// ExitCode waits for the end and gives the exit status, -1 after a signal.
func (p *Process) ExitCode() int {
	<-p.done
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// Complaint is what the monitor last wrote on stderr, as one line.
func (p *Process) Complaint() string {
	return strings.Join(strings.FieldsFunc(p.stderr.String(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// tail keeps the last 4 KiB written to it.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if n := t.b.Len() - 4096; n > 0 {
		t.b.Next(n)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
