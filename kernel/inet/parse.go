package inet

import (
	"strconv"
	"strings"
)

// ParseIP reads an address as it is written: dotted decimal, or as RFC 4291
// has it for IPv6.
func ParseIP(s string) (ip IP, ok bool) {
	if strings.IndexByte(s, ':') < 0 {
		var b [4]byte
		if !parseDotted(s, &b) {
			return IP{}, false
		}
		return IPFrom(b[:]), true
	}
	gap, at := -1, 0
	if strings.HasPrefix(s, "::") {
		gap, s = 0, s[2:]
	} else if s[0] == ':' {
		return IP{}, false
	}
	for s != "" {
		field, rest, more := strings.Cut(s, ":")
		if strings.IndexByte(field, '.') >= 0 {
			var b [4]byte
			if more || at > 12 || !parseDotted(field, &b) {
				return IP{}, false
			}
			at += copy(ip[at:], b[:])
			break
		}
		v, ok := parseNumber(field, 16, 0xffff)
		if !ok || len(field) > 4 || at > 14 {
			return IP{}, false
		}
		ip[at], ip[at+1] = byte(v>>8), byte(v)
		at += 2
		s = rest
		switch {
		case more && s == "":
			return IP{}, false
		case more && s[0] == ':':
			if gap >= 0 {
				return IP{}, false
			}
			gap, s = at, s[1:]
		}
	}
	if gap >= 0 {
		if at > 14 {
			return IP{}, false
		}
		copy(ip[16-(at-gap):], ip[gap:at])
		clear(ip[gap : 16-(at-gap)])
		at = 16
	}
	return ip, at == 16
}

// ParsePrefix reads an address and the length of its prefix: 10.0.2.15/24.
func ParsePrefix(s string) (ip IP, bits int, ok bool) {
	address, length, found := strings.Cut(s, "/")
	if ip, ok = ParseIP(address); !ok || !found {
		return IP{}, 0, false
	}
	most := 128
	if ip.Is4() {
		most = 32
	}
	bits, ok = parseNumber(length, 10, most)
	return ip, bits, ok
}

func parseDotted(s string, b *[4]byte) bool {
	for i := range b {
		field, rest, more := strings.Cut(s, ".")
		v, ok := parseNumber(field, 10, 255)
		if !ok || len(field) > 1 && field[0] == '0' || more != (i < 3) {
			return false
		}
		b[i], s = byte(v), rest
	}
	return true
}

func parseNumber(s string, base, most int) (v int, ok bool) {
	for i := range len(s) {
		c := int(s[i])
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case base == 16 && c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		if v = v*base + c; v > most {
			return 0, false
		}
	}
	return v, s != ""
}

// String writes an address as ParseIP reads it (RFC 5952 for IPv6).
func (ip IP) String() string {
	if ip.Is4() {
		s := ""
		for i, b := range ip[12:] {
			if i > 0 {
				s += "."
			}
			s += strconv.Itoa(int(b))
		}
		return s
	}
	// The longest run of two zero words or more, the first of them, is "::".
	word := func(i int) uint64 { return uint64(ip[2*i])<<8 | uint64(ip[2*i+1]) }
	gap, length := -1, 1
	for i := 0; i < 8; i++ {
		n := 0
		for i+n < 8 && word(i+n) == 0 {
			n++
		}
		if n > length {
			gap, length = i, n
		}
		i += n
	}
	s := ""
	for i := 0; i < 8; i++ {
		if i == gap {
			s += "::"
			i += length - 1
			continue
		}
		if s != "" && s[len(s)-1] != ':' {
			s += ":"
		}
		s += strconv.FormatUint(word(i), 16)
	}
	return s
}
