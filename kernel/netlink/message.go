package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

const (
	headerSize = 16 // struct nlmsghdr
	attrSize   = 4  // struct nlattr
)

// align rounds up to the boundary of messages and attributes.
func align(n int) int { return (n + 3) &^ 3 }

// A request is one message to the kernel.
type request struct {
	s        *sock
	c        vfs.Caller
	port     uint32 // whose it is
	typ      uint16
	flags    uint16
	seq      uint32
	msg      []byte // with its header
	body     []byte // behind it
	complain complaint
}

// A complaint is what an extended acknowledgement says beside the error.
type complaint struct {
	text string
	at   int // offset in the message of the attribute at fault, 0: none
}

// fail is an error with a sentence about it.
func (r *request) fail(e unix.Errno, text string) error {
	r.complain.text = text
	return e
}

// dumps reports whether the request wants a list.
func (r *request) dumps() bool { return r.flags&unix.NLM_F_DUMP != 0 }

// strict reports whether what the kernel would ignore is an error.
func (r *request) strict() bool { return r.s.on(unix.NETLINK_GET_STRICT_CHK) }

// answered is returned by handlers whose answer needs no acknowledgement.
const answered = unix.EINTR

// serve handles the messages that a program has sent to the kernel.
func (s *sock) serve(c vfs.Caller, p []byte) {
	table.RLock()
	port := s.port
	table.RUnlock()
	for len(p) >= headerSize {
		n := int(binary.NativeEndian.Uint32(p))
		if n < headerSize || n > len(p) {
			return
		}
		r := request{
			s: s, c: c, port: port, typ: binary.NativeEndian.Uint16(p[4:]), flags: binary.NativeEndian.Uint16(p[6:]),
			seq: binary.NativeEndian.Uint32(p[8:]), msg: p[:n], body: p[headerSize:n],
		}
		var err error
		if r.flags&unix.NLM_F_REQUEST != 0 && r.typ >= unix.NLMSG_MIN_TYPE {
			err = s.protocol.handle(&r)
		}
		if err != answered && (err != nil || r.flags&unix.NLM_F_ACK != 0) {
			errno, _ := err.(unix.Errno)
			s.deliver(&packet{data: r.ack(errno)})
		}
		p = p[min(align(n), len(p)):]
	}
}

// ack makes the acknowledgement of a request, which with an error is the
// message of it.
func (r *request) ack(e unix.Errno) []byte {
	flags := uint16(0)
	echo := r.msg[:headerSize]
	if e != 0 && !r.s.on(unix.NETLINK_CAP_ACK) {
		echo = r.msg
	} else {
		flags = unix.NLM_F_CAPPED
	}
	var b builder
	b.begin(unix.NLMSG_ERROR, 0, r)
	b.p = binary.NativeEndian.AppendUint32(b.p, uint32(-int32(e)))
	b.p = append(b.p, echo...)
	b.pad()
	if r.s.on(unix.NETLINK_EXT_ACK) {
		at := len(b.p)
		if t := r.complain.text; t != "" {
			b.str(unix.NLMSGERR_ATTR_MSG, t)
		}
		if r.complain.at != 0 && e != 0 {
			b.u32(unix.NLMSGERR_ATTR_OFFS, uint32(r.complain.at))
		}
		if len(b.p) > at {
			flags |= unix.NLM_F_ACK_TLVS
		}
	}
	binary.NativeEndian.PutUint16(b.p[6:], flags)
	b.end()
	return b.p
}

// reply sends what was built to the program.
func (r *request) reply(b *builder) { r.s.deliver(&packet{data: b.p}) }

// dump hands out what was built as a list; flags are for its end.
func (r *request) dump(b *builder, flags uint16) error {
	b.begin(unix.NLMSG_DONE, unix.NLM_F_MULTI|flags, r)
	b.p = append(b.p, 0, 0, 0, 0)
	b.end()
	if err := r.s.startDump(b.p); err != nil {
		return err
	}
	return answered
}

// ended answers a dump that failed once it had begun: its end has the error.
func (r *request) ended(err error) error {
	e, ok := err.(unix.Errno)
	if !ok || e == answered || e == unix.EOPNOTSUPP || e == unix.EBUSY {
		return err
	}
	var b builder
	b.begin(unix.NLMSG_DONE, unix.NLM_F_MULTI, r)
	b.p = binary.NativeEndian.AppendUint32(b.p, uint32(-int32(e)))
	if r.complain.text != "" && r.s.on(unix.NETLINK_EXT_ACK) {
		b.str(unix.NLMSGERR_ATTR_MSG, r.complain.text)
		b.p[6] |= unix.NLM_F_ACK_TLVS & 0xff
		b.p[7] |= unix.NLM_F_ACK_TLVS >> 8
	}
	b.end()
	if err := r.s.startDump(b.p); err != nil {
		return err
	}
	return answered
}

