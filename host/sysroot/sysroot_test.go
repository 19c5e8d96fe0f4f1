package sysroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func testRoot(t *testing.T) (*Root, string) {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"a/b", "etc/conf.d"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"a/b/file", "etc/conf.d/1.conf", "etc/conf.d/2.conf", "etc/conf.d/.hidden.conf", "etc/conf.d/x"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"abs": "/a/b", "rel": "a/b", "up": "../../../a", "self": "self", "dangling": "/none/x", "chain": "abs/../b/file", "a/b/out": "../../etc",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestResolveStaysInsideTheRoot(t *testing.T) {
	r, _ := testRoot(t)
	for _, tc := range []struct {
		path, want string
		links      []string
		err        error
	}{
		{path: "/", want: "/"},
		{path: "/a/b/file", want: "/a/b/file"},
		{path: "//a/./b/../b/file", want: "/a/b/file"},
		{path: "/../../a", want: "/a"},
		{path: "/abs/file", want: "/a/b/file", links: []string{"/abs"}},
		{path: "/rel/", want: "/a/b", links: []string{"/rel"}},
		{path: "/up/b", want: "/a/b", links: []string{"/up"}},
		{path: "/chain", want: "/a/b/file", links: []string{"/chain", "/abs"}},
		{path: "/rel/out/conf.d", want: "/etc/conf.d", links: []string{"/rel", "/a/b/out"}},
		{path: "/rel/..", want: "/a", links: []string{"/rel"}},
		{path: "/self", err: ErrLoop},
		{path: "/dangling", err: fs.ErrNotExist, links: []string{"/dangling"}},
		{path: "/a/b/file/x", err: fs.ErrNotExist},
		{path: "/none", err: fs.ErrNotExist},
	} {
		res, err := r.Resolve(tc.path)
		if !errors.Is(err, tc.err) || err == nil && res.Path != tc.want {
			t.Errorf("%s leads to %q (%v), want %q (%v)", tc.path, res.Path, err, tc.want, tc.err)
		}
		if tc.err != ErrLoop && !slices.Equal(res.Links, tc.links) {
			t.Errorf("%s passes %v, want %v", tc.path, res.Links, tc.links)
		}
	}
}

func TestGlobMatchesAComponentAtATime(t *testing.T) {
	r, _ := testRoot(t)
	for pattern, want := range map[string][]string{
		"/etc/conf.d/*.conf": {"/etc/conf.d/1.conf", "/etc/conf.d/2.conf"},
		"/*/conf.d/x":        {"/etc/conf.d/x"},
		"/a/b/file":          {"/a/b/file"},
		"/none/*":            nil,
		"/dangl*":            nil,
	} {
		if got := r.Glob(pattern); !slices.Equal(got, want) {
			t.Errorf("%s matches %v, want %v", pattern, got, want)
		}
	}
}

func TestSeenGoesStaleWithWhatWasSeen(t *testing.T) {
	look := func(t *testing.T) (*Root, string) {
		r, dir := testRoot(t)
		r.Exists("/abs/file")
		r.Exists("/a/none")
		if _, err := r.ReadDir("/etc"); err != nil {
			t.Fatal(err)
		}
		return r, dir
	}
	for _, tc := range []struct {
		name   string
		stale  bool
		change func(dir string) error
	}{
		{"nothing", false, func(string) error { return nil }},
		{"content", true, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "a/b/file"), []byte("longer than it"), 0o644)
		}},
		{"mode", true, func(dir string) error { return os.Chmod(filepath.Join(dir, "a"), 0o700) }},
		{"appeared", true, func(dir string) error { return os.WriteFile(filepath.Join(dir, "a/none"), nil, 0o644) }},
		{"listed directory", true, func(dir string) error { return os.WriteFile(filepath.Join(dir, "etc/new"), nil, 0o644) }},
		{"passed directory", false, func(dir string) error { return os.WriteFile(filepath.Join(dir, "a/new"), nil, 0o644) }},
		{"link", true, func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "abs")), os.Symlink("/a", filepath.Join(dir, "abs")))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, dir := look(t)
			seen := r.Seen()
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			stale := slices.ContainsFunc(seen, func(s Seen) bool { return !s.Fresh() })
			if stale != tc.stale {
				t.Errorf("stale is %v, want %v", stale, tc.stale)
			}
		})
	}
}
