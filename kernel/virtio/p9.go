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
	var segs [shareQueue]Segment
	n := 0
	add := func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		pa, ok := PhysOf(p)
		if !ok {
			return unix.EFAULT
		}
		if n == len(segs) {
			return unix.EINVAL
		}
		segs[n] = Segment{pa, uint32(len(p))}
		n++
		return nil
	}
	// merge joins p to the last segment when they touch in memory.
	merge := func(first int, p []byte) error {
		if err := add(p); err != nil || n-1 <= first {
			return err
		}
		a, b := &segs[n-2], &segs[n-1]
		if a.Addr+cpu.PhysAddr(a.Len) == b.Addr {
			a.Len += b.Len
			n--
		}
		return nil
	}
	if err := add(tx); err != nil {
		return 0, err
	}
	for _, p := range txData {
		if err := merge(1, p); err != nil {
			return 0, err
		}
	}
	outs := n
	if err := add(rx); err != nil {
		return 0, err
	}
	for _, p := range rxData {
		if err := merge(outs+1, p); err != nil {
			return 0, err
		}
	}
	id := s.r.acquire()
	defer s.r.release(id)
	got, err := s.r.do(id, segs[:outs], segs[outs:n])
	return int(got), err
}
