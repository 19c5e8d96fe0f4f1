package trace

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// pointed prints what an argument points to, or the bare address when its
// structure is not known here or cannot be read.
func (p *printer) pointed(s *signature, a *argument, v uint64) {
	if v == 0 {
		p.text("NULL")
		return
	}
	start := len(p.out)
	if !p.structure(s, a, v) {
		p.out = p.out[:start]
		p.hex(v)
	}
}

// structure prints one structure or array; false when it could not.
func (p *printer) structure(s *signature, a *argument, v uint64) bool {
	switch a.kind {
	case "stat":
		return p.fixed(v, 144, p.stat)
	case "timespec":
		if a.array != "" {
			return p.pair(v, 16, p.timespec)
		}
		return p.fixed(v, 16, p.timespec)
	case "timeval":
		if a.array != "" {
			return p.pair(v, 16, p.timeval)
		}
		return p.fixed(v, 16, p.timeval)
	case "itimerspec":
		return p.fixed(v, 32, func(b []byte) { p.interval(b, p.timespec) })
	case "itimerval":
		return p.fixed(v, 32, func(b []byte) { p.interval(b, p.timeval) })
	case "rlimit":
		return p.fixed(v, 16, p.rlimit)
	case "sigset":
		return p.fixed(v, 8, func(b []byte) { p.sigset(le64(b)) })
	case "sigaction":
		return p.fixed(v, 32, p.sigaction)
	case "fdpair":
		return p.fixed(v, 8, func(b []byte) {
			p.text("[")
			p.decimal(int64(le32s(b)))
			p.text(", ")
			p.decimal(int64(le32s(b[4:])))
			p.text("]")
		})
	case "wstatus":
		return p.fixed(v, 4, func(b []byte) { p.waitStatus(unix.WaitStatus(le32s(b))) })
	case "int", "uint", "socklen":
		return p.fixed(v, 4, func(b []byte) { p.bracketed(int64(le32s(b))) })
	case "offset", "time":
		return p.fixed(v, 8, func(b []byte) { p.bracketed(int64(le64(b))) })
	case "argv":
		return p.argv(v)
	case "envp":
		return p.envp(v)
	case "iov":
		return p.iov(v, p.length(a), a.atExit)
	case "pollfd":
		return p.pollfds(v, p.length(a))
	case "epoll_event":
		return p.epollEvents(v, a)
	case "path":
		p.cstring(v, true)
		return true
	case "utsname":
		return p.fixed(v, 390, p.utsname)
	case "sysinfo":
		return p.fixed(v, 112, p.sysinfo)
	case "openhow":
		return p.fixed(v, 24, p.openHow)
	case "cloneargs":
		return p.fixed(v, 88, p.cloneArgs)
	case "siginfo":
		return p.fixed(v, 128, p.siginfoBytes)
	case "stack":
		return p.fixed(v, 24, p.altStack)
	case "dirents", "dirents64":
		return p.dirents(v)
	case "residency":
		return p.residency(v, p.length(a))
	case "statx":
		return p.fixed(v, 256, p.statx)
	case "cpuset":
		return p.cpuset(v, p.length(a), a.atExit)
	case "sockaddr":
		return p.sockaddr(v, p.length(a))
	}
	return false
}

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le32s(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) }

// fixed reads a structure of n bytes and prints it with show.
func (p *printer) fixed(v uint64, n int, show func([]byte)) bool {
	b := p.read(v, n)
	if b == nil {
		return false
	}
	show(b)
	return true
}

func (p *printer) pair(v uint64, n int, show func([]byte)) bool {
	return p.fixed(v, 2*n, func(b []byte) {
		p.text("[")
		show(b[:n])
		p.text(", ")
		show(b[n:])
		p.text("]")
	})
}

func (p *printer) bracketed(n int64) {
	p.text("[")
	p.decimal(n)
	p.text("]")
}

// field prints ", name=" or "{name=".
func (p *printer) field(name string, first bool) {
	if first {
		p.text("{")
	} else {
		p.text(", ")
	}
	p.text(name)
	p.text("=")
}

func (p *printer) stat(b []byte) {
	mode := le32(b[24:])
	p.field("st_mode", true)
	p.fileMode(mode)
	if t := mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		p.field("st_rdev", false)
		p.device(le64(b[40:]))
	} else {
		p.field("st_size", false)
		p.decimal(int64(le64(b[48:])))
	}
	p.text(", ...}")
}

