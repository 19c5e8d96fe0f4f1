package inet

import (
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A fanout is a group of packet sockets that share what comes (PACKET_FANOUT).
// The first of them is shown every frame and passes it to the one whose turn
// it is. Guarded by net, but for what frames need.
type fanout struct {
	id    uint16
	mode  byte
	proto uint16
	index int
	// members is replaced, never changed.
	members atomic.Pointer[[]*packet]
	turn    atomic.Uint32
}

// The ways to share.
const (
	fanoutHash = iota
	fanoutTurn
	fanoutCPU
	fanoutRollover
	fanoutRandom
	fanoutQueue
	fanoutProgram

	fanoutUnique   = 0x2000 // PACKET_FANOUT_FLAG_UNIQUEID
	fanoutRollFlag = 0x1000
	fanoutDefrag   = 0x8000
)

// fanouts are the groups. Guarded by net.
var fanouts []*fanout

// joinFanout serves PACKET_FANOUT.
func (s *packet) joinFanout(v uint32) error {
	id, mode, flags := uint16(v), byte(v>>16), uint16(v>>16)&0xff00
	if flags&^(fanoutUnique|fanoutRollFlag|fanoutDefrag|0x4000) != 0 || mode > fanoutProgram+1 {
		return unix.EINVAL
	}
	if mode > fanoutQueue {
		return unix.EINVAL // programs that choose
	}
	net.Lock()
	defer net.Unlock()
	if s.group.Load() != nil {
		return unix.EALREADY
	}
	if s.protocol == 0 {
		return unix.EINVAL
	}
	find := func(id uint16) *fanout {
		for _, f := range fanouts {
			if f.id == id {
				return f
			}
		}
		return nil
	}
	if flags&fanoutUnique != 0 {
		if id != 0 {
			return unix.EINVAL
		}
		for id = 1; find(id) != nil; id++ {
			if id == 0xffff {
				return unix.ENOMEM
			}
		}
	}
	f := find(id)
	if f == nil {
		f = &fanout{id: id, mode: mode, proto: s.protocol, index: s.index}
		fanouts = append(fanouts, f)
	} else if f.mode != mode || f.proto != s.protocol || f.index != s.index {
		return unix.EINVAL
	}
	var list []*packet
	if p := f.members.Load(); p != nil {
		list = append(list, *p...)
	}
	if len(list) >= 256 {
		return unix.ENOSPC
	}
	list = append(list, s)
	f.members.Store(&list)
	s.group.Store(f)
	return nil
}

// leaveFanout takes a socket that is closed out of its group. net is held.
func (s *packet) leaveFanout() {
	f := s.group.Load()
	if f == nil {
		return
	}
	s.group.Store(nil)
	var list []*packet
	for _, o := range *f.members.Load() {
		if o != s {
			list = append(list, o)
		}
	}
	f.members.Store(&list)
	if len(list) > 0 {
		return
	}
	for k, o := range fanouts {
		if o == f {
			fanouts = append(fanouts[:k:k], fanouts[k+1:]...)
			return
		}
	}
}

// choose returns who a frame is for; nil if asked by another than the first.
func (f *fanout) choose(s *packet, h []byte) *packet {
	list := *f.members.Load()
	if len(list) == 0 || list[0] != s {
		return nil
	}
	n := uint32(0)
	switch f.mode {
	case fanoutHash:
		n = flow(h)
	case fanoutTurn:
		n = f.turn.Add(1) - 1
	case fanoutRandom:
		n = fnv(binary.NativeEndian.AppendUint32(nil, f.turn.Add(1)))
	case fanoutRollover:
		for k, o := range list {
			if o.hasRoom() {
				n = uint32(k)
				break
			}
		}
	}
	return list[n%uint32(len(list))]
}

// hasRoom reports whether a frame of usual size would be taken.
func (s *packet) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rx; r != nil {
		if s.layout == layout3 {
			return r.fill > 0 || s.peek32(r.block(r.next)+8) == statusKernel
		}
		return s.peek32(r.at(r.next)) == statusKernel
	}
	return s.cost+2048 <= int(s.RecvBuffer.Load())
}

// flow is a number that both directions of a conversation have in common.
func flow(h []byte) uint32 {
	var a, b []byte
	ports := 0
	switch {
	case len(h) >= ethernetSize+20 && binary.BigEndian.Uint16(h[12:]) == unix.ETH_P_IP:
		ip := h[ethernetSize:]
		a, b = ip[12:16], ip[16:20]
		if ip[9] == unix.IPPROTO_TCP || ip[9] == unix.IPPROTO_UDP {
			ports = ethernetSize + int(ip[0]&15)*4
		}
	case len(h) >= ethernetSize+40 && binary.BigEndian.Uint16(h[12:]) == unix.ETH_P_IPV6:
		ip := h[ethernetSize:]
		a, b = ip[8:24], ip[24:40]
		if ip[6] == unix.IPPROTO_TCP || ip[6] == unix.IPPROTO_UDP {
			ports = ethernetSize + 40
		}
	default:
		return 0
	}
	sum := fnv(a) + fnv(b)
	if ports > 0 && len(h) >= ports+4 {
		sum += fnv(h[ports:ports+2]) + fnv(h[ports+2:ports+4])
	}
	return sum
}

// fnv is the hash FNV-1a.
func fnv(p []byte) uint32 {
	sum := uint32(2166136261)
	for _, b := range p {
		sum = (sum ^ uint32(b)) * 16777619
	}
	return sum
}
