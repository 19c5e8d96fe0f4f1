package virtio

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
	"husk/kernel/wait"
)

func newFakeDisk(features uint64, async bool, disk []byte, segMax uint32) *fake {
	config := make([]byte, 24)
	binary.LittleEndian.PutUint64(config, uint64(len(disk)/SectorSize))
	binary.LittleEndian.PutUint32(config[blkConfigSegMax:], segMax)
	f := newFake(KindBlock, features|blkSegMax|blkFlush, config)
	f.async = async
	f.handle = func(i int) {
		q := f.queues[i]
		for c, ok := q.pop(); ok; c, ok = q.pop() {
			h := c.read()
			off := binary.LittleEndian.Uint64(h[8:]) * SectorSize
			status := []byte{blkOK}
			n := 0
			for _, b := range c.in {
				n += len(b)
			}
			switch binary.LittleEndian.Uint32(h) {
			case blkIn:
				if len(c.in) > int(segMax)+1 {
					panic("too many segments")
				}
				if off+uint64(n-1) > uint64(len(disk)) {
					status[0] = blkIOErr
					c.n = n - 1
				} else {
					c.write(disk[off : off+uint64(n-1)])
				}
			case blkOut:
				copy(disk[off:], h[16:])
			case blkSync:
			default:
				status[0] = blkUnsupported
			}
			c.write(status)
			q.push(c)
		}
	}
	return f
}

func TestBlockReadsStraightIntoPages(t *testing.T) {
	disk := make([]byte, 3<<20+512)
	rand.New(rand.NewSource(1)).Read(disk)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			f := newFakeDisk(m.features, m.async, disk, 16)
			b, err := OpenBlock(f)
			if err != nil {
				t.Fatal(err)
			}
			if b.Size() != uint64(len(disk)) {
				t.Fatalf("Size() = %d", b.Size())
			}
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					r := rand.New(rand.NewSource(int64(g)))
					pages := frames(t, 40)
					for range 50 {
						n := 1 + r.Intn(len(pages))
						off := uint64(r.Intn(len(disk)/cpu.PageSize-n)) * cpu.PageSize
						r.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
						if err := b.ReadPages(off, pages[:n]); err != nil {
							t.Error(err)
							return
						}
						for i, p := range pages[:n] {
							if at := off + uint64(i)*cpu.PageSize; !bytes.Equal(p, disk[at:at+cpu.PageSize]) {
								t.Errorf("page %d of a read at %d differs", i, off)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			// The device ends within a page: the rest is zero.
			page := frames(t, 1)
			page[0][4095] = 1
			end := uint64(len(disk)) - 512
			if err := b.ReadPages(end, page); err != nil || !bytes.Equal(page[0][:512], disk[end:]) || page[0][4095] != 0 {
				t.Errorf("read at the end: %v", err)
			}
			buf := make([]byte, 10000)
			if n, err := b.ReadAt(buf, 12345); n != len(buf) || err != nil || !bytes.Equal(buf, disk[12345:22345]) {
				t.Errorf("ReadAt = %d, %v", n, err)
			}
			copy(page[0], "written")
			err = b.WritePages(8192, page)
			f.with(func() {
				if err != nil || string(disk[8192:8199]) != "written" {
					t.Errorf("WritePages: %v", err)
				}
			})
			if err := b.Flush(); err != nil {
				t.Error(err)
			}
			if err := b.ReadPages(0, [][]byte{make([]byte, 4096)}); !isErrno(err, unix.EFAULT) {
				t.Errorf("read into the Go heap: %v", err)
			}
			f.running.Wait()
		})
	}
}

