package socket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/bpf"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// Filters of what a socket receives: SO_ATTACH_FILTER.

// A Packet is what a filter looks at, and what else it may ask for.
type Packet struct {
	Data []byte
	// Link and Network are where the headers begin in Data; negative for
	// headers that are before it.
	Network  int
	Protocol uint16 // ETH_P_*
	Kind     uint8  // PACKET_*
	Device   int
	Mark     int32
	Hardware uint16 // ARPHRD_*
}

const (
	fprogSize       = 16   // struct sock_fprog
	maxInstructions = 4096 // BPF_MAXINSNS

	ancillary   = 0xfffff000 // SKF_AD_OFF
	networkAt   = 0xfff00000 // SKF_NET_OFF
	linkAt      = 0xffe00000 // SKF_LL_OFF
	ancillaryTo = 64         // SKF_AD_MAX
)

// What SKF_AD_OFF is followed by.
const (
	askProtocol = 0
	askKind     = 4
	askDevice   = 8
	askMark     = 20
	askHardware = 28
	askPayload  = 52
)

// loads reports whether a socket's filter may use an instruction that others
// may not.
func loads(in *bpf.Instruction) bool {
	switch in.Code {
	case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, unix.BPF_LD | unix.BPF_B | unix.BPF_ABS:
		return in.K < ancillary || in.K-ancillary < ancillaryTo && in.K%4 == 0
	case unix.BPF_LD | unix.BPF_W | unix.BPF_IND, unix.BPF_LD | unix.BPF_H | unix.BPF_IND, unix.BPF_LD | unix.BPF_B | unix.BPF_IND,
		unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, unix.BPF_ALU | unix.BPF_MOD | unix.BPF_X:
		return true
	case unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K:
		return in.K != 0
	}
	return false
}

// Size is the length of the packet.
func (p *Packet) Size() uint32 { return uint32(len(p.Data)) }

// Load returns bytes of the packet, or something about it.
func (p *Packet) Load(at uint32, size int) (uint32, bool) {
	start := int64(at)
	switch {
	case at >= ancillary:
		switch at - ancillary {
		case askProtocol:
			return uint32(p.Protocol), true
		case askKind:
			return uint32(p.Kind), true
		case askDevice:
			return uint32(p.Device), p.Device != 0
		case askMark:
			return uint32(p.Mark), true
		case askHardware:
			return uint32(p.Hardware), true
		case askPayload:
			return uint32(max(p.Network, 0)), true
		}
		return 0, true // no VLAN, no hash, the first queue and processor
	case at >= networkAt:
		start = int64(at-networkAt) + int64(p.Network)
	case at >= linkAt:
		start = int64(at - linkAt)
	}
	if start < 0 || start+int64(size) > int64(len(p.Data)) {
		return 0, false
	}
	b := p.Data[start:]
	switch size {
	case 1:
		return uint32(b[0]), true
	case 2:
		return uint32(binary.BigEndian.Uint16(b)), true
	}
	return binary.BigEndian.Uint32(b), true
}

// Filtered reports whether the socket has a filter, which Keep asks.
func (o *Options) Filtered() bool { return o.filter.Load() != nil }

// Keep returns how many bytes of a packet the socket's filter lets pass; 0 for
// none of it.
func (o *Options) Keep(p *Packet) int {
	f := o.filter.Load()
	if f == nil {
		return len(p.Data)
	}
	return int(min(int64(bpf.Run(*f, p)), int64(len(p.Data))))
}

// readProgram reads struct sock_fprog and what it points to.
func readProgram(c vfs.Caller, v []byte) ([]bpf.Instruction, error) {
	if len(v) != fprogSize {
		return nil, unix.EINVAL
	}
	n := int(binary.NativeEndian.Uint16(v))
	if n == 0 || n > maxInstructions || binary.NativeEndian.Uint64(v[8:]) == 0 {
		return nil, unix.EINVAL
	}
	raw := make([]byte, 8*n)
	if k, err := c.AddressSpace().CopyIn(raw, mm.Addr(binary.NativeEndian.Uint64(v[8:]))); err != nil || k < len(raw) {
		return nil, unix.EFAULT
	}
	prog := bpf.Parse(raw)
	if !bpf.Valid(prog, loads) {
		return nil, unix.EINVAL
	}
	return prog, nil
}

// setFilter serves the options about filters; false if it is none of them.
func (o *Options) setFilter(c vfs.Caller, name int, v []byte) (bool, error) {
	switch name {
	case unix.SO_ATTACH_FILTER, unix.SO_ATTACH_BPF, unix.SO_ATTACH_REUSEPORT_CBPF, unix.SO_ATTACH_REUSEPORT_EBPF:
	case unix.SO_DETACH_FILTER, unix.SO_DETACH_REUSEPORT_BPF:
		if len(v) < 4 {
			return true, unix.EINVAL
		}
		if name == unix.SO_DETACH_REUSEPORT_BPF {
			return true, unix.ENOENT
		}
		if o.Flag(unix.SO_LOCK_FILTER) {
			return true, unix.EPERM
		}
		if o.filter.Swap(nil) == nil {
			return true, unix.ENOENT
		}
		return true, nil
	default:
		return false, nil
	}
	if len(v) < 4 {
		return true, unix.EINVAL
	}
	if name == unix.SO_ATTACH_BPF || name == unix.SO_ATTACH_REUSEPORT_EBPF {
		// There are no programs of bpf(2).
		if len(v) != 4 {
			return true, unix.EINVAL
		}
		if o.Flag(unix.SO_LOCK_FILTER) {
			return true, unix.EPERM
		}
		return true, o.notProgram(c, int(int32(binary.NativeEndian.Uint32(v))))
	}
	if len(v) != fprogSize {
		return true, unix.EINVAL
	}
	if o.Flag(unix.SO_LOCK_FILTER) {
		return true, unix.EPERM
	}
	prog, err := readProgram(c, v)
	if err != nil {
		return true, err
	}
	// How sockets of one port share it is not a matter of programs here.
	if name == unix.SO_ATTACH_FILTER {
		o.filter.Store(&prog)
	}
	return true, nil
}

// fileOwner is a Caller that has descriptors.
type fileOwner interface{ Files() *vfs.FDTable }

// notProgram is the error for a descriptor where a program is wanted.
func (o *Options) notProgram(c vfs.Caller, fd int) error {
	if t, ok := c.(fileOwner); ok {
		if f, err := t.Files().Get(fd); err == nil {
			f.Put()
			return unix.EINVAL
		}
	}
	return unix.EBADF
}

// FilterProgram is the socket's filter as an array of struct sock_filter
// (SO_GET_FILTER); empty if it has none.
func (o *Options) FilterProgram() []byte {
	if f := o.filter.Load(); f != nil {
		return bpf.Bytes(*f)
	}
	return nil
}
