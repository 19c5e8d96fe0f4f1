//go:build baremetal

package machinetest

import (
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/control"
	"husk/kernel/cpu"
	"husk/kernel/fs/p9"
	"husk/kernel/mm"
	"husk/kernel/stream"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
	"husk/kernel/virtio"
	"husk/kernel/wait"
	"husk/spec"
)

var devices struct {
	console *virtio.Console
	disk    *virtio.Block
	rng     *virtio.Entropy
	share   *virtio.Share
	streams *stream.Streams
	control *control.Control
	ended   chan uint64
}

func TestMain(m *testing.M) {
	d := &devices
	found, problems := virtio.Probe(cpu.CommandLine())
	for _, p := range problems {
		fmt.Println("problem:", p)
	}
	for _, t := range found {
		var err error
		switch t.Kind() {
		case virtio.KindConsole:
			start := clock.Now()
			if d.console, err = virtio.OpenConsole(t); err == nil {
				d.streams, err = stream.Open(d.console)
			}
			fmt.Println("console opened in", time.Duration(clock.Now()-start))
		case virtio.KindBlock:
			d.disk, err = virtio.OpenBlock(t)
		case virtio.KindEntropy:
			d.rng, err = virtio.OpenEntropy(t)
		case virtio.Kind9P:
			d.share, err = virtio.OpenShare(t)
		}
		if err != nil {
			fmt.Println("problem:", t.Name(), t.Kind(), err)
		}
	}
	if d.console == nil || d.disk == nil || d.rng == nil || d.share == nil || d.streams.Control == nil {
		fmt.Println("problem: devices are missing")
		os.Exit(1)
	}
	d.ended = make(chan uint64, 1)
	d.control = control.Start(d.streams.Control, control.Handlers{
		StdinEnd: func(n uint64) { d.streams.SetEnd(n); d.ended <- n },
	})
	if err := d.control.Ready(); err != nil {
		fmt.Println("problem: ready:", err)
	}
	code := m.Run()
	e := &spec.Exit{Code: code}
	d.streams.Flush(control.NewSleeper(), clock.Now()+60e9, e)
	if err := d.control.Exit(e); err != nil {
		fmt.Println("problem: exit:", err)
	}
	os.Exit(code)
}

func pages(t testing.TB, n int) [][]byte {
	t.Helper()
	frames := make([]cpu.PhysAddr, n)
	if cpu.AllocFrames(frames) != n {
		t.Fatal("no frames")
	}
	t.Cleanup(func() { cpu.FreeFrames(frames) })
	all := make([][]byte, n)
	for i, pa := range frames {
		all[i] = unsafe.Slice((*byte)(cpu.Direct(pa)), cpu.PageSize)
	}
	return all
}

func rate(bytes int, ns int64) string {
	return fmt.Sprintf("%d MB/s", int64(bytes)*1000/max(ns, 1))
}

// block is what sector-sized piece n of the host's pattern begins with.
func checkPattern(t *testing.T, p []byte, n uint64) {
	t.Helper()
	for k := 0; k < len(p); k += 512 {
		want := fmt.Sprintf("sector %d\n", n+uint64(k/512))
		if string(p[k:k+len(want)]) != want {
			t.Fatalf("sector %d holds %q", n+uint64(k/512), p[k:k+16])
		}
	}
}

func TestBlockHoldsThePattern(t *testing.T) {
	d := devices.disk
	batch := pages(t, 64)
	start := clock.Now()
	total := 0
	for off := uint64(0); off+64*4096 <= d.Size(); off += 64 * 4096 {
		if err := d.ReadPages(off, batch); err != nil {
			t.Fatal(err)
		}
		total += 64 * 4096
		checkPattern(t, batch[63], off/512+63*8)
	}
	t.Log("sequential:", rate(total, clock.Now()-start))
	start = clock.Now()
	const count = 1000
	for n := range uint64(count) {
		off := n * 7919 * 4096 % (d.Size() - 4096) &^ 4095
		if err := d.ReadPages(off, batch[:1]); err != nil {
			t.Fatal(err)
		}
		checkPattern(t, batch[0], off/512)
	}
	t.Log("one page:", time.Duration((clock.Now()-start)/count))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			mine := batch[g*8 : g*8+8]
			for n := range 50 {
				off := uint64(g*n*8) * 4096 % (d.Size() - 8*4096) &^ 4095
				if err := d.ReadPages(off, mine); err != nil {
					t.Error(err)
					return
				}
				checkPattern(t, mine[7], off/512+56)
			}
		})
	}
	wg.Wait()
}

func TestEntropyDiffers(t *testing.T) {
	a, b := make([]byte, 64), make([]byte, 64)
	if n, err := devices.rng.Read(a); n != 64 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := devices.rng.Read(b); n != 64 || err != nil {
		t.Fatal(n, err)
	}
	if string(a) == string(b) {
		t.Error("the same bytes twice")
	}
}

