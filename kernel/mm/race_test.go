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
