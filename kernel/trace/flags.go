package trace

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// bit is a named value.
type bit struct {
	name  string
	value uint64
}

// set is a family of named values: flags to be or'ed, or an enumeration.
type set struct {
	zero string // what 0 is called, "" for "0"
	bits []bit
}

// flags prints or'ed names; what has none is printed in hex. Names of several
// bits stand before those of their parts.
func (p *printer) flags(name string, v uint64) {
	if name != "clone" && name != "resolve" {
		v &= 0xffffffff
	}
	switch name {
	case "clone":
		p.cloneFlags(v)
		return
	case "futex":
		p.futexOp(v)
		return
	case "socktype":
		p.enum("sockbase", v&0xf)
		if v &^= 0xf; v == 0 {
			return
		}
		p.text("|")
	case "mmap":
		if v&0xf == 0 { // neither shared nor private
			p.text("MAP_FILE")
			if v == 0 {
				return
			}
			p.text("|")
		}
	case "open":
		if v&unix.O_ACCMODE == unix.O_RDONLY {
			p.text("O_RDONLY")
			if v == 0 {
				return
			}
			p.text("|")
		}
	}
	s := findSet(name)
	if s == nil {
		p.hex(v)
		return
	}
	p.bits(s, v)
}

// bits prints the names of the bits of v.
func (p *printer) bits(s *set, v uint64) {
	if v == 0 {
		if s.zero == "" {
			p.text("0")
			return
		}
		p.text(s.zero)
		return
	}
	first := true
	for _, b := range s.bits {
		if b.value == 0 || v&b.value != b.value {
			continue
		}
		if !first {
			p.text("|")
		}
		first = false
		p.text(b.name)
		v &^= b.value
	}
	switch {
	case v == 0:
	case first:
		p.unknown(s, v)
	default:
		p.text("|")
		p.hex(v)
	}
}

// cloneFlags prints CLONE_* and the signal in the lowest byte.
func (p *printer) cloneFlags(v uint64) {
	if rest := v &^ 0xff; rest != 0 {
		p.bits(findSet("clone"), rest)
		if v&0xff == 0 {
			return
		}
		p.text("|")
	}
	p.signal(int64(v & 0xff))
}

// futexOp prints the operation and its modifiers.
func (p *printer) futexOp(v uint64) {
	const private, realtime = 128, 256
	start := len(p.out)
	p.enum("futexop", v&^(private|realtime))
	if v&private != 0 && string(p.out[start:min(len(p.out), start+6)]) == "FUTEX_" {
		p.text("_PRIVATE")
	}
	if v&realtime != 0 {
		p.text("|FUTEX_CLOCK_REALTIME")
	}
}

// enum prints the name of one value.
func (p *printer) enum(name string, v uint64) {
	v &= 0xffffffff
	if name == "futex" {
		p.futexOp(v)
		return
	}
	if s := findSet(name); s != nil {
		for _, b := range s.bits {
			if b.value == v {
				p.text(b.name)
				return
			}
		}
		p.unknown(s, v)
		return
	}
	p.hex(v)
}

// unknown prints a value that has no name in the set: "0x3039 /* MADV_??? */".
func (p *printer) unknown(s *set, v uint64) {
	p.hex(v)
	prefix, _ := cut(s.bits[0].name, '_')
	p.text(" /* ")
	p.text(prefix)
	p.text("_??? */")
}

// signal prints SIGINT, SIGRT_5 or a bare number.
func (p *printer) signal(n int64) {
	switch {
	case 1 <= n && n < 32:
		p.text("SIG")
		p.text(signalName(n))
	case 32 <= n && n <= 64:
		p.text("SIG")
		p.text(signalName(n))
	default:
		p.decimal(n)
	}
}

// signalName returns a signal's name without SIG, as strace has it in sets.
func signalName(n int64) string {
	if n >= 32 {
		return "RT_" + strconv.FormatInt(n-32, 10)
	}
	name := unix.SignalName(unix.Signal(n))
	if len(name) < 3 {
		return strconv.FormatInt(n, 10)
	}
	return name[3:]
}

// siKernel is SI_KERNEL of sigaction(2).
const siKernel = 0x80

// siginfoCode prints SI_USER and friends, or the fault's code.
func (p *printer) siginfoCode(signo, code int32) {
	switch code {
	case 0:
		p.text("SI_USER")
	case siKernel:
		p.text("SI_KERNEL")
	case -1:
		p.text("SI_QUEUE")
	case -2:
		p.text("SI_TIMER")
	case -6:
		p.text("SI_TKILL")
	default:
		p.text(faultCode(unix.Signal(signo), code))
	}
}

// faultCode names si_code for signals that describe a fault or a child.
func faultCode(s unix.Signal, code int32) string {
	var names []string
	switch s {
	case unix.SIGSEGV:
		names = []string{"SEGV_MAPERR", "SEGV_ACCERR"}
	case unix.SIGBUS:
		names = []string{"BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR"}
	case unix.SIGFPE:
		names = []string{"FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV", "FPE_FLTSUB"}
	case unix.SIGILL:
		names = []string{"ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC"}
	case unix.SIGTRAP:
		names = []string{"TRAP_BRKPT", "TRAP_TRACE"}
	case unix.SIGCHLD:
		names = []string{"CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"}
	}
	if code >= 1 && int(code) <= len(names) {
		return names[code-1]
	}
	return strconv.Itoa(int(code))
}
