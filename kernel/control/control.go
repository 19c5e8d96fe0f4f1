// Package control is the machine's end of the control port: it reads the
// host's messages and calls what they are about, and sends the kernel's own
// (package spec has their form).
//
// One goroutine reads, for as long as the machine runs. Sending is
// serialised by Control.mu and waits for the host to take the message, up to
// a limit: a host that does not listen must not stop the machine.
package control

import (
	"bytes"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/wait"
	"husk/spec"
)

// Port is the byte stream below: *virtio.Port. Read and Write return EAGAIN
// when they cannot go on; Queue announces when they can.
type Port interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Queue() *wait.Queue
	Drained() bool
}

// Handlers are what messages of the host call. They run on the reading
// goroutine and must not block; nil ones ignore their message.
type Handlers struct {
	// Signal asks for a signal to the first process.
	Signal func(number int)
	// Winsize tells the size of the user's terminal.
	Winsize func(spec.ConsoleSize)
	// StdinEnd tells how many bytes stdin has in all.
	StdinEnd func(total uint64)
}

// sendLimit is how long a message may take to be taken by the host.
const sendLimit = 5e9

// Control is the control port of the machine.
type Control struct {
	port     Port
	handlers Handlers
	asks     bool // constant after Ready

	mu  sync.Mutex // one sender at a time; guards out
	out []byte
}

// Start serves the port.
func Start(p Port, h Handlers) *Control {
	c := &Control{port: p, handlers: h}
	go c.read()
	return c
}

// read splits the input into lines. A line that is too long or makes no
// sense is left out, as the protocol asks of both sides.
func (c *Control) read() {
	s := NewSleeper()
	w := wait.Waiter{Mask: wait.In, Sleeper: s}
	c.port.Queue().Add(&w)
	var buf []byte
	chunk := make([]byte, 512)
	skipping := false
	for {
		n, err := c.port.Read(chunk)
		if err == unix.EAGAIN {
			_ = s.Sleep(wait.NoDeadline)
			continue
		}
		if err != nil || n == 0 {
			c.port.Queue().Remove(&w)
			return // the host has left
		}
		buf = append(buf, chunk[:n]...)
		for {
			i := bytes.IndexByte(buf, '\n')
			if i < 0 {
				break
			}
			if !skipping {
				c.dispatch(buf[:i])
			}
			skipping = false
			buf = buf[:copy(buf, buf[i+1:])]
		}
		if len(buf) > spec.MaxMessage {
			skipping = true
			buf = buf[:0]
		}
	}
}

func (c *Control) dispatch(line []byte) {
	m, err := spec.ParseMessage(line)
	if err != nil {
		return
	}
	h := &c.handlers
	switch m.Type {
	case spec.TypeSignal:
		if h.Signal != nil && m.Signal > 0 && m.Signal <= 64 {
			h.Signal(m.Signal)
		}
	case spec.TypeWinsize:
		if h.Winsize != nil && m.Winsize != nil {
			h.Winsize(*m.Winsize)
		}
	case spec.TypeStdinEnd:
		if h.StdinEnd != nil {
			h.StdinEnd(m.Bytes)
		}
	}
}

// Send sends one message and waits until the host has taken it: ETIMEDOUT
// when it does not listen.
func (c *Control) Send(m *spec.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = spec.AppendMessage(c.out[:0], m)
	s := NewSleeper()
	w := wait.Waiter{Mask: wait.Out | wait.Err, Sleeper: s}
	c.port.Queue().Add(&w)
	defer c.port.Queue().Remove(&w)
	deadline := clock.Now() + sendLimit
	for rest := c.out; len(rest) > 0; {
		n, err := c.port.Write(rest)
		rest = rest[n:]
		if err == unix.EAGAIN {
			err = s.Sleep(deadline)
		}
		if err != nil {
			return err
		}
	}
	for !c.port.Drained() {
		if err := s.Sleep(deadline); err != nil {
			return err
		}
	}
	return nil
}

// Ready tells the host that the program runs.
func (c *Control) Ready() error {
	m := spec.Message{Type: spec.TypeReady}
	if c.asks {
		m.Text = spec.ReadyAsks
	}
	return c.Send(&m)
}

// AskForStdin makes Ready announce that stdin is asked for, and returns what
// asks: to be called once, from anywhere, since it does not wait for the
// host. Called before Ready.
func (c *Control) AskForStdin() func() {
	c.asks = true
	return func() {
		go func() { _ = c.Send(&spec.Message{Type: spec.TypeStdinWanted}) }()
	}
}

// Notice sends one line for the user.
func (c *Control) Notice(text string) error {
	return c.Send(&spec.Message{Type: spec.TypeNotice, Text: text})
}

// Exit sends the report with which the machine ends. The streams have been
// flushed before and their counts are in it.
func (c *Control) Exit(e *spec.Exit) error {
	return c.Send(&spec.Message{Type: spec.TypeExit, Exit: e})
}
