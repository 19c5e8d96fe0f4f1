package vfs_test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/vfs"
)

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
