package run

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// session is husk on a terminal of its own.
type session struct {
	t        *testing.T
	cmd      *exec.Cmd
	keyboard *os.File
	screen   *bufio.Reader
	seen     strings.Builder
	stray    bool // the terminal does not control the command
}

func onTerminal(t *testing.T, rows, columns uint16, args ...string) *session {
	s := &session{t: t}
	tty := s.open(rows, columns)
	defer tty.Close()
	s.cmd = exec.Command(husk(t), append([]string{"run", "-it"}, args...)...)
	s.start(tty)
	return s
}

// open makes the terminal.
func (s *session) open(rows, columns uint16) (tty *os.File) {
	t := s.t
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skip(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	s.keyboard, s.screen = keyboard, bufio.NewReader(keyboard)
	return tty
}

// start starts the command as the leader of a session, on the terminal unless
// that is stray.
func (s *session) start(tty *os.File) {
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: !s.stray}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() {
		_ = s.cmd.Process.Kill()
		_ = s.keyboard.Close()
	})
	s.t.Cleanup(func() { late.Stop() })
}

// expect reads what the screen shows until it ends with want.
func (s *session) expect(want string) {
	s.t.Helper()
	for !strings.HasSuffix(s.seen.String(), want) {
		b, err := s.screen.ReadByte()
		if err != nil {
			s.t.Fatalf("%q never came: %v after %q", want, err, s.seen.String())
		}
		s.seen.WriteByte(b)
	}
}

func (s *session) press(keys string) { _, _ = io.WriteString(s.keyboard, keys) }

// raw waits until each byte goes through the terminal as it is typed: until
// the command has it.
func (s *session) raw() {
	s.t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		a, err := unix.IoctlGetTermios(int(s.keyboard.Fd()), unix.TCGETS)
		if err != nil || time.Now().After(late) {
			s.t.Fatalf("the terminal does not become raw: %v, after %q", err, s.seen.String())
		}
		if a.Lflag&unix.ICANON == 0 {
			return
		}
	}
}

func (s *session) end(status int) {
	s.t.Helper()
	go func() { _, _ = io.Copy(io.Discard, s.screen) }()
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != status {
		s.t.Errorf("status %d, want %d, after %q", got, status, s.seen.String())
	}
}

func TestTerminalHasOurSize(t *testing.T) {
	s := onTerminal(t, 33, 99, "stty", "size")
	s.expect("33 99\r\n")
	s.end(0)
}

func TestTerminalIsOneForTheProgram(t *testing.T) {
	s := onTerminal(t, 24, 80, "sh", "-c", `test -t 0 && test -t 1 && test -t 2 && echo name? && read x && echo "hello $x"`)
	s.expect("name?\r\n")
	s.press("bobb\x7f\r")
	s.expect("hello bob\r\n")
	s.end(0)
}

func TestTerminalKeysAreSignalsInTheMachine(t *testing.T) {
	s := onTerminal(t, 24, 80, "-r", "/", "sh", "-c", "echo ready; exec sleep 100")
	s.expect("ready\r\n")
	s.press("\x03")
	s.end(130)
	s = onTerminal(t, 24, 80, "cat")
	s.press("line\r")
	s.expect("line\r\nline\r\n")
	s.press("\x04")
	s.end(0)
}

func TestTerminalResizeIsSeen(t *testing.T) {
	// One long sleep could begin just after the signal.
	s := onTerminal(t, 24, 80, "perl", "-e", `$SIG{WINCH} = sub { exit 7 }; $| = 1; print "ready\n"; select undef, undef, undef, 0.05 while 1`)
	s.expect("ready\r\n")
	if err := unix.IoctlSetWinsize(int(s.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 100}); err != nil {
		t.Fatal(err)
	}
	s.end(7)
}

func TestTerminalHangupEndsTheProgram(t *testing.T) {
	s := onTerminal(t, 24, 80, "-r", "/", "sh", "-c", "echo ready; exec sleep 100")
	s.expect("ready\r\n")
	s.keyboard.Close()
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != 129 {
		t.Errorf("status %d", got)
	}
}

// onTerminalOfShell runs a script of bash with job control, in which $HUSK is
// the command, as the leader of a session on a terminal of its own.
func onTerminalOfShell(t *testing.T, script string) *session {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	bin := husk(t)
	s := &session{t: t}
	tty := s.open(24, 80)
	defer tty.Close()
	s.cmd = exec.Command("bash", "-c", "set -m\n"+script)
	s.cmd.Env = append(os.Environ(), "HUSK="+bin)
	s.start(tty)
	return s
}

