package mm

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// Store is where the pages of a PageCache come from and go to: a file
// system's inode. Calls for different pages may come concurrently.
type Store interface {
	// ReadPages fills consecutive pages starting at page index; each element
	// is one page of memory. What lies past the end of the file is zeroed.
	ReadPages(index uint64, pages [][]byte) error
	// WritePages stores consecutive pages (writeback of shared mappings).
	WritePages(index uint64, pages [][]byte) error
	// Size is the file's size in bytes: mapping past it raises SIGBUS. It
	// is called with locks held and must not block.
	Size() uint64
}

// FrameStore is a Store some of whose pages lie in memory already (an image in
// device memory): they are mapped and read where they are, never written,
// counted or evicted. Frame is called with locks held and must not block; it
// reports false for a page that has to come through ReadPages, such as one
// that holds the end of the file beside other data.
type FrameStore interface {
	Store
	Frame(index uint64) (cpu.PhysAddr, bool)
}

// PageCache holds the pages of one file (Linux's struct address_space): the
// one home of file data that read, write, mmap, exec and sendfile share.
type PageCache struct {
	store  Store      // nil: the cache is the data's only home
	frames FrameStore // store, if it is one

	mu   sync.Mutex // guards what follows and the chunks
	cond sync.Cond  // on mu: a page is busy no longer
	// Chunks are found in dense by index/64 unless that would make it
	// mostly holes; those are in far.
	dense   []*chunk
	far     farChunks
	nchunks int // how many there are in both
	npages  uint64
	dead    bool   // released: nothing may be added
	raNext  uint64 // where a sequential reader misses next
	raPages int    // and how much is then read

	// limit is the size in bytes of a cache without a store.
	limit atomic.Uint64

	mapMu             sync.Mutex // guards the list of VMAs that map the cache
	firstMap, lastMap *VMA
	ownedByMaps       bool  // shared anonymous memory: gone with its last VMA
	committed         int64 // pages of it that are in Committed_AS

	syncMu sync.Mutex // held by the one writeback
}

// chunkPages is the number of pages that one chunk describes.
const chunkPages = 64

// chunk is 64 consecutive pages of a cache. The words are sets of pages.
type chunk struct {
	cache      *PageCache
	base       uint64 // index of its first page
	prev, next *chunk // of the clock, guarded by lru.mu
	present    uint64 // has a frame
	busy       uint64 // is being read: not to be used yet
	dirty      uint64 // differs from the store
	used       uint64 // used since the clock's hand passed
	frames     [chunkPages]uint32
}

// NewPageCache returns an empty cache over s. A nil-store cache is anonymous
// memory that is its own home (tmpfs, memfd, shared anonymous mappings):
// pages appear zeroed and are never dropped but by Truncate. Such a cache has
// no end until the first Truncate sets its size; a file system calls
// Truncate(0) on a new file, and Truncate again whenever its size changes but
// by WriteAt.
func NewPageCache(s Store) *PageCache {
	c := &PageCache{store: s}
	c.cond.L = &c.mu
	c.limit.Store(^uint64(0))
	c.frames, _ = s.(FrameStore)
	return c
}

// newAnonymousCache returns the home of a shared anonymous mapping. Its size
// is that of the mapping: what mremap adds raises SIGBUS, as on Linux.
func newAnonymousCache(size uint64) *PageCache {
	c := NewPageCache(nil)
	c.limit.Store(size)
	c.ownedByMaps = true
	return c
}

// chunkAt returns the chunk of page idx, or nil. mu is held.
func (c *PageCache) chunkAt(idx uint64) *chunk {
	k := idx / chunkPages
	if k < uint64(len(c.dense)) {
		if ch := c.dense[k]; ch != nil {
			return ch
		}
	}
	return c.far.at(k)
}

// makeChunk is chunkAt, making a chunk that is missing.
func (c *PageCache) makeChunk(idx uint64) *chunk {
	if ch := c.chunkAt(idx); ch != nil {
		return ch
	}
	k := idx / chunkPages
	ch := &chunk{cache: c, base: k * chunkPages}
	// The bound is by what the cache holds, not by how long dense is: a file
	// that is written at offsets which double must not double dense.
	c.nchunks++
	if k < uint64(max(len(c.dense), 2*c.nchunks+64)) {
		for uint64(len(c.dense)) <= k {
			c.dense = append(c.dense, nil)
		}
		c.dense[k] = ch
	} else {
		c.far.add(k, ch)
	}
	if c.store != nil {
		lru.add(ch)
	}
	return ch
}

// dropChunk forgets a chunk that has no pages. mu is held.
func (c *PageCache) dropChunk(ch *chunk) {
	k := ch.base / chunkPages
	c.nchunks--
	if k < uint64(len(c.dense)) && c.dense[k] == ch {
		c.dense[k] = nil
	} else {
		c.far.remove(k)
	}
	if c.store != nil {
		lru.remove(ch)
	}
}

