// Package trace shows what programs do: system calls decoded in the format of
// strace(1). It is told of calls by package syscalls and of signals and ends
// by package task, reads the arguments from the program's memory, and writes
// lines to a sink. Nothing of it runs when tracing is off.
//
// Lock: Strace.mu, held while a line is written; the sink is called with it.
package trace

import (
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/mm"
	"husk/kernel/task"
)

// Describe returns the description of a call: syscalls.Describe.
type Describe func(nr uint64) (name, args, ret, classes string)

// resultColumn is where strace aligns the results of short calls.
const resultColumn = 40

// Strace writes one line a call. Lines of concurrent threads are broken up
// with "<unfinished ...>" and "<... resumed>" as strace does.
type Strace struct {
	describe Describe
	sink     func([]byte)
	filter   Filter
	calls    [512]atomic.Pointer[signature]

	mu      sync.Mutex
	open    *line // the line that is being written and not yet complete
	threads map[int]*line
	prefix  bool // more than one thread has been seen
}

// line is the state of one thread's call.
type line struct {
	tid    int
	name   string
	column int
	next   int  // the first argument not yet printed
	broken bool // others wrote in between
}

// New returns a tracer that writes through sink the calls that the list
// selects, in the syntax of strace's -e trace=.
func New(list string, describe Describe, sink func([]byte)) (*Strace, error) {
	f, err := ParseFilter(list, describe)
	if err != nil {
		return nil, err
	}
	return &Strace{describe: describe, sink: sink, filter: f, threads: map[int]*line{}}, nil
}

// Enter is called before a call is served.
func (s *Strace) Enter(t *task.Thread, nr uint64) {
	if !s.filter.Has(nr) {
		return
	}
	sig := s.signature(nr)
	p := printer{as: t.AddressSpace(), args: arguments(t)}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(t.TID)
	l.name, l.next, l.broken = sig.name, 0, false
	s.begin(l)
	p.text(sig.name)
	p.text("(")
	l.next = p.entry(sig)
	s.emit(l, p.out)
}

// Exit is called after a call was served, with what it returned.
func (s *Strace) Exit(t *task.Thread, nr uint64, result uintptr, err error) {
	if !s.filter.Has(nr) {
		return
	}
	sig := s.signature(nr)
	p := printer{as: t.AddressSpace(), args: arguments(t), result: int64(result), failed: err != nil}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(t.TID)
	if l.name == "" { // the call before the program began: execve of the boot
		return
	}
	if s.open != l {
		s.begin(l)
		p.text("<... ")
		p.text(l.name)
		p.text(" resumed>")
	}
	p.exit(sig, l.next)
	p.text(") ")
	s.emit(l, p.out)
	p.out = p.out[:0]
	for n := l.column; n < resultColumn; n++ {
		p.text(" ")
	}
	p.text("= ")
	p.resultOf(sig, err)
	p.text("\n")
	s.emit(l, p.out)
	l.name, s.open = "", nil
}

// arguments are the argument registers; a call leaves all but RAX, RCX and R11
// as they were, so they can be read again when it returns.
func arguments(t *task.Thread) [6]uint64 {
	return [6]uint64{t.RDI, t.RSI, t.RDX, t.R10, t.R8, t.R9}
}

// Signal shows the delivery of a signal: strace's "--- SIGSEGV {…} ---". info
// is the siginfo_t as the program would see it (sigaction(2)), 128 bytes.
func (s *Strace) Signal(tid int, info []byte) {
	p := printer{}
	p.text("--- ")
	p.signal(int64(le32s(info)))
	p.text(" ")
	p.siginfoBytes(info)
	p.text(" ---\n")
	s.note(tid, p.out)
}

// Exited shows the end of a thread: by exit with a status, or by a signal.
func (s *Strace) Exited(tid int, status unix.WaitStatus) {
	p := printer{}
	if status.Signaled() {
		p.text("+++ killed by ")
		p.signal(int64(status.Signal()))
		if status.CoreDump() {
			p.text(" (core dumped)")
		}
	} else {
		p.text("+++ exited with ")
		p.decimal(int64(status.ExitStatus()))
	}
	p.text(" +++\n")
	s.mu.Lock()
	if l := s.threads[tid]; l != nil && l.name != "" && s.open == l {
		tail := []byte(") ")
		for n := l.column + 2; n < resultColumn; n++ {
			tail = append(tail, ' ')
		}
		s.emit(l, append(tail, "= ?\n"...))
		s.open = nil
	}
	delete(s.threads, tid)
	s.mu.Unlock()
	s.note(tid, p.out)
}

