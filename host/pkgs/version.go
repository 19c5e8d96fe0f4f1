package pkgs

import (
	"cmp"
	"strings"
)

// Compare orders two versions as deb-version(7) has it: -1, 0 or 1.
func Compare(a, b string) int {
	ae, au, ar := cutVersion(a)
	be, bu, br := cutVersion(b)
	if c := compareNumbers(ae, be); c != 0 {
		return c
	}
	if c := comparePart(au, bu); c != 0 {
		return c
	}
	return comparePart(ar, br)
}

// cutVersion gives epoch, upstream version and revision.
func cutVersion(v string) (epoch, upstream, revision string) {
	v = strings.TrimSpace(v)
	if e, rest, ok := strings.Cut(v, ":"); ok && digits(e) == len(e) {
		epoch, v = e, rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

// digits counts those at the beginning.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// compareNumbers compares decimal numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// comparePart compares what is no number and what is one, in turns.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && digits(a) == 0 || b != "" && digits(b) == 0 {
			if c := cmp.Compare(weight(a), weight(b)); c != 0 {
				return c
			}
			// Equal weights: both are letters, for where one has
			// come to its number or its end the other has not.
			a, b = a[1:], b[1:]
		}
		i, j := digits(a), digits(b)
		if c := compareNumbers(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// weight orders the first character of what is no number: a tilde before the
// end, letters before all others.
func weight(s string) int {
	switch {
	case s == "" || digits(s) > 0:
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0])
	}
	return int(s[0]) + 256
}
