package unix

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/eventfd"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

const slots = 12

// world is a set of sockets, ours or the host's, addressed by slot.
type world interface {
	isOpen(s int) bool
	pair(a, b, typ int) error
	socket(s, typ int) error
	close(s int)
	bind(s int, name string) error
	listen(s, backlog int) error
	connect(s int, name string) error
	accept(l, s int) error
	send(s int, p []byte, flags int, to string) (int, error)
	recv(s, n, flags int) (data []byte, from string, outFlags int, err error)
	shutdown(s, how int) error
	poll(s int) int16
	names(s int) string
	option(s, name int) (int, error)
	setOption(s, name, v int) error
	inq(s int) (int, error)
}

var prefix = fmt.Sprintf("husk-test-%d-", os.Getpid())

func sockaddr(name string) []byte {
	if name == "-" {
		return []byte{0, 0}
	}
	return append([]byte{1, 0, 0}, (prefix + name)...)
}

func showName(raw []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	if len(raw) <= 2 {
		return fmt.Sprint("unnamed ", len(raw))
	}
	return fmt.Sprintf("%q", bytes.TrimPrefix(raw[3:], []byte(prefix)))
}

type ours struct {
	c *vfstest.Caller
	f [slots]*vfs.File
}

func (o *ours) s(i int) socket.Socket { s, _ := socket.Of(o.f[i]); return s }
func (o *ours) isOpen(i int) bool     { return o.f[i] != nil }
func (o *ours) pair(a, b, typ int) (err error) {
	o.f[a], o.f[b], err = socket.Pair(o.c, unix.AF_UNIX, typ|unix.SOCK_NONBLOCK, 0)
	return err
}

func (o *ours) socket(i, typ int) (err error) {
	o.f[i], err = socket.New(o.c, unix.AF_UNIX, typ|unix.SOCK_NONBLOCK, 0)
	return err
}
func (o *ours) close(i int)                   { o.f[i].Put(); o.f[i] = nil }
func (o *ours) bind(i int, name string) error { return o.s(i).Bind(o.c, sockaddr(name)) }
func (o *ours) listen(i, backlog int) error   { return o.s(i).Listen(o.c, backlog) }
func (o *ours) connect(i int, name string) error {
	return o.s(i).Connect(o.c, sockaddr(name), true)
}

func (o *ours) accept(l, i int) error {
	f, _, err := socket.Accept(o.c, o.f[l], o.s(l), unix.SOCK_NONBLOCK)
	o.f[i] = f
	return err
}

func (o *ours) send(i int, p []byte, flags int, to string) (int, error) {
	b := mm.KernelBuffer(p)
	m := socket.Message{}
	if to != "" {
		m.Name = sockaddr(to)
	}
	n, err := socket.Send(o.c, o.f[i], o.s(i), &b, &m, flags)
	return n, err
}

func (o *ours) recv(i, n, flags int) ([]byte, string, int, error) {
	p := make([]byte, n)
	b := mm.KernelBuffer(p)
	m := socket.Message{}
	k, err := socket.Recv(o.c, o.f[i], o.s(i), &b, &m, flags)
	name := ""
	if m.Name != nil {
		name = showName(m.Name, nil)
	}
	if err != nil {
		return nil, "", 0, err
	}
	return p[:min(k, n)], fmt.Sprint(k, name), m.Flags, err
}
func (o *ours) shutdown(i, how int) error { return o.s(i).Shutdown(how) }
func (o *ours) poll(i int) int16          { return int16(o.f[i].Poll()) }
func (o *ours) names(i int) string {
	return showName(o.s(i).Name()) + " " + showName(o.s(i).PeerName())
}

func (o *ours) option(i, name int) (int, error) {
	v := make([]byte, 4)
	n, err := o.s(i).Common().Get(name, v)
	if err == unix.ENOPROTOOPT {
		n, err = o.s(i).Option(o.c, unix.SOL_SOCKET, name, v)
	}
	_ = n
	return int(int32(binary.LittleEndian.Uint32(v))), err
}

func (o *ours) setOption(i, name, v int) error {
	return o.s(i).Common().Set(o.c, name, binary.LittleEndian.AppendUint32(nil, uint32(v)))
}

