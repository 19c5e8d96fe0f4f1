package virtio

import (
	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
)

// Share is a 9p transport device (reserved device type 9): one request queue
// that carries 9P messages, and a tag that names the share.
type Share struct {
	r   *requester
	tag string
}

const (
	shareMountTag = 1 << 0 // VIRTIO_9P_MOUNT_TAG: the configuration holds a tag
	shareSlots    = 16
	shareQueue    = 128
)

// OpenShare brings a 9p transport device up.
func OpenShare(t Transport) (*Share, error) {
	features, err := negotiate(t, shareMountTag)
	if err != nil {
		return nil, err
	}
	q, err := newQueue(t, 0, shareQueue, features)
	if err != nil {
		t.Fail()
		return nil, err
	}
	s := &Share{r: newRequester(t, q, shareSlots)}
	if features&shareMountTag != 0 {
		tag := make([]byte, t.Config16(0))
		for i := range tag {
			tag[i] = t.Config8(2 + i)
		}
		s.tag = string(tag)
	}
	if err := t.HandleIRQ(s.r.service); err != nil {
		t.Fail()
		return nil, err
	}
	t.Start()
	return s, nil
}

// Tag is the name under which the host shares the directory.
func (s *Share) Tag() string { return s.tag }

// MaxSegments is how many pages at most a RoundTrip may carry in all.
func (s *Share) MaxSegments() int { return s.r.q.MaxSegments() }

// RoundTrip sends tx followed by the pieces of txData and receives the answer
// into rx and then the pieces of rxData. It returns how many bytes of those
// the device filled. All memory must be in the direct map. Any number of
// goroutines may call it; the caller gives each message a tag of its own.
func (s *Share) RoundTrip(tx []byte, txData [][]byte, rx []byte, rxData [][]byte) (int, error) {
	return s.run(s.r.acquire(), tx, txData, rx, rxData)
}

// Start sends a message without waiting for the answer, which Finish does.
// EAGAIN says that too many are under way: who has started some finishes one.
func (s *Share) Start(tx, rx []byte) (ticket int, err error) {
	id, ok := s.r.tryAcquire()
	if !ok {
		return 0, unix.EAGAIN
	}
	out, ok1 := PhysOf(tx)
	in, ok2 := PhysOf(rx)
	if !ok1 || !ok2 {
		s.r.release(id)
		return 0, unix.EFAULT
	}
	chain := [2]Segment{{out, uint32(len(tx))}, {in, uint32(len(rx))}}
	if err := s.r.start(id, chain[:1], chain[1:]); err != nil {
		s.r.release(id)
		return 0, err
	}
	return int(id), nil
}

// Finish waits for the answer to a message and returns its length.
func (s *Share) Finish(ticket int) (int, error) {
	n, err := s.r.finish(uint16(ticket))
	s.r.release(uint16(ticket))
	return int(n), err
}

func (s *Share) run(id uint16, tx []byte, txData [][]byte, rx []byte, rxData [][]byte) (int, error) {
	defer s.r.release(id)
	var segs [shareQueue]Segment
	n := 0
	// add appends p, joined to the last segment when they touch in memory and
	// that is at first or after it.
	add := func(first int, p []byte) error {
		if len(p) == 0 {
			return nil
		}
		pa, ok := PhysOf(p)
		if !ok {
			return unix.EFAULT
		}
		if n > first && segs[n-1].Addr+cpu.PhysAddr(segs[n-1].Len) == pa {
			segs[n-1].Len += uint32(len(p))
			return nil
		}
		if n == len(segs) {
			return unix.EINVAL
		}
		segs[n] = Segment{pa, uint32(len(p))}
		n++
		return nil
	}
	if err := add(0, tx); err != nil {
		return 0, err
	}
	for _, p := range txData {
		if err := add(1, p); err != nil {
			return 0, err
		}
	}
	outs := n
	if err := add(outs, rx); err != nil {
		return 0, err
	}
	for _, p := range rxData {
		if err := add(outs+1, p); err != nil {
			return 0, err
		}
	}
	got, err := s.r.do(id, segs[:outs], segs[outs:n])
	return int(got), err
}
