//go:build unix

package instance

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"husk/host/vmm"
	"husk/spec"
)

// The test binary plays the monitor and its guest when it is started with
// this word: the same descriptors, the same ports, no machine.
const fakeMonitor = "fake-monitor"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == fakeMonitor {
		os.Exit(guest(os.Args[2], os.Args[3:]))
	}
	if os.Getenv("HUSK_TEST_PARENT") != "" {
		parent()
		return
	}
	os.Exit(m.Run())
}

// startFake starts the guest with a behaviour.
func startFake(behaviour string, args ...string) func(*vmm.Machine) (*vmm.Process, error) {
	return func(m *vmm.Machine) (*vmm.Process, error) {
		all := append([]string{fakeMonitor, behaviour, strconv.Itoa(len(args))}, args...)
		files := []*os.File{m.Spec, m.Serial}
		for _, p := range m.Ports {
			all = append(all, p.Name)
			files = append(files, p.File)
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return vmm.Start(self, all, files)
	}
}

// A fakeGuest is the other side of the ports.
type fakeGuest struct {
	spec    *spec.Spec
	serial  *os.File
	port    map[string]*os.File
	control *bufio.Reader
}

func (g *fakeGuest) send(m *spec.Message) {
	_, _ = g.port[spec.PortControl].Write(spec.AppendMessage(nil, m))
}

func (g *fakeGuest) exit(e spec.Exit) int {
	g.send(&spec.Message{Type: spec.TypeExit, Exit: &e})
	// A machine does not end at once, and its end is not waited for.
	time.Sleep(10 * time.Second)
	return 1
}

func (g *fakeGuest) receive() *spec.Message {
	line, err := g.control.ReadSlice('\n')
	if err != nil {
		os.Exit(3)
	}
	m, err := spec.ParseMessage(line)
	if err != nil {
		os.Exit(4)
	}
	return m
}

func guest(behaviour string, rest []string) int {
	n, _ := strconv.Atoi(rest[0])
	args, names := rest[1:1+n], rest[1+n:]
	arg := func(i int) int { v, _ := strconv.Atoi(args[i]); return v }
	file := func(fd int) *os.File {
		_ = syscall.SetNonblock(fd, true)
		return os.NewFile(uintptr(fd), "port")
	}
	b, err := os.ReadFile("/dev/fd/3")
	if err != nil {
		return 5
	}
	g := &fakeGuest{serial: file(4), port: map[string]*os.File{}}
	if g.spec, err = spec.ParseSpec(b); err != nil {
		return 6
	}
	for i, name := range names {
		g.port[name] = file(5 + i)
	}
	g.control = bufio.NewReader(g.port[spec.PortControl])
	fmt.Fprintf(g.serial, "fake kernel\n")
	if behaviour == "unborn" {
		fmt.Fprintln(os.Stderr, "fake monitor: no such machine")
		return 1
	}
	if behaviour == "asleep" {
		time.Sleep(30 * time.Second)
		return 1
	}
	if behaviour == "asks" {
		g.send(&spec.Message{Type: spec.TypeReady, Text: spec.ReadyAsks})
		if arg(0) == 0 {
			time.Sleep(100 * time.Millisecond)
			return g.exit(spec.Exit{})
		}
		g.send(&spec.Message{Type: spec.TypeStdinWanted})
		g.send(&spec.Message{Type: spec.TypeStdinWanted})
		for g.receive().Type != spec.TypeStdinEnd {
		}
		return g.exit(spec.Exit{})
	}
	g.send(&spec.Message{Type: spec.TypeReady})
	switch behaviour {
	case "exit":
		return g.exit(spec.Exit{Code: arg(0), Signal: arg(1)})
	case "error":
		return g.exit(spec.Exit{Code: 127, Error: "ENOENT: no such file"})
	case "crash":
		return g.exit(spec.Exit{Signal: 11, Crash: &spec.Crash{Signal: 11, Code: 1, PID: 1, TID: 1, Command: "prog"}})
	case "cat": // stdin to stdout, until all that stdin had has come
		var total, end uint64 = 0, 1<<64 - 1
		ended := make(chan uint64, 1)
		go func() {
			for {
				if m := g.receive(); m.Type == spec.TypeStdinEnd {
					ended <- m.Bytes
					_ = g.port[spec.PortStdin].SetReadDeadline(time.Unix(1, 0))
				}
			}
		}()
		buf := make([]byte, 1<<16)
		for total < end {
			n, err := g.port[spec.PortStdin].Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				_ = g.port[spec.PortStdin].SetReadDeadline(time.Time{})
				end = <-ended
			} else if err != nil {
				return 7
			}
			total += uint64(n)
			if _, err := g.port[spec.PortStdout].Write(buf[:n]); err != nil {
				return 8
			}
		}
		return g.exit(spec.Exit{Stdout: total})
	case "spew": // the exit report overtakes the output
		n := arg(0)
		go g.send(&spec.Message{Type: spec.TypeExit, Exit: &spec.Exit{Stdout: uint64(n), Stderr: uint64(n), Trace: 3}})
		time.Sleep(50 * time.Millisecond)
		var wait sync.WaitGroup
		for _, name := range []string{spec.PortStdout, spec.PortStderr} {
			wait.Go(func() {
				for left := n; left > 0; {
					k := min(left, 1000)
					_, _ = g.port[name].Write(bytes.Repeat([]byte(name[len(name)-1:]), k))
					left -= k
				}
			})
		}
		_, _ = g.port[spec.PortTrace].WriteString("tr\n")
		wait.Wait()
		time.Sleep(10 * time.Second)
	case "short":
		g.send(&spec.Message{Type: spec.TypeExit, Exit: &spec.Exit{Stdout: 10}})
		_, _ = g.port[spec.PortStdout].WriteString("123")
	case "signals": // ends with the number of the n-th signal
		for range arg(0) - 1 {
			for g.receive().Type != spec.TypeSignal {
			}
			_, _ = g.port[spec.PortStdout].WriteString("x")
		}
		for {
			if m := g.receive(); m.Type == spec.TypeSignal {
				return g.exit(spec.Exit{Code: m.Signal, Stdout: uint64(arg(0) - 1)})
			}
		}
	case "deaf": // takes signals and does nothing
		_, _ = g.port[spec.PortStdout].WriteString("x")
		for {
			g.receive()
		}
	case "die":
		fmt.Fprintf(g.serial, "panic: out of luck\n")
		fmt.Fprintf(g.port[spec.PortControl], "this is no message\n{}\n")
		return 0
	case "terminal": // echoes the console and reports sizes until it reads a q
		console := g.port[spec.PortConsole]
		total := uint64(0)
		say := func(format string, args ...any) {
			n, _ := fmt.Fprintf(console, format, args...)
			total += uint64(n)
		}
		say("size %v\n", g.spec.Process.ConsoleSize)
		go func() {
			for {
				if m := g.receive(); m.Type == spec.TypeWinsize {
					say("size %v\n", *m.Winsize)
				}
			}
		}()
		var b [1]byte
		for b[0] != 'q' {
			if n, err := console.Read(b[:]); n == 0 || err != nil {
				return 10
			}
			say("got %q\n", b[0])
		}
		return g.exit(spec.Exit{Stdout: total})
	case "yes":
		for {
			if _, err := g.port[spec.PortStdout].WriteString(strings.Repeat("y\n", 1000)); err != nil {
				return g.exit(spec.Exit{Signal: 13, Stdout: 1 << 40})
			}
		}
	}
	return 9
}