// attrs is a row of attributes.
type attrs []byte

// parse checks a row: what is behind the last attribute is ignored unless
// strict is set.
func parse(p []byte, strict bool) (attrs, error) {
	for q := p; len(q) > 0; {
		n := 0
		if len(q) >= attrSize {
			n = int(binary.NativeEndian.Uint16(q))
		}
		if n < attrSize || n > len(q) {
			if strict {
				return nil, unix.EINVAL
			}
			return attrs(p[:len(p)-len(q)]), nil
		}
		q = q[min(align(n), len(q)):]
	}
	return attrs(p), nil
}

// each calls f with each attribute until it returns false.
func (a attrs) each(f func(typ int, v []byte) bool) {
	for len(a) >= attrSize {
		n := int(binary.NativeEndian.Uint16(a))
		if n < attrSize || n > len(a) {
			return
		}
		if !f(int(binary.NativeEndian.Uint16(a[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)), a[attrSize:n:n]) {
			return
		}
		a = a[min(align(n), len(a)):]
	}
}

// get returns the last attribute of a type, nil if there is none.
func (a attrs) get(typ int) (v []byte) {
	a.each(func(t int, p []byte) bool {
		if t == typ {
			v = p
		}
		return true
	})
	return v
}

// u32 returns a number, 0 if it is missing; it is an error if it is short.
func (a attrs) u32(typ int) (uint32, bool, error) {
	v := a.get(typ)
	if v == nil {
		return 0, false, nil
	}
	if len(v) < 4 {
		return 0, false, unix.ERANGE
	}
	return binary.NativeEndian.Uint32(v), true, nil
}

// str returns a string, without its NUL.
func (a attrs) str(typ int) string {
	v := a.get(typ)
	for i, b := range v {
		if b == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// A builder makes messages, one behind the other.
type builder struct {
	p     []byte
	start int // of the message that is being made
}

// begin starts a message that answers r, which is nil for one that was not
// asked for.
func (b *builder) begin(typ, flags uint16, r *request) {
	b.start = len(b.p)
	seq, port := uint32(0), uint32(0)
	if r != nil {
		seq, port = r.seq, r.port
	}
	b.p = binary.NativeEndian.AppendUint32(b.p, 0)
	b.p = binary.NativeEndian.AppendUint16(b.p, typ)
	b.p = binary.NativeEndian.AppendUint16(b.p, flags)
	b.p = binary.NativeEndian.AppendUint32(b.p, seq)
	b.p = binary.NativeEndian.AppendUint32(b.p, port)
}

// end finishes it.
func (b *builder) end() {
	binary.NativeEndian.PutUint32(b.p[b.start:], uint32(len(b.p)-b.start))
	b.pad()
}

func (b *builder) pad() {
	for len(b.p)%4 != 0 {
		b.p = append(b.p, 0)
	}
}

// zeros appends n zero bytes and returns them.
func (b *builder) zeros(n int) []byte {
	at := len(b.p)
	b.p = append(b.p, make([]byte, n)...)
	return b.p[at:]
}

// room appends an attribute of n zero bytes and returns them.
func (b *builder) room(typ, n int) []byte {
	b.p = binary.NativeEndian.AppendUint16(b.p, uint16(attrSize+n))
	b.p = binary.NativeEndian.AppendUint16(b.p, uint16(typ))
	at := len(b.p)
	b.zeros(n)
	b.pad()
	return b.p[at : at+n]
}

func (b *builder) bytes(typ int, v []byte) { copy(b.room(typ, len(v)), v) }

func (b *builder) u8(typ int, v uint8) { b.room(typ, 1)[0] = v }

func (b *builder) u16(typ int, v uint16) { binary.NativeEndian.PutUint16(b.room(typ, 2), v) }

func (b *builder) u32(typ int, v uint32) { binary.NativeEndian.PutUint32(b.room(typ, 4), v) }

func (b *builder) str(typ int, s string) { copy(b.room(typ, len(s)+1), s) }

// nest starts an attribute that is a row of attributes; close ends it.
func (b *builder) nest(typ int) (at int) {
	at = len(b.p)
	b.room(typ, 0)
	return at
}

func (b *builder) close(at int) {
	binary.NativeEndian.PutUint16(b.p[at:], uint16(len(b.p)-at))
}
