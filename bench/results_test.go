package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestBaselineFailsOnARegression(t *testing.T) {
	path := filepath.Join(t.TempDir(), "baseline.txt")
	r := results{}
	for _, m := range measurements {
		r[m.name] = 1000
	}
	if err := writeBaseline(path, r); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r["stat"] = 1050
	if err := checkBaseline(&out, path, r); err != nil {
		t.Errorf("five percent are allowed: %v", err)
	}
	r["stat"] = 1051
	if err := checkBaseline(&out, path, r); err == nil || !strings.Contains(out.String(), "worse") {
		t.Errorf("a regression passed: %v\n%s", err, out.String())
	}
}

func TestResultsMustBeComplete(t *testing.T) {
	if _, err := parseResults("main 5\nnull-call 190\n"); err == nil {
		t.Error("results without an end were accepted")
	}
	r, err := parseResults("[    0.1] console noise\r\nmain 5\r\nend 0\r\n")
	if err != nil || r["main"] != 5 {
		t.Errorf("%v %v", r, err)
	}
}
