package spec

import (
	"strconv"
	"unicode/utf8"
)

// The JSON of this package is read and written by hand, because the kernel
// imports it: no reflection, no tables built at start, one pass over the
// bytes. It is strict JSON (RFC 8259) with two deliberate differences from
// encoding/json: member names match exactly and may not occur twice, and a
// string may hold any bytes, since arguments and environment of a Linux
// program are bytes and not text.

// Limits of what is read; beyond them the input is refused.
const (
	// MaxSpec holds arguments and environment of the 6 MiB that Linux allows.
	MaxSpec = 16 << 20
	// MaxMessage is the longest line on the control port, newline included.
	MaxMessage = 256 << 10
	// MaxDepth is how deep objects and arrays may nest.
	MaxDepth = 32
)

// SyntaxError says what is wrong with the input and at which byte.
type SyntaxError struct {
	Offset int
	Reason string
}

func (e *SyntaxError) Error() string {
	return e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// ParseSpec reads a run specification. Unknown members are ignored.
func ParseSpec(b []byte) (*Spec, error) {
	if len(b) > MaxSpec {
		return nil, &SyntaxError{MaxSpec, "specification too long"}
	}
	d := decoder{b: b}
	s := new(Spec)
	d.spec(s)
	if err := d.end(); err != nil {
		return nil, err
	}
	return s, nil
}

// ParseMessage reads one line of the control port, with or without its newline.
func ParseMessage(b []byte) (*Message, error) {
	if len(b) > MaxMessage {
		return nil, &SyntaxError{MaxMessage, "message too long"}
	}
	d := decoder{b: b}
	m := new(Message)
	d.message(m)
	if err := d.end(); err != nil {
		return nil, err
	}
	return m, nil
}

func (d *decoder) spec(s *Spec) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "ociVersion":
			d.once(&seen, 0)
			d.string(&s.OCIVersion)
		case "process":
			d.once(&seen, 1)
			d.process(&s.Process)
		case "root":
			d.once(&seen, 2)
			d.root(&s.Root)
		case "hostname":
			d.once(&seen, 3)
			d.string(&s.Hostname)
		case "mounts":
			d.once(&seen, 4)
			for more := d.open('['); more; more = d.next(']') {
				s.Mounts = append(s.Mounts, Mount{})
				d.mount(&s.Mounts[len(s.Mounts)-1])
			}
		case "annotations":
			d.once(&seen, 5)
			for more := d.open('{'); more; more = d.next('}') {
				k, v := string(d.name()), ""
				d.string(&v)
				if s.Annotations == nil {
					s.Annotations = make(map[string]string)
				}
				s.Annotations[k] = v
			}
		default:
			d.skip()
		}
	}
}

func (d *decoder) process(p *Process) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "terminal":
			d.once(&seen, 0)
			d.bool(&p.Terminal)
		case "consoleSize":
			d.once(&seen, 1)
			d.consoleSize(&p.ConsoleSize)
		case "user":
			d.once(&seen, 2)
			d.user(&p.User)
		case "args":
			d.once(&seen, 3)
			d.strings(&p.Args)
		case "env":
			d.once(&seen, 4)
			d.strings(&p.Env)
		case "cwd":
			d.once(&seen, 5)
			d.string(&p.Cwd)
		case "rlimits":
			d.once(&seen, 6)
			for more := d.open('['); more; more = d.next(']') {
				p.Rlimits = append(p.Rlimits, Rlimit{})
				d.rlimit(&p.Rlimits[len(p.Rlimits)-1])
			}
		case "noNewPrivileges":
			d.once(&seen, 7)
			d.bool(&p.NoNewPrivileges)
		default:
			d.skip()
		}
	}
}

func (d *decoder) consoleSize(c *ConsoleSize) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "height":
			d.once(&seen, 0)
			number(d, &c.Height, 1<<16-1)
		case "width":
			d.once(&seen, 1)
			number(d, &c.Width, 1<<16-1)
		default:
			d.skip()
		}
	}
}

