package p9

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// Transport carries a message and its answer: *virtio.Share. All memory it is
// given lies in the direct map.
type Transport interface {
	// MaxSegments is how many pieces of memory one RoundTrip may have.
	MaxSegments() int
	// RoundTrip sends tx followed by txData and receives the answer into rx
	// followed by rxData; it returns the length of the answer. Any number of
	// goroutines may call it.
	RoundTrip(tx []byte, txData [][]byte, rx []byte, rxData [][]byte) (int, error)
	// Start sends a message without waiting; Finish waits for its answer.
	// Start returns EAGAIN when too many are under way.
	Start(tx, rx []byte) (ticket int, err error)
	Finish(ticket int) (int, error)
}

const (
	maxCalls = 16        // requests in flight
	maxBatch = 12        // of them, for one caller's batch
	maxMsize = 512 << 10 // what we ask for; the server may want less
	minMsize = 4096
)

// client speaks 9P2000.L: it numbers requests and fids and turns answers into
// errors. Callers hold no lock of the client while a request is under way.
type client struct {
	t     Transport
	msize int
	pages int // of data in one request

	mu    sync.Mutex // calls, made, fids
	idle  sync.Cond  // a call came back
	calls []*call
	made  int
	fids  []uint32 // free numbers
	next  uint32

	// spare serves readAll, one caller at a time, when memory is full of
	// cached pages.
	spareMu sync.Mutex
	spare   [4]cpu.PhysAddr

	clunkMu   sync.Mutex
	clunkCond sync.Cond
	doomed    []uint32 // fids to be clunked
	closed    bool
}

func newClient(t Transport) *client {
	c := &client{t: t, msize: minMsize}
	c.idle.L = &c.mu
	c.clunkCond.L = &c.clunkMu
	return c
}

// get returns a call that begins with a message of the given kind, waiting
// for one if need be.
func (c *client) get(kind byte) (*call, error) {
	c.mu.Lock()
	for {
		if k := c.take(kind); k != nil {
			c.mu.Unlock()
			return k, nil
		}
		if c.made == 0 {
			c.mu.Unlock()
			return nil, unix.ENOMEM
		}
		c.idle.Wait()
	}
}

// tryGet is get for those who hold calls already: it returns nil rather than
// wait. The last few are left to others.
func (c *client) tryGet(kind byte) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if maxCalls-c.made+len(c.calls) <= maxCalls-maxBatch {
		return nil
	}
	return c.take(kind)
}

// take returns a free call, nil when there is none. mu is held.
func (c *client) take(kind byte) *call {
	var k *call
	if n := len(c.calls); n > 0 {
		k, c.calls = c.calls[n-1], c.calls[:n-1]
	} else if c.made < maxCalls {
		var frames [2]cpu.PhysAddr
		if n := cpu.AllocFrames(frames[:]); n < len(frames) {
			cpu.FreeFrames(frames[:n])
			return nil
		}
		k = &call{tag: uint16(c.made), tx: page(frames[0]), rx: page(frames[1])}
		c.made++
	} else {
		return nil
	}
	k.begin(kind)
	return k
}

func (c *client) put(k *call) {
	c.mu.Lock()
	c.calls = append(c.calls, k)
	c.mu.Unlock()
	c.idle.Signal()
}

func page(pa cpu.PhysAddr) []byte {
	// Proof: AllocFrames gave the frame to us, whole and for good.
	return unsafe.Slice((*byte)(cpu.Direct(pa)), cpu.PageSize)
}

// do sends the request and checks the answer: its size, type and tag. Data in
// rxData follows the first rx bytes; without rxData the answer may fill a page.
func (c *client) do(k *call, txData [][]byte, rxData [][]byte) error {
	rx, err := c.prepare(k, txData, rxData)
	if err != nil {
		return err
	}
	n, err := c.t.RoundTrip(k.tx[:k.n], txData, rx, rxData)
	if err != nil {
		return err
	}
	return k.answer(rx, n)
}

