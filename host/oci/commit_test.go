package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"husk/host/image"
	"husk/host/rootfs"
	"husk/host/store"
)

// largeDir is a directory whose image has several parts. Its files have
// rested, as the record wants.
func largeDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 180 {
		data := bytes.Repeat([]byte{byte(i), 1, 2, 3}, 10_000+i)
		name := filepath.Join(dir, fmt.Sprintf("d%d", i%5), fmt.Sprintf("f%03d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name+".small", data[:100+i], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSecondBuildReusesWhatHasNotChanged(t *testing.T) {
	dir, record := largeDir(t), filepath.Join(t.TempDir(), "record")
	u := testUse(t)
	build := func(record string) Committed {
		t.Helper()
		tree, err := rootfs.FromDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Commit(context.Background(), u, tree, v1.ConfigFile{}, CommitOptions{Pin: &image.Pin{}, Record: record, splitSize: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Files that have just changed are not relied on.
	first := build(record)
	if c := build(record); c.Reused > 0 || c.Digest != first.Digest {
		t.Errorf("%d parts of files that have just changed are reused", c.Reused)
	}
	time.Sleep(settled + 100*time.Millisecond) // the clock is what is tested
	build(record)
	if c := build(record); c.Parts < 4 || c.Reused != c.Parts-1 || c.Digest != first.Digest {
		t.Errorf("%d of %d parts are reused", c.Reused, c.Parts)
	}
	if err := os.WriteFile(filepath.Join(dir, "d2", "f002"), bytes.Repeat([]byte("new"), 14_000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d3", "f003.small"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := build(record)
	if c.Reused < c.Parts-3 || c.Reused == c.Parts-1 {
		t.Errorf("after a change %d of %d parts are reused", c.Reused, c.Parts)
	}
	if all := build(""); all.Digest != c.Digest {
		t.Error("with and without a record the images differ")
	}
	// A part that is gone is made again.
	if err := u.Tag("xx:1", c.Descriptor); err != nil {
		t.Fatal(err)
	}
	im, err := u.Find("xx:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(im.Paths()[2]); err != nil {
		t.Fatal(err)
	}
	im.Close()
	if again := build(record); again.Digest != c.Digest {
		t.Error("the image differs after a part was lost")
	}
	verified(t, u)
	if err := os.WriteFile(record, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := build(record); again.Digest != c.Digest {
		t.Error("the image differs after the record was lost")
	}
}

func TestDiffTellsWhatDiffers(t *testing.T) {
	make := func(edit func(t *rootfs.Tree)) *rootfs.Tree {
		tree := rootfs.NewTree()
		for p, data := range map[string]string{"/same": "1", "/content": "1", "/size": "1", "/mode": "1", "/gone/a": "1", "/kind": "1"} {
			if err := tree.WriteFile(p, []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		edit(tree)
		return tree
	}
	a := make(func(*rootfs.Tree) {})
	b := make(func(tree *rootfs.Tree) {
		tree.Remove("/gone")
		tree.Remove("/kind")
		for _, err := range []error{
			tree.WriteFile("/content", []byte("2"), 0o644), tree.WriteFile("/size", []byte("22"), 0o644), tree.WriteFile("/mode", []byte("1"), 0o600),
			tree.WriteFile("/new/b", nil, 0o644), tree.Symlink("same", "/kind"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	changes, err := Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	want := []string{"C /content\tcontent", "D /gone", "C /kind\ttype", "C /mode\tmode 0644→0600", "A /new", "C /size\tsize 1→2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBillOfMaterialsListsPackagesAndModules(t *testing.T) {
	tree := rootfs.NewTree()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for p, data := range map[string]string{
		"/etc/os-release":            "ID=debian\n",
		"/var/lib/dpkg/status":       "Package: libfoo\nStatus: install ok installed\nVersion: 1:2+b~3\nArchitecture: amd64\nMaintainer: Some One <one@example.org>\nDescription: short\n long\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
		"/var/lib/dpkg/status.d/bar": "Package: bar\nVersion: 3\nArchitecture: all\n",
	} {
		if err := tree.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.WriteFile("/bin/prog", self, 0o755); err != nil {
		t.Fatal(err)
	}
	u := testUse(t)
	c, err := Commit(context.Background(), u, tree, v1.ConfigFile{}, CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	im, err := u.Load(store.Entry{Name: "sbom:1", Digest: c.Digest, Desc: c.Descriptor})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	b, err := SBOM(im)
	if err != nil {
		t.Fatal(err)
	}
	var d spdxDocument
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	var all []string
	ids := map[string]bool{}
	for _, p := range d.Packages {
		if ids[p.ID] {
			t.Errorf("%s occurs twice", p.ID)
		}
		ids[p.ID] = true
		for _, r := range p.Refs {
			all = append(all, r.Locator)
		}
	}
	for _, want := range []string{"pkg:deb/debian/libfoo@1%3A2%2Bb~3?arch=amd64", "pkg:deb/debian/bar@3?arch=all"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is missing in %v", want, all)
		}
	}
	if !strings.Contains(strings.Join(all, " "), "pkg:golang/std@") {
		t.Errorf("the program's modules are missing in %v", all)
	}
	if strings.Contains(string(b), `"gone"`) {
		t.Error("a package that is not installed is listed")
	}
	for _, r := range d.Relationships {
		if r.Kind == "CONTAINS" && !ids[r.To] {
			t.Errorf("%s is no package", r.To)
		}
	}
}