// note writes a line of its own about a thread.
func (s *Strace) note(tid int, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &line{tid: tid}
	s.begin(l)
	s.emit(l, text)
	s.open = nil
}

// line returns the thread's state. mu is held.
func (s *Strace) line(tid int) *line {
	l := s.threads[tid]
	if l == nil {
		l = &line{tid: tid}
		s.threads[tid] = l
		if len(s.threads) > 1 {
			s.prefix = true
		}
	}
	return l
}

// begin starts a line of l, breaking off the one another thread has open.
func (s *Strace) begin(l *line) {
	if s.open != nil {
		s.sink([]byte(" <unfinished ...>\n"))
		s.open.broken = true
	}
	s.open, l.column = l, 0
	if s.prefix {
		b := append([]byte("[pid "), padded(l.tid)...)
		s.emit(l, append(b, "] "...))
	}
}

func padded(tid int) []byte {
	b := strconv.AppendInt(nil, int64(tid), 10)
	for len(b) < 5 {
		b = append([]byte{' '}, b...)
	}
	return b
}

func (s *Strace) emit(l *line, p []byte) {
	if len(p) > 0 {
		l.column += len(p)
		s.sink(p)
	}
}

// signature returns the parsed description of a call.
func (s *Strace) signature(nr uint64) *signature {
	slot := min(nr, uint64(len(s.calls)-1))
	if sig := s.calls[slot].Load(); sig != nil {
		return sig
	}
	name, args, ret, _ := s.describe(nr)
	var sig *signature
	if name == "" {
		sig = &signature{name: "syscall_" + "0x" + strconv.FormatUint(nr, 16), ret: "int"}
	} else {
		sig = parseSignature(name, args, ret)
	}
	s.calls[slot].Store(sig)
	return sig
}

// resultOf prints what a call returned.
func (p *printer) resultOf(sig *signature, err error) {
	if err == nil {
		switch sig.ret {
		case "none": // exit and exit_group
			p.text("?")
		case "ptr", "hex":
			p.hex(uint64(p.result))
		case "mode":
			p.mode(uint64(p.result))
		default:
			p.decimal(p.result)
		}
		return
	}
	errno, ok := err.(unix.Errno)
	if !ok {
		errno = unix.EIO
	}
	switch errno {
	case abi.ERESTARTSYS:
		p.text("? ERESTARTSYS (To be restarted if SA_RESTART is set)")
	case abi.ERESTARTNOINTR:
		p.text("? ERESTARTNOINTR (To be restarted)")
	case abi.ERESTARTNOHAND:
		p.text("? ERESTARTNOHAND (To be restarted if no handler)")
	case abi.ERESTART_RESTARTBLOCK:
		p.text("? ERESTART_RESTARTBLOCK (Interrupted by signal)")
	default:
		p.text("-1 ")
		p.errno(errno)
	}
}

// errno prints "ENOENT (No such file or directory)".
func (p *printer) errno(e unix.Errno) {
	name := unix.ErrnoName(e)
	switch {
	case e == unix.EOPNOTSUPP:
		name = "EOPNOTSUPP" // of its two names the one that strace prints
	case name == "":
		name = strconv.Itoa(int(e))
	}
	p.text(name)
	message := []byte(e.Error())
	if len(message) > 0 && 'a' <= message[0] && message[0] <= 'z' {
		message[0] -= 'a' - 'A'
	}
	p.text(" (")
	p.out = append(p.out, message...)
	p.text(")")
}

// printer builds text about one call.
type printer struct {
	as     *mm.AddressSpace
	args   [6]uint64
	result int64
	failed bool
	out    []byte
}

func (p *printer) text(s string)     { p.out = append(p.out, s...) }
func (p *printer) decimal(v int64)   { p.out = strconv.AppendInt(p.out, v, 10) }
func (p *printer) unsigned(v uint64) { p.out = strconv.AppendUint(p.out, v, 10) }

func (p *printer) hex(v uint64) {
	if v == 0 {
		p.text("0")
		return
	}
	p.text("0x")
	p.out = strconv.AppendUint(p.out, v, 16)
}

func (p *printer) pointer(v uint64) {
	if v == 0 {
		p.text("NULL")
		return
	}
	p.hex(v)
}

// mode prints permission bits in octal as strace does, with at least three digits.
func (p *printer) mode(v uint64) {
	p.text("0")
	if v < 0o100 {
		p.text("0")
	}
	if v < 0o10 {
		p.text("0")
	}
	if v != 0 {
		p.out = strconv.AppendUint(p.out, v, 8)
	} else {
		p.text("0")
	}
}
