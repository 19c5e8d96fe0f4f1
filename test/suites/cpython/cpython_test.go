package cpython

import (
	"maps"
	"testing"

	"husk/test/suites"
)

func TestVerdictsAreReadAmongOtherOutput(t *testing.T) {
	const output = "noise\n@@ start test.test_a.A.test_one ''\nok\n\n@@ pass test.test_a.A.test_one '0.00 s '\n" +
		"\n@@ start test.test_a.A.test_two ''\nno line end\n@@ fail test.test_a.A.test_two '0.01 s Traceback\\n@@ pass x '\n" +
		"\n@@ skip setUpClass_(test.test_a.B) 'no'\n@@ start test.test_a.A.test_three ''\nTimeout (0:00:10)!"
	want := map[string]suites.Verdict{
		"test.test_a.A.test_one": suites.Pass, "test.test_a.A.test_two": suites.Fail,
		"setUpClass_(test.test_a.B)": suites.Skip, "test.test_a.A.test_three": suites.Unfinished,
	}
	if got := Verdicts([]byte(output)); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
