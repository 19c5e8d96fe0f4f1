package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"husk/host/image"
	"husk/host/rootfs"
)

func testStore(t *testing.T) *Store {
	t.Helper()
	s, err := At(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// add puts a small image with one file into the store.
func add(t testing.TB, s *Store, name, content string) v1.Descriptor {
	t.Helper()
	u, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	d, err := put(u, content)
	if err == nil {
		err = u.Tag(name, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(u *Use, content string) (v1.Descriptor, error) {
	tr := rootfs.NewTree()
	if err := tr.WriteFile("/file", []byte(content), 0o644); err != nil {
		return v1.Descriptor{}, err
	}
	var fs bytes.Buffer
	if err := image.Write(&fs, tr, image.Options{}); err != nil {
		return v1.Descriptor{}, err
	}
	layer, err := u.Put(fs.Bytes(), MediaErofs)
	if err != nil {
		return layer, err
	}
	b, _ := json.Marshal(v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{layer.Digest}}})
	config, err := u.Put(b, types.OCIConfigJSON)
	if err != nil {
		return config, err
	}
	b, _ = json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer}})
	return u.Put(b, types.OCIManifestSchema1)
}

func sound(t *testing.T, s *Store, images int) {
	t.Helper()
	v, err := s.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Problems) > 0 || v.Images != images {
		t.Errorf("%d images (want %d), problems %v", v.Images, images, v.Problems)
	}
}

func TestImageIsFoundByNameAndDigest(t *testing.T) {
	s := testStore(t)
	d := add(t, s, "one:latest", "1")
	for _, ref := range []string{"one", "one:latest", "docker.io/library/one", "localhost/one", d.Digest.String(), d.Digest.Hex[:12], "one@" + d.Digest.String()} {
		im, err := s.Find(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		fs, err := im.FS()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := fs.ReadFile("/file", 10); string(b) != "1" {
			t.Errorf("%s: content %q (%v)", ref, b, err)
		}
		im.Close()
	}
	for _, ref := range []string{"two", "one:2", "fff", "ffffffffffff"} {
		if _, err := s.Find(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: error %v, want not found", ref, err)
		}
	}
	if _, err := s.Find("No/%"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("an impossible name: error %v", err)
	}
}

func TestNameMovesAndPruneRemovesWhatLostIt(t *testing.T) {
	s := testStore(t)
	old := add(t, s, "aa:latest", "old")
	now := add(t, s, "aa:latest", "new")
	if err := s.Tag("aa", "bb:1"); err != nil {
		t.Fatal(err)
	}
	sound(t, s, 3)
	if e, err := s.Resolve("aa"); err != nil || e.Digest != now.Digest {
		t.Errorf("a is %v (%v), want %v", e.Digest, err, now.Digest)
	}
	f, err := s.Prune()
	if err != nil || f.Images != 1 || f.Blobs < 2 {
		t.Errorf("freed %+v (%v)", f, err)
	}
	if s.Has(old.Digest, -1) || !s.Has(now.Digest, -1) {
		t.Error("the wrong image was removed")
	}
	if gone, deleted, err := s.Remove("aa"); err != nil || deleted || len(gone) != 1 {
		t.Errorf("removing one of two names: %v %v %v", gone, deleted, err)
	}
	sound(t, s, 1)
	if _, deleted, err := s.Remove("bb:1"); err != nil || !deleted {
		t.Errorf("removing the last name: deleted is %v (%v)", deleted, err)
	}
	sound(t, s, 0)
	if ents, _ := os.ReadDir(s.path("blobs", "sha256")); len(ents) > 0 {
		t.Errorf("%d blobs are left", len(ents))
	}
}

func TestPruneWaitsForWhoIsAtWork(t *testing.T) {
	s := testStore(t)
	u, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	d, err := put(u, "not referenced yet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(); !errors.Is(err, ErrBusy) {
		t.Errorf("prune beside a build: error %v, want busy", err)
	}
	if !s.Has(d.Digest, -1) {
		t.Error("prune took away what was being built")
	}
	if err := u.Tag("x:latest", d); err != nil {
		t.Fatal(err)
	}
	u.Close()
	if _, err := s.Prune(); err != nil {
		t.Error(err)
	}
	sound(t, s, 1)
}

func TestVerifyFindsDamage(t *testing.T) {
	s := testStore(t)
	add(t, s, "good:latest", "good")
	im, err := s.Find("good")
	if err != nil {
		t.Fatal(err)
	}
	file := im.Paths()[0]
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1]++
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := s.Verify(context.Background())
	if err != nil || len(v.Problems) != 2 {
		t.Errorf("problems %v (%v), want the blob and the image", v.Problems, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if v, err = s.Verify(context.Background()); err != nil || len(v.Problems) != 1 {
		t.Errorf("problems %v (%v), want the image", v.Problems, err)
	}
}

func TestNothingHalfWrittenIsVisible(t *testing.T) {
	s := testStore(t)
	u, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	b, err := u.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(bytes.Repeat([]byte("x"), 3<<20)); err != nil {
		t.Fatal(err)
	}
	if ents, _ := os.ReadDir(s.path("blobs", "sha256")); len(ents) > 0 {
		t.Error("a blob is visible before its end")
	}
	b.Abort()
	if _, err := u.Copy(strings.NewReader("content"), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, types.OCILayer); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a wrong digest was taken: %v", err)
	}
	for _, dir := range []string{"tmp", "blobs/sha256"} {
		if ents, _ := os.ReadDir(s.path(dir)); len(ents) > 0 {
			t.Errorf("%s holds %v", dir, ents)
		}
	}
}

// Processes, since locks on files are theirs.
func TestManyHusksUseOneStore(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_DIR"); dir != "" {
		s, err := At(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			u, err := s.Begin()
			if err != nil {
				t.Fatal(err)
			}
			d, err := put(u, fmt.Sprint("same in all ", i))
			if err == nil {
				err = u.Tag(fmt.Sprintf("image-%s-%d:latest", os.Getenv("STORE_TEST_N"), i), d)
			}
			u.Close()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Prune(); err != nil && !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
		}
		return
	}
	s := testStore(t)
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestManyHusksUseOneStore$")
			cmd.Env = append(os.Environ(), "STORE_TEST_DIR="+s.Dir, fmt.Sprint("STORE_TEST_N=", n))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	sound(t, s, 40)
}