func (p *printer) fileMode(mode uint32) {
	p.enum("filetype", uint64(mode&unix.S_IFMT))
	for _, b := range [...]struct {
		bit  uint32
		name string
	}{{unix.S_ISUID, "|S_ISUID"}, {unix.S_ISGID, "|S_ISGID"}, {unix.S_ISVTX, "|S_ISVTX"}} {
		if mode&b.bit != 0 {
			p.text(b.name)
		}
	}
	p.text("|")
	p.mode(uint64(mode & 0o777))
}

// statx prints the members that strace shows without -v.
func (p *printer) statx(b []byte) {
	p.field("stx_mask", true)
	p.flags("statx", uint64(le32(b)))
	p.field("stx_attributes", false)
	p.hex(le64(b[8:]))
	p.field("stx_mode", false)
	p.fileMode(uint32(binary.LittleEndian.Uint16(b[28:])))
	p.field("stx_size", false)
	p.unsigned(le64(b[40:]))
	p.text(", ...}")
}

// residency prints mincore's vector for n bytes of memory.
func (p *printer) residency(v, n uint64) bool {
	pages := (n + mm.PageSize - 1) / mm.PageSize
	b := p.read(v, int(min(pages, maxString)))
	if b == nil {
		return false
	}
	p.text("[")
	for i, c := range b {
		p.separate(i)
		p.unsigned(uint64(c))
	}
	if pages > maxString {
		p.text(", ...")
	}
	p.text("]")
	return true
}

// dirents prints the address and how many entries there are.
func (p *printer) dirents(v uint64) bool {
	n := int64(0)
	for off := int64(0); off < p.result; {
		b := p.read(v+uint64(off)+16, 2) // d_reclen
		if b == nil || binary.LittleEndian.Uint16(b) == 0 {
			return false
		}
		off += int64(binary.LittleEndian.Uint16(b))
		n++
	}
	p.hex(v)
	p.text(" /* ")
	p.decimal(n)
	if n == 1 {
		p.text(" entry */")
	} else {
		p.text(" entries */")
	}
	return true
}

func (p *printer) timespec(b []byte) {
	switch n := int64(le64(b[8:])); n {
	case unix.UTIME_NOW:
		p.text("UTIME_NOW")
		return
	case unix.UTIME_OMIT:
		p.text("UTIME_OMIT")
		return
	}
	p.field("tv_sec", true)
	p.decimal(int64(le64(b)))
	p.field("tv_nsec", false)
	p.decimal(int64(le64(b[8:])))
	p.text("}")
}

func (p *printer) timeval(b []byte) {
	p.field("tv_sec", true)
	p.decimal(int64(le64(b)))
	p.field("tv_usec", false)
	p.decimal(int64(le64(b[8:])))
	p.text("}")
}

func (p *printer) interval(b []byte, show func([]byte)) {
	p.field("it_interval", true)
	show(b[:16])
	p.field("it_value", false)
	show(b[16:])
	p.text("}")
}

func (p *printer) rlimit(b []byte) {
	p.field("rlim_cur", true)
	p.limit(le64(b))
	p.field("rlim_max", false)
	p.limit(le64(b[8:]))
	p.text("}")
}

func (p *printer) limit(v uint64) {
	switch {
	case v == ^uint64(0):
		p.text("RLIM64_INFINITY")
	case v > 1024 && v%1024 == 0:
		p.unsigned(v / 1024)
		p.text("*1024")
	default:
		p.unsigned(v)
	}
}

func (p *printer) sigaction(b []byte) {
	p.field("sa_handler", true)
	switch h := le64(b); h {
	case 0:
		p.text("SIG_DFL")
	case 1:
		p.text("SIG_IGN")
	default:
		p.hex(h)
	}
	p.field("sa_mask", false)
	p.sigset(le64(b[24:]))
	flags := le64(b[8:])
	p.field("sa_flags", false)
	p.flags("sigaction", flags)
	const restorer = 0x04000000
	if flags&restorer != 0 {
		p.field("sa_restorer", false)
		p.hex(le64(b[16:]))
	}
	p.text("}")
}

// sigset prints "[INT TERM]", or "~[…]" when most are in it.
func (p *printer) sigset(set uint64) {
	if bits.OnesCount64(set) > 32 {
		set = ^set
		p.text("~")
	}
	p.text("[")
	first := true
	for n := int64(1); n <= 64; n++ {
		if set>>(n-1)&1 == 0 {
			continue
		}
		if !first {
			p.text(" ")
		}
		first = false
		p.text(signalName(n))
	}
	p.text("]")
}

