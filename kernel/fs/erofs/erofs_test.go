package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// disc is a device in memory that counts requests.
type disc struct {
	b     []byte
	reads int
}

func (d *disc) Size() uint64 { return uint64(len(d.b)) }

func (d *disc) ReadPages(off uint64, pages [][]byte) error {
	if off%512 != 0 {
		return unix.EINVAL
	}
	d.reads++
	for _, p := range pages {
		n := 0
		if off < uint64(len(d.b)) {
			n = copy(p, d.b[off:])
		}
		clear(p[n:])
		off += uint64(len(p))
	}
	return nil
}

// mkfs makes an image of a directory with erofs-utils.
func mkfs(t testing.TB, dir string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("mkfs.erofs"); err != nil {
		t.Skip("mkfs.erofs is not installed (erofs-utils)")
	}
	img := filepath.Join(t.TempDir(), "img")
	if out, err := exec.Command("mkfs.erofs", append(args, img, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs %v: %v\n%s", args, err, out)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sample fills a directory with files of every size that matters.
func sample(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "many/deep"), 0o755))
	for _, n := range []int{0, 1, 511, 4000, 4095, 4096, 4097, 8192, 70000, 300<<10 + 7} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i>>8) ^ byte(i*7)
		}
		must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("size%d", n)), data, 0o640))
	}
	for i := range 700 {
		must(os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("file-%s%d", strings.Repeat("x", i%40), i)), []byte{byte(i)}, 0o600))
	}
	must(os.Symlink("../many", filepath.Join(dir, "many/deep/link")))
	must(os.Symlink(strings.Repeat("a/", 1500), filepath.Join(dir, "longlink")))
	must(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(os.Link(filepath.Join(dir, "size1"), filepath.Join(dir, "hard")))
	_ = unix.Setxattr(filepath.Join(dir, "size1"), "user.a", []byte("value"), 0)
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(err)
	_, err = sparse.WriteAt([]byte("end"), 200<<10)
	must(err)
	must(sparse.Close())
	return dir
}

func open(t testing.TB, c vfs.Caller, i *vfs.Inode) vfs.FileOps {
	t.Helper()
	f := vfs.NewFile(vfs.Path{}, 0, nil)
	f.Inode = i
	ops, err := i.Ops.Open(c, f)
	if err != nil {
		t.Fatal(err)
	}
	return ops
}

func list(t testing.TB, c vfs.Caller, i *vfs.Inode) []vfs.Dirent {
	t.Helper()
	ops := open(t, c, i)
	var all []vfs.Dirent
	pos := int64(0)
	for {
		n := len(all)
		// Three entries at a time: positions must lead on.
		if err := ops.ReadDir(c, nil, &pos, func(d vfs.Dirent) bool {
			all = append(all, d)
			pos = d.Next
			return len(all) < n+3
		}); err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return all
		}
	}
}

// compare checks that an inode and all below shows what the host's file does.
func compare(t *testing.T, c vfs.Caller, i *vfs.Inode, host string, seen map[string]*vfs.Inode) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(host, &st); err != nil {
		t.Fatal(err)
	}
	a := i.Attr()
	if a.Mode != st.Mode || a.UID != st.Uid || a.GID != st.Gid || a.Nlink != uint32(st.Nlink) || a.Mtime.Sec != st.Mtim.Sec {
		t.Errorf("%s: attributes %+v, want %+v", host, a, st)
	}
	seen[host] = i
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		want, err := os.ReadFile(host)
		if err != nil {
			t.Fatal(err)
		}
		ops := open(t, c, i)
		got := make([]byte, len(want)+10)
		n := 0
		for {
			b := mm.KernelBuffer(got[n:])
			k, err := ops.Read(c, nil, &b, int64(n))
			if err != nil {
				t.Fatalf("%s: %v", host, err)
			}
			if k == 0 {
				break
			}
			n += k
		}
		if !bytes.Equal(got[:n], want) {
			t.Errorf("%s: content differs", host)
		}
		// And the pages themselves, zeroed behind the end.
		if len(want) > 0 {
			pages := make([][]byte, (len(want)+4095)/4096)
			for k := range pages {
				pages[k] = bytes.Repeat([]byte{0xee}, 4096)
			}
			if err := i.Ops.(mm.Store).ReadPages(0, pages); err != nil {
				t.Fatalf("%s: %v", host, err)
			}
			all := bytes.Join(pages, nil)
			if !bytes.Equal(all[:len(want)], want) || len(bytes.Trim(all[len(want):], "\x00")) > 0 {
				t.Errorf("%s: pages differ", host)
			}
		}
	case unix.S_IFLNK:
		want, _ := os.Readlink(host)
		if got, err := i.Ops.Readlink(c, i); err != nil || got != want {
			t.Errorf("%s: leads to %q (%v), want %q", host, got, err, want)
		}
	case unix.S_IFDIR:
		ents, err := os.ReadDir(host)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]vfs.Dirent{}
		for _, d := range list(t, c, i) {
			names[d.Name] = d
		}
		if len(names) != len(ents)+2 {
			t.Errorf("%s: %d names, want %d and the two dots", host, len(names), len(ents))
		}
		for _, e := range ents {
			child, err := i.Ops.Lookup(c, i, e.Name())
			if err != nil {
				t.Errorf("%s: look-up of %s: %v", host, e.Name(), err)
				continue
			}
			if d := names[e.Name()]; d.Ino != child.Ino || uint32(d.Type)<<12 != child.Attr().Mode&unix.S_IFMT {
				t.Errorf("%s: entry %+v is not inode %d", host, d, child.Ino)
			}
			compare(t, c, child, filepath.Join(host, e.Name()), seen)
		}
		for _, n := range []string{"none", "", "zzz", "!", "size", "file-x"} {
			if _, err := i.Ops.Lookup(c, i, n); err != unix.ENOENT {
				t.Errorf("%s: look-up of %q gave %v, want ENOENT", host, n, err)
			}
		}
	}
}

