package erofs

import "testing"

// BenchmarkMount and BenchmarkLookup are what the boot pays before a program
// can be opened.
func BenchmarkMount(b *testing.B) {
	d := &disc{b: small(b)}
	b.ReportAllocs()
	for b.Loop() {
		sb, err := Mount(d, "img", 7)
		if err != nil {
			b.Fatal(err)
		}
		sb.Release()
	}
}

func BenchmarkLookup(b *testing.B) {
	sb, err := Mount(&disc{b: small(b)}, "img", 7)
	if err != nil {
		b.Fatal(err)
	}
	n := sb.Root.Ops.(*node)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Lookup(nil, sb.Root, "sizes"); err != nil {
			b.Fatal(err)
		}
	}
}