func TestTerminalStopAndContinueReachTheShellOutside(t *testing.T) {
	s := onTerminalOfShell(t, `before=$(stty -g)
		"$HUSK" run -it -r / sh -c 'echo ready; cat; stty size'
		echo "status $?"
		test "$(stty -g)" = "$before" && echo restored
		stty rows 44
		fg >/dev/null
		echo "end $?"
		test "$(stty -g)" = "$before" && echo restored`)
	s.expect("ready\r\n")
	s.press("one\r")
	s.expect("one\r\none\r\n")
	s.press("\x1a")
	s.expect("status 148\r\nrestored\r\n")
	s.raw()
	s.press("two\r")
	s.expect("two\r\ntwo\r\n")
	s.press("\x04")
	s.expect("44 80\r\nend 0\r\nrestored\r\n")
	s.end(0)
}

// waits is a command that says its number and, when it is ready, waits.
const waits = `sh -c 'echo "pid $$"; exec "$HUSK" run -it -r / sh -c "echo ready; exec sleep 100"'`

// pid is the number of the command that waits, once it is ready.
func (s *session) pid() int {
	s.t.Helper()
	s.expect("pid ")
	start := s.seen.Len()
	s.expect("\r\n")
	n, err := strconv.Atoi(strings.TrimSpace(s.seen.String()[start:]))
	if err != nil {
		s.t.Fatal(err)
	}
	s.expect("ready\r\n")
	return n
}

// TestTerminalHangupEndsWhatIsStopped has the shell end while the command is
// stopped: nobody could continue it any more.
func TestTerminalHangupEndsWhatIsStopped(t *testing.T) {
	s := onTerminalOfShell(t, waits+`; echo "status $?"; exit 3`)
	pid := s.pid()
	s.press("\x1a")
	s.expect("status 148\r\n")
	s.end(3)
	for late := time.Now().Add(patience); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, ok := strings.Cut(string(stat), ") "); err != nil || ok && rest[0] == 'Z' {
			break
		}
		if time.Now().After(late) {
			_ = unix.Kill(pid, unix.SIGKILL)
			t.Fatalf("the command goes on: %s", stat)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestTerminalIsRestoredOnEveryWayOut(t *testing.T) {
	s := onTerminalOfShell(t, `before=$(stty -g)
		ended() { echo "status $?"; test "$(stty -g)" = "$before" && echo "restored"; }
		"$HUSK" run -it nothing-of-this-name; ended
		"$HUSK" run -it -r / sh -c 'kill -SEGV $$'; ended
		for i in 1 2 3 4; do `+waits+`; ended; done`)
	s.expect("status 127\r\nrestored\r\n")
	s.expect("status 139\r\nrestored\r\n")
	s.pid()
	s.press("\x03")
	s.expect("status 130\r\nrestored\r\n")
	_ = unix.Kill(s.pid(), unix.SIGTERM)
	s.expect("status 143\r\nrestored\r\n")
	_ = unix.Kill(s.pid(), unix.SIGHUP)
	s.expect("status 129\r\nrestored\r\n")
	// QEMU is killed: it is the only child.
	husk := s.pid()
	qemu := 0
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", husk))
	for _, f := range tasks {
		if b, _ := os.ReadFile(f); len(b) > 0 {
			qemu, _ = strconv.Atoi(strings.Fields(string(b))[0])
		}
	}
	if qemu == 0 {
		t.Fatal("no monitor among the children of husk")
	}
	_ = unix.Kill(qemu, unix.SIGKILL)
	s.expect("status 125\r\nrestored\r\n")
	s.end(0)
}

func TestTerminalStartsAsOursIsSet(t *testing.T) {
	s := onTerminalOfShell(t, `stty iutf8 erase ^H intr ^X
		test "$("$HUSK" run -it stty -g | tr -d '\r')" = "$(stty -g)" && echo same
		exec "$HUSK" run -it sh -c 'read x && echo "[$x]"'`)
	s.expect("same\r\n")
	s.press("a\u00fc\u20ac\x08\x08b\r")
	s.expect("[ab]\r\n")
	s.end(0)
}

// Without a controlling terminal there is no SIGHUP: the program, which is
// process 1 and survives one anyway, reads to an end.
func TestTerminalThatGoesIsTheEndOfInput(t *testing.T) {
	s := &session{t: t, stray: true}
	tty := s.open(24, 80)
	defer tty.Close()
	s.cmd = exec.Command(husk(t), "run", "-it", "sh", "-c", "echo ready; read x; exit 5")
	s.start(tty)
	tty.Close()
	s.expect("ready\r\n")
	s.keyboard.Close()
	s.end(5)
}
