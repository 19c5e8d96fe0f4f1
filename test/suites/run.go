package suites

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"husk/test/suites/job"
)

// Runner runs suites.
type Runner struct {
	Husk   string // the command
	Driver string // the static driver: see BuildDriver
	CPUs   int
	Memory string
	Flags  []string // more flags of husk run
	Batch  int      // suites a boot
	// Repeat is how often a suite that died or left a test without verdict
	// goes on behind that test, in a machine of its own.
	Repeat     int
	Exceptions *Exceptions
	Log        io.Writer
	// Logs, if not empty, is a directory that gets the output of every suite.
	Logs string
	// Known, if not empty, is such a directory of an earlier run. What ran
	// natively then is not run again.
	Known string
}

// BuildDriver builds the driver into a directory.
func BuildDriver(dir string) (string, error) {
	out := filepath.Join(dir, "suites-driver")
	cmd := exec.Command("go", "build", "-o", out, "husk/test/suites/driver")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the driver: %w: %s", err, text)
	}
	return out, nil
}

// Run runs the suites on both sides and compares.
func (r *Runner) Run(list []Suite) (*Report, error) {
	if r.Exceptions == nil {
		r.Exceptions = &Exceptions{}
	}
	native, err := r.native(list)
	if err != nil {
		return nil, err
	}
	return Compare(list, native, r.inHusk(list), r.Exceptions), nil
}

// keep writes the output of a suite into r.Logs.
func (r *Runner) keep(s Suite, o Outcome, side string) {
	if r.Logs == "" {
		return
	}
	err := os.MkdirAll(r.Logs, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(r.Logs, logName(s, side)), o.Output, 0o644)
	}
	if err != nil {
		r.logf("%v", err)
	}
}

func logName(s Suite, side string) string { return strings.ReplaceAll(s.Name, "/", "_") + "." + side }

// native runs the suites on this machine.
func (r *Runner) native(list []Suite) ([]Outcome, error) {
	outcomes := make([]Outcome, len(list))
	for i, s := range list {
		if out, err := os.ReadFile(filepath.Join(r.Known, logName(s, "native"))); err == nil && r.Known != "" {
			outcomes[i] = Outcome{Output: out, Verdicts: s.Verdicts(out)}
			continue
		}
		got, err := r.drive(exec.Command(r.Driver), []Suite{s})
		if err != nil {
			return nil, fmt.Errorf("%s natively: %w", s.Name, err)
		}
		outcomes[i] = got[0]
		r.keep(s, got[0], "native")
	}
	return outcomes, nil
}

// inHusk runs the suites in husk, a batch a boot. What a machine that ended
// early left out runs in a machine of its own.
func (r *Runner) inHusk(list []Suite) []Outcome {
	var outcomes []Outcome
	for start := 0; start < len(list); start += r.Batch {
		batch := list[start:min(start+r.Batch, len(list))]
		got, err := r.drive(r.machine(), batch)
		for i := range batch {
			if got[i].Ended != "" {
				continue
			}
			if got[i].Output == nil && i > 0 {
				var again []Outcome
				again, err = r.drive(r.machine(), batch[i:i+1])
				got[i] = again[0]
			}
			if got[i].Ended == "" {
				got[i].Ended = fmt.Sprint("the machine ended: ", err)
			}
		}
		for i, s := range batch {
			got[i] = r.goOn(s, got[i])
			r.keep(s, got[i], "husk")
		}
		outcomes = append(outcomes, got...)
	}
	return outcomes
}

// goOn runs the rest of a suite that left tests unfinished.
func (r *Runner) goOn(s Suite, o Outcome) Outcome {
	for range r.Repeat {
		stuck := o.unfinished()
		if s.Without == nil || len(stuck) == 0 {
			break
		}
		r.logf("%s: %s: going on behind %s", s.Name, o.Ended, strings.Join(stuck, " "))
		rest := s
		rest.Args = s.Without(append(append(r.Exceptions.skipped(s.Name), stuck...), o.judged()...))
		rest.Without = nil
		got, err := r.drive(r.machine(), []Suite{rest})
		more := got[0]
		if more.Ended == "" {
			more.Ended = fmt.Sprint("the machine ended: ", err)
		}
		progress := false
		for test, v := range more.Verdicts {
			if _, known := o.Verdicts[test]; !known {
				o.Verdicts[test], progress = v, true
			}
		}
		// What was unfinished stays a difference, but is not tried again.
		for _, test := range stuck {
			o.Verdicts[test] = Fail
		}
		o.Output, o.Took = append(o.Output, more.Output...), o.Took+more.Took
		if !progress {
			break
		}
		o.Ended += "; " + more.Ended
	}
	return o
}

// machine is the command that runs the driver in husk with the host's files.
func (r *Runner) machine() *exec.Cmd {
	args := []string{"run", "-r", "/", "-w", "/", "-m", r.Memory, "--cpus", strconv.Itoa(r.CPUs)}
	return exec.Command(r.Husk, append(append(args, r.Flags...), r.Driver)...)
}

// drive gives suites to a driver and collects their outcomes. One that was not
// reached has no output, and one that did not end says nothing of its end. The
// driver itself is stopped when it is much too late: then the machine hangs.
func (r *Runner) drive(cmd *exec.Cmd, list []Suite) ([]Outcome, error) {
	var jobs, errs bytes.Buffer
	patience := 120 * time.Second
	in := json.NewEncoder(&jobs)
	for i, s := range list {
		args := s.Args
		if skip := r.Exceptions.skipped(s.Name); len(skip) > 0 && s.Without != nil {
			args = s.Without(skip)
		}
		env := append(append([]string{}, Environment...), s.Env...)
		if err := in.Encode(job.Job{ID: i, Args: args, Dir: s.Dir, Env: env, Seconds: s.Seconds}); err != nil {
			return nil, err
		}
		patience += time.Duration(s.Seconds+30) * time.Second
	}
	outcomes := make([]Outcome, len(list))
	cmd.Stdin, cmd.Stderr = &jobs, &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return outcomes, err
	}
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	events := json.NewDecoder(out)
	for {
		var e job.Event
		if err := events.Decode(&e); err != nil || e.ID < 0 || e.ID >= len(list) {
			break
		}
		o := &outcomes[e.ID]
		o.Output = append(o.Output, e.Output...)
		if e.Ended != "" {
			o.Ended, o.Took = e.Ended, time.Duration(e.Seconds*float64(time.Second))
			r.logf("%s: %s after %.1f s", list[e.ID].Name, o.Ended, e.Seconds)
		}
	}
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	if !hung.Stop() {
		err = fmt.Errorf("it hung for %v", patience)
	} else if err != nil {
		err = fmt.Errorf("%w: %s", err, tail(errs.String()))
	}
	for i, s := range list {
		outcomes[i].Verdicts = s.Verdicts(outcomes[i].Output)
	}
	return outcomes, err
}

// tail is the end of a text, as much of it as one wants to read.
func tail(s string) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-4000):]
}

func (r *Runner) logf(format string, args ...any) {
	if r.Log != nil {
		fmt.Fprintf(r.Log, "suites: "+format+"\n", args...)
	}
}
