package stressng

import (
	"maps"
	"testing"

	"husk/test/suites"
)

func TestVerdicts(t *testing.T) {
	const output = `@@ begin pipe
stress-ng: info:  [2] successful run completed in 1.00s
@@ end pipe 0
@@ begin kvm
stress-ng: info:  [2] kvm: /dev/kvm not available, skipping stress test
@@ end kvm 0
@@ begin sem
stress-ng: fail:  [2] sem: errno=22
@@ end sem 2
@@ begin vm
`
	want := map[string]suites.Verdict{"pipe": suites.Pass, "kvm": suites.Skip, "sem": suites.Fail, "vm": suites.Unfinished}
	if got := Verdicts([]byte(output)); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
