package p9

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// share mounts a fresh host directory.
func share(t testing.TB, readOnly bool) (*server, *vfs.Superblock, string) {
	t.Helper()
	dir := t.TempDir()
	s := newServer(t, dir)
	sb, err := Mount(s, "test", readOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Release)
	return s, sb, dir
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// walkTo looks a path up without the dentry cache.
func walkTo(sb *vfs.Superblock, path string) (*vfs.Inode, error) {
	i := sb.Root
	for name := range strings.SplitSeq(path, "/") {
		next, err := i.Ops.Lookup(nil, i, name)
		if err != nil {
			return nil, err
		}
		i = next
	}
	return i, nil
}

func open(t testing.TB, i *vfs.Inode, flags uint32) (*vfs.File, error) {
	t.Helper()
	g := vfs.NewAnonFile("test", 0o600, flags, nil)
	g.Inode = i
	ops, err := i.Ops.Open(vfstest.New(), g)
	if err != nil {
		return nil, err
	}
	g.Ops = ops
	return g, nil
}

func read(t testing.TB, f *vfs.File, n int, off int64) []byte {
	t.Helper()
	p := make([]byte, n)
	b := mm.KernelBuffer(p)
	got, err := f.Ops.Read(vfstest.New(), f, &b, off)
	if err != nil {
		t.Fatal(err)
	}
	return p[:got]
}

// expire makes attributes old, as time would.
func expire(i *vfs.Inode) { i.Ops.(*node).checked.Store(-2 * attrTime) }

func isErrno(err error, want unix.Errno) bool { return err == error(want) }

func TestLookupFindsWhatTheHostHas(t *testing.T) {
	_, sb, dir := share(t, true)
	os.MkdirAll(dir+"/a/b", 0o755)
	write(t, dir+"/a/b/file", []byte("hello"))
	os.Symlink("b/file", dir+"/a/link")
	os.Link(dir+"/a/b/file", dir+"/a/hard")

	i, err := walkTo(sb, "a/b/file")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	unix.Lstat(dir+"/a/b/file", &st)
	if a := i.Attr(); i.Ino != st.Ino || a.Mode != st.Mode || a.Size != 5 || a.Nlink != 2 || a.Mtime != st.Mtim || a.UID != st.Uid {
		t.Errorf("attributes %+v", a)
	}
	if h, err := walkTo(sb, "a/hard"); err != nil || h != i {
		t.Errorf("a hard link is another inode: %v", err)
	}
	l, err := walkTo(sb, "a/link")
	if err != nil {
		t.Fatal(err)
	}
	if target, err := l.Ops.Readlink(nil, l); target != "b/file" || err != nil {
		t.Errorf("readlink = %q, %v", target, err)
	}
	if _, err := walkTo(sb, "a/none"); !isErrno(err, unix.ENOENT) {
		t.Errorf("missing name: %v", err)
	}
	if _, err := i.Ops.Lookup(nil, i, "x"); !isErrno(err, unix.ENOTDIR) {
		t.Errorf("look-up in a file: %v", err)
	}
	var fs unix.Statfs_t
	sb.Statfs(&fs)
	if fs.Type != magic || fs.Bsize != 4096 || fs.Blocks != 1000 {
		t.Errorf("statfs %+v", fs)
	}
}

func TestReadIsExactAcrossRequests(t *testing.T) {
	for _, msize := range []uint32{1 << 20, 20000, 4096 + ioHeader} {
		t.Run(fmt.Sprint(msize), func(t *testing.T) {
			dir := t.TempDir()
			data := make([]byte, 1<<20+777)
			rand.New(rand.NewSource(3)).Read(data)
			write(t, dir+"/f", data)
			s := newServer(t, dir)
			s.msize = msize
			sb, err := Mount(s, "test", true)
			if err != nil {
				t.Fatal(err)
			}
			defer sb.Release()
			i, err := walkTo(sb, "f")
			if err != nil {
				t.Fatal(err)
			}
			f, err := open(t, i, unix.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range [][2]int{{100, 5000}, {1 << 20, 1000}, {0, 1 << 21}, {len(data) - 1, 10}, {len(data), 10}} {
				off, n := r[0], r[1]
				want := data[off:min(off+n, len(data))]
				got := []byte{}
				for len(got) < len(want) {
					p := read(t, f, n-len(got), int64(off+len(got)))
					if len(p) == 0 {
						break
					}
					got = append(got, p...)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("read(%d at %d) differs: %d bytes", n, off, len(got))
				}
			}
		})
	}
}

func TestManyReadersAtOnce(t *testing.T) {
	_, sb, dir := share(t, true)
	for n := range 40 {
		write(t, fmt.Sprintf("%s/f%d", dir, n), bytes.Repeat([]byte{byte(n)}, 100000))
	}
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Go(func() {
			for n := range 40 {
				n = (n + g*7) % 40
				i, err := walkTo(sb, fmt.Sprintf("f%d", n))
				if err != nil {
					t.Error(err)
					return
				}
				f, err := open(t, i, unix.O_RDONLY)
				if err != nil {
					t.Error(err)
					return
				}
				if p := read(t, f, 10, 99995); len(p) != 5 || p[0] != byte(n) {
					t.Errorf("file %d: %v", n, p)
				}
			}
		})
	}
	wg.Wait()
}

func TestDirectoryShowsEveryEntryOnce(t *testing.T) {
	_, sb, dir := share(t, true)
	want := map[string]bool{}
	for n := range 3000 {
		name := fmt.Sprintf("entry-%d-%s", n, strings.Repeat("x", n%100))
		want[name] = true
		write(t, dir+"/"+name, nil)
	}
	f, err := open(t, sb.Root, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from memory
		got := map[string]bool{}
		pos, left := int64(0), 0
		for {
			left = 100
			before := pos
			err := f.Ops.ReadDir(nil, f, &pos, func(e vfs.Dirent) bool {
				if left--; left < 0 {
					return false
				}
				if got[e.Name] {
					t.Fatalf("%s comes twice", e.Name)
				}
				got[e.Name] = true
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			if pos == before {
				break
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d entries of %d", len(got), len(want))
		}
	}
}

func TestDirectoryIsReadWithoutFreeMemory(t *testing.T) {
	_, sb, dir := share(t, true)
	for n := range 300 {
		write(t, fmt.Sprintf("%s/%d-%s", dir, n, strings.Repeat("x", 100)), nil)
	}
	f, err := open(t, sb.Root, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]cpu.PhysAddr, cpu.MaxFrame())
	n := cpu.AllocFrames(all)
	defer cpu.FreeFrames(all[:n])
	entries, pos := 0, int64(0)
	if err := f.Ops.ReadDir(nil, f, &pos, func(vfs.Dirent) bool { entries++; return true }); err != nil || entries != 300 {
		t.Errorf("%d entries, %v", entries, err)
	}
}

func TestChangesOfTheHostAreSeen(t *testing.T) {
	s, sb, dir := share(t, true)
	write(t, dir+"/f", []byte("old contents"))
	i, err := walkTo(sb, "f")
	if err != nil {
		t.Fatal(err)
	}
	f, _ := open(t, i, unix.O_RDONLY)
	if p := read(t, f, 100, 0); string(p) != "old contents" {
		t.Fatalf("%q", p)
	}
	if _, err := walkTo(sb, "later"); !isErrno(err, unix.ENOENT) {
		t.Fatal(err)
	}
	before := s.requests[twalk].Load()
	if _, err := walkTo(sb, "later"); !isErrno(err, unix.ENOENT) || s.requests[twalk].Load() != before {
		t.Errorf("a missing name was asked for again: %v", err)
	}
	time.Sleep(20 * time.Millisecond) // a tick of the host's clock, for mtime
	write(t, dir+"/f", []byte("new and longer contents"))
	write(t, dir+"/later", nil)

	// Opening sees the new contents at once, attributes when they are old.
	expire(i)
	f2, err := open(t, i, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if p := read(t, f2, 100, 0); string(p) != "new and longer contents" {
		t.Errorf("after an open: %q", p)
	}
	if i.Size() != 23 {
		t.Errorf("size %d", i.Size())
	}
	expire(sb.Root)
	if err := sb.Root.Ops.Getattr(nil, sb.Root); err != nil {
		t.Fatal(err)
	}
	if _, err := walkTo(sb, "later"); err != nil {
		t.Errorf("a name that came: %v", err)
	}

	// Another file takes the name: the open one keeps its contents.
	write(t, dir+"/g", []byte("other"))
	os.Rename(dir+"/g", dir+"/f")
	j, err := walkTo(sb, "f")
	if err != nil || j == i {
		t.Errorf("the new file is the old inode: %v", err)
	}
	if p := read(t, f2, 3, 0); string(p) != "new" {
		t.Errorf("open file: %q", p)
	}
}

func TestRevalidateDropsWhatIsGone(t *testing.T) {
	_, sb, dir := share(t, true)
	for _, opened := range []bool{false, true} {
		write(t, dir+"/f", []byte("1"))
		root := vfs.NewMountNamespace(sb, unix.MS_RDONLY).Root()
		c := vfstest.New()
		c.SetFS(vfs.NewFSContext(root))
		p, err := vfs.Lookup(c, &root, "f", 0)
		if err != nil {
			t.Fatal(err)
		}
		i := p.Dentry.Inode()
		if opened {
			if _, err := open(t, i, unix.O_RDONLY); err != nil {
				t.Fatal(err)
			}
		}
		n := i.Ops.(*node)
		expire(i)
		if !n.Revalidate(p.Dentry) {
			t.Errorf("opened %v: an unchanged name was dropped", opened)
		}
		os.Remove(dir + "/f")
		if !n.Revalidate(p.Dentry) {
			t.Errorf("opened %v: fresh attributes were not believed", opened)
		}
		expire(i)
		if n.Revalidate(p.Dentry) {
			t.Errorf("opened %v: a name that is gone was kept", opened)
		}
	}
}

func TestReadOnlyShareRefusesChanges(t *testing.T) {
	_, sb, dir := share(t, true)
	write(t, dir+"/f", nil)
	i, _ := walkTo(sb, "f")
	r := sb.Root
	c := vfstest.New()
	_, e1 := r.Ops.Create(c, r, "n", 0o644, 0, 0)
	_, e2 := r.Ops.Mkdir(c, r, "n", 0o755, 0, 0)
	_, e3 := r.Ops.Symlink(c, r, "n", "x", 0, 0)
	_, e4 := r.Ops.Mknod(c, r, "n", unix.S_IFIFO, 0, 0, 0)
	_, e5 := open(t, i, unix.O_RDWR)
	for n, err := range []error{
		e1, e2, e3, e4, e5,
		r.Ops.Unlink(c, r, "f", i), r.Ops.Rmdir(c, r, "f", i), r.Ops.Link(c, r, "n", i),
		r.Ops.Rename(c, r, "f", i, r, "g", nil, 0),
		i.Ops.Setattr(c, i, &vfs.SetAttr{Valid: vfs.SetMode}), i.Ops.Setxattr(c, i, "user.x", nil, 0),
	} {
		if !isErrno(err, unix.EROFS) {
			t.Errorf("change %d: %v", n, err)
		}
	}
	if sb.Flags&unix.MS_RDONLY == 0 {
		t.Error("the superblock is not read-only")
	}
}

func TestWritableShare(t *testing.T) {
	_, sb, dir := share(t, false)
	c := vfstest.New()
	r := sb.Root
	d, err := r.Ops.Mkdir(c, r, "d", 0o755, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	i, err := d.Ops.Create(c, d, "f", 0o600, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(t, i, unix.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 300001)
	rand.New(rand.NewSource(5)).Read(data)
	for _, off := range []int64{0, 12345} {
		b := mm.KernelBuffer(data)
		if n, end, err := f.Ops.Write(c, f, &b, off); n != len(data) || end != off+int64(n) || err != nil {
			t.Fatal(n, end, err)
		}
	}
	want := append(append([]byte(nil), data[:12345]...), data...)
	if got, err := os.ReadFile(dir + "/d/f"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the host has %d bytes, %v", len(got), err)
	}
	if got := read(t, f, len(want)+10, 0); !bytes.Equal(got, want) {
		t.Errorf("read back %d bytes", len(got))
	}
	if err := i.Ops.Setattr(c, i, &vfs.SetAttr{Valid: vfs.SetSize, Size: 10}); err != nil || i.Size() != 10 {
		t.Errorf("truncate: %v", err)
	}
	if err := f.Ops.Sync(c, f, true); err != nil {
		t.Error(err)
	}
	if err := d.Ops.Link(c, d, "hard", i); err != nil {
		t.Error(err)
	}
	if err := d.Ops.Rename(c, d, "f", i, r, "moved", nil, 0); err != nil {
		t.Error(err)
	}
	if _, err := d.Ops.Symlink(c, d, "s", "../moved", 0, 0); err != nil {
		t.Error(err)
	}
	if _, err := d.Ops.Mknod(c, d, "p", unix.S_IFIFO|0o600, 0, 0, 0); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"s", "p", "hard"} {
		x, err := walkTo(sb, "d/"+name)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := d.Ops.Unlink(c, d, name, x); err != nil {
			t.Error(err)
		}
	}
	if err := r.Ops.Rmdir(c, r, "d", d); err != nil {
		t.Error(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 || left[0].Name() != "moved" {
		t.Errorf("left on the host: %v", left)
	}
}

func TestExtendedAttributes(t *testing.T) {
	_, sb, dir := share(t, true)
	write(t, dir+"/f", nil)
	if err := unix.Setxattr(dir+"/f", "user.color", []byte("blue"), 0); err != nil {
		t.Skip(err)
	}
	i, _ := walkTo(sb, "f")
	if v, err := i.Ops.Getxattr(nil, i, "user.color"); string(v) != "blue" || err != nil {
		t.Errorf("%q %v", v, err)
	}
	if _, err := i.Ops.Getxattr(nil, i, "user.none"); !isErrno(err, unix.ENODATA) {
		t.Error(err)
	}
	if l, err := i.Ops.Listxattr(nil, i); len(l) != 1 || l[0] != "user.color" || err != nil {
		t.Errorf("%q %v", l, err)
	}
}

// TestFidsEndWithTheirInodes: what nobody refers to is given up on the host.
func TestFidsEndWithTheirInodes(t *testing.T) {
	s, sb, dir := share(t, true)
	for n := range 50 {
		write(t, fmt.Sprintf("%s/f%d", dir, n), []byte("x"))
	}
	func() {
		for n := range 50 {
			i, err := walkTo(sb, fmt.Sprintf("f%d", n))
			if err != nil {
				t.Fatal(err)
			}
			f, _ := open(t, i, unix.O_RDONLY)
			read(t, f, 1, 0)
		}
	}()
	for range 100 {
		runtime.GC()
		if s.count() <= 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := s.count(); n > 2 {
		t.Errorf("%d fids are left", n)
	}
	if i, err := walkTo(sb, "f7"); err != nil || i.Size() != 1 {
		t.Errorf("afterwards: %v", err)
	}
}

// TestRequestsAreFew pins what common operations cost.
func TestRequestsAreFew(t *testing.T) {
	s, sb, dir := share(t, true)
	os.Mkdir(dir+"/d", 0o755)
	write(t, dir+"/d/f", []byte("x"))
	total := func() (n int64) {
		for i := range s.requests {
			if i != tclunk {
				n += s.requests[i].Load()
			}
		}
		return n
	}
	d, _ := walkTo(sb, "d")
	step := func(name string, want int64, f func()) {
		before := total()
		f()
		if got := total() - before; got != want {
			t.Errorf("%s: %d requests, not %d", name, got, want)
		}
	}
	var i *vfs.Inode
	step("look-up", 2, func() { i, _ = d.Ops.Lookup(nil, d, "f") })
	step("stat", 0, func() { i.Ops.Getattr(nil, i) })
	var f *vfs.File
	step("first open", 1, func() { f, _ = open(t, i, unix.O_RDONLY) })
	step("first read", 1, func() { read(t, f, 10, 0) })
	step("second read", 0, func() { read(t, f, 10, 0) })
	step("second open", 1, func() { f, _ = open(t, i, unix.O_RDONLY) })
	step("missing name", 1, func() { d.Ops.Lookup(nil, d, "nope") })
	step("missing name again", 0, func() { d.Ops.Lookup(nil, d, "nope") })
	df, _ := open(t, d, unix.O_RDONLY)
	pos := int64(0)
	step("readdir", 4, func() { df.Ops.ReadDir(nil, df, &pos, func(vfs.Dirent) bool { return true }) })
	pos = 0
	step("readdir again", 0, func() { df.Ops.ReadDir(nil, df, &pos, func(vfs.Dirent) bool { return true }) })
	step("name not in the list", 0, func() { d.Ops.Lookup(nil, d, "other") })
}

func TestEntriesAreLookedUpTogether(t *testing.T) {
	s, sb, dir := share(t, true)
	for n := range 100 {
		write(t, fmt.Sprintf("%s/f%02d", dir, n), []byte(fmt.Sprint(n)))
	}
	for round := range 2 {
		d, err := open(t, sb.Root, unix.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		pos := int64(0)
		if err := d.Ops.ReadDir(nil, d, &pos, func(e vfs.Dirent) bool { names = append(names, e.Name); return true }); err != nil {
			t.Fatal(err)
		}
		for k, name := range names {
			if round == 1 && k == 50 {
				os.Remove(dir + "/f55")
			}
			i, err := walkTo(sb, name)
			if err != nil {
				if round == 1 && name == "f55" && isErrno(err, unix.ENOENT) {
					continue
				}
				t.Fatal(name, err)
			}
			var st unix.Stat_t
			if err := unix.Lstat(dir+"/"+name, &st); err == nil && (i.Ino != st.Ino || i.Size() != st.Size) {
				t.Errorf("%s is inode %d of %d bytes", name, i.Ino, i.Size())
			}
		}
		expire(sb.Root)
	}
	if s.most < 8 {
		t.Errorf("at most %d requests at a time", s.most)
	}
}

// FuzzReply lets the server answer anything.
func FuzzReply(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{11, 0, 0, 0, 7, 0, 0, 2, 0, 0, 0}, uint8(0))
	f.Add(bytes.Repeat([]byte{0xff}, 200), uint8(3))
	f.Fuzz(func(t *testing.T, junk []byte, after uint8) {
		dir := t.TempDir()
		os.WriteFile(dir+"/f", []byte("contents"), 0o644)
		os.Symlink("f", dir+"/l")
		s := newServer(t, dir)
		seen := uint8(0)
		s.mangle = func(req, reply []byte) []byte {
			if seen++; seen <= after%16 || req[4] == tclunk {
				return reply
			}
			if len(junk) > 0 && junk[0]&1 != 0 {
				// A well-formed head, so that the body is looked at.
				out := append([]byte(nil), junk...)
				for len(out) < headerSize {
					out = append(out, 0)
				}
				binary.LittleEndian.PutUint32(out, uint32(len(out)))
				out[4] = req[4] + 1
				copy(out[5:7], req[5:7])
				return out
			}
			return junk
		}
		sb, err := Mount(s, "fuzz", true)
		if err != nil {
			return
		}
		defer sb.Release()
		for _, name := range []string{"f", "l"} {
			i, err := walkTo(sb, name)
			if err != nil {
				continue
			}
			_, _ = i.Ops.Readlink(nil, i)
			_, _ = i.Ops.Listxattr(nil, i)
			if g, err := open(t, i, unix.O_RDONLY); err == nil && i.Cache != nil {
				b := mm.KernelBuffer(make([]byte, 100))
				_, _ = g.Ops.Read(vfstest.New(), g, &b, 0)
				i.Cache.Release()
			}
		}
		g, err := open(t, sb.Root, unix.O_RDONLY)
		if err != nil {
			return
		}
		pos := int64(0)
		_ = g.Ops.ReadDir(nil, g, &pos, func(e vfs.Dirent) bool {
			if !validName(e.Name) {
				t.Errorf("the name %q got through", e.Name)
			}
			return true
		})
	})
}
