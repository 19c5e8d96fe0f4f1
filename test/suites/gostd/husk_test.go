package gostd

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"husk/test/suites"
)

// TestStandardLibraryPassesInHusk is a selection of what "make suites" runs.
func TestStandardLibraryPassesInHusk(t *testing.T) {
	husk := os.Getenv("HUSK")
	if husk == "" {
		t.Skip("$HUSK names no command: make test")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go to build the tests with")
	}
	dir := t.TempDir()
	driver, err := suites.BuildDriver(dir)
	if err != nil {
		t.Fatal(err)
	}
	exceptions, err := suites.ReadExceptions("../exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, err := Suites([]string{"os/exec", "os/user", "internal/poll", "io/fs", "path/filepath", "sync"}, Options{Build: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := &suites.Runner{
		Husk: husk, Driver: driver, CPUs: 2, Memory: "1G", Batch: len(list), Repeat: 1, Exceptions: exceptions,
	}
	report, err := r.Run(list)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	report.Print(&text)
	t.Logf("%s", &text)
	if len(report.Differences) > 0 {
		t.Fail()
	}
	for _, s := range report.Suites {
		if s.Expected == 0 {
			t.Errorf("%s: no test passes natively: %.2000s", s.Name, s.Native.Output)
		}
	}
}
