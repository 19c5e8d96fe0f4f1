package mm

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

const (
	rw   = unix.PROT_READ | unix.PROT_WRITE
	anon = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
)

// inUse counts the frames that somebody holds, for leak checks.
func inUse() int {
	frameInit.Do(initFrames)
	return int(framesHeld.Load()) - shardFree()
}

// checkLeaks fails the test if it ends with more frames in use than it began
// with. Tests that use it do not run in parallel.
func checkLeaks(t *testing.T) {
	t.Helper()
	before := inUse()
	t.Cleanup(func() {
		// The reclaimer may have a batch in its hands still.
		after := inUse()
		for end := time.Now().Add(10 * time.Second); after != before && time.Now().Before(end); after = inUse() {
			runtime.Gosched()
		}
		if after != before {
			t.Errorf("%d frames in use before the test, %d after", before, after)
		}
		if n := lru.len(); n != 0 {
			t.Errorf("%d chunks left on the clock", n)
		}
	})
}

// leaveFrames takes all memory but n frames for the time of the test.
func leaveFrames(t *testing.T, n int) {
	frameInit.Do(initFrames)
	_, free := cpu.FrameStats()
	hog := make([]cpu.PhysAddr, max(free-n, 0))
	hog = hog[:cpu.AllocFrames(hog)]
	t.Cleanup(func() {
		cpu.FreeFrames(hog)
		memoryTight.Store(false)
	})
}

func newSpace(t testing.TB) *AddressSpace {
	t.Helper()
	as, err := NewAddressSpace()
	if err != nil {
		t.Fatal(err)
	}
	return as
}

func mustMap(t testing.TB, as *AddressSpace, r MapRequest) Addr {
	t.Helper()
	a, err := as.Map(r)
	if err != nil {
		t.Fatalf("Map(%+v): %v", r, err)
	}
	return a
}

func mustWrite(t testing.TB, as *AddressSpace, a Addr, p []byte) {
	t.Helper()
	if n, err := as.CopyOut(a, p); n != len(p) || err != nil {
		t.Fatalf("CopyOut(%#x, %d bytes) = %d, %v", a, len(p), n, err)
	}
}

func mustRead(t testing.TB, as *AddressSpace, a Addr, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if k, err := as.CopyIn(p, a); k != n || err != nil {
		t.Fatalf("CopyIn(%#x, %d) = %d, %v", a, n, k, err)
	}
	return p
}

// memStore is a Store in memory.
type memStore struct {
	mu     sync.Mutex
	data   []byte
	size   uint64
	reads  int
	writes int
	err    error
}

func newMemStore(n int) *memStore {
	s := &memStore{data: make([]byte, (n+pageMask)&^pageMask), size: uint64(n)}
	for i := range n {
		s.data[i] = byte(i>>12*7 + i)
	}
	return s
}

