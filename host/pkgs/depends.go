package pkgs

import (
	"fmt"
	"strings"
)

// Relation is one alternative of a dependency, deb-control(5).
type Relation struct {
	Name, Arch  string
	Op, Version string
}

// ParseRelations reads a field like Depends: all groups must hold, each by one
// of its alternatives.
func ParseRelations(s string) [][]Relation {
	var all [][]Relation
	for group := range strings.SplitSeq(s, ",") {
		var alternatives []Relation
		for one := range strings.SplitSeq(group, "|") {
			var r Relation
			one, _, _ = strings.Cut(one, "[")
			one, _, _ = strings.Cut(one, "<!")
			name, version, _ := strings.Cut(one, "(")
			r.Name, r.Arch, _ = strings.Cut(strings.TrimSpace(name), ":")
			version, _, _ = strings.Cut(version, ")")
			version = strings.TrimSpace(version)
			n := 0
			for n < len(version) && strings.IndexByte("<>=", version[n]) >= 0 {
				n++
			}
			r.Op, r.Version = version[:n], strings.TrimSpace(version[n:])
			if r.Name != "" {
				alternatives = append(alternatives, r)
			}
		}
		if len(alternatives) > 0 {
			all = append(all, alternatives)
		}
	}
	return all
}

func (r Relation) String() string {
	if r.Op == "" {
		return r.Name
	}
	return fmt.Sprintf("%s (%s %s)", r.Name, r.Op, r.Version)
}

// allows reports whether a version fits.
func (r Relation) allows(version string) bool {
	c := Compare(version, r.Version)
	switch r.Op {
	case "":
		return true
	case "<<":
		return c < 0
	case "<=", "<":
		return c <= 0
	case "=":
		return c == 0
	case ">=", ">":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// satisfied reports whether a package is what the relation asks for, by its
// name or by what it provides; a provision without a version fits no relation
// with one.
func (r Relation) satisfied(p *Package) bool {
	if p.Name == r.Name && r.allows(p.Version) {
		return true
	}
	for _, group := range p.relations().provides {
		for _, v := range group {
			if v.Name == r.Name && (r.Op == "" || v.Version != "" && r.allows(v.Version)) {
				return true
			}
		}
	}
	return false
}

// relations are what a package says of others.
type relations struct {
	depends, recommends, excludes, provides [][]Relation
}

// relations reads them the first time they are asked for.
func (p *Package) relations() *relations {
	if p.related == nil {
		p.related = &relations{
			depends:    append(ParseRelations(p.Stanza.Get("Pre-Depends")), ParseRelations(p.Stanza.Get("Depends"))...),
			recommends: ParseRelations(p.Stanza.Get("Recommends")),
			excludes:   append(ParseRelations(p.Stanza.Get("Conflicts")), ParseRelations(p.Stanza.Get("Breaks"))...),
			provides:   ParseRelations(p.Stanza.Get("Provides")),
		}
	}
	return p.related
}

// excludes is whether p cannot be where q is. A package may exclude a name
// that it provides itself, and means the others then.
func (p *Package) excludes(q *Package) bool {
	if p.Name == q.Name {
		return p != q
	}
	for _, group := range p.relations().excludes {
		for _, r := range group {
			if (r.Arch == "" || r.Arch == "any" || r.Arch == q.Arch) && r.satisfied(q) {
				return true
			}
		}
	}
	return false
}
