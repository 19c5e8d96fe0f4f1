package pkgs

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// unneeded are packages that others depend on for installing, for services
// and for reading about them. They are left out unless somebody asks for them
// by name: no script of theirs runs here, and there are no services.
var unneeded = []string{
	"adduser", "anacron", "cdebconf", "cron", "cron-daemon-common", "debconf", "debconf-2.0", "dpkg", "init-system-helpers",
	"install-info", "invoke-rc.d", "insserv", "libpam-systemd", "logrotate", "lsb-base", "man-db", "po-debconf", "sensible-utils",
	"systemd", "systemd-sysv", "systemd-standalone-sysusers", "systemd-standalone-tmpfiles", "systemd-sysusers", "systemd-tmpfiles",
	"sysvinit-utils", "ucf", "update-inetd",
}

// Resolver finds what packages need.
type Resolver struct {
	Index      *Index
	Recommends bool
	// Without are packages that are left out though others depend on them;
	// * in a name is any text.
	Without []string

	named  map[string]bool // those that were asked for
	chosen map[string]*Package
	steps  int
	failed error // the first dead end: the nearest to what the user asked for
}

// maxSteps bounds the search: real closures take some hundreds.
const maxSteps = 20000

// goal is one thing that must hold: one of the alternatives is there. A soft
// one may fail.
type goal struct {
	group []Relation
	by    *Package // nil for the user
	soft  bool
	rest  *goal
}

// blame is the packages but for which a goal could have been reached.
type blame map[*Package]bool

// Closure gives the packages and all they depend on, what is needed first.
// Names may be NAME or NAME=VERSION.
func (r *Resolver) Closure(names []string) ([]*Package, error) {
	r.chosen, r.named, r.steps, r.failed = map[string]*Package{}, map[string]bool{}, 0, nil
	var goals *goal
	for _, n := range slices.Backward(names) {
		name, version, _ := strings.Cut(n, "=")
		a := Relation{Name: name}
		if version != "" {
			a.Op, a.Version = "=", version
		}
		if !slices.ContainsFunc(r.Index.byName[name], func(p *Package) bool { return a.allows(p.Version) }) && len(r.Index.provides[name]) == 0 {
			return nil, fmt.Errorf("no mirror has a package %s (see 'husk pkg search')%s", n, r.Index.leftOut())
		}
		r.named[name] = true
		goals = &goal{group: []Relation{a}, rest: goals}
	}
	if b := r.solve(goals); b != nil {
		if r.failed == nil {
			r.failed = errors.New("the packages do not go together")
		}
		return nil, fmt.Errorf("%w%s", r.failed, r.Index.leftOut())
	}
	// What is needed comes first; circles are cut where they close.
	var ordered []*Package
	seen := map[*Package]bool{}
	var visit func(p *Package)
	visit = func(p *Package) {
		if seen[p] {
			return
		}
		seen[p] = true
		groups := p.relations().depends
		if r.Recommends {
			groups = slices.Concat(groups, p.relations().recommends)
		}
		for _, g := range groups {
			if q := r.have(g); q != nil {
				visit(q)
			}
		}
		ordered = append(ordered, p)
	}
	for _, n := range names {
		name, _, _ := strings.Cut(n, "=")
		if q := r.have([]Relation{{Name: name}}); q != nil {
			visit(q)
		}
	}
	// None is left, but for what a soft goal left behind.
	for _, name := range slices.Sorted(maps.Keys(r.chosen)) {
		visit(r.chosen[name])
	}
	return ordered, nil
}

// leaveOut is whether a package is not taken because others need it.
func (r *Resolver) leaveOut(name string) bool {
	if r.named[name] {
		return false
	}
	return slices.Contains(unneeded, name) || slices.ContainsFunc(r.Without, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

// solve reaches all goals, or gives whom to blame. A choice that had no part
// in a failure is not made another way for it: this keeps the search short.
func (r *Resolver) solve(g *goal) blame {
	for ; g != nil; g = g.rest {
		if r.have(g.group) == nil && !slices.ContainsFunc(g.group, func(a Relation) bool { return r.leaveOut(a.Name) }) {
			break
		}
	}
	if g == nil {
		return nil
	}
	if r.steps++; r.steps > maxSteps {
		r.failed = errors.New("the packages' dependencies are too entangled")
		return blame{}
	}
	all := blame{}
	var why []string
	for _, p := range r.candidates(g.group) {
		if q := r.excluded(p); q != nil {
			all[q] = true
			why = append(why, fmt.Sprintf("%s does not go with %s", p, q))
			continue
		}
		goals := g.rest
		if r.Recommends {
			goals = push(goals, p, p.relations().recommends, true)
		}
		r.chosen[p.Name] = p
		b := r.solve(push(goals, p, p.relations().depends, false))
		if b == nil {
			return nil
		}
		delete(r.chosen, p.Name)
		if r.steps > maxSteps || !b[p] {
			return b
		}
		delete(b, p)
		maps.Copy(all, b)
	}
	if g.soft {
		b := r.solve(g.rest)
		if b != nil {
			maps.Copy(b, all)
		}
		return b
	}
	if r.failed == nil {
		var text []string
		for _, a := range g.group {
			text = append(text, a.String())
		}
		what := strings.Join(text, " or ")
		if g.by != nil {
			what = g.by.Name + " needs " + what
		}
		if why == nil {
			why = []string{"no mirror has it"}
		}
		r.failed = fmt.Errorf("%s, and %s", what, strings.Join(why, ", "))
	}
	if g.by != nil {
		all[g.by] = true
	}
	return all
}

// push puts a package's needs before other goals.
func push(goals *goal, p *Package, groups [][]Relation, soft bool) *goal {
	for _, g := range slices.Backward(groups) {
		goals = &goal{group: g, by: p, soft: soft, rest: goals}
	}
	return goals
}

// have is a chosen package that is one of the alternatives.
func (r *Resolver) have(group []Relation) *Package {
	for _, a := range group {
		if p := r.chosen[a.Name]; p != nil && a.satisfied(p) {
			return p
		}
		for _, p := range r.Index.provides[a.Name] {
			if r.chosen[p.Name] == p && a.satisfied(p) {
				return p
			}
		}
	}
	return nil
}

// candidates are the packages for a goal in the order to try them: the
// alternatives as they stand, of each the best version first, and real packages
// before what provides the name.
func (r *Resolver) candidates(group []Relation) []*Package {
	var all []*Package
	for _, a := range group {
		for _, p := range r.Index.byName[a.Name] {
			if a.allows(p.Version) {
				all = append(all, p)
			}
		}
		var providers []*Package
		for _, p := range r.Index.provides[a.Name] {
			if p.Name != a.Name && a.satisfied(p) && !r.leaveOut(p.Name) && r.Index.Find(p.Name, "") == p {
				providers = append(providers, p)
			}
		}
		slices.SortStableFunc(providers, func(p, q *Package) int {
			if c := priority(p) - priority(q); c != 0 {
				return c
			}
			return strings.Compare(p.Name, q.Name)
		})
		all = append(all, providers...)
	}
	return all
}

func priority(p *Package) int {
	return slices.Index([]string{"required", "important", "standard", "optional"}, p.Stanza.Get("Priority")) & 7
}

// excluded is a chosen package that cannot be where p is.
func (r *Resolver) excluded(p *Package) *Package {
	// In order, for the same outcome each time.
	for _, name := range slices.Sorted(maps.Keys(r.chosen)) {
		if q := r.chosen[name]; q.excludes(p) || p.excludes(q) {
			return q
		}
	}
	return nil
}

func (p *Package) String() string { return p.Name + " " + p.Version }
