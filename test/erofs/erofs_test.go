// Package erofs tests that the kernel's reader shows what the command's
// writer was given: the one place where the two sides of the format meet.
package erofs

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/host/image"
	"husk/host/oci"
	"husk/host/rootfs"
	"husk/host/sysroot"
	reader "husk/kernel/fs/erofs"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

var update = flag.Bool("update", false, "write the image that the kernel's tests start from")

const smallImage = "../../kernel/fs/erofs/testdata/small.erofs"

// disc is a device in memory.
type disc []byte

func (d disc) Size() uint64 { return uint64(len(d)) }

func (d disc) ReadPages(off uint64, pages [][]byte) error {
	for _, p := range pages {
		n := 0
		if off < uint64(len(d)) {
			n = copy(p, d[off:])
		}
		clear(p[n:])
		off += uint64(len(p))
	}
	return nil
}

func build(t *testing.T, big bool) *rootfs.Tree {
	t.Helper()
	tr := rootfs.NewTree()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sizes := []int{0, 1, 100, 3000, 4096, 5000}
	if big {
		sizes = append(sizes, 3073, 4095, 4097, 65535, 65536, 1<<20+1, 5<<20)
		for i := range 3000 {
			must(tr.WriteFile(fmt.Sprintf("/many/%s%d", strings.Repeat("n", i%90), i), []byte{byte(i)}, 0o600))
		}
		must(tr.Symlink(strings.Repeat("long/", 818), "/longlink"))
	}
	for _, n := range sizes {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i>>8) ^ byte(3*i)
		}
		must(tr.WriteFile(fmt.Sprintf("/sizes/%d", n), data, 0o644))
	}
	must(tr.Mkdir("/empty", 0o1777))
	must(tr.Symlink("sizes/1", "/link"))
	must(tr.Put("/null", &rootfs.Node{Mode: sysroot.TypeChr | 0o666, Major: 259, Minor: 300}))
	must(tr.Put("/fifo", &rootfs.Node{Mode: sysroot.TypeFifo | 0o600, UID: 70000, GID: 80000, Mtime: 1_700_000_000_123_456_789}))
	must(tr.Put("/hard1", &rootfs.Node{Mode: sysroot.TypeReg | 0o4755, Size: 2, Data: []byte("hi"), Mtime: 5e9}))
	must(tr.Put("/hard2", tr.Lookup("/hard1")))
	must(tr.Put("/x", &rootfs.Node{Mode: sysroot.TypeReg | 0o755, Size: 3, Data: []byte("abc"), Xattrs: map[string][]byte{
		"user.a": []byte("1"), "security.capability": {1, 0, 0, 2}, "system.posix_acl_access": []byte("acl"),
	}}))
	return tr
}

