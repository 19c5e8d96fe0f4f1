package proc

import (
	"math"
	"strconv"
	"strings"
	"sync"

	"husk/kernel/fs/pseudo"
)

// sysctlDir is /proc/sys.
var sysctlDir = pseudo.Dir{Make: sysctlEntries}

var sysctlTable struct {
	once    sync.Once
	entries []pseudo.Entry
}

func sysctlEntries() []pseudo.Entry {
	sysctlTable.once.Do(func() {
		p := sysctlParser{rest: strings.TrimSpace(sysctls)}
		p.next()
		sysctlTable.entries = p.directory("")
	})
	return sysctlTable.entries
}

// A Setting is one of /proc/sys whose values live in another package, which
// reads them with package atomic.
type Setting struct {
	Path  string
	Words []*int64
}

// homes are filled while the machine boots, before the table is read.
var homes []Setting

// RegisterSettings makes the values of settings that the table has live
// elsewhere.
func RegisterSettings(list []Setting) { homes = append(homes, list...) }

// sysctlParser reads the lines of sysctls, in which a directory's files are
// together.
type sysctlParser struct {
	rest       string
	path, what string // of the line at hand; empty at the end
}

func (p *sysctlParser) next() {
	var line string
	line, p.rest, _ = strings.Cut(p.rest, "\n")
	p.path, p.what, _ = strings.Cut(line, " ")
	p.what = strings.TrimLeft(p.what, " ")
}

// directory reads the entries whose paths begin with prefix.
func (p *sysctlParser) directory(prefix string) []pseudo.Entry {
	var entries []pseudo.Entry
	for p.path != "" {
		name, ok := strings.CutPrefix(p.path, prefix)
		if !ok {
			break
		}
		if dir, _, below := strings.Cut(name, "/"); below {
			entries = append(entries, pseudo.Entry{Name: dir, Dir: &pseudo.Dir{Entries: p.directory(prefix + dir + "/")}})
			continue
		}
		e := p.entry()
		e.Name = name
		entries = append(entries, e)
		p.next()
	}
	return entries
}

func (p *sysctlParser) entry() (e pseudo.Entry) {
	switch p.what {
	case "dir":
		return pseudo.Entry{Dir: &pseudo.Dir{}}
	case "special":
		for i := range specials {
			if specials[i].path == p.path {
				return specials[i].entry
			}
		}
		return e
	}
	mode, what, _ := strings.Cut(p.what, " ")
	bits, _ := strconv.ParseUint(mode, 8, 16)
	e.Mode = uint32(bits)
	kind, value, _ := strings.Cut(what, " ")
	switch kind {
	case "number":
		e.Store = storeIgnored
	case "word":
		e.Store = storeText
	case "set":
		e.Knob = sysctlKnob(value)
		for _, s := range homes {
			if s.Path == p.path {
				e.Knob.Words = s.Words
			}
		}
		return e
	}
	e.Const = value + "\n"
	return e
}

// sysctlKnob reads "V[,V…] [MIN..MAX]".
func sysctlKnob(text string) *pseudo.Knob {
	k := new(pseudo.Knob)
	values, limits, limited := strings.Cut(text, " ")
	for v := range strings.SplitSeq(values, ",") {
		k.V[k.N] = sysctlNumber(v)
		k.N++
	}
	if limited {
		lo, hi, _ := strings.Cut(limits, "..")
		k.Min, k.Max = sysctlNumber(lo), sysctlNumber(hi)
	}
	return k
}

func sysctlNumber(s string) int64 {
	switch s {
	case "int":
		return math.MaxInt32
	case "max":
		return math.MaxInt64
	}
	v, _ := strconv.ParseInt(s, 10, 64)
	return v
}
