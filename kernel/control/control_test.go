package control

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/wait"
	"husk/spec"
)

// pipe is a Port whose host side is the test.
type pipe struct {
	mu      sync.Mutex
	in, out bytes.Buffer
	room    int
	closed  bool
	q       wait.Queue
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in.Len() == 0 {
		if p.closed {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	return p.in.Read(b)
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(b), p.room)
	p.room -= n
	p.out.Write(b[:n])
	if n < len(b) {
		return n, unix.EAGAIN
	}
	return n, nil
}

func (p *pipe) Queue() *wait.Queue { return &p.q }
func (p *pipe) Drained() bool      { return true }

func (p *pipe) host(s string) {
	p.mu.Lock()
	p.in.WriteString(s)
	p.mu.Unlock()
	p.q.Notify(wait.Readable)
}

func TestMessagesReachTheirHandlers(t *testing.T) {
	p := &pipe{}
	got := make(chan any, 10)
	Start(p, Handlers{
		Signal:   func(n int) { got <- n },
		Winsize:  func(s spec.ConsoleSize) { got <- s },
		StdinEnd: func(n uint64) { got <- n },
	})
	p.host(`{"type":"signal","sig`)
	p.host(`nal":15}` + "\n" + `{"type":"winsize","winsize":{"height":24,"width":80}}` + "\n")
	p.host("garbage\n{\"type\":\"later\"}\n{\"type\":\"winsize\"}\n{\"type\":\"signal\",\"signal\":99}\n")
	p.host(strings.Repeat("x", spec.MaxMessage+1000) + "\n")
	p.host(string(spec.AppendMessage(nil, &spec.Message{Type: spec.TypeStdinEnd, Bytes: 1 << 40})))
	for _, want := range []any{15, spec.ConsoleSize{Height: 24, Width: 80}, uint64(1 << 40)} {
		select {
		case v := <-got:
			if v != want {
				t.Fatalf("got %v, want %v", v, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("no %v", want)
		}
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.q.Notify(wait.Hup)
}

func TestSendWaitsForRoom(t *testing.T) {
	p := &pipe{room: 10}
	c := &Control{port: p}
	done := make(chan error)
	go func() { done <- c.Exit(&spec.Exit{Code: 3, Stdout: 7}) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			m, err := spec.ParseMessage(bytes.TrimSpace(p.out.Bytes()))
			if err != nil || m.Exit == nil || m.Exit.Code != 3 || m.Exit.Stdout != 7 {
				t.Fatalf("%q %v", p.out.String(), err)
			}
			return
		case <-time.After(time.Millisecond):
			p.mu.Lock()
			p.room += 10
			p.mu.Unlock()
			p.q.Notify(wait.Writable)
		}
	}
}

func TestReadyAnnouncesThatStdinIsAskedFor(t *testing.T) {
	p := &pipe{room: 1 << 20, closed: true}
	c := Start(p, Handlers{})
	ask := c.AskForStdin()
	if err := c.Ready(); err != nil {
		t.Fatal(err)
	}
	ask()
	want := `{"type":"ready","text":"asks"}` + "\n" + `{"type":"stdin-wanted"}` + "\n"
	for range 1000 {
		p.mu.Lock()
		got := p.out.String()
		p.mu.Unlock()
		if got == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("sent %q", p.out.String())
}
