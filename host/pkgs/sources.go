package pkgs

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is one suite of a mirror.
type Source struct {
	URI        string // without a slash at the end
	Suite      string
	Components []string
	SignedBy   []string // keyring files; none means those that apt trusts
	Keys       []byte   // a keyring in the sources themselves
	Arch       []string // none means all
}

func (s *Source) String() string { return s.URI + " " + s.Suite }

// AptDir is where sources are read: $HUSK_APT, else /etc/apt on a machine that
// has it, else the folder apt in husk's own configuration, which is for
// machines without apt.
func AptDir() string {
	if dir := os.Getenv("HUSK_APT"); dir != "" {
		return dir
	}
	const apt = "/etc/apt"
	if _, err := os.Stat(apt); err == nil {
		return apt
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return apt
	}
	return filepath.Join(dir, "husk", "apt")
}

// Sources reads what apt reads, sources.list and sources.list.d below dir.
// Sources of kinds that husk cannot fetch from are left out.
func Sources(dir string) ([]Source, error) {
	files := []string{filepath.Join(dir, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob(filepath.Join(dir, "sources.list.d", pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	var all []Source
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var got []Source
		if strings.HasSuffix(f, ".sources") {
			got, err = parseSources(string(b))
		} else {
			got, err = parseList(string(b))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		for i := range got {
			for k, by := range got[i].SignedBy {
				// A name, not a path: it is beside the sources.
				if filepath.Ext(by) != "" && !filepath.IsAbs(by) && !strings.HasPrefix(by, "/") {
					got[i].SignedBy[k] = filepath.Join(dir, by)
				}
			}
		}
		all = append(all, got...)
	}
	return all, nil
}

// parseSources reads deb822 sources, sources.list(5).
func parseSources(s string) ([]Source, error) {
	var all []Source
	// A comment between stanzas is no stanza, and one inside ends none.
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(s, "\r\n", "\n")) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	for p := range Paragraphs(strings.Join(lines, "")) {
		if !slices.Contains(strings.Fields(p.Get("Types")), "deb") || no(p.Get("Enabled")) {
			continue
		}
		base := Source{Components: strings.Fields(p.Get("Components")), Arch: strings.Fields(p.Get("Architectures"))}
		if by := p.Get("Signed-By"); strings.Contains(by, "BEGIN PGP") {
			var key []string
			for line := range strings.Lines(by) {
				if line = strings.TrimSpace(line); line == "." {
					line = ""
				}
				key = append(key, line)
			}
			base.Keys = []byte(strings.Join(key, "\n") + "\n")
		} else {
			base.SignedBy = strings.FieldsFunc(by, func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
		}
		for _, uri := range strings.Fields(p.Get("URIs")) {
			for _, suite := range strings.Fields(p.Get("Suites")) {
				one := base
				if one.URI, one.Suite = uri, suite; one.foreign() {
					continue
				}
				if err := one.check(); err != nil {
					return nil, err
				}
				all = append(all, one)
			}
		}
	}
	return all, nil
}

func no(s string) bool {
	return slices.Contains([]string{"no", "false", "without", "off", "disable"}, strings.ToLower(s))
}

// parseList reads the form of one line each.
func parseList(s string) ([]Source, error) {
	var all []Source
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" {
			continue
		}
		var src Source
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, fmt.Errorf("the line %q has no ]", strings.TrimSpace(line))
			}
			rest = after
			for _, o := range strings.Fields(options) {
				switch k, v, _ := strings.Cut(o, "="); k {
				case "arch":
					src.Arch = strings.Split(v, ",")
				case "signed-by":
					src.SignedBy = strings.Split(v, ",")
				}
			}
		}
		f := strings.Fields(rest)
		if len(f) < 2 && !strings.HasPrefix(rest, "cdrom:") {
			return nil, fmt.Errorf("the line %q names no suite", strings.TrimSpace(line))
		}
		src.URI, src.Suite, src.Components = f[0], f[1], f[2:]
		if src.foreign() {
			continue
		}
		if err := src.check(); err != nil {
			return nil, err
		}
		all = append(all, src)
	}
	return all, nil
}

// foreign is whether apt has a way to it that husk has not, like cdrom.
func (s *Source) foreign() bool {
	scheme, _, ok := strings.Cut(s.URI, ":")
	return ok && !slices.Contains([]string{"http", "https", "file", "copy"}, strings.ToLower(scheme))
}

// check refuses what husk cannot fetch from.
func (s *Source) check() error {
	s.URI = strings.TrimRight(s.URI, "/")
	if rest, ok := strings.CutPrefix(s.URI, "copy:"); ok {
		s.URI = "file:" + rest
	}
	u, err := url.Parse(s.URI)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"http", "https", "file"}, u.Scheme) {
		return fmt.Errorf("the mirror %s is neither http, https nor file", s.URI)
	}
	if u.Host == "" && u.Scheme != "file" || u.Path == "" && u.Scheme == "file" {
		return fmt.Errorf("the mirror %s is no address", s.URI)
	}
	if strings.Contains(s.Suite, "..") {
		return fmt.Errorf("the suite %s leads elsewhere", s.Suite)
	}
	if len(s.Components) == 0 && !strings.HasSuffix(s.Suite, "/") {
		return fmt.Errorf("%s names no components", s)
	}
	return nil
}

// dist is where the suite's InRelease is.
func (s *Source) dist() string {
	if strings.HasSuffix(s.Suite, "/") {
		return strings.TrimRight(s.URI+"/"+strings.Trim(s.Suite, "/"), "/")
	}
	return s.URI + "/dists/" + s.Suite
}

// Mirror makes the source of a mirror that the user names; an empty keyring
// stands for the keys that apt trusts.
func Mirror(address, suite string, components []string, keyring string) ([]Source, error) {
	s := Source{URI: address, Suite: suite, Components: components}
	if keyring != "" {
		s.SignedBy = []string{keyring}
	}
	err := s.check()
	return []Source{s}, err
}
