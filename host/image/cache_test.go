package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"husk/host/elfdeps/elftest"
	"husk/host/rootfs"
	"husk/host/sysroot"
)

func testCache(t *testing.T) *Cache {
	return &Cache{Dir: filepath.Join(t.TempDir(), "c"), MaxBytes: 1 << 30, MaxAge: time.Hour}
}

// smallRoot is a root with a script and its interpreter, itself a script's.
func smallRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"bin", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string]string{"bin/prog": string(elftest.StaticProgram()), "bin/run": "#!/bin/prog\n", "etc/hosts": "x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCacheHitsUntilSomethingChanges(t *testing.T) {
	root := smallRoot(t)
	c := testCache(t)
	o := rootfs.Options{Program: "/bin/run", Sysroot: root}
	get := func(want bool, why string) Result {
		t.Helper()
		r, err := c.Get(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Hit != want {
			t.Errorf("%s: hit is %v, want %v", why, r.Hit, want)
		}
		return r
	}
	first := get(false, "first")
	second := get(true, "again")
	if second.Path != first.Path || second.Program != "/bin/run" {
		t.Errorf("second result %+v, first %+v", second, first)
	}
	write := func(name, data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/hosts", "yy\n")
	if r := get(false, "a file changed"); r.Path == first.Path {
		t.Error("a changed file gave the same image")
	}
	get(true, "after the change")
	write("etc/services", "new\n")
	get(false, "a file appeared where one was looked for")
	get(true, "after that")
	write("unrelated", "")
	get(true, "an unrelated file appeared")
	if err := os.Remove(filepath.Join(root, "etc/hosts")); err != nil {
		t.Fatal(err)
	}
	r := get(false, "a file is gone")
	if err := os.Truncate(r.Path, 10); err != nil {
		t.Fatal(err)
	}
	get(false, "the image is damaged")
	o.Env = []string{"TERM=x"}
	get(false, "other environment")
	o.Env = []string{"TERM=x", "OTHER=y"}
	get(true, "environment that does not matter")
}

func TestCacheLeavesNothingBehindWhenCancelled(t *testing.T) {
	c := testCache(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Get(ctx, rootfs.Options{Program: "/bin/run", Sysroot: smallRoot(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled", err)
	}
	ents, _ := os.ReadDir(c.Dir)
	if len(ents) != 0 {
		t.Errorf("left behind: %v", ents)
	}
}

func TestPruneRemovesTheOldestFirst(t *testing.T) {
	c := &Cache{Dir: t.TempDir(), MaxBytes: 25, MaxAge: 100 * time.Hour}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"a.erofs": 200 * time.Hour, "b.erofs": 50 * time.Hour, "c.erofs": 40 * time.Hour, "d.erofs": 3 * time.Hour, "e.erofs": 0,
		"new-1": 2 * time.Hour, "new-2": 0, "k.manifest": 200 * time.Hour, "l.manifest": 1,
	} {
		f := filepath.Join(c.Dir, name)
		if err := os.WriteFile(f, make([]byte, 10), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(f, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	c.prune(now)
	var left []string
	ents, _ := os.ReadDir(c.Dir)
	for _, e := range ents {
		left = append(left, e.Name())
	}
	if want := []string{"d.erofs", "e.erofs", "l.manifest", "new-2"}; !reflect.DeepEqual(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}

func TestManifestRoundTrip(t *testing.T) {
	m := &manifest{image: "x.erofs", size: 12, program: "/p", warnings: []string{"a", ""}, seen: []sysroot.Seen{
		{Host: "/a/b", Absent: true},
		{Host: "/a/bc", Listed: true, Info: sysroot.Info{Mode: 0o40755, UID: 1, GID: 2, Dev: 3, Ino: 1 << 60, Size: 5, Mtime: -7, Ctime: 1 << 60}},
	}}
	b := m.encode()
	got, err := decodeManifest(b)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("decoded %+v (%v), want %+v", got, err, m)
	}
	for i := range b {
		if _, err := decodeManifest(b[:i]); err == nil {
			t.Fatalf("a manifest cut at %d was taken", i)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add((&manifest{seen: []sysroot.Seen{{Host: "/a"}}}).encode())
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = decodeManifest(b)
		_, _ = decodeManifest((&manifest{image: string(b)}).encode())
	})
}

// BenchmarkHit measures a warm hit for the largest tree at hand.
func BenchmarkHit(b *testing.B) {
	prog := ""
	for _, p := range []string{"/usr/bin/python3", "/usr/bin/perl", "/bin/sh"} {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			prog = p
			break
		}
	}
	if prog == "" {
		b.Skip("no program")
	}
	c := &Cache{Dir: b.TempDir(), MaxBytes: 1 << 40, MaxAge: time.Hour}
	o := rootfs.Options{Program: prog}
	if _, err := c.Get(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if r, err := c.Get(b.Context(), o); err != nil || !r.Hit {
			b.Fatal(r, err)
		}
	}
}
