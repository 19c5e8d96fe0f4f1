package pseudo

import "strconv"

// Text is a text under construction.
//
// The methods are not inlined: tables of figures are mostly calls to them, and
// inlined they were a third of package proc.
type Text []byte

// S appends a string.
//
//go:noinline
func (t *Text) S(s string) { *t = append(*t, s...) }

// C appends a byte.
//
//go:noinline
func (t *Text) C(b byte) { *t = append(*t, b) }

// U appends a number.
//
//go:noinline
func (t *Text) U(v uint64) { *t = strconv.AppendUint(*t, v, 10) }

// D appends a signed number.
//
//go:noinline
func (t *Text) D(v int64) { *t = strconv.AppendInt(*t, v, 10) }

// I appends an int.
//
//go:noinline
func (t *Text) I(v int) { t.D(int64(v)) }

// O appends a number in octal.
//
//go:noinline
func (t *Text) O(v uint64) { *t = strconv.AppendUint(*t, v, 8) }

// O0 appends a number in octal with leading zeros to width digits.
func (t *Text) O0(v uint64, width int) {
	at := len(*t)
	t.O(v)
	t.fill(at, width, '0')
}

// H appends a number in hexadecimal.
//
//go:noinline
func (t *Text) H(v uint64) { *t = strconv.AppendUint(*t, v, 16) }

// X appends a number in hexadecimal with at least width digits.
//
//go:noinline
func (t *Text) X(v uint64, width int) {
	at := len(*t)
	t.H(v)
	t.fill(at, width, '0')
}

// UW appends a number right-aligned in width columns.
//
//go:noinline
func (t *Text) UW(v uint64, width int) {
	at := len(*t)
	t.U(v)
	t.fill(at, width, ' ')
}

// U0 appends a number with leading zeros to width digits.
func (t *Text) U0(v uint64, width int) {
	at := len(*t)
	t.U(v)
	t.fill(at, width, '0')
}

// DW appends a signed number right-aligned in width columns.
func (t *Text) DW(v int64, width int) {
	at := len(*t)
	t.D(v)
	t.fill(at, width, ' ')
}

// SW appends a string right-aligned in width columns.
func (t *Text) SW(s string, width int) {
	at := len(*t)
	t.S(s)
	t.fill(at, width, ' ')
}

// fill shifts what was appended from at on to the right, to width columns.
//
//go:noinline
func (t *Text) fill(at, width int, with byte) {
	have := len(*t) - at
	if have >= width {
		return
	}
	for range width - have {
		*t = append(*t, 0)
	}
	b := (*t)[at:]
	copy(b[width-have:], b[:have])
	for i := range width - have {
		b[i] = with
	}
}

// PadTo appends blanks until the line that began at position start has width
// columns.
//
//go:noinline
func (t *Text) PadTo(start, width int) {
	for len(*t)-start < width {
		*t = append(*t, ' ')
	}
}

// Mangle appends s with the bytes of set, and backslashes if they are in it,
// as octal escapes, which is how mount points with blanks are shown.
func (t *Text) Mangle(s, set string) {
	for i := range len(s) {
		c := s[i]
		special := false
		for j := range len(set) {
			special = special || set[j] == c
		}
		if special {
			t.C('\\')
			t.C('0' + c>>6)
			t.C('0' + c>>3&7)
			t.C('0' + c&7)
			continue
		}
		t.C(c)
	}
}

// Fixed appends v hundredths as a decimal fraction with two digits.
func (t *Text) Fixed(v uint64) {
	t.U(v / 100)
	t.C('.')
	t.U0(v%100, 2)
}

// Mask appends the n lowest bits of set as Linux prints CPU masks: groups of
// 32 bits in hexadecimal, the first as wide as is needed for n bits.
func (t *Text) Mask(set uint64, n int) {
	n = max(n, 1)
	if n > 32 {
		t.X(set>>32, (n-32+3)/4)
		t.C(',')
		t.X(set&0xffffffff, 8)
		return
	}
	t.X(set, (n+3)/4)
}

// List appends a set as a list of ranges ("0-3,5").
func (t *Text) List(set uint64) {
	first := true
	for i := 0; i < 64; i++ {
		if set>>i&1 == 0 {
			continue
		}
		j := i
		for j+1 < 64 && set>>(j+1)&1 != 0 {
			j++
		}
		if !first {
			t.C(',')
		}
		first = false
		t.I(i)
		if j > i {
			t.C('-')
			t.I(j)
		}
		i = j
	}
}