func (d *decoder) user(u *User) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "uid":
			d.once(&seen, 0)
			number(d, &u.UID, 1<<32-1)
		case "gid":
			d.once(&seen, 1)
			number(d, &u.GID, 1<<32-1)
		case "umask":
			d.once(&seen, 2)
			if !d.null() {
				u.Umask = new(uint32)
				number(d, u.Umask, 1<<32-1)
			}
		case "additionalGids":
			d.once(&seen, 3)
			for more := d.open('['); more; more = d.next(']') {
				u.AdditionalGids = append(u.AdditionalGids, 0)
				number(d, &u.AdditionalGids[len(u.AdditionalGids)-1], 1<<32-1)
			}
		case "username":
			d.once(&seen, 4)
			d.string(&u.Username)
		default:
			d.skip()
		}
	}
}

func (d *decoder) rlimit(r *Rlimit) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "type":
			d.once(&seen, 0)
			d.string(&r.Type)
		case "soft":
			d.once(&seen, 1)
			number(d, &r.Soft, 1<<64-1)
		case "hard":
			d.once(&seen, 2)
			number(d, &r.Hard, 1<<64-1)
		default:
			d.skip()
		}
	}
}

func (d *decoder) root(r *Root) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "path":
			d.once(&seen, 0)
			d.string(&r.Path)
		case "readonly":
			d.once(&seen, 1)
			d.bool(&r.Readonly)
		default:
			d.skip()
		}
	}
}

func (d *decoder) mount(m *Mount) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "destination":
			d.once(&seen, 0)
			d.string(&m.Destination)
		case "type":
			d.once(&seen, 1)
			d.string(&m.Type)
		case "source":
			d.once(&seen, 2)
			d.string(&m.Source)
		case "options":
			d.once(&seen, 3)
			d.strings(&m.Options)
		default:
			d.skip()
		}
	}
}

func (d *decoder) message(m *Message) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "type":
			d.once(&seen, 0)
			d.string(&m.Type)
		case "signal":
			d.once(&seen, 1)
			d.int(&m.Signal)
		case "winsize":
			d.once(&seen, 2)
			if !d.null() {
				m.Winsize = new(ConsoleSize)
				d.consoleSize(m.Winsize)
			}
		case "bytes":
			d.once(&seen, 3)
			number(d, &m.Bytes, 1<<64-1)
		case "exit":
			d.once(&seen, 4)
			if !d.null() {
				m.Exit = new(Exit)
				d.exit(m.Exit)
			}
		case "text":
			d.once(&seen, 5)
			d.string(&m.Text)
		default:
			d.skip()
		}
	}
}

func (d *decoder) exit(e *Exit) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "code":
			d.once(&seen, 0)
			d.int(&e.Code)
		case "signal":
			d.once(&seen, 1)
			d.int(&e.Signal)
		case "error":
			d.once(&seen, 2)
			d.string(&e.Error)
		case "crash":
			d.once(&seen, 3)
			if !d.null() {
				e.Crash = new(Crash)
				d.crash(e.Crash)
			}
		case "stdout":
			d.once(&seen, 4)
			number(d, &e.Stdout, 1<<64-1)
		case "stderr":
			d.once(&seen, 5)
			number(d, &e.Stderr, 1<<64-1)
		case "trace":
			d.once(&seen, 6)
			number(d, &e.Trace, 1<<64-1)
		default:
			d.skip()
		}
	}
}

