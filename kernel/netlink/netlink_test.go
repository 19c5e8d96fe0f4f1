package netlink

import (
	"encoding/binary"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs/vfstest"
)

var register sync.Once

func open(t testing.TB, number int) *sock {
	t.Helper()
	register.Do(Register)
	s, err := newSocket(vfstest.New(), unix.SOCK_RAW, number)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Release(nil) })
	return s.(*sock)
}

// message makes a request.
func message(typ, flags uint16, body ...byte) []byte {
	p := binary.NativeEndian.AppendUint32(nil, uint32(headerSize+len(body)))
	p = binary.NativeEndian.AppendUint16(p, typ)
	p = binary.NativeEndian.AppendUint16(p, flags|unix.NLM_F_REQUEST)
	p = append(p, 7, 0, 0, 0, 0, 0, 0, 0)
	return append(p, body...)
}

func send(s *sock, p []byte) error {
	b := mm.KernelBuffer(p)
	_, err := s.Send(vfstest.New(), &b, nil, unix.MSG_DONTWAIT)
	return err
}

// receive returns the next packet, nil if there is none.
func receive(t testing.TB, s *sock, room int) []byte {
	t.Helper()
	p := make([]byte, room)
	b := mm.KernelBuffer(p)
	n, err := s.Recv(vfstest.New(), &b, new(socket.Message), unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

// errorIn is the error of an acknowledgement or of a dump's end.
func errorIn(t testing.TB, p []byte) unix.Errno {
	t.Helper()
	if len(p) < headerSize+4 {
		t.Fatalf("an answer of %d bytes", len(p))
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(p[headerSize:])))
}

func TestDumpComesInPortionsOfWholeMessages(t *testing.T) {
	s := open(t, unix.NETLINK_ROUTE)
	lo := inet.ByIndex(1)
	for i := range 200 {
		if err := inet.AddAddress(lo, inet.Address{IP: inet.IP4(10, 0, 1, byte(i)), Bits: 32}); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for i := range 200 {
			if err := inet.RemoveAddress(lo, inet.IP4(10, 0, 1, byte(i))); err != nil {
				t.Error(err)
			}
		}
	}()
	if err := send(s, message(unix.RTM_GETADDR, unix.NLM_F_DUMP, unix.AF_INET)); err != nil {
		t.Fatal(err)
	}
	if err := send(s, message(unix.RTM_GETADDR, unix.NLM_F_DUMP, unix.AF_INET)); err != nil {
		t.Fatal(err)
	}
	addresses, packets, busy := 0, 0, 0
	for {
		p := receive(t, s, 8192)
		if p == nil {
			break
		}
		packets++
		for len(p) > 0 {
			n := int(binary.NativeEndian.Uint32(p))
			switch binary.NativeEndian.Uint16(p[4:]) {
			case unix.RTM_NEWADDR:
				addresses++
			case unix.NLMSG_ERROR:
				if e := errorIn(t, p); e != unix.EBUSY {
					t.Errorf("a second dump: %v", e)
				}
				busy++
			}
			p = p[align(n):]
		}
	}
	if addresses != 201 || packets < 3 || busy != 1 {
		t.Errorf("%d addresses in %d packets, %d times busy", addresses, packets, busy)
	}
}

func TestChangesAreToldToTheirGroups(t *testing.T) {
	s, other := open(t, unix.NETLINK_ROUTE), open(t, unix.NETLINK_ROUTE)
	if err := s.Bind(vfstest.New(), name(0, mask(groupAddress4))); err != nil {
		t.Fatal(err)
	}
	lo := inet.ByIndex(1)
	ip := inet.IP4(10, 9, 8, 7)
	if err := inet.AddAddress(lo, inet.Address{IP: ip, Bits: 24}); err != nil {
		t.Fatal(err)
	}
	if !inet.IsLocal(inet.IP4(10, 9, 8, 200)) {
		t.Error("an address of a network of lo is not this machine's")
	}
	if err := inet.RemoveAddress(lo, ip); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []uint16{unix.RTM_NEWADDR, unix.RTM_DELADDR} {
		p := receive(t, s, 4096)
		if p == nil || binary.NativeEndian.Uint16(p[4:]) != typ {
			t.Fatalf("not told of %d: %x", typ, p)
		}
	}
	if receive(t, other, 4096) != nil {
		t.Error("who is in no group was told")
	}
}

func TestReceiverThatIsTooSlowIsTold(t *testing.T) {
	s := open(t, unix.NETLINK_ROUTE)
	for range 1000 {
		s.deliver(&packet{data: make([]byte, 1000)})
	}
	b := mm.KernelBuffer(make([]byte, 10))
	if _, err := s.Recv(vfstest.New(), &b, nil, 0); err != unix.ENOBUFS {
		t.Fatalf("after too many messages: %v", err)
	}
	n := 0
	for receive(t, s, 1000) != nil {
		n++
	}
	if n == 0 || n >= 1000 {
		t.Errorf("%d messages came", n)
	}
	s.deliver(&packet{data: []byte{1}})
	if receive(t, s, 10) == nil {
		t.Error("nothing comes any more")
	}
}

func TestAuditIsOff(t *testing.T) {
	s := open(t, unix.NETLINK_AUDIT)
	for _, test := range []struct {
		typ  uint16
		want unix.Errno
	}{{1100, 0}, {1005, 0}, {2500, 0}, {auditSet, 0}, {1002, unix.EOPNOTSUPP}, {1300, unix.EINVAL}, {5000, unix.EINVAL}} {
		if err := send(s, message(test.typ, unix.NLM_F_ACK, make([]byte, 44)...)); err != nil {
			t.Fatal(err)
		}
		if e := errorIn(t, receive(t, s, 4096)); e != test.want {
			t.Errorf("type %d: %v, want %v", test.typ, e, test.want)
		}
	}
	if err := send(s, message(auditGet, 0)); err != nil {
		t.Fatal(err)
	}
	if p := receive(t, s, 4096); len(p) < headerSize+auditStatusSize || binary.NativeEndian.Uint32(p[headerSize+4:]) != 0 {
		t.Errorf("status %x", p)
	}
}

func TestSocketsMayBeUsedByMany(t *testing.T) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			c := vfstest.New()
			for range 50 {
				s, err := newSocket(c, unix.SOCK_RAW, unix.NETLINK_ROUTE)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Bind(c, name(0, 0xffff)); err != nil {
					t.Error(err)
				}
				b := mm.KernelBuffer(message(unix.RTM_GETLINK, unix.NLM_F_DUMP, 0))
				if _, err := s.Send(c, &b, nil, 0); err != nil {
					t.Error(err)
				}
				b = mm.KernelBuffer(make([]byte, 100))
				if _, err := s.Recv(c, &b, nil, 0); err != nil {
					t.Error(err)
				}
				_ = lines(nil)
				s.Release(nil)
			}
		})
	}
	group.Wait()
}

