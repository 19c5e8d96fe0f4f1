package lint

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// function is one function of the disassembly.
type function struct {
	name     string
	calls    []string // direct calls and jumps to other functions, by name
	indirect []string // calls through a register or memory: the instructions
	frame    int      // bytes of stack it takes, return address not included
	text     []string // its instructions
}

type graph map[string]*function

var (
	subSP   = regexp.MustCompile(`^SUBQ \$(0x[0-9a-f]+|\d+), SP$`)
	addSP   = regexp.MustCompile(`^ADDQ \$-(0x[0-9a-f]+|\d+), SP$`)
	toNamed = regexp.MustCompile(`^(?:CALL|JMP) (.+)\(SB\)$`)
	through = regexp.MustCompile(`^CALL [^(]*\(?[A-Z0-9*]+\)?`)
)

// parse reads the output of "go tool objdump".
func parse(r io.Reader) (graph, error) {
	g := graph{}
	var f *function
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		if name, ok := strings.CutPrefix(line, "TEXT "); ok {
			name, _, _ = strings.Cut(name, "(SB)")
			f = &function{name: name}
			g[name] = f
			continue
		}
		// File, address and bytes come first; tabs align and pad.
		fields := strings.Split(strings.TrimRight(line, "\t"), "\t")
		if f == nil || len(fields) < 4 {
			continue
		}
		insn := fields[len(fields)-1]
		f.text = append(f.text, insn)
		switch {
		case strings.HasPrefix(insn, "PUSHQ"):
			f.frame += 8
		case subSP.MatchString(insn):
			f.frame += number(subSP.FindStringSubmatch(insn)[1])
		case addSP.MatchString(insn):
			f.frame += number(addSP.FindStringSubmatch(insn)[1])
		}
		if m := toNamed.FindStringSubmatch(insn); m != nil {
			if m[1] != f.name {
				f.calls = append(f.calls, m[1])
			}
		} else if strings.HasPrefix(insn, "CALL") && through.MatchString(insn) {
			f.indirect = append(f.indirect, insn)
		}
	}
	if len(g) == 0 && s.Err() == nil {
		return nil, fmt.Errorf("no functions in the disassembly")
	}
	return g, s.Err()
}

func number(s string) int {
	n, _ := strconv.ParseInt(s, 0, 64)
	return int(n)
}

// reach returns every function that roots reach, each with one path to it.
// Functions that stop returns true for are reached but not followed.
func (g graph) reach(roots []string, stop func(string) bool) map[string]string {
	paths := map[string]string{}
	var visit func(name, path string)
	visit = func(name, path string) {
		if _, ok := paths[name]; ok {
			return
		}
		path += " → " + name
		paths[name] = strings.TrimPrefix(path, " → ")
		f := g[name]
		if f == nil || stop(name) {
			return
		}
		for _, c := range f.calls {
			visit(c, path)
		}
	}
	for _, r := range roots {
		visit(r, "")
	}
	return paths
}

// depth returns the most stack that a call of name takes, with the path that
// takes it. Recursion is an error.
func (g graph) depth(name string, stop func(string) bool) (int, string, error) {
	type result struct {
		n    int
		path string
	}
	done := map[string]result{}
	active := map[string]bool{}
	var visit func(name string) (result, error)
	visit = func(name string) (result, error) {
		if r, ok := done[name]; ok {
			return r, nil
		}
		if active[name] {
			return result{}, fmt.Errorf("recursion through %s", name)
		}
		f := g[name]
		if f == nil || stop(name) {
			return result{8, name}, nil
		}
		active[name] = true
		deepest := result{}
		for _, c := range f.calls {
			r, err := visit(c)
			if err != nil {
				return r, err
			}
			if r.n > deepest.n {
				deepest = r
			}
		}
		active[name] = false
		r := result{f.frame + 8 + deepest.n, name}
		if deepest.path != "" {
			r.path += " → " + deepest.path
		}
		done[name] = r
		return r, nil
	}
	r, err := visit(name)
	return r.n, r.path, err
}
