package mm

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

func TestStackGrowsToItsLimitAndKeepsAGap(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	defer as.Put()
	const top = Addr(0x7ffff0000000)
	mustMap(t, as, MapRequest{
		Addr: top - 0x21000, Len: 0x21000, Prot: rw,
		Flags: anon | unix.MAP_FIXED | unix.MAP_GROWSDOWN | unix.MAP_STACK,
	})
	as.SetStack(top, 1<<20)
	mustWrite(t, as, top-200<<10, []byte("deep"))
	if v, _ := as.VMAAt(top - 1); v.Start != (top-200<<10).pageDown() || v.Name != "[stack]" {
		t.Errorf("stack is %+v", v)
	}
	if fe := as.Fault(top-(1<<20)-1, Write); fe == nil || fe.Signal != unix.SIGSEGV || fe.Code != SegvMapErr {
		t.Errorf("below the limit: %+v", fe)
	}
	mustMap(t, as, MapRequest{Addr: top - 700<<10 - stackGuardGap - PageSize, Len: PageSize, Prot: rw, Flags: anon | unix.MAP_FIXED})
	if fe := as.Fault(top-700<<10, Write); fe != nil {
		t.Errorf("just at the gap: %+v", fe)
	}
	if fe := as.Fault(top-704<<10, Write); fe == nil {
		t.Error("grew into the gap above another mapping")
	}
	// What has no address of its own keeps clear of the stack, too.
	as.mu.Lock()
	as.mmapBase = top
	as.searchTop, as.skipped = top, 0
	as.mu.Unlock()
	a := mustMap(t, as, MapRequest{Len: PageSize, Prot: rw, Flags: anon})
	if v, _ := as.VMAAt(top - 1); a+PageSize > v.Start-stackGuardGap {
		t.Errorf("mapping at %#x, stack from %#x", a, v.Start)
	}
}

func TestBrkGrowsAndShrinks(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	defer as.Put()
	const start = Addr(0x10000123)
	as.SetBrk(start)
	for _, c := range []struct{ to, want Addr }{
		{0, start},
		{start + 100, start + 100},
		{start + 1<<20, start + 1<<20},
		{start - 1, start + 1<<20},
		{start + 5000, start + 5000},
		{start, start},
		{start + 64<<30, start}, // more than the machine has
	} {
		if got := as.Brk(c.to); got != c.want {
			t.Errorf("brk(%#x) = %#x, want %#x", c.to, got, c.want)
		}
	}
	as.Brk(start + 8192)
	mustWrite(t, as, start+8000, []byte{1})
	as.Brk(start)
	as.Brk(start + 8192)
	if p := mustRead(t, as, start+8000, 1); p[0] != 0 {
		t.Error("memory that was given back is not zero")
	}
	if v, ok := as.VMAAt(start.pageUp()); !ok || v.Name != "[heap]" {
		t.Errorf("heap is %+v", v)
	}
	mustMap(t, as, MapRequest{Addr: (start + 64<<10).pageUp(), Len: PageSize, Flags: anon | unix.MAP_FIXED})
	if got := as.Brk(start + 1<<20); got != start+8192 {
		t.Errorf("grew over another mapping to %#x", got)
	}
	as.Limits.Data.Store(16 << 10)
	if got := as.Brk(start + 20<<10); got != start+8192 {
		t.Errorf("grew past RLIMIT_DATA to %#x", got)
	}
}

