// Package pipe is pipe(7): a ring of pages between writers and readers, and
// the FIFOs that have names. A Pipe is the FileOps of all its ends; which end
// a file is follows from its access mode.
//
// Pages in the ring are reference counted and do not change once another
// pipe shares them (tee), so that splice moves and tee shares them without a
// copy.
//
// Locks: Pipe.mu guards the ring and is held while user memory is copied.
// Two pipes are locked in the order of their numbers. Order: Pipe.mu, locks
// of the file that a pipe is spliced to, wait.Queue.
package pipe

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

const (
	pageSize     = mm.PageSize
	defaultSlots = 16      // 64 KiB, pipe(7) "Pipe capacity"
	maxSize      = 1 << 20 // /proc/sys/fs/pipe-max-size
)

// A page holds data in a ring. refs counts the slots that show it.
type page struct {
	data *[pageSize]byte
	refs atomic.Int32
}

// A slot is one place of the ring: n bytes at off of a page.
type slot struct {
	pg     *page
	off, n int
	merge  bool // a later write may append in place
	packet bool // one write of a pipe in packet mode (O_DIRECT)
}

// slotSize is the size of a slot in bytes.
const slotSize = 32

// Pipe is a pipe or the inside of a FIFO.
type Pipe struct {
	vfs.BaseOps
	number uint64 // orders locks; the inode number of an unnamed pipe
	// unnamed pipes can be opened again through /proc/self/fd: that never
	// waits for the other end, which may be nobody's any more.
	unnamed bool

	mu    sync.Mutex
	ring  []slot // a power of two of them
	first uint32 // the oldest slot; free running, masked by len(ring)-1
	used  uint32 // filled slots
	held  uint32 // slots promised to a splice that is reading into them
	// readers and writers are the open ends; reads and writes count the
	// opens ever made, by which a blocking open sees a short-lived partner.
	readers, writers int
	reads, writes    uint32
	spare            [2]*page // kept so that a busy pipe allocates nothing
	// rd holds those who wait at reading ends, wr at writing ends and rw at
	// FIFO ends that are both: an edge-triggered writer is not to see the
	// events of its own writes.
	rd, wr, rw wait.Queue
}

var numbers atomic.Uint64

func newPipe() *Pipe {
	return &Pipe{number: numbers.Add(1), ring: make([]slot, defaultSlots)}
}

// New serves pipe2(2): the two ends, each with one reference. flags may hold
// O_NONBLOCK and O_DIRECT.
func New(flags uint32) (r, w *vfs.File) {
	p := newPipe()
	p.unnamed = true
	p.readers, p.writers, p.reads, p.writes = 1, 1, 1, 1
	path := vfs.NewAnonPath("pipe:", unix.S_IFIFO|0o600)
	path.Inode().Attach(p)
	r = vfs.NewFile(path, unix.O_RDONLY|flags, p)
	w = vfs.NewFile(path, unix.O_WRONLY|flags, p)
	r.PlainReader = p
	if flags&unix.O_DIRECT == 0 {
		w.PlainWriter = p
	}
	return r, w
}

// Of returns the pipe that f is an end of, nil if it is none.
func Of(f *vfs.File) *Pipe {
	switch o := f.Ops.(type) {
	case *Pipe:
		return o
	case *fifo:
		return o.Pipe
	}
	return nil
}

func canRead(f *vfs.File) bool  { return f.Flags()&unix.O_ACCMODE != unix.O_WRONLY }
func canWrite(f *vfs.File) bool { return f.Flags()&unix.O_ACCMODE != unix.O_RDONLY }

func (p *Pipe) full() bool { return p.used+p.held >= uint32(len(p.ring)) }

// at returns the i-th filled slot from the oldest.
func (p *Pipe) at(i uint32) *slot { return &p.ring[(p.first+i)&uint32(len(p.ring)-1)] }

// push appends a slot; the ring is not full or the place was held.
func (p *Pipe) push(s slot) {
	*p.at(p.used) = s
	p.used++
}

