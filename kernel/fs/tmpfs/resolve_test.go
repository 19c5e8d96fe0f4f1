package tmpfs_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// plant makes the tree that path walks are compared in.
func plant(s sut) {
	for _, d := range []string{"/a", "/a/b", "/a/b/c", "/d", "/a/long"} {
		_ = s.mkdir(d, 0o755)
	}
	for _, f := range []string{"/f", "/a/f", "/a/b/f", "/d/f"} {
		fd, _ := s.open(f, unix.O_CREAT|unix.O_WRONLY, 0o644)
		_ = s.close(fd)
	}
	for path, target := range map[string]string{
		"/abs": "/a/b", "/rel": "a/b", "/a/up": "..", "/a/b/upup": "../..", "/loop": "loop", "/p": "q", "/q": "p",
		"/a/file": "b/f", "/dangling": "nothing", "/a/absfile": "/f", "/a/slash": "b/", "/a/fslash": "f/",
		"/root": "/", "/a/dot": ".", "/chain": "rel/c/../f", "/a/b/out": "../../d", "/a/dd": "../d/../a/b",
	} {
		_ = s.symlink(target, path)
	}
	// A chain of links: MAXSYMLINKS is 40.
	_ = s.symlink("/f", "/l0")
	for i := 1; i < 45; i++ {
		_ = s.symlink(fmt.Sprintf("/l%d", i-1), fmt.Sprintf("/l%d", i))
	}
}

// TestResolveSameAsLinux compares openat2(2) under all its flags.
func TestResolveSameAsLinux(t *testing.T) {
	needLinux(t)
	dir, err := os.MkdirTemp("/dev/shm", "husk")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	type call struct {
		path    string
		flags   uint64
		mode    uint64
		resolve uint64
	}
	r := rand.New(rand.NewPCG(7, 7))
	parts := []string{
		"a", "b", "c", "d", "f", "abs", "rel", "up", "upup", "loop", "p", "file", "dangling", "absfile", "slash",
		"fslash", "root", "dot", "chain", "out", "dd", "l5", "l38", "l39", "l40", "l41", "..", ".", "", "none",
	}
	var calls []call
	for range 20000 {
		c := call{path: parts[r.IntN(len(parts))]}
		for r.IntN(2) == 0 {
			c.path = parts[r.IntN(len(parts))] + "/" + c.path
		}
		if r.IntN(4) == 0 {
			c.path = "/" + c.path
		}
		if r.IntN(6) == 0 {
			c.path += "/"
		}
		c.flags = []uint64{
			unix.O_RDONLY, unix.O_PATH, unix.O_RDONLY | unix.O_DIRECTORY, unix.O_PATH | unix.O_NOFOLLOW, unix.O_RDONLY | unix.O_NOFOLLOW,
			unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW, unix.O_RDWR, unix.O_RDWR | unix.O_CREAT | unix.O_EXCL,
		}[r.IntN(8)]
		if c.flags&unix.O_CREAT != 0 {
			c.mode = 0o600
		}
		if r.IntN(2) == 0 {
			// Without RESOLVE_NO_XDEV: Linux takes an absolute link in a
			// relative path for another mount, which the manual does not say.
			c.resolve = uint64(r.IntN(32)) &^ 1
		}
		calls = append(calls, c)
	}
	answers := make(chan []string, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Unshare(unix.CLONE_FS) != nil || unix.Chroot(dir) != nil || unix.Chdir("/") != nil {
			answers <- nil
			return
		}
		l := &linux{}
		_ = unix.Chmod("/", 0o1777)
		plant(l)
		start, _ := unix.Open("/a", unix.O_PATH, 0)
		var got []string
		for _, c := range calls {
			fd, err := unix.Openat2(start, c.path, &unix.OpenHow{Flags: c.flags, Mode: c.mode, Resolve: c.resolve})
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			st, _ := l.fstat(fd)
			got = append(got, st)
			_ = unix.Close(fd)
		}
		_ = unix.Close(start)
		answers <- got
	}()
	want := <-answers
	if want == nil {
		t.Skip("cannot change root")
	}
	sb, err := tmpfs.New("")
	if err != nil {
		t.Fatal(err)
	}
	h := newHusk(t, sb)
	plant(h)
	start, err := vfs.Lookup(h.c, nil, "/a", vfs.Follow)
	if err != nil {
		t.Fatal(err)
	}
	bits := []vfs.LookupFlags{vfs.ResolveNoXDev, vfs.ResolveNoMagicLinks, vfs.ResolveNoSymlinks, vfs.ResolveBeneath, vfs.ResolveInRoot}
	for i, c := range calls {
		got := func() string {
			if c.resolve&0x18 == 0x18 {
				return unix.EINVAL.Error()
			}
			flags, mode, err := vfs.CheckOpenFlags(c.flags, uint32(c.mode), true)
			if err != nil {
				return err.Error()
			}
			var lf vfs.LookupFlags
			for b, f := range bits {
				if c.resolve&(1<<b) != 0 {
					lf |= f
				}
			}
			f, err := vfs.OpenAt(h.c, &start, c.path, flags, mode, lf)
			if err != nil {
				return err.Error()
			}
			defer f.Put()
			var a vfs.Attr
			_ = f.Inode.Stat(h.c, &a)
			return showAttr(&a)
		}()
		if got != want[i] {
			t.Errorf("openat2(/a, %q, flags %#x, resolve %#x): %s, Linux %s", c.path, c.flags, c.resolve, got, want[i])
			if i > 3 && t.Failed() {
				return
			}
		}
	}
}

