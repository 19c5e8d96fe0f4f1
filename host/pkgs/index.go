package pkgs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"husk/host/oci"
	"husk/host/store"
)

// Package is one that a mirror has.
type Package struct {
	Name, Version, Arch string
	Source              *Source
	Stanza              Paragraph

	// rank orders the packages of a name before their versions do: those
	// of a suite that is not for every day come last.
	rank    int
	related *relations
}

// Index is all packages of all sources.
type Index struct {
	byName   map[string][]*Package // best first
	provides map[string][]*Package
	Warnings []string
	left     []string // sources without which it had to be done
}

// Options say where packages come from.
type Options struct {
	Sources []Source
	Arch    string // amd64 unless set
	Bars    oci.Bars
	// Refresh asks the mirrors even if they were asked a moment ago.
	Refresh bool
	Now     time.Time // of signatures; the zero time is now
}

// fresh is how long a mirror is not asked again.
const fresh = time.Hour

// Bounds of what a mirror may make us read.
const (
	maxRelease  = 16 << 20
	maxPackages = 1 << 30
)

// Cache opens the cache of indexes and packages in $XDG_CACHE_HOME/husk. It is
// laid out as an image store, for the sake of its locks and its downloads that
// go on; everything in it can be fetched again.
func Cache() (*store.Store, error) {
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return nil, err
		}
	}
	return store.At(filepath.Join(dir, "husk", "packages"))
}

// What the cache keeps: what was used within a month, as long as that is not
// too much.
const (
	cacheTime  = 30 * 24 * time.Hour
	cacheBytes = 4 << 30
)

// Tidy removes what was not used for long, unless the cache is in use.
func Tidy(c *store.Store) error {
	_, err := c.Expire(time.Now().Add(-cacheTime), cacheBytes, 0)
	if errors.Is(err, store.ErrBusy) {
		return nil
	}
	return err
}

// Open reads the indexes of all sources, fetching what is not cached.
func Open(ctx context.Context, u *store.Use, o Options) (*Index, error) {
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if len(o.Sources) == 0 {
		return nil, errors.New("no mirror of packages is known: apt's sources name none; give --mirror URL --suite SUITE --keyring FILE, or sources as apt has them with --apt DIR")
	}
	ix := &Index{byName: map[string][]*Package{}, provides: map[string][]*Package{}}
	var first error
	good := 0
	for i := range o.Sources {
		s := &o.Sources[i]
		if len(s.Arch) > 0 && !slices.Contains(s.Arch, o.Arch) {
			continue
		}
		err := ix.source(ctx, u, o, s)
		if err == nil {
			good++
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// As apt does: what others have can be had all the same.
		err = fmt.Errorf("packages of %s: %w", s, err)
		if first == nil {
			first = err
		}
		ix.Warnings = append(ix.Warnings, err.Error()+" (done without)")
		ix.left = append(ix.left, s.String())
	}
	if good == 0 && first != nil {
		return nil, first
	}
	for _, ps := range ix.byName {
		sortBest(ps)
	}
	return ix, nil
}

// sortBest puts the package of a name that is to be taken first.
func sortBest(ps []*Package) {
	slices.SortStableFunc(ps, func(a, b *Package) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return Compare(b.Version, a.Version)
	})
}

// leftOut is for an error that a missing source may be the reason of.
func (ix *Index) leftOut() string {
	if len(ix.left) == 0 {
		return ""
	}
	return "; left out were " + strings.Join(ix.left, ", ")
}

func (ix *Index) source(ctx context.Context, u *store.Use, o Options, s *Source) error {
	release, err := ix.release(ctx, u, o, s)
	if err != nil {
		return err
	}
	rank := 0
	if release.Get("NotAutomatic") == "yes" {
		rank = 1
	}
	files := checksums(release)
	byHash := release.Get("Acquire-By-Hash") == "yes"
	dirs := []string{""}
	if !strings.HasSuffix(s.Suite, "/") {
		dirs = nil
		forAll := slices.Contains(strings.Fields(release.Get("Architectures")), "all") && release.Get("No-Support-for-Architecture-all") != "Packages"
		for _, c := range s.Components {
			dirs = append(dirs, c+"/binary-"+o.Arch+"/")
			// Where those for all architectures are not repeated there.
			if all := c + "/binary-all/"; forAll && has(files, all) {
				dirs = append(dirs, all)
			}
		}
	}
	found := false
	for _, dir := range dirs {
		if !has(files, dir) {
			continue
		}
		found = true
		text, err := packages(ctx, u, o, s, dir, files, byHash)
		if err != nil {
			return err
		}
		ix.add(text, s, o.Arch, rank)
	}
	if !found {
		return fmt.Errorf("its InRelease names no %s", strings.Join(withName(dirs), " or "))
	}
	return nil
}