func (o *ours) inq(i int) (int, error) {
	s := o.s(i).(*sock)
	if s.state.Load() == listening {
		return 0, unix.EINVAL
	}
	n := 0
	for m := s.head; m != nil; m = m.next {
		n += len(m.data) - m.off
		if s.dgram() {
			break
		}
	}
	return n, nil
}

type theirs struct{ fd [slots]int }

func newTheirs() *theirs {
	w := new(theirs)
	for i := range w.fd {
		w.fd[i] = -1
	}
	return w
}
func address2(name string) unix.Sockaddr { return &unix.SockaddrUnix{Name: "\x00" + prefix + name} }
func (o *theirs) isOpen(i int) bool      { return o.fd[i] >= 0 }
func (o *theirs) pair(a, b, typ int) error {
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		o.fd[a], o.fd[b] = p[0], p[1]
	}
	return err
}

func (o *theirs) socket(i, typ int) (err error) {
	o.fd[i], err = unix.Socket(unix.AF_UNIX, typ|unix.SOCK_NONBLOCK, 0)
	return err
}
func (o *theirs) close(i int)                   { unix.Close(o.fd[i]); o.fd[i] = -1 }
func (o *theirs) bind(i int, name string) error { return unix.Bind(o.fd[i], address2(name)) }
func (o *theirs) listen(i, backlog int) error   { return unix.Listen(o.fd[i], backlog) }
func (o *theirs) connect(i int, name string) error {
	if name == "-" {
		_, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(o.fd[i]), unsafePointer(sockaddr(name)), 2)
		if e != 0 {
			return e
		}
		return nil
	}
	return unix.Connect(o.fd[i], address2(name))
}

func (o *theirs) accept(l, i int) error {
	fd, _, err := unix.Accept4(o.fd[l], unix.SOCK_NONBLOCK)
	o.fd[i] = fd
	if err != nil {
		o.fd[i] = -1
	}
	return err
}

func (o *theirs) send(i int, p []byte, flags int, to string) (int, error) {
	var sa unix.Sockaddr
	if to != "" {
		sa = address2(to)
	}
	n, err := unix.SendmsgN(o.fd[i], p, nil, sa, flags)
	return max(n, 0), err
}

func (o *theirs) recv(i, n, flags int) ([]byte, string, int, error) {
	p := make([]byte, n)
	var name string
	k, _, f, from, err := unix.Recvmsg(o.fd[i], p, nil, flags)
	if err != nil {
		return nil, "", 0, err
	}
	if u, ok := from.(*unix.SockaddrUnix); ok && u.Name != "" {
		name = showName(append([]byte{1, 0, 0}, u.Name[1:]...), nil)
	}
	return p[:min(max(k, 0), n)], fmt.Sprint(k, name), f &^ unix.MSG_CMSG_CLOEXEC, err
}
func (o *theirs) shutdown(i, how int) error { return unix.Shutdown(o.fd[i], how) }
func (o *theirs) poll(i int) int16 {
	fds := []unix.PollFd{{Fd: int32(o.fd[i]), Events: -1}}
	unix.Poll(fds, 0)
	return fds[0].Revents
}

func (o *theirs) name(i int, call uintptr) string {
	p := make([]byte, 200)
	n := uint32(200)
	_, _, e := unix.Syscall(call, uintptr(o.fd[i]), unsafePointer(p), unsafePointer32(&n))
	if e != 0 {
		return e.Error()
	}
	return showName(p[:n], nil)
}

func (o *theirs) names(i int) string {
	return o.name(i, unix.SYS_GETSOCKNAME) + " " + o.name(i, unix.SYS_GETPEERNAME)
}

func (o *theirs) option(i, name int) (int, error) {
	return unix.GetsockoptInt(o.fd[i], unix.SOL_SOCKET, name)
}

func (o *theirs) setOption(i, name, v int) error {
	return unix.SetsockoptInt(o.fd[i], unix.SOL_SOCKET, name, v)
}
func (o *theirs) inq(i int) (int, error) { return unix.IoctlGetInt(o.fd[i], unix.TIOCINQ) }