func TestEntropyFillsTheBuffer(t *testing.T) {
	f := newFake(KindEntropy, featureEventIdx, nil)
	f.async = true
	f.handle = func(i int) {
		q := f.queues[i]
		for c, ok := q.pop(); ok; c, ok = q.pop() {
			c.write(bytes.Repeat([]byte{7}, 100)) // fewer than asked for
			q.push(c)
		}
	}
	e, err := OpenEntropy(f)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1000)
	if n, err := e.Read(p); n != 1000 || err != nil || bytes.IndexFunc(p, func(r rune) bool { return r != 7 }) >= 0 {
		t.Errorf("Read = %d, %v", n, err)
	}
	f.running.Wait()
}

func TestShareCarriesMessagesOfSeveralGoroutines(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			f := newFake(Kind9P, m.features|shareMountTag, []byte{4, 0, 'r', 'o', 'o', 't'})
			f.async = m.async
			f.handle = func(i int) {
				q := f.queues[i]
				for c, ok := q.pop(); ok; c, ok = q.pop() {
					c.write(c.read()) // echo
					q.push(c)
				}
			}
			s, err := OpenShare(f)
			if err != nil || s.Tag() != "root" {
				t.Fatal(s.Tag(), err)
			}
			var wg sync.WaitGroup
			for g := range 20 { // more than there are slots
				wg.Go(func() {
					p := frames(t, 8)
					for i := range 100 {
						p[0][0], p[0][1] = byte(g), byte(i)
						p[1][0], p[2][4095] = byte(g), byte(i)
						n, err := s.RoundTrip(p[0], p[1:3], p[3], p[5:7])
						if err != nil || n != 3*4096 || p[3][0] != byte(g) || p[5][0] != byte(g) || p[6][4095] != byte(i) {
							t.Errorf("echo = %d, %v", n, err)
							return
						}
					}
				})
			}
			wg.Wait()
			f.running.Wait()
		})
	}
}

// fakeConsole plays QEMU's side of a multiport console.
type fakeConsole struct {
	*fake
	names []string
	out   [][]byte // by port
	open  []bool
}

func newFakeConsole(features uint64, async bool, names ...string) *fakeConsole {
	config := make([]byte, 12)
	binary.LittleEndian.PutUint32(config[4:], 31)
	c := &fakeConsole{
		fake: newFake(KindConsole, features|consoleMultiport, config), names: names,
		out: make([][]byte, len(names)), open: make([]bool, len(names)),
	}
	c.async = async
	c.handle = c.service
	return c
}

func (c *fakeConsole) control(id int, event, value uint16, tail string) {
	q := c.queues[2]
	ch, ok := q.pop()
	if !ok {
		panic("no control buffer: QEMU would drop the message")
	}
	var m [8]byte
	binary.LittleEndian.PutUint32(m[:], uint32(id))
	binary.LittleEndian.PutUint16(m[4:], event)
	binary.LittleEndian.PutUint16(m[6:], value)
	ch.write(append(m[:], tail...))
	q.push(ch)
}

func (c *fakeConsole) service(i int) {
	q := c.queues[i]
	switch {
	case i == 3:
		for ch, ok := q.pop(); ok; ch, ok = q.pop() {
			m := ch.read()
			q.push(ch)
			id := int(binary.LittleEndian.Uint32(m))
			switch binary.LittleEndian.Uint16(m[4:]) {
			case ctlDeviceReady:
				for id := range c.names {
					c.control(id, ctlDeviceAdd, 1, "")
				}
			case ctlPortReady:
				c.control(id, ctlPortName, 1, c.names[id]+"\x00")
				c.control(id, ctlPortOpen, 1, "")
			case ctlPortOpen:
				c.open[id] = true
			}
		}
	case i == 1 || i > 3 && i%2 == 1:
		id := 0
		if i > 3 {
			id = i/2 - 1
		}
		for ch, ok := q.pop(); ok; ch, ok = q.pop() {
			c.out[id] = append(c.out[id], ch.read()...)
			q.push(ch)
		}
	}
}

