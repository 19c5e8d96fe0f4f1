package pseudo

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		want string
		do   func(t *Text)
	}{
		{"    42", func(t *Text) { t.UW(42, 6) }},
		{"1234567", func(t *Text) { t.UW(1234567, 6) }},
		{"001f", func(t *Text) { t.X(0x1f, 4) }},
		{"0022", func(t *Text) { t.C('0'); t.O0(0o22, 3) }},
		{"   -5", func(t *Text) { t.DW(-5, 5) }},
		{"123.05", func(t *Text) { t.Fixed(12305) }},
		{"ab  |", func(t *Text) { t.S("ab"); t.PadTo(0, 4); t.C('|') }},
		{`a\040b\134c\011`, func(t *Text) { t.Mangle("a b\\c\t", " \t\n\\") }},
		{"0-2,4-5,7", func(t *Text) { t.List(0b1011_0111) }},
		{"0-63", func(t *Text) { t.List(^uint64(0)) }},
		{"", func(t *Text) { t.List(0) }},
		{"3", func(t *Text) { t.Mask(3, 2) }},
		{"0f", func(t *Text) { t.Mask(0xf, 8) }},
		{"ffffffff", func(t *Text) { t.Mask(0xffffffff, 32) }},
		{"3,ffffffff", func(t *Text) { t.Mask(1<<34-1, 34) }},
	} {
		var s Text
		if c.do(&s); string(s) != c.want {
			t.Errorf("%q, want %q", s, c.want)
		}
	}
}

func TestParseInt(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		err  error
	}{
		{"1", 1, nil},
		{" 12\n", 12, nil},
		{"-3", -3, nil},
		{"0x1F", 31, nil},
		{"010", 8, nil},
		{"0", 0, nil},
		{"5\x00", 5, nil},
		{"", 0, unix.EINVAL},
		{"x", 0, unix.EINVAL},
		{"1x", 0, unix.EINVAL},
		{"0x", 0, unix.EINVAL},
		{"1 2", 0, unix.EINVAL},
		{"99999999999999999999", 0, unix.EINVAL},
		{"-", 0, unix.EINVAL},
		{"08", 0, unix.EINVAL},
	} {
		if v, err := ParseInt(c.in); v != c.want || err != c.err {
			t.Errorf("%q is %d (%v), want %d (%v)", c.in, v, err, c.want, c.err)
		}
	}
}

func TestKnobKeepsItsLimits(t *testing.T) {
	k := Knob{V: [4]int64{5}, Min: 1, Max: 9}
	for in, want := range map[string]error{"1": nil, "9": nil, "0": unix.EINVAL, "10": unix.EINVAL, "9 junk": nil} {
		if err := k.store(in); err != want {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
	var free Knob
	if err := free.store("2147483648"); err != unix.EINVAL {
		t.Errorf("more than an int: %v", err)
	}
	if err := free.store("-2147483648"); err != nil || free.Value() != -2147483648 {
		t.Errorf("%v, %d", err, free.Value())
	}
}

func FuzzKnob(f *testing.F) {
	f.Add("1 2 3")
	f.Add("-0x7f\t")
	f.Fuzz(func(t *testing.T, s string) {
		k := Knob{N: 3, Min: -5, Max: 1000}
		_ = k.store(s)
		for _, v := range k.V {
			if v < -5 || v > 1000 {
				t.Fatalf("%q stored %d", s, v)
			}
		}
		if v, err := ParseInt(s); err != nil && v != 0 {
			t.Fatalf("%q: %d and %v", s, v, err)
		}
	})
}