func run(w world, seed int64, steps int) string {
	rng := rand.New(rand.NewSource(seed))
	var log bytes.Buffer
	typ := []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}[seed%3]
	names := []string{"a", "b", "c"}
	sent := 0
	counter := byte(0)
	say := func(f string, a ...any) { fmt.Fprintf(&log, f+"\n", a...) }
	for i := range steps {
		s, t := rng.Intn(slots), rng.Intn(slots)
		k, name := rng.Intn(100), names[rng.Intn(3)]
		n := []int{0, 1, 3, 10, 100}[rng.Intn(5)]
		r := rng.Intn(8)
		if !w.isOpen(s) {
			if k < 50 && s != t && !w.isOpen(t) {
				say("%d pair %d %d: %v", i, s, t, w.pair(s, t, typ))
			} else {
				say("%d socket %d: %v", i, s, w.socket(s, typ))
			}
			continue
		}
		switch {
		case k < 4:
			say("%d close %d", i, s)
			w.close(s)
		case k < 10:
			say("%d bind %d %s: %v", i, s, name, w.bind(s, name))
		case k < 16:
			say("%d listen %d: %v", i, s, w.listen(s, r%3))
		case k < 26:
			if typ == unix.SOCK_DGRAM && r == 0 {
				name = "-"
			}
			say("%d connect %d %s: %v", i, s, name, w.connect(s, name))
		case k < 34:
			if !w.isOpen(t) {
				say("%d accept %d %d: %v", i, s, t, w.accept(s, t))
			}
		case k < 58:
			if sent > 30 {
				sent = 0
				for q := range slots {
					for w.isOpen(q) {
						p, _, _, err := w.recv(q, 1000, 0)
						say("%d drain %d: %d %v", i, q, len(p), err)
						if err != nil || len(p) == 0 {
							break
						}
					}
				}
				continue
			}
			p := make([]byte, n)
			for j := range p {
				counter++
				p[j] = counter
			}
			to := ""
			if r < 3 && typ == unix.SOCK_DGRAM || r == 0 {
				to = name
			}
			m, err := w.send(s, p, unix.MSG_NOSIGNAL, to)
			if err == nil {
				sent++
			}
			say("%d send %d %d to %q: %d %v", i, s, n, to, m, err)
		case k < 80:
			flags := []int{0, 0, 0, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_WAITALL, unix.MSG_PEEK | unix.MSG_TRUNC, 0}[r]
			if typ == unix.SOCK_STREAM {
				flags &^= unix.MSG_TRUNC
			}
			p, from, f, err := w.recv(s, n, flags)
			say("%d recv %d %d %#x: %x %s %#x %v", i, s, n, flags, p, from, f, err)
		case k < 84:
			say("%d shutdown %d %d: %v", i, s, r%3, w.shutdown(s, r%3))
		case k < 92:
			say("%d names %d: %s", i, s, w.names(s))
		case k < 96:
			v, err := w.option(s, unix.SO_ERROR)
			say("%d error %d: %d %v", i, s, v, err)
		default:
			v, err := w.inq(s)
			say("%d inq %d: %d %v", i, s, v, err)
		}
		for q := range slots {
			if w.isOpen(q) {
				say("%d poll %d: %#x", i, q, uint16(w.poll(q)))
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
	Register()
	for seed := range int64(300) {
		got, want := run(&ours{c: vfstest.New()}, seed, 150), run(newTheirs(), seed, 150)
		if got == want {
			continue
		}
		g, w := bytes.Split([]byte(got), []byte("\n")), bytes.Split([]byte(want), []byte("\n"))
		for i := range g {
			if i >= len(w) || !bytes.Equal(g[i], w[i]) {
				var ctx [][]byte
				for _, l := range g[:i] {
					if !bytes.Contains(l, []byte("poll")) {
						ctx = append(ctx, l)
					}
				}
				t.Fatalf("seed %d differs:\n ours  %s\n Linux %s\n after %s", seed, g[i], w[min(i, len(w)-1)], bytes.Join(ctx[max(0, len(ctx)-40):], []byte("\n       ")))
			}
		}
	}
}

func TestBlockingStreamThroughFullBuffer(t *testing.T) {
	Register()
	c := vfstest.New()
	a, b, err := socket.Pair(c, unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	const total = 4 << 20
	go func() {
		c := vfstest.New()
		rng := rand.New(rand.NewSource(2))
		for at := 0; at < total; {
			p := make([]byte, min(1+rng.Intn(100000), total-at))
			for i := range p {
				p[i] = byte((at + i) * 13)
			}
			n, err := c.Write(a, p)
			if err != nil || n != len(p) {
				panic(fmt.Sprint(n, err))
			}
			at += n
		}
		a.Put()
	}()
	at := 0
	p := make([]byte, 30001)
	for {
		n, err := c.Read(b, p)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for i := range n {
			if p[i] != byte((at+i)*13) {
				t.Fatalf("byte %d is wrong", at+i)
			}
		}
		at += n
	}
	if at != total {
		t.Fatal(at)
	}
	b.Put()
}

func TestConnectAcceptTorture(t *testing.T) {
	Register()
	c := vfstest.New()
	l, _ := socket.New(c, unix.AF_UNIX, unix.SOCK_STREAM, 0)
	ls, _ := socket.Of(l)
	if err := ls.Bind(c, sockaddr("torture")); err != nil {
		t.Fatal(err)
	}
	ls.Listen(c, 2)
	const clients, rounds = 4, 100
	var wg sync.WaitGroup
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := vfstest.New()
			for i := range rounds {
				f, _ := socket.New(c, unix.AF_UNIX, unix.SOCK_STREAM, 0)
				s, _ := socket.Of(f)
				if err := s.Connect(c, sockaddr("torture"), false); err != nil {
					panic(err)
				}
				c.Write(f, []byte{byte(i)})
				p := make([]byte, 1)
				if n, err := c.Read(f, p); n != 1 || err != nil || p[0] != byte(i)+1 {
					panic(fmt.Sprint(n, err, p))
				}
				f.Put()
			}
		}()
	}
	for range clients * rounds {
		f, _, err := socket.Accept(c, l, ls, 0)
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := vfstest.New()
			p := make([]byte, 1)
			c.Read(f, p)
			p[0]++
			c.Write(f, p)
			f.Put()
		}()
	}
	wg.Wait()
	l.Put()
}

