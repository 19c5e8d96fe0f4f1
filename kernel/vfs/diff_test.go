package vfs_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/pipe"
)

// steps makes the same random calls on a system and returns what each gave.
// Descriptors are named by the order in which they were opened.
func steps(seed uint64, n int, s sut) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	var log []string
	type open struct{ fd int }
	var fds []open
	uid := 0
	watching := seed%3 == 0
	cookies := map[uint32]int{}
	if watching {
		s.startInotify()
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	name := func() string { return pick("a", "b", "c", "d", "e") }
	path := func() string {
		p := name()
		for r.IntN(3) == 0 {
			p = pick("a", "b", "c", "d", "e", "..", ".", "") + "/" + p
		}
		switch r.IntN(24) {
		case 0:
			p += "/"
		case 1:
			p += "/."
		case 2:
			p += "/.."
		case 3, 4, 5:
			p = "/" + p
		case 6:
			return ""
		case 7:
			p += "//"
		case 8:
			return strings.Repeat("n", 254+r.IntN(3))
		case 9:
			return "/"
		}
		return p
	}
	flag := func(list ...int) int {
		f := 0
		for _, x := range list {
			if r.IntN(4) == 0 {
				f |= x
			}
		}
		return f
	}
	for range n {
		var what string
		var res any
		var err error
		fd := -1
		if len(fds) > 0 {
			fd = fds[r.IntN(len(fds))].fd
		}
		off := int64(r.IntN(20000))
		if r.IntN(6) == 0 {
			off = int64(r.IntN(5)) * 4096
		}
		kinds := 40
		if watching {
			kinds = 43
		}
		switch k := r.IntN(kinds); k {
		case 40, 41:
			p := path()
			masks := []uint32{unix.IN_ALL_EVENTS, unix.IN_ALL_EVENTS, unix.IN_CREATE | unix.IN_DELETE, unix.IN_MOVE, unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF}
			mask := masks[r.IntN(len(masks))] | uint32(flag(unix.IN_ONLYDIR, unix.IN_DONT_FOLLOW, unix.IN_MASK_ADD, unix.IN_ONESHOT&0x7fffffff))
			if r.IntN(6) == 0 {
				mask |= unix.IN_EXCL_UNLINK
			}
			if r.IntN(10) == 0 {
				mask |= unix.IN_ONESHOT
			}
			what = fmt.Sprintf("watch(%q, %#x)", p, mask)
			res, err = s.watch(p, mask)
		case 42:
			wd := r.IntN(20)
			what = fmt.Sprintf("unwatch(%d)", wd)
			err = s.unwatch(wd)
		case 0, 1, 2, 3, 4:
			p := path()
			fl := r.IntN(3) | flag(unix.O_CREAT, unix.O_CREAT, unix.O_EXCL, unix.O_TRUNC, unix.O_APPEND, unix.O_NOFOLLOW, unix.O_DIRECTORY, unix.O_NONBLOCK)
			fl |= unix.O_NONBLOCK // never wait for a FIFO's other end
			switch r.IntN(12) {
			case 0:
				fl |= unix.O_PATH
			case 1:
				fl |= unix.O_TMPFILE
			case 2:
				fl |= unix.O_NOATIME
			}
			mode := []uint32{0o644, 0o600, 0o777, 0o4755, 0o2711, 0}[r.IntN(6)]
			what = fmt.Sprintf("open(%q, %#x, %#o)", p, fl, mode)
			var d int
			d, err = s.open(p, fl, mode)
			if err == nil {
				fds = append(fds, open{d})
				if len(fds) > 12 {
					_ = s.close(fds[0].fd)
					fds = fds[1:]
				}
			}
		case 5:
			if fd < 0 {
				continue
			}
			what, err = "close", s.close(fd)
			fds = slices.DeleteFunc(fds, func(o open) bool { return o.fd == fd })
		case 6, 7:
			if r.IntN(2) == 0 {
				off = -1
			}
			n := r.IntN(9000)
			what = fmt.Sprintf("read(%d, %d)", n, off)
			res, err = s.read(fd, n, off)
		case 8, 9, 10:
			if r.IntN(2) == 0 {
				off = -1
			}
			data := strings.Repeat(string(rune('A'+r.IntN(26))), r.IntN(9000))
			what = fmt.Sprintf("write(%d, %d)", len(data), off)
			res, err = s.write(fd, data, off)
		case 11, 12:
			whence := r.IntN(6)
			if seed%2 == 0 && whence >= unix.SEEK_DATA {
				continue // Linux takes pages of fallocate for holes until they are written
			}
			if r.IntN(3) == 0 {
				off = -off
			}
			what = fmt.Sprintf("lseek(%d, %d)", off, whence)
			res, err = s.lseek(fd, off, whence)
		case 13:
			what = fmt.Sprintf("ftruncate(%d)", off)
			err = s.ftruncate(fd, off)
		case 14:
			mode := uint32([]int{0, 1, 2, 3, 8, 0x10, 0x11, 0x20, 0x40}[r.IntN(9)])
			n := int64(r.IntN(20000)) - 100
			if seed%2 == 1 {
				mode |= 2
			}
			what = fmt.Sprintf("fallocate(%#x, %d, %d)", mode, off, n)
			err = s.fallocate(fd, mode, off, n)
		case 15:
			p := path()
			off -= 500
			what = fmt.Sprintf("truncate(%q, %d)", p, off)
			err = s.truncate(p, off)
		case 16, 17, 18:
			p := path()
			mode := []uint32{0o755, 0o700, 0o1777, 0o2775, 0o777}[r.IntN(5)]
			what = fmt.Sprintf("mkdir(%q, %#o)", p, mode)
			err = s.mkdir(p, mode)
		case 19:
			p := path()
			what = fmt.Sprintf("rmdir(%q)", p)
			err = s.rmdir(p)
		case 20:
			p := path()
			what = fmt.Sprintf("unlink(%q)", p)
			err = s.unlink(p)
		case 21, 22, 23:
			p, q := path(), path()
			fl := flag(1, 2, 4)
			if r.IntN(2) == 0 {
				fl = 0
			}
			what = fmt.Sprintf("rename(%q, %q, %d)", p, q, fl)
			err = s.rename(p, q, fl)
		case 24:
			p, q := path(), path()
			follow := r.IntN(2) == 0
			if uid != 0 {
				continue // fs.protected_hardlinks may be set on the host
			}
			what = fmt.Sprintf("link(%q, %q, %v)", p, q, follow)
			err = s.link(p, q, follow)
		case 25, 26:
			target, p := path(), path()
			if len(target) > 200 {
				target = "/a/b"
			}
			what = fmt.Sprintf("symlink(%q, %q)", target, p)
			err = s.symlink(target, p)
		case 27:
			p := path()
			what = fmt.Sprintf("readlink(%q)", p)
			res, err = s.readlink(p)
		case 28, 29:
			p := path()
			follow := r.IntN(2) == 0
			what = fmt.Sprintf("stat(%q, %v)", p, follow)
			res, err = s.stat(p, follow)
		case 30:
			what = "fstat"
			res, err = s.fstat(fd)
		case 31:
			p := path()
			mode := uint32(r.IntN(0o10000))
			what = fmt.Sprintf("chmod(%q, %#o)", p, mode)
			err = s.chmod(p, mode)
		case 32:
			p := path()
			ids := []int{-1, 0, 1000, 1001}
			u, g, follow := ids[r.IntN(4)], ids[r.IntN(4)], r.IntN(2) == 0
			what = fmt.Sprintf("chown(%q, %d, %d, %v)", p, u, g, follow)
			err = s.chown(p, u, g, follow)
		case 33:
			p := path()
			mode := uint32(r.IntN(8))
			what = fmt.Sprintf("access(%q, %d)", p, mode)
			err = s.access(p, mode)
		case 34:
			p := path()
			mode := []uint32{unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFREG, 0, unix.S_IFDIR, unix.S_IFCHR, unix.S_IFLNK}[r.IntN(7)] | 0o664
			what = fmt.Sprintf("mknod(%q, %#o)", p, mode)
			err = s.mknod(p, mode, 0)
		case 35:
			p := path()
			what = fmt.Sprintf("list(%q)", p)
			res, err = s.list(p)
		case 36, 37:
			p := path()
			x := pick("user.x", "user.y", "trusted.z", "user.", "other.x", "x", "security.q")
			switch r.IntN(4) {
			case 0:
				v := strings.Repeat("v", r.IntN(5))
				fl := r.IntN(3)
				what = fmt.Sprintf("setxattr(%q, %s, %q, %d)", p, x, v, fl)
				err = s.setxattr(p, x, v, fl)
			case 1:
				what = fmt.Sprintf("getxattr(%q, %s)", p, x)
				res, err = s.getxattr(p, x)
			case 2:
				what = fmt.Sprintf("listxattr(%q)", p)
				res, err = s.listxattr(p)
			case 3:
				what = fmt.Sprintf("removexattr(%q, %s)", p, x)
				err = s.removexattr(p, x)
			}
		case 38:
			p := path()
			follow := r.IntN(2) == 0
			var times *[2]unix.Timespec
			if r.IntN(3) > 0 {
				one := func() unix.Timespec {
					return unix.Timespec{Sec: int64(r.IntN(1e8)), Nsec: []int64{0, 5, 999999999, 1e9, unix.UTIME_NOW, unix.UTIME_OMIT}[r.IntN(6)]}
				}
				times = &[2]unix.Timespec{one(), one()}
			}
			what = fmt.Sprintf("utimes(%q, %v, %v)", p, times, follow)
			err = s.utimes(p, times, follow)
		case 39:
			switch r.IntN(5) {
			case 0:
				p := path()
				what = fmt.Sprintf("chdir(%q)", p)
				err = s.chdir(p)
			case 1:
				what = "getcwd"
				res, err = s.getcwd()
			case 2:
				uid = []int{0, 1000}[r.IntN(2)]
				what = fmt.Sprintf("become(%d)", uid)
				s.become(uid)
			case 3:
				p := path()
				if uid != 0 {
					continue // Linux 6.10 relaxed who may; we follow that
				}
				what = fmt.Sprintf("linkfd(%q)", p)
				err = s.linkfd(fd, p)
			case 4:
				what, err = "chdir(/)", s.chdir("/")
			}
		}
		if err != nil {
			res = nil
		}
		e := "ok"
		if no, ok := err.(unix.Errno); ok {
			e = unix.ErrnoName(no)
		} else if err != nil {
			e = err.Error()
		}
		out := fmt.Sprint(res)
		if len(out) > 300 {
			out = fmt.Sprintf("%d bytes %x %s…", len(out), crc(out), out[:20])
		}
		line := fmt.Sprintf("%s = %s %s", what, e, out)
		if watching {
			line += showEvents(s.events(), cookies)
		}
		log = append(log, line)
	}
	for _, f := range fds {
		_ = s.close(f.fd)
	}
	s.become(0)
	if watching {
		s.stopInotify()
	}
	return log
}

