package virtio

import (
	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
)

// Entropy is an entropy device (5.4).
type Entropy struct {
	r   *requester
	buf cpu.PhysAddr
}

const entropySize = 256 // bytes asked for at a time

// OpenEntropy brings an entropy device up.
func OpenEntropy(t Transport) (*Entropy, error) {
	features, err := negotiate(t, 0)
	if err != nil {
		return nil, err
	}
	q, err := newQueue(t, 0, 2, features)
	if err != nil {
		t.Fail()
		return nil, err
	}
	buf, ok := dmaAlloc(entropySize, 16)
	if !ok {
		t.Fail()
		return nil, Error(t.Name() + ": no memory for requests")
	}
	e := &Entropy{r: newRequester(t, q, 1), buf: buf}
	if err := t.HandleIRQ(e.r.service); err != nil {
		t.Fail()
		return nil, err
	}
	t.Start()
	return e, nil
}

// Read fills p with random bytes of the host and returns how many there were.
func (e *Entropy) Read(p []byte) (int, error) {
	id := e.r.acquire() // the one slot owns buf
	defer e.r.release(id)
	done := 0
	for done < len(p) {
		in := [1]Segment{{e.buf, uint32(min(len(p)-done, entropySize))}}
		n, err := e.r.do(id, nil, in[:])
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, unix.EIO // 5.4.6.2: one byte at least
		}
		buf := bytesAt(e.buf, int(n))
		done += copy(p[done:], buf)
		clear(buf)
	}
	return done, nil
}
