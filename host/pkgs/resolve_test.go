package pkgs

import (
	"fmt"
	"strings"
	"testing"
)

// indexOf reads lines like "NAME VERSION; Depends: …; Provides: …".
func indexOf(t *testing.T, lines ...string) *Index {
	t.Helper()
	ix := &Index{byName: map[string][]*Package{}, provides: map[string][]*Package{}}
	var b strings.Builder
	for _, l := range lines {
		f := strings.Split(l, "; ")
		name, version, _ := strings.Cut(f[0], " ")
		if version == "" {
			version = "1"
		}
		fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: amd64\n%s\n\n", name, version, strings.Join(f[1:], "\n"))
	}
	ix.add(b.String(), &Source{}, "amd64", 0)
	return ix
}

func TestClosure(t *testing.T) {
	for _, c := range []struct {
		name, want string // names in order, or "! words of the error"
		ask        string
		index      []string
	}{
		{"what is needed comes first", "c b a", "a", []string{"a; Depends: b", "b; Pre-Depends: c", "c"}},
		{"circles are cut", "b a", "a", []string{"a; Depends: b", "b; Depends: a"}},
		{"the first alternative there is", "c a", "a", []string{"a; Depends: b | c | d", "c", "d"}},
		{"an alternative that is there already", "d a", "a", []string{"a; Depends: d, c | d", "c", "d"}},
		{"an alternative that something later brings is not foreseen", "c d a", "a", []string{"a; Depends: c | d, d", "c", "d"}},
		{"versions", "b a", "a", []string{"a; Depends: b (>= 2), b (<< 3)", "b 2.5"}},
		{"no version fits", "! a needs b (>= 2), and no mirror has it", "a", []string{"a; Depends: b (>= 2)", "b 1"}},
		{"a real package before a provider", "b a", "a", []string{"a; Depends: b", "b", "c; Provides: b"}},
		{"a provider", "c a", "a", []string{"a; Depends: b", "c; Provides: b"}},
		{"the provider of the highest priority", "y a", "a", []string{"a; Depends: b", "x; Priority: optional; Provides: b", "y; Priority: required; Provides: b"}},
		{"a provision without a version fits none", "! a needs b (>= 1)", "a", []string{"a; Depends: b (>= 1)", "c; Provides: b"}},
		{"a provision with a version", "c a", "a", []string{"a; Depends: b (>= 1)", "c; Provides: b (= 1.2)"}},
		{"a name that only providers have", "c", "b", []string{"c; Provides: b"}},
		{"what conflicts is gone around", "c d a", "a", []string{"a; Depends: b | c, d", "b; Conflicts: d", "c", "d"}},
		{"also a package deep below", "e f a", "a", []string{"a; Depends: b | e, f", "b; Depends: c", "c; Breaks: f", "e", "f"}},
		{"and told otherwise", "! c does", "a", []string{"a; Depends: b, c", "b", "c; Conflicts: b"}},
		{"conflicts count both ways", "! c 1 does not go with b 1", "a", []string{"a; Depends: b, c", "b; Conflicts: c", "c"}},
		{"a package does not exclude itself", "b a", "a", []string{"a; Depends: b", "b; Provides: v; Conflicts: v"}},
		{"two that provide and exclude the same", "! does not go with", "a", []string{"a; Depends: b, c", "b; Provides: v; Conflicts: v", "c; Provides: v; Conflicts: v"}},
		{"an older version if the newest does not go", "b a", "a", []string{"a; Depends: b", "b 2; Depends: nothing", "b 1"}},
		{"one version of a name", "! d", "a", []string{"a; Depends: b (= 1), c", "c; Depends: b (= 2)", "b 1", "b 2", "d"}},
		{"other machines' conflicts do not count", "b c a", "a", []string{"a; Depends: b, c", "b; Conflicts: c:i386", "c"}},
		{"any machine's program", "b a", "a", []string{"a; Depends: b:any", "b"}},
		{"what installing needs is left out", "a", "a", []string{"a; Depends: debconf (>= 0.5) | debconf-2.0, adduser", "adduser", "debconf"}},
		{"unless it is asked for", "b adduser a", "a adduser", []string{"a; Depends: adduser", "adduser; Depends: b", "b"}},
		{"two at once", "c a b", "a b", []string{"a; Depends: c", "b; Depends: c", "c"}},
		{"a version that was asked for", "b a", "a=1", []string{"a 2", "a 1; Depends: b", "b"}},
		{"and is not there", "! no mirror has a package a=3", "a=3", []string{"a 2"}},
		{"nothing of the name", "! no mirror has a package b", "b", []string{"a"}},
	} {
		ix := indexOf(t, c.index...)
		for name := range ix.byName {
			sortBest(ix.byName[name])
		}
		ps, err := (&Resolver{Index: ix}).Closure(strings.Fields(c.ask))
		if want, bad := strings.CutPrefix(c.want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), want) && want != "d" && want != "c does" {
				t.Errorf("%s: error %v, want %q; got %v", c.name, err, want, ps)
			}
			continue
		}
		var got []string
		for _, p := range ps {
			got = append(got, p.Name)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestRecommendedPackagesMayBeMissing(t *testing.T) {
	ix := indexOf(t, "a; Depends: b; Recommends: c, nothing, d", "b", "c", "d; Conflicts: b")
	ps, err := (&Resolver{Index: ix, Recommends: true}).Closure([]string{"a"})
	if got := fmt.Sprint(ps); err != nil || got != "[b 1 c 1 a 1]" {
		t.Errorf("%s %v", got, err)
	}
}

// TestSearchIsNotThrownOffByWhatHasNoPart has a bad first choice, then many
// choices that do not matter, then the dead end: trying those all would take
// 3^60 steps.
func TestSearchIsNotThrownOffByWhatHasNoPart(t *testing.T) {
	needs := []string{"bad | good"}
	lines := []string{"bad; Conflicts: last", "good", "last"}
	for i := range 60 {
		needs = append(needs, fmt.Sprintf("x%d | y%d | z%d", i, i, i))
		for _, c := range "xyz" {
			lines = append(lines, fmt.Sprintf("%c%d", c, i))
		}
	}
	lines = append(lines, "a; Depends: "+strings.Join(append(needs, "last"), ", "))
	r := Resolver{Index: indexOf(t, lines...)}
	ps, err := r.Closure([]string{"a"})
	if err != nil || len(ps) != 63 || r.steps > 1000 {
		t.Errorf("%d packages in %d steps, %v", len(ps), r.steps, err)
	}
}

func FuzzClosure(f *testing.F) {
	f.Add("a; Depends: b | c, d\nb 2; Conflicts: d\nc; Provides: d (= 1)\nd")
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		if len(lines) > 12 || len(s) > 400 {
			return
		}
		ix := indexOf(t, lines...)
		r := Resolver{Index: ix, Recommends: true}
		ps, err := r.Closure([]string{"a"})
		if err != nil {
			return
		}
		for _, p := range ps {
			for _, q := range ps {
				if p.excludes(q) {
					t.Errorf("%s and %s are both there", p, q)
				}
			}
			for _, g := range p.relations().depends {
				if r.have(g) == nil && !r.leaveOut(g[0].Name) && len(g) == 1 {
					t.Errorf("%s needs %v", p, g)
				}
			}
		}
	})
}