func FuzzMessages(f *testing.F) {
	f.Add(uint8(unix.NETLINK_ROUTE), message(unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, 16)...))
	f.Add(uint8(unix.NETLINK_ROUTE), message(unix.RTM_NEWADDR, unix.NLM_F_CREATE, 2, 24, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 1, 2, 3))
	f.Add(uint8(unix.NETLINK_ROUTE), message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 2, 8, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0, 0))
	f.Add(uint8(unix.NETLINK_ROUTE), message(unix.RTM_GETROUTE, 0, 2, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 127, 0, 0, 1))
	f.Add(uint8(unix.NETLINK_SOCK_DIAG), message(byFamily, unix.NLM_F_DUMP, append([]byte{2, 6, 255, 0, 255, 255, 255, 255}, make([]byte, 48)...)...))
	f.Add(uint8(unix.NETLINK_SOCK_DIAG), message(byFamily, unix.NLM_F_DUMP, append([]byte{16, 255}, make([]byte, 20)...)...))
	f.Add(uint8(unix.NETLINK_GENERIC), message(controlID, 0, 3, 1, 0, 0, 11, 0, 2, 0, 'n', 'l', 'c', 't', 'r', 'l', 0))
	f.Add(uint8(unix.NETLINK_AUDIT), message(auditGet, unix.NLM_F_ACK))
	f.Add(uint8(unix.NETLINK_KOBJECT_UEVENT), message(100, unix.NLM_F_ACK))
	f.Fuzz(func(t *testing.T, number uint8, p []byte) {
		if protocolOf(int(number)) == nil || len(p) > 4096 {
			return
		}
		s := open(t, int(number))
		s.options.Store(uint32(len(p))<<8 | 1<<unix.NETLINK_EXT_ACK)
		_ = send(s, p)
		for {
			q := receive(t, s, 1<<16)
			if q == nil {
				break
			}
			for len(q) > 0 {
				n := int(binary.NativeEndian.Uint32(q))
				if n < headerSize || n > len(q) {
					t.Fatalf("an answer with a length of %d in %d bytes", n, len(q))
				}
				q = q[min(align(n), len(q)):]
			}
		}
		for _, r := range inet.Routes() { // so that they do not pile up
			_ = inet.RemoveRoute(r)
		}
		for _, a := range inet.ByIndex(1).Snapshot().Addresses {
			if !a.IP.Loopback() {
				_ = inet.RemoveAddress(inet.ByIndex(1), a.IP)
			}
		}
	})
}
