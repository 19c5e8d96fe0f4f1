package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"husk/test/compat/job"
)

// report prints the score and the differences, and returns the score of the
// programs that need one process, in percent.
func report(w io.Writer, list []program, got map[int]job.Result, skipped int) float64 {
	var single, singleOK, forking, forkingOK int
	for i, p := range list {
		ok := same(p.native, got[i])
		if p.forks {
			forking++
			forkingOK += count(ok)
		} else {
			single++
			singleOK += count(ok)
		}
		if !ok {
			fmt.Fprintf(w, "%s: %s\n", strings.Join(p.args, " "), difference(p.native, got[i]))
		}
	}
	fmt.Fprintf(w, "\n%d programs do not answer natively or not twice the same and are left out\n", skipped)
	fmt.Fprintf(w, "one process:       %4d of %4d  %5.1f %%\n", singleOK, single, percent(singleOK, single))
	fmt.Fprintf(w, "several processes: %4d of %4d  %5.1f %%\n", forkingOK, forking, percent(forkingOK, forking))
	fmt.Fprintf(w, "all:               %4d of %4d  %5.1f %%\n", singleOK+forkingOK, single+forking, percent(singleOK+forkingOK, single+forking))
	return percent(singleOK, single)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func percent(a, b int) float64 {
	if b == 0 {
		return 100
	}
	return 100 * float64(a) / float64(b)
}

// difference says in one line how the answer in husk differs from the native one.
func difference(want, got job.Result) string {
	switch {
	case got.Error != "":
		return got.Error
	case got.TimedOut:
		return "no end within the time limit"
	case got.Status != want.Status:
		return fmt.Sprintf("status %d, not %d: %q", got.Status, want.Status, firstLine(got.Stderr))
	}
	for _, s := range []struct {
		name      string
		want, got []byte
	}{{"stdout", want.Stdout, got.Stdout}, {"stderr", want.Stderr, got.Stderr}} {
		if !bytes.Equal(normal(s.want), normal(s.got)) {
			a, b := differingLines(s.want, s.got)
			return fmt.Sprintf("%s: %q, not %q", s.name, b, a)
		}
	}
	return "no difference"
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// differingLines returns the first pair of lines that differ.
func differingLines(a, b []byte) (string, string) {
	x, y := strings.Split(string(normal(a)), "\n"), strings.Split(string(normal(b)), "\n")
	for i := range max(len(x), len(y)) {
		var p, q string
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			return p, q
		}
	}
	return "", ""
}