// config runs a behaviour with streams that a test can look into.
func config(behaviour string, args ...any) (c *Config, stdout, stderr *bytes.Buffer) {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = fmt.Sprint(a)
	}
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &Config{
		Start:  startFake(behaviour, words...),
		Spec:   &spec.Spec{Process: spec.Process{Args: []string{"prog"}}},
		Stdin:  strings.NewReader(""),
		Stdout: stdout, Stderr: stderr,
	}, stdout, stderr
}

func TestStatusIsTheProgramsOwn(t *testing.T) {
	for _, test := range []struct{ code, signal, want int }{{0, 0, 0}, {1, 0, 1}, {255, 0, 255}, {0, 9, 137}, {3, 15, 143}} {
		c, _, stderr := config("exit", test.code, test.signal)
		if got, err := Run(c); got != test.want || err != nil || stderr.Len() > 0 {
			t.Errorf("%+v: %d, %v, %q", test, got, err, stderr)
		}
	}
}

func TestProgramThatCannotStartIsAnErrorWithItsStatus(t *testing.T) {
	c, _, _ := config("error")
	if got, err := Run(c); got != 127 || err == nil || err.Error() != "run prog: ENOENT: no such file" {
		t.Errorf("%d, %v", got, err)
	}
}

func TestOutputThatComesAfterTheReportIsNotLost(t *testing.T) {
	const n = 3<<20 + 1
	c, stdout, stderr := config("spew", n)
	var trace bytes.Buffer
	c.Trace = &trace
	got, err := Run(c)
	if got != 0 || err != nil || stdout.Len() != n || stderr.Len() != n || trace.String() != "tr\n" {
		t.Errorf("%d, %v: %d bytes on stdout, %d on stderr, trace %q", got, err, stdout.Len(), stderr.Len(), trace.String())
	}
}

