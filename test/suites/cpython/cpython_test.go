package cpython

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"testing"

	"husk/test/suites"
)

// short are modules that take a second or two natively.
var short = []string{
	"test_mmap", "test_fcntl", "test_pty", "test_stat", "test_popen", "test_pipes", "test_resource",
	"test_fileio", "test_openpty", "test_pwd", "test_genericpath",
}

// TestShortModulesPassInHusk runs them in one machine. All modules are for
// "make suites".
func TestShortModulesPassInHusk(t *testing.T) {
	if testing.Short() || os.Getuid() != 0 || !Installed() {
		t.Skip("needs root, time, and libpython3.11-testsuite")
	}
	husk := os.Getenv("HUSK")
	if husk == "" {
		t.Skip("$HUSK names no command: make test")
	}
	for _, need := range []string{husk, "qemu-system-x86_64"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip(err)
		}
	}
	// Below /var/tmp and not /tmp: a machine has a /tmp of its own.
	build, err := os.MkdirTemp("/var/tmp", "husk-cpython")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(build)
	list, err := Suites(short, build)
	if err != nil {
		t.Fatal(err)
	}
	// Without the tests that start Python some fifty times.
	posix, err := Suites([]string{"test_posix"}, build, "*.PosixTester.*", "*.TestPosixDirFd.*")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, posix...)
	r := &suites.Runner{Husk: husk, CPUs: 2, Memory: "768M", Batch: len(list)}
	if r.Exceptions, err = suites.ReadExceptions("../exceptions.txt"); err != nil {
		t.Fatal(err)
	}
	if r.Driver, err = suites.BuildDriver(build); err != nil {
		t.Fatal(err)
	}
	report, err := r.Run(list)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	report.Print(&text)
	t.Logf("\n%s", &text)
	if len(report.Differences) > 0 {
		t.Error("tests that pass natively do not pass in husk")
	}
}

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