func (s *memStore) ReadPages(index uint64, pages [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.reads++
	for i, p := range pages {
		clear(p)
		if at := (index + uint64(i)) << PageShift; at < s.size {
			copy(p, s.data[at:s.size])
		}
	}
	return nil
}

func (s *memStore) WritePages(index uint64, pages [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.writes++
	for i, p := range pages {
		copy(s.data[(index+uint64(i))<<PageShift:], p)
	}
	return nil
}

func (s *memStore) Size() uint64 { return s.size }

// testFile is a Mappable.
type testFile struct {
	cache *PageCache
	refs  int
}

func (f *testFile) PageCache() *PageCache { return f.cache }
func (f *testFile) MapName() string       { return "/test" }
func (f *testFile) MapDev() uint64        { return 8 }
func (f *testFile) MapIno() uint64        { return 42 }
func (f *testFile) Get()                  { f.refs++ }
func (f *testFile) Put()                  { f.refs-- }

func TestAnonymousMemoryIsZeroAndKeepsWhatIsWritten(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	defer as.Put()
	a := mustMap(t, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: anon})
	if p := mustRead(t, as, a+100, 10000); !bytes.Equal(p, make([]byte, 10000)) {
		t.Fatal("fresh memory is not zero")
	}
	want := bytes.Repeat([]byte("husk"), 5000)
	mustWrite(t, as, a+4090, want)
	if got := mustRead(t, as, a+4090, len(want)); !bytes.Equal(got, want) {
		t.Fatal("read back something else")
	}
	if err := as.Unmap(a, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := as.CopyIn(make([]byte, 1), a); err != unix.EFAULT {
		t.Fatalf("read of unmapped memory: %v", err)
	}
}

func TestForkIsolatesWritesBothWays(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 8 << 20, Prot: rw, Flags: anon})
	s := mustMap(t, as, MapRequest{Len: 1 << 16, Prot: rw, Flags: unix.MAP_SHARED | unix.MAP_ANONYMOUS})
	for i := Addr(0); i < 8<<20; i += 64 << 10 {
		mustWrite(t, as, a+i, []byte("parent"))
	}
	mustWrite(t, as, s, []byte("shared"))
	child, err := as.Fork()
	if err != nil {
		t.Fatal(err)
	}
	grand, err := child.Fork()
	if err != nil {
		t.Fatal(err)
	}
	for i := Addr(0); i < 8<<20; i += 128 << 10 {
		mustWrite(t, child, a+i, []byte("child!"))
	}
	mustWrite(t, as, a+64<<10, []byte("PARENT"))
	mustWrite(t, child, s, []byte("SHARED"))
	for _, c := range []struct {
		as   *AddressSpace
		at   Addr
		want string
	}{
		{as, a, "parent"},
		{child, a, "child!"},
		{grand, a, "parent"},
		{as, a + 64<<10, "PARENT"},
		{child, a + 64<<10, "parent"},
		{grand, a + 64<<10, "parent"},
		{as, s, "SHARED"},
		{grand, s, "SHARED"},
	} {
		if got := mustRead(t, c.as, c.at, 6); string(got) != c.want {
			t.Errorf("at %#x: %q, want %q", c.at, got, c.want)
		}
	}
	child.Put()
	mustWrite(t, grand, a, []byte("grand!"))
	if got := mustRead(t, as, a, 6); string(got) != "parent" {
		t.Errorf("after the grandchild's write: %q", got)
	}
	as.Put()
	if got := mustRead(t, grand, a, 6); string(got) != "grand!" {
		t.Errorf("after the parent's exit: %q", got)
	}
	grand.Put()
}

func TestFileMappings(t *testing.T) {
	checkLeaks(t)
	store := newMemStore(100_000)
	f := &testFile{cache: NewPageCache(store)}
	as := newSpace(t)
	private := mustMap(t, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: unix.MAP_PRIVATE, File: f})
	shared := mustMap(t, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: unix.MAP_SHARED, File: f, Offset: 4096})
	if got := mustRead(t, as, private, 100_000); !bytes.Equal(got, store.data[:100_000]) {
		t.Fatal("private mapping differs from the file")
	}
	if fe := as.Fault(private+25*PageSize, Read); fe == nil || fe.Signal != unix.SIGBUS {
		t.Fatalf("fault past the end: %+v", fe)
	}
	mustWrite(t, as, private+4096, []byte("mine"))
	mustWrite(t, as, shared+4096, []byte("ours"))
	if got := mustRead(t, as, shared, 4); bytes.Equal(got, []byte("mine")) {
		t.Fatal("a private write went to the file")
	}
	if got := mustRead(t, as, private+8192, 4); string(got) != "ours" {
		t.Fatalf("a shared write is not seen: %q", got)
	}
	b := make([]byte, 4)
	buf := KernelBuffer(b)
	if n, err := f.cache.ReadAt(&buf, 8192, store.size); n != 4 || err != nil || string(b) != "ours" {
		t.Fatalf("ReadAt = %d, %v, %q", n, err, b)
	}
	for round := range 2 {
		mustWrite(t, as, shared+4096, []byte{byte(round)})
		if err := f.cache.Sync(0, 0); err != nil {
			t.Fatal(err)
		}
		if store.data[8192] != byte(round) || store.writes != round+1 {
			t.Fatalf("round %d: %d written, %d writes", round, store.data[8192], store.writes)
		}
	}
	store.size = 5000
	f.cache.Truncate(5000)
	if fe := as.Fault(private+8192, Read); fe == nil || fe.Signal != unix.SIGBUS {
		t.Fatalf("fault past the new end: %+v", fe)
	}
	if got := mustRead(t, as, shared, 1000); !bytes.Equal(got[:4], store.data[4096:4100]) || got[904] != 0 {
		t.Fatal("last page is not cut off with zeros")
	}
	as.Put()
	f.cache.Release()
	if f.refs != 0 {
		t.Fatalf("file has %d references", f.refs)
	}
}