// TestRecordLocksSameAsLinux compares random OFD locks of three open files.
func TestRecordLocksSameAsLinux(t *testing.T) {
	real, err := os.CreateTemp("", "husk")
	if err != nil {
		t.Skip(err)
	}
	defer os.Remove(real.Name())
	defer real.Close()
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	var fds []int
	var files []*vfs.File
	for range 3 {
		fd, err := unix.Open(real.Name(), unix.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
		f, err := vfs.Open(h.c, "/f", unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Put()
		files = append(files, f)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for step := range 50000 {
		n := r.IntN(3)
		l := unix.Flock_t{
			Type: []int16{unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK}[r.IntN(3)], Whence: int16(r.IntN(4)),
			Start: int64(r.IntN(40)) - 3, Len: int64(r.IntN(20)) - 4,
		}
		if r.IntN(20) == 0 {
			l.Len = 0
		}
		if r.IntN(100) == 0 {
			l.Start = 1<<63 - 1 - int64(r.IntN(3))
		}
		cmd := []int{unix.F_OFD_SETLK, unix.F_OFD_SETLK, unix.F_OFD_GETLK}[r.IntN(3)]
		ours, theirs := l, l
		err := files[n].RecordLock(h.c, h.fds, cmd, &ours, func() bool { return true })
		want := unix.FcntlFlock(uintptr(fds[n]), cmd, &theirs)
		if err == nil {
			err = error(nil)
		}
		if fmt.Sprint(err) != fmt.Sprint(want) || cmd == unix.F_OFD_GETLK && (ours.Type != theirs.Type || ours.Type != unix.F_UNLCK && (ours.Start != theirs.Start || ours.Len != theirs.Len)) {
			t.Fatalf("step %d: file %d, cmd %d, %+v: %v %+v, Linux %v %+v", step, n, cmd, l, err, ours, want, theirs)
		}
	}
}

func TestPosixLockDeadlockIsFound(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	other := vfstest.New()
	other.SetFS(h.c.FS())
	tables := []*vfs.FDTable{vfs.NewFDTable(), vfs.NewFDTable()}
	var files []*vfs.File
	for range 2 {
		f, err := vfs.Open(h.c, "/f", unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	yes := func() bool { return true }
	lock := func(c vfs.Caller, who int, cmd int, start int64) error {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: 1}
		return files[who].RecordLock(c, tables[who], cmd, &l, yes)
	}
	if lock(h.c, 0, unix.F_SETLK, 0) != nil || lock(other, 1, unix.F_SETLK, 1) != nil {
		t.Fatal("free locks were not granted")
	}
	done := make(chan error)
	go func() { done <- lock(h.c, 0, unix.F_SETLKW, 1) }()
	time.Sleep(20 * time.Millisecond)
	if err := lock(other, 1, unix.F_SETLKW, 0); err != unix.EDEADLK {
		t.Fatalf("the second half of a deadlock got %v", err)
	}
	// Closing any descriptor of the file ends the owner's locks.
	fd, err := tables[1].Install(files[1], 0, false, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := tables[1].Close(other, fd); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("the freed lock got %v", err)
	}
}

func TestFlockBlocksUntilReleased(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	a, _ := vfs.Open(h.c, "/f", unix.O_RDWR|unix.O_CREAT, 0o600)
	b, _ := vfs.Open(h.c, "/f", unix.O_RDONLY, 0)
	if err := a.Flock(h.c, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := b.Flock(h.c, unix.LOCK_SH|unix.LOCK_NB); err != unix.EAGAIN {
		t.Fatalf("a shared lock beside an exclusive one: %v", err)
	}
	done := make(chan error)
	other := vfstest.New()
	go func() { done <- b.Flock(other, unix.LOCK_SH) }()
	time.Sleep(10 * time.Millisecond)
	a.Put() // closing releases
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestMounts(t *testing.T) {
	tmpfs.Register()
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	for _, d := range []string{"/m", "/n", "/x", "/x/y"} {
		if err := h.mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file, _ := h.open("/x/file", unix.O_CREAT|unix.O_RDWR, 0o644)
	_, _ = h.write(file, "hello", 0)
	fails := func(want unix.Errno, err error) {
		t.Helper()
		if want == 0 && err == nil {
			return
		}
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	mount := func(src, dst, kind string, flags uint32, data string) error {
		return vfs.MountCall(h.c, src, dst, kind, flags, data)
	}
	fails(0, mount("none", "/m", "tmpfs", 0, "size=16k,mode=700"))
	fails(unix.ENODEV, mount("none", "/m", "nothere", 0, ""))
	fails(unix.EINVAL, mount("none", "/m", "tmpfs", 0, "bad=1"))
	fails(unix.ENOENT, mount("none", "/none", "tmpfs", 0, ""))
	fails(unix.ENOTDIR, mount("none", "/x/file", "tmpfs", 0, ""))
	if st, _ := h.stat("/m", true); st[:5] != "40700" {
		t.Error("the mount's root is", st)
	}
	fails(0, h.mkdir("/m/sub", 0o755))
	fails(unix.EXDEV, h.rename("/m/sub", "/sub", 0))
	fails(unix.EBUSY, h.rmdir("/m"))
	fails(unix.EBUSY, h.rename("/m", "/mm", 0))
	fd, err := h.open("/m/big", unix.O_CREAT|unix.O_WRONLY, 0o644)
	fails(0, err)
	if n, err := h.write(fd, string(make([]byte, 20000)), 0); n != 16384 || err != nil {
		t.Error("a write beyond size= wrote", n, err)
	}
	_, err = h.write(fd, "x", 16384)
	fails(unix.ENOSPC, err)
	fails(unix.EBUSY, vfs.Unmount(h.c, "/m", 0))
	_ = h.close(fd)
	fails(0, mount("none", "/m", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	fails(unix.EROFS, h.mkdir("/m/other", 0o755))
	fails(unix.EROFS, h.unlink("/m/none"))
	_, err = h.open("/m/big", unix.O_WRONLY, 0)
	fails(unix.EROFS, err)
	fails(0, mount("none", "/m", "", unix.MS_REMOUNT, ""))
	fails(0, h.mkdir("/m/other", 0o755))
	fails(0, vfs.Unmount(h.c, "/m", 0))
	fails(unix.EINVAL, vfs.Unmount(h.c, "/m", 0))
	fails(unix.ENOENT, h.rmdir("/m/other"))

	fails(0, mount("/x", "/n", "", unix.MS_BIND, ""))
	if st, err := h.stat("/n/file", true); err != nil {
		t.Error("bind mount:", st, err)
	}
	fails(0, mount("/x", "/n", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err = h.open("/n/file", unix.O_WRONLY, 0)
	fails(unix.EROFS, err)
	_, err = h.open("/x/file", unix.O_WRONLY, 0)
	fails(0, err)
	fails(0, mount("/x/file", "/x/file", "", unix.MS_BIND, ""))
	fails(unix.EBUSY, h.unlink("/x/file"))
	fails(0, vfs.Unmount(h.c, "/x/file", 0))
	fails(0, h.chdir("/n/y"))
	if cwd, err := h.getcwd(); cwd != "/n/y" || err != nil {
		t.Error("getcwd below a bind mount:", cwd, err)
	}
	fails(unix.EBUSY, vfs.Unmount(h.c, "/n", 0))
	fails(0, vfs.Unmount(h.c, "/n", unix.MNT_DETACH))
	if cwd, _ := h.getcwd(); cwd != "(unreachable)/y" {
		t.Error("getcwd in a detached mount:", cwd)
	}
	fails(0, h.chdir("/"))

	// pivot_root moves the root of everybody.
	fails(0, mount("new", "/n", "tmpfs", 0, ""))
	fails(0, h.mkdir("/n/old", 0o755))
	fails(unix.EINVAL, vfs.PivotRoot(h.c, "/n/old", "/n/old"))
	fails(0, vfs.PivotRoot(h.c, "/n", "/n/old"))
	if _, err := h.stat("/old/x/file", true); err != nil {
		t.Error("the old root after pivot_root:", err)
	}
	fails(0, vfs.Unmount(h.c, "/old", unix.MNT_DETACH))
	if list, _ := h.list("/old"); list != "../4 ./4" {
		t.Error("/old after umount:", list)
	}
}

func TestUnmountEndsWatchesAndKeepsOpenFiles(t *testing.T) {
	tmpfs.Register()
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	_ = h.mkdir("/m", 0o755)
	if err := vfs.MountCall(h.c, "none", "/m", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	fd, err := h.open("/m/f", unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = h.write(fd, "data", 0)
	h.startInotify()
	defer h.stopInotify()
	if _, err := h.watch("/m", unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	if err := vfs.Unmount(h.c, "/m", unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if s, err := h.read(fd, 10, 0); s != "data" {
		t.Errorf("a file of a detached mount reads %q, %v", s, err)
	}
	if ev := h.events(); len(ev) != 0 {
		t.Error("events before the last file is closed:", showEvents(ev, nil))
	}
	_ = h.close(fd)
	if got := showEvents(h.events(), nil); got != " [1 2000 0 0] [1 8000 0 0]" {
		t.Error("events of the unmount:", got)
	}
}

// TestDentryCacheIsBounded looks at more names than the cache may hold.
func TestDentryCacheIsBounded(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	vfs.SetDentryLimit(100)
	defer vfs.SetDentryLimit(1 << 14)
	if err := h.mkdir("/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	keep, _ := h.open("/dir/keep", unix.O_CREAT|unix.O_RDWR, 0o600)
	for i := range 3000 {
		name := fmt.Sprintf("/dir/%d", i)
		if i%2 == 0 {
			fd, err := h.open(name, unix.O_CREAT|unix.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = h.write(fd, name, 0)
			_ = h.close(fd)
		} else if _, err := h.stat(name, true); err != unix.ENOENT {
			t.Fatal(name, err)
		}
	}
	if n := vfs.CachedDentries(); n > 300 {
		t.Error(n, "dentries are cached")
	}
	for i := 0; i < 3000; i += 2 { // what was pruned is found again
		if st, err := h.stat(fmt.Sprintf("/dir/%d", i), true); err != nil {
			t.Fatal(i, st, err)
		}
	}
	if _, err := h.write(keep, "x", 0); err != nil {
		t.Error(err)
	}
}

// TestConcurrentNames lets threads make, move, open and remove the same names
// at once, and then looks whether the tree still hangs together.
func TestConcurrentNames(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	var all sync.WaitGroup
	stop := time.Now().Add(2 * time.Second)
	for g := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			c := vfstest.New()
			c.SetFS(h.c.FS())
			mine := &husk{c: c, fds: h.fds}
			r := rand.New(rand.NewPCG(uint64(g), 9))
			path := func() string {
				p := ""
				for range 1 + r.IntN(3) { // renames make it deeper
					p += "/" + string(rune('a'+r.IntN(3)))
				}
				return p
			}
			for time.Now().Before(stop) {
				switch r.IntN(9) {
				case 0:
					_ = mine.mkdir(path(), 0o777)
				case 1:
					_ = mine.rmdir(path())
				case 2:
					_ = mine.unlink(path())
				case 3:
					_ = mine.rename(path(), path(), []int{0, 0, 1, 2}[r.IntN(4)])
				case 4:
					_ = mine.link(path(), path(), false)
				case 5:
					_ = mine.symlink(path(), path())
				case 6:
					_, _ = mine.stat(path(), true)
					_, _ = mine.list(path())
				default:
					f, err := vfs.Open(c, path(), uint32(unix.O_RDWR|unix.O_CREAT|r.IntN(2)*unix.O_TRUNC), 0o644)
					if err != nil {
						continue
					}
					b := mm.KernelBuffer(make([]byte, r.IntN(5000)))
					_, _ = f.Write(c, &b)
					b = mm.KernelBuffer(make([]byte, 100))
					_, _ = f.Pread(c, &b, 0)
					_ = f.Path.String(c.FS().Root())
					f.Put()
				}
			}
		}()
	}
	all.Wait()
	links := map[*vfs.Inode]uint32{}
	var count func(dir string) (subdirs uint32)
	count = func(dir string) uint32 {
		var subdirs uint32
		f, err := vfs.Open(h.c, dir+"/", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(dir, err)
		}
		var names []string
		_ = f.ReadDir(h.c, func(e vfs.Dirent) bool {
			if e.Name != "." && e.Name != ".." {
				names = append(names, e.Name)
			}
			return true
		})
		f.Put()
		for _, name := range names {
			path := dir + "/" + name
			p, err := vfs.Lookup(h.c, nil, path, 0)
			if err != nil {
				t.Fatal(path, "is listed:", err)
			}
			i := p.Inode()
			if i.IsDir() {
				subdirs++
				if n := count(path); i.Attr().Nlink != n+2 {
					t.Errorf("%s has %d directories and %d links", path, n, i.Attr().Nlink)
				}
				continue
			}
			links[i]++
		}
		return subdirs
	}
	count("")
	for i, n := range links {
		if a := i.Attr(); a.Nlink != n {
			t.Errorf("inode %d has %d names and %d links", i.Ino, n, a.Nlink)
		}
	}
}

// TestDescriptorsRace uses one table from several threads.
func TestDescriptorsRace(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	var all sync.WaitGroup
	for g := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			r := rand.New(rand.NewPCG(uint64(g), 1))
			c := vfstest.New()
			c.SetFS(h.c.FS())
			for range 3000 {
				fd := r.IntN(100)
				switch r.IntN(5) {
				case 0:
					f, err := vfs.Open(c, "/f", unix.O_RDWR|unix.O_CREAT, 0o644)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := h.fds.Install(f, fd, false, 200); err != nil {
						f.Put()
					}
				case 1:
					_ = h.fds.Close(c, fd)
				case 2:
					if f, err := h.fds.Get(fd); err == nil {
						if err := h.fds.InstallAt(c, f, r.IntN(150), true, 200); err != nil {
							f.Put()
						}
					}
				case 3:
					if f, err := h.fds.Get(fd); err == nil {
						b := mm.KernelBuffer(make([]byte, 10))
						_, _ = f.Write(c, &b)
						f.Put()
					}
				case 4:
					n := h.fds.Clone()
					n.Unref(c)
				}
			}
		}()
	}
	all.Wait()
	h.fds.CloseRange(h.c, 0, 1000)
	if n := h.fds.Count(); n != 0 {
		t.Error(n, "descriptors are left")
	}
	p, err := vfs.Lookup(h.c, nil, "/f", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Inode().DenyWrite(); err != nil {
		t.Error("the file still counts as open for writing:", err)
	}
}