func TestOutputThatNeverComesIsAnError(t *testing.T) {
	c, stdout, _ := config("short")
	if got, err := Run(c); got != StatusFailed || err == nil || stdout.String() != "123" {
		t.Errorf("%d, %v, %q", got, err, stdout)
	}
}

// noise is a stream of pseudo-random bytes that remembers its hash.
type noise struct {
	left int
	rand *rand.Rand
	sum  hash.Hash
}

func (s *noise) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), s.left, 1+s.rand.Intn(100000))
	s.rand.Read(p[:n])
	s.sum.Write(p[:n])
	s.left -= n
	return n, nil
}

func TestStdinGoesThroughByteForByte(t *testing.T) {
	sizes := []int{0, 1, 65536, 64<<20 + 12345}
	if s := os.Getenv("HUSK_TEST_STDIN"); s != "" {
		n, _ := strconv.Atoi(s)
		sizes = []int{n}
	}
	for _, size := range sizes {
		in := &noise{size, rand.New(rand.NewSource(1)), sha256.New()}
		out := sha256.New()
		c, _, _ := config("cat")
		c.Stdin, c.Stdout = in, out
		if got, err := Run(c); got != 0 || err != nil || !bytes.Equal(in.sum.Sum(nil), out.Sum(nil)) {
			t.Errorf("%d bytes: %d, %v", size, got, err)
		}
	}
}

func TestStdinIsLeftAloneUntilTheProgramWantsIt(t *testing.T) {
	for _, wants := range []int{0, 1} {
		in := strings.NewReader("for the next program")
		c, _, _ := config("asks", wants)
		c.Stdin = in
		if got, err := Run(c); got != 0 || err != nil || (in.Len() == 0) != (wants == 1) {
			t.Errorf("wants %d: %d, %v, %d bytes left", wants, got, err, in.Len())
		}
	}
}

// ready is a writer that tells when the guest wrote for the n-th time.
type ready struct {
	c chan int
	n int
}

func (r *ready) Write(p []byte) (int, error) {
	for range p {
		r.n++
		r.c <- r.n
	}
	return len(p), nil
}

