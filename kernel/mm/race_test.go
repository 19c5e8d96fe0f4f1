package mm

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestConcurrentUse has eight threads map, unmap, protect, fault, copy, fork
// and truncate in one address space. Each word that a thread writes names its
// address, so that a page that went to two owners shows; files are mapped in
// every fourth area only, where words of other addresses are right.
func TestConcurrentUse(t *testing.T) {
	checkLeaks(t)
	as := newSpace(t)
	store := newMemStore(1 << 20)
	f := &lockedFile{testFile: testFile{cache: NewPageCache(store)}}
	const areas, areaSize = 16, 4 << 20
	base := mustMap(t, as, MapRequest{Len: areas * areaSize, Prot: unix.PROT_NONE, Flags: anon})
	d := 2 * time.Second
	if testing.Short() {
		d = 300 * time.Millisecond
	}
	deadline := time.Now().Add(d)
	var wg sync.WaitGroup
	for id := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(1, uint64(id)))
			for time.Now().Before(deadline) {
				k := Addr(r.IntN(areas))
				a := base + k*areaSize + Addr(r.IntN(areaSize>>PageShift))<<PageShift
				n := uint64(1+r.IntN(64)) << PageShift
				if a+Addr(n) > base+areas*areaSize {
					continue
				}
				switch r.IntN(12) {
				case 0, 1, 2:
					_, _ = as.Map(MapRequest{Addr: a, Len: n, Prot: rw, Flags: anon | unix.MAP_FIXED})
				case 3:
					if k%4 != 0 || a+Addr(n) > base+(k+1)*areaSize {
						continue
					}
					_, _ = as.Map(MapRequest{Addr: a, Len: n, Prot: rw, Flags: unix.MAP_SHARED | unix.MAP_FIXED, File: f})
				case 4:
					_ = as.Unmap(a, n)
				case 5:
					_ = as.Protect(a, n, r.IntN(8))
				case 6:
					if child, err := as.Fork(); err == nil {
						_, _ = child.CopyOut(a, make([]byte, 100))
						_ = child.Unmap(a, n)
						child.Put()
					}
				case 7:
					f.cache.Truncate(uint64(r.IntN(1 << 20)))
					_ = f.cache.Sync(0, 0)
				case 8:
					Reclaim(10)
				default:
					for i := Addr(0); i < Addr(n); i += PageSize {
						_ = as.Store64(a+i+8*Addr(id), uint64(a+i))
						v, err := as.Load64(a + i + 8*Addr(id))
						if err == nil && v != 0 && v != uint64(a+i) && (a+i-base)/areaSize%4 != 0 {
							t.Errorf("at %#x: %#x", a+i, v)
							return
						}
						var p [64]byte
						_, _ = as.CopyIn(p[:], a+i)
						_, _ = as.CopyOut(a+i+1024, p[:])
					}
				}
			}
		}()
	}
	wg.Wait()
	as.Put()
	f.cache.Release()
}

type lockedFile struct {
	mu sync.Mutex
	testFile
}

func (f *lockedFile) Get() { f.mu.Lock(); f.refs++; f.mu.Unlock() }
func (f *lockedFile) Put() { f.mu.Lock(); f.refs--; f.mu.Unlock() }

// TestForkTreesUnderPressure runs trees of processes that share page tables,
// each checking that its memory is what it wrote, while memory is so short
// that file pages come and go.
func TestForkTreesUnderPressure(t *testing.T) {
	checkLeaks(t)
	leaveFrames(t, 6000)
	store := newMemStore(16 << 20)
	f := &lockedFile{testFile: testFile{cache: NewPageCache(store)}}
	d := 1500 * time.Millisecond
	if testing.Short() {
		d = 300 * time.Millisecond
	}
	deadline := time.Now().Add(d)
	var wg sync.WaitGroup
	for id := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(2, uint64(id)))
			for time.Now().Before(deadline) {
				as, err := NewAddressSpace()
				if err != nil {
					continue
				}
				p := process{as: as, file: f, r: r, words: map[Addr]uint64{}, t: t}
				p.data, err = as.Map(MapRequest{Len: processPages << PageShift, Prot: rw, Flags: anon})
				if err == nil {
					p.text, err = as.Map(MapRequest{Len: store.size, Prot: unix.PROT_READ | unix.PROT_EXEC, Flags: unix.MAP_PRIVATE, File: f})
				}
				if err == nil {
					p.live(&wg, 3)
				}
				as.Put()
			}
		}()
	}
	wg.Wait()
	f.cache.Release()
}

const processPages = 1200 // more than two tables

// process is one address space and what its memory should hold.
type process struct {
	t          *testing.T
	as         *AddressSpace
	file       *lockedFile
	r          *rand.Rand
	data, text Addr
	words      map[Addr]uint64
}

func (p *process) live(wg *sync.WaitGroup, depth int) {
	for range 30 {
		switch p.r.IntN(8) {
		case 0:
			if depth == 0 {
				continue
			}
			child, err := p.as.Fork()
			if err != nil {
				continue
			}
			q := *p
			q.as, q.r = child, rand.New(rand.NewPCG(p.r.Uint64(), 0))
			q.words = make(map[Addr]uint64, len(p.words))
			for a, w := range p.words {
				q.words[a] = w
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				q.live(wg, depth-1)
				q.as.Put()
			}()
		case 1: // one page is forgotten
			a := p.data + Addr(p.r.IntN(processPages))<<PageShift
			if p.as.Advise(a, PageSize, unix.MADV_DONTNEED) == nil {
				for x := range p.words {
					if x.pageDown() == a {
						delete(p.words, x)
					}
				}
			}
		case 2, 3: // read the file
			off := Addr(p.r.IntN(int(p.file.cache.store.Size())))
			var b [1]byte
			if n, _ := p.as.CopyIn(b[:], p.text+off); n == 1 && b[0] != p.file.cache.store.(*memStore).data[off] {
				p.t.Errorf("file at %#x: %d", off, b[0])
			}
		default:
			a := p.data + Addr(p.r.IntN(processPages<<PageShift))&^7
			w := p.r.Uint64()
			if p.as.Store64(a, w) == nil {
				p.words[a] = w
			}
		}
	}
	for a, w := range p.words {
		if v, err := p.as.Load64(a); err == nil && v != w {
			p.t.Errorf("word at %#x is %#x, want %#x", a, v, w)
			return
		}
	}
}
