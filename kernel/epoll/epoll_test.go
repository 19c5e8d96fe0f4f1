package epoll

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/eventfd"
	"husk/kernel/mm"
	"husk/kernel/pipe"
	"husk/kernel/poll"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
	"husk/kernel/wait"
)

// world is a small set of descriptors: eventfds, pipe ends and epolls, ours
// or the host's, addressed by slot.
type world interface {
	openEvent(slot int)
	openPipe(r, w int)
	openEpoll(slot int)
	close(slot int)
	read(slot, n int) (int, error)
	write(slot int, p []byte) (int, error)
	ctl(ep, op, slot int, events uint32) error
	wait(ep, max int) (string, error)
	poll(slots []int, events int16) (int, string)
	isOpen(slot int) bool
}

const slots = 10

type ours struct {
	c *vfstest.Caller
	f [slots]*vfs.File
}

func (o *ours) Get(fd int) (*vfs.File, error) {
	if fd >= slots || o.f[fd] == nil {
		return nil, unix.EBADF
	}
	o.f[fd].Get()
	return o.f[fd], nil
}
func (o *ours) isOpen(s int) bool { return o.f[s] != nil }
func (o *ours) openEvent(s int) {
	o.f[s], _ = eventfd.New(0, unix.EFD_NONBLOCK)
}
func (o *ours) openPipe(r, w int) { o.f[r], o.f[w] = pipe.New(unix.O_NONBLOCK) }
func (o *ours) openEpoll(s int)   { o.f[s], _ = New(0) }
func (o *ours) close(s int)       { o.f[s].Put(); o.f[s] = nil }
func (o *ours) read(s, n int) (int, error) {
	return o.c.Read(o.f[s], make([]byte, n))
}
func (o *ours) write(s int, p []byte) (int, error) { return o.c.Write(o.f[s], p) }
func (o *ours) ctl(ep, op, s int, events uint32) error {
	return Ctl(o.c, o.f[ep], op, int32(s), o.f[s], Event{events, uint64(s)})
}

func (o *ours) wait(ep, maximum int) (string, error) {
	e := Of(o.f[ep])
	if e == nil {
		return "", unix.EINVAL
	}
	p := make([]byte, maximum*EventSize)
	b := mm.KernelBuffer(p)
	n, err := e.Wait(o.c, &b, maximum, 0)
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%d:%#x", binary.LittleEndian.Uint64(p[i*12+4:]), binary.LittleEndian.Uint32(p[i*12:])))
	}
	return fmt.Sprint(list), err
}

func (o *ours) poll(s []int, events int16) (int, string) {
	fds := make([]poll.FD, len(s))
	for i := range s {
		fds[i] = poll.FD{FD: int32(s[i]), Events: events}
	}
	n, err := poll.Poll(o.c, o, fds, 0)
	var rev []int16
	for i := range fds {
		rev = append(rev, fds[i].Revents)
	}
	return n, fmt.Sprint(rev, err)
}

type theirs struct{ fd [slots]int }

func newTheirs() *theirs {
	w := new(theirs)
	for i := range w.fd {
		w.fd[i] = -1
	}
	return w
}
func (o *theirs) isOpen(s int) bool { return o.fd[s] >= 0 }
func (o *theirs) openEvent(s int)   { o.fd[s], _ = unix.Eventfd(0, unix.EFD_NONBLOCK) }
func (o *theirs) openPipe(r, w int) {
	var p [2]int
	unix.Pipe2(p[:], unix.O_NONBLOCK)
	o.fd[r], o.fd[w] = p[0], p[1]
}
func (o *theirs) openEpoll(s int) { o.fd[s], _ = unix.EpollCreate1(0) }
func (o *theirs) close(s int)     { unix.Close(o.fd[s]); o.fd[s] = -1 }
func (o *theirs) read(s, n int) (int, error) {
	m, err := unix.Read(o.fd[s], make([]byte, n))
	return max(m, 0), err
}

func (o *theirs) write(s int, p []byte) (int, error) {
	m, err := unix.Write(o.fd[s], p)
	return max(m, 0), err
}

func (o *theirs) ctl(ep, op, s int, events uint32) error {
	return unix.EpollCtl(o.fd[ep], op, o.fd[s], &unix.EpollEvent{Events: events, Fd: int32(s)})
}

func (o *theirs) wait(ep, maximum int) (string, error) {
	ev := make([]unix.EpollEvent, maximum)
	n, err := unix.EpollWait(o.fd[ep], ev, 0)
	var list []string
	for i := range max(n, 0) {
		list = append(list, fmt.Sprintf("%d:%#x", ev[i].Fd, ev[i].Events))
	}
	return fmt.Sprint(list), err
}