// prepare completes the message and returns where the answer goes.
func (c *client) prepare(k *call, txData [][]byte, rxData [][]byte) (rx []byte, err error) {
	if k.overflow {
		return nil, unix.ENAMETOOLONG
	}
	size := k.n
	for _, p := range txData {
		size += len(p)
	}
	if size > c.msize {
		return nil, unix.EMSGSIZE
	}
	binary.LittleEndian.PutUint32(k.tx, uint32(size))
	if rxData != nil {
		return k.rx[:dataHeader], nil
	}
	return k.rx[:min(len(k.rx), c.msize)], nil
}

// answer checks the head of an answer of n bytes, of which rx is the beginning.
func (k *call) answer(rx []byte, n int) error {
	if n < headerSize {
		return unix.EIO
	}
	got := int(binary.LittleEndian.Uint32(rx))
	kind := rx[4]
	if got > n || got < headerSize || [2]byte(rx[5:7]) != [2]byte(k.tx[5:7]) {
		return unix.EIO
	}
	k.in = rx[headerSize:min(got, len(rx))]
	switch {
	case kind == k.tx[4]+1:
		return nil
	case kind == rlerror:
		e := k.r32()
		if k.bad || e == 0 || e > maxErrno {
			return unix.EIO
		}
		return unix.Errno(e)
	}
	return unix.EIO
}

const maxErrno = 133 // EHWPOISON, Linux's last

// simple runs a request whose answer holds nothing of interest.
func (c *client) simple(k *call) error {
	err := c.do(k, nil, nil)
	c.put(k)
	return err
}

// start agrees on the version and attaches to the tree; root is its fid.
func (c *client) start(aname string) (root uint32, q qid, err error) {
	// Every page of data may be a segment of its own; the message and the
	// head of the answer are one each.
	c.pages = min(c.t.MaxSegments()-2, maxMsize/cpu.PageSize)
	if c.pages < 1 {
		return 0, qid{}, unix.EINVAL
	}
	k, err := c.get(tversion)
	if err != nil {
		return 0, qid{}, err
	}
	binary.LittleEndian.PutUint16(k.tx[5:], noTag)
	k.u32(uint32(c.pages*cpu.PageSize + ioHeader))
	k.str("9P2000.L")
	err = c.do(k, nil, nil)
	msize, version := k.r32(), k.rstr()
	bad := k.bad
	c.put(k)
	if err != nil {
		return 0, qid{}, err
	}
	if bad || version != "9P2000.L" || msize < minMsize {
		return 0, qid{}, unix.EPROTONOSUPPORT
	}
	if n := cpu.AllocFrames(c.spare[:]); n < len(c.spare) {
		cpu.FreeFrames(c.spare[:n])
		return 0, qid{}, unix.ENOMEM
	}
	c.msize = int(min(msize, uint32(c.pages*cpu.PageSize+ioHeader)))
	c.pages = (c.msize - ioHeader) / cpu.PageSize
	if c.pages == 0 {
		return 0, qid{}, unix.EPROTONOSUPPORT
	}
	root = c.fid()
	if k, err = c.get(tattach); err != nil {
		return 0, qid{}, err
	}
	k.u32(root)
	k.u32(noFid)
	k.str("root")
	k.str(aname)
	k.u32(0) // as whom: a server that does not map users ignores it
	err = c.do(k, nil, nil)
	q = k.rqid()
	bad = k.bad
	c.put(k)
	if err == nil && bad {
		err = unix.EIO
	}
	if err == nil {
		go c.clunker()
	}
	return root, q, err
}

// fid returns a number that is not in use.
func (c *client) fid() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.fids); n > 0 {
		f := c.fids[n-1]
		c.fids = c.fids[:n-1]
		return f
	}
	c.next++
	return c.next - 1
}

// freeFid returns a number the server does not know (any more).
func (c *client) freeFid(f uint32) {
	c.mu.Lock()
	c.fids = append(c.fids, f)
	c.mu.Unlock()
}

// clunk gives a fid up. The server is told later: nobody waits for it.
func (c *client) clunk(f uint32) {
	if f == noFid {
		return
	}
	c.clunkMu.Lock()
	c.doomed = append(c.doomed, f)
	c.clunkMu.Unlock()
	c.clunkCond.Signal()
}