func TestMapRefusals(t *testing.T) {
	checkLeaks(t)
	store := newMemStore(PageSize)
	f := &testFile{cache: NewPageCache(store)}
	defer f.cache.Release()
	for _, c := range []struct {
		name string
		r    MapRequest
		set  func(as *AddressSpace)
		want error
	}{
		{"no length", MapRequest{Flags: anon}, nil, unix.EINVAL},
		{"too long", MapRequest{Len: 1 << 47, Flags: anon}, nil, unix.ENOMEM},
		{"longer than can be", MapRequest{Len: ^uint64(0), Flags: anon}, nil, unix.ENOMEM},
		{"crooked and fixed", MapRequest{Addr: 0x100001, Len: 1, Flags: anon | unix.MAP_FIXED}, nil, unix.EINVAL},
		{"page zero", MapRequest{Len: 1, Flags: anon | unix.MAP_FIXED}, nil, unix.EPERM},
		{"page zero with the capability", MapRequest{Len: 1, Flags: anon | unix.MAP_FIXED, MayMapLow: true}, nil, nil},
		{"no kind", MapRequest{Len: 1, Flags: unix.MAP_ANONYMOUS}, nil, unix.EINVAL},
		{"huge", MapRequest{Len: 1, Flags: anon | unix.MAP_HUGETLB}, nil, unix.ENOMEM},
		{"huge, 64 KiB", MapRequest{Len: 1, Flags: anon | unix.MAP_HUGETLB | 16<<unix.MAP_HUGE_SHIFT}, nil, unix.EINVAL},
		{"huge file", MapRequest{Len: 1, Flags: unix.MAP_PRIVATE | unix.MAP_HUGETLB, File: f}, nil, unix.EINVAL},
		{"sync", MapRequest{Len: 1, Flags: unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC, File: f}, nil, unix.EOPNOTSUPP},
		{"offset past all", MapRequest{Len: 2 << PageShift, Flags: unix.MAP_SHARED, File: f, Offset: ^uint64(0) &^ pageMask}, nil, unix.EOVERFLOW},
		{"growing file", MapRequest{Len: 1, Flags: unix.MAP_PRIVATE | unix.MAP_GROWSDOWN, File: f}, nil, unix.EINVAL},
		{"unmappable", MapRequest{Len: 1, Flags: unix.MAP_PRIVATE, File: &testFile{}}, nil, unix.ENODEV},
		{"writing what is read-only", MapRequest{
			Len: 1, Prot: rw, Flags: unix.MAP_SHARED, File: f, MaxProt: unix.PROT_READ,
		}, nil, unix.EACCES},
		{"past RLIMIT_AS", MapRequest{Len: 1 << 20, Flags: anon}, func(as *AddressSpace) { as.Limits.AS.Store(1<<20 - 1) }, unix.ENOMEM},
		{"past RLIMIT_DATA", MapRequest{Len: 1 << 20, Prot: rw, Flags: anon}, func(as *AddressSpace) { as.Limits.Data.Store(4096) }, unix.ENOMEM},
		{"read-only past RLIMIT_DATA", MapRequest{Len: 1 << 20, Flags: anon}, func(as *AddressSpace) { as.Limits.Data.Store(4096) }, nil},
		{"locked past RLIMIT_MEMLOCK", MapRequest{Len: 1 << 20, Flags: anon | unix.MAP_LOCKED}, func(as *AddressSpace) { as.Limits.Memlock.Store(4096) }, unix.EAGAIN},
		{"locked without leave", MapRequest{Len: 1, Flags: anon | unix.MAP_LOCKED}, func(as *AddressSpace) { as.Limits.Memlock.Store(0) }, unix.EPERM},
		{"more than the machine has", MapRequest{Len: 1 << 40, Prot: rw, Flags: anon}, nil, unix.ENOMEM},
		{"the same, not reserved", MapRequest{Len: 1 << 40, Prot: rw, Flags: anon | unix.MAP_NORESERVE}, nil, nil},
		{"the same, not writable", MapRequest{Len: 1 << 40, Flags: anon}, nil, nil},
	} {
		as := newSpace(t)
		if c.set != nil {
			c.set(as)
		}
		if _, err := as.Map(c.r); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		as.Put()
	}
}

