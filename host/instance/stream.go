package instance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"husk/spec"
)

const bufferSize = 64 << 10

// A pump moves one output of the program to ours until the number of bytes
// that the exit report names has arrived, or the machine is gone.
type pump struct {
	name string
	from *os.File
	to   io.Writer
	want atomic.Uint64 // all ones until the report is there
	done chan struct{}

	// Valid once done is closed, then finish's.
	total uint64
	shut  bool // nobody reads what we write
	err   error
}

func newPump(name string, from *os.File, to io.Writer) *pump {
	p := &pump{name: name, from: from, to: to, done: make(chan struct{})}
	p.want.Store(1<<64 - 1)
	return p
}

func (p *pump) run() {
	defer close(p.done)
	// Closing tells the guest that nobody listens any more.
	defer p.from.Close()
	buf := make([]byte, bufferSize)
	for p.total < p.want.Load() {
		n, err := p.from.Read(buf)
		if n > 0 {
			if _, err := p.to.Write(buf[:n]); err != nil {
				// A closed pipe is the program's affair, as SIGPIPE.
				if p.shut = errors.Is(err, syscall.EPIPE); !p.shut {
					p.err = fmt.Errorf("write %s: %w", p.name, reason(err))
				}
				return
			}
			p.total += uint64(n)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// finish woke us to look at want.
			_ = p.from.SetReadDeadline(time.Time{})
		case err != nil:
			return
		}
	}
}

// finish waits until want bytes have passed or will never do. A nil pump has
// none to wait for.
func (p *pump) finish(want uint64) {
	if p == nil {
		return
	}
	p.want.Store(want)
	_ = p.from.SetReadDeadline(time.Unix(1, 0))
	<-p.done
	if p.err == nil && !p.shut && p.total < want {
		p.err = fmt.Errorf("read %s: the machine ended %d bytes early", p.name, want-p.total)
	}
}

// startStdin starts to read our stdin, once.
func (r *run) startStdin() {
	if !r.feeding {
		r.feeding = true
		r.guard(r.pumpStdin)
	}
}

// pumpStdin moves our stdin to the program and says where it ends. It waits
// in Write while the program does not read.
func (r *run) pumpStdin() {
	if r.Stdin == nil {
		r.send(&spec.Message{Type: spec.TypeStdinEnd})
		return
	}
	var total uint64
	buf := make([]byte, bufferSize)
	await := func() {}
	if r.Size != nil {
		await = awaitKeys(r.Stdin)
	}
	for {
		await()
		n, err := r.Stdin.Read(buf)
		if n > 0 {
			if _, err := r.input.Write(buf[:n]); err != nil {
				return
			}
			total += uint64(n)
		}
		if err != nil {
			r.send(&spec.Message{Type: spec.TypeStdinEnd, Bytes: total})
			if err != io.EOF {
				r.notice(fmt.Sprintf("read stdin: %v", reason(err)))
			}
			return
		}
	}
}

// reason is err without the operation and the name of the file, which the
// message around it has already.
func reason(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// drainSerial keeps the kernel's messages flowing, whoever reads them.
func (r *run) drainSerial() {
	defer close(r.logDone)
	buf := make([]byte, 4096)
	for {
		n, err := r.serial.Read(buf)
		r.log.write(buf[:n])
		if r.Serial != nil {
			_, _ = r.Serial.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// ring keeps the last bytes written to it.
type ring struct {
	b    [32 << 10]byte
	next int
	full bool
}

func (r *ring) write(p []byte) {
	for len(p) > 0 {
		n := copy(r.b[r.next:], p)
		p = p[n:]
		if r.next += n; r.next == len(r.b) {
			r.next, r.full = 0, true
		}
	}
}

func (r *ring) bytes() []byte {
	if !r.full {
		return r.b[:r.next]
	}
	return append(append([]byte(nil), r.b[r.next:]...), r.b[:r.next]...)
}