// clunker tells the server of fids that were given up, until close.
func (c *client) clunker() {
	for {
		c.clunkMu.Lock()
		for len(c.doomed) == 0 && !c.closed {
			c.clunkCond.Wait()
		}
		if len(c.doomed) == 0 {
			c.clunkMu.Unlock()
			return
		}
		f := c.doomed[len(c.doomed)-1]
		c.doomed = c.doomed[:len(c.doomed)-1]
		c.clunkMu.Unlock()
		k, err := c.get(tclunk)
		if err != nil {
			continue // the number is lost, no more
		}
		k.u32(f)
		if c.simple(k) == nil {
			c.freeFid(f)
		}
	}
}

// close ends the clunker once everything has been clunked.
func (c *client) close() {
	c.clunkMu.Lock()
	c.closed = true
	c.clunkMu.Unlock()
	c.clunkCond.Signal()
}

// walk makes a new fid for name below from; the empty name clones it.
func (c *client) walk(from uint32, name string) (f uint32, q qid, err error) {
	k, err := c.get(twalk)
	if err != nil {
		return noFid, q, err
	}
	f = c.fid()
	k.walk(from, f, name)
	err = c.do(k, nil, nil)
	q, err = c.walked(k, f, name, err)
	c.put(k)
	if err != nil {
		f = noFid
	}
	return f, q, err
}

func (k *call) walk(from, to uint32, name string) {
	k.u32(from)
	k.u32(to)
	if name == "" {
		k.u16(0)
		return
	}
	k.u16(1)
	k.str(name)
}

// walked reads the answer to a walk to f.
func (c *client) walked(k *call, f uint32, name string, err error) (q qid, _ error) {
	if err == nil {
		got := k.r16()
		if got == 1 {
			q = k.rqid()
		}
		if k.bad || got > 1 || got == 1 && name == "" {
			err = unix.EIO
		} else if got == 0 && name != "" {
			err = unix.ENOENT
		}
	}
	if err != nil && err != error(unix.EIO) { // else the server may know the fid: lose the number
		c.freeFid(f)
	}
	return q, err
}

// found is the result of one of several look-ups.
type found struct {
	fid   uint32
	attr  attributes
	err   error
	known bool // the walk succeeded; attr is valid if err is nil
}

// lookups looks names up below from, all at once as far as there is room, and
// returns the results of the first of them, at least one.
func (c *client) lookups(from uint32, names []string) ([]found, error) {
	first, err := c.get(twalk)
	if err != nil {
		return nil, err
	}
	calls := append(make([]*call, 0, maxBatch), first)
	for len(calls) < min(len(names), maxBatch) {
		k := c.tryGet(twalk)
		if k == nil {
			break
		}
		calls = append(calls, k)
	}
	result := make([]found, len(calls))
	for i, k := range calls {
		result[i].fid = c.fid()
		k.walk(from, result[i].fid, names[i])
	}
	c.batch(calls, func(i int, err error) {
		_, result[i].err = c.walked(calls[i], result[i].fid, names[i], err)
		result[i].known = result[i].err == nil
	})
	for i, k := range calls {
		if !result[i].known {
			continue
		}
		k.begin(tgetattr)
		k.u32(result[i].fid)
		k.u64(getattrBasic)
	}
	c.batch(calls, func(i int, err error) {
		if !result[i].known {
			return
		}
		result[i].attr = calls[i].rattributes()
		result[i].err = calls[i].sound(err)
	})
	for i, k := range calls {
		if result[i].known && result[i].err != nil {
			c.clunk(result[i].fid)
		}
		c.put(k)
	}
	return result, nil
}

// batch sends those of calls that have a message begun and lets each hear of
// its answer. A message is spent once it is answered.
func (c *client) batch(calls []*call, answered func(i int, err error)) {
	var tickets [maxBatch]int
	next := 0
	for done := 0; done < len(calls); done++ {
		for ; next < len(calls); next++ {
			k := calls[next]
			tickets[next] = -1
			if k.n == 0 {
				continue
			}
			rx, err := c.prepare(k, nil, nil)
			if err == nil {
				tickets[next], err = c.t.Start(k.tx[:k.n], rx)
			}
			if err == error(unix.EAGAIN) && next > done {
				break // one has to be finished first
			}
			if err == error(unix.EAGAIN) { // others hold everything: wait for a turn
				answered(next, c.do(k, nil, nil))
				k.n, tickets[next] = 0, -1
			} else if err != nil {
				answered(next, err)
				k.n, tickets[next] = 0, -1
			}
		}
		k := calls[done]
		if tickets[done] < 0 {
			continue
		}
		n, err := c.t.Finish(tickets[done])
		if err == nil {
			err = k.answer(k.rx[:min(len(k.rx), c.msize)], n)
		}
		answered(done, err)
		k.n = 0
	}
}

