package inet

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// waiter is a caller that says how often it was put to sleep.
type waiter struct {
	vfs.Caller
	slept  int
	asleep chan bool
	awake  chan bool
}

func (w *waiter) Sleep(deadline int64) error {
	w.slept++
	if deadline < 0 {
		return unix.EINTR
	}
	w.asleep <- true
	<-w.awake
	return nil
}

func (w *waiter) Wake() { w.awake <- true }

func sockaddr(ip ...byte) []byte {
	p := make([]byte, sockaddr4)
	binary.NativeEndian.PutUint16(p, unix.AF_INET)
	if len(ip) == 16 {
		p = make([]byte, 28)
		binary.NativeEndian.PutUint16(p, unix.AF_INET6)
		copy(p[8:], ip)
		return p
	}
	copy(p[4:], ip)
	return p
}

func TestOnlyWhoNeedsAnAddressWaitsForOne(t *testing.T) {
	w := &waiter{Caller: vfstest.New(), asleep: make(chan bool, 1), awake: make(chan bool, 1)}
	far := sockaddr(192, 0, 2, 1)
	if err := settleFor(w, far); err != nil || w.slept != 0 {
		t.Error("waited though nobody asks")
	}
	found := Ask(true)
	for _, near := range [][]byte{sockaddr(127, 0, 0, 1), sockaddr(0, 0, 0, 0), sockaddr(append(make([]byte, 15), 1)...), {0, 0}, nil} {
		if err := settleFor(w, near); err != nil || w.slept != 0 {
			t.Errorf("waited for %v", near)
		}
	}
	if err := settleFor(w, sockaddr(append([]byte{0x20, 1}, make([]byte, 14)...)...)); err != nil || w.slept != 0 {
		t.Error("waited for an address of another family")
	}
	done := make(chan error)
	go func() { done <- settleFor(w, far) }()
	<-w.asleep
	found()
	found()
	if err := <-done; err != nil || w.slept != 1 {
		t.Errorf("%v after %d sleeps", err, w.slept)
	}
	if asking4.count.Load() != 0 {
		t.Error("still asking")
	}
}