func (o *theirs) poll(s []int, events int16) (int, string) {
	fds := make([]unix.PollFd, len(s))
	for i := range s {
		fds[i] = unix.PollFd{Fd: int32(o.fd[s[i]]), Events: events}
		if o.fd[s[i]] < 0 {
			fds[i].Fd = 1 << 20
		}
	}
	n, err := unix.Poll(fds, 0)
	var rev []int16
	for i := range fds {
		rev = append(rev, fds[i].Revents)
	}
	return n, fmt.Sprint(rev, err)
}

func run(w world, seed int64, steps int) string {
	rng := rand.New(rand.NewSource(seed))
	var log bytes.Buffer
	w.openEpoll(0)
	w.openEpoll(1)
	w.openEpoll(2)
	w.openEpoll(3)
	w.openEvent(4)
	w.openEvent(5)
	w.openPipe(6, 7)
	w.openPipe(8, 9)
	bits := []uint32{unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLPRI, unix.EPOLLRDHUP, unix.EPOLLET, unix.EPOLLONESHOT, unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLET, 0x40, 0x100}
	one := make([]byte, 8)
	one[0] = 1
	big := bytes.Repeat([]byte{255}, 8)
	big[0] = 0xfe
	for i := range steps {
		s := rng.Intn(slots)
		k := rng.Intn(100)
		n := rng.Intn(3)
		ep := rng.Intn(4)
		var events uint32
		for range 1 + rng.Intn(3) {
			events |= bits[rng.Intn(len(bits))]
		}
		if rng.Intn(12) == 0 {
			events |= unix.EPOLLEXCLUSIVE
		}
		maximum := 1 + rng.Intn(6)
		switch {
		case k < 30:
			if w.isOpen(ep) && w.isOpen(s) {
				op := 1 + rng.Intn(4)
				fmt.Fprintf(&log, "%d ctl ep%d op%d slot%d %#x = %v\n", i, ep, op, s, events, w.ctl(ep, op, s, events))
			}
		case k < 50:
			if w.isOpen(s) && s != 6 && s != 8 {
				p := one
				if n == 0 && s <= 5 {
					p = big
				}
				if s >= 7 && n == 1 {
					p = make([]byte, 30000)
				}
				m, err := w.write(s, p)
				fmt.Fprintf(&log, "%d write slot%d %d = %d %v\n", i, s, len(p), m, err)
			}
		case k < 65:
			if w.isOpen(s) && s != 7 && s != 9 {
				m, err := w.read(s, []int{8, 100000, 4}[n])
				fmt.Fprintf(&log, "%d read slot%d = %d %v\n", i, s, m, err)
			}
		case k < 67 && i > steps/3 && s > 0:
			if w.isOpen(s) {
				w.close(s)
				fmt.Fprintf(&log, "%d close slot%d\n", i, s)
			}
		case k < 75:
			m, r := w.poll([]int{s, ep, (s + 3) % slots}, int16(events&0x3fff))
			fmt.Fprintf(&log, "%d poll %d,%d,%d %#x = %d %s\n", i, s, ep, (s+3)%slots, events&0x3fff, m, r)
		default:
			if w.isOpen(ep) {
				r, err := w.wait(ep, maximum)
				fmt.Fprintf(&log, "%d wait ep%d max%d = %s %v\n", i, ep, maximum, r, err)
			}
		}
	}
	for s := range slots {
		if w.isOpen(s) {
			w.close(s)
		}
	}
	return log.String()
}

func TestBehavesAsLinux(t *testing.T) {
	for seed := range int64(300) {
		got, want := run(&ours{c: vfstest.New()}, seed, 200), run(newTheirs(), seed, 200)
		if got == want {
			continue
		}
		g, w := bytes.Split([]byte(got), []byte("\n")), bytes.Split([]byte(want), []byte("\n"))
		for i := range g {
			if !bytes.Equal(g[i], w[i]) {
				t.Fatalf("seed %d differs:\n ours  %s\n Linux %s\n after %s", seed, g[i], w[i], bytes.Join(g[max(0, i-40):i], []byte("\n       ")))
			}
		}
	}
}

