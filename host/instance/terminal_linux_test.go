package instance

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"husk/host/terminal"
)

// pty makes a pair of terminals.
func pty(t *testing.T) (keyboard, screen *os.File) {
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

func attributes(t *testing.T, f *os.File) unix.Termios {
	a, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *a
}

func resize(t *testing.T, f *os.File, rows, columns uint16) {
	if err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func onTerminal(t *testing.T, screen *os.File) *Config {
	c, _, _ := config("terminal")
	c.Spec.Process.Terminal = true
	raw, err := terminal.New(screen)
	if err != nil {
		t.Fatal(err)
	}
	c.Terminal = raw
	c.Size = func() (uint16, uint16, error) { return terminal.Size(screen) }
	height, width, err := c.Size()
	if err != nil {
		t.Fatal(err)
	}
	c.Spec.Process.ConsoleSize.Height, c.Spec.Process.ConsoleSize.Width = height, width
	c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
	return c
}

func TestTerminalIsRawWhileTheProgramRunsAndAsBeforeAfterwards(t *testing.T) {
	keyboard, screen := pty(t)
	resize(t, screen, 24, 80)
	before := attributes(t, screen)
	c := onTerminal(t, screen)
	end := make(chan int)
	go func() {
		status, err := Run(c)
		if err != nil {
			t.Error(err)
		}
		end <- status
	}()
	lines := bufio.NewScanner(keyboard)
	expect := func(want string) {
		for lines.Scan() {
			if strings.TrimSuffix(lines.Text(), "\r") == want {
				return
			}
		}
		t.Errorf("%q never came: %v", want, lines.Err())
	}
	expect("size {24 80}")
	if now := attributes(t, screen); now.Lflag&(unix.ECHO|unix.ISIG|unix.ICANON) != 0 {
		t.Error("not raw")
	}
	resize(t, screen, 50, 132)
	_ = syscall.Kill(os.Getpid(), syscall.SIGWINCH)
	expect("size {50 132}")
	// Ctrl-C is a byte for the program's own terminal.
	_, _ = keyboard.Write([]byte{3})
	expect(`got '\x03'`)
	_, _ = keyboard.Write([]byte("q"))
	expect(`got 'q'`)
	if status := <-end; status != 0 {
		t.Errorf("status %d", status)
	}
	if attributes(t, screen) != before {
		t.Error("attributes differ from before")
	}
}

func TestTerminalIsRestoredWhenASignalEndsUs(t *testing.T) {
	keyboard, screen := pty(t)
	before := attributes(t, screen)
	c := onTerminal(t, screen)
	c.Start = startFake("asleep")
	var serial bytes.Buffer
	booted := make(chan bool, 10)
	c.Serial = writerFunc(func(p []byte) (int, error) { booted <- true; return serial.Write(p) })
	go func() {
		<-booted
		_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
	}()
	if status, err := Run(c); status != 129 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if attributes(t, screen) != before {
		t.Error("attributes differ from before")
	}
	keyboard.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestTerminalIsRestoredByAPanic(t *testing.T) {
	_, screen := pty(t)
	before := attributes(t, screen)
	c := onTerminal(t, screen)
	c.Start = nil // a nil call panics in the middle of Run
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = Run(c)
	}()
	if attributes(t, screen) != before {
		t.Error("attributes differ from before")
	}
}
