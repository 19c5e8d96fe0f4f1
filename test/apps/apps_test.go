// Package apps runs real applications natively and in a machine over the same
// files, and compares what they print: shells and job control, interpreters,
// make and gcc, git, and, when $HUSK_APPS is set ("make apps"), full-screen
// programs in tmux and PostgreSQL. It needs bin/husk, or the command that
// $HUSK names; what is not installed is left out on both sides.
package apps

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"husk/test/command"
)

// husk is the command under test.
func husk(t *testing.T) string {
	t.Helper()
	return command.Path(t)
}

// heavy skips what is too long for every run.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("HUSK_APPS") == "" {
		t.Skip("make apps runs it")
	}
}

// machine is where scripts run: here when it has no CPUs. starter, if there is
// one, is what screens.sh starts programs with.
type machine struct {
	cpus    int
	memory  string
	starter string
}

// run runs the scripts and gives what each printed. Both sides have the same
// environment, and no more in it than is needed.
func (m machine) run(t *testing.T, patience time.Duration, scripts ...string) map[string]string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/tmp", "LC_ALL=C.UTF-8", "TERM=dumb", "TZ=UTC", "SHELL=/bin/sh"}
	if m.starter != "" {
		env = append(env, "RUN="+m.starter)
	}
	args := append([]string{"env", "-i"}, env...)
	args = append(append(args, "bash", filepath.Join(dir, "run.sh")), scripts...)
	if m.cpus > 0 {
		args = append([]string{husk(t), "run", "-r", "/", "-w", "/tmp", "-m", m.memory, "--cpus", strconv.Itoa(m.cpus)}, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "/tmp"
	// Its end is not the end of what it started: that holds the pipe.
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", args, err, tail(string(out)))
	}
	printed := map[string]string{}
	for _, part := range strings.Split("\n"+string(out), "\n=== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		printed[name] = pids.ReplaceAllString(temporary.ReplaceAllString(text, "/tmp/tmp.X"), "${1} N ")
	}
	return printed
}

var (
	temporary = regexp.MustCompile(`/tmp/tmp\.\w{10}`)
	// bash names the process that a signal ended.
	pids = regexp.MustCompile(`(line \d+:) +\d+ `)
)

func tail(s string) string {
	const most = 2000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// compare runs the scripts here and in the machine: all must print the same.
func (m machine) compare(t *testing.T, patience time.Duration, scripts ...string) {
	t.Helper()
	bin := husk(t)
	_ = exec.Command(bin, "run", "true").Run() // says once which accelerator it found
	same(t, scripts, machine{}.run(t, patience, scripts...), m.run(t, patience, scripts...))
}

// same compares what scripts printed.
func same(t *testing.T, scripts []string, want, got map[string]string) {
	t.Helper()
	for _, s := range scripts {
		if _, ok := want[s]; !ok {
			t.Errorf("%s: nothing natively", s)
		}
		if want[s] != got[s] {
			t.Errorf("%s: %s", s, difference(want[s], got[s]))
		}
	}
}

// difference shows where two texts part.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	part := func(l []string) string { return strings.Join(l[max(0, i-2):min(len(l), i+6)], "\n\t") }
	return "natively, from line " + strconv.Itoa(i) + ":\n\t" + part(w) + "\nin the machine:\n\t" + part(g)
}

func TestShellsInterpretersAndGit(t *testing.T) {
	machine{cpus: 1, memory: "512M"}.compare(t, 3*time.Minute, "words.sh", "words.dash", "jobs.sh", "perl.pl", "git.sh")
}

func TestJobControlOnATerminal(t *testing.T) {
	if _, err := exec.LookPath("/usr/bin/python3"); err != nil {
		t.Skip(err)
	}
	machine{cpus: 2, memory: "512M"}.compare(t, 3*time.Minute, "jobs_tty.py")
}

func TestMakeAndGCCBuildAProject(t *testing.T) {
	machine{cpus: 2, memory: "1G"}.compare(t, 4*time.Minute, "build.sh")
}

func TestMakeOnOneAndFourProcessors(t *testing.T) {
	heavy(t)
	for _, n := range []int{1, 4} {
		machine{cpus: n, memory: "1G"}.compare(t, 10*time.Minute, "build.sh")
	}
}

func TestPythonStartsProcesses(t *testing.T) {
	heavy(t)
	machine{cpus: 2, memory: "1G"}.compare(t, 5*time.Minute, "python.py")
}

func TestScreensInTmux(t *testing.T) {
	heavy(t)
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip(err)
	}
	machine{cpus: 2, memory: "512M"}.compare(t, 5*time.Minute, "screens.sh")
}

// TestScreensOnOurTerminal has tmux outside as the terminal of husk run -it.
func TestScreensOnOurTerminal(t *testing.T) {
	heavy(t)
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip(err)
	}
	bin := husk(t)
	_ = exec.Command(bin, "run", "true").Run()
	const env = "TERM=$TERM LC_ALL=$LC_ALL HOME=$PWD SHELL=$SHELL"
	start := bin + " run -it -m 512M -r / -w $PWD -e " + strings.ReplaceAll(env, " ", " -e ") + " --"
	scripts := []string{"screens.sh"}
	same(t, scripts, machine{starter: "env " + env}.run(t, 5*time.Minute, scripts...),
		machine{starter: start}.run(t, 10*time.Minute, scripts...))
}

func TestPostgreSQL(t *testing.T) {
	heavy(t)
	machine{cpus: 2, memory: "1G"}.compare(t, 8*time.Minute, "postgres.sh")
}
