package trace

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// maxString is how much of a string strace shows (-s).
const maxString = 32

// entry prints the arguments up to the first that shows at the exit, and
// returns the index of that one.
func (p *printer) entry(s *signature) int {
	for i := range p.shown(s) {
		if s.args[i].atExit {
			return i
		}
		p.separate(i)
		p.argument(s, i)
	}
	return len(s.args)
}

// shown is how many arguments of a call mean anything.
func (p *printer) shown(s *signature) int {
	switch s.name {
	case "futex":
		const private, realtime = 128, 256
		switch p.args[1] &^ (private | realtime) {
		case 1, 7, 8: // WAKE, UNLOCK_PI, TRYLOCK_PI
			return 3
		case 0, 6, 13: // WAIT, LOCK_PI, LOCK_PI2
			return 4
		}
	case "mremap":
		if p.args[3]&(unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP) == 0 {
			return 4
		}
	case "fcntl":
		switch p.args[1] {
		case unix.F_GETFD, unix.F_GETFL, unix.F_GETOWN, unix.F_GETSIG, unix.F_GETLEASE, unix.F_GETPIPE_SZ, unix.F_GET_SEALS:
			return 2
		}
	}
	return len(s.args)
}

// fcntlArgument prints the third argument of fcntl(2), whose meaning depends
// on the second; false when it is shown as it is.
func (p *printer) fcntlArgument(v uint64) bool {
	switch p.args[1] {
	case unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_SETOWN, unix.F_SETPIPE_SZ:
		p.decimal(int64(int32(v)))
	case unix.F_SETFL:
		p.flags("open", v)
	case unix.F_SETFD:
		p.flags("fdflags", v)
	case unix.F_ADD_SEALS:
		p.flags("seals", v)
	default:
		return false
	}
	return true
}

// exit prints the arguments from the given one on.
func (p *printer) exit(s *signature, from int) {
	for i := from; i < p.shown(s); i++ {
		p.separate(i)
		if s.args[i].atExit && p.failed {
			p.pointer(p.args[i])
			continue
		}
		p.argument(s, i)
	}
}

func (p *printer) separate(i int) {
	if i > 0 {
		p.text(", ")
	}
}

// argument prints the i-th argument of a call.
func (p *printer) argument(s *signature, i int) {
	a, v := &s.args[i], p.args[i]
	if s.name == "fcntl" && i == 2 && p.fcntlArgument(v) {
		return
	}
	if s.name == "statx" && a.name == "flags" && v&(unix.AT_STATX_FORCE_SYNC|unix.AT_STATX_DONT_SYNC) == 0 {
		p.text("AT_STATX_SYNC_AS_STAT")
		if v == 0 {
			return
		}
		p.text("|")
	}
	if s.name == "openat" || s.name == "open" {
		if a.kind == "mode" && p.args[i-1]&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) == 0 {
			p.out = p.out[:len(p.out)-len(", ")] // no mode without creation
			return
		}
	}
	if a.pointer {
		p.pointed(s, a, v)
		return
	}
	switch a.kind {
	case "int", "fd", "pid", "long", "off":
		p.signed(a.kind, v)
	case "uid", "gid":
		p.id(v)
	case "uint", "size", "ulong":
		p.plain(a.kind, v)
	case "dirfd":
		if int32(v) == unix.AT_FDCWD {
			p.text("AT_FDCWD")
			return
		}
		p.decimal(int64(int32(v)))
	case "hex":
		p.hex(v)
	case "ptr":
		p.pointer(v)
	case "path", "str":
		p.cstring(v, a.kind == "path")
	case "in":
		p.data(v, p.length(a))
	case "out":
		p.data(v, uint64(max(p.result, 0)))
	case "flags":
		p.flags(a.detail, v)
	case "enum":
		p.enum(a.detail, v)
	case "signal":
		p.signal(int64(int32(v)))
	case "mode":
		p.mode(v & 0xffffffff)
	case "dev":
		p.device(v)
	default:
		p.hex(v)
	}
}

