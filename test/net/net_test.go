// Package net tests the network of machines from the outside: published
// ports, several cards, names, and what goes wrong. The program in the machines
// is ./guest. It runs bin/husk, or the command that $HUSK names, and is
// skipped without one or without a kernel.
package net

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"husk/test/command"
)

// patience is how long one machine may take; under TCG on a busy host
// everything is slow, and the nightly run sends much.
var patience = time.Duration(size(90, 600)) * time.Second

// husk is the command under test.
func husk(t *testing.T) string {
	t.Helper()
	return command.Quiet(t)
}

// guest builds the program for the machines, once.
func guest(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "husk-net")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "guest")
		cmd := exec.Command("go", "build", "-trimpath", "-o", built.path, "./guest")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

var built struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(status)
}

// box is a running machine.
type box struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string
	stderr bytes.Buffer
	ended  chan struct{}
	cancel func()
}

// start runs the guest with flags of husk run and steps.
func start(t *testing.T, flags []string, steps ...string) *box {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b := &box{t: t, lines: make(chan string, 100), ended: make(chan struct{}), cancel: cancel}
	args := append(append([]string{"run", "-e", "HUSK_NIGHTLY"}, flags...), guest(t))
	b.cmd = exec.CommandContext(ctx, husk(t), append(args, steps...)...)
	b.cmd.Dir = "/"
	b.cmd.Stderr = &b.stderr
	// Its end is waited for by who reads its lines, and a pipe that some
	// child of it kept open is not waited for.
	b.cmd.WaitDelay = 5 * time.Second
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer close(b.ended)
		s := bufio.NewScanner(out)
		for s.Scan() {
			b.lines <- s.Text()
		}
		close(b.lines)
		_ = b.cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		for range b.lines {
		}
		<-b.ended
	})
	return b
}

// expect reads lines, one for each step.
func (b *box) expect(want ...string) bool {
	b.t.Helper()
	for _, w := range want {
		got, ok := <-b.lines
		if !ok {
			<-b.ended
			b.t.Errorf("no %q: %v: %s", w, b.cmd.ProcessState, b.stderr.String())
			return false
		}
		if got != w {
			b.t.Errorf("%q, want %q", got, w)
			return false
		}
	}
	return true
}

// end expects the end of the program without a word.
func (b *box) end() {
	b.t.Helper()
	for l := range b.lines {
		b.t.Errorf("said %q at the end", l)
	}
	<-b.ended
	if b.cmd.ProcessState.ExitCode() != 0 || b.stderr.Len() > 0 {
		b.t.Errorf("%v: %s", b.cmd.ProcessState, b.stderr.String())
	}
}