func TestPlacement(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	defer as.Put()
	first := mustMap(t, as, MapRequest{Len: 3 << PageShift, Prot: rw, Flags: anon})
	if first+3<<PageShift != as.MmapBase() {
		t.Errorf("the first mapping ends at %#x, not at %#x", first+3<<PageShift, as.MmapBase())
	}
	second := mustMap(t, as, MapRequest{Len: 2 << PageShift, Prot: rw, Flags: anon})
	if second+2<<PageShift != first || len(as.AppendVMAs(nil)) != 1 {
		t.Errorf("the second mapping is at %#x, in %d VMAs", second, len(as.AppendVMAs(nil)))
	}
	if err := as.Unmap(first, PageSize); err != nil {
		t.Fatal(err)
	}
	if a := mustMap(t, as, MapRequest{Len: 2 << PageShift, Flags: anon}); a+2<<PageShift != second {
		t.Errorf("two pages went to %#x", a)
	}
	if a := mustMap(t, as, MapRequest{Len: PageSize, Flags: anon}); a != first {
		t.Errorf("one page went to %#x, not into the gap at %#x", a, first)
	}
	if a := mustMap(t, as, MapRequest{Len: PageSize, Flags: anon | unix.MAP_32BIT}); a < low32 || a >= high32 {
		t.Errorf("MAP_32BIT gave %#x", a)
	}
	if a := mustMap(t, as, MapRequest{Addr: 0x123456789, Len: PageSize, Flags: anon}); a != 0x123456000 {
		t.Errorf("hint gave %#x", a)
	}
	if a := mustMap(t, as, MapRequest{Addr: 0x123456000, Len: PageSize, Flags: anon}); a == 0x123456000 {
		t.Error("a hint replaced a mapping")
	}
	if _, err := as.Map(MapRequest{Addr: 0x123456000, Len: PageSize, Flags: anon | unix.MAP_FIXED_NOREPLACE}); err != unix.EEXIST {
		t.Errorf("MAP_FIXED_NOREPLACE: %v", err)
	}
}

func TestAdviceAboutFork(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 3 << PageShift, Prot: rw, Flags: anon})
	mustWrite(t, as, a, bytes.Repeat([]byte{7}, 3<<PageShift))
	for page, advice := range map[Addr]int{0: unix.MADV_DONTFORK, 1: unix.MADV_WIPEONFORK} {
		if err := as.Advise(a+page<<PageShift, PageSize, advice); err != nil {
			t.Fatal(err)
		}
	}
	child, err := as.Fork()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.CopyIn(make([]byte, 1), a); err != unix.EFAULT {
		t.Errorf("DONTFORK: %v", err)
	}
	if p := mustRead(t, child, a+PageSize, 1); p[0] != 0 {
		t.Error("WIPEONFORK: not wiped")
	}
	if p := mustRead(t, child, a+2*PageSize, 1); p[0] != 7 {
		t.Error("the rest is lost")
	}
	if p := mustRead(t, as, a+PageSize, 1); p[0] != 7 {
		t.Error("the parent's page was wiped")
	}
	as.Put()
	child.Put()
}

func TestGuardsRaiseAndGo(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	defer as.Put()
	a := mustMap(t, as, MapRequest{Len: 4 << PageShift, Prot: rw, Flags: anon})
	mustWrite(t, as, a, bytes.Repeat([]byte{7}, 4<<PageShift))
	if err := as.Advise(a+PageSize, 2*PageSize, madvGuardInstall); err != nil {
		t.Fatal(err)
	}
	if fe := as.Fault(a+PageSize, Read); fe == nil || fe.Signal != unix.SIGSEGV {
		t.Errorf("guard: %+v", fe)
	}
	if err := as.Advise(a, 4*PageSize, unix.MADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if fe := as.Fault(a+2*PageSize, Write); fe == nil {
		t.Error("MADV_DONTNEED removed a guard")
	}
	if err := as.Advise(a, 4*PageSize, madvGuardRemove); err != nil {
		t.Fatal(err)
	}
	if p := mustRead(t, as, a+PageSize, 1); p[0] != 0 {
		t.Error("contents came back with the guard's end")
	}
}

func TestStoreErrorsAreBusErrors(t *testing.T) {
	checkLeaks(t)
	store := newMemStore(1 << 20)
	f := &testFile{cache: NewPageCache(store)}
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 1 << 20, Prot: rw, Flags: unix.MAP_PRIVATE, File: f})
	store.err = unix.EIO
	for _, access := range []Access{Read, Write} {
		if fe := as.Fault(a+5000, access); fe == nil || fe.Signal != unix.SIGBUS || fe.Addr != a+5000 {
			t.Errorf("%v", fe)
		}
	}
	b := KernelBuffer(make([]byte, 10))
	if n, err := f.cache.ReadAt(&b, 0, store.size); n != 0 || err != unix.EIO {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
	store.err = nil
	mustWrite(t, as, a+5000, []byte{1})
	as.Put()
	f.cache.Release()
}

// frameStore has its pages in memory that mm did not allocate.
type frameStore struct {
	*memStore
	frames []cpu.PhysAddr
}

func (s frameStore) Frame(index uint64) (cpu.PhysAddr, bool) {
	if index < uint64(len(s.frames)) {
		return s.frames[index], true
	}
	return 0, false
}