// pop drops the oldest slot and its page.
func (p *Pipe) pop() {
	s := p.at(0)
	p.drop(s.pg)
	*s = slot{}
	p.first++
	p.used--
}

// drop gives up one reference of pg and keeps it for later if it was the last.
func (p *Pipe) drop(pg *page) {
	if pg.refs.Load() != 1 && pg.refs.Add(-1) != 0 {
		return
	}
	pg.refs.Store(1) // a spare page has the reference of who takes it next
	p.keep(pg)
}

// keep stores a page that only the caller knows.
func (p *Pipe) keep(pg *page) {
	for i := range p.spare {
		if p.spare[i] == nil {
			p.spare[i] = pg
			return
		}
	}
}

// take returns a page of undefined contents with one reference.
func (p *Pipe) take() *page {
	for i, pg := range p.spare {
		if pg != nil {
			p.spare[i] = nil
			return pg
		}
	}
	return newPage()
}

func newPage() *page {
	pg := &page{data: new([pageSize]byte)}
	pg.refs.Store(1)
	return pg
}

// Read moves data from the ring to b: all there is, or one packet.
func (p *Pipe) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	if b.Len() == 0 {
		return 0, nil
	}
	p.mu.Lock()
	if p.used == 0 {
		err := error(nil)
		if p.writers > 0 {
			err = unix.EAGAIN
		}
		p.mu.Unlock()
		return 0, err
	}
	wasFull := p.full()
	done := 0
	var err error
	for p.used > 0 && b.Len() > 0 {
		s := p.at(0)
		var n int
		n, err = b.CopyOut(s.pg.data[s.off : s.off+s.n])
		done += n
		s.off += n
		s.n -= n
		packet := s.packet
		if err == nil && packet {
			s.n = 0 // the rest of a packet is lost
		}
		if s.n == 0 {
			p.pop()
		}
		if err != nil || packet {
			break
		}
	}
	freed := wasFull && !p.full()
	p.mu.Unlock()
	if freed {
		p.writable(wait.Writable)
	}
	if done > 0 {
		return done, nil
	}
	return 0, err
}

// Write appends b to the ring. Up to PIPE_BUF bytes go in as a whole or not
// at all: they fit the last page or take one slot.
func (p *Pipe) Write(c vfs.Caller, f *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	if b.Len() == 0 {
		return 0, 0, nil
	}
	packet := f.Flags()&unix.O_DIRECT != 0
	p.mu.Lock()
	if p.readers == 0 {
		p.mu.Unlock()
		c.Raise(int(unix.SIGPIPE))
		return 0, 0, unix.EPIPE
	}
	done := 0
	var err error
	// The odd bytes go behind the last write if they fit there as a whole.
	if tail := b.Len() & (pageSize - 1); tail != 0 && p.used > 0 {
		s := p.at(p.used - 1)
		if s.merge && s.off+s.n+tail <= pageSize {
			done, err = b.CopyIn(s.pg.data[s.off+s.n : s.off+s.n+tail])
			if err != nil {
				done = 0 // not counted, not shown: as if nothing was written
			} else {
				s.n += done
			}
		}
	}
	for err == nil && b.Len() > 0 {
		if p.full() {
			err = unix.EAGAIN
			break
		}
		pg := p.take()
		n := 0
		n, err = b.CopyIn(pg.data[:min(b.Len(), pageSize)])
		if err != nil {
			p.drop(pg)
			break
		}
		p.push(slot{pg: pg, n: n, merge: !packet, packet: packet})
		done += n
	}
	p.mu.Unlock()
	// Edge-triggered readers are told even of a write that found no room, as
	// on Linux: programs rely on it.
	p.readable(wait.Readable)
	if done == 0 {
		return 0, 0, err
	}
	if err != unix.EAGAIN {
		err = nil
	}
	return done, 0, err
}

// Poll is pipe(7)'s readiness: a reader sees data and hang-up, a writer room
// for PIPE_BUF bytes and an error once nobody reads.
func (p *Pipe) Poll(f *vfs.File) wait.Events { return p.poll(f, 0) }