func withName(dirs []string) []string {
	var all []string
	for _, d := range dirs {
		all = append(all, d+"Packages")
	}
	return all
}

// has is whether there is an index in a directory, however it is compressed.
func has(files map[string]checksum, dir string) bool {
	return slices.ContainsFunc(compressions, func(ext string) bool { _, ok := files[dir+"Packages"+ext]; return ok })
}

// compressions of indexes, the smallest first.
var compressions = []string{".xz", ".bz2", ".gz", ""}

// release gives what the suite's InRelease says, after its signature held.
func (ix *Index) release(ctx context.Context, u *store.Use, o Options, s *Source) (Paragraph, error) {
	keys, err := s.keys()
	if err != nil {
		return "", err
	}
	address := s.dist() + "/InRelease"
	sum := sha256.Sum256([]byte(address))
	dir := filepath.Join(u.Dir, "releases")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, hex.EncodeToString(sum[:]))
	check := func(b []byte) (Paragraph, error) {
		text, err := verify(b, keys, o.Now)
		if err != nil {
			return "", fmt.Errorf("%s: %w", address, err)
		}
		p := Paragraph(strings.ReplaceAll(text, "\r\n", "\n"))
		if until := p.Get("Valid-Until"); until != "" {
			t, err := time.Parse(time.RFC1123, until)
			if err != nil {
				return "", fmt.Errorf("%s: Valid-Until: %w", address, err)
			}
			if o.Now.After(t) {
				return "", fmt.Errorf("%s: it was valid until %s only: the mirror is out of date", address, until)
			}
		}
		// Another suite with the right signature is still another suite.
		if suite, code := p.Get("Suite"), p.Get("Codename"); suite+code != "" && !strings.HasSuffix(s.Suite, "/") {
			want, _, _ := strings.Cut(s.Suite, "/")
			if want != suite && want != code && s.Suite != suite && s.Suite != code {
				return "", fmt.Errorf("%s: it is signed for the suite %s (%s), not for %s", address, suite, code, s.Suite)
			}
		}
		return p, nil
	}
	old, oldErr := os.ReadFile(file)
	if st, err := os.Stat(file); oldErr == nil && err == nil && !o.Refresh && time.Since(st.ModTime()) < fresh && time.Since(st.ModTime()) >= 0 {
		if p, err := check(old); err == nil {
			return p, nil
		}
	}
	b, err := small(ctx, address)
	if err != nil {
		// A mirror out of reach is no reason to stop, as long as what it
		// said last still holds.
		if p, e := check(old); oldErr == nil && e == nil && ctx.Err() == nil {
			ix.Warnings = append(ix.Warnings, fmt.Sprintf("%s is used as it was: %v", s, err))
			return p, nil
		}
		return "", err
	}
	p, err := check(b)
	if err != nil {
		return "", err
	}
	// A mirror that lags behind, or pretends to, takes nothing back.
	if q, e := check(old); oldErr == nil && e == nil && released(q).After(released(p)) {
		ix.Warnings = append(ix.Warnings, fmt.Sprintf("%s is used as it was: the mirror has an older state", s))
		return q, nil
	}
	return p, replace(file, b)
}

func released(p Paragraph) time.Time {
	t, err := time.Parse(time.RFC1123, p.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// replace writes a file that appears whole.
func replace(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		if err = os.Rename(f.Name(), file); err == nil {
			return nil
		}
	}
	os.Remove(f.Name())
	return err
}

func small(ctx context.Context, address string) ([]byte, error) {
	body, _, err := open(ctx, address, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxRelease+1))
	if err == nil && len(b) > maxRelease {
		err = fmt.Errorf("%s: it is too long", address)
	}
	return b, err
}

type checksum struct {
	sum  string
	size int64
}

// checksums reads the SHA256 field of a Release.
func checksums(p Paragraph) map[string]checksum {
	files := map[string]checksum{}
	for line := range strings.Lines(p.Get("SHA256")) {
		f := strings.Fields(line)
		if len(f) != 3 || len(f[0]) != 2*sha256.Size {
			continue
		}
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n >= 0 {
			files[f[2]] = checksum{f[0], n}
		}
	}
	return files
}

