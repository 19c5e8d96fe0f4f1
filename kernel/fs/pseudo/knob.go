package pseudo

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Knob is a setting of one to four numbers, in the manner of sysctl. The zero
// value is a zero that may become any int.
type Knob struct {
	V        [4]int64 // the values at boot; guarded by mu
	N        int      // how many; 0 stands for 1
	Min, Max int64    // inclusive; both 0: the range of int
	// Get and Set, where they are not nil, stand for the first value, whose
	// home is elsewhere.
	Get func() int64
	Set func(int64) error
	// Words, where it is not nil, is where the values live, read and written
	// with package atomic.
	Words []*int64

	mu sync.Mutex
}

// Value returns the first value.
func (k *Knob) Value() int64 {
	if k.Get != nil {
		return k.Get()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.V[0]
}

func (k *Knob) values() ([4]int64, int) {
	if k.Words != nil {
		var v [4]int64
		for i, w := range k.Words {
			v[i] = atomic.LoadInt64(w)
		}
		return v, len(k.Words)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	v, n := k.V, max(k.N, 1)
	if k.Get != nil {
		v[0] = k.Get()
	}
	return v, n
}

func (k *Knob) show(t *Text) error {
	v, n := k.values()
	for i := range n {
		if i > 0 {
			t.C('\t')
		}
		t.D(v[i])
	}
	t.C('\n')
	return nil
}

func (k *Knob) store(text string) error {
	v, n := k.values()
	lo, hi := k.Min, k.Max
	if lo == 0 && hi == 0 {
		lo, hi = math.MinInt32, math.MaxInt32
	}
	rest := text
	count := 0
	for ; count < n; count++ {
		if rest = skipBlanks(rest); rest == "" {
			break
		}
		x, after, ok := number(rest)
		if !ok || after != "" && !isBlank(after[0]) {
			if count > 0 {
				break // what was read until here holds
			}
			return unix.EINVAL
		}
		if x < lo || x > hi {
			return unix.EINVAL
		}
		v[count], rest = x, after
	}
	if count == 0 {
		return unix.EINVAL
	}
	if k.Set != nil {
		return k.Set(v[0])
	}
	if k.Words != nil {
		for i, w := range k.Words {
			atomic.StoreInt64(w, v[i])
		}
		return nil
	}
	k.mu.Lock()
	k.V = v
	k.mu.Unlock()
	return nil
}

// ParseInt reads the one number that a file is written, with blanks around it,
// in C's notation: 10, 0x10, 010.
func ParseInt(text string) (int64, error) {
	v, rest, ok := number(skipBlanks(strings.TrimRight(text, "\x00")))
	if !ok || skipBlanks(rest) != "" {
		return 0, unix.EINVAL
	}
	return v, nil
}

func isBlank(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0 }

func skipBlanks(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// number reads a number at the beginning of s.
func number(s string) (v int64, rest string, ok bool) {
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	base := uint64(10)
	if len(s) > 1 && s[0] == '0' {
		base, s = 8, s[1:]
		ok = true // the zero itself
		if s[0] == 'x' || s[0] == 'X' {
			base, s, ok = 16, s[1:], false
		}
	}
	var u uint64
	for ; s != ""; s = s[1:] {
		d := uint64(99)
		switch c := s[0]; {
		case c >= '0' && c <= '9':
			d = uint64(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = uint64(c|0x20-'a') + 10
		}
		if d >= base {
			break
		}
		if u > (math.MaxInt64-d)/base {
			return 0, s, false
		}
		u, ok = u*base+d, true
	}
	v = int64(u)
	if neg {
		v = -v
	}
	return v, s, ok
}
