package random

import "testing"

func TestReadFillsEverything(t *testing.T) {
	for _, n := range []int{0, 1, 31, 4096, reseedAfter + 5} {
		p := make([]byte, n)
		Read(p)
		zeros := 0
		for _, c := range p {
			if c == 0 {
				zeros++
			}
		}
		if n > 100 && (zeros < n/512 || zeros > n/128) {
			t.Errorf("%d of %d bytes are zero", zeros, n)
		}
	}
	var a, b [16]byte
	Read(a[:])
	Read(b[:])
	if a == b {
		t.Error("two reads are equal")
	}
}