func crc(s string) (h uint32) {
	for i := range len(s) {
		h = h*31 + uint32(s[i])
	}
	return h
}

// onLinux makes the calls of the given seeds, one after the other, in one
// fresh directory of the host's tmpfs; the answers are those of the last.
func onLinux(t *testing.T, n int, seeds ...uint64) []string {
	dir, err := os.MkdirTemp("/dev/shm", "husk")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	answers := make(chan []string)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with us
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			answers <- nil
			return
		}
		unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		unix.Umask(0o022)
		_ = unix.Chmod(dir, 0o1777)
		if unix.Chroot(dir) != nil || unix.Chdir("/") != nil {
			answers <- nil
			return
		}
		var last []string
		for _, seed := range seeds {
			last = steps(seed, n, &linux{})
			_ = unix.Chdir("/")
		}
		answers <- last
	}()
	a := <-answers
	if a == nil {
		t.Skip("cannot change root")
	}
	return a
}

func needLinux(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes device nodes and changes its root")
	}
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("no tmpfs at /dev/shm")
	}
	pipe.Register()
}

func seeds(many uint64) uint64 {
	if testing.Short() {
		return many / 10
	}
	return many
}

// TestSameAsLinux makes random calls on tmpfs through package vfs and on the
// tmpfs of the kernel that runs the test, and compares every answer.
func TestSameAsLinux(t *testing.T) {
	needLinux(t)
	for seed := range seeds(100) {
		want := onLinux(t, 900, seed)
		sb, err := tmpfs.New("")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, seed, steps(seed, 900, newHusk(t, sb)), want)
		if t.Failed() {
			return
		}
	}
}