func TestDatagramSenderWaitsForRoom(t *testing.T) {
	Register()
	c := vfstest.New()
	r, _ := socket.New(c, unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	rs, _ := socket.Of(r)
	rs.Bind(c, sockaddr("dg"))
	done := make(chan bool)
	go func() {
		c := vfstest.New()
		f, _ := socket.New(c, unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		s, _ := socket.Of(f)
		if err := s.Connect(c, sockaddr("dg"), false); err != nil {
			panic(err)
		}
		for i := range 200 {
			if n, err := c.Write(f, []byte{byte(i), 1, 2}); n != 3 || err != nil {
				panic(fmt.Sprint(n, err))
			}
		}
		f.Put()
		done <- true
	}()
	p := make([]byte, 10)
	for i := range 200 {
		if n, err := c.Read(r, p); n != 3 || err != nil || p[0] != byte(i) {
			t.Fatal(i, n, err, p)
		}
	}
	<-done
	r.Put()
}

// table is a descriptor table for control messages.
type table struct{ files []*vfs.File }

func (t *table) Get(fd int) (*vfs.File, error) {
	if fd < 0 || fd >= len(t.files) {
		return nil, unix.EBADF
	}
	t.files[fd].Get()
	return t.files[fd], nil
}

func (t *table) Install(f *vfs.File, _ int, _ bool, limit uint64) (int, error) {
	if uint64(len(t.files)) >= limit {
		return 0, unix.EMFILE
	}
	t.files = append(t.files, f)
	return len(t.files) - 1, nil
}

func TestRightsAndCredentials(t *testing.T) {
	Register()
	c := vfstest.New()
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		a, b, _ := socket.Pair(c, unix.AF_UNIX, typ|unix.SOCK_NONBLOCK, 0)
		as, _ := socket.Of(a)
		bs, _ := socket.Of(b)
		e, _ := eventfd.New(7, 0)
		tab := &table{files: []*vfs.File{e}}
		var m socket.Message
		if err := socket.ParseControl(c, tab, append(unix.UnixRights(0, 0), unix.UnixRights(0)...), &m); err != nil || len(m.Rights) != 3 {
			t.Fatal(err, len(m.Rights))
		}
		buf := mm.KernelBuffer([]byte("files"))
		if n, err := socket.Send(c, a, as, &buf, &m, 0); n != 5 || err != nil || m.Rights != nil {
			t.Fatal(n, err)
		}
		bs.Common().PassCred.Store(true)
		p := make([]byte, 10)
		buf = mm.KernelBuffer(p)
		m = socket.Message{}
		if n, err := socket.Recv(c, b, bs, &buf, &m, 0); n != 5 || err != nil || len(m.Rights) != 3 || m.Creds == nil || *m.Creds != socket.Nobody {
			t.Fatal(n, err, m)
		}
		control := socket.EncodeControl(tab, &m, 100, false, 3)
		msgs, err := unix.ParseSocketControlMessage(control)
		if err != nil || len(msgs) != 2 || m.Flags&unix.MSG_CTRUNC == 0 {
			t.Fatal(msgs, err, m.Flags)
		}
		fds, _ := unix.ParseUnixRights(&msgs[1])
		if len(fds) != 2 || fds[0] != 1 || fds[1] != 2 || tab.files[2] != e {
			t.Fatal(fds)
		}
		bad := socket.Message{}
		if err := socket.ParseControl(c, tab, unix.UnixRights(0, 99), &bad); err != unix.EBADF || bad.Rights != nil {
			t.Fatal(err)
		}
		a.Put()
		b.Put()
	}
}

func TestReceiveTimeout(t *testing.T) {
	Register()
	c := vfstest.New()
	a, b, _ := socket.Pair(c, unix.AF_UNIX, unix.SOCK_STREAM, 0)
	as, _ := socket.Of(a)
	v := make([]byte, 16)
	binary.LittleEndian.PutUint64(v[8:], 20000)
	if err := as.Common().Set(c, unix.SO_RCVTIMEO, v); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	buf := mm.KernelBuffer(make([]byte, 1))
	if _, err := socket.Recv(c, a, as, &buf, &socket.Message{}, 0); err != unix.EAGAIN || time.Since(start) < 20*time.Millisecond {
		t.Fatal(err, time.Since(start))
	}
	b.Put()
	a.Put()
}

func TestOptionsAsLinux(t *testing.T) {
	Register()
	o, w := &ours{c: vfstest.New()}, newTheirs()
	o.pair(0, 1, unix.SOCK_STREAM)
	w.pair(0, 1, unix.SOCK_STREAM)
	for name := range 45 {
		switch name {
		case unix.SO_RCVTIMEO, unix.SO_SNDTIMEO, unix.SO_LINGER, unix.SO_PEERCRED, unix.SO_BINDTODEVICE,
			unix.SO_TIMESTAMPING, 26, 27, 28, 31, 22, 23, 24, // filters, SO_PEERSEC and what was never used
			unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE, unix.SO_MARK, unix.SO_PRIORITY, unix.SO_DEBUG, unix.SO_BUSY_POLL - 1:
			continue
		}
		for _, v := range []int{1, 0, 100, 5000, 1 << 30, -1} {
			e1, e2 := o.setOption(0, name, v), w.setOption(0, name, v)
			g1, f1 := o.option(0, name)
			g2, f2 := w.option(0, name)
			if e1 != e2 || g1 != g2 || f1 != f2 {
				t.Errorf("option %d = %d: %v, then %d %v; Linux %v, then %d %v", name, v, e1, g1, f1, e2, g2, f2)
			}
		}
	}
}

func BenchmarkWriteRead64(b *testing.B) {
	Register()
	c := vfstest.New()
	x, y, _ := socket.Pair(c, unix.AF_UNIX, unix.SOCK_STREAM, 0)
	p := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(x, p)
		c.Read(y, p)
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte{1, 0, 0, 'a'})
	f.Add([]byte{1, 0, '/', 'x', 0, 'y'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		name, path, err := parseName(raw)
		if err == nil && (name != "" && path != "" || name != "" && name[0] != 0) {
			t.Fatalf("%q: %q %q", raw, name, path)
		}
		c := vfstest.New()
		s, _ := newSocket(unix.SOCK_STREAM, 0)
		if path == "" && s.Bind(c, raw) == nil {
			s.close(false)
		}
	})
}