func (p *printer) length(a *argument) uint64 {
	if a.length >= 0 {
		return p.args[a.length]
	}
	return 0
}

// signed prints a number of 32 or 64 bits with its sign.
func (p *printer) signed(kind string, v uint64) {
	if kind == "long" || kind == "off" {
		p.decimal(int64(v))
		return
	}
	p.decimal(int64(int32(v)))
}

// plain prints a number without sign.
func (p *printer) plain(kind string, v uint64) {
	if kind == "uint" {
		v &= 0xffffffff
	}
	p.unsigned(v)
}

// id prints a user or group number; all ones is "no change".
func (p *printer) id(v uint64) {
	if uint32(v) == ^uint32(0) {
		p.text("-1")
		return
	}
	p.unsigned(v & 0xffffffff)
}

func (p *printer) device(v uint64) {
	p.text("makedev(")
	p.hex(uint64(unix.Major(v)))
	p.text(", ")
	p.hex(uint64(unix.Minor(v)))
	p.text(")")
}

// read copies n bytes of user memory; nil when they cannot be read.
func (p *printer) read(a uint64, n int) []byte {
	b := make([]byte, n)
	if got, err := p.as.CopyIn(b, mm.Addr(a)); err != nil || got != n {
		return nil
	}
	return b
}

// cstring prints a NUL-terminated string; paths are shown whole.
func (p *printer) cstring(a uint64, whole bool) {
	if a == 0 {
		p.text("NULL")
		return
	}
	limit := maxString + 1
	if whole {
		limit = unix.PathMax
	}
	var b []byte
	for len(b) < limit {
		// Byte ranges that do not cross a page: the string may end at one.
		n := min(limit-len(b), mm.PageSize-int(a+uint64(len(b)))%mm.PageSize)
		chunk := p.read(a+uint64(len(b)), n)
		if chunk == nil {
			p.hex(a)
			return
		}
		for i, c := range chunk {
			if c == 0 {
				b = append(b, chunk[:i]...)
				p.quoted(b, !whole && len(b) > maxString)
				return
			}
		}
		b = append(b, chunk...)
	}
	p.quoted(b, true)
}

// data prints n bytes at a as a string, shortened.
func (p *printer) data(a, n uint64) {
	if a == 0 {
		p.text("NULL")
		return
	}
	b := p.read(a, int(min(n, maxString)))
	if b == nil {
		p.hex(a)
		return
	}
	p.quoted(b, n > maxString)
}

// quoted prints b as a C string with "..." behind it when it was cut.
func (p *printer) quoted(b []byte, cutOff bool) {
	if cutOff && len(b) > maxString {
		b = b[:maxString]
	}
	p.out = append(p.out, '"')
	for i, c := range b {
		p.escaped(c, i+1 < len(b) && '0' <= b[i+1] && b[i+1] <= '7')
	}
	p.out = append(p.out, '"')
	if cutOff {
		p.text("...")
	}
}

// escaped prints one character; octal escapes are as short as the next
// character allows.
func (p *printer) escaped(c byte, digitFollows bool) {
	switch c {
	case '"', '\\':
		p.out = append(p.out, '\\', c)
	case '\n':
		p.text(`\n`)
	case '\t':
		p.text(`\t`)
	case '\r':
		p.text(`\r`)
	case '\v':
		p.text(`\v`)
	case '\f':
		p.text(`\f`)
	default:
		if 0x20 <= c && c < 0x7f {
			p.out = append(p.out, c)
			return
		}
		p.out = append(p.out, '\\')
		octal := strconv.FormatUint(uint64(c), 8)
		if digitFollows {
			for n := len(octal); n < 3; n++ {
				p.out = append(p.out, '0')
			}
		}
		p.text(octal)
	}
}

// word reads an aligned 8-byte word of user memory.
func (p *printer) word(a uint64) (uint64, bool) {
	b := p.read(a, 8)
	if b == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}