// TestOverlaySameAsLinux fills a tree with random calls, puts an overlay
// above it and goes on: the overlay must behave like the tree itself.
func TestOverlaySameAsLinux(t *testing.T) {
	needLinux(t)
	for seed := range seeds(100) {
		want := onLinux(t, 500, seed, 2*seed+4000)
		lower, err := tmpfs.New("")
		if err != nil {
			t.Fatal(err)
		}
		steps(seed, 500, newHusk(t, lower))
		before := tree(t, newHusk(t, lower))
		over, err := tmpfs.NewOver(lower.Root, "")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, seed, steps(2*seed+4000, 500, newHusk(t, over)), want)
		if after := tree(t, newHusk(t, lower)); after != before {
			t.Errorf("seed %d: the lower tree was changed:\n%s\nbefore:\n%s", seed, after, before)
		}
		if t.Failed() {
			return
		}
	}
}

// tree describes everything below the root.
func tree(t *testing.T, h *husk) string {
	var b strings.Builder
	var walk func(dir string)
	walk = func(dir string) {
		list, err := h.list(dir)
		if err != nil {
			t.Fatal(dir, err)
		}
		for _, e := range strings.Fields(list) {
			name, kind, _ := strings.Cut(e, "/")
			if name == "." || name == ".." {
				continue
			}
			path := dir + "/" + name
			st, err := h.stat(path, false)
			fmt.Fprintln(&b, path, st, err)
			x, _ := h.listxattr(path)
			fmt.Fprintln(&b, x)
			switch kind {
			case "4":
				walk(path)
			case "8":
				fd, err := h.open(path, unix.O_RDONLY, 0)
				if err != nil {
					t.Fatal(path, err)
				}
				data, _ := h.read(fd, 1<<20, 0)
				fmt.Fprintln(&b, len(data), crc(data))
				_ = h.close(fd)
			}
		}
	}
	walk("/")
	return b.String()
}

func compare(t *testing.T, seed uint64, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			for _, s := range want[max(0, i-12):i] {
				t.Log("      ", s)
			}
			t.Errorf("seed %d, step %d:\n  husk  %s\n  linux %s", seed, i, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("seed %d: %d steps, Linux %d", seed, len(got), len(want))
	}
}
