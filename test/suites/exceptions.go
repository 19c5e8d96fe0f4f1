package suites

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strings"
)

// Exceptions are the tests that need not pass, read from a file of lines
//
//	SUITE TEST REASON…
//
// where TEST may hold the wildcards of path.Match in each of its parts, covers
// the tests below it, and has a "-" in front if it is not to be run at all. An
// empty line or one that begins with "#" says nothing.
type Exceptions struct {
	list []*exception
}

type exception struct {
	suite, test, reason string
	skip                bool
}

// ReadExceptions reads a file.
func ReadExceptions(name string) (*Exceptions, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x := &Exceptions{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 3 {
			return nil, fmt.Errorf("%s:%d: an exception is a suite, a test and a reason", name, n)
		}
		test, skip := strings.CutPrefix(fields[1], "-")
		if _, err := path.Match(test, ""); err != nil {
			return nil, fmt.Errorf("%s:%d: %q: %w", name, n, test, err)
		}
		x.list = append(x.list, &exception{fields[0], test, strings.Join(fields[2:], " "), skip})
	}
	return x, lines.Err()
}

// find returns the exception that covers a test, or nil.
func (x *Exceptions) find(suite, test string) *exception {
	for _, e := range x.list {
		if e.holds(suite) && covers(e.test, test) {
			return e
		}
	}
	return nil
}

// holds says whether an exception is for a suite: one for Go's is for the same
// suite built with cgo, too.
func (e *exception) holds(suite string) bool {
	if rest, ok := strings.CutPrefix(suite, "go-cgo/"); ok && e.suite == "go/"+rest {
		return true
	}
	return e.suite == suite
}

// covers says whether a pattern matches a test or one above it.
func covers(pattern, test string) bool {
	for i := 0; i <= len(test); i++ {
		if i < len(test) && test[i] != '/' {
			continue
		}
		if ok, _ := path.Match(pattern, test[:i]); ok {
			return true
		}
	}
	return false
}

// skipped lists the tests of a suite that are not to be run.
func (x *Exceptions) skipped(suite string) []string {
	var list []string
	for _, e := range x.list {
		if e.holds(suite) && e.skip {
			list = append(list, e.test)
		}
	}
	return list
}
