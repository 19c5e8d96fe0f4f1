package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"husk/test/compat/job"
)

// sweep knows how to run jobs natively and in husk.
type sweep struct {
	husk, driver string
	batch        int
}

// environment is what every program gets, on both sides.
var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "TZ=UTC0",
}

// seconds a program may take natively, and in a machine under emulation.
const (
	nativeSeconds = 5
	huskSeconds   = 60
)

// baseline runs each program natively with --version, else --help, twice, and
// returns those that end with the same answer both times.
func (s *sweep) baseline(programs []string) (ok []program, skipped int, err error) {
	left := programs
	for _, argument := range []string{"--version", "--help"} {
		candidates := make([]program, len(left))
		for i, path := range left {
			candidates[i].args = []string{path, argument}
		}
		first, err := s.native(candidates)
		if err != nil {
			return nil, 0, err
		}
		second, err := s.native(candidates)
		if err != nil {
			return nil, 0, err
		}
		left = nil
		for i, c := range candidates {
			a, b := first[i], second[i]
			if a.Error != "" || a.TimedOut || a.Status != 0 || len(a.Stdout)+len(a.Stderr) == 0 || !same(a, b) {
				left = append(left, c.args[0])
				continue
			}
			c.native = a
			ok = append(ok, c)
		}
	}
	markForks(ok)
	return ok, len(left), nil
}

// markForks runs each program under strace, where there is one, to learn
// whether it starts other processes.
func markForks(list []program) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return
	}
	for i := range list {
		var log bytes.Buffer
		args := append([]string{"-f", "-qq", "-e", "trace=fork,vfork,clone,clone3", "-o", "/dev/stderr"}, list[i].args...)
		cmd := exec.Command(strace, args...)
		cmd.Env, cmd.Dir, cmd.Stderr = environment, os.TempDir(), &log
		_ = cmd.Run()
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "fork(") || strings.Contains(line, "clone") && !strings.Contains(line, "CLONE_THREAD") {
				list[i].forks = true
			}
		}
	}
}

// native runs programs on this machine; results are in their order.
func (s *sweep) native(list []program) (map[int]job.Result, error) {
	return s.drive(exec.Command(s.driver), list, 0, nativeSeconds)
}

// inHusk runs them in husk, a batch a boot; what a machine that ends early
// leaves out is run again in a machine of its own.
func (s *sweep) inHusk(list []program) (map[int]job.Result, error) {
	all := map[int]job.Result{}
	for start := 0; start < len(list); start += s.batch {
		end := min(start+s.batch, len(list))
		got, err := s.drive(s.machine(), list[start:end], start, huskSeconds)
		if err != nil {
			fmt.Fprintf(os.Stderr, "compat: batch at %d: %v\n", start, err)
		}
		for id, r := range got {
			all[id] = r
		}
		for id := start; id < end; id++ {
			if _, ok := all[id]; ok {
				continue
			}
			got, err := s.drive(s.machine(), list[id:id+1], id, huskSeconds)
			if r, ok := got[id]; ok {
				all[id] = r
				continue
			}
			all[id] = job.Result{ID: id, Error: fmt.Sprint("the machine ended: ", err)}
		}
		fmt.Fprintf(os.Stderr, "compat: %d of %d\n", end, len(list))
	}
	return all, nil
}

// machine is the command that runs the driver in husk with the host's files. It
// has more than 1 GiB of memory: gcc's programs show defaults that depend on it.
func (s *sweep) machine() *exec.Cmd {
	return exec.Command(s.husk, "run", "-r", "/", "-m", "1280M", s.driver)
}

// drive feeds jobs to a driver and collects its results by number.
func (s *sweep) drive(cmd *exec.Cmd, list []program, firstID, seconds int) (map[int]job.Result, error) {
	var jobs, out, errs bytes.Buffer
	in := json.NewEncoder(&jobs)
	for i, p := range list {
		if err := in.Encode(job.Job{ID: firstID + i, Args: p.args, Env: environment, Seconds: seconds}); err != nil {
			return nil, err
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &jobs, &out, &errs
	runErr := cmd.Run()
	results := map[int]job.Result{}
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r job.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			break // cut short by the end of the machine
		}
		results[r.ID] = r
	}
	if runErr != nil {
		return results, fmt.Errorf("%w: %s", runErr, lastLine(errs.String()))
	}
	return results, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// volatile is what differs in honest programs: addresses from run to run, and
// the processor, which is an emulated one in the machine.
var volatile = regexp.MustCompile(`0x[0-9a-f]{6,}|Host CPU: [\w-]+`)

// same compares two results byte for byte, but for what is volatile.
func same(a, b job.Result) bool {
	return a.Status == b.Status && a.TimedOut == b.TimedOut && a.Error == b.Error &&
		bytes.Equal(normal(a.Stdout), normal(b.Stdout)) && bytes.Equal(normal(a.Stderr), normal(b.Stderr))
}

func normal(b []byte) []byte { return volatile.ReplaceAll(b, []byte("VOLATILE")) }
