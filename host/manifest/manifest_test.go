package manifest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"husk/host/rootfs"
)

// files makes a directory of these; a value of "->x" is a link, of "/" a
// directory.
func files(t *testing.T, m map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range m {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "->"); {
		case link:
			err = os.Symlink(target, p)
		case content == "/":
			err = os.MkdirAll(p, 0o755)
		default:
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list names each file of a tree with what it holds.
func list(t *testing.T, tree *rootfs.Tree) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := tree.Walk(func(p string, n *rootfs.Node) error {
		switch {
		case n.IsLink():
			got[p] = "->" + n.Target
		case n.IsRegular():
			b, err := os.ReadFile(n.Host)
			got[p] = string(b)
			return err
		case len(n.Names()) == 0:
			got[p] = "/"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestManifestPlacesWhatItsLinesSay(t *testing.T) {
	dir := files(t, map[string]string{
		"m": `[manifest]
# comment
  # another

/bin/hello: build/hello
/linked: link
/kept: !link
/lib/**: libs/**
/&/etc/hosts: static/&
/etc/mtab: ->/proc/mounts
/opt/%x: %(here)s/y%%: ignored: too
/var/empty: libs
include more/other
`,
		"build/hello":      "hello",
		"link":             "->build/hello",
		"libs/a.so":        "a",
		"libs/sub/b.so":    "b",
		"libs/sub/c.so":    "->b.so",
		"libs/none":        "/",
		"libs/dir":         "->sub",
		"static/etc/hosts": "hosts",
		"opt/y%":           "y",
		"more/other":       "/bin/hello: hello2\n",
		"more/hello2":      "hello two",
	})
	entries, err := Read(filepath.Join(dir, "m"), map[string]string{"here": "opt"})
	if err != nil {
		t.Fatal(err)
	}
	tree := rootfs.NewTree()
	if err := Place(tree, entries); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/bin/hello": "hello two", "/linked": "hello", "/kept": "->build/hello",
		"/lib/a.so": "a", "/lib/sub/b.so": "b", "/lib/sub/c.so": "b", "/lib/none": "/", "/lib/dir": "->sub",
		"/etc/hosts": "hosts", "/etc/mtab": "->/proc/mounts", "/opt/%x": "y", "/var/empty": "/",
	}
	got := list(t, tree)
	for p := range want {
		if got[p] != want[p] {
			t.Errorf("%s: %q, want %q", p, got[p], want[p])
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("also %q", got)
	}
}

func TestManifestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no colon", "\n/bin/x\n", ":2: expected"},
		{"relative", "bin/x: x\n", ":1: the guest path \"bin/x\" is not absolute"},
		{"empty", "/x: ->\n", ":1: names no host path"},
		{"variable", "/x: %(who)s/x\n", ":1: the variable who has no value"},
		{"percent", "/x: 50%\n", ":1: a percent sign"},
		{"cycle", "include m\n", "includes itself"},
		{"no include", "include none\n", ":1: read the manifest: "},
		{"missing", "# x\n/x: none\n", ":2: "},
		{"through a file", "/a: m\n/a/b: m\n", ":2: /a/b: a is not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := files(t, map[string]string{"m": c.text})
			entries, err := Read(filepath.Join(dir, "m"), nil)
			if err == nil {
				err = Place(rootfs.NewTree(), entries)
			}
			var own *Error
			if !errors.As(err, &own) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := Read("none", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestGeneratedManifestIsReadBack(t *testing.T) {
	dir := files(t, map[string]string{"app/a": "a", "app/sub/b": "b"})
	for _, c := range []struct {
		name  string
		q     Request
		lines []string
		files []string
	}{
		{
			"program",
			Request{Name: "ls"},
			[]string{"# (PIE) Position Independent Executable", "/ls: ", "# Dependencies        "},
			[]string{"/ls"},
		},
		{"library", Request{Name: "libc.so.6", Library: true}, []string{"# Shared library", "/usr/lib/libc.so.6: "}, []string{"/usr/lib/libc.so.6"}},
		{"directory", Request{Name: filepath.Join(dir, "app")}, []string{"/**: "}, []string{"/a", "/sub/b"}},
		{"part", Request{Name: filepath.Join(dir, "app"), Subdirectory: "sub", Resolve: true}, []string{"/sub/**: "}, []string{"/sub/b"}},
		{
			"at its path",
			Request{Name: filepath.Join(dir, "app"), HostRoot: true},
			[]string{dir + "/app/**: "},
			[]string{dir + "/app/a"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := Generate(c.q)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range c.lines {
				if !strings.Contains("\n"+g.Text, "\n"+l) {
					t.Errorf("no line %q in\n%s", l, g.Text)
				}
			}
			m := filepath.Join(t.TempDir(), "m")
			if err := os.WriteFile(m, []byte(g.Text), 0o644); err != nil {
				t.Fatal(err)
			}
			entries, err := Read(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			tree := rootfs.NewTree()
			if err := Place(tree, entries); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.files {
				if tree.Lookup(p) == nil {
					t.Errorf("no %s in the tree", p)
				}
			}
		})
	}
	for _, q := range []Request{{Name: "no-such-program"}, {Name: "no-such-lib.so", Library: true}, {Name: filepath.Join(dir, "app/a")}} {
		if g, err := Generate(q); err == nil {
			t.Errorf("%v gave %q", q, g.Text)
		}
	}
	if g, err := Generate(Request{Name: "no-such-lib.so", Library: true, IgnoreMissing: true}); err != nil || g.Text != "" {
		t.Errorf("ignoring what is missing: %v, %v", g, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("/a: b\n/x/**: y/**\n/l: ->t\n%(v)s: %%\ninclude m\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(m, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		entries, err := Read(m, map[string]string{"v": "x"})
		if err != nil {
			return
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Guest, "/") || e.Host == "" {
				t.Errorf("entry %+v", e)
			}
		}
	})
}
