package pkgs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestWhatNobodyTrustedSignedIsRefused(t *testing.T) {
	other := newKey(t, time.Now().Add(-time.Hour), 0)
	short := newKey(t, time.Now().Add(-48*time.Hour), 24*time.Hour)
	for _, c := range []struct {
		name   string
		words  string
		change func(m *mirror)
	}{
		{"a changed byte", "signature does not hold", func(m *mirror) {
			m.put("/dists/stable/InRelease", bytes.Replace(m.get("/dists/stable/InRelease"), []byte("Codename: test"), []byte("Codename: tesu"), 1))
		}},
		{"another key", "none of the trusted keys made it", func(m *mirror) {
			m.key = other
			m.publish()
		}},
		{"an expired key", "has expired", func(m *mirror) {
			m.key, m.keys = short, public(t, short)
			m.publish()
		}},
		{"no signature", "not signed", func(m *mirror) {
			m.put("/dists/stable/InRelease", []byte("Suite: stable\nSHA256:\n"))
		}},
		{"text before the signed text", "something stands before it", func(m *mirror) {
			m.put("/dists/stable/InRelease", append([]byte("Suite: stable\n\n"), m.get("/dists/stable/InRelease")...))
		}},
		{"text behind the signature", "more follows it", func(m *mirror) {
			m.put("/dists/stable/InRelease", append(m.get("/dists/stable/InRelease"), "\nSuite: stable\n"...))
		}},
		{"a past date", "out of date", func(m *mirror) {
			m.release["Valid-Until"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC1123)
			m.publish()
		}},
		{"another suite", "signed for the suite oldstable", func(m *mirror) {
			m.release["Suite"], m.release["Codename"] = "oldstable", "old"
			m.publish()
		}},
		{"nothing at all", "no such file", func(m *mirror) { m.put("/dists/stable/InRelease", nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			m.add(simple("a", ""))
			m.publish()
			c.change(m)
			here := newMachine(t)
			_, err := here.install(m.source(), nil, "a")
			oneLine(t, err, "stable", c.words)
			if ents, _ := os.ReadDir(filepath.Join(here.cache.Dir, "releases")); len(ents) > 0 {
				t.Errorf("it was kept: %v", ents)
			}
			here.sound()
		})
	}
}

func TestOneTrustedSignatureOfSeveralIsEnough(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	short := newKey(t, m.key.PrimaryKey.CreationTime.Add(-48*time.Hour), 24*time.Hour)
	later := newKey(t, short.PrimaryKey.CreationTime, 0)
	m.keys = public(t, short, later)
	// The first is known and has expired.
	m.put("/dists/stable/InRelease", sign(t, "Suite: stable\nSHA256:\n", short, later))
	_, err := newMachine(t).open(true, m.source())
	oneLine(t, err, "names no main/binary-amd64/Packages")
}

func TestDamagedPackagesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		words  string
		damage func([]byte) []byte
	}{
		{"a changed byte", "another digest", func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c }},
		{"cut off", "it ended after", func(b []byte) []byte { return b[:len(b)/2] }},
		{"too long", "longer than", func(b []byte) []byte { return append(bytes.Clone(b), 0) }},
		{"empty", "it ended after 0 of", func([]byte) []byte { return []byte{} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			d := simple("a", "")
			d.damage = c.damage
			m.add(d)
			m.publish()
			here := newMachine(t)
			_, err := here.install(m.source(), nil, "a")
			oneLine(t, err, "package a", c.words)
			here.sound()
		})
	}
	t.Run("the index", func(t *testing.T) {
		m := newMirror(t)
		m.add(simple("a", ""))
		m.publish()
		const index = "/dists/stable/main/binary-amd64/Packages.xz"
		b := bytes.Clone(m.get(index))
		b[len(b)/2] ^= 1
		m.put(index, b)
		here := newMachine(t)
		_, err := here.install(m.source(), nil, "a")
		oneLine(t, err, "Packages.xz", "another digest")
		here.sound()
	})
	t.Run("missing", func(t *testing.T) {
		m := newMirror(t)
		m.add(simple("a", ""))
		m.publish()
		m.put("/pool/a_1.0.deb", nil)
		here := newMachine(t)
		_, err := here.install(m.source(), nil, "a")
		oneLine(t, err, "package a", "a_1.0.deb", "no such file")
	})
}