// ports finds n ports in a row that are free for TCP and UDP.
func ports(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first := 0
		var held []io.Closer
		for k := range n {
			next := 0 // any
			if k > 0 {
				next = first + k
			}
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", next))
			if err != nil {
				break
			}
			held = append(held, l)
			if k == 0 {
				first = l.Addr().(*net.TCPAddr).Port
			}
			u, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", first+k))
			if err != nil {
				break
			}
			held = append(held, u)
		}
		for _, c := range held {
			c.Close()
		}
		if len(held) == 2*n {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// nameServer answers every question for an IPv4 address with 192.0.2.7.
func nameServer(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		p := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(p)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			// The question is sent back without what follows it (EDNS), then
			// the answer, which names it by its place.
			at := 12
			for at < n && p[at] != 0 {
				at += int(p[at]) + 1
			}
			at += 5
			if at > n {
				continue
			}
			a := append([]byte{p[0], p[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, p[12:at]...)
			a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7)
			_, _ = c.WriteTo(a, from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// echo is the guest's echo on the host.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serveEcho(l)
	return l.Addr().(*net.TCPAddr).Port
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			c.Close()
		}()
	}
}

// exchange sends n bytes to a port of this host and expects them back.
func exchange(t *testing.T, port, n int) {
	t.Helper()
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	data := bytes.Repeat([]byte("0123456789 husk "), n/16)
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("port %d: %d bytes came back for %d: %v", port, len(back), len(data), err)
	}
}

// tell ends a machine that waits for it.
func tell(t *testing.T, port int) {
	t.Helper()
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = c.Write([]byte("end"))
	c.Close()
}

func TestPublishedPortsLeadToTheProgram(t *testing.T) {
	p, dns, out := ports(t, 4), nameServer(t), echo(t)
	b := start(t, []string{
		"-p", fmt.Sprintf("%d:7", p), "-p", fmt.Sprintf("127.0.0.1:%d-%d:8000-8001", p+1, p+2), "-p", fmt.Sprintf("%d:53/udp", p+3),
		"--ip", "10.5.0.9/24", "--dns", "10.5.0.1", "--hostname", "web",
	}, "tcp:7", "tcp:8000", "tcp:8001", "udp:53", "hostname", "source:192.0.2.1", "file:/etc/resolv.conf", "file:/etc/hosts",
		fmt.Sprintf("lookup:husk.example@10.5.0.2:%d", dns), fmt.Sprintf("send:tcp:10.5.0.2:%d:%d", out, 1<<20), "until-told")
	if !b.expect("listening", "listening", "listening", "listening", "web", "10.5.0.9", "nameserver 10.5.0.1",
		"127.0.0.1\tlocalhost; ::1\tlocalhost ip6-localhost ip6-loopback; 10.5.0.9\tweb", "192.0.2.7", "same") {
		return
	}
	for k := range 3 {
		exchange(t, p+k, 1<<20)
	}
	if _, err := runUDP(p + 3); err != nil {
		t.Error(err)
	}
	tell(t, p+2)
	b.expect("told")
	b.end()
	// Everything is gone with the machine.
	for k := range 3 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", p+k))
		if err != nil {
			t.Error(err)
			continue
		}
		l.Close()
	}
	u, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", p+3))
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
}

// runUDP sends a datagram until it comes back.
func runUDP(port int) (string, error) {
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	defer c.Close()
	p := make([]byte, 100)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write([]byte("hello")); err != nil {
			return "", err
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(p); err == nil {
			return string(p[:n]), nil
		}
	}
	return "", errors.New("no datagram came back")
}

func TestTwoCardsReachTheirNetworks(t *testing.T) {
	out := strconv.Itoa(echo(t))
	b := start(t, []string{"--machine", "q35", "--net", "user", "--net", "user,mtu=1280", "--cpus", "2"},
		"source:192.0.2.1", "source:10.0.3.2", "send:tcp:10.0.2.2:"+out+":300000", "send:tcp:10.0.3.2:"+out+":300000", "file:/etc/resolv.conf")
	b.expect("10.0.2.15", "10.0.3.15", "same", "same", "nameserver 10.0.2.3")
	b.end()
}

// TestNetworkFailuresAreOneLine has nothing started and nothing left behind.
func TestNetworkFailuresAreOneLine(t *testing.T) {
	bin := husk(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := fmt.Sprintf("127.0.0.1:%d:80", l.Addr().(*net.TCPAddr).Port)
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"-p", used}, "(process " + strconv.Itoa(os.Getpid()) + ")"},
		{[]string{"--net", "bridge=no-such-bridg"}, "no bridge no-such-bridg"},
		{[]string{"--net", "user", "--gateway", "10.9.9.9"}, "not another address of 10.0.2.0/24"},
		{[]string{"--net", "wifi"}, "not one of"},
	} {
		cmd := exec.Command(bin, append(append([]string{"run"}, test.flags...), "true")...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		text := stderr.String()
		if cmd.ProcessState.ExitCode() != 125 || stdout.Len() > 0 || strings.Count(text, "\n") != 1 ||
			!strings.HasPrefix(text, "husk: ") || !strings.Contains(text, test.want) {
			t.Errorf("%q: %v: %q", test.flags, cmd.ProcessState, text)
		}
	}
}
