package vfs_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

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