// poll leaves out the hang-up while no writer came since opens counted opened.
func (p *Pipe) poll(f *vfs.File, opened uint32) wait.Events {
	var ev wait.Events
	p.mu.Lock()
	if canRead(f) {
		if p.used > 0 {
			ev |= wait.Readable
		}
		if p.writers == 0 && p.writes != opened {
			ev |= wait.Hup
		}
	}
	if canWrite(f) {
		if !p.full() {
			ev |= wait.Writable
		}
		if p.readers == 0 {
			ev |= wait.Err
		}
	}
	p.mu.Unlock()
	return ev
}

// Queue announces data, room, and the going of the other side.
func (p *Pipe) Queue(f *vfs.File) *wait.Queue {
	switch f.Flags() & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return &p.rd
	case unix.O_WRONLY:
		return &p.wr
	}
	return &p.rw
}

// AwaitReaders waits until no end for reading is open.
func (p *Pipe) AwaitReaders(s wait.Sleeper) error {
	return p.wr.Until(s, wait.Err, wait.NoDeadline, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.readers == 0
	})
}

// readable and writable tell one side of the pipe. p.mu is not held.
func (p *Pipe) readable(ev wait.Events) {
	p.rd.Notify(ev)
	p.rw.Notify(ev)
}

func (p *Pipe) writable(ev wait.Events) {
	p.wr.Notify(ev)
	p.rw.Notify(ev)
}

// Ioctl serves FIONREAD (TIOCINQ).
func (p *Pipe) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	if request != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	return 0, c.AddressSpace().Store32(mm.Addr(arg), uint32(p.buffered()))
}

func (p *Pipe) buffered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for i := range p.used {
		n += p.at(i).n
	}
	return n
}

// Release closes one end. When nobody is left the pages go.
func (p *Pipe) Release(f *vfs.File) {
	p.mu.Lock()
	if canRead(f) {
		p.readers--
	}
	if canWrite(f) {
		p.writers--
	}
	wake := (p.readers == 0) != (p.writers == 0)
	if p.readers == 0 && p.writers == 0 {
		for p.used > 0 {
			p.pop()
		}
		p.spare = [2]*page{}
		if len(p.ring) != defaultSlots { // a FIFO starts anew
			p.ring, p.first = make([]slot, defaultSlots), 0
		}
		wake = !p.wr.Empty() // AwaitReaders
	}
	p.mu.Unlock()
	if wake {
		p.readable(wait.Readable | wait.Writable | wait.Err | wait.Hup)
		p.wr.Notify(wait.Readable | wait.Writable | wait.Err | wait.Hup)
	}
}

// PipeSize serves fcntl(F_GETPIPE_SZ).
func (p *Pipe) PipeSize() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ring) * pageSize
}

// SetPipeSize serves fcntl(F_SETPIPE_SZ) and returns the size that holds.
func (p *Pipe) SetPipeSize(c vfs.Caller, size uint64) (int, error) {
	if size > 1<<31 {
		return 0, unix.EINVAL
	}
	slots := 1
	for uint64(slots)*pageSize < size {
		slots <<= 1
	}
	p.mu.Lock()
	grow := slots > len(p.ring)
	switch {
	case grow && slots*pageSize > maxSize && !c.Cred().Has(unix.CAP_SYS_RESOURCE):
		p.mu.Unlock()
		return 0, unix.EPERM
	case uint32(slots) < p.used+p.held:
		p.mu.Unlock()
		return 0, unix.EBUSY
	case grow && !cpu.KernelRoom(uint64(slots)*slotSize):
		p.mu.Unlock()
		return 0, unix.ENOMEM
	}
	ring := make([]slot, slots)
	for i := 0; i < len(ring); i += 4096 / slotSize { // so that the memory is there, and counted
		ring[i] = slot{}
	}
	for i := range p.used {
		ring[i] = *p.at(i)
	}
	p.ring, p.first = ring, 0
	p.mu.Unlock()
	if grow {
		p.writable(wait.Writable)
	}
	return slots * pageSize, nil
}
