// Package run tests husk run with real machines, as far as it is not about
// particular programs: flags, streams, signals, ends. It runs bin/husk, or the
// command that $HUSK names, and is skipped without one or without a kernel.
package run

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"husk/test/command"
)

// patience is how long one machine may take; under TCG on a busy host
// everything is slow.
const patience = 60 * time.Second

// husk is the command under test.
func husk(t *testing.T) string {
	t.Helper()
	return command.Quiet(t)
}

// result is what a program left behind.
type result struct {
	status         int
	stdout, stderr string
}

// run runs a command with the environment that programs have in a machine.
func run(t *testing.T, stdin io.Reader, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, bad bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &bad
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	for _, k := range []string{"XDG_CACHE_HOME", "XDG_DATA_HOME", "HUSK_KERNEL", "HUSK_QEMU"} {
		if v, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("%s %q did not end within %v: %s", name, args, patience, bad.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("%s %q: %v", name, args, err)
	}
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	return result{status, out.String(), bad.String()}
}

func TestFlagsReachTheMachine(t *testing.T) {
	bin := husk(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-w", "/tmp", "pwd"}, "/tmp\n"},
		{[]string{"-r", "/", "-w", "/usr", "pwd"}, "/usr\n"},
		{[]string{"-u", "1234:56", "id", "-u"}, "1234\n"},
		{[]string{"-u", "1234:56", "id", "-g"}, "56\n"},
		{[]string{"-e", "A=b", "sh", "-c", "echo $A"}, "b\n"},
		{[]string{"--cpus", "1", "nproc"}, "1\n"},
		{[]string{"--cpus", "2", "nproc"}, "2\n"},
		{[]string{"--cpus", "8", "nproc"}, "8\n"},
		{[]string{"--machine", "q35", "echo", "hello"}, "hello\n"},
		{[]string{"--machine", "q35", "-r", "/", "echo", "hello"}, "hello\n"},
		{[]string{"-m", "10M", "echo", "hello"}, "hello\n"},
		{[]string{"-m", "2G", "echo", "hello"}, "hello\n"},
		{[]string{"sh", "-c", "echo x > /file && read y < /file && echo $y"}, "x\n"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			got := run(t, strings.NewReader(""), bin, append([]string{"run"}, test.args...)...)
			if got != (result{0, test.want, ""}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestProgramsThatCannotStart(t *testing.T) {
	bin := husk(t)
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "text"), []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		program string
		status  int
	}{{"nothing", 127}, {"/nothing", 127}, {"/text", 126}} {
		got := run(t, nil, bin, "run", "-r", root, test.program)
		if got.status != test.status || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "husk: run "+test.program) {
			t.Errorf("%s: %+v", test.program, got)
		}
	}
}

func TestLargeStdinArrivesByteForByte(t *testing.T) {
	bin := husk(t)
	size := int64(64 << 20)
	if s := os.Getenv("HUSK_TEST_STDIN"); s != "" {
		size, _ = strconv.ParseInt(s, 10, 64)
	}
	for _, program := range []string{"sha256sum", "cat"} {
		sum := sha256.New()
		in := io.TeeReader(io.LimitReader(rand.New(rand.NewSource(2)), size), sum)
		cmd := exec.Command(bin, "run", program)
		cmd.Stdin = in
		hash := sha256.New()
		var out bytes.Buffer
		cmd.Stdout = io.MultiWriter(hash, &limited{&out, 100})
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v", program, err)
		}
		want := hex.EncodeToString(sum.Sum(nil))
		if program == "sha256sum" && out.String() != want+"  -\n" {
			t.Errorf("sha256sum says %q, not %s", out.String(), want)
		}
		if got := hex.EncodeToString(hash.Sum(nil)); program == "cat" && got != want {
			t.Errorf("cat gave %s, not %s", got, want)
		}
	}
}

// limited keeps the first bytes.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(l.left, len(p))
	l.left -= n
	_, err := l.w.Write(p[:n])
	return len(p), err
}

