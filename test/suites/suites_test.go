package suites

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func exceptions(t *testing.T, text string) (*Exceptions, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "exceptions.txt")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return ReadExceptions(name)
}

func TestExceptionsCoverTestsAndThoseBelow(t *testing.T) {
	x, err := exceptions(t, "# why\n\ngo/os TestA the reason\ngo/os -TestNet*/tcp no network\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"TestA": true, "TestA/sub/sub": true, "TestAB": false, "TestNetX/tcp": true, "TestNet/tcp/4": true, "TestNet": false,
	} {
		if got := x.find("go/os", name) != nil; got != want {
			t.Errorf("%s: excused %v, want %v", name, got, want)
		}
	}
	if x.find("go/io", "TestA") != nil {
		t.Error("an exception covers another suite")
	}
	if got := x.skipped("go/os"); !slices.Equal(got, []string{"TestNet*/tcp"}) {
		t.Errorf("skipped %q", got)
	}
}

func TestExceptionsNeedAReason(t *testing.T) {
	for _, text := range []string{"go/os TestA\n", "go/os\n", "go/os [ reason\n"} {
		if _, err := exceptions(t, text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestCompareFindsWhatPassesOnlyNatively(t *testing.T) {
	x, err := exceptions(t, "s excused reason\ns stale reason\nother stale reason\n")
	if err != nil {
		t.Fatal(err)
	}
	native := Outcome{Verdicts: map[string]Verdict{
		"good": Pass, "bad": Pass, "gone": Pass, "excused": Pass, "stale": Pass, "failing": Fail, "skipped": Skip,
	}}
	husk := Outcome{Verdicts: map[string]Verdict{
		"good": Pass, "bad": Fail, "excused": Unfinished, "stale": Pass, "failing": Fail, "more": Fail,
	}}
	r := Compare([]Suite{{Name: "s"}}, []Outcome{native}, []Outcome{husk}, x)
	var out bytes.Buffer
	r.Print(&out)
	for _, want := range []string{
		"s bad: fail, not pass\n", "s gone: absent, not pass\n", "exception s stale\n",
		"2 of 4 tests", "1 more are excused",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
	if len(r.Differences) != 2 || len(r.Excused) != 1 || len(r.Stale) != 1 {
		t.Errorf("%+v", r)
	}
}