func (d *decoder) crash(c *Crash) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "signal":
			d.once(&seen, 0)
			d.int(&c.Signal)
		case "code":
			d.once(&seen, 1)
			d.int(&c.Code)
		case "addr":
			d.once(&seen, 2)
			number(d, &c.Addr, 1<<64-1)
		case "pid":
			d.once(&seen, 3)
			d.int(&c.PID)
		case "tid":
			d.once(&seen, 4)
			d.int(&c.TID)
		case "command":
			d.once(&seen, 5)
			d.string(&c.Command)
		case "reason":
			d.once(&seen, 6)
			d.string(&c.Reason)
		case "frames":
			d.once(&seen, 7)
			for more := d.open('['); more; more = d.next(']') {
				c.Frames = append(c.Frames, Frame{})
				d.frame(&c.Frames[len(c.Frames)-1])
			}
		case "registers":
			d.once(&seen, 8)
			d.string(&c.Registers)
		default:
			d.skip()
		}
	}
}

func (d *decoder) frame(f *Frame) {
	var seen fields
	for more := d.open('{'); more; more = d.next('}') {
		switch string(d.name()) {
		case "pc":
			d.once(&seen, 0)
			number(d, &f.PC, 1<<64-1)
		case "file":
			d.once(&seen, 1)
			d.string(&f.File)
		case "offset":
			d.once(&seen, 2)
			number(d, &f.Offset, 1<<64-1)
		default:
			d.skip()
		}
	}
}

// AppendMessage appends m as one line with its newline.
func AppendMessage(dst []byte, m *Message) []byte {
	e := encoder{b: append(dst, '{')}
	e.string("type", m.Type)
	e.int("signal", m.Signal, true)
	if m.Winsize != nil {
		e.key("winsize")
		e.consoleSize(m.Winsize)
	}
	e.uint("bytes", m.Bytes, true)
	if m.Exit != nil {
		e.key("exit")
		e.exit(m.Exit)
	}
	e.omitString("text", m.Text)
	return append(e.b, '}', '\n')
}

func (e *encoder) exit(x *Exit) {
	e.b = append(e.b, '{')
	e.int("code", x.Code, false)
	e.int("signal", x.Signal, true)
	e.omitString("error", x.Error)
	if c := x.Crash; c != nil {
		e.key("crash")
		e.b = append(e.b, '{')
		e.int("signal", c.Signal, false)
		e.int("code", c.Code, false)
		e.uint("addr", c.Addr, false)
		e.int("pid", c.PID, false)
		e.int("tid", c.TID, false)
		e.string("command", c.Command)
		e.omitString("reason", c.Reason)
		if len(c.Frames) > 0 {
			e.key("frames")
			e.b = append(e.b, '[')
			for i := range c.Frames {
				f := &c.Frames[i]
				e.element('{')
				e.uint("pc", f.PC, false)
				e.omitString("file", f.File)
				e.uint("offset", f.Offset, true)
				e.b = append(e.b, '}')
			}
			e.b = append(e.b, ']')
		}
		e.omitString("registers", c.Registers)
		e.b = append(e.b, '}')
	}
	e.uint("stdout", x.Stdout, false)
	e.uint("stderr", x.Stderr, false)
	e.uint("trace", x.Trace, true)
	e.b = append(e.b, '}')
}

// AppendSpec appends s. Bytes of strings that are not UTF-8 go through as
// they are, which is what ParseSpec expects.
func AppendSpec(dst []byte, s *Spec) []byte {
	e := encoder{b: append(dst, '{')}
	e.string("ociVersion", s.OCIVersion)
	e.key("process")
	e.process(&s.Process)
	e.key("root")
	e.b = append(e.b, '{')
	e.string("path", s.Root.Path)
	e.bool("readonly", s.Root.Readonly)
	e.b = append(e.b, '}')
	e.omitString("hostname", s.Hostname)
	if len(s.Mounts) > 0 {
		e.key("mounts")
		e.b = append(e.b, '[')
		for i := range s.Mounts {
			m := &s.Mounts[i]
			e.element('{')
			e.string("destination", m.Destination)
			e.omitString("type", m.Type)
			e.omitString("source", m.Source)
			e.strings("options", m.Options, true)
			e.b = append(e.b, '}')
		}
		e.b = append(e.b, ']')
	}
	if len(s.Annotations) > 0 {
		e.key("annotations")
		e.b = append(e.b, '{')
		for k, v := range s.Annotations {
			e.string(k, v)
		}
		e.b = append(e.b, '}')
	}
	return append(e.b, '}')
}

