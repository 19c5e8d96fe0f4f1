package unix

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// pass sends a file over s.
func pass(t *testing.T, s, file *vfs.File) {
	t.Helper()
	b := mm.KernelBuffer([]byte{1})
	file.Get()
	m := &socket.Message{Rights: []*vfs.File{file}}
	if _, err := s.Ops.(*sock).Send(vfstest.New(), &b, m, unix.MSG_DONTWAIT); err != nil {
		t.Fatal(err)
	}
	m.Drop()
}

func newPair(t *testing.T) (a, b *vfs.File) {
	t.Helper()
	x, y, err := pair(vfstest.New(), unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	return socket.NewFile(x, 0), socket.NewFile(y, 0)
}

func dead(f *vfs.File) bool { return f.Ops.(*sock).dead.Load() }

func TestCyclesOfSocketsInMessagesAreCollected(t *testing.T) {
	a, b := newPair(t)
	c, d := newPair(t)
	pass(t, a, b) // lies in b itself, as d does in d
	pass(t, c, d)
	pass(t, b, c) // lies in a, which lies in c
	pass(t, d, a)
	a.Put()
	collect()
	if dead(a) || dead(b) || dead(c) || dead(d) {
		t.Fatal("what is open or can be received is gone")
	}
	b.Put()
	d.Put()
	collect()
	if dead(a) || dead(c) || !dead(b) || !dead(d) {
		t.Fatal("not just those in their own queues are gone")
	}
	c.Put() // nobody can receive anything any more
	x, y := newPair(t)
	x.Put() // which has the others looked at
	y.Put()
	for name, f := range map[string]*vfs.File{"a": a, "c": c} {
		if !dead(f) {
			t.Errorf("%s is never closed", name)
		}
	}
	flight.Lock()
	defer flight.Unlock()
	if len(flight.socks) != 0 {
		t.Errorf("%d sockets are still in messages", len(flight.socks))
	}
}

func TestCollectingWhileSocketsArePassed(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 100 {
				a, b := newPair(t)
				pass(t, a, b)
				pass(t, b, a)
				p := mm.KernelBuffer(make([]byte, 1))
				m := new(socket.Message)
				if _, err := b.Ops.(*sock).Recv(vfstest.New(), &p, m, 0); err != nil {
					t.Error(err)
				}
				if len(m.Rights) != 1 || dead(m.Rights[0]) {
					t.Error("what was received is closed")
				}
				m.Drop()
				pass(t, a, b)
				a.Put()
				b.Put()
			}
		})
	}
	group.Wait()
	collect()
	flight.Lock()
	defer flight.Unlock()
	if len(flight.socks) != 0 {
		t.Errorf("%d sockets are still in messages", len(flight.socks))
	}
}
