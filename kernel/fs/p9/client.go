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
}

const (
	maxCalls = 16        // requests in flight
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

// get returns a call that begins with a message of the given kind.
func (c *client) get(kind byte) (*call, error) {
	c.mu.Lock()
	for len(c.calls) == 0 {
		if c.made < maxCalls {
			var frames [2]cpu.PhysAddr
			if n := cpu.AllocFrames(frames[:]); n == len(frames) {
				k := &call{tag: uint16(c.made), tx: page(frames[0]), rx: page(frames[1])}
				c.made++
				c.mu.Unlock()
				k.begin(kind)
				return k, nil
			} else if n > 0 {
				cpu.FreeFrames(frames[:n])
			}
			if c.made == 0 {
				c.mu.Unlock()
				return nil, unix.ENOMEM
			}
		}
		c.idle.Wait()
	}
	k := c.calls[len(c.calls)-1]
	c.calls = c.calls[:len(c.calls)-1]
	c.mu.Unlock()
	k.begin(kind)
	return k, nil
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
	if k.overflow {
		return unix.ENAMETOOLONG
	}
	size := k.n
	for _, p := range txData {
		size += len(p)
	}
	if size > c.msize {
		return unix.EMSGSIZE
	}
	binary.LittleEndian.PutUint32(k.tx, uint32(size))
	rx := k.rx[:min(len(k.rx), c.msize)]
	if rxData != nil {
		rx = k.rx[:dataHeader]
	}
	want := k.tx[4] + 1
	tag := binary.LittleEndian.Uint16(k.tx[5:])
	n, err := c.t.RoundTrip(k.tx[:k.n], txData, rx, rxData)
	if err != nil {
		return err
	}
	if n < headerSize {
		return unix.EIO
	}
	got := int(binary.LittleEndian.Uint32(rx))
	kind := rx[4]
	if got > n || got < headerSize || binary.LittleEndian.Uint16(rx[5:]) != tag {
		return unix.EIO
	}
	k.in = rx[headerSize:min(got, len(rx))]
	switch {
	case kind == want:
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

// walk makes a new fid for names below from; no name clones it. q is the qid
// of the last name.
func (c *client) walk(from uint32, names ...string) (f uint32, q qid, err error) {
	k, err := c.get(twalk)
	if err != nil {
		return noFid, q, err
	}
	f = c.fid()
	k.u32(from)
	k.u32(f)
	k.u16(uint16(len(names)))
	for _, name := range names {
		k.str(name)
	}
	err = c.do(k, nil, nil)
	got := 0
	if err == nil {
		got = int(k.r16())
		for range got {
			q = k.rqid()
		}
		if k.bad || got > len(names) {
			err = unix.EIO
		}
	}
	c.put(k)
	if err == nil && got < len(names) {
		err = unix.ENOENT // a part of the path: no fid was made
	}
	if err != nil {
		if err == error(unix.EIO) {
			return noFid, q, err // the server may know the fid: lose the number
		}
		c.freeFid(f)
		return noFid, q, err
	}
	return f, q, nil
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
	if err == nil && k.bad {
		err = unix.EIO
	}
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
	if err == nil && k.bad {
		err = unix.EIO
	}
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
	if err == nil && k.bad {
		err = unix.EIO
	}
	c.put(k)
	return s, err
}

// read fills pages from byte off of an open fid in one request and returns
// how many bytes came. What a page has beyond them is undefined.
func (c *client) read(f uint32, kind byte, off uint64, pages [][]byte) (int, error) {
	k, err := c.get(kind)
	if err != nil {
		return 0, err
	}
	want := 0
	for _, p := range pages {
		want += len(p)
	}
	k.u32(f)
	k.u64(off)
	k.u32(uint32(want))
	err = c.do(k, nil, pages)
	n := int(k.r32())
	if err == nil && (k.bad || n > want || n > int(binary.LittleEndian.Uint32(k.rx))-dataHeader) {
		err = unix.EIO
	}
	c.put(k)
	if err != nil {
		return 0, err
	}
	return n, nil
}

// write stores pages at byte off of an open fid in one request.
func (c *client) write(f uint32, off uint64, pages [][]byte) (int, error) {
	k, err := c.get(twrite)
	if err != nil {
		return 0, err
	}
	want := 0
	for _, p := range pages {
		want += len(p)
	}
	k.u32(f)
	k.u64(off)
	k.u32(uint32(want))
	err = c.do(k, pages, nil)
	n := int(k.r32())
	if err == nil && (k.bad || n > want) {
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
		return unix.ENOMEM
	}
	defer cpu.FreeFrames(frames[:got])
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