func TestSharedAnonymousMemoryGoesWithItsLastMapping(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: unix.MAP_SHARED | unix.MAP_ANONYMOUS})
	mustWrite(t, as, a, make([]byte, 1<<20))
	child, err := as.Fork()
	if err != nil {
		t.Fatal(err)
	}
	as.Put()
	mustWrite(t, child, a+5, []byte("x"))
	child.Put()
}

func TestSequentialTouchTakesFewFaults(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	defer as.Put()
	const n = 20000
	a := mustMap(t, as, MapRequest{Len: n << PageShift, Prot: rw, Flags: anon})
	faults := 0
	for i := Addr(0); i < n; i++ {
		if !as.mappedFor(a+i<<PageShift, Write) {
			faults++
			if fe := as.Fault(a+i<<PageShift, Write); fe != nil {
				t.Fatal(fe)
			}
		}
	}
	if faults > n/20 {
		t.Errorf("%d faults for %d pages", faults, n)
	}
}

func TestWriteThenReadThroughTheCache(t *testing.T) {
	checkLeaks(t)
	c := NewPageCache(nil)
	c.Truncate(0)
	want := bytes.Repeat([]byte("0123456789"), 3000)
	for off := 0; off < len(want); off += 777 {
		b := KernelBuffer(want[off:min(off+777, len(want))])
		if _, err := c.WriteAt(&b, uint64(off)+123); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(want))
	b := KernelBuffer(got)
	if n, err := c.ReadAt(&b, 123, uint64(123+len(want))); n != len(want) || err != nil || !bytes.Equal(got, want) {
		t.Fatalf("ReadAt = %d, %v", n, err)
	}
	c.PunchHole(4096, 8192)
	b = KernelBuffer(got)
	if _, err := c.ReadAt(&b, 0, 20000); err != nil || got[4095] == 0 || got[4096] != 0 || got[12287] != 0 || got[12288] == 0 {
		t.Fatal("hole has the wrong extent")
	}
	if end, ok := c.NextData(5000); !ok || end != 12288 || c.NextHole(0) != 4096 {
		t.Fatalf("data after hole at %d, %v; hole at %d", end, ok, c.NextHole(0))
	}
	c.Release()
}

func TestFileMayBeWrittenFromItsOwnMapping(t *testing.T) {
	checkLeaks(t)
	c := NewPageCache(nil)
	c.Truncate(0)
	want := make([]byte, 3*PageSize)
	for i := range want {
		want[i] = byte(i * 7 / 3)
	}
	b := KernelBuffer(want)
	if _, err := c.WriteAt(&b, 0); err != nil {
		t.Fatal(err)
	}
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 16 << PageShift, Prot: rw, Flags: unix.MAP_SHARED, File: &testFile{cache: c}})
	for _, m := range []struct{ from, to, n int }{
		{0, 0, 2 * PageSize},           // onto itself
		{0, 100, 3000},                 // overlapping, within a page
		{PageSize, PageSize + 8, 4000}, // into the next page
		{0, 5 * PageSize, PageSize},    // into a page that is not there
	} {
		for len(want) < m.to+m.n {
			want = append(want, 0)
		}
		copy(want[m.to:], want[m.from:m.from+m.n])
		b := UserBuffer(as, a+Addr(m.from), m.n)
		if n, err := c.WriteAt(&b, uint64(m.to)); n != m.n || err != nil {
			t.Fatalf("%+v: %d, %v", m, n, err)
		}
		if got := mustRead(t, as, a, len(want)); !bytes.Equal(got, want) {
			t.Errorf("%+v: wrong contents", m)
		}
	}
	as.Put()
	c.Release()
}

func TestCleanPagesGiveWayToOthers(t *testing.T) {
	checkLeaks(t)
	leaveFrames(t, 1024) // and read 64 MiB
	store := newMemStore(64 << 20)
	c := NewPageCache(store)
	p := make([]byte, 1<<16)
	for off := uint64(0); off < store.size; off += 1 << 16 {
		b := KernelBuffer(p)
		if n, err := c.ReadAt(&b, off, store.size); n != len(p) || err != nil || p[5] != store.data[off+5] {
			t.Fatalf("at %d: %d, %v", off, n, err)
		}
	}
	as := newSpace(t)
	f := &testFile{cache: c}
	a := mustMap(t, as, MapRequest{Len: store.size, Prot: unix.PROT_READ, Flags: unix.MAP_SHARED, File: f})
	for i := Addr(0); i < Addr(store.size); i += PageSize {
		var w [1]byte
		if _, err := as.CopyIn(w[:], a+i); err != nil || w[0] != store.data[i] {
			t.Fatalf("mapped page at %#x: %v", i, err)
		}
	}
	as.Put()
	c.Release()
}