func TestSignalsAreForwardedWithTheGuestsNumbers(t *testing.T) {
	for sig, want := range guestSignals {
		if signal.Ignored(sig) {
			t.Logf("%v is ignored, as under nohup: left out", sig)
			continue
		}
		c, _, _ := config("signals", 2)
		out := &ready{c: make(chan int, 10)}
		c.Stdout = out
		stop := make(chan bool)
		go func() {
			// SIGUSR1 is harmless before the program runs.
			for out := out.c; ; {
				_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
				select {
				case <-out:
					_ = syscall.Kill(os.Getpid(), sig.(syscall.Signal))
					return
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		got, err := Run(c)
		close(stop)
		if err != nil || got != want && got != guestSignals[syscall.SIGUSR1] {
			t.Errorf("%v: %d, %v", sig, got, err)
		}
	}
}

func TestSecondInterruptEndsADeafGuest(t *testing.T) {
	c, _, _ := config("deaf")
	out := &ready{c: make(chan int, 10)}
	c.Stdout = out
	go func() {
		<-out.c
		for range 2 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	if got, err := Run(c); got != 130 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

func TestInterruptBeforeTheProgramRunsEndsTheMachine(t *testing.T) {
	c, _, _ := config("asleep")
	serial := &ready{c: make(chan int, 100)}
	c.Serial = serial
	go func() {
		<-serial.c
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	start := time.Now()
	if got, err := Run(c); got != 143 || err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("%d, %v", got, err)
	}
}

func TestDeadMachineIsReportedWithItsLastWords(t *testing.T) {
	var dead *DeadError
	c, _, _ := config("die")
	got, err := Run(c)
	if got != StatusFailed || !errors.As(err, &dead) || !dead.Booted || !strings.Contains(string(dead.Log), "out of luck") {
		t.Errorf("%d, %v", got, err)
	}
	c, _, _ = config("unborn")
	got, err = Run(c)
	if got != StatusFailed || !errors.As(err, &dead) || dead.Booted || !strings.Contains(err.Error(), "no such machine") {
		t.Errorf("%d, %v", got, err)
	}
}

func TestKernelThatNeverBootsIsGivenUp(t *testing.T) {
	var dead *DeadError
	c, _, _ := config("asleep")
	c.BootLimit = 200 * time.Millisecond
	got, err := Run(c)
	if got != StatusFailed || !errors.As(err, &dead) || dead.Booted || !strings.Contains(err.Error(), "no sign of life within 200ms") {
		t.Errorf("%d, %v", got, err)
	}
}

func TestMonitorThatDoesNotStartIsAnError(t *testing.T) {
	c, _, _ := config("")
	c.Start = func(*vmm.Machine) (*vmm.Process, error) { return nil, errors.New("no") }
	if got, err := Run(c); got != StatusFailed || err == nil {
		t.Errorf("%d, %v", got, err)
	}
}

// closedAfter fails as a pipe does that is closed after some bytes.
type closedAfter int

func (c *closedAfter) Write(p []byte) (int, error) {
	if *c -= closedAfter(len(p)); *c < 0 {
		return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	}
	return len(p), nil
}

func TestClosedStdoutReachesTheProgramAsAClosedPort(t *testing.T) {
	c, _, _ := config("yes")
	limit := closedAfter(100000)
	c.Stdout = &limit
	if got, err := Run(c); got != 141 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

func TestFullDiskUnderStdoutIsOurFailure(t *testing.T) {
	c, _, _ := config("yes")
	c.Stdout = fullDisk{}
	if got, err := Run(c); got != StatusFailed || err == nil || err.Error() != "write stdout: no space left on device" {
		t.Errorf("%d, %v", got, err)
	}
}

func TestCrashIsReported(t *testing.T) {
	c, _, stderr := config("crash")
	if got, err := Run(c); got != 139 || err != nil || !strings.HasPrefix(stderr.String(), "husk: prog: killed by SIGSEGV (address not mapped)\n") {
		t.Errorf("%d, %v, %q", got, err, stderr)
	}
}

// parent is a process that runs a deaf guest until it is killed.
func parent() {
	c, _, _ := config("deaf")
	start := c.Start
	c.Start = func(m *vmm.Machine) (*vmm.Process, error) {
		p, err := start(m)
		if err == nil {
			fmt.Println(p.PID())
		}
		return p, err
	}
	_, _ = Run(c)
}

func TestNoMonitorOutlivesAKilledHusk(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "HUSK_TEST_PARENT=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil || pid < 2 {
		t.Fatal(pid, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for range 100 {
		// A zombie that nobody reaps here is no longer running either.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("monitor %d is still running", pid)
}

func TestRingKeepsTheEnd(t *testing.T) {
	var r ring
	for i := range 10000 {
		r.write(fmt.Appendf(nil, "line %d\n", i))
	}
	if b := r.bytes(); len(b) != len(r.b) || !bytes.HasSuffix(b, []byte("line 9999\n")) {
		t.Errorf("%d bytes", len(b))
	}
}
