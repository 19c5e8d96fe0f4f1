package run

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
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
}

func onTerminal(t *testing.T, rows, columns uint16, args ...string) *session {
	bin := husk(t)
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
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer tty.Close()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, keyboard: keyboard, screen: bufio.NewReader(keyboard)}
	s.cmd = exec.Command(bin, append([]string{"run", "-it"}, args...)...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop() })
	return s
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
	s := onTerminal(t, 24, 80, "perl", "-e", `$SIG{WINCH} = sub { exit 7 }; $| = 1; print "ready\n"; sleep 100;`)
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