func BenchmarkFault(b *testing.B) {
	as := newSpace(b)
	defer as.Put()
	a := mustMap(b, as, MapRequest{Len: 64 << 20, Prot: rw, Flags: anon})
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		k := Addr(i*7) % (64 << 20 >> PageShift)
		if i%(32<<20>>PageShift) == 0 && i > 0 {
			b.StopTimer()
			_ = as.Unmap(a, 64<<20)
			mustMap(b, as, MapRequest{Addr: a, Len: 64 << 20, Prot: rw, Flags: anon | unix.MAP_FIXED})
			b.StartTimer()
		}
		if fe := as.Fault(a+k<<PageShift, Write); fe != nil {
			b.Fatal(fe)
		}
	}
}

func BenchmarkMapUnmap(b *testing.B) {
	as := newSpace(b)
	defer as.Put()
	b.ReportAllocs()
	for b.Loop() {
		a, _ := as.Map(MapRequest{Len: 16 << 10, Prot: rw, Flags: anon})
		_ = as.Unmap(a, 16<<10)
	}
}

func BenchmarkCopyOut64(b *testing.B) {
	as := newSpace(b)
	defer as.Put()
	a := mustMap(b, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: anon})
	p := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = as.CopyOut(a, p)
	}
}

func BenchmarkReadAt4K(b *testing.B) {
	as := newSpace(b)
	defer as.Put()
	a := mustMap(b, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: anon})
	c := NewPageCache(newMemStore(1 << 20))
	defer c.Release()
	b.ReportAllocs()
	for b.Loop() {
		buf := UserBuffer(as, a, 4096)
		_, _ = c.ReadAt(&buf, 8192, 1<<20)
	}
}

func BenchmarkForkExit(b *testing.B) {
	as := newSpace(b)
	defer as.Put()
	a := mustMap(b, as, MapRequest{Len: 16 << 20, Prot: rw, Flags: anon | unix.MAP_POPULATE})
	_ = a
	b.ReportAllocs()
	for b.Loop() {
		child, err := as.Fork()
		if err != nil {
			b.Fatal(err)
		}
		child.Put()
	}
}

// TestSparseFilesNeedLittleBesideTheirPages writes at offsets that double: the
// index of a cache goes by what it holds, not by how far it reaches.
func TestSparseFilesNeedLittleBesideTheirPages(t *testing.T) {
	checkLeaks(t)
	c := NewPageCache(nil)
	c.Truncate(0)
	for off := uint64(PageSize); off < 1<<50; off *= 2 {
		b := KernelBuffer([]byte{1})
		if _, err := c.WriteAt(&b, off); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	if len(c.dense) > 1000 {
		t.Errorf("%d entries for %d chunks", len(c.dense), c.nchunks)
	}
	c.mu.Unlock()
	c.Truncate(0)
	c.mu.Lock()
	if c.nchunks != 0 || c.npages != 0 {
		t.Errorf("%d chunks, %d pages after Truncate", c.nchunks, c.npages)
	}
	c.mu.Unlock()
	c.Release()
}

// TestFarChunksAreFoundInOrder compares with a plain model.
func TestFarChunksAreFoundInOrder(t *testing.T) {
	var f farChunks
	model := map[uint64]*chunk{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		k := r.Uint64N(300)
		switch op := r.IntN(5); {
		case op < 2 && model[k] == nil:
			model[k] = &chunk{base: k}
			f.add(k, model[k])
		case op == 2 || op == 3 && r.IntN(40) == 0:
			delete(model, k)
			f.remove(k)
		default:
			var want *chunk
			for j := k; j < 300 && want == nil; j++ {
				want = model[j]
			}
			if got := f.next(k); got != want {
				t.Fatalf("behind %d: %v, want %v", k, got, want)
			}
			if f.at(k) != model[k] {
				t.Fatalf("at %d: %v, want %v", k, f.at(k), model[k])
			}
		}
		if len(f.keys) > 2*len(model)+chunkPages {
			t.Fatalf("%d keys for %d chunks", len(f.keys), len(model))
		}
	}
}
