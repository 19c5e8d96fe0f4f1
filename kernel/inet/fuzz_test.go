package inet

import (
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// machine is a few sockets on which calls are made as bytes say.
type machine struct {
	mu    sync.Mutex
	files [6]*vfs.File
}

func (m *machine) get(n byte) (*vfs.File, socket.Socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[int(n)%len(m.files)]
	if f == nil {
		return nil, nil
	}
	f.Get()
	s, _ := socket.Of(f)
	return f, s
}

// put replaces a file.
func (m *machine) put(n byte, f *vfs.File) {
	m.mu.Lock()
	old := m.files[int(n)%len(m.files)]
	m.files[int(n)%len(m.files)] = f
	m.mu.Unlock()
	if old != nil {
		old.Put()
	}
}

// fuzzAddress makes a sockaddr: often one that somebody is bound to.
func (m *machine) address(a, b byte) []byte {
	if a%4 == 0 {
		if f, s := m.get(b); f != nil {
			raw, err := s.Name()
			f.Put()
			if err == nil {
				return raw
			}
		}
	}
	ips := []IP{loopback4, any4, loopback6, any6, IP4(224, 0, 0, 1), IP4(127, 255, 255, 255), IP4(9, 9, 9, 9), broadcast}
	ad := AddrPort{IP: ips[b%8], Port: 5000 + uint16(b>>3)}
	family := unix.AF_INET
	if a&1 != 0 {
		family = unix.AF_INET6
	}
	raw := ad.raw(family)
	if a == 77 {
		raw = raw[:b%uint8(len(raw))]
	}
	if a == 78 {
		raw[0] = b
	}
	return raw
}

// do makes the calls that p describes, four bytes each.
func (m *machine) do(c *vfstest.Caller, p []byte) {
	for ; len(p) >= 4; p = p[4:] {
		op, n, a, b := p[0], p[1], p[2], p[3]
		if op%24 == 0 {
			families := [...]int{unix.AF_INET, unix.AF_INET6, unix.AF_INET, unix.AF_INET6, unix.AF_PACKET, unix.AF_VSOCK}
			types := [...]int{unix.SOCK_STREAM, unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW}
			protocols := [...]int{0, 0, 0, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6, unix.IPPROTO_UDP}
			typ := types[b%4]
			protocol := protocols[b>>2%6]
			if typ == unix.SOCK_STREAM {
				protocol = 0
			}
			if f, err := socket.New(c, families[a%6], typ|unix.SOCK_NONBLOCK, protocol); err == nil {
				m.put(n, f)
			}
			continue
		}
		f, s := m.get(n)
		if f == nil {
			continue
		}
		m.call(c, f, s, op%24, a, b)
		f.Put()
	}
}

func (m *machine) call(c *vfstest.Caller, f *vfs.File, s socket.Socket, op, a, b byte) {
	buf := mm.KernelBuffer(make([]byte, int(a)*300))
	flags := unix.MSG_DONTWAIT | int(b)
	switch op {
	case 1:
		_ = s.Bind(c, m.address(a, b))
	case 2:
		_ = s.Listen(c, int(int8(a)))
	case 3, 4, 5:
		_ = s.Connect(c, m.address(a, b), true)
	case 6, 7:
		if n, _, err := socket.Accept(c, f, s, unix.SOCK_NONBLOCK); err == nil {
			m.put(a, n)
		}
	case 8, 9:
		_, _ = socket.Send(c, f, s, &buf, nil, flags)
	case 10:
		_, _ = socket.Send(c, f, s, &buf, &socket.Message{Name: m.address(a, b)}, unix.MSG_DONTWAIT)
	case 11:
		control := make([]byte, int(b))
		for i := range control {
			control[i] = a + byte(i)*b
		}
		if len(control) > 16 {
			control[0], control[8] = byte(len(control)), a%42
			clear(control[1:8])
			clear(control[9:12])
			clear(control[13:16])
		}
		_, _ = socket.Send(c, f, s, &buf, &socket.Message{Control: control, Name: m.address(a, b)}, unix.MSG_DONTWAIT)
	case 12, 13:
		_, _ = socket.Recv(c, f, s, &buf, nil, flags)
	case 14:
		var msg socket.Message
		_, _ = socket.Recv(c, f, s, &buf, &msg, flags)
	case 15:
		_ = s.Shutdown(int(a) % 3)
	case 16:
		f.Poll()
		_, _ = s.Name()
		_, _ = s.PeerName()
	case 17:
		v := make([]byte, int(b)%40)
		for i := range v {
			v[i] = a
		}
		levels := [...]int{0, 1, 6, 17, 41, 255, 263}
		_ = s.SetOption(c, levels[a%7], int(b), v)
	case 18:
		levels := [...]int{0, 1, 6, 17, 41, 255, 263}
		_, _ = s.Option(c, levels[a%7], int(b), make([]byte, int(a)))
	case 19:
		_ = s.Common().Set(c, int(b), []byte{a, 0, 0, 0, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	case 20:
		m.put(a, nil)
	case 21:
		tcpLines(nil, a&1 != 0)
		udpLines(nil, a&1 != 0)
		statLines(nil, false)
	}
}

func (m *machine) end() {
	for i := range m.files {
		m.put(byte(i), nil)
	}
}

// empty fails when anything is left of sockets that are all closed.
func empty(t *testing.T) {
	t.Helper()
	net.Lock()
	defer net.Unlock()
	for _, p := range []*ports{&net.tcp, &net.udp, &pings} {
		for _, b := range p.m {
			for x := b.first; x != nil; x = x.next {
				if x.s != nil {
					t.Fatalf("port %d is still bound: %+v", b.number, x)
				}
			}
			if len(b.listeners) > 0 {
				t.Fatalf("port %d has a listener", b.number)
			}
		}
	}
	if len(raws) > 0 || len(members) > 0 {
		t.Fatal("raw sockets or memberships are left")
	}
}

func FuzzSocketCalls(f *testing.F) {
	registerOnce()
	f.Add([]byte{0, 0, 0, 0, 1, 0, 2, 1, 2, 0, 5, 0, 0, 1, 0, 0, 3, 1, 4, 0, 6, 0, 2, 0, 8, 1, 1, 0, 12, 2, 1, 0, 15, 1, 1, 0, 20, 0, 1, 0})
	f.Add([]byte{0, 0, 0, 2, 1, 0, 2, 1, 0, 1, 0, 2, 10, 1, 0, 0, 14, 0, 1, 0, 3, 1, 4, 0, 8, 1, 1, 0})
	f.Add([]byte{0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 3, 1, 0, 0, 0, 2, 0, 0, 3, 2, 0, 0, 0, 3, 0, 0, 3, 3, 0, 0, 20, 0, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		var m machine
		m.do(vfstest.New(), p[:min(len(p), 4000)])
		m.end()
		empty(t)
	})
}

var registered sync.Once

func registerOnce() { registered.Do(Register) }

func TestCallsFromSeveralThreads(t *testing.T) {
	registerOnce()
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for range rounds {
		var m machine
		var all sync.WaitGroup
		for range 4 {
			p := make([]byte, 400)
			for i := range p {
				p[i] = byte(rand.Uint32())
			}
			all.Go(func() { m.do(vfstest.New(), p) })
		}
		all.Wait()
		m.end()
		empty(t)
	}
}
