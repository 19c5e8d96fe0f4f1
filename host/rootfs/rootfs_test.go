package rootfs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"husk/host/elfdeps"
	"husk/host/elfdeps/elftest"
)

// prog stands in a table of files for a static program.
const prog = "\x00program"

// hostRoot writes files into a fresh directory: content, prog, "-> target"
// for a link, or "/" for a directory. Names that begin with bin are
// executable.
func hostRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p, content := filepath.Join(dir, name), files[name]
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "-> "); {
		case link:
			err = os.Symlink(target, p)
		case content == "/":
			err = os.MkdirAll(p, 0o755)
		case content == prog:
			err = os.WriteFile(p, elftest.StaticProgram(), 0o755)
		default:
			mode := fs.FileMode(0o644)
			if strings.Contains(name, "bin/") {
				mode = 0o755
			}
			err = os.WriteFile(p, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func want(t *testing.T, tr *Tree, paths ...string) {
	t.Helper()
	for _, p := range paths {
		p, target, link := strings.Cut(p, " -> ")
		n := tr.Lookup(p)
		switch {
		case n == nil:
			t.Errorf("%s is missing", p)
		case link && n.Target != target:
			t.Errorf("%s leads to %q, want %q", p, n.Target, target)
		}
	}
}

func TestScriptsPullInTheirInterpreters(t *testing.T) {
	root := hostRoot(t, map[string]string{
		"usr/bin/real": prog, "usr/bin/env": prog, "bin": "-> usr/bin",
		"usr/bin/one":   "#!/bin/real -x\n",
		"usr/bin/two":   "#! /bin/one arg\nbody",
		"usr/bin/three": "#!/usr/bin/env -S A=b two --opt\n",
		"usr/bin/four":  "#!/usr/bin/env\ttwo\n",
	})
	for _, p := range []string{"/bin/three", "/bin/four", "three"} {
		tr, err := Build(Options{Program: p, Sysroot: root, Env: []string{"PATH=/bin"}})
		if err != nil {
			t.Fatal(err)
		}
		want(t, tr, "/bin -> usr/bin", "/usr/bin/env", "/usr/bin/two", "/usr/bin/one", "/usr/bin/real")
		if !strings.HasPrefix(tr.Program, "/bin/") {
			t.Errorf("the program stands at %s", tr.Program)
		}
	}
}

func TestScriptErrorsSayWhatIsMissing(t *testing.T) {
	root := hostRoot(t, map[string]string{
		"bin/a": "#!/bin/gone\n", "bin/b": "#!relative\n", "bin/c": "#!\n", "bin/d": "#!/bin/env gone\n", "bin/env": prog,
		"bin/loop": "#!/bin/loop\n", "bin/text": "no script", "etc/plain": "#!/bin/env",
	})
	for p, text := range map[string]string{
		"/bin/a": "the interpreter /bin/gone of /bin/a does not exist", "/bin/b": "not an absolute path", "/bin/c": "names no interpreter",
		"/bin/d": "the interpreter gone of /bin/d", "/bin/loop": "more than 5 scripts", "/bin/text": "not an ELF executable",
		"/etc/plain": "not executable", "/bin": "directory", "/none": "no such file",
	} {
		if _, err := Build(Options{Program: p, Sysroot: root}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want %q", p, err, text)
		}
	}
	var nf *elfdeps.NotFoundError
	if _, err := Build(Options{Program: "/bin/a", Sysroot: root}); !errors.As(err, &nf) || nf.Name != "/bin/gone" {
		t.Errorf("error %v, want a NotFoundError", err)
	}
}

func TestLinksOnTheWayAreKept(t *testing.T) {
	root := hostRoot(t, map[string]string{
		"opt/v2/bin/p": prog, "opt/current": "-> v2", "usr/bin/p": "-> ../../etc/alt/p", "etc/alt/p": "-> /opt/current/bin/p", "bin": "-> usr/bin",
	})
	tr, err := Build(Options{Program: "/bin/p", Sysroot: root, Cwd: "/work/here"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, tr, "/bin -> usr/bin", "/usr/bin/p -> ../../etc/alt/p", "/etc/alt/p -> /opt/current/bin/p", "/opt/current -> v2", "/opt/v2/bin/p",
		"/work/here", "/tmp", "/proc", "/dev", "/etc/passwd", "/etc/mtab -> ../proc/self/mounts")
	if m := tr.Lookup("/tmp").Mode; m&0o7777 != 0o1777 {
		t.Errorf("/tmp has mode %#o", m)
	}
}

func TestHostProgramStandsAtItsOwnPath(t *testing.T) {
	root := hostRoot(t, map[string]string{"etc/hosts": "h"})
	host := hostRoot(t, map[string]string{"bin/p": prog, "bin/q": "-> p"})
	for _, name := range []string{"p", "q"} {
		p := filepath.Join(host, "bin", name)
		tr, err := Build(Options{Program: p, Sysroot: root})
		if err != nil {
			t.Fatal(err)
		}
		if n := tr.Lookup(p); tr.Program != p || n == nil || !n.IsRegular() {
			t.Errorf("the program stands at %s as %+v", tr.Program, n)
		}
		want(t, tr, "/etc/hosts")
	}
}

func TestLanguageTreesAndTheirLinks(t *testing.T) {
	root := hostRoot(t, map[string]string{
		"usr/bin/python3": "-> python3.11", "usr/bin/python3.11": prog,
		"usr/lib/python3.11/json/__init__.py": "x", "usr/lib/python3.11/sitecustomize.py": "-> /etc/python3.11/sitecustomize.py",
		"etc/python3.11/sitecustomize.py": "s", "usr/lib/python3.11/test/t.py": "t", "usr/lib/python3/dist-packages/p.py": "p",
		"usr/lib/python3.9/old.py": "o", "usr/lib/python3.11/a.opt-1.pyc": "o", "usr/lib/python3.11/loop": "-> .",
		"venv/pyvenv.cfg": "home=/usr/bin", "venv/bin/python": "-> /usr/bin/python3", "venv/lib/python3.11/site-packages/v.py": "v",
		"bin/script":   "#!/venv/bin/python\n",
		"usr/bin/perl": prog, "usr/share/perl5/M.pm": "m", "usr/lib/x86_64-linux-gnu/perl/5.36/POSIX.pm": "p",
	})
	tr, err := Build(Options{Program: "/bin/script", Sysroot: root})
	if err != nil {
		t.Fatal(err)
	}
	want(t, tr, "/venv/bin/python -> /usr/bin/python3", "/venv/lib/python3.11/site-packages/v.py", "/venv/pyvenv.cfg",
		"/usr/lib/python3.11/json/__init__.py", "/etc/python3.11/sitecustomize.py", "/usr/lib/python3/dist-packages/p.py")
	for _, p := range []string{"/usr/lib/python3.11/test", "/usr/lib/python3.9", "/usr/lib/python3.11/a.opt-1.pyc", "/usr/bin/perl"} {
		if tr.Lookup(p) != nil {
			t.Errorf("%s was gathered", p)
		}
	}
	tr, bad, err := BuildMany([]string{"perl", "/usr/bin/python3", "/usr/bin/none"}, Options{Sysroot: root})
	if err != nil {
		t.Fatal(err)
	}
	want(t, tr, "/usr/share/perl5/M.pm", "/usr/lib/x86_64-linux-gnu/perl/5.36/POSIX.pm", "/usr/lib/python3.11/json/__init__.py")
	if len(bad) != 1 || !errors.Is(bad["/usr/bin/none"], fs.ErrNotExist) {
		t.Errorf("errors %v, want one for /usr/bin/none", bad)
	}
}

func TestFromDirTakesEverythingAsItIs(t *testing.T) {
	dir := hostRoot(t, map[string]string{"a/b/c": "1", "l": "-> /outside", "a/up": "-> ..", "empty": "/"})
	if err := os.Link(filepath.Join(dir, "a/b/c"), filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	tr, err := FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, tr, "/a/b/c", "/l -> /outside", "/a/up -> ..", "/empty")
	if tr.Lookup("/hard") != tr.Lookup("/a/b/c") {
		t.Error("hard links have become two files")
	}
	files, bytes := tr.Stats()
	if files != 7 || bytes != 1 {
		t.Errorf("%d files of %d bytes, want 7 of 1", files, bytes)
	}
}

func TestDigestFollowsTheTree(t *testing.T) {
	make1 := func() *Tree {
		tr := NewTree()
		for _, p := range []string{"/a/x", "/b/y"} {
			if err := tr.WriteFile(p, []byte(p), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	base := make1().Digest()
	if make1().Digest() != base {
		t.Error("equal trees have different digests")
	}
	for name, change := range map[string]func(*Tree){
		"mode": func(t *Tree) { t.Lookup("/a/x").Mode ^= 1 },
		"data": func(t *Tree) { t.Lookup("/a/x").Data[0]++ },
		"time": func(t *Tree) { t.Lookup("/a").Mtime++ },
		"name": func(t *Tree) { _ = t.Put("/a/z", t.Lookup("/b/y")) },
		"place": func(t *Tree) {
			d := t.Lookup("/a")
			d.children["y"], d.children["x"] = d.children["x"], nil
			delete(d.children, "x")
		},
	} {
		tr := make1()
		change(tr)
		if tr.Digest() == base {
			t.Errorf("a changed %s does not change the digest", name)
		}
	}
}