func TestFramesOfAStoreAreMappedWhereTheyAre(t *testing.T) {
	frames := make([]cpu.PhysAddr, 5)
	if cpu.AllocFrames(frames) != len(frames) {
		t.Skip("no frames")
	}
	store := frameStore{newMemStore(5*PageSize + 100), frames}
	for i, pa := range frames {
		copy(pageAt(uint32(pa >> PageShift))[:], store.data[i<<PageShift:])
	}
	f := &testFile{cache: NewPageCache(store)}
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 1 << 16, Prot: rw, Flags: unix.MAP_PRIVATE, File: f})
	if got := mustRead(t, as, a, 5*PageSize+100); !bytes.Equal(got, store.data[:len(got)]) {
		t.Error("mapping differs")
	}
	if n := f.cache.Resident(); n != 1 {
		t.Errorf("%d pages were read, not the last alone", n)
	}
	got := make([]byte, 5*PageSize+100)
	b := KernelBuffer(got)
	if n, err := f.cache.ReadAt(&b, 0, store.size); n != len(got) || err != nil || !bytes.Equal(got, store.data[:n]) {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
	mustWrite(t, as, a+PageSize, []byte("mine"))
	if p := pageAt(uint32(frames[1] >> PageShift)); bytes.HasPrefix(p[:], []byte("mine")) {
		t.Error("a private write went to the store's memory")
	}
	as.Put()
	f.cache.Release()
}

func TestProcReadsWhatIsMapped(t *testing.T) {
	checkLeaks(t)
	store := newMemStore(64 << PageShift)
	f := &testFile{cache: NewPageCache(store)}
	as := newSpace(t)
	a := mustMap(t, as, MapRequest{Len: 8 << PageShift, Prot: rw, Flags: anon})
	mustWrite(t, as, a, make([]byte, 5<<PageShift))
	m := mustMap(t, as, MapRequest{Len: 16 << PageShift, Prot: unix.PROT_READ, Flags: unix.MAP_SHARED, File: f, Offset: 16 << PageShift})
	mustRead(t, as, m, 1)
	child, err := as.Fork()
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, child, a, []byte{1})
	if u := child.Usage(a, a+8<<PageShift); u.Rss < 5<<PageShift || u.Anonymous != u.Rss || u.PrivateDirty != PageSize {
		t.Errorf("child: %+v", u)
	}
	s := as.Stat()
	if s.Total != 24 || s.RssFile == 0 || s.RssAnon < 5 || s.Resident != as.ResidentPages() || s.PeakResident < s.Resident {
		t.Errorf("%+v, %d resident", s, as.ResidentPages())
	}
	v, _ := as.VMAAt(m + 5)
	if v.Name != "/test" || v.Offset != 16<<PageShift || v.Ino != 42 || !v.Shared || v.Write {
		t.Errorf("%+v", v)
	}
	if w := as.AppendPageMap(nil, a+4<<PageShift, 5); w[0]>>63 != 1 || w[4]>>63 != 0 && w[4] != 0 {
		t.Errorf("%#x", w)
	}
	child.Put()
	as.Put()
	f.cache.Release()
}

func TestFutexKeys(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	private := mustMap(t, as, MapRequest{Len: PageSize, Prot: rw, Flags: anon})
	shared := mustMap(t, as, MapRequest{Len: 2 * PageSize, Prot: rw, Flags: unix.MAP_SHARED | unix.MAP_ANONYMOUS})
	child, err := as.Fork()
	if err != nil {
		t.Fatal(err)
	}
	key := func(as *AddressSpace, a Addr, private bool) FutexKey {
		t.Helper()
		k, err := as.FutexKey(a, private)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if key(as, private, false) == key(child, private, false) {
		t.Error("private memory has one key in two processes")
	}
	if key(as, shared+PageSize+8, false) != key(child, shared+PageSize+8, false) {
		t.Error("shared memory has two keys")
	}
	if key(as, private, true) != key(as, private, false) {
		t.Error("FUTEX_PRIVATE_FLAG changes the key of private memory")
	}
	if _, err := as.FutexKey(8, false); err != unix.EFAULT {
		t.Errorf("unmapped: %v", err)
	}
	as.Put()
	child.Put()
}