func TestWaitIsWokenByEvents(t *testing.T) {
	o := &ours{c: vfstest.New()}
	o.openEpoll(0)
	o.openEvent(1)
	o.ctl(0, unix.EPOLL_CTL_ADD, 1, unix.EPOLLIN)
	go func() {
		time.Sleep(10 * time.Millisecond)
		vfstest.New().Write(o.f[1], []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}()
	b := mm.KernelBuffer(make([]byte, 120))
	if n, err := Of(o.f[0]).Wait(o.c, &b, 10, wait.NoDeadline); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	o.read(1, 8)
	start := clock.Now()
	if n, err := Of(o.f[0]).Wait(o.c, &b, 10, start+20_000_000); n != 0 || err != nil || clock.Now()-start < 20_000_000 {
		t.Fatal("timeout", n, err)
	}
	o.c.Interrupt()
	if _, err := Of(o.f[0]).Wait(o.c, &b, 10, wait.NoDeadline); err != unix.EINTR {
		t.Fatal("interrupt", err)
	}
}

// TestEdgesAreNotLost passes tokens through many eventfds, watched
// edge-triggered by one epoll that several threads wait on.
func TestEdgesAreNotLost(t *testing.T) {
	const fds, tokens, threads = 8, 2000, 3
	epf, _ := New(0)
	c := vfstest.New()
	files := make([]*vfs.File, fds)
	for i := range files {
		files[i], _ = eventfd.New(0, unix.EFD_NONBLOCK)
		flags := uint32(unix.EPOLLIN | edge)
		if i%2 == 1 {
			flags = unix.EPOLLIN | unix.EPOLLONESHOT
		}
		if err := Ctl(c, epf, unix.EPOLL_CTL_ADD, int32(i), files[i], Event{flags, uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var got atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range threads {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := vfstest.New()
			p := make([]byte, 4*EventSize)
			for got.Load() < fds*tokens {
				b := mm.KernelBuffer(p)
				n, err := Of(epf).Wait(c, &b, 4, clock.Now()+5_000_000)
				if err != nil {
					panic(err)
				}
				for i := range n {
					id := binary.LittleEndian.Uint64(p[i*EventSize+4:])
					v := make([]byte, 8)
					if _, err := c.Read(files[id], v); err == nil {
						got.Add(int64(binary.LittleEndian.Uint64(v)))
					}
					if id%2 == 1 {
						Ctl(c, epf, unix.EPOLL_CTL_MOD, int32(id), files[id], Event{unix.EPOLLIN | unix.EPOLLONESHOT, id})
					}
				}
			}
		}()
	}
	for i := range files {
		go func() {
			c := vfstest.New()
			for range tokens {
				c.Write(files[i], []byte{1, 0, 0, 0, 0, 0, 0, 0})
			}
		}()
	}
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("stuck after %d of %d", got.Load(), fds*tokens)
	}
}

func TestCloseWhileWatched(t *testing.T) {
	var wg sync.WaitGroup
	c := vfstest.New()
	epf, _ := New(0)
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := vfstest.New()
			for i := range 500 {
				f, _ := eventfd.New(1, unix.EFD_NONBLOCK)
				Ctl(c, epf, unix.EPOLL_CTL_ADD, int32(i), f, Event{unix.EPOLLIN, 1})
				f.Put()
			}
		}()
	}
	for range 2000 {
		b := mm.KernelBuffer(make([]byte, 120))
		Of(epf).Wait(c, &b, 10, 0)
	}
	wg.Wait()
	if n := len(Of(epf).items); n != 0 {
		t.Fatalf("%d items left", n)
	}
	epf.Put()
}

func TestSelectSets(t *testing.T) {
	o := &ours{c: vfstest.New()}
	o.openPipe(1, 2)
	o.openEvent(4)
	sets := poll.Sets{In: []uint64{1<<1 | 1<<4}, Out: []uint64{1<<2 | 1<<4}, Except: []uint64{1 << 4}}
	if n, err := poll.Select(o.c, o, 5, sets, 0); n != 2 || err != nil || sets.In[0] != 0 || sets.Out[0] != 1<<2|1<<4 || sets.Except[0] != 0 {
		t.Fatal(n, err, sets)
	}
	bad := poll.Sets{In: []uint64{1 << 3}}
	if _, err := poll.Select(o.c, o, 5, bad, 0); err != unix.EBADF || bad.In[0] != 1<<3 {
		t.Fatal(err, bad)
	}
	go func() {
		time.Sleep(5 * time.Millisecond)
		vfstest.New().Write(o.f[2], []byte("x"))
	}()
	in := poll.Sets{In: []uint64{1 << 1}}
	if n, err := poll.Select(o.c, o, 5, in, wait.NoDeadline); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

func BenchmarkWaitNothing(b *testing.B) {
	epf, _ := New(0)
	ep := Of(epf)
	c := vfstest.New()
	buf := mm.KernelBuffer(make([]byte, 120))
	b.ReportAllocs()
	for b.Loop() {
		ep.Wait(c, &buf, 10, 0)
	}
}

func BenchmarkWaitOne(b *testing.B) {
	o := &ours{c: vfstest.New()}
	o.openEpoll(0)
	o.openEvent(1)
	o.ctl(0, unix.EPOLL_CTL_ADD, 1, unix.EPOLLOUT)
	p := make([]byte, 120)
	b.ReportAllocs()
	for b.Loop() {
		buf := mm.KernelBuffer(p)
		Of(o.f[0]).Wait(o.c, &buf, 10, 0)
	}
}
