package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"husk/host/rootfs"
	"husk/host/store"
)

func makeTar(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		data := ""
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Typeflag = tar.TypeReg
			data = "content of " + h.Name
			h.Size = int64(len(data))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(limits Limits, layers ...[]byte) (*rootfs.Tree, error) {
	x := &unpacker{ctx: context.Background(), tree: rootfs.NewTree(), limits: limits, spool: func(r io.Reader) (rootfs.Content, error) {
		b, err := io.ReadAll(io.LimitReader(r, 1<<20))
		return rootfs.Section{R: bytes.NewReader(b), N: int64(len(b))}, err
	}}
	for _, l := range layers {
		if err := x.layer(bytes.NewReader(l), int64(len(l)), "layer"); err != nil {
			return x.tree, err
		}
	}
	return x.tree, nil
}

func paths(t *rootfs.Tree) string {
	var out []string
	_ = t.Walk(func(p string, n *rootfs.Node) error {
		if n.IsDir() && p != "/" {
			p += "/"
		}
		if n.IsLink() {
			p += "->" + n.Target
		}
		out = append(out, p)
		return nil
	})
	return strings.Join(out[1:], " ")
}

func TestLayersAreAppliedWithTheirWhiteouts(t *testing.T) {
	base := makeTar(t, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: "usr/lib/", Typeflag: tar.TypeDir},
		tar.Header{Name: "usr/lib/a"}, tar.Header{Name: "usr/lib/b"}, tar.Header{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		tar.Header{Name: "etc/x/1"}, tar.Header{Name: "etc/x/2"}, tar.Header{Name: "etc/y"}, tar.Header{Name: "dir/", Typeflag: tar.TypeDir}, tar.Header{Name: "dir/f"})
	for _, tc := range []struct {
		name string
		top  []tar.Header
		want string
	}{
		{"nothing", nil, "/dir/ /dir/f /etc/ /etc/x/ /etc/x/1 /etc/x/2 /etc/y /lib->usr/lib /usr/ /usr/lib/ /usr/lib/a /usr/lib/b"},
		{"a file goes", []tar.Header{{Name: "etc/.wh.y"}, {Name: "usr/lib/.wh.a"}}, "/dir/ /dir/f /etc/ /etc/x/ /etc/x/1 /etc/x/2 /lib->usr/lib /usr/ /usr/lib/ /usr/lib/b"},
		{"a directory goes", []tar.Header{{Name: ".wh.etc"}, {Name: ".wh.usr"}}, "/dir/ /dir/f /lib->usr/lib"},
		{"opaque, its own file before it", []tar.Header{{Name: "etc/x/3"}, {Name: "etc/x/.wh..wh..opq"}}, "/dir/ /dir/f /etc/ /etc/x/ /etc/x/3 /etc/y /lib->usr/lib /usr/ /usr/lib/ /usr/lib/a /usr/lib/b"},
		{"replaced in the same layer", []tar.Header{{Name: "etc/x"}, {Name: "etc/.wh.x"}, {Name: ".wh.dir"}, {Name: ".wh.usr"}}, "/etc/ /etc/x /etc/y /lib->usr/lib"},
		{"through a link", []tar.Header{{Name: "lib/c"}, {Name: "lib/.wh.a"}, {Name: ".wh.etc"}, {Name: ".wh.dir"}}, "/lib->usr/lib /usr/ /usr/lib/ /usr/lib/b /usr/lib/c"},
		{"a directory for a link", []tar.Header{{Name: "lib/", Typeflag: tar.TypeDir}, {Name: "lib/c"}, {Name: ".wh.etc"}, {Name: ".wh.dir"}, {Name: ".wh.usr"}}, "/lib/ /lib/c"},
		{"aufs's files", []tar.Header{{Name: ".wh..wh.aufs"}, {Name: ".wh.etc"}, {Name: ".wh.dir"}, {Name: ".wh.usr"}}, "/lib->usr/lib"},
	} {
		tree, err := unpack(DefaultLimits, base, makeTar(t, tc.top...))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if got := paths(tree); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

func TestHostileTarsAreRefused(t *testing.T) {
	reg := func(name string) tar.Header { return tar.Header{Name: name} }
	for name, tc := range map[string]struct {
		members []tar.Header
		want    string
	}{
		"path out of the tree":      {[]tar.Header{reg("../x")}, "leads out of the tree"},
		"path out and in again":     {[]tar.Header{reg("a/../../x")}, "leads out of the tree"},
		"path up inside":            {[]tar.Header{reg("a/../b")}, "leads out of the tree"},
		"hard link out":             {[]tar.Header{{Name: "x", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}}, "link out of the tree"},
		"hard link to nothing":      {[]tar.Header{{Name: "x", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}}, "no file in the image"},
		"hard link to a directory":  {[]tar.Header{{Name: "d/", Typeflag: tar.TypeDir}, {Name: "x", Typeflag: tar.TypeLink, Linkname: "d"}}, "no file in the image"},
		"block device":              {[]tar.Header{{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}}, "device node"},
		"character device":          {[]tar.Header{{Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1}}, "device node"},
		"file below a file":         {[]tar.Header{reg("a"), reg("a/b")}, "no directory"},
		"link in a circle":          {[]tar.Header{{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "b"}, {Name: "b", Typeflag: tar.TypeSymlink, Linkname: "a"}, reg("a/x")}, "too many symbolic links"},
		"long name":                 {[]tar.Header{reg(strings.Repeat("n", 256))}, "name of 256 bytes"},
		"long path":                 {[]tar.Header{reg(strings.Repeat("n/", 3000) + "x")}, "name of"},
		"deep path":                 {[]tar.Header{reg(strings.Repeat("n/", 1500) + "x")}, "directories deep"},
		"link without a target":     {[]tar.Header{{Name: "a", Typeflag: tar.TypeSymlink}}, "target of 0 bytes"},
		"link with a long target":   {[]tar.Header{{Name: "a", Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("t", 5000)}}, "target of 5000 bytes"},
		"link as the root":          {[]tar.Header{{Name: "./", Typeflag: tar.TypeSymlink, Linkname: "x"}}, "root directory"},
		"whiteout of the directory": {[]tar.Header{reg("a/.wh...")}, "whiteout of nothing"},
	} {
		_, err := unpack(DefaultLimits, makeTar(t, tc.members...))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want …%s…", name, err, tc.want)
		}
	}
	if _, err := unpack(Limits{Bytes: 20, Files: 100}, makeTar(t, reg("a"), reg("b"))); err == nil || !strings.Contains(err.Error(), "--max-size") {
		t.Errorf("too much: %v", err)
	}
	if _, err := unpack(Limits{Bytes: 1000, Files: 2}, makeTar(t, reg("a"), reg("b"), reg("c"))); err == nil || !strings.Contains(err.Error(), "more than 2 files") {
		t.Errorf("too many: %v", err)
	}
	if tree, err := unpack(DefaultLimits, makeTar(t, tar.Header{Name: "./dev/console", Typeflag: tar.TypeChar}, reg("a"))); err != nil || tree.Lookup("/dev/console") != nil || tree.Lookup("/a") == nil {
		t.Errorf("devices in /dev: %v (%v)", paths(tree), err)
	}
	if tree, err := unpack(Limits{Bytes: 1000, Files: 9, SkipDevices: true}, makeTar(t, tar.Header{Name: "mem", Typeflag: tar.TypeChar}, reg("a"))); err != nil || paths(tree) != "/a" {
		t.Errorf("devices left out: %v (%v)", paths(tree), err)
	}
	whole := makeTar(t, reg("a"), reg("b"))
	if _, err := unpack(DefaultLimits, whole[:1300]); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("a tar that is cut off: %v", err)
	}
}

func TestLinksInsideTheTreeAreKept(t *testing.T) {
	tree, err := unpack(DefaultLimits, makeTar(t, tar.Header{Name: "/a"}, tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"},
		tar.Header{Name: "c", Typeflag: tar.TypeSymlink, Linkname: "../../../etc"}, tar.Header{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "/a"}))
	if err != nil {
		t.Fatal(err)
	}
	if tree.Lookup("/a") != tree.Lookup("/b") {
		t.Error("the hard link is a file of its own")
	}
	if got := paths(tree); got != "/a /b /c->../../../etc /d->/a" {
		t.Error(got)
	}
}

func testUse(t testing.TB) *store.Use {
	t.Helper()
	s, err := store.At(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

func importBytes(u *store.Use, b []byte, o ImportOptions) ([]Imported, error) {
	return Import(context.Background(), u, "-", bytes.NewReader(b), o)
}

func TestEveryCompressionGivesTheSameImage(t *testing.T) {
	u := testUse(t)
	plain := makeTar(t, tar.Header{Name: "a", Uid: 70000, ModTime: time.Unix(1e9, 5), Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.user.k": "v"}}, tar.Header{Name: "b/c"})
	want, err := importBytes(u, plain, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pack := map[string]func(w io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
		"xz":   func(w io.Writer) io.WriteCloser { z, _ := xz.NewWriter(w); return z },
	}
	for name, f := range pack {
		var b bytes.Buffer
		w := f(&b)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := importBytes(u, b.Bytes(), ImportOptions{})
		if err != nil || got[0].Digest != want[0].Digest {
			t.Errorf("%s: %v (%v), want %v", name, got, err, want[0].Digest)
		}
		if _, err := importBytes(u, b.Bytes()[:b.Len()/2], ImportOptions{}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s, cut off: %v", name, err)
		}
	}
	// What was imported comes out again as it went in.
	im, err := u.Load(store.Entry{Digest: want[0].Digest, Desc: want[0].Descriptor})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	tree, err := Tree(im)
	if err != nil {
		t.Fatal(err)
	}
	n := tree.Lookup("/a")
	if n.UID != 70000 || n.Mtime != 1e18+5 || string(n.Xattrs["user.k"]) != "v" {
		t.Errorf("%+v", n)
	}
}

func TestBombIsBounded(t *testing.T) {
	u := testUse(t)
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = importBytes(u, b.Bytes(), ImportOptions{Limits: Limits{Bytes: 8 << 20, Files: 10}})
	if err == nil || !strings.Contains(err.Error(), "--max-size") {
		t.Errorf("%d bytes become 64 MB: %v", b.Len(), err)
	}
	if ents, _ := os.ReadDir(filepath.Join(u.Dir, "tmp")); len(ents) > 0 {
		t.Errorf("left behind: %v", ents)
	}
}

// An image goes out in every format and comes back the same.
func TestExportedImagesComeBack(t *testing.T) {
	u := testUse(t)
	rootfs1, err := unpack(DefaultLimits, makeTar(t, tar.Header{Name: "bin/x", Mode: 0o4755}, tar.Header{Name: "y", Typeflag: tar.TypeLink, Linkname: "bin/x"},
		tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "bin"}, tar.Header{Name: "p", Typeflag: tar.TypeFifo}))
	if err != nil {
		t.Fatal(err)
	}
	cfg := (&importer{}).config()
	cfg.Config.Entrypoint, cfg.Config.User = []string{"/bin/x"}, "1:2"
	c, err := Commit(context.Background(), u, rootfs1, cfg, CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Tag("test/it:1", c.Descriptor); err != nil {
		t.Fatal(err)
	}
	im, err := u.Find("test/it:1")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	want, err := Tree(im)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, format := range []Format{FormatOCI, FormatOCITar, FormatDocker, FormatTar, FormatErofs, FormatLayout} {
		file := filepath.Join(dir, string(format))
		if err := ExportFile(context.Background(), im, file, format); err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		other := testUse(t)
		got, err := Import(context.Background(), other, file, nil, ImportOptions{})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if format == FormatOCI || format == FormatLayout {
			if got[0].Digest != im.Digest {
				t.Errorf("%s: another digest came back", format)
			}
		}
		back, err := other.Load(store.Entry{Digest: got[0].Digest, Desc: got[0].Descriptor})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Tree(back)
		if err != nil {
			t.Fatal(err)
		}
		if diff, err := Diff(want, tree); err != nil || len(diff) > 0 {
			t.Errorf("%s: %v (%v)", format, diff, err)
		}
		if format != FormatTar && format != FormatErofs && (back.Config.Config.User != "1:2" || got[0].Name != "test/it:1") {
			t.Errorf("%s: config %+v, name %q", format, back.Config.Config, got[0].Name)
		}
		back.Close()
	}
}

func TestDamagedArchivesAreTold(t *testing.T) {
	u := testUse(t)
	layer := makeTar(t, tar.Header{Name: "a"})
	c, err := importBytes(u, layer, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	im, err := u.Load(store.Entry{Digest: c[0].Digest, Desc: c[0].Descriptor})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	for _, format := range []Format{FormatOCI, FormatOCITar, FormatDocker} {
		var b bytes.Buffer
		if err := Export(context.Background(), im, &b, format); err != nil {
			t.Fatal(err)
		}
		raw := bytes.Replace(b.Bytes(), []byte("content of a"), []byte("content of b"), 1)
		if _, err := importBytes(testUse(t), raw, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: a changed byte gave %v", format, err)
		}
	}
}

func FuzzTar(f *testing.F) {
	f.Add(makeTar(f, tar.Header{Name: "a"}, tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}, tar.Header{Name: ".wh.c"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := unpack(Limits{Bytes: 1 << 20, Files: 1000}, makeTar(t, tar.Header{Name: "a"}, tar.Header{Name: "c", Typeflag: tar.TypeSymlink, Linkname: "/"}), b)
		if err != nil {
			return
		}
		// What was accepted can be written and taken apart again.
		var out bytes.Buffer
		if err := WriteTar(&out, tree); err != nil {
			t.Skip(err)
		}
	})
}

// compressedArchive is an image as a registry has it, in an OCI archive.
func compressedArchive(t testing.TB, im *store.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	a := archive{tar.NewWriter(&out)}
	blob := func(b []byte) v1.Hash {
		h, _, err := v1.SHA256(bytes.NewReader(b))
		if err == nil {
			err = a.bytes("blobs/sha256/"+h.Hex, b)
		}
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	read := func(h v1.Hash) []byte {
		b, err := os.ReadFile(im.BlobPath(h))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	mf := *im.Manifest.DeepCopy()
	for i, l := range mf.Layers {
		b := z.EncodeAll(read(l.Digest), nil)
		mf.Layers[i] = v1.Descriptor{MediaType: mediaZstd, Size: int64(len(b)), Digest: blob(b)}
	}
	blob(read(mf.Config.Digest))
	b, err := json.Marshal(mf)
	if err != nil {
		t.Fatal(err)
	}
	index, err := indexOf("", v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(b)), Digest: blob(b)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.bytes("oci-layout", []byte(layoutFile)), a.bytes("index.json", index), a.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestArchiveOfARegistrysFormIsTheSameImage(t *testing.T) {
	_, im := committed(t, noise(t, 1000))
	got, err := importBytes(testUse(t), compressedArchive(t, im), ImportOptions{})
	if err != nil || got[0].Digest != im.Digest {
		t.Errorf("%v (%v), want %v", got, err, im.Digest)
	}
}

func FuzzImport(f *testing.F) {
	u := testUse(f)
	c, err := importBytes(u, makeTar(f, tar.Header{Name: "a"}), ImportOptions{})
	if err != nil {
		f.Fatal(err)
	}
	im, err := u.Load(store.Entry{Digest: c[0].Digest, Desc: c[0].Descriptor})
	if err != nil {
		f.Fatal(err)
	}
	for _, format := range []Format{FormatOCI, FormatOCITar, FormatDocker, FormatErofs} {
		var b bytes.Buffer
		if err := Export(context.Background(), im, &b, format); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add(compressedArchive(f, im))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = importBytes(u, b, ImportOptions{Limits: Limits{Bytes: 1 << 20, Files: 1000}})
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Entrypoint":["/x"],"ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if cfg, err := parseConfig(b); err == nil {
			for p := range cfg.Config.ExposedPorts {
				_, _ = Port(p)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(recordMagic))
	f.Fuzz(func(_ *testing.T, b []byte) { decodeRecord(b) })
}
