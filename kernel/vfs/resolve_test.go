package vfs_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/vfs"
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
