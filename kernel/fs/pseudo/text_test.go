package pseudo

import "testing"

func TestText(t *testing.T) {
	r := &Request{}
	r.UW(42, 6).S("|").X(0x1f, 4).S("|").Fixed(12345, 2).S("|").CPUList(0b1011_0111).S("|").Escape("a b\\c", " \t\n")
	if got, want := string(r.Buf), `    42|001f|123.45|0-2,4-5,7|a\040b\134c`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
