package inet

import (
	"net/netip"
	"testing"
)

func FuzzParseIP(f *testing.F) {
	for _, s := range []string{"10.0.2.15", "::", "::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1::", ":", "1:2:3:4:5:6:7::", "01.2.3.4", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ip, ok := ParseIP(s)
		a, err := netip.ParseAddr(s)
		if a.Zone() != "" {
			return
		}
		if ok != (err == nil) {
			t.Fatalf("%q: %v, want %v", s, ok, err)
		}
		if ok && a.As16() != [16]byte(ip) {
			t.Fatalf("%q: %v, want %v", s, ip, a)
		}
	})
}

func TestAddressesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range []string{
		"10.0.2.15", "::", "::1", "fe80::1:2", "2001:db8::", "1:2:3:4:5:6:7:8", "1:0:0:2::3", "1:0:2:0:3:0:4:0", "ff02::1:ff00:1",
	} {
		if ip, ok := ParseIP(s); !ok || ip.String() != s {
			t.Errorf("%s: %v %s", s, ok, ip)
		}
	}
}
