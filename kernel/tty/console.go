package tty

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/wait"
)

// Port is the byte stream behind the console: a virtio console port. Nothing
// blocks: a read without data and a write without room return EAGAIN, and
// Queue announces when to try again.
type Port interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Queue() *wait.Queue
}

// theConsole is what /dev/console opens.
var theConsole atomic.Pointer[Terminal]

// console is the line of the console's terminal.
type console struct {
	t    *Terminal
	port Port
	out  []byte        // not taken by the port yet
	kick chan struct{} // wakes the pump
}

// OpenConsole makes the terminal of a port and starts the goroutine that
// moves its bytes, which lives as long as the machine.
func OpenConsole(p Port, size unix.Winsize) *Terminal {
	c := &console{port: p, kick: make(chan struct{}, 1)}
	c.t = newTerminal("/dev/console", c)
	c.t.winsize = size
	theConsole.Store(c.t)
	go c.pump()
	return c.t
}

// Console returns the console's terminal, nil when there is none.
func Console() *Terminal { return theConsole.Load() }

// pump feeds what arrives to the line discipline and what could not be
// written at once to the port.
func (c *console) pump() {
	w := wait.Waiter{Mask: ^wait.Events(0), Wake: func(*wait.Waiter, wait.Events) bool {
		c.wake()
		return true
	}}
	c.port.Queue().Add(&w)
	buf := make([]byte, 1024)
	for {
		more := c.feed(buf)
		c.t.mu.Lock()
		c.push()
		room := len(c.out) < wakeupChars
		c.t.unlock()
		if room {
			c.t.queue.Notify(wait.Writable)
		}
		if !more {
			<-c.kick
		}
	}
}

// feed moves one read of the port to the terminal. It reports whether there
// may be more.
func (c *console) feed(buf []byte) bool {
	t := c.t
	t.mu.Lock()
	room := outputSize - len(t.pending)
	t.mu.Unlock()
	if room == 0 {
		return false // whoever reads wakes us
	}
	n, err := c.port.Read(buf[:min(room, len(buf))])
	if n > 0 {
		t.mu.Lock()
		t.receive(buf[:n])
		t.unlock()
		return true
	}
	if err == nil || err != unix.EAGAIN {
		t.mu.Lock()
		gone := t.lineGone
		t.lineGone = true
		t.mu.Unlock()
		if !gone { // the user's terminal has gone
			t.hangup()
		}
	}
	return false
}

func (c *console) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// push writes what waits to the port. t.mu is held.
func (c *console) push() {
	for len(c.out) > 0 {
		n, err := c.port.Write(c.out)
		c.out = append(c.out[:0], c.out[n:]...)
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			c.out = c.out[:0] // nobody looks any more
		}
	}
}

func (c *console) room() int { return outputSize - len(c.out) }

func (c *console) put(p []byte) {
	if len(p) == 0 {
		return
	}
	c.out = append(c.out, p...)
	if len(c.out) >= wakeupChars || p[len(p)-1] == '\n' || len(p) > 1 {
		c.push()
	} else {
		c.wake()
	}
}

func (c *console) buffered() int { return len(c.out) }

func (c *console) mark() int { return 0 }

func (c *console) discard(int) { c.out = c.out[:0] }

func (c *console) flushed() {}

func (c *console) flowing(bool) {}

func (c *console) consumed() { c.wake() }

func (c *console) settings(*Termios, *Termios) {}
