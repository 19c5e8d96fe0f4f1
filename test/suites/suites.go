// Package suites runs other projects' test suites natively and inside husk and
// compares the verdict of every test: what passes on Linux must pass in husk.
//
// A Suite is a command whose output holds a verdict for each of its tests, and
// the function that reads them. Run executes the suites on both sides by way of
// a small static driver, several suites a boot, and returns a Report. Tests
// that are excused stand in an exceptions file, each with its reason. The
// suites themselves are in the packages below this one.
package suites

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verdict is what a suite says about one test.
type Verdict string

// Unfinished is the verdict on a test that was begun and never judged, and
// Absent on one that the output does not mention.
const (
	Pass       Verdict = "pass"
	Fail       Verdict = "fail"
	Skip       Verdict = "skip"
	Unfinished Verdict = "unfinished"
	Absent     Verdict = ""
)

func (v Verdict) String() string {
	if v == Absent {
		return "absent"
	}
	return string(v)
}

// Suite is one command with many tests in it.
type Suite struct {
	// Name is how the exceptions file and the report call it: "go/os".
	Name string
	// Args is the command; it runs in Dir with Env beside Environment.
	Args []string
	Dir  string
	Env  []string
	// Seconds is how long it may take in husk. Then it gets SIGQUIT, which
	// makes most runtimes say where they are, and SIGKILL after that.
	Seconds int
	// Verdicts reads the output, standard output and error as they came.
	Verdicts func(output []byte) map[string]Verdict
	// Without, if not nil, returns the command that leaves these tests out.
	// It serves exceptions that are not to be run, and going on behind a test
	// at which the suite died.
	Without func(tests []string) []string
}

// Environment is what every suite gets on both sides.
var Environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "TZ=UTC0", "USER=root", "SHELL=/bin/sh", "TMPDIR=/tmp",
}

// Outcome is what a suite did on one side.
type Outcome struct {
	Verdicts map[string]Verdict
	Output   []byte
	Ended    string // how: "status 0", "no end within 60 s", "the machine ended: …"
	Took     time.Duration
}

// Difference is a test that passed natively and did not in husk.
type Difference struct {
	Suite, Test  string
	Native, Husk Verdict
}

// Report is what comparing gave.
type Report struct {
	Suites      []SuiteReport
	Differences []Difference // not excused
	Excused     []Difference
	Stale       []string // exceptions that excused nothing although their suite ran
}

// SuiteReport is the figures of one suite. Passed counts tests that pass
// natively and in husk, Expected those that pass natively and are not excused.
type SuiteReport struct {
	Name             string
	Passed, Expected int
	Native, Husk     Outcome
}

// Compare judges the suites by both outcomes.
func Compare(list []Suite, native, husk []Outcome, exceptions *Exceptions) *Report {
	r := &Report{}
	used := map[*exception]bool{}
	ran := map[string]bool{}
	for i, s := range list {
		ran[s.Name] = true
		sr := SuiteReport{Name: s.Name, Native: native[i], Husk: husk[i]}
		for _, test := range slices.Sorted(maps.Keys(native[i].Verdicts)) {
			want, got := native[i].Verdicts[test], husk[i].Verdicts[test]
			if want != Pass {
				continue
			}
			if got == Pass {
				sr.Passed++
				sr.Expected++
				continue
			}
			d := Difference{s.Name, test, want, got}
			if e := exceptions.find(s.Name, test); e != nil {
				used[e] = true
				r.Excused = append(r.Excused, d)
				continue
			}
			sr.Expected++
			r.Differences = append(r.Differences, d)
		}
		r.Suites = append(r.Suites, sr)
	}
	for _, e := range exceptions.list {
		if ran[e.suite] && !used[e] && !e.skip {
			r.Stale = append(r.Stale, e.suite+" "+e.test)
		}
	}
	return r
}

// maxShown is how many differences of a suite are worth reading: a machine that
// ends takes all the tests with it that were to come.
const maxShown = 100

// Print writes the differences, the figures and the score.
func (r *Report) Print(w io.Writer) {
	var passed, expected int
	fmt.Fprintf(w, "%-28s %8s %8s %10s %10s  %s\n", "suite", "passed", "of", "natively", "in husk", "end in husk")
	for _, s := range r.Suites {
		passed, expected = passed+s.Passed, expected+s.Expected
		note := ""
		if s.Native.Ended != s.Husk.Ended && s.Native.Ended != "" {
			note = s.Husk.Ended + "; natively " + s.Native.Ended
		}
		fmt.Fprintf(w, "%-28s %8d %8d %9.1fs %9.1fs  %s\n", s.Name, s.Passed, s.Expected,
			s.Native.Took.Seconds(), s.Husk.Took.Seconds(), note)
	}
	shown := map[string]int{}
	for _, d := range r.Differences {
		if shown[d.Suite]++; shown[d.Suite] <= maxShown {
			fmt.Fprintf(w, "%s %s: %v, not %v\n", d.Suite, d.Test, d.Husk, d.Native)
		}
	}
	for _, suite := range slices.Sorted(maps.Keys(shown)) {
		if n := shown[suite] - maxShown; n > 0 {
			fmt.Fprintf(w, "%s: %d more\n", suite, n)
		}
	}
	for _, e := range r.Stale {
		fmt.Fprintf(w, "no longer needed: exception %s\n", e)
	}
	fmt.Fprintf(w, "%d of %d tests that pass natively pass in husk (%.2f %%); %d more are excused\n",
		passed, expected, percent(passed, expected), len(r.Excused))
}

func percent(a, b int) float64 {
	if b == 0 {
		return 100
	}
	return 100 * float64(a) / float64(b)
}

// unfinished lists the tests of an outcome that were begun and not judged.
func (o Outcome) unfinished() []string {
	var list []string
	for test, v := range o.Verdicts {
		if v == Unfinished {
			list = append(list, test)
		}
	}
	slices.Sort(list)
	return list
}

// judged lists the tests that have a verdict.
func (o Outcome) judged() []string {
	var list []string
	for test, v := range o.Verdicts {
		if v != Unfinished && !strings.Contains(test, "/") {
			list = append(list, test)
		}
	}
	slices.Sort(list)
	return list
}