func TestFullDiskIsSaidInOneLine(t *testing.T) {
	dir := t.TempDir()
	if err := mountSmall(dir); err != nil {
		t.Skipf("no small file system: %v", err)
	}
	t.Cleanup(func() { unmount(dir) })
	s, err := At(dir)
	if err != nil {
		t.Fatal(err)
	}
	add(t, s, "small:latest", "fits")
	u, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	_, err = u.Copy(bytes.NewReader(make([]byte, 8<<20)), v1.Hash{}, MediaErofs)
	u.Close()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("error %v", err)
	}
	sound(t, s, 1)
	if ents, _ := os.ReadDir(s.path("tmp")); len(ents) > 0 {
		t.Errorf("left behind: %v", ents)
	}
	// Someone else fills it to the last byte: an image can be removed.
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	for b := make([]byte, 4096); err == nil; {
		_, err = fill.Write(b)
	}
	if err := s.Tag("small", "other"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a name on a full disk: %v", err)
	}
	if gone, deleted, err := s.Remove("small"); err != nil || !deleted {
		t.Errorf("removed %v, %v (%v)", gone, deleted, err)
	}
	sound(t, s, 0)
}

func TestDownloadGoesOnWhereItEnded(t *testing.T) {
	s := testStore(t)
	u, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	h, _, err := v1.SHA256(strings.NewReader("hello, world"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := u.Partial(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make(chan *Partial)
	go func() {
		q, err := u.Partial(h)
		if err != nil {
			t.Error(err)
		}
		got <- q
	}()
	select {
	case <-got:
		t.Fatal("two have the same download")
	case <-time.After(20 * time.Millisecond):
	}
	p.Close()
	q := <-got
	if q.Have != 5 {
		t.Fatalf("it goes on at %d", q.Have)
	}
	if _, err := q.Write([]byte(", world")); err != nil {
		t.Fatal(err)
	}
	if err := q.Check(); err != nil {
		t.Fatal(err)
	}
	if err := q.Keep(); err != nil {
		t.Fatal(err)
	}
	q.Close()
	if b, err := u.ReadBlob(h); string(b) != "hello, world" {
		t.Errorf("the blob has %q (%v)", b, err)
	}
}

func FuzzFamiliar(f *testing.F) {
	for _, s := range []string{"a", "a/b:c", "localhost:5000/x@sha256:" + strings.Repeat("0", 64), "A", "", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Familiar(s)
		if err != nil {
			return
		}
		if b, err := Familiar(a); err != nil || a != b {
			t.Errorf("%q becomes %q and that %q (%v)", s, a, b, err)
		}
	})
}
