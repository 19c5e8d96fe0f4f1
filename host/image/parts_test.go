package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"testing"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// inParts writes a tree in parts.
func inParts(t *testing.T, tr *rootfs.Tree) (parts [][]byte) {
	t.Helper()
	p, err := NewPlan(tr, Options{SplitSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	bufs := []*bytes.Buffer{{}}
	err = p.Write(context.Background(), Output{First: bufs[0], Part: func(int) (io.Writer, error) {
		bufs = append(bufs, &bytes.Buffer{})
		return bufs[len(bufs)-1], nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for i, b := range bufs {
		if i > 0 && int64(b.Len()) != p.Parts()[i-1].Size {
			t.Errorf("part %d has %d bytes, planned were %d", i, b.Len(), p.Parts()[i-1].Size)
		}
		size += int64(b.Len())
		parts = append(parts, b.Bytes())
	}
	if size != p.Size() {
		t.Errorf("the image has %d bytes, planned were %d", size, p.Size())
	}
	return parts
}

// bigTree is large enough to be split.
func bigTree(t *testing.T) *rootfs.Tree {
	t.Helper()
	tr := sample(t)
	for i := range 300 {
		data := bytes.Repeat([]byte{byte(i)}, 40_000+i)
		if err := tr.WriteFile(fmt.Sprintf("/big/%03d", i), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func TestSmallImageIsOnePartAndTheSameAsWritten(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, sample(t), Options{}); err != nil {
		t.Fatal(err)
	}
	parts := inParts(t, sample(t))
	if len(parts) != 1 || !bytes.Equal(parts[0], b.Bytes()) {
		t.Errorf("%d parts, or other bytes", len(parts))
	}
}

func TestChangedFileChangesItsOwnPartOnly(t *testing.T) {
	old := inParts(t, bigTree(t))
	if len(old) < 4 {
		t.Fatalf("only %d parts", len(old))
	}
	tr := bigTree(t)
	if err := tr.WriteFile("/big/150", bytes.Repeat([]byte("longer"), 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	now := inParts(t, tr)
	had := map[string]bool{}
	for _, p := range old {
		had[string(p)] = true
	}
	fresh := 0
	for _, p := range now {
		if !had[string(p)] {
			fresh++
		}
	}
	if fresh > 3 { // the first, its own, and a border that may move
		t.Errorf("%d of %d parts are new", fresh, len(now))
	}
}

func TestReaderShowsTheTree(t *testing.T) {
	for name, tr := range map[string]*rootfs.Tree{"small": sample(t), "big": bigTree(t)} {
		img := bytes.Join(inParts(t, tr), nil)
		if name == "big" {
			fsck(t, img)
		}
		r, err := NewReader(bytes.NewReader(img), int64(len(img)), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Tree()
		if err != nil {
			t.Fatal(err)
		}
		sameTree(t, got, tr)
		n, err := r.Lookup("/link/n1")
		if err != nil || n.Size != 1 {
			t.Errorf("through a link: %v (%v)", n, err)
		}
	}
}

func sameTree(t *testing.T, got, want *rootfs.Tree) {
	t.Helper()
	count := 0
	same := map[*rootfs.Node]*rootfs.Node{}
	err := want.Walk(func(p string, w *rootfs.Node) error {
		count++
		g := got.Lookup(p)
		if g == nil {
			t.Errorf("%s is missing", p)
			return nil
		}
		if same[w] != nil && same[w] != g {
			t.Errorf("%s is no hard link any more", p)
		}
		same[w] = g
		if g.Mode != w.Mode || g.UID != w.UID || g.GID != w.GID || g.Mtime != w.Mtime || g.Size != w.Size || g.Target != w.Target ||
			g.Major != w.Major || g.Minor != w.Minor || !maps.EqualFunc(g.Xattrs, w.Xattrs, bytes.Equal) || !slices.Equal(g.Names(), w.Names()) {
			t.Errorf("%s: %+v, want %+v", p, g, w)
		}
		if !w.IsRegular() {
			return nil
		}
		a, b := readAll(t, g), readAll(t, w)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: other content", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, n *rootfs.Node) []byte {
	t.Helper()
	r, err := n.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPinnedTimesKeepPythonsModulesTrue(t *testing.T) {
	tr := rootfs.NewTree()
	put := func(p string, mtime int64, data string) {
		t.Helper()
		if err := tr.Put(p, &rootfs.Node{Mode: sysroot.TypeReg | 0o644, Mtime: mtime * 1e9, Size: int64(len(data)), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	const now = 0x65000000
	put("/m/a.py", now, "a = 1")
	put("/m/__pycache__/a.cpython-311.pyc", now+5, "magi\x00\x00\x00\x00\x00\x00\x00\x65size and code")
	put("/m/__pycache__/a.cpython-312.pyc", now+5, "magi\x01\x00\x00\x00\x00\x00\x00\x65by its hash .")
	put("/m/b.py", now, "b = 1")
	put("/m/__pycache__/b.cpython-311.pyc", now+5, "magi\x00\x00\x00\x00\x01\x00\x00\x65is out of date")
	for _, split := range []int64{0, 1} {
		p, err := NewPlan(tr, Options{Pin: &Pin{Mtime: 1e9 * 0x01020304}, SplitSize: split})
		if err != nil {
			t.Fatal(err)
		}
		var img bytes.Buffer
		if err := p.Write(context.Background(), Output{First: &img}); err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(bytes.NewReader(img.Bytes()), int64(img.Len()), "pyc")
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"a.cpython-311": "magi\x00\x00\x00\x00\x04\x03\x02\x01size and code", "a.cpython-312": "magi\x01\x00\x00\x00\x00\x00\x00\x65by its hash .",
			"b.cpython-311": "magi\x00\x00\x00\x00\x01\x00\x00\x65is out of date",
		} {
			if b, err := r.ReadFile("/m/__pycache__/"+name+".pyc", 100); string(b) != want {
				t.Errorf("%s is %q (%v), want %q", name, b, err, want)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	b, err := os.ReadFile("../../kernel/fs/erofs/testdata/small.erofs")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		// The checksum would keep the fuzzer out.
		if len(b) > superOffset+superSize {
			b[superOffset+8] &^= compatChecksum
		}
		r, err := NewReader(bytes.NewReader(b), int64(len(b)), "fuzz")
		if err != nil {
			return
		}
		t, err := r.Tree()
		if err != nil {
			return
		}
		_ = t.Walk(func(p string, n *rootfs.Node) error {
			if n.IsRegular() {
				_, _ = r.ReadFile(p, 1<<20)
			}
			return nil
		})
	})
}
