package mm

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// How much is read at once, in pages.
const (
	minReadAhead = 8
	maxReadAhead = 64
)

// readAhead has page idx read, and as much after it as the request of n bytes
// and the history suggest.
func (c *PageCache) readAhead(idx, n uint64) error {
	want := int(min(pages(n), maxReadAhead))
	c.mu.Lock()
	switch {
	case idx == c.raNext && idx != 0:
		c.raPages = min(max(2*c.raPages, minReadAhead), maxReadAhead)
	case idx == 0:
		c.raPages = minReadAhead
	default:
		c.raPages = 0
	}
	want = max(want, c.raPages)
	c.raNext = idx + uint64(want)
	c.mu.Unlock()
	return c.fill(idx, idx, want)
}

// WillNeed has [off, off+n) read ahead (readahead(2), POSIX_FADV_WILLNEED,
// MADV_WILLNEED); it is a hint, errors are lost.
func (c *PageCache) WillNeed(off, n uint64) {
	if c.store == nil {
		return
	}
	end := c.end()
	if off >= end {
		return
	}
	n = min(n, end-off)
	for idx, last := off>>PageShift, pages(off+n); idx < last; {
		k := int(min(last-idx, maxReadAhead))
		if memoryTight.Load() || c.fill(idx, idx, k) != nil {
			return
		}
		idx += uint64(k)
	}
}

// fill makes sure that page target has been read, together with absent pages
// around it out of the n from first on. It blocks for the store; no lock is
// held.
func (c *PageCache) fill(target, first uint64, n int) error {
	first = max(first, target-min(target, maxReadAhead-1))
	last := min(first+uint64(n), max(pages(c.store.Size()), target+1))
	last = min(max(last, target+1), first+maxReadAhead)
	var batch [maxReadAhead]uint32
	c.mu.Lock()
	for {
		if c.dead {
			c.mu.Unlock()
			return unix.EIO
		}
		if c.lookup(target) != 0 {
			c.mu.Unlock()
			return nil
		}
		if !c.absent(target) {
			c.cond.Wait()
			continue
		}
		lo, hi := c.absentRun(target, first, last)
		c.mu.Unlock()
		got := uint64(allocFrames(batch[:hi-lo], 0))
		if got == 0 {
			return unix.ENOMEM
		}
		if got < hi-lo { // short of memory: what is needed comes first
			first, last = target, target+got
		}
		c.mu.Lock()
		if !c.dead && c.absent(target) {
			lo, hi = c.absentRun(target, first, last)
			k := min(hi-lo, got)
			for _, n := range batch[k:got] {
				putFrame(n)
			}
			return c.read(target, lo, batch[:k])
		}
		for _, n := range batch[:got] {
			putFrame(n)
		}
	}
}

// absent tells whether the cache has nothing at idx, not even a page that is
// being read. mu is held.
func (c *PageCache) absent(idx uint64) bool {
	ch := c.chunkAt(idx)
	return ch == nil || ch.present&(1<<(idx%chunkPages)) == 0
}

// absentRun is the run of absent pages around target within [first, last).
func (c *PageCache) absentRun(target, first, last uint64) (lo, hi uint64) {
	lo, hi = target, target+1
	for lo > first && c.missing(lo-1) {
		lo--
	}
	for hi < last && c.missing(hi) {
		hi++
	}
	return lo, hi
}

// missing tells whether page idx is absent and a FrameStore does not have it
// in memory either.
func (c *PageCache) missing(idx uint64) bool {
	return c.absent(idx) && (c.frames == nil || c.framed(idx) == 0)
}

// read enters the frames as busy pages from lo on, has them read and declares
// them ready. mu is held, and released.
func (c *PageCache) read(target, lo uint64, batch []uint32) error {
	for i, n := range batch {
		ch, bit := c.add(lo+uint64(i), n)
		ch.busy |= bit
	}
	c.mu.Unlock()
	contents := make([][]byte, len(batch))
	for i, n := range batch {
		contents[i] = pageAt(n)[:]
	}
	err := c.store.ReadPages(lo, contents)
	c.mu.Lock()
	for i := range batch {
		ch := c.chunkAt(lo + uint64(i))
		bit := uint64(1) << ((lo + uint64(i)) % chunkPages)
		ch.busy &^= bit
		if err != nil {
			c.takePages(ch, bit, nil)
		}
	}
	c.mu.Unlock()
	c.cond.Broadcast()
	if err == nil {
		return nil
	}
	for _, n := range batch {
		putFrame(n)
	}
	if len(batch) > 1 { // the bad page may be one that nobody asked for
		return c.fill(target, target, 1)
	}
	return err
}