func write(t *testing.T, tr *rootfs.Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := image.Write(&b, tr, image.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inParts is the tree's image put together from parts.
func inParts(t *testing.T, tr *rootfs.Tree, split int64) []byte {
	t.Helper()
	p, err := image.NewPlan(tr, image.Options{SplitSize: split})
	if err != nil {
		t.Fatal(err)
	}
	var first, rest bytes.Buffer
	err = p.Write(context.Background(), image.Output{First: &first, Part: func(int) (io.Writer, error) { return &rest, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return append(first.Bytes(), rest.Bytes()...)
}

func TestKernelReadsWhatTheCommandWrites(t *testing.T) {
	tr := build(t, true)
	kernelReads(t, tr, write(t, tr))
	kernelReads(t, tr, inParts(t, tr, 1<<20))
}

// kernelReads compares what the kernel sees in an image with the tree.
func kernelReads(t *testing.T, tr *rootfs.Tree, img []byte) {
	t.Helper()
	sb, err := reader.Mount(disc(img), "img", 7)
	if err != nil {
		t.Fatal(err)
	}
	c := vfstest.New()
	inodes := map[*rootfs.Node]*vfs.Inode{}
	numbers := map[uint64]bool{}
	err = tr.Walk(func(p string, n *rootfs.Node) error {
		i := sb.Root
		for part := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
			if part == "" {
				break
			}
			var err error
			if i, err = i.Ops.Lookup(c, i, part); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		if old := inodes[n]; old != nil && old != i || old == nil && numbers[i.Ino] || i.Ino == 0 {
			t.Errorf("%s: inode number %d is not its own", p, i.Ino)
		}
		inodes[n], numbers[i.Ino] = i, true
		a := i.Attr()
		if a.Mode != n.Mode || a.UID != n.UID || a.GID != n.GID || a.Mtime.Nano() != n.Mtime {
			t.Errorf("%s: attributes %+v, want %+v", p, a, n)
		}
		switch {
		case n.IsLink():
			if target, err := i.Ops.Readlink(c, i); err != nil || target != n.Target {
				t.Errorf("%s: leads to %q (%v)", p, target, err)
			}
		case n.IsRegular():
			got := make([]byte, a.Size)
			for done := 0; done < len(got); {
				b := mm.KernelBuffer(got[done:])
				k, err := i.Cache.ReadAt(&b, uint64(done), uint64(a.Size))
				if err != nil || k == 0 {
					return fmt.Errorf("%s: read at %d: %d, %w", p, done, k, err)
				}
				done += k
			}
			if !bytes.Equal(got, n.Data) {
				t.Errorf("%s: content differs", p)
			}
		case !n.IsDir() && n.Mode&sysroot.TypeMask == sysroot.TypeChr:
			if a.Rdev != unix.Mkdev(n.Major, n.Minor) {
				t.Errorf("%s: device %#x, want %d:%d", p, a.Rdev, n.Major, n.Minor)
			}
		}
		names, err := i.Ops.Listxattr(c, i)
		if err != nil || len(names) != len(n.Xattrs) {
			t.Errorf("%s: attributes %v (%v), want %d", p, names, err, len(n.Xattrs))
		}
		for name, want := range n.Xattrs {
			if v, err := i.Ops.Getxattr(c, i, name); err != nil || !bytes.Equal(v, want) {
				t.Errorf("%s: %s is %q (%v), want %q", p, name, v, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if hard := tr.Lookup("/hard1"); hard != nil {
		if n := inodes[hard].Attr().Nlink; n != 2 {
			t.Errorf("a file with two names has %d links", n)
		}
	}
}

// FuzzRoundTrip makes trees of bytes, and compares what the kernel's reader
// and the command's own see in their images.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("0some bytes that say what the tree is like\x01\x02\x03\x04\x05\x06\xff\xfe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		take := func() int {
			if len(b) == 0 {
				return 0
			}
			v := b[0]
			b = b[1:]
			return int(v)
		}
		tr := rootfs.NewTree()
		dirs := []string{""}
		var last *rootfs.Node
		for n := 0; len(b) > 0 && n < 200; n++ {
			p := dirs[take()%len(dirs)] + "/" + strings.Repeat("n", take()%250) + fmt.Sprint(n)
			node := &rootfs.Node{
				Mode: uint32(take()<<4) & 0o7777, UID: uint32(take()) << uint(take()%20), GID: uint32(take()),
				Mtime: int64(take()) * 1_000_000_007 * int64(take()-128),
			}
			if take()%8 == 0 {
				node.Xattrs = map[string][]byte{"user." + fmt.Sprint(n): bytes.Repeat([]byte("v"), 13*take()%3000)}
			}
			switch take() % 8 {
			case 0:
				node.Mode |= sysroot.TypeLink
				node.Target = strings.Repeat("t", 1+16*take())
			case 1:
				node.Mode |= sysroot.TypeChr
				node.Major, node.Minor = uint32(take()), uint32(take())<<uint(take()%12)
			case 2:
				node.Mode |= sysroot.TypeFifo
			case 3:
				node = rootfs.Directory(node.Mode)
				dirs = append(dirs, p)
			case 4:
				if last != nil {
					node = last
					break
				}
				fallthrough
			default:
				node.Mode |= sysroot.TypeReg
				node.Data = bytes.Repeat([]byte{byte(n), 1, 2}, take()*take()/2)
				node.Size = int64(len(node.Data))
				last = node
			}
			if err := tr.Put(p, node); err != nil {
				t.Fatal(err)
			}
		}
		for _, img := range [][]byte{write(t, tr), inParts(t, tr, 1)} {
			kernelReads(t, tr, img)
			r, err := image.NewReader(bytes.NewReader(img), int64(len(img)), "fuzz")
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Tree()
			if err != nil {
				t.Fatal(err)
			}
			changes, err := oci.Diff(tr, got)
			if err != nil || len(changes) > 0 {
				t.Fatalf("%v (%v)", changes, err)
			}
		}
	})
}

func TestSmallImageIsCurrent(t *testing.T) {
	b := write(t, build(t, false))
	if *update {
		if err := os.WriteFile(smallImage, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(smallImage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b) {
		t.Error("the writer's output has changed: run this test with -update, in the same commit")
	}
}
