package spec

import "unicode/utf8"

// A decoder walks over the bytes once. The first error sticks: it moves the
// position to the end, so that every loop ends by itself.
type decoder struct {
	b     []byte
	i     int
	depth int
	err   *SyntaxError

	members []member // of the objects that are being read, outermost first
}

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

// object reads the members that o has and skips over others. null leaves o
// as it is.
func (d *decoder) object(o object) {
	base := len(d.members)
	d.members = o.members(d.members)
	members := d.members[base:]
	seen := 0
	for more := d.open('{'); more; more = d.next('}') {
		i := index(members, d.name())
		if i < 0 {
			d.skip()
			continue
		}
		if seen&(1<<i) != 0 {
			d.fail("member given twice")
		}
		seen |= 1 << i
		d.value(members[i].value)
	}
	d.members = d.members[:base]
}

// index says which member has a name; -1 is none.
func index(members []member, name []byte) int {
	for i := range members {
		if members[i].name == string(name) {
			return i
		}
	}
	return -1
}

// value reads what a member or element points to.
func (d *decoder) value(v any) {
	switch v := v.(type) {
	case *string:
		d.string(v)
	case *bool:
		d.bool(v)
	case *int:
		d.int(v)
	case *uint16:
		number(d, v, 1<<16-1)
	case *uint32:
		number(d, v, 1<<32-1)
	case *uint64:
		number(d, v, 1<<64-1)
	case *map[string]string:
		d.dictionary(v)
	case object:
		d.object(v)
	case array:
		for more := d.open('['); more; more = d.next(']') {
			d.value(v.add())
		}
	case optional:
		if !d.null() {
			d.value(v.make())
		}
	}
}

func (d *decoder) dictionary(v *map[string]string) {
	for more := d.open('{'); more; more = d.next('}') {
		name, text := string(d.name()), ""
		d.string(&text)
		if *v == nil {
			*v = make(map[string]string)
		}
		(*v)[name] = text
	}
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
