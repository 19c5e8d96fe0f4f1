package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// fsck checks an image with erofs-utils and extracts it.
func fsck(t *testing.T, img []byte) string {
	t.Helper()
	if _, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Skip("fsck.erofs is not installed (erofs-utils)")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "image")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if msg, err := exec.Command("fsck.erofs", "--extract="+out, file).CombinedOutput(); err != nil {
		t.Fatalf("fsck.erofs: %v\n%s", err, msg)
	}
	return out
}

// sample is a tree with every kind of file and every size that matters.
func sample(t *testing.T) *rootfs.Tree {
	t.Helper()
	tr := rootfs.NewTree()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 1, 31, 4000, 4095, 4096, 4097, 8192, 12000, 65535, 65536, 65537, 1<<20 + 5} {
		data := bytes.Repeat([]byte("0123456789abcde"), n/15+1)[:n]
		must(tr.WriteFile("/sizes/"+strings.Repeat("x", n%7+1)+itoa(n), data, 0o644))
	}
	for i := range 1000 {
		must(tr.WriteFile("/many/"+strings.Repeat("n", i%50)+itoa(i), []byte(itoa(i)), 0o600))
	}
	must(tr.Mkdir("/empty", 0o1777))
	must(tr.Symlink("/many", "/link"))
	must(tr.Symlink(strings.Repeat("long/", 819), "/longlink"))
	must(tr.Put("/dev/null", &rootfs.Node{Mode: sysroot.TypeChr | 0o666, Major: 1, Minor: 3}))
	must(tr.Put("/fifo", &rootfs.Node{Mode: sysroot.TypeFifo | 0o600, UID: 70000, Mtime: 1e9 + 7}))
	must(tr.Put("/hard1", &rootfs.Node{Mode: sysroot.TypeReg | 0o755, Size: 2, Data: []byte("hi"), Mtime: -5e8}))
	must(tr.Put("/hard2", tr.Lookup("/hard1")))
	must(tr.Put("/x", &rootfs.Node{Mode: sysroot.TypeReg | 0o755, Size: 3, Data: []byte("abc"), Xattrs: map[string][]byte{
		"user.a": []byte("1"), "security.capability": {1, 0, 0, 2}, "user.long": bytes.Repeat([]byte("v"), 3000), "trusted.e": nil,
	}}))
	return tr
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestImagePassesFsckAndExtractsToTheTree(t *testing.T) {
	tr := sample(t)
	var buf bytes.Buffer
	if err := Write(&buf, tr, Options{}); err != nil {
		t.Fatal(err)
	}
	if size, err := Size(tr); err != nil || size != uint64(buf.Len()) {
		t.Errorf("Size said %d (%v), the image has %d bytes", size, err, buf.Len())
	}
	out := fsck(t, buf.Bytes())
	files := 0
	err := tr.Walk(func(p string, n *rootfs.Node) error {
		files++
		host := filepath.Join(out, p)
		st, err := os.Lstat(host)
		if err != nil {
			return err
		}
		switch {
		case n.IsRegular():
			b, err := os.ReadFile(host)
			if err != nil {
				return err
			}
			if !bytes.Equal(b, n.Data) {
				t.Errorf("%s: content differs (%d bytes, want %d)", p, len(b), len(n.Data))
			}
		case n.IsLink():
			if target, _ := os.Readlink(host); target != n.Target {
				t.Errorf("%s: leads to %q, want %q", p, target, n.Target)
			}
		}
		if !n.IsLink() && uint32(st.Mode().Perm()) != n.Mode&0o777 {
			t.Errorf("%s: mode %v, want %#o", p, st.Mode(), n.Mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d bytes", files, buf.Len())
}

func TestImageIsAFunctionOfTheTree(t *testing.T) {
	var a, b, c bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := Write(w, sample(t), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two images of one tree differ")
	}
	if err := Write(&c, sample(t), Options{Pin: &Pin{Mtime: 12e9}}); err != nil {
		t.Fatal(err)
	}
	fsck(t, c.Bytes())
}

func TestWriteNoticesAFileThatShrank(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	tr, err := rootfs.FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(&bytes.Buffer{}, tr, Options{}); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("error %v, want one about a shorter file", err)
	}
}