// fillZero gives a cache without a store n zeroed pages from first on, as far
// as they are absent and within its size.
func (c *PageCache) fillZero(first uint64, n int) error {
	var batch [maxAhead]uint32
	if end := pages(c.end()); first+uint64(n) > end {
		n = int(max(end, first+1) - first)
	}
	got := allocFrames(batch[:min(n, maxAhead)], 0)
	if got == 0 {
		return unix.ENOMEM
	}
	for _, n := range batch[:got] {
		cpu.ZeroFrame(cpu.PhysAddr(n) << PageShift)
	}
	used := 0
	c.mu.Lock()
	for i := range got {
		if !c.dead && c.absent(first+uint64(i)) {
			c.add(first+uint64(i), batch[used])
			used++
		}
	}
	dead := c.dead
	c.mu.Unlock()
	for _, n := range batch[used:got] {
		putFrame(n)
	}
	if dead {
		return unix.EIO
	}
	return nil
}

// Allocate makes sure that a cache without a store has pages for all of
// [off, off+n) (fallocate on tmpfs): ENOMEM if there are not enough.
func (c *PageCache) Allocate(off, n uint64) error {
	for idx, last := off>>PageShift, pages(off+n); idx < last; idx += maxAhead {
		k := int(min(last-idx, maxAhead))
		for i := range k {
			if c.get(idx+uint64(i)) == 0 {
				if err := c.fillZero(idx+uint64(i), 1); err != nil {
					return err
				}
			} else {
				putFrame(c.held(idx + uint64(i)))
			}
		}
	}
	return nil
}

func (c *PageCache) held(idx uint64) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lookup(idx)
}

// Sync writes the dirty pages of [off, off+n) to the store; n of 0 means to
// the end.
func (c *PageCache) Sync(off, n uint64) error {
	if c.store == nil || c.frames != nil {
		return nil
	}
	last := ^uint64(0)
	if n != 0 && off+n >= off {
		last = pages(off + n)
	}
	c.syncMu.Lock()
	defer c.syncMu.Unlock()
	var first error
	for idx := off >> PageShift; ; {
		var batch [maxAhead]uint32
		lo, k := c.takeDirty(idx, last, batch[:])
		if k == 0 {
			return first
		}
		if err := c.writeOut(lo, batch[:k]); err != nil && first == nil {
			first = err
		}
		idx = lo + uint64(k)
	}
}

// takeDirty finds the first run of dirty pages in [idx, last), declares it
// clean and returns its frames with references.
func (c *PageCache) takeDirty(idx, last uint64, out []uint32) (lo uint64, k int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := c.nextChunk(idx); ch != nil && ch.base < last; ch = c.nextChunk(ch.base + chunkPages) {
		set := ch.dirty & ch.span(idx, last)
		for i := range uint64(chunkPages) {
			if set&(1<<i) != 0 && k < len(out) {
				if k == 0 {
					lo = ch.base + i
				}
				n := ch.frames[i]
				frames[n].refs.Add(1)
				ch.dirty &^= 1 << i
				out[k] = n
				k++
			} else if k > 0 {
				return lo, k
			}
		}
		if k > 0 {
			return lo, k
		}
	}
	return 0, 0
}

// writeOut stores the pages from lo on. They are write-protected in all
// mappings first, so that later writes make them dirty again.
func (c *PageCache) writeOut(lo uint64, batch []uint32) error {
	c.protect(lo, lo+uint64(len(batch)))
	contents := make([][]byte, len(batch))
	for i, n := range batch {
		contents[i] = pageAt(n)[:]
	}
	err := c.store.WritePages(lo, contents)
	for i, n := range batch {
		if err != nil {
			c.markDirty(lo+uint64(i), n)
		}
		putFrame(n)
	}
	return err
}
