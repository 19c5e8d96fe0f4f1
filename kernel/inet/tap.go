package inet

import "golang.org/x/sys/unix"

// A Tap sees the frames of an interface: packet sockets and the DHCP client
// are taps. The Stack calls Tapped with every frame in either direction.
type Tap struct {
	// See is given a frame, which it must not keep or change, on the
	// goroutine that sends or receives it.
	See func(i *Interface, f *Frame, sent bool)
}

// AddTap makes t see the frames of i.
func (i *Interface) AddTap(t *Tap) {
	config.Lock()
	list := []*Tap{t}
	if p := i.taps.Load(); p != nil {
		list = append(list, *p...)
	}
	i.taps.Store(&list)
	config.Unlock()
}

// RemoveTap undoes AddTap.
func (i *Interface) RemoveTap(t *Tap) {
	config.Lock()
	defer config.Unlock()
	p := i.taps.Load()
	if p == nil {
		return
	}
	var list []*Tap
	for _, o := range *p {
		if o != t {
			list = append(list, o)
		}
	}
	if list == nil {
		i.taps.Store(nil)
		return
	}
	i.taps.Store(&list)
}

// Tapped shows f to the interface's taps.
func (i *Interface) Tapped(f *Frame, sent bool) {
	if p := i.taps.Load(); p != nil {
		for _, t := range *p {
			t.See(i, f, sent)
		}
	}
}

// SendFrame sends one whole Ethernet frame past the Stack (packet sockets,
// DHCP). ENOBUFS if the card's queue is full, ENETDOWN if it is down.
func (i *Interface) SendFrame(p []byte) error {
	if i.Link == nil {
		return unix.ENXIO
	}
	if s := i.Snapshot(); s.Flags&unix.IFF_UP == 0 {
		return unix.ENETDOWN
	}
	f := [1]Frame{{Pieces: [][]byte{p}}}
	i.Tapped(&f[0], true)
	if i.Link.Transmit(0, f[:]) == 0 {
		i.TxDropped.Add(1)
		return unix.ENOBUFS
	}
	i.TxPackets.Add(1)
	i.TxBytes.Add(uint64(len(p)))
	return nil
}