func TestImagesOfMkfsShowTheDirectory(t *testing.T) {
	dir := sample(t)
	for _, tc := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"extended inodes", []string{"-E", "force-inode-extended"}},
		{"compact inodes", []string{"-E", "force-inode-compact"}},
		{"no tails", []string{"-E", "noinline_data"}},
		{"chunks with block map", []string{"--chunksize=4096", "-E", "force-chunk-indexes"}},
		{"chunks with indexes", []string{"--chunksize=8192", "-E", "force-inode-blockmap"}},
		{"legacy", []string{"-E", "legacy-compress"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sb, err := Mount(&disc{b: mkfs(t, dir, tc.args...)}, "img", 7)
			if err != nil {
				t.Fatal(err)
			}
			c := vfstest.New()
			seen := map[string]*vfs.Inode{}
			if tc.name == "compact inodes" {
				// They have no times of their own.
				setTimes(t, dir, sb.Root.Attr().Mtime)
			}
			compare(t, c, sb.Root, dir, seen)
			if seen[filepath.Join(dir, "hard")] != seen[filepath.Join(dir, "size1")] {
				t.Error("two names of one file are two inodes")
			}
			one := seen[filepath.Join(dir, "size1")]
			if v, err := one.Ops.Getxattr(c, one, "user.a"); err == nil && string(v) != "value" {
				t.Errorf("attribute is %q (%v)", v, err)
			}
			if _, err := one.Ops.Getxattr(c, one, "user.none"); err != unix.ENODATA {
				t.Errorf("absent attribute: %v, want ENODATA", err)
			}
		})
	}
}

func setTimes(t *testing.T, dir string, ts unix.Timespec) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestContiguousPagesAreOneRequest(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 40*4096-5), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &disc{b: mkfs(t, dir, "-E", "noinline_data")}
	sb, err := Mount(d, "img", 7)
	if err != nil {
		t.Fatal(err)
	}
	i, err := sb.Root.Ops.Lookup(nil, sb.Root, "f")
	if err != nil {
		t.Fatal(err)
	}
	pages := make([][]byte, 40)
	for k := range pages {
		pages[k] = make([]byte, 4096)
	}
	d.reads = 0
	if err := i.Ops.(mm.Store).ReadPages(0, pages); err != nil {
		t.Fatal(err)
	}
	if d.reads != 1 {
		t.Errorf("%d requests for 40 pages in a row, want 1", d.reads)
	}
}

func TestCompressedFilesAreRefusedWhenOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	sb, err := Mount(&disc{b: mkfs(t, dir, "-zlz4")}, "img", 7)
	if err != nil {
		t.Fatal(err)
	}
	i, err := sb.Root.Ops.Lookup(nil, sb.Root, "f")
	if err != nil {
		t.Fatal(err)
	}
	f := vfs.NewFile(vfs.Path{}, 0, nil)
	f.Inode = i
	if _, err := i.Ops.Open(nil, f); err != unix.EOPNOTSUPP {
		t.Errorf("open gave %v, want EOPNOTSUPP", err)
	}
}