func TestSharedDirectory(t *testing.T) {
	start := clock.Now()
	sb, err := p9.Mount(devices.share, "share", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("mounted in", time.Duration(clock.Now()-start), "tag", devices.share.Tag())
	c := vfstest.New()
	root := vfs.NewMountNamespace(sb, unix.MS_RDONLY).Root()
	c.SetFS(vfs.NewFSContext(root))

	start = clock.Now()
	p, err := vfs.Lookup(c, &root, "dir/sub/file", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("path of three:", time.Duration(clock.Now()-start))
	f, err := vfs.Open(c, "dir/sub/file", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := readBlocking(c, f, buf); string(buf[:n]) != "contents\n" || err != nil {
		t.Errorf("read %q %v", buf[:n], err)
	}
	_ = p
	if _, err := vfs.Open(c, "dir/none", unix.O_RDONLY, 0); err != error(unix.ENOENT) {
		t.Errorf("missing: %v", err)
	}
	if _, err := vfs.Open(c, "dir/sub/file", unix.O_RDWR, 0); err != error(unix.EROFS) {
		t.Errorf("for writing: %v", err)
	}
	if f, err := vfs.Open(c, "link", unix.O_RDONLY, 0); err != nil {
		t.Errorf("link: %v", err)
	} else {
		f.Put()
	}

	// Many small files: look-up, open, read, close.
	start = clock.Now()
	for n := range 500 {
		f, err := vfs.Open(c, fmt.Sprintf("many/module%d.py", n), unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := readBlocking(c, f, buf); err != nil || !strings.HasPrefix(string(buf[:k]), fmt.Sprintf("module %d\n", n)) {
			t.Fatalf("module %d: %q %v", n, buf[:k], err)
		}
		f.Put()
	}
	t.Log("open and read a small file:", time.Duration((clock.Now()-start)/500))
	var a vfs.Attr
	start = clock.Now()
	for n := range 500 {
		p, err := vfs.Lookup(c, nil, fmt.Sprintf("many/module%d.py", n), 0)
		if err != nil || vfs.Stat(c, p, &a) != nil {
			t.Fatal(n, err)
		}
	}
	t.Log("stat of a known file:", time.Duration((clock.Now()-start)/500))
	d, err := vfs.Open(c, "many", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	entries, pos := 0, int64(0)
	start = clock.Now()
	if err := d.Ops.ReadDir(c, d, &pos, func(e vfs.Dirent) bool { entries++; return true }); err != nil || entries != 502 {
		t.Errorf("%d entries, %v", entries, err)
	}
	t.Log("readdir of 500:", time.Duration(clock.Now()-start))

	// One large file, against the host's sum.
	sum, err := vfs.Open(c, "large.sum", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := readBlocking(c, sum, buf)
	f, err = vfs.Open(c, "large", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	big := make([]byte, 128<<10)
	total := 0
	reading := int64(0)
	for {
		start := clock.Now()
		n, err := readBlocking(c, f, big)
		reading += clock.Now() - start
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		total += n
		_, _ = h.Write(big[:n])
	}
	t.Log("large file:", total, "bytes,", rate(total, reading))
	if got := fmt.Sprintf("%d %x", total, h.Sum64()); got != string(buf[:n]) {
		t.Errorf("large file: %s, the host says %s", got, buf[:n])
	}
	var st unix.Statfs_t
	sb.Statfs(&st)
	if st.Blocks == 0 {
		t.Error("statfs is empty")
	}
}

// TestStdinToStdout is cat.
func TestStdinToStdout(t *testing.T) {
	in, out, _ := devices.streams.Stdio()
	c := vfstest.New()
	for _, f := range []*vfs.File{in, out} {
		if f.Inode.Type() != unix.S_IFIFO {
			t.Errorf("type %#o", f.Inode.Type())
		}
		if _, err := f.Lseek(c, 0, unix.SEEK_CUR); err != error(unix.ESPIPE) {
			t.Errorf("lseek: %v", err)
		}
		if _, err := f.Ops.Mmap(f); err != error(unix.ENODEV) {
			t.Errorf("mmap: %v", err)
		}
	}
	if _, err := c.Write(in, []byte("x")); err == nil {
		t.Error("stdin was written to")
	}
	buf := make([]byte, 128<<10)
	start := clock.Now()
	total := 0
	reads := 0
	for {
		n, err := readBlocking(c, in, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		reads++
		if k, err := c.Write(out, buf[:n]); k != n || err != nil {
			t.Fatal(k, err)
		}
		total += n
	}
	end := <-devices.ended
	t.Log(total, "bytes in", reads, "reads,", rate(total, clock.Now()-start))
	if uint64(total) != end {
		t.Errorf("%d bytes of %d", total, end)
	}
	if ev := in.Ops.Poll(in); ev != wait.Hup {
		t.Errorf("at the end poll says %#x", ev)
	}
	b := mm.KernelBuffer(buf)
	if n, err := in.Ops.Read(c, in, &b, -1); n != 0 || err != nil {
		t.Errorf("after the end: %d %v", n, err)
	}
}

func readBlocking(c *vfstest.Caller, f *vfs.File, p []byte) (int, error) {
	b := mm.KernelBuffer(p)
	return f.Read(c, &b)
}

func TestSmallWritesAreCheap(t *testing.T) {
	_, _, errs := devices.streams.Stdio()
	c := vfstest.New()
	line := []byte("a line of output\n")
	start := clock.Now()
	for range 1000 {
		if n, err := c.Write(errs, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	t.Log("a line:", time.Duration((clock.Now()-start)/1000))
}