func TestHostilePackagesAreRefused(t *testing.T) {
	old := slackBytes
	slackBytes = 1 << 20
	t.Cleanup(func() { slackBytes = old })
	for _, c := range []struct {
		name    string
		words   string
		entries []tar.Header
		content map[string]string
	}{
		{name: "up", words: "refused", entries: []tar.Header{{Name: "../etc/passwd"}}},
		{name: "up further in", words: "refused", entries: []tar.Header{{Name: "./usr/../../etc/passwd"}}},
		{name: "absolute", words: "refused", entries: []tar.Header{{Name: "/etc/passwd"}}},
		{name: "hard link out", words: "refused", entries: []tar.Header{{Name: "./usr/a", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}}},
		{name: "device", words: "refused", entries: []tar.Header{{Name: "./usr/sda", Typeflag: tar.TypeBlock}}},
		{name: "whiteout", words: "whiteout", entries: []tar.Header{{Name: "./usr/.wh.bin"}}},
		{name: "bomb", words: "refused", entries: []tar.Header{{Name: "./usr/a"}}, content: map[string]string{"./usr/a": strings.Repeat("\x00", 8<<20)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			m.add(deb{name: "a", entries: c.entries, content: c.content})
			m.publish()
			here := newMachine(t)
			_, err := here.install(m.source(), nil, "a")
			oneLine(t, err, "package a", c.words)
			here.sound()
		})
	}
	for name, b := range map[string][]byte{
		"no ar": []byte("hello"), "no data": ar("debian-binary", []byte("2.0\n")), "cut header": []byte(arMagic + "debian-binary"),
		"long member": []byte(arMagic + fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", "debian-binary", 0, 0, 0, "100644", 1<<40)),
		"version 3":   ar("debian-binary", []byte("3.0\n")),
	} {
		if _, err := Control(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBrokenDownloadGoesOnWhereItEnded(t *testing.T) {
	m := newMirror(t)
	d := simple("a", "")
	d.content["./usr/share/a"] = strings.Repeat("0123456789abcdef", 1<<16)
	m.pack = ""
	m.add(d)
	m.publish()
	size := int64(len(m.get("/pool/a_1.0.deb")))
	// Half of it, and never more.
	m.serve(func(w http.ResponseWriter, r *http.Request, b []byte) bool {
		if !strings.HasSuffix(r.URL.Path, ".deb") {
			return false
		}
		if r.Header.Get("Range") != "" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	here := newMachine(t)
	_, err := here.install(m.source(), nil, "a")
	oneLine(t, err, "package a", "a_1.0.deb")
	if !errors.Is(err, ErrMirror) {
		t.Errorf("%v is not the mirror's fault", err)
	}
	here.sound()
	m.serve(nil)
	m.requests("")
	if _, err := here.install(m.source(), nil, "a"); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("/pool/a_1.0.deb bytes=%d-", size/2)
	if got := m.requests(".deb"); len(got) != 1 || got[0] != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
	if _, err := here.install(m.source(), nil, "a"); err != nil {
		t.Fatal(err)
	}
	if got := m.requests(".deb"); len(got) != 0 {
		t.Errorf("what is in the cache was asked for: %q", got)
	}
	here.sound()
}

func TestDownloadIsTriedAgainWhileItGetsFurther(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	m.serve(func(w http.ResponseWriter, r *http.Request, b []byte) bool {
		if !strings.HasSuffix(r.URL.Path, ".deb") {
			return false
		}
		from := 0
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		n := min(len(b), from+len(b)/9+1)
		_, _ = w.Write(b[from:n])
		if n < len(b) {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return true
	})
	if _, err := newMachine(t).install(m.source(), nil, "a"); err != nil {
		t.Fatal(err)
	}
	if n := len(m.requests(".deb")); n < 9 {
		t.Errorf("%d requests, want 9 or more", n)
	}
}

func TestStalledMirrorIsGivenUp(t *testing.T) {
	for _, c := range []struct{ name, suffix string }{{"the index", "InRelease"}, {"a package", ".deb"}} {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " begun ", begun), func(t *testing.T) {
				m := newMirror(t)
				m.add(simple("a", ""))
				m.publish()
				here := newMachine(t)
				done := make(chan struct{})
				defer close(done)
				m.serve(func(w http.ResponseWriter, r *http.Request, b []byte) bool {
					if !strings.HasSuffix(r.URL.Path, c.suffix) {
						return false
					}
					if begun {
						w.Header().Set("Content-Length", fmt.Sprint(len(b)))
						_, _ = w.Write(b[:1])
						_ = http.NewResponseController(w).Flush()
					}
					select {
					case <-done:
					case <-r.Context().Done():
					}
					return true
				})
				if c.suffix == ".deb" {
					if _, err := here.open(true, m.source()); err != nil {
						t.Fatal(err)
					}
				}
				// What answers at once may take longer than this on a busy
				// machine: here nothing answers but from the cache.
				stall = 100 * time.Millisecond
				ix, err := here.open(false, m.source())
				if c.suffix == ".deb" && err == nil {
					_, err = ix.Find("a", "").Fetch(context.Background(), here.cache, nil)
				}
				oneLine(t, err, "it has sent nothing for too long")
				if !errors.Is(err, ErrMirror) {
					t.Errorf("%v is not the mirror's fault", err)
				}
				here.sound()
			})
		}
	}
}

func TestInterruptionEndsADownloadAtOnce(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	here := newMachine(t)
	ix, err := here.open(true, m.source())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.serve(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err := ix.Find("a", "").Fetch(ctx, here.cache, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	here.sound()
}

func TestManyWhoWantAPackageFetchItOnce(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	here := newMachine(t)
	ix, err := here.open(true, m.source())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := ix.Find("a", "").Fetch(context.Background(), here.cache, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := m.requests(".deb"); len(got) != 1 {
		t.Errorf("asked for %q", got)
	}
	here.sound()
}

func TestMirrorOutOfReachIsDoneWithoutWhileItsLastWordHolds(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	here := newMachine(t)
	if _, err := here.install(m.source(), nil, "a"); err != nil {
		t.Fatal(err)
	}
	m.requests("")
	if _, err := here.open(false, m.source()); err != nil {
		t.Fatal(err)
	}
	if got := m.requests(""); len(got) > 0 {
		t.Errorf("within the hour it was asked for %q", got)
	}
	m.server.Close()
	ix, err := here.open(true, m.source())
	if err != nil {
		t.Fatal(err)
	}
	if len(ix.Warnings) != 1 || !strings.Contains(ix.Warnings[0], "is used as it was") {
		t.Errorf("warnings %q", ix.Warnings)
	}
	if ix.Find("a", "") == nil {
		t.Error("the package is not there")
	}
	_, err = newMachine(t).open(false, m.source())
	oneLine(t, err, "InRelease")
	if !errors.Is(err, ErrMirror) {
		t.Errorf("%v is not the mirror's fault", err)
	}
}

func TestMirrorTakesNothingBack(t *testing.T) {
	m := newMirror(t)
	m.release["Date"] = "Sat, 03 Jan 2026 00:00:00 UTC"
	m.add(simple("a", ""))
	d := simple("b", "")
	d.version = "2.0"
	m.add(d)
	m.publish()
	here := newMachine(t)
	if _, err := here.open(true, m.source()); err != nil {
		t.Fatal(err)
	}
	m.packages.Reset()
	m.release["Date"] = "Fri, 02 Jan 2026 00:00:00 UTC"
	m.add(simple("b", ""))
	m.publish()
	ix, err := here.open(true, m.source())
	if err != nil {
		t.Fatal(err)
	}
	if p := ix.Find("b", ""); p == nil || p.Version != "2.0" || len(ix.Warnings) != 1 {
		t.Errorf("found %v, warnings %q", p, ix.Warnings)
	}
}

func TestSourceThatFailsIsDoneWithout(t *testing.T) {
	m, bad := newMirror(t), newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	bad.add(simple("b", ""))
	bad.publish()
	bad.keys = m.keys
	here := newMachine(t)
	ix, err := here.open(true, bad.source(), m.source())
	if err != nil {
		t.Fatal(err)
	}
	if ix.Find("a", "") == nil || ix.Find("b", "") != nil || len(ix.Warnings) != 1 || !strings.Contains(ix.Warnings[0], "none of the trusted keys") {
		t.Errorf("warnings %q", ix.Warnings)
	}
	_, err = (&Resolver{Index: ix}).Closure([]string{"b"})
	oneLine(t, err, "no mirror has a package b", "left out were "+bad.server.URL)
}

func TestSuiteThatIsNotAutomaticComesLast(t *testing.T) {
	m, more := newMirror(t), newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	more.release["NotAutomatic"] = "yes"
	d := simple("a", "")
	d.version = "2.0"
	more.add(d)
	more.add(simple("b", ""))
	more.publish()
	ix, err := newMachine(t).open(true, more.source(), m.source())
	if err != nil {
		t.Fatal(err)
	}
	if p := ix.Find("a", ""); p.Version != "1.0" {
		t.Errorf("%s is the best", p)
	}
	if ix.Find("a", "2.0") == nil || ix.Find("b", "") == nil {
		t.Error("what only that suite has cannot be had")
	}
}

func TestIndexIsReadInEveryForm(t *testing.T) {
	for _, pack := range []string{"", ".gz", ".xz"} {
		for _, byHash := range []string{"yes", "no"} {
			for _, arch := range []string{"amd64", "all"} {
				m := newMirror(t)
				// Some name the compressed one alone.
				m.only = pack != "" && arch == "all"
				m.pack, m.arch, m.release["Acquire-By-Hash"] = pack, arch, byHash
				m.add(simple("a", ""))
				m.publish()
				here := newMachine(t)
				for range 2 {
					if _, err := here.install(m.source(), nil, "a"); err != nil {
						t.Errorf("%q, by hash %s, of %s: %v", pack, byHash, arch, err)
					}
				}
				if n := len(m.requests("/Packages" + pack)); n != 1 && byHash == "no" || n != 0 && byHash == "yes" {
					t.Errorf("%q, by hash %s, of %s: asked %d times by name", pack, byHash, arch, n)
				}
				here.sound()
			}
		}
	}
}

func TestIndexForAllArchitecturesIsReadOnlyWhereItCounts(t *testing.T) {
	for _, change := range []func(m *mirror){
		func(m *mirror) { m.release["Architectures"] = "amd64" },
		func(m *mirror) { m.release["No-Support-for-Architecture-all"] = "Packages" },
	} {
		m := newMirror(t)
		m.arch = "all"
		change(m)
		m.add(simple("a", ""))
		m.publish()
		_, err := newMachine(t).open(true, m.source())
		oneLine(t, err, "names no main/binary-amd64/Packages")
	}
}

func TestMirrorThatCannotGoOnSendsAllAgain(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.publish()
	times := 0
	m.serve(func(w http.ResponseWriter, r *http.Request, b []byte) bool {
		if !strings.HasSuffix(r.URL.Path, ".deb") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if times++; times == 1 {
			_, _ = w.Write(b[:len(b)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(b)
		return true
	})
	if _, err := newMachine(t).install(m.source(), nil, "a"); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskIsSaidInOneLineAndLeavesNothing(t *testing.T) {
	m := newMirror(t)
	d := simple("a", "")
	// Nothing that compression makes smaller.
	b := make([]byte, 6<<20)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	d.content["./usr/share/a"] = string(b)
	d.fields["Installed-Size"] = "7000"
	m.add(d)
	m.publish()
	for _, c := range []struct{ name, full string }{{"cache", "cache"}, {"image store", "data"}} {
		t.Run(c.name, func(t *testing.T) {
			dirs := map[string]string{"cache": t.TempDir(), "data": t.TempDir()}
			if err := mountSmall(dirs[c.full]); err != nil {
				t.Skipf("no small file system: %v", err)
			}
			t.Cleanup(func() { unmount(dirs[c.full]) })
			here := machineAt(t, dirs["cache"], dirs["data"])
			_, err := here.install(m.source(), nil, "a")
			oneLine(t, err, "package a", "the disk is full")
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v is not ENOSPC", err)
			}
			if ents, _ := os.ReadDir(filepath.Join(here.store.Dir, "tmp")); len(ents) > 0 {
				t.Errorf("left behind: %v", ents)
			}
			here.sound()
		})
	}
}

func TestCacheForgetsWhatWasNotUsedForLong(t *testing.T) {
	m := newMirror(t)
	m.add(simple("a", ""))
	m.add(simple("b", ""))
	m.publish()
	here := newMachine(t)
	ix, err := here.open(true, m.source())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, n := range []string{"a", "b"} {
		if files[n], err = ix.Find(n, "").Fetch(context.Background(), here.cache, nil); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-cacheTime - time.Hour)
	for _, f := range files {
		if err := os.Chtimes(f, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := Tidy(here.cache.Store); err != nil {
		t.Errorf("while it is in use: %v", err)
	}
	if _, err := ix.Find("b", "").Fetch(context.Background(), here.cache, nil); err != nil {
		t.Fatal(err)
	}
	here.cache.Close()
	if err := Tidy(here.cache.Store); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(files["a"]); err == nil {
		t.Error("what was not used is there")
	}
	if _, err := os.Stat(files["b"]); err != nil {
		t.Error("what was used is gone")
	}
}