// input delivers up to a page and returns how much was taken.
func (c *fakeConsole) input(id int, p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := 0
	if id > 0 {
		i = 2*id + 2
	}
	ch, ok := c.queues[i].pop()
	if !ok {
		return 0
	}
	n := ch.write(p[:min(len(p), 4096)])
	c.queues[i].push(ch)
	return n
}

func TestConsolePortsCarryBytesExactly(t *testing.T) {
	data := make([]byte, 2<<20+123)
	rand.New(rand.NewSource(2)).Read(data)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			f := newFakeConsole(m.features, m.async, "husk.stdin", "husk.stdout")
			c, err := OpenConsole(f)
			if err != nil {
				t.Fatal(err)
			}
			in, out := c.Find("husk.stdin"), c.Find("husk.stdout")
			if in == nil || out == nil || c.Find("husk.trace") != nil {
				t.Fatal("ports", in, out)
			}
			if err := in.Open(32, 0); err != nil {
				t.Fatal(err)
			}
			if err := out.Open(0, 16384); err != nil {
				t.Fatal(err)
			}
			if n, err := in.Read(make([]byte, 10)); n != 0 || !isErrno(err, unix.EAGAIN) {
				t.Fatalf("read of nothing = %d, %v", n, err)
			}
			go func() {
				rest := data
				for len(rest) > 0 {
					n := f.input(0, rest[:min(len(rest), 1+len(rest)%5000)])
					if rest = rest[n:]; n == 0 {
						time.Sleep(10 * time.Microsecond)
					}
				}
				in.SetEnd(uint64(len(data)))
			}()
			// cat: through a buffer of a size that fits nothing.
			me := make(sleeper, 1)
			wIn := wait.Waiter{Mask: wait.In, Sleeper: me}
			wOut := wait.Waiter{Mask: wait.Out, Sleeper: me}
			in.Queue().Add(&wIn)
			out.Queue().Add(&wOut)
			buf := make([]byte, 10007)
			for {
				n, err := in.Read(buf)
				if isErrno(err, unix.EAGAIN) {
					if in.Ready()&(wait.In|wait.Hup) == 0 {
						me.Sleep(0)
					}
					continue
				}
				if n == 0 {
					break
				}
				for p := buf[:n]; len(p) > 0; {
					k, err := out.Write(p)
					if isErrno(err, unix.EAGAIN) {
						me.Sleep(0)
					}
					p = p[k:]
				}
			}
			if err := out.Flush(me, wait.NoDeadline); err != nil {
				t.Fatal(err)
			}
			f.with(func() {
				if !bytes.Equal(f.out[1], data) {
					t.Errorf("%d bytes came out of %d", len(f.out[1]), len(data))
				}
				if !f.open[0] || !f.open[1] {
					t.Error("the device was not told that the ports are open")
				}
			})
			if out.Written() != uint64(len(data)) {
				t.Errorf("Written() = %d", out.Written())
			}
			if ev := in.Ready(); ev != wait.Hup {
				t.Errorf("at the end Ready() = %#x", ev)
			}
			f.with(func() { f.control(1, ctlPortOpen, 0, "") })
			f.running.Wait()
			c.service()
			if _, err := out.Write([]byte("x")); !isErrno(err, unix.EPIPE) {
				t.Errorf("write after the reader left: %v", err)
			}
			f.running.Wait()
			t.Logf("%d interrupts, %d notifications", f.irqs.Load(), f.notices.Load())
		})
	}
}

func TestSmallWriteIsAllOrNothing(t *testing.T) {
	f := newFakeConsole(featureEventIdx, false, "out")
	c, err := OpenConsole(f)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Find("out")
	if err := p.Open(0, 8192); err != nil {
		t.Fatal(err)
	}
	f.handle = func(int) {} // the host stopped reading
	if n, err := p.Write(make([]byte, 6000)); n != 6000 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := p.Write(make([]byte, 4000)); n != 0 || !isErrno(err, unix.EAGAIN) {
		t.Errorf("write of 4000 into 2192 = %d, %v", n, err)
	}
	if n, err := p.Write(make([]byte, 5000)); n != 2192 || !isErrno(err, unix.EAGAIN) {
		t.Errorf("write of 5000 into 2192 = %d, %v", n, err)
	}
	if ev := p.Ready(); ev != 0 {
		t.Errorf("Ready() = %#x", ev)
	}
	f.running.Wait()
}

