package tmpfs

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

func TestOptions(t *testing.T) {
	cases := []struct {
		data  string
		pages int64
		mode  uint32
		ok    bool
	}{
		{"", 0, 0o1777, true},
		{"size=1", 1, 0o1777, true},
		{"size=8k,mode=700", 2, 0o700, true},
		{"size=1G", 1 << 18, 0o1777, true},
		{"nr_blocks=7", 7, 0o1777, true},
		{"size=0x2000", 2, 0o1777, true},
		{"mode=9", 0, 0, false},
		{"size=", 0, 0, false},
		{"size=k", 0, 0, false},
		{"size=-1", 0, 0, false},
		{"size=99999999999999g", 0, 0, false},
		{"what=1", 0, 0, false},
		{"inode64=1", 0, 0, false},
		{",,inode64,,huge=never", 0, 0o1777, true},
	}
	for _, c := range cases {
		o, err := parseOptions(c.data)
		if !c.ok {
			if err != unix.EINVAL {
				t.Errorf("%q: %v, want EINVAL", c.data, err)
			}
			continue
		}
		if err != nil || o.maxPages != c.pages || o.mode != c.mode {
			t.Errorf("%q: %+v, %v", c.data, o, err)
		}
	}
	sb, err := New("size=8k,nr_inodes=2,mode=711,uid=3,gid=4")
	if err != nil {
		t.Fatal(err)
	}
	if got := sb.Options(); got != ",size=8k,nr_inodes=2,mode=711,uid=3,gid=4" {
		t.Error("the options read", got)
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("size=10%,mode=1777,nr_inodes=5k")
	f.Fuzz(func(t *testing.T, data string) {
		if o, err := parseOptions(data); err == nil && (o.mode&^0o7777 != 0 || o.maxPages < 0 || o.maxInodes < 0) {
			t.Errorf("%q gave %+v", data, o)
		}
	})
}

// acl encodes entries of tag, permissions and id as xattr(7) has them.
func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func TestAccessControlListSetsMode(t *testing.T) {
	base := [][3]uint32{{1, 7, 0}, {4, 5, 0}, {32, 4, 0}}
	if mode, minimal, err := aclMode(acl(base...)); mode != 0o754 || !minimal || err != nil {
		t.Errorf("three entries: %o %v %v", mode, minimal, err)
	}
	full := [][3]uint32{{1, 7, 0}, {2, 6, 5}, {4, 5, 0}, {16, 6, 0}, {32, 4, 0}}
	if mode, minimal, err := aclMode(acl(full...)); mode != 0o764 || minimal || err != nil {
		t.Errorf("with a mask: %o %v %v", mode, minimal, err)
	}
	for _, bad := range [][]byte{nil, {2, 0, 0, 0}, acl(base...)[:9], acl([3]uint32{1, 9, 0}), acl([3]uint32{64, 1, 0}), acl([3]uint32{2, 1, 0})} {
		if _, _, err := aclMode(bad); err != unix.EINVAL {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func FuzzAccessControlList(f *testing.F) {
	f.Add(acl([3]uint32{1, 7, 0}, [3]uint32{4, 5, 0}, [3]uint32{32, 4, 0}))
	f.Fuzz(func(t *testing.T, v []byte) {
		if mode, _, err := aclMode(v); err == nil && mode&^0o777 != 0 {
			t.Errorf("%v gave mode %o", v, mode)
		}
	})
}

// caller returns a thread whose root is sb.
func caller(sb *vfs.Superblock) *vfstest.Caller {
	c := vfstest.New()
	c.SetFS(vfs.NewFSContext(vfs.NewMountNamespace(sb, 0).Root()))
	return c
}

func write(c vfs.Caller, f *vfs.File, n int, off int64) (int, error) {
	b := mm.KernelBuffer(make([]byte, n))
	return f.Pwrite(c, &b, off)
}

func TestPagesAreGivenBack(t *testing.T) {
	sb, err := New("size=64k,nr_inodes=4")
	if err != nil {
		t.Fatal(err)
	}
	c := caller(sb)
	free := func() (uint64, uint64) {
		var st unix.Statfs_t
		sb.Statfs(&st)
		return st.Bfree, st.Ffree
	}
	f, err := vfs.Open(c, "/f", unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := write(c, f, 3*mm.PageSize, 0); n != 3*mm.PageSize {
		t.Fatal(n, err)
	}
	if b, i := free(); b != 13 || i != 2 {
		t.Errorf("%d pages and %d inodes are free beside 3 pages and 2 inodes", b, i)
	}
	if err := f.Allocate(c, fallocPunchHole|fallocKeepSize, 0, mm.PageSize); err != nil {
		t.Fatal(err)
	}
	if b, _ := free(); b != 14 {
		t.Errorf("%d pages are free after a hole", b)
	}
	if err := f.Truncate(c, 1); err != nil {
		t.Fatal(err)
	}
	if b, _ := free(); b != 16 {
		t.Errorf("%d pages are free when the file is a hole", b)
	}
	if err := f.Allocate(c, 0, 0, 17*mm.PageSize); err != unix.ENOSPC {
		t.Errorf("fallocate beyond size=: %v", err)
	}
	if _, err := write(c, f, 1, 0); err != nil {
		t.Fatal(err)
	}
	if err := vfs.Unlink(c, nil, "/f"); err != nil {
		t.Fatal(err)
	}
	if b, i := free(); b != 15 || i != 2 {
		t.Errorf("%d pages and %d inodes are free while the file is open", b, i)
	}
	f.Put()
	if b, i := free(); b != 16 || i != 3 {
		t.Errorf("%d pages and %d inodes are free after the last close", b, i)
	}
	for i, name := range []string{"/a", "/b", "/c", "/d"} {
		want := error(nil)
		if i == 3 {
			want = unix.ENOSPC
		}
		if err := vfs.Mkdir(c, nil, name, 0o755); err != want {
			t.Errorf("mkdir %s: %v, want %v", name, err, want)
		}
	}
}

func TestSeals(t *testing.T) {
	sb, _ := New("")
	c := caller(sb)
	f := NewMemfd(c, "name", true, false)
	if got := f.Path.String(vfs.Path{}); got != "/memfd:name (deleted)" {
		t.Error("its link reads", got)
	}
	s := f.Inode.Ops.(vfs.Sealer)
	_, _ = write(c, f, 100, 0)
	if err := s.AddSeals(f.Inode, sealShrink|sealGrow); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(c, 99); err != unix.EPERM {
		t.Error("shrinking a sealed file:", err)
	}
	if _, err := write(c, f, 10, 95); err != unix.EPERM {
		t.Error("growing a sealed file:", err)
	}
	if err := s.AddSeals(f.Inode, sealWrite|sealSeal); err != nil {
		t.Fatal(err)
	}
	if _, err := write(c, f, 1, 0); err != unix.EPERM {
		t.Error("writing to a sealed file:", err)
	}
	if err := s.AddSeals(f.Inode, sealExec); err != unix.EPERM {
		t.Error("sealing a file whose seals are sealed:", err)
	}
	g := NewMemfd(c, "plain", false, false)
	if err := g.Inode.Ops.(vfs.Sealer).AddSeals(g.Inode, sealGrow); err != unix.EPERM {
		t.Error("sealing without MFD_ALLOW_SEALING:", err)
	}
}

// TestLowerFileIsShared proves that an overlay reads and maps what was not
// changed from the lower file system's own cache, and copies on the first
// open for writing.
func TestLowerFileIsShared(t *testing.T) {
	lower, _ := New("")
	lc := caller(lower)
	f, _ := vfs.Open(lc, "/f", unix.O_CREAT|unix.O_RDWR, 0o644)
	_, _ = write(lc, f, 5000, 0)
	_ = vfs.Mkdir(lc, nil, "/dir", 0o755)
	_, _ = vfs.Open(lc, "/dir/x", unix.O_CREAT, 0o644)

	over, err := NewOver(lower.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	c := caller(over)
	g, err := vfs.Open(c, "/f", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if g.PageCache() != f.PageCache() {
		t.Error("an unchanged file has a cache of its own")
	}
	if g.Inode.Ino != f.Inode.Ino || g.Inode.Dev() == f.Inode.Dev() {
		t.Error("the inode number must be the lower one's, the device not")
	}
	h, err := vfs.Open(c, "/f", unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if h.PageCache() == f.PageCache() || h.Inode != g.Inode {
		t.Error("a file open for writing shares the lower cache, or is another inode")
	}
	b := mm.KernelBuffer([]byte("changed"))
	_, _ = h.Pwrite(c, &b, 0)
	p := make([]byte, 7)
	b = mm.KernelBuffer(p)
	if _, _ = g.Pread(c, &b, 0); string(p) != "changed" {
		t.Errorf("a reader that was there before sees %q", p)
	}
	b = mm.KernelBuffer(p)
	if _, _ = f.Pread(lc, &b, 0); string(p) != "\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the lower file was written: %q", p)
	}
	if err := vfs.Rename(c, nil, "/dir", nil, "/moved", 0); err != nil {
		t.Error("renaming a lower directory:", err)
	}
	if _, err := vfs.Lookup(c, nil, "/moved/x", 0); err != nil {
		t.Error("its contents:", err)
	}
	if err := vfs.Mkdir(c, nil, "/dir", 0o755); err != nil {
		t.Error(err)
	}
	if _, err := vfs.Lookup(c, nil, "/dir/x", 0); err != unix.ENOENT {
		t.Error("a new directory in an old one's place shows its contents:", err)
	}
	c.SetCred(cred.User(1000, 1000, nil))
	if _, err := vfs.Open(c, "/f", unix.O_RDWR, 0); err != unix.EACCES {
		t.Error("permissions of a copied file:", err)
	}
}
