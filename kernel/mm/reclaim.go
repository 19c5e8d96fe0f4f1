package mm

import (
	"sync"

	"husk/kernel/cpu"
)

// lru is the clock of the chunks that may be evicted: those of caches that
// have a store to read the pages from again.
var lru clock

// clock is a ring of chunks; hand is the next to be looked at.
type clock struct {
	mu   sync.Mutex
	hand *chunk
	n    int
}

// add enters ch where the hand comes last.
func (l *clock) add(ch *chunk) {
	l.mu.Lock()
	if l.hand == nil {
		ch.prev, ch.next = ch, ch
		l.hand = ch
	} else {
		ch.next, ch.prev = l.hand, l.hand.prev
		ch.prev.next, ch.next.prev = ch, ch
	}
	l.n++
	l.mu.Unlock()
}

func (l *clock) remove(ch *chunk) {
	l.mu.Lock()
	if ch.next != nil {
		if l.hand == ch {
			l.hand = ch.next
		}
		if l.hand == ch {
			l.hand = nil
		}
		ch.prev.next, ch.next.prev = ch.next, ch.prev
		ch.prev, ch.next = nil, nil
		l.n--
	}
	l.mu.Unlock()
}

// tick returns the chunk under the hand and moves on.
func (l *clock) tick() *chunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.hand
	if ch != nil {
		l.hand = ch.next
	}
	return ch
}

func (l *clock) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// Reclaim evicts clean file pages until n frames are free or nothing is left
// to evict, and returns how many it freed. Pages that were used since the last
// turn of the hand, and pages that are mapped, are taken only when there are
// no others. No lock below AddressSpace.mu is held.
func Reclaim(n int) int {
	freed := 0
	for pass := range 3 {
		for left := lru.len(); left > 0 && freed < n; left-- {
			ch := lru.tick()
			if ch == nil {
				break
			}
			freed += ch.evict(pass == 2)
		}
		if freed >= n {
			break
		}
	}
	return freed
}

// The share of memory below which the reclaimer is woken, and up to which it
// evicts. The layer below keeps a reserve for the Go heap, which takes pages
// without asking; this is what fills it again when nothing else allocates.
const (
	lowWater  = 64
	highWater = 32
)

// reclaimerState is the reclaimer's: a goroutine that is started when memory
// first runs low and stays.
type reclaimerState struct {
	once sync.Once
	wake chan struct{}
}

var reclaimer reclaimerState

func (r *reclaimerState) run() {
	for range r.wake {
		for {
			total, free := cpu.FrameStats()
			if free >= total/highWater || Reclaim(2*shardBatch) == 0 {
				break
			}
			drainShards()
		}
	}
}

// drainShards gives free frames back to the layer below, all but a few.
func drainShards() {
	for i := range shards {
		s := &shards[i]
		s.mu.Lock()
		for s.n > shardBatch/2 {
			s.spill()
		}
		s.mu.Unlock()
	}
}

// wakeReclaimer has the reclaimer look at what is free. It does not block.
func wakeReclaimer() {
	if lru.len() == 0 {
		return // nothing to evict
	}
	r := &reclaimer
	r.once.Do(func() {
		r.wake = make(chan struct{}, 1)
		go r.run()
	})
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// evict drops the pages of ch that nobody uses; with mapped set also those
// that were used lately or are mapped by programs.
func (ch *chunk) evict(mapped bool) int {
	c := ch.cache
	c.mu.Lock()
	if mapped && ch.present != 0 {
		c.mu.Unlock()
		if !c.unmapForEviction(ch.base, ch.base+chunkPages) {
			return 0
		}
		c.mu.Lock()
	}
	set := ch.idle()
	if !mapped {
		set &^= ch.used
		ch.used = 0
	}
	if ch.present == 0 || set == 0 {
		c.mu.Unlock()
		return 0
	}
	var buf [chunkPages]uint32
	taken := c.takePages(ch, set, buf[:0])
	c.mu.Unlock()
	for _, n := range taken {
		putFrame(n)
	}
	return len(taken)
}

// unmapForEviction unmaps the pages unless they are locked in memory.
func (c *PageCache) unmapForEviction(first, last uint64) bool {
	c.mapMu.Lock()
	for v := c.firstMap; v != nil; v = v.nextMap {
		if lo, hi := v.part(first, last); lo < hi && v.flags&vmLocked != 0 {
			c.mapMu.Unlock()
			return false
		}
	}
	c.mapMu.Unlock()
	c.unmap(first, last, false)
	return true
}
