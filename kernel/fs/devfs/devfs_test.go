package devfs

import (
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// world returns a caller whose root is a fresh /dev.
func world(t *testing.T) vfs.Caller {
	t.Helper()
	Register()
	sb, err := mount(vfstest.New(), "", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	return vfstest.In(vfs.NewFSContext(vfs.NewMountNamespace(sb, 0).Root()))
}

func TestMemoryDevicesBehaveAsLinux(t *testing.T) {
	c := world(t)
	for _, name := range []string{"null", "zero", "full", "urandom", "random"} {
		fd, err := unix.Open("/dev/"+name, unix.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Skip(err)
		}
		f, err := vfs.Open(c, "/"+name, unix.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, size := range []int{0, 1, 100, 5000} {
			p, q := make([]byte, size), make([]byte, size)
			b := mm.KernelBuffer(p)
			n, err := f.Read(c, &b)
			m, want := unix.Read(fd, q)
			if n != m || err != want {
				t.Errorf("read %s %d: %d %v, Linux %d %v", name, size, n, err, m, want)
			}
			b = mm.KernelBuffer(p)
			n, err = f.Write(c, &b)
			m, want = unix.Write(fd, q)
			if n != max(m, 0) || err != want {
				t.Errorf("write %s %d: %d %v, Linux %d %v", name, size, n, err, m, want)
			}
		}
		var st unix.Stat_t
		unix.Fstat(fd, &st)
		if a := f.Inode.Attr(); a.Mode != st.Mode || a.Rdev != st.Rdev {
			t.Errorf("%s: mode %o rdev %x, Linux %o %x", name, a.Mode, a.Rdev, st.Mode, st.Rdev)
		}
		ep, _ := unix.EpollCreate1(0)
		canPoll := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{}) == nil
		if ours := f.Ops.Queue(f) != nil; ours != canPoll {
			t.Errorf("%s: can be polled: %v, Linux %v", name, ours, canPoll)
		}
		unix.Close(ep)
		unix.Close(fd)
		f.Put()
	}
}