func (p *printer) waitStatus(w unix.WaitStatus) {
	p.text("[{")
	switch {
	case w.Exited():
		p.text("WIFEXITED(s) && WEXITSTATUS(s) == ")
		p.decimal(int64(w.ExitStatus()))
	case w.Signaled():
		p.text("WIFSIGNALED(s) && WTERMSIG(s) == ")
		p.signal(int64(w.Signal()))
		if w.CoreDump() {
			p.text(" && WCOREDUMP(s)")
		}
	case w.Stopped():
		p.text("WIFSTOPPED(s) && WSTOPSIG(s) == ")
		p.signal(int64(w.StopSignal()))
	default:
		p.text("WIFCONTINUED(s)")
	}
	p.text("}]")
}

// argv prints a vector of strings, at most maxString of them.
func (p *printer) argv(v uint64) bool {
	p.text("[")
	for i := 0; ; i++ {
		a, ok := p.word(v + uint64(i)*8)
		if !ok {
			return false
		}
		if a == 0 {
			break
		}
		if i > 0 {
			p.text(", ")
		}
		if i == maxString {
			p.text("...")
			break
		}
		p.cstring(a, false)
	}
	p.text("]")
	return true
}

// envp prints the address and how many variables there are.
func (p *printer) envp(v uint64) bool {
	n := int64(0)
	for {
		a, ok := p.word(v + uint64(n)*8)
		if !ok {
			return false
		}
		if a == 0 {
			break
		}
		n++
	}
	p.hex(v)
	p.text(" /* ")
	p.decimal(n)
	if n == 1 {
		p.text(" var */")
	} else {
		p.text(" vars */")
	}
	return true
}

// iov prints a scatter list; atExit, only as much data as the call returned.
func (p *printer) iov(v, count uint64, atExit bool) bool {
	count = min(count, 1024)
	left := ^uint64(0)
	if atExit {
		left = uint64(max(p.result, 0))
	}
	p.text("[")
	for i := range count {
		b := p.read(v+i*16, 16)
		if b == nil {
			return false
		}
		if i > 0 {
			p.text(", ")
		}
		if i == maxString {
			p.text("...")
			break
		}
		n := le64(b[8:])
		p.field("iov_base", true)
		p.data(le64(b), min(n, left))
		left -= min(n, left)
		p.field("iov_len", false)
		p.unsigned(n)
		p.text("}")
	}
	p.text("]")
	return true
}

func (p *printer) pollfds(v, count uint64) bool {
	count = min(count, 1024)
	p.text("[")
	for i := range count {
		b := p.read(v+i*8, 8)
		if b == nil {
			return false
		}
		if i > 0 {
			p.text(", ")
		}
		p.field("fd", true)
		p.decimal(int64(le32s(b)))
		p.field("events", false)
		p.flags("poll", uint64(binary.LittleEndian.Uint16(b[4:])))
		p.text("}")
	}
	p.text("]")
	return true
}

// epollEvents prints the one event of epoll_ctl or those epoll_wait returned.
func (p *printer) epollEvents(v uint64, a *argument) bool {
	if a.array == "" {
		return p.fixed(v, 12, p.epollEvent)
	}
	p.text("[")
	for i := range uint64(max(p.result, 0)) {
		if i > 0 {
			p.text(", ")
		}
		if i == maxString {
			p.text("...")
			break
		}
		if !p.fixed(v+i*12, 12, p.epollEvent) {
			return false
		}
	}
	p.text("]")
	return true
}

func (p *printer) epollEvent(b []byte) {
	p.field("events", true)
	p.flags("epoll", uint64(le32(b)))
	p.text(", data={u32=")
	p.unsigned(uint64(le32(b[4:])))
	p.text(", u64=")
	p.unsigned(le64(b[4:]))
	p.text("}}")
}

func (p *printer) utsname(b []byte) {
	field := func(i int) []byte {
		s := b[i*65 : (i+1)*65]
		for n, c := range s {
			if c == 0 {
				return s[:n]
			}
		}
		return s
	}
	p.field("sysname", true)
	p.quoted(field(0), false)
	p.field("nodename", false)
	p.quoted(field(1), false)
	p.text(", ...}")
}