// small is an image made by the command's own writer (test/erofs writes it
// anew with -update).
func small(t testing.TB) []byte {
	b, err := os.ReadFile("testdata/small.erofs")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDamagedImagesAreNotMounted(t *testing.T) {
	img := small(t)
	cut := func(f func(b []byte)) []byte {
		b := bytes.Clone(img)
		f(b)
		return b
	}
	for _, tc := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "too short", nil},
		{"other data", "no EROFS", make([]byte, 8192)},
		{"short", "cut short", img[:len(img)-4096]},
		{"flipped bit", "checksum", cut(func(b []byte) { b[1024+100] ^= 1 })},
		{"unknown feature", "features", cut(func(b []byte) { binary.LittleEndian.PutUint32(b[1024+80:], 1<<30) })},
		{"block size", "block size", cut(func(b []byte) { b[1024+12] = 60 })},
	} {
		_, err := Mount(&disc{b: tc.b}, "img", 7)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// FuzzImage walks everything a damaged image shows.
func FuzzImage(f *testing.F) {
	img := small(f)
	f.Add(img, uint16(0), uint32(0))
	f.Add(img, uint16(1152), uint32(0xffffffff))
	f.Fuzz(func(_ *testing.T, b []byte, at uint16, val uint32) { walkAll(b, at, val) })
}

// walkAll looks at everything in an image in which one word is overwritten.
func walkAll(b []byte, at uint16, val uint32) {
	if len(b) > 1<<20 {
		return
	}
	b = bytes.Clone(b)
	if int(at)+4 <= len(b) {
		binary.LittleEndian.PutUint32(b[at:], val)
	}
	if len(b) > superOffset+8 {
		b[superOffset+8] &^= compatChecksum // the fuzzer cannot guess sums
	}
	sb, err := Mount(&disc{b: b}, "img", 7)
	if err != nil {
		return
	}
	defer sb.Root.Ops.(*node).fs.release()
	c := vfstest.New()
	budget := 2000
	var walk func(i *vfs.Inode, depth int)
	walk = func(i *vfs.Inode, depth int) {
		if budget--; budget < 0 || depth > 8 {
			return
		}
		_, _ = i.Ops.Listxattr(c, i)
		_, _ = i.Ops.Getxattr(c, i, "user.a")
		_, _ = i.Ops.Readlink(c, i)
		switch i.Attr().Mode & unix.S_IFMT {
		case unix.S_IFREG:
			page := make([]byte, 2*4096)
			_ = i.Ops.(mm.Store).ReadPages(0, [][]byte{page[:4096], page[4096:]})
			if size := i.Ops.(mm.Store).Size(); size > 0 {
				_ = i.Ops.(mm.Store).ReadPages((size-1)/4096, [][]byte{page[:4096]})
			}
			n := i.Ops.(*node)
			if n.size < 1<<24 {
				_, _ = n.hole(0)
				_, _ = n.data(0)
			}
		case unix.S_IFDIR:
			pos := int64(0)
			_ = dir{n: i.Ops.(*node)}.ReadDir(c, nil, &pos, func(d vfs.Dirent) bool {
				pos = d.Next
				budget--
				if child, err := i.Ops.Lookup(c, i, d.Name); err == nil && d.Name != "." && d.Name != ".." {
					walk(child, depth+1)
				}
				return budget > 0
			})
		}
	}
	walk(sb.Root, 0)
}

// memory is a device that lies in frames.
type memory struct {
	disc
	base   cpu.PhysAddr
	frames int
}

func (m *memory) Frame(off uint64) (cpu.PhysAddr, bool) {
	m.frames++
	return m.base + cpu.PhysAddr(off), off < uint64(len(m.b))
}

func TestImageInMemoryIsMappedWhereItLies(t *testing.T) {
	img := small(t)
	base, ok := cpu.AllocContiguous(len(img) / cpu.PageSize)
	if !ok {
		t.Fatal("no memory")
	}
	b := unsafe.Slice((*byte)(cpu.Direct(base)), len(img))
	copy(b, img)
	m := &memory{disc: disc{b: b}, base: base}
	sb, err := Mount(m, "img", 7)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := sb.Root.Ops.Lookup(nil, sb.Root, "sizes")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4096, 5000} {
		i, err := dir.Ops.Lookup(nil, dir, fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		m.frames = 0
		for done := 0; done < n; {
			buf := mm.KernelBuffer(got[done:])
			k, err := i.Cache.ReadAt(&buf, uint64(done), uint64(n))
			if err != nil || k == 0 {
				t.Fatal(k, err)
			}
			done += k
		}
		for k := range got {
			if got[k] != byte(k>>8)^byte(3*k) {
				t.Fatalf("byte %d of %d differs", k, n)
			}
		}
		if m.frames == 0 {
			t.Errorf("a file of %d bytes was copied, not mapped", n)
		}
		if r := i.Cache.Resident(); r > uint64(n%4096) {
			t.Errorf("%d pages of a file of %d bytes are copies", r, n)
		}
	}
}