func (e *encoder) process(p *Process) {
	e.b = append(e.b, '{')
	e.bool("terminal", p.Terminal)
	if p.ConsoleSize != (ConsoleSize{}) {
		e.key("consoleSize")
		e.consoleSize(&p.ConsoleSize)
	}
	e.key("user")
	e.b = append(e.b, '{')
	e.uint("uid", uint64(p.User.UID), false)
	e.uint("gid", uint64(p.User.GID), false)
	if p.User.Umask != nil {
		e.uint("umask", uint64(*p.User.Umask), false)
	}
	if len(p.User.AdditionalGids) > 0 {
		e.key("additionalGids")
		e.b = append(e.b, '[')
		for _, g := range p.User.AdditionalGids {
			e.comma()
			e.b = strconv.AppendUint(e.b, uint64(g), 10)
		}
		e.b = append(e.b, ']')
	}
	e.omitString("username", p.User.Username)
	e.b = append(e.b, '}')
	e.strings("args", p.Args, false)
	e.strings("env", p.Env, true)
	e.string("cwd", p.Cwd)
	if len(p.Rlimits) > 0 {
		e.key("rlimits")
		e.b = append(e.b, '[')
		for i := range p.Rlimits {
			r := &p.Rlimits[i]
			e.element('{')
			e.string("type", r.Type)
			e.uint("soft", r.Soft, false)
			e.uint("hard", r.Hard, false)
			e.b = append(e.b, '}')
		}
		e.b = append(e.b, ']')
	}
	e.bool("noNewPrivileges", p.NoNewPrivileges)
	e.b = append(e.b, '}')
}

func (e *encoder) consoleSize(c *ConsoleSize) {
	e.b = append(e.b, '{')
	e.uint("height", uint64(c.Height), false)
	e.uint("width", uint64(c.Width), false)
	e.b = append(e.b, '}')
}

// A decoder walks over the bytes once. The first error sticks: it moves the
// position to the end, so that every loop ends by itself.
type decoder struct {
	b     []byte
	i     int
	depth int
	err   *SyntaxError
}

// fields is the set of members that an object has had.
type fields uint16

func (d *decoder) fail(reason string) {
	if d.err == nil {
		d.err = &SyntaxError{d.i, reason}
	}
	d.i = len(d.b)
}

func (d *decoder) end() error {
	if d.space() != 0 || d.i < len(d.b) {
		d.fail("trailing bytes")
	}
	if d.err != nil {
		return d.err
	}
	return nil
}

// space skips white space and gives the byte after it, 0 at the end.
func (d *decoder) space() byte {
	for d.i < len(d.b) {
		switch c := d.b[d.i]; c {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return c
		}
	}
	return 0
}

// open enters an object or array and says whether it has a first element.
// null counts as an empty one.
func (d *decoder) open(bracket byte) bool {
	switch d.space() {
	case bracket:
	case 'n':
		d.literal("null")
		return false
	default:
		if bracket == '{' {
			d.fail("expected an object")
		} else {
			d.fail("expected an array")
		}
		return false
	}
	if d.depth++; d.depth > MaxDepth {
		d.fail("nested too deeply")
		return false
	}
	d.i++
	if d.space() == bracket+2 { // '{' '}' and '[' ']' are two apart
		d.i++
		d.depth--
		return false
	}
	return d.err == nil
}

// next goes on to the next element, or leaves the object or array.
func (d *decoder) next(bracket byte) bool {
	switch d.space() {
	case ',':
		d.i++
		return true
	case bracket:
		d.i++
		d.depth--
		return false
	}
	if bracket == '}' {
		d.fail("expected ',' or '}'")
	} else {
		d.fail("expected ',' or ']'")
	}
	return false
}