func TestClosedStdoutEndsTheProgram(t *testing.T) {
	bin := husk(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", bin+" run yes | head -n 2; "+bin+" run -r / yes | head -n 1").CombinedOutput()
	if err != nil || string(out) != "y\ny\ny\n" {
		t.Errorf("%v, %q", err, out)
	}
}

func TestUnreadStdinIsLeftForTheNextProgram(t *testing.T) {
	bin := husk(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", "printf 'a\\nb\\n' | { "+bin+" run echo first; cat; }").CombinedOutput()
	if err != nil || string(out) != "first\na\nb\n" {
		t.Errorf("%v, %q", err, out)
	}
}

func TestSignalsReachTheProgram(t *testing.T) {
	bin := husk(t)
	for _, test := range []struct {
		sig    syscall.Signal
		script string
		status int
		out    string
	}{
		{syscall.SIGTERM, "echo ready; exec sleep 100", 143, "ready\n"},
		{syscall.SIGINT, "echo ready; exec sleep 100", 130, "ready\n"},
		{syscall.SIGHUP, "echo ready; exec sleep 100", 129, "ready\n"},
		// A loop, not a read: a shell that is signalled just before it reads
		// has noted the trap and waits for input all the same.
		{syscall.SIGUSR1, "trap 'echo caught; exit 5' USR1; echo ready; while :; do :; done", 5, "ready\ncaught\n"},
	} {
		t.Run(fmt.Sprintf("%v %d", test.sig, test.status), func(t *testing.T) {
			cmd := exec.Command(bin, "run", "-r", "/", "sh", "-c", test.script)
			in, _ := cmd.StdinPipe()
			defer in.Close()
			var out notifying
			out.ready = make(chan bool)
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			defer late.Stop()
			go func() {
				<-out.ready
				_ = cmd.Process.Signal(test.sig)
			}()
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != test.status || out.b.String() != test.out {
				t.Errorf("status %d, %q", got, out.b.String())
			}
		})
	}
}

// notifying closes ready at the first write.
type notifying struct {
	ready chan bool
	once  sync.Once
	b     bytes.Buffer
}

func (n *notifying) Write(p []byte) (int, error) {
	n.once.Do(func() { close(n.ready) })
	return n.b.Write(p)
}

func TestStraceShowsTheCalls(t *testing.T) {
	bin := husk(t)
	got := run(t, nil, bin, "run", "--strace=write,exit_group", "echo", "hello")
	if got.status != 0 || got.stdout != "hello\n" || !strings.Contains(got.stderr, `write(1, "hello\n", 6)`) ||
		!strings.Contains(got.stderr, "exit_group(0)") || strings.Contains(got.stderr, "mmap") {
		t.Errorf("%+v", got)
	}
}

func TestKernelMessagesAreSeenOnlyWhenAskedFor(t *testing.T) {
	bin := husk(t)
	if got := run(t, nil, bin, "run", "true"); got != (result{}) {
		t.Errorf("%+v", got)
	}
	if got := run(t, nil, bin, "run", "--verbose", "true"); got.status != 0 || got.stdout != "" || got.stderr == "" {
		t.Errorf("%+v", got)
	}
}

// TestNothingIsLeftBehind kills husk in the hardest way while the program runs.
func TestNothingIsLeftBehind(t *testing.T) {
	bin := husk(t)
	dir := t.TempDir()
	cmd := exec.Command(bin, "run", "-r", "/", "sh", "-c", "echo ready; exec sleep 1000")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out := notifying{ready: make(chan bool)}
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.ready:
	case <-time.After(patience):
		t.Error("never ready")
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	all := strings.Fields(string(children))
	if tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid)); err == nil {
		for _, task := range tasks {
			b, _ := os.ReadFile(task)
			all = append(all, strings.Fields(string(b))...)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(all) == 0 {
		t.Skip("the monitor was not found in /proc")
	}
	for _, pid := range all {
		gone := false
		for range 100 {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if gone = err != nil || strings.Contains(string(stat), ") Z "); gone {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !gone {
			t.Errorf("process %s is still there", pid)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

func TestManyBootsInARow(t *testing.T) {
	bin := husk(t)
	n := 20
	if s := os.Getenv("HUSK_TEST_BOOTS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	for i := range n {
		args := []string{"run", "--cpus", strconv.Itoa(1 + i%4), "echo", strconv.Itoa(i)}
		if got := run(t, nil, bin, args...); got != (result{0, strconv.Itoa(i) + "\n", ""}) {
			t.Fatalf("boot %d: %+v", i, got)
		}
	}
}

func TestOneFileForOutputAndErrorsKeepsTheirOrder(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(husk(t), "run", "-r", "/", "sh", "-c",
		"for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo e$i >&2; done; test /dev/fd/1 -ef /dev/fd/2; echo $?")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	got, _ := io.ReadAll(r)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	want := ""
	for i := '1'; i <= '9'; i++ {
		want += string(i) + "\ne" + string(i) + "\n"
	}
	if want += "0\n"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}
