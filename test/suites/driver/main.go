// Command driver runs suites one after the other and passes on what they say.
// The same static binary runs natively and as the first process of a machine.
//
// It reads jobs as JSON lines from its standard input and writes events as
// JSON lines to its standard output while they happen, so that what a suite
// said before its machine died is not lost.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"husk/test/suites/job"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	jobs := json.NewDecoder(in)
	events := &events{out: json.NewEncoder(out)}
	for {
		var j job.Job
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		execute(j, events)
	}
}

// grace is how long a suite has after SIGQUIT.
const grace = 20 * time.Second

// execute runs one suite to its end.
func execute(j job.Job, events *events) {
	start := time.Now()
	end := func(format string, args ...any) {
		events.send(job.Event{ID: j.ID, Ended: fmt.Sprintf(format, args...), Seconds: time.Since(start).Seconds()})
	}
	cmd := exec.Command(j.Args[0], j.Args[1:]...)
	cmd.Dir, cmd.Env = j.Dir, j.Env
	cmd.Env = append(cmd.Env, "PWD="+j.Dir)
	w := &output{id: j.ID, events: events}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		end("%v", err)
		return
	}
	limit := time.Duration(j.Seconds) * time.Second
	late := time.AfterFunc(limit, func() { _ = syscall.Kill(cmd.Process.Pid, syscall.SIGQUIT) })
	// The whole group is killed: a suite may have left children.
	later := time.AfterFunc(limit+grace, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	timedOut := !late.Stop()
	later.Stop()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	var exit *exec.ExitError
	switch {
	case timedOut:
		end("no end within %d s", j.Seconds)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		end("status 0")
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			end("signal %d", int(status.Signal()))
		} else {
			end("status %d", status.ExitStatus())
		}
	default:
		end("%v", err)
	}
}

// events is the one stream that all goroutines write to.
type events struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (e *events) send(event job.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.out.Encode(event)
}

// output passes on what a suite writes.
type output struct {
	id     int
	events *events
}

func (o *output) Write(p []byte) (int, error) {
	o.events.send(job.Event{ID: o.id, Output: p})
	return len(p), nil
}