func TestMMIODeviceWords(t *testing.T) {
	for _, tc := range []struct {
		in   string
		size uintptr
		base cpu.PhysAddr
		irq  int
		ok   bool
	}{
		{"512@0xfeb00e00:12", 512, 0xfeb00e00, 12, true},
		{"4K@0xd0000000:5", 4096, 0xd0000000, 5, true},
		{"4K@0xd0000000:5:1", 4096, 0xd0000000, 5, true},
		{"512@0xfeb00e00", 0, 0, 0, false},
		{"@:", 0, 0, 0, false},
		{"8@0:0", 0, 0, 0, false},
		{"99999999999999999999@1:1", 0, 0, 0, false},
	} {
		size, base, irq, ok := parseMMIODevice(tc.in)
		if size != tc.size || base != tc.base || irq != tc.irq || ok != tc.ok {
			t.Errorf("%q: %d %#x %d %v", tc.in, size, base, irq, ok)
		}
	}
}

// FuzzQueue lets the device write what it likes into the used ring: the
// driver must neither crash nor hand out a request twice.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 2, 4, 4, 200, 9}, uint8(0))
	f.Add([]byte{1, 0, 1, 0, 1, 0}, uint8(3))
	f.Fuzz(func(t *testing.T, script []byte, mode uint8) {
		features := uint64(mode&3) << 28
		dev := newFake(KindEntropy, features, nil)
		dev.maxQueue = 8
		dev.handle = func(int) {}
		dev.irq = func() {}
		q, err := newQueue(dev, 0, 8, features)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			for _, table := range q.tables {
				if table != 0 {
					cpu.FreeFrames([]cpu.PhysAddr{table})
				}
			}
		}()
		page, _ := PhysOf(frames(t, 1)[0])
		out := map[uint32]bool{}
		next := uint32(0)
		for i := 0; i+1 < len(script); i += 2 {
			op, arg := script[i], script[i+1]
			switch op % 4 {
			case 0:
				segs := make([]Segment, 1+arg%8)
				for i := range segs {
					segs[i] = Segment{page, 16}
				}
				k := int(arg>>4) % (len(segs) + 1)
				if q.Add(segs[:k], segs[k:], next) {
					out[next] = true
					next++
				}
				q.Kick()
			case 1:
				dev.queues[0].pushRaw(uint32(arg%9), uint32(arg>>3))
			case 2:
				dev.queues[0].idx += uint16(arg)
				dev.queues[0].pushRaw(uint32(op), 0)
			case 3:
				q.Arm()
			}
			for {
				cookie, n, ok := q.Pop()
				if !ok {
					break
				}
				if !out[cookie] || n > 8*16 {
					t.Fatalf("request %d came back twice, or with %d bytes", cookie, n)
				}
				delete(out, cookie)
			}
			if q.Free() < 0 || q.Free() > 8 {
				t.Fatalf("%d descriptors free", q.Free())
			}
		}
		dev.running.Wait()
	})
}

func TestBrokenDeviceFailsRequests(t *testing.T) {
	f := newFake(KindEntropy, featureEventIdx, nil)
	f.async = true
	f.handle = func(i int) {
		if _, ok := f.queues[i].pop(); ok {
			f.queues[i].pushRaw(99, 1)
		}
	}
	e, err := OpenEntropy(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := e.Read(make([]byte, 8)); !isErrno(err, unix.EIO) {
			t.Errorf("read from a broken device: %v", err)
		}
	}
	f.running.Wait()
}