// sound turns the success of a call whose answer cannot be read into EIO.
func (k *call) sound(err error) error {
	if err == nil && k.bad {
		return unix.EIO
	}
	return err
}

// open opens a fid; flags are those of open(2).
func (c *client) open(f uint32, flags uint32) (qid, error) {
	k, err := c.get(tlopen)
	if err != nil {
		return qid{}, err
	}
	k.u32(f)
	k.u32(flags)
	err = c.do(k, nil, nil)
	q := k.rqid()
	err = k.sound(err)
	c.put(k)
	return q, err
}

func (c *client) getattr(f uint32) (attributes, error) {
	k, err := c.get(tgetattr)
	if err != nil {
		return attributes{}, err
	}
	k.u32(f)
	k.u64(getattrBasic)
	err = c.do(k, nil, nil)
	a := k.rattributes()
	err = k.sound(err)
	c.put(k)
	return a, err
}

func (c *client) readlink(f uint32) (string, error) {
	k, err := c.get(treadlink)
	if err != nil {
		return "", err
	}
	k.u32(f)
	err = c.do(k, nil, nil)
	s := k.rstr()
	err = k.sound(err)
	c.put(k)
	return s, err
}

// read fills pages from byte off of an open fid in one request and returns
// how many bytes came. What a page has beyond them is undefined.
func (c *client) read(f uint32, kind byte, off uint64, pages [][]byte) (int, error) {
	return c.transfer(f, kind, off, nil, pages)
}

// write stores pages at byte off of an open fid in one request.
func (c *client) write(f uint32, off uint64, pages [][]byte) (int, error) {
	return c.transfer(f, twrite, off, pages, nil)
}

// transfer does a request of kind on pages, either out to the server or in
// from it, and returns how many bytes went.
func (c *client) transfer(f uint32, kind byte, off uint64, out, in [][]byte) (int, error) {
	k, err := c.get(kind)
	if err != nil {
		return 0, err
	}
	want := 0
	for _, p := range out {
		want += len(p)
	}
	for _, p := range in {
		want += len(p)
	}
	k.u32(f)
	k.u64(off)
	k.u32(uint32(want))
	err = c.do(k, out, in)
	n := int(k.r32())
	if err == nil && (k.bad || n > want || in != nil && n > int(binary.LittleEndian.Uint32(k.rx))-dataHeader) {
		err = unix.EIO
	}
	c.put(k)
	if err != nil {
		return 0, err
	}
	return n, nil
}

// readAll reads a stream of bytes (a directory, an extended attribute) by way
// of pages of its own. more is given each piece and says where the next one
// starts, or that it has enough.
func (c *client) readAll(f uint32, kind byte, more func(data []byte) (next uint64, ok bool)) error {
	var frames [16]cpu.PhysAddr
	got := cpu.AllocFrames(frames[:min(len(frames), c.pages)])
	if got == 0 {
		c.spareMu.Lock()
		defer c.spareMu.Unlock()
		got = copy(frames[:min(len(frames), c.pages)], c.spare[:])
	} else {
		defer cpu.FreeFrames(frames[:got])
	}
	pages := make([][]byte, got)
	for i := range pages {
		pages[i] = page(frames[i])
	}
	buf := make([]byte, got*cpu.PageSize)
	off, ok := uint64(0), true
	for ok {
		n, err := c.read(f, kind, off, pages)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		for i := 0; i*cpu.PageSize < n; i++ {
			copy(buf[i*cpu.PageSize:n], pages[i])
		}
		off, ok = more(buf[:n])
	}
	return nil
}
