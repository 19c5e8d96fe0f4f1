package main

import (
	"bytes"
	"strings"
	"testing"

	"husk/test/compat/job"
)

func TestReportCountsForkingProgramsApart(t *testing.T) {
	list := []program{
		{args: []string{"a"}, native: job.Result{Stdout: []byte("one at 0x7f0000001000\n")}},
		{args: []string{"b"}, native: job.Result{ID: 1, Stdout: []byte("two\n")}},
		{args: []string{"c"}, native: job.Result{ID: 2, Stdout: []byte("three\n")}, forks: true},
	}
	got := map[int]job.Result{
		0: {Stdout: []byte("one at 0x7f2222223000\n")}, // addresses may differ
		1: {ID: 1, Stdout: []byte("deux\n")},
		2: {ID: 2, Status: 1, Stderr: []byte("no\n")},
	}
	var out bytes.Buffer
	if score := report(&out, list, got, 0); score != 50 {
		t.Errorf("score %v, want 50", score)
	}
	for _, want := range []string{`b: stdout: "deux", not "two"`, `c: status 1, not 0: "no"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, out.String())
		}
	}
}