// nextChunk returns the first chunk that holds a page at or after idx, or nil.
func (c *PageCache) nextChunk(idx uint64) *chunk {
	best := c.far.next(idx / chunkPages)
	for k := idx / chunkPages; k < uint64(len(c.dense)); k++ {
		if ch := c.dense[k]; ch != nil {
			if best == nil || ch.base < best.base {
				best = ch
			}
			break
		}
	}
	return best
}

// add enters a frame, whose reference becomes the cache's. mu is held and the
// page absent.
func (c *PageCache) add(idx uint64, n uint32) (*chunk, uint64) {
	ch := c.makeChunk(idx)
	bit := uint64(1) << (idx % chunkPages)
	ch.frames[idx%chunkPages] = n
	ch.present |= bit
	c.npages++
	c.count(1)
	return ch, bit
}

// takePages removes the pages of ch in the set from the cache and appends
// their frames, whose references pass to the caller. mu is held.
func (c *PageCache) takePages(ch *chunk, set uint64, out []uint32) []uint32 {
	set &= ch.present
	for i := range uint64(chunkPages) {
		if set&(1<<i) != 0 {
			out = append(out, ch.frames[i])
			c.npages--
			c.count(-1)
		}
	}
	ch.present &^= set
	ch.dirty &^= set
	ch.used &^= set
	if ch.present == 0 {
		c.dropChunk(ch)
	}
	return out
}

// filePages and shmemPages count the pages of caches with and without a store.
var filePages, shmemPages atomic.Int64

func (c *PageCache) count(n int64) {
	if c.store == nil {
		shmemPages.Add(n)
	} else {
		filePages.Add(n)
	}
}

// get returns the frame of page idx with a reference, or 0 when the cache
// does not have it (or is only just reading it).
func (c *PageCache) get(idx uint64) uint32 {
	if c.frames != nil {
		if n := c.framed(idx); n != 0 {
			getFrame(n)
			return n
		}
	}
	c.mu.Lock()
	n := c.lookup(idx)
	if n != 0 {
		frames[n].refs.Add(1)
	}
	c.mu.Unlock()
	return n
}

// lookup is get without the reference and the FrameStore. mu is held.
func (c *PageCache) lookup(idx uint64) uint32 {
	ch := c.chunkAt(idx)
	bit := uint64(1) << (idx % chunkPages)
	if ch == nil || ch.present&^ch.busy&bit == 0 {
		return 0
	}
	ch.used |= bit
	return ch.frames[idx%chunkPages]
}

// framed returns the frame in which a FrameStore has the page, or 0.
func (c *PageCache) framed(idx uint64) uint32 {
	pa, ok := c.frames.Frame(idx)
	if !ok {
		return 0
	}
	n := uint32(pa >> PageShift)
	adoptFrame(n)
	return n
}