// name reads a member's name and the colon.
func (d *decoder) name() []byte {
	if d.space() != '"' {
		d.fail("expected a member name")
		return nil
	}
	s := d.bytes()
	if d.space() != ':' {
		d.fail("expected ':'")
		return nil
	}
	d.i++
	return s
}

func (d *decoder) once(seen *fields, n uint) {
	if *seen&(1<<n) != 0 {
		d.fail("member given twice")
	}
	*seen |= 1 << n
}

func (d *decoder) literal(word string) {
	if len(d.b)-d.i < len(word) || string(d.b[d.i:d.i+len(word)]) != word {
		d.fail("unknown word")
		return
	}
	d.i += len(word)
}

// null consumes a null, if there is one.
func (d *decoder) null() bool {
	if d.space() != 'n' {
		return false
	}
	d.literal("null")
	return true
}

func (d *decoder) bool(v *bool) {
	switch d.space() {
	case 't':
		d.literal("true")
		*v = true
	case 'f':
		d.literal("false")
		*v = false
	case 'n':
		d.literal("null")
	default:
		d.fail("expected true or false")
	}
}

func (d *decoder) string(v *string) {
	switch d.space() {
	case '"':
		*v = string(d.bytes())
	case 'n':
		d.literal("null")
	default:
		d.fail("expected a string")
	}
}

func (d *decoder) strings(v *[]string) {
	for more := d.open('['); more; more = d.next(']') {
		s := ""
		d.string(&s)
		*v = append(*v, s)
	}
}

// bytes reads a string, which starts at the current byte. The result is part
// of the input when it holds no escape.
func (d *decoder) bytes() []byte {
	start := d.i + 1
	for i := start; i < len(d.b); i++ {
		switch c := d.b[i]; {
		case c == '"':
			d.i = i + 1
			return d.b[start:i]
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			d.i = i
			d.fail("control character in a string")
			return nil
		}
	}
	d.fail("string without an end")
	return nil
}