// packages gives the text of one Packages file, from the cache if it is there.
func packages(ctx context.Context, u *store.Use, o Options, s *Source, dir string, files map[string]checksum, byHash bool) (string, error) {
	limit := int64(maxPackages)
	var want v1.Hash
	if plain, ok := files[dir+"Packages"]; ok {
		if limit = plain.size; limit > maxPackages {
			return "", fmt.Errorf("%sPackages is too long", dir)
		}
		if limit == 0 {
			return "", nil
		}
		var err error
		if want, err = v1.NewHash("sha256:" + plain.sum); err != nil {
			return "", err
		}
		if text, ok, err := cached(u, want, limit); ok || err != nil {
			return text, err
		}
	}
	err := fmt.Errorf("%s/%sPackages: %w", s.dist(), dir, errGone)
	for _, ext := range compressions {
		f, ok := files[dir+"Packages"+ext]
		if !ok {
			continue
		}
		address := s.dist() + "/" + dir + "Packages" + ext
		var got string
		if byHash {
			got, err = download(ctx, u, s.dist()+"/"+dir+"by-hash/SHA256/"+f.sum, f.sum, f.size, o.Bars, s.Suite)
		}
		if !byHash || errors.Is(err, errGone) {
			got, err = download(ctx, u, address, f.sum, f.size, o.Bars, s.Suite)
		}
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return "", err
		}
		b, err := unpackIndex(got, limit)
		if err == nil && int64(len(b)) > limit {
			err = errors.New("it is too long")
		}
		if err == nil && want != (v1.Hash{}) && ext != "" {
			// The next time it need not be unpacked.
			if _, err = u.Copy(bytes.NewReader(b), want, "text/plain"); err == nil {
				os.Remove(got)
			}
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", address, err)
		}
		return string(b), nil
	}
	return "", err
}

// cached is an index that was unpacked before, if it is what it should be.
func cached(u *store.Use, want v1.Hash, size int64) (string, bool, error) {
	if !u.Has(want, size) {
		return "", false, nil
	}
	b, err := os.ReadFile(u.Path(want))
	if err != nil {
		return "", false, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) == want.Hex {
		u.Touch(want)
		return string(b), true, nil
	}
	return "", false, os.Remove(u.Path(want))
}

func unpackIndex(file string, size int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := oci.Decompress(f)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(io.LimitReader(d, size+1))
}

// add takes in one Packages file.
func (ix *Index) add(text string, s *Source, arch string, rank int) {
	for p := range Paragraphs(text) {
		k := &Package{Source: s, Stanza: p, rank: rank}
		provides := ""
		for name, v := range p.Fields() {
			switch name {
			case "Package":
				k.Name = v
			case "Version":
				k.Version = v
			case "Architecture":
				k.Arch = v
			case "Provides":
				provides = v
			}
		}
		if k.Name == "" || k.Version == "" || k.Arch != arch && k.Arch != "all" {
			continue
		}
		ix.byName[k.Name] = append(ix.byName[k.Name], k)
		for _, group := range ParseRelations(provides) {
			for _, r := range group {
				ix.provides[r.Name] = append(ix.provides[r.Name], k)
			}
		}
	}
}

// Find is the best package of a name that fits a version, "" for any, or nil.
func (ix *Index) Find(name, version string) *Package {
	for _, p := range ix.byName[name] {
		if version == "" || p.Version == version {
			return p
		}
	}
	return nil
}

// Search lists the packages whose name or summary has all words, by name.
func (ix *Index) Search(words []string) []*Package {
	var found []*Package
	for name, ps := range ix.byName {
		text := strings.ToLower(name + " " + ps[0].Summary())
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, strings.ToLower(w)) }) {
			found = append(found, ps[0])
		}
	}
	slices.SortFunc(found, func(a, b *Package) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// Summary is the first line of the description.
func (p *Package) Summary() string {
	s, _, _ := strings.Cut(p.Stanza.Get("Description"), "\n")
	return s
}

// Fetch gets the package's file into the cache.
func (p *Package) Fetch(ctx context.Context, u *store.Use, bars oci.Bars) (string, error) {
	size, err := strconv.ParseInt(p.Stanza.Get("Size"), 10, 64)
	if err != nil || size <= 0 {
		return "", fmt.Errorf("package %s: the index tells no size", p.Name)
	}
	name := p.Stanza.Get("Filename")
	if name == "" || path.Clean("/"+name) != "/"+strings.TrimPrefix(name, "./") {
		return "", fmt.Errorf("package %s: the index names the file %q", p.Name, name)
	}
	f, err := download(ctx, u, p.Source.URI+"/"+strings.TrimPrefix(name, "./"), p.Stanza.Get("SHA256"), size, bars, p.Name)
	if err != nil {
		return "", fmt.Errorf("package %s: %w", p.Name, err)
	}
	return f, nil
}
