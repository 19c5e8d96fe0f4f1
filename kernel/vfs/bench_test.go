package vfs_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// deep returns a system with a file of one page at /usr/lib/file.
func deep(b *testing.B) *husk {
	sb, err := tmpfs.New("")
	if err != nil {
		b.Fatal(err)
	}
	h := newHusk(b, sb)
	for _, d := range []string{"/usr", "/usr/lib"} {
		if err := h.mkdir(d, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	fd, err := h.open("/usr/lib/file", unix.O_CREAT|unix.O_RDWR, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := h.write(fd, string(make([]byte, 4096)), 0); err != nil {
		b.Fatal(err)
	}
	_ = h.close(fd)
	return h
}

func BenchmarkStat(b *testing.B) {
	h := deep(b)
	b.ReportAllocs()
	for b.Loop() {
		p, err := vfs.Lookup(h.c, nil, "/usr/lib/file", vfs.Follow)
		if err != nil {
			b.Fatal(err)
		}
		var a vfs.Attr
		if err := vfs.Stat(h.c, p, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupMissing(b *testing.B) {
	h := deep(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := vfs.Lookup(h.c, nil, "/usr/lib/none", vfs.Follow); err != unix.ENOENT {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenClose(b *testing.B) {
	h := deep(b)
	b.ReportAllocs()
	for b.Loop() {
		f, err := vfs.Open(h.c, "/usr/lib/file", unix.O_RDONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		fd, err := h.fds.Install(f, 0, false, 1024)
		if err != nil {
			b.Fatal(err)
		}
		if err := h.fds.Close(h.c, fd); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPread4K(b *testing.B) {
	h := deep(b)
	f, err := vfs.Open(h.c, "/usr/lib/file", unix.O_RDONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	fd, _ := h.fds.Install(f, 0, false, 1024)
	p := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		f, err := h.fds.Get(fd)
		if err != nil {
			b.Fatal(err)
		}
		buf := mm.KernelBuffer(p)
		if n, err := f.Pread(h.c, &buf, 0); n != 4096 {
			b.Fatal(n, err)
		}
		f.Put()
	}
}

func BenchmarkWrite4K(b *testing.B) {
	h := deep(b)
	f, err := vfs.Open(h.c, "/usr/lib/file", unix.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf := mm.KernelBuffer(p)
		if n, err := f.Pwrite(h.c, &buf, 0); n != 4096 {
			b.Fatal(n, err)
		}
	}
}
