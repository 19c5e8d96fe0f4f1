package spec

import "strconv"

// The JSON of this package is read and written by hand, because the kernel
// imports it: no reflection, no tables built at start, one pass over the
// bytes. members.go says what each object holds, for both directions.
// It is strict JSON (RFC 8259) with two deliberate differences from
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
	d.object(s)
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
	d.object(m)
	if err := d.end(); err != nil {
		return nil, err
	}
	return m, nil
}

// AppendMessage appends m as one line with its newline.
func AppendMessage(dst []byte, m *Message) []byte {
	e := encoder{dst}
	e.object(m)
	return append(e.b, '\n')
}

// AppendSpec appends s. Bytes of strings that are not UTF-8 go through as
// they are, which is what ParseSpec expects.
func AppendSpec(dst []byte, s *Spec) []byte {
	e := encoder{dst}
	e.object(s)
	return e.b
}