// holds tells whether page idx is in frame n.
func (c *PageCache) holds(idx uint64, n uint32) bool {
	if c.frames != nil && c.framed(idx) == n {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lookup(idx) == n
}

// markDirty notes that page idx, in frame n, is about to be written through a
// mapping. It reports false when the cache no longer has the page.
func (c *PageCache) markDirty(idx uint64, n uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lookup(idx) != n {
		return false
	}
	if c.store != nil {
		c.chunkAt(idx).dirty |= 1 << (idx % chunkPages)
	}
	return true
}

// mapAround makes entries with the given bits for those of the n pages from
// first on that the cache has and t has not. The page at position target is
// the one that is needed: it is made writable and dirty when write is set.
// It reports whether that page is mapped now. t is part of the table in
// frame f, whose lock is held.
func (c *PageCache) mapAround(first uint64, n int, t []uint64, f *frame, bits uint64, target int, write bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ch *chunk
	for k := range n {
		idx := first + uint64(k)
		if load(&t[k]) != 0 {
			continue
		}
		var pfn uint32
		if c.frames != nil {
			pfn = c.framed(idx)
		}
		bit := uint64(1) << (idx % chunkPages)
		if pfn == 0 {
			if ch == nil || idx-ch.base >= chunkPages {
				ch = c.chunkAt(idx)
			}
			if ch == nil || ch.present&^ch.busy&bit == 0 {
				continue
			}
			pfn = ch.frames[idx%chunkPages]
		}
		e := bits
		if k == target {
			if ch != nil && idx-ch.base < chunkPages {
				ch.used |= bit
			}
			if write {
				e |= pteWrite | pteDirty
				if c.store != nil && ch != nil {
					ch.dirty |= bit
				}
			}
		}
		getFrame(pfn)
		f.flags++
		store(&t[k], uint64(pfn)<<PageShift|e)
	}
	return load(&t[target]) != 0
}

// beyond tells whether page idx lies wholly past the end.
func (c *PageCache) beyond(idx uint64) bool { return idx >= pages(c.end()) }

// end is the size of the file.
func (c *PageCache) end() uint64 {
	if c.store == nil {
		return c.limit.Load()
	}
	return c.store.Size()
}

// ReadAt copies file data from off into b, up to size bytes of file (the
// caller's notion of the end). It is the body of read(2) and sendfile(2).
func (c *PageCache) ReadAt(b *Buffer, off, size uint64) (int, error) {
	done := 0
	for off < size && b.left > 0 {
		at := int(off & pageMask)
		k := min(PageSize-at, b.left)
		if uint64(k) > size-off {
			k = int(size - off)
		}
		var m int
		var err error
		if n := c.get(off >> PageShift); n != 0 {
			if b.hold(n, at, k) {
				m = k
			} else {
				m, err = b.copyOut(pageAt(n)[at:at+k], true)
				putFrame(n)
			}
			if m == 0 && err == nil {
				break // a full Held
			}
		} else if c.store == nil {
			m, err = b.Zero(k)
		} else if err = c.readAhead(off>>PageShift, min(uint64(b.left), size-off)); err == nil {
			continue
		}
		done += m
		off += uint64(m)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// WriteAt copies from b into the pages at off, allocating or reading pages as
// needed, and marks them dirty. The caller extends the file's size.
func (c *PageCache) WriteAt(b *Buffer, off uint64) (int, error) {
	if c.frames != nil {
		return 0, unix.EROFS
	}
	done := 0
	for b.left > 0 {
		idx, at := off>>PageShift, int(off&pageMask)
		k := min(PageSize-at, b.left)
		var m int
		var err error
		if n := c.get(idx); n != 0 {
			m, err = b.copyIn(pageAt(n)[at:at+k], true)
			c.markDirty(idx, n)
			putFrame(n)
		} else if k == PageSize || c.store == nil || c.beyond(idx) {
			m, err = c.writeNew(b, idx, at, k)
		} else if err = c.fill(idx, idx, 1); err == nil {
			continue
		}
		done += m
		off += uint64(m)
		if c.store == nil && m > 0 {
			c.raise(off)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// raise makes the size of a store-less cache at least n.
func (c *PageCache) raise(n uint64) {
	for {
		old := c.limit.Load()
		if old >= n || c.limit.CompareAndSwap(old, n) {
			return
		}
	}
}

// writeNew writes to a page that the cache does not have and that need not be
// read first. The data is copied before the page is entered, so that a fault
// of the copy, which may be on this very page, finds nothing held.
func (c *PageCache) writeNew(b *Buffer, idx uint64, at, k int) (int, error) {
	fresh := allocFrame(0)
	if fresh == 0 {
		return 0, unix.ENOMEM
	}
	page := pageAt(fresh)
	if k < PageSize {
		cpu.ZeroFrame(cpu.PhysAddr(fresh) << PageShift)
	}
	m, err := b.copyIn(page[at:at+k], true)
	if m == 0 {
		putFrame(fresh)
		return 0, err
	}
	if m < k && k == PageSize {
		clear(page[m:])
		if c.store != nil && !c.beyond(idx) {
			// The rest of the page is the file's: read it after all.
			if e := c.fill(idx, idx, 1); e != nil {
				putFrame(fresh)
				return 0, e
			}
		}
	}
	c.mu.Lock()
	for {
		ch := c.chunkAt(idx)
		bit := uint64(1) << (idx % chunkPages)
		switch {
		case c.dead:
			c.mu.Unlock()
			putFrame(fresh)
			return 0, unix.EIO
		case ch == nil || ch.present&bit == 0:
			ch, bit = c.add(idx, fresh)
			if c.store != nil {
				ch.dirty |= bit
			}
			c.mu.Unlock()
			return m, err
		case ch.busy&bit != 0:
			c.cond.Wait()
		default: // another thread entered it: write into that page
			copy(pageAt(ch.frames[idx%chunkPages])[at:at+m], page[at:at+m])
			if c.store != nil {
				ch.dirty |= bit
			}
			c.mu.Unlock()
			putFrame(fresh)
			return m, err
		}
	}
}

// Truncate drops all pages wholly past size and zeroes the tail of the last
// one, unmapping them everywhere. The store's size has been changed already;
// a cache without a store takes its size from here.
func (c *PageCache) Truncate(size uint64) {
	if c.store != nil || c.limit.Swap(size) > size {
		c.zeroPart(size, (size+pageMask)&^uint64(pageMask))
	}
	c.dropRange(pages(size), ^uint64(0), true)
}

// PunchHole drops or zeroes [off, off+n), unmapping what it drops.
func (c *PageCache) PunchHole(off, n uint64) {
	end := off + n
	if end < off {
		end = ^uint64(0)
	}
	first, last := pages(off), end>>PageShift
	if first > last { // within one page
		c.zeroPart(off, end)
		return
	}
	c.zeroPart(off, first<<PageShift)
	c.zeroPart(last<<PageShift, end)
	if first < last {
		c.dropRange(first, last, false)
	}
}

// zeroPart clears [from, to), which lies within one page, if it is held. A
// page of a store that is not held is the store's to clear.
func (c *PageCache) zeroPart(from, to uint64) {
	if from >= to {
		return
	}
	idx := from >> PageShift
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitIdle(idx, idx+1)
	if n := c.lookup(idx); n != 0 {
		at := from & pageMask
		clear(pageAt(n)[at : at+to-from])
		if c.store != nil {
			c.chunkAt(idx).dirty |= 1 << (idx % chunkPages)
		}
	}
}

// waitIdle waits until no page in [first, last) is busy. mu is held, and
// released meanwhile.
func (c *PageCache) waitIdle(first, last uint64) {
	for again := true; again; {
		again = false
		for ch := c.nextChunk(first); ch != nil && ch.base < last; ch = c.nextChunk(ch.base + chunkPages) {
			if ch.busy&ch.span(first, last) != 0 {
				c.cond.Wait()
				again = true
				break
			}
		}
	}
}

// span is the set of the chunk's pages that lie in [first, last).
func (ch *chunk) span(first, last uint64) uint64 {
	set := ^uint64(0)
	if first > ch.base {
		set <<= min(first-ch.base, 64)
	}
	if last < ch.base+chunkPages {
		if last <= ch.base {
			return 0
		}
		set &= 1<<(last-ch.base) - 1
	}
	return set
}

// dropRange removes the pages [first, last) from the cache and from all
// mappings; with cows set also the private copies of them (truncation takes
// those too, a hole does not).
func (c *PageCache) dropRange(first, last uint64, cows bool) {
	var taken []uint32
	c.mu.Lock()
	c.waitIdle(first, last)
	for ch := c.nextChunk(first); ch != nil && ch.base < last; {
		next := ch.base + chunkPages
		taken = c.takePages(ch, ch.span(first, last), taken)
		ch = c.nextChunk(next)
	}
	c.mu.Unlock()
	// A fault enters a page into a table under the cache's lock, so that
	// after this point it can only enter pages that are still here.
	c.unmap(first, last, cows)
	for _, n := range taken {
		putFrame(n)
	}
}

// Resident is the number of pages held.
func (c *PageCache) Resident() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.npages
}

// Release drops every page; the file is gone.
func (c *PageCache) Release() {
	c.mu.Lock()
	c.dead = true
	c.mu.Unlock()
	c.dropRange(0, ^uint64(0), true)
}

// Drop lets go of all clean pages that nothing maps (drop_caches,
// POSIX_FADV_DONTNEED) in [off, off+n); n of 0 means to the end.
func (c *PageCache) Drop(off, n uint64) {
	if c.store == nil {
		return
	}
	last := ^uint64(0)
	if n != 0 && off+n >= off {
		last = (off + n) >> PageShift
	}
	first := pages(off)
	c.mu.Lock()
	var taken []uint32
	for ch := c.nextChunk(first); ch != nil && ch.base < last; {
		next := ch.base + chunkPages
		taken = c.takePages(ch, ch.idle()&ch.span(first, last), taken)
		ch = c.nextChunk(next)
	}
	c.mu.Unlock()
	for _, n := range taken {
		putFrame(n)
	}
}

// idle is the set of pages that only the cache holds and that are clean.
func (ch *chunk) idle() uint64 {
	set := ch.present &^ ch.busy &^ ch.dirty
	for i := range uint64(chunkPages) {
		if set&(1<<i) != 0 && frames[ch.frames[i]].refs.Load() != 1 {
			set &^= 1 << i
		}
	}
	return set
}

// NextData returns the offset of the first byte at or after off that a cache
// without a store has a page for, and false if there is none (SEEK_DATA).
func (c *PageCache) NextData(off uint64) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	idx := off >> PageShift
	for ch := c.nextChunk(idx); ch != nil; ch = c.nextChunk(ch.base + chunkPages) {
		for i := max(idx, ch.base); i < ch.base+chunkPages; i++ {
			if ch.present&(1<<(i-ch.base)) != 0 {
				return max(off, i<<PageShift), true
			}
		}
	}
	return 0, false
}

// NextHole returns the offset of the first byte at or after off that a cache
// without a store has no page for (SEEK_HOLE).
func (c *PageCache) NextHole(off uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	idx := off >> PageShift
	for {
		ch := c.chunkAt(idx)
		if ch == nil || ch.present&(1<<(idx%chunkPages)) == 0 {
			return max(off, idx<<PageShift)
		}
		idx++
	}
}
