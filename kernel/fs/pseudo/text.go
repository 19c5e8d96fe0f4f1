package pseudo

import (
	"strconv"
)

// The methods of this file append to a request's text.

// S appends strings.
func (r *Request) S(s ...string) *Request {
	for _, s := range s {
		r.Buf = append(r.Buf, s...)
	}
	return r
}

// I appends a decimal number.
func (r *Request) I(n int64) *Request { r.Buf = strconv.AppendInt(r.Buf, n, 10); return r }

// U appends an unsigned decimal number.
func (r *Request) U(n uint64) *Request { r.Buf = strconv.AppendUint(r.Buf, n, 10); return r }

// UW appends an unsigned number, padded with spaces on the left to width.
func (r *Request) UW(n uint64, width int) *Request {
	at := len(r.Buf)
	r.U(n)
	r.padLeft(at, width, ' ')
	return r
}

// X appends a hexadecimal number, padded with zeros to width.
func (r *Request) X(n uint64, width int) *Request {
	at := len(r.Buf)
	r.Buf = strconv.AppendUint(r.Buf, n, 16)
	r.padLeft(at, width, '0')
	return r
}

// O appends an octal number with a leading zero.
func (r *Request) O(n uint64) *Request {
	r.Buf = append(r.Buf, '0')
	r.Buf = strconv.AppendUint(r.Buf, n, 8)
	return r
}

// Pad appends spaces until the text since at is width long.
func (r *Request) Pad(at, width int) *Request {
	for len(r.Buf)-at < width {
		r.Buf = append(r.Buf, ' ')
	}
	return r
}

// Len is the length of the text so far.
func (r *Request) Len() int { return len(r.Buf) }

// Fixed appends n units of 10^-digits with that many decimals.
func (r *Request) Fixed(n uint64, digits int) *Request {
	unit := uint64(1)
	for range digits {
		unit *= 10
	}
	r.U(n / unit).S(".")
	at := len(r.Buf)
	r.U(n % unit)
	r.padLeft(at, digits, '0')
	return r
}

func (r *Request) padLeft(at, width int, with byte) {
	have := len(r.Buf) - at
	if have >= width {
		return
	}
	for range width - have {
		r.Buf = append(r.Buf, with)
	}
	copy(r.Buf[at+width-have:], r.Buf[at:at+have])
	for i := range width - have {
		r.Buf[at+i] = with
	}
}

// Escape appends s with the characters that would break a line of
// /proc/mounts or /proc/PID/maps in octal: those in set, and backslashes.
func (r *Request) Escape(s, set string) *Request {
	for i := range len(s) {
		c := s[i]
		bad := c == '\\' && set != "\n"
		for j := range len(set) {
			bad = bad || set[j] == c
		}
		if bad {
			r.Buf = append(r.Buf, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		} else {
			r.Buf = append(r.Buf, c)
		}
	}
	return r
}

// CPUList appends the numbers of the set bits of mask as ranges: "0-3,5".
func (r *Request) CPUList(mask uint64) *Request {
	first := true
	for i := 0; i < 64; i++ {
		if mask>>i&1 == 0 {
			continue
		}
		end := i
		for end+1 < 64 && mask>>(end+1)&1 != 0 {
			end++
		}
		if !first {
			r.S(",")
		}
		first = false
		r.I(int64(i))
		if end > i {
			r.S("-").I(int64(end))
		}
		i = end
	}
	return r
}

// Text makes the Render of a file that never changes.
func Text(s string) func(*Request) error {
	return func(r *Request) error { r.S(s); return nil }
}
