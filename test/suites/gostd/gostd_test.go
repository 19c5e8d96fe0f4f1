package gostd

import (
	"maps"
	"regexp"
	"testing"

	"husk/test/suites"
)

func TestVerdictsAreReadWhereverTheyStand(t *testing.T) {
	const output = "\x16=== RUN   TestA\n\x16=== RUN   TestA/sub\nnoise\x16    --- PASS: TestA/sub (0.00s)\n\x16--- FAIL: TestA (0.01s)\n" +
		"=== RUN   TestPrinted\n\x16=== RUN   TestB\nno line end\x16--- SKIP: TestB (0.00s)\n\x16=== RUN   TestC\npanic: …"
	want := map[string]suites.Verdict{
		"TestA": suites.Fail, "TestA/sub": suites.Pass, "TestB": suites.Skip, "TestC": suites.Unfinished,
	}
	if got := Verdicts([]byte(output)); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPatternLeavesOutWholeTests(t *testing.T) {
	re := regexp.MustCompile(pattern([]string{"TestA/sub", "TestNet*"}))
	for name, want := range map[string]bool{"TestA": true, "TestAB": false, "TestNetX": true, "XTestA": false} {
		if re.MatchString(name) != want {
			t.Errorf("%s: %v, want %v", name, !want, want)
		}
	}
}
