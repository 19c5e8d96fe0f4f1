package inet

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs/vfstest"
)

// pairOf connects two sockets.
func pairOf(t *testing.T) (a, b *tcp) {
	t.Helper()
	c := vfstest.New()
	l := new(tcp)
	l.setup(c, unix.AF_INET)
	if err := l.Listen(c, 5); err != nil {
		t.Fatal(err)
	}
	a = new(tcp)
	a.setup(c, unix.AF_INET)
	name, _ := l.Name()
	if err := a.Connect(c, name, false); err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept(c, false)
	if err != nil {
		t.Fatal(err)
	}
	l.Release(nil)
	return a, s.(*tcp)
}

func TestCloseAfterThePeerHasShutDown(t *testing.T) {
	a, b := pairOf(t)
	if err := a.Shutdown(unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	c := vfstest.New()
	p := mm.KernelBuffer([]byte("end"))
	if n, err := b.Send(c, &p, nil, 0); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	b.Release(nil)
	buf := make([]byte, 8)
	p = mm.KernelBuffer(buf)
	if n, err := a.Recv(c, &p, nil, 0); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	p = mm.KernelBuffer(buf)
	if n, err := a.Recv(c, &p, nil, 0); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	a.Release(nil)
}

func TestWaitingForAllEndsWithTheStream(t *testing.T) {
	a, b := pairOf(t)
	f := socket.NewFile(a, 0)
	_ = a.Shutdown(unix.SHUT_WR)
	got := make(chan int)
	go func() {
		p := mm.KernelBuffer(make([]byte, 9))
		n, err := socket.Recv(vfstest.New(), f, a, &p, &socket.Message{}, unix.MSG_WAITALL)
		if err != nil {
			t.Error(err)
		}
		got <- n
	}()
	for a.queue.Empty() {
		runtime.Gosched()
	}
	c := vfstest.New()
	p := mm.KernelBuffer([]byte("x"))
	_, _ = b.Send(c, &p, nil, 0)
	b.Release(nil)
	if n := <-got; n != 1 {
		t.Error(n)
	}
	f.Put()
}
