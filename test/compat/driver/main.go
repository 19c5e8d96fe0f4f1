// Command driver runs many programs one after the other and reports what each
// did. The same static binary runs natively and as the first process of a
// machine, so that the two reports can be compared.
//
// It reads jobs as JSON lines from its standard input and writes results as
// JSON lines to its standard output. A program gets the job's environment,
// /dev/null for input, a scratch working directory, and a time limit.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"husk/test/compat/job"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	results := json.NewEncoder(out)
	for lines.Scan() {
		var j job.Job
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			return err
		}
		if err := results.Encode(execute(j)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// execute runs one program to its end.
func execute(j job.Job) job.Result {
	dir, err := os.MkdirTemp("/tmp", "compat")
	if err != nil {
		return job.Result{ID: j.ID, Error: err.Error()}
	}
	defer os.RemoveAll(dir)
	stdout, stderr := &head{limit: job.Limit}, &head{limit: job.Limit}
	cmd := exec.Command(j.Args[0], j.Args[1:]...)
	cmd.Dir, cmd.Env = dir, j.Env
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return job.Result{ID: j.ID, Error: err.Error()}
	}
	// The whole session is killed: a program may have left children.
	late := time.AfterFunc(time.Duration(j.Seconds)*time.Second, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	err = cmd.Wait()
	r := job.Result{ID: j.ID, TimedOut: !late.Stop(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		r.Status = status.ExitStatus()
		if status.Signaled() {
			r.Status = 128 + int(status.Signal())
		}
	default:
		r.Error = err.Error()
	}
	return r
}

// head keeps the first bytes of what is written to it.
type head struct {
	bytes.Buffer
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), max(0, h.limit-h.Len()))])
	return len(p), nil
}
