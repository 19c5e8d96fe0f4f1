package pkgs

import (
	"bytes"
	"io"
	"testing"
	"time"
)

func TestVersionsAreOrderedAsDpkgOrdersThem(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0},
		{"1.0~rc1", "1.0", -1},
		{"1.0~~", "1.0~", -1},
		{"1.0a", "1.0", 1},
		{"1.0+b1", "1.0a", 1},
		{"1:0.1", "9.9", 1},
		{"1.10", "1.9", 1},
		{"1.0-1", "1.0-1+deb12u1", -1},
		{"1.0", "1.0-0", 0},
		{"0:1", "1", 0},
		{"1.01", "1.1", 0},
	} {
		if got := Compare(c.a, c.b); got != c.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := Compare(c.b, c.a); got != -c.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1:1.0~rc1-1", "1.0+b\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		if Compare(a, b) != -Compare(b, a) || Compare(a, a) != 0 {
			t.Errorf("%q and %q have no order", a, b)
		}
	})
}

func FuzzParagraphs(f *testing.F) {
	f.Add("Package: a\nDepends: b (>= 1) | c:any, d\n\n#x\nPackage: e\n")
	f.Fuzz(func(_ *testing.T, s string) {
		for p := range Paragraphs(s) {
			for _, v := range p.Fields() {
				ParseRelations(v)
			}
		}
		_, _ = parseList(s)
		_, _ = parseSources(s)
		alternatives(s)
		fields(s)
	})
}

func FuzzDeb(f *testing.F) {
	f.Add([]byte(arMagic + "debian-binary   0           0     0     100644  4         `\n2.0\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = Control(bytes.NewReader(b), int64(len(b)))
		if d, err := part(bytes.NewReader(b), int64(len(b)), "data.tar"); err == nil {
			_ = data(io.Discard, io.LimitReader(d, 1<<20), false, func(string) {})
			d.Close()
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\na\n-----BEGIN PGP SIGNATURE-----\n\niHUEABYIAB0=\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := verify(b, nil, time.Now()); err == nil {
			t.Errorf("no key signed %q", text)
		}
		_, _ = parseKeys(b)
	})
}
