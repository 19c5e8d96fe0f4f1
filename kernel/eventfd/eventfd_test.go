package eventfd

import (
	"encoding/binary"
	"math"
	"math/rand"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs/vfstest"
)

func TestBehavesAsLinux(t *testing.T) {
	values := []uint64{0, 1, 2, 1 << 40, math.MaxUint64 - 2, math.MaxUint64 - 1, math.MaxUint64}
	for _, flags := range []int{unix.EFD_NONBLOCK, unix.EFD_NONBLOCK | unix.EFD_SEMAPHORE} {
		rng := rand.New(rand.NewSource(1))
		fd, _ := unix.Eventfd(3, flags)
		f, err := New(3, flags)
		if err != nil {
			t.Fatal(err)
		}
		c := vfstest.New()
		for i := range 2000 {
			p, q := make([]byte, 4+4*rng.Intn(4)), make([]byte, 16)
			n, m := 0, 0
			var err, want error
			if rng.Intn(2) == 0 {
				if len(p) >= 8 {
					binary.LittleEndian.PutUint64(p, values[rng.Intn(len(values))])
				}
				n, err = c.Write(f, p)
				m, want = unix.Write(fd, p)
			} else {
				n, err = c.Read(f, p)
				m, want = unix.Read(fd, q[:len(p)])
				if want == nil && string(p[:8]) != string(q[:8]) {
					t.Fatalf("step %d: read %x, Linux %x", i, p, q)
				}
			}
			if m = max(m, 0); n != m || err != want {
				t.Fatalf("step %d: %d %v, Linux %d %v", i, n, err, m, want)
			}
			fds := []unix.PollFd{{Fd: int32(fd), Events: -1}}
			unix.Poll(fds, 0)
			if ev := f.Ops.Poll(f); int16(ev) != fds[0].Revents {
				t.Fatalf("step %d: poll %#x, Linux %#x", i, ev, fds[0].Revents)
			}
		}
		unix.Close(fd)
	}
	if _, err := New(0, 2); err != unix.EINVAL {
		t.Fatal(err)
	}
}

func TestBlockedWriterGoesOnAfterRead(t *testing.T) {
	f, _ := New(0, 0)
	var wg sync.WaitGroup
	half := binary.LittleEndian.AppendUint64(nil, math.MaxUint64/2)
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := vfstest.New()
			for range 100 {
				if n, err := c.Write(f, half); n != 8 || err != nil {
					panic(err)
				}
			}
		}()
	}
	c := vfstest.New()
	for sum := 0; sum < 400; {
		p := make([]byte, 8)
		if _, err := c.Read(f, p); err != nil {
			t.Fatal(err)
		}
		sum += int(binary.LittleEndian.Uint64(p) / (math.MaxUint64 / 2))
	}
	wg.Wait()
}