func (p *printer) sysinfo(b []byte) {
	p.field("uptime", true)
	p.decimal(int64(le64(b)))
	p.text(", loads=[")
	for i := range 3 {
		p.separate(i)
		p.unsigned(le64(b[8+8*i:]))
	}
	p.text("]")
	for i, name := range []string{"totalram", "freeram", "sharedram", "bufferram", "totalswap", "freeswap"} {
		p.field(name, false)
		p.unsigned(le64(b[32+8*i:]))
	}
	p.field("procs", false)
	p.unsigned(uint64(binary.LittleEndian.Uint16(b[80:])))
	p.text(", ...}")
}

func (p *printer) openHow(b []byte) {
	flags := le64(b)
	p.field("flags", true)
	p.flags("open", flags)
	if flags&unix.O_CREAT != 0 {
		p.field("mode", false)
		p.mode(le64(b[8:]))
	}
	p.field("resolve", false)
	p.flags("resolve", le64(b[16:]))
	p.text("}")
}

func (p *printer) cloneArgs(b []byte) {
	p.field("flags", true)
	p.flags("clone", le64(b))
	for i, name := range []string{"child_tid", "parent_tid"} {
		if v := le64(b[16+8*i:]); v != 0 {
			p.field(name, false)
			p.hex(v)
		}
	}
	p.field("exit_signal", false)
	p.signal(int64(le64(b[32:])))
	p.field("stack", false)
	p.pointer(le64(b[40:]))
	p.field("stack_size", false)
	p.hex(le64(b[48:]))
	if v := le64(b[56:]); v != 0 {
		p.field("tls", false)
		p.hex(v)
	}
	p.text("}")
}

func (p *printer) altStack(b []byte) {
	p.field("ss_sp", true)
	p.pointer(le64(b))
	p.field("ss_flags", false)
	p.flags("altstack", uint64(le32(b[8:])))
	p.field("ss_size", false)
	p.unsigned(le64(b[16:]))
	p.text("}")
}

func (p *printer) cpuset(v, n uint64, atExit bool) bool {
	if atExit {
		n = uint64(max(p.result, 0))
	}
	b := p.read(v, int(min(n, 128)))
	if b == nil {
		return false
	}
	p.text("[")
	first := true
	for i := range len(b) * 8 {
		if b[i/8]>>(i%8)&1 != 0 {
			if !first {
				p.text(" ")
			}
			first = false
			p.decimal(int64(i))
		}
	}
	p.text("]")
	return true
}

func (p *printer) siginfoBytes(b []byte) {
	p.siginfoFields(le32s(b), le32s(b[8:]), b[16:])
}

func (p *printer) siginfoFields(signo, code int32, union []byte) {
	p.field("si_signo", true)
	p.signal(int64(signo))
	p.field("si_code", false)
	p.siginfoCode(signo, code)
	switch {
	case code > 0 && isFault(signo):
		p.field("si_addr", false)
		p.pointer(le64(union))
	case signo == int32(unix.SIGCHLD) && code > 0:
		p.field("si_pid", false)
		p.decimal(int64(le32s(union)))
		p.field("si_uid", false)
		p.unsigned(uint64(le32(union[4:])))
		p.field("si_status", false)
		p.decimal(int64(le32s(union[8:])))
	case code <= 0 && code != siKernel:
		p.field("si_pid", false)
		p.decimal(int64(le32s(union)))
		p.field("si_uid", false)
		p.unsigned(uint64(le32(union[4:])))
	}
	p.text("}")
}

func isFault(signo int32) bool {
	switch unix.Signal(signo) {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP:
		return true
	}
	return false
}

func (p *printer) sockaddr(v, n uint64) bool {
	b := p.read(v, int(min(n, 128)))
	if len(b) < 2 {
		return false
	}
	family := binary.LittleEndian.Uint16(b)
	p.field("sa_family", true)
	p.enum("af", uint64(family))
	switch {
	case family == unix.AF_UNIX:
		p.field("sun_path", false)
		path := b[2:]
		if len(path) > 0 && path[0] == 0 {
			p.text("@")
			p.quoted(path[1:], false)
			break
		}
		for i, c := range path {
			if c == 0 {
				path = path[:i]
				break
			}
		}
		p.quoted(path, false)
	case family == unix.AF_INET && len(b) >= 8:
		p.text(", sin_port=htons(")
		p.unsigned(uint64(binary.BigEndian.Uint16(b[2:])))
		p.text("), sin_addr=inet_addr(\"")
		for i, c := range b[4:8] {
			if i > 0 {
				p.text(".")
			}
			p.unsigned(uint64(c))
		}
		p.text("\")")
	}
	p.text("}")
	return true
}
