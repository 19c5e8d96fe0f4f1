package main

import (
	"slices"
	"testing"
)

func TestRecordsOfNamesMayComeInPieces(t *testing.T) {
	var a accesses
	for _, p := range []string{"+/bin/x\x00-/e", "tc/none\x00", "=/usr\x00+re", "lative\x00?/odd\x00+/end"} {
		if n, err := a.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(a.found) != 1 || !a.found["/bin/x"] || len(a.missed) != 1 || !a.missed["/etc/none"] || len(a.listed) != 1 || !a.listed["/usr"] {
		t.Errorf("%+v", a)
	}
}

func TestSlimImageIsNamedAfterWhatItWasMadeOf(t *testing.T) {
	for _, test := range [][3]string{
		{"/usr/bin/python3", "", "python3-slim"},
		{"image:node", "node:latest", "node:slim"},
		{"deb:bc", "deb/bc:latest", "deb/bc:slim"},
		{"web", "web:2", "web:2-slim"},
		{"x", "host:5000/web", "host:5000/web:slim"},
		{"0123abcd", "", "0123abcd-slim"},
	} {
		if got := slimName(test[0], test[1]); got != test[2] {
			t.Errorf("%s, %s: %s", test[0], test[1], got)
		}
	}
}

func TestIncludeTakesWhatIsBelowItsMatches(t *testing.T) {
	s := &slimmer{include: []string{"/etc/ssl/*", "/opt/app/**", "/srv/"}}
	for p, want := range map[string]bool{
		"/etc/ssl/x": true, "/etc/ssl/x/y": true, "/etc/ssl": false, "/opt/app": true, "/opt/app/a/b": true, "/opt/other": false, "/srv/d": true,
	} {
		if got := s.included(p); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
	names, err := includedFiles(t.TempDir(), "/none")
	if err == nil {
		t.Errorf("nothing matched and gave %q", names)
	}
	names, err = includedFiles("", "/etc/pass*d")
	if err != nil || !slices.Contains(names, "/etc/passwd") || !slices.Contains(names, "/etc") {
		t.Errorf("%q, %v", names, err)
	}
}
