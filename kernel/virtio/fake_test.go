package virtio

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
)

// fake is a transport whose device lives in the test: it walks the driver's
// rings in the fake physical memory as a real device would.
type fake struct {
	kind     Kind
	features uint64
	config   []byte
	maxQueue int

	mu      sync.Mutex // serialises the device
	queues  map[int]*fakeQueue
	handle  func(i int)
	irq     func()
	irqs    atomic.Int64
	notices atomic.Int64
	async   bool // the device works on goroutines of its own
	running sync.WaitGroup
	failed  bool
}

func newFake(kind Kind, features uint64, config []byte) *fake {
	return &fake{
		kind: kind, features: features | featureVersion1,
		config: append(config, make([]byte, 64)...), maxQueue: 128, queues: map[int]*fakeQueue{},
	}
}

func (f *fake) Name() string          { return "fake" }
func (f *fake) Kind() Kind            { return f.kind }
func (f *fake) Reset()                {}
func (f *fake) Features() uint64      { return f.features }
func (f *fake) Accept(w uint64) bool  { f.features = w; return true }
func (f *fake) QueueMax(int) int      { return f.maxQueue }
func (f *fake) Start()                {}
func (f *fake) Fail()                 { f.failed = true }
func (f *fake) Acknowledge()          {}
func (f *fake) Config8(o int) uint8   { return f.config[o] }
func (f *fake) Config16(o int) uint16 { return binary.LittleEndian.Uint16(f.config[o:]) }
func (f *fake) Config32(o int) uint32 { return binary.LittleEndian.Uint32(f.config[o:]) }
func (f *fake) Config64(o int) uint64 { return binary.LittleEndian.Uint64(f.config[o:]) }

func (f *fake) HandleIRQ(fn func()) error { f.irq = fn; return nil }

func (f *fake) SetQueue(i, size int, desc, driver, device cpu.PhysAddr) {
	f.queues[i] = &fakeQueue{
		f: f, size: uint16(size),
		desc:      descriptorsAt(desc, size),
		avail:     uint16sAt(driver+4, size),
		availHdr:  wordAt(driver),
		usedEvent: wordAt(driver + 4 + cpu.PhysAddr(2*size)),
		used:      usedAt(device+4, size),
		usedHdr:   wordAt(device),
		availEv:   wordAt(device + 4 + cpu.PhysAddr(8*size)),
	}
}

func (f *fake) Notify(i int) {
	f.notices.Add(1)
	if f.async {
		f.running.Go(func() { f.run(i) })
		return
	}
	f.run(i)
}

func (f *fake) run(i int) {
	f.mu.Lock()
	f.handle(i)
	f.mu.Unlock()
}

// with runs fn as an event inside the device (input that arrives).
func (f *fake) with(fn func()) {
	f.mu.Lock()
	fn()
	f.mu.Unlock()
}

func (f *fake) interrupt() {
	f.irqs.Add(1)
	f.running.Go(f.irq)
}

type fakeQueue struct {
	f         *fake
	size      uint16
	desc      []descriptor
	avail     []uint16
	used      []usedElem
	availHdr  *uint32
	usedHdr   *uint32
	usedEvent *uint32
	availEv   *uint32
	last      uint16
	idx       uint16
}

type fakeChain struct {
	head    uint16
	out, in [][]byte
	n       int
}

// pop takes the next chain; it fails the test's process on a malformed one.
func (q *fakeQueue) pop() (*fakeChain, bool) {
	idx := uint16(atomic.LoadUint32(q.availHdr) >> 16)
	if idx == q.last {
		if q.f.features&featureEventIdx != 0 {
			atomic.StoreUint32(q.availEv, uint32(q.last))
			if uint16(atomic.LoadUint32(q.availHdr)>>16) != q.last {
				return q.pop()
			}
		}
		return nil, false
	}
	head := q.avail[q.last&(q.size-1)]
	q.last++
	c := &fakeChain{head: head}
	table, at := q.desc, head
	if d := q.desc[head]; d.flags&descIndirect != 0 {
		if d.len%16 != 0 || d.flags&descNext != 0 {
			panic("malformed indirect descriptor")
		}
		table, at = descriptorsAt(cpu.PhysAddr(d.addr), int(d.len/16)), 0
	}
	for steps := 0; ; steps++ {
		if steps > int(q.size) {
			panic("chain longer than the queue")
		}
		d := table[at]
		b := bytesAt(cpu.PhysAddr(d.addr), int(d.len))
		if d.flags&descWrite != 0 {
			c.in = append(c.in, b)
		} else {
			if c.in != nil {
				panic("readable descriptor after a writable one")
			}
			c.out = append(c.out, b)
		}
		if d.flags&descNext == 0 {
			return c, true
		}
		at = d.next
	}
}

// write appends to the chain's writable part and returns how much fitted.
func (c *fakeChain) write(p []byte) int {
	done, skip := 0, c.n
	for _, b := range c.in {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		k := copy(b[skip:], p[done:])
		skip = 0
		done += k
		if done == len(p) {
			break
		}
	}
	c.n += done
	return done
}

func (c *fakeChain) read() []byte {
	var all []byte
	for _, b := range c.out {
		all = append(all, b...)
	}
	return all
}

func (q *fakeQueue) push(c *fakeChain) { q.pushRaw(uint32(c.head), uint32(c.n)) }

func (q *fakeQueue) pushRaw(id, n uint32) {
	q.used[q.idx&(q.size-1)] = usedElem{id, n}
	old := q.idx
	q.idx++
	atomic.StoreUint32(q.usedHdr, uint32(q.idx)<<16)
	if q.f.features&featureEventIdx != 0 {
		if ev := uint16(atomic.LoadUint32(q.usedEvent)); q.idx-ev-1 < q.idx-old {
			q.f.interrupt()
		}
	} else if atomic.LoadUint32(q.availHdr)&1 == 0 {
		q.f.interrupt()
	}
}

func frames(t testing.TB, n int) [][]byte {
	t.Helper()
	pa := make([]cpu.PhysAddr, n)
	if cpu.AllocFrames(pa) != n {
		t.Fatal("no frames")
	}
	t.Cleanup(func() { cpu.FreeFrames(pa) })
	pages := make([][]byte, n)
	for i := range pages {
		pages[i] = bytesAt(pa[i], cpu.PageSize)
	}
	return pages
}

// sleeper is a wait.Sleeper for tests.
type sleeper chan struct{}

func (s sleeper) Sleep(int64) error { <-s; return nil }

func (s sleeper) WakeFrom(any) { s.Wake() }

func (s sleeper) Wake() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// modes are the combinations of ring features that every test runs with.
var modes = []struct {
	name     string
	features uint64
	async    bool
}{
	{"plain", 0, false},
	{"event index", featureEventIdx, false},
	{"indirect", featureIndirect, true},
	{"event index, indirect", featureEventIdx | featureIndirect, true},
}

func isErrno(err error, want unix.Errno) bool { return err == error(want) }