// escaped reads the rest of a string whose first escape is at i.
func (d *decoder) escaped(start, i int) []byte {
	out := append([]byte(nil), d.b[start:i]...)
	for i < len(d.b) {
		c := d.b[i]
		i++
		switch {
		case c == '"':
			d.i = i
			return out
		case c < ' ':
			d.i = i - 1
			d.fail("control character in a string")
			return nil
		case c != '\\':
			out = append(out, c)
			continue
		}
		if i == len(d.b) {
			break
		}
		c = d.b[i]
		i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(d.b[i:])
			if r < 0 {
				d.i = i
				d.fail("bad \\u escape")
				return nil
			}
			i += 4
			if r >= 0xD800 && r < 0xE000 {
				// Half of a surrogate pair without the other is no character.
				low := rune(-1)
				if r < 0xDC00 && i+1 < len(d.b) && d.b[i] == '\\' && d.b[i+1] == 'u' {
					low = hex4(d.b[i+2:])
				}
				if low >= 0xDC00 && low < 0xE000 {
					r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			d.i = i - 1
			d.fail("bad escape")
			return nil
		}
	}
	d.fail("string without an end")
	return nil
}

// hex4 reads four hexadecimal digits, or gives -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// numeral moves over a number as RFC 8259 writes it. whole is false when it
// has a fraction or an exponent.
func (d *decoder) numeral() (text []byte, whole bool) {
	start := d.i
	if d.i < len(d.b) && d.b[d.i] == '-' {
		d.i++
	}
	zero := d.i < len(d.b) && d.b[d.i] == '0'
	if n := d.digits(); n == 0 || zero && n > 1 {
		d.fail("bad number")
		return nil, false
	}
	whole = true
	if d.i < len(d.b) && d.b[d.i] == '.' {
		whole = false
		d.i++
		if d.digits() == 0 {
			d.fail("bad number")
			return nil, false
		}
	}
	if d.i < len(d.b) && d.b[d.i]|0x20 == 'e' {
		whole = false
		d.i++
		if d.i < len(d.b) && (d.b[d.i] == '+' || d.b[d.i] == '-') {
			d.i++
		}
		if d.digits() == 0 {
			d.fail("bad number")
			return nil, false
		}
	}
	return d.b[start:d.i], whole
}

func (d *decoder) digits() int {
	start := d.i
	for d.i < len(d.b) && d.b[d.i]-'0' <= 9 {
		d.i++
	}
	return d.i - start
}

// integer reads a whole number as sign and magnitude. ok is false for null
// and after an error.
func (d *decoder) integer() (magnitude uint64, negative, ok bool) {
	if d.null() {
		return 0, false, false
	}
	text, whole := d.numeral()
	if d.err != nil {
		return 0, false, false
	}
	if !whole {
		d.fail("expected a whole number")
		return 0, false, false
	}
	if text[0] == '-' {
		negative = true
		text = text[1:]
	}
	for _, c := range text {
		n := uint64(c - '0')
		if magnitude > (1<<64-1-n)/10 {
			d.fail("number out of range")
			return 0, false, false
		}
		magnitude = magnitude*10 + n
	}
	return magnitude, negative, true
}

func (d *decoder) int(v *int) {
	m, negative, ok := d.integer()
	switch {
	case !ok:
	case negative && m <= 1<<63:
		*v = int(-m)
	case !negative && m < 1<<63:
		*v = int(m)
	default:
		d.fail("number out of range")
	}
}

func number[T uint16 | uint32 | uint64](d *decoder, v *T, limit uint64) {
	m, negative, ok := d.integer()
	switch {
	case !ok:
	case negative || m > limit:
		d.fail("number out of range")
	default:
		*v = T(m)
	}
}

// skip moves over one value of any kind.
func (d *decoder) skip() {
	switch c := d.space(); c {
	case '{':
		for more := d.open('{'); more; more = d.next('}') {
			d.name()
			d.skip()
		}
	case '[':
		for more := d.open('['); more; more = d.next(']') {
			d.skip()
		}
	case '"':
		d.bytes()
	case 't':
		d.literal("true")
	case 'f':
		d.literal("false")
	case 'n':
		d.literal("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		d.numeral()
	default:
		d.fail("expected a value")
	}
}

// An encoder appends members and elements; what came last in b tells whether
// a comma is due.
type encoder struct{ b []byte }

func (e *encoder) comma() {
	if c := e.b[len(e.b)-1]; c != '{' && c != '[' {
		e.b = append(e.b, ',')
	}
}

func (e *encoder) element(bracket byte) {
	e.comma()
	e.b = append(e.b, bracket)
}

func (e *encoder) key(name string) {
	e.comma()
	e.quote(name)
	e.b = append(e.b, ':')
}

func (e *encoder) string(name, v string) {
	e.key(name)
	e.quote(v)
}

func (e *encoder) omitString(name, v string) {
	if v != "" {
		e.string(name, v)
	}
}

func (e *encoder) bool(name string, v bool) {
	if v {
		e.key(name)
		e.b = append(e.b, "true"...)
	}
}

func (e *encoder) int(name string, v int, omitZero bool) {
	if v != 0 || !omitZero {
		e.key(name)
		e.b = strconv.AppendInt(e.b, int64(v), 10)
	}
}

func (e *encoder) uint(name string, v uint64, omitZero bool) {
	if v != 0 || !omitZero {
		e.key(name)
		e.b = strconv.AppendUint(e.b, v, 10)
	}
}

func (e *encoder) strings(name string, v []string, omitEmpty bool) {
	if len(v) == 0 && omitEmpty {
		return
	}
	e.key(name)
	e.b = append(e.b, '[')
	for _, s := range v {
		e.comma()
		e.quote(s)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) quote(s string) {
	const digits = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.b = append(e.b, '\\', c)
		case c >= ' ':
			e.b = append(e.b, c)
		default:
			e.b = append(e.b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	e.b = append(e.b, '"')
}
