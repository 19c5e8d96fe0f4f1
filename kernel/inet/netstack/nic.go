package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"

	"husk/kernel/inet"
)

// nic stands between gVisor and a Link: its link endpoint and the Link's
// Receiver.
type nic struct {
	i       *inet.Interface
	link    inet.Link
	offload inet.Offload
	address tcpip.LinkAddress
	mtu     atomic.Uint32
	up      atomic.Pointer[stack.NetworkDispatcher]
	closing func()

	queues []queue
	// software says that trains of TCP's segments are cut here, not by the
	// card.
	software bool
}

// queue is one queue of the card, and what found it full.
type queue struct {
	mu      sync.Mutex
	waiting []*stack.PacketBuffer
	part    int // segments of the first waiting packet that are sent already
	cutter  cutter

	gro gro.GRO // of who receives
}

// mostWaiting bounds a queue, as txqueuelen does.
const mostWaiting = 1000

func newNIC(i *inet.Interface) *nic {
	mac := i.Link.Address()
	n := &nic{
		i: i, link: i.Link, offload: i.Link.Offload(), address: tcpip.LinkAddress(mac[:]),
		queues: make([]queue, max(i.Link.Queues(), 1)),
	}
	n.mtu.Store(uint32(i.Link.MTU()))
	n.software = !n.offload.SendChecksum || !n.offload.TCP4 || !n.offload.TCP6
	for k := range n.queues {
		n.queues[k].gro.Init(!n.offload.Merge)
	}
	return n
}

// The methods of stack.LinkEndpoint that say what the card is.
func (n *nic) MTU() uint32                             { return n.mtu.Load() }
func (n *nic) SetMTU(mtu uint32)                       { n.mtu.Store(mtu) }
func (n *nic) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (n *nic) LinkAddress() tcpip.LinkAddress          { return n.address }
func (n *nic) SetLinkAddress(tcpip.LinkAddress)        {}
func (n *nic) Wait()                                   {}
func (n *nic) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (n *nic) Close()                                  {}
func (n *nic) SetOnCloseAction(f func())               { n.closing = f }
func (n *nic) IsAttached() bool                        { return n.up.Load() != nil }

// Capabilities: every frame needs a MAC address. A Link's checksum is not
// CapabilityTXChecksumOffload, with which nobody would make the sum of the
// pseudo header: gVisor makes that one for its trains of segments.
//
// Received checksums are all settled before gVisor sees the packet (deliver):
// gVisor asks the card, not the packet.
func (n *nic) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}

// SupportedGSO is yes: who cuts TCP's trains is the card, or a cutter.
func (n *nic) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// GSOMaxSize is the longest train, without its headers.
func (n *nic) GSOMaxSize() uint32 {
	if n.software {
		return 65535 - 128
	}
	return uint32(max(min(n.offload.MaxFrame, 65535)-128, int(n.mtu.Load())))
}

// Attach is told who takes what arrives.
func (n *nic) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		n.up.Store(nil)
		return
	}
	n.up.Store(&d)
}

// AddHeader puts the Ethernet header in front.
func (n *nic) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: pkt.EgressRoute.LocalLinkAddress, DstAddr: pkt.EgressRoute.RemoteLinkAddress, Type: pkt.NetworkProtocolNumber,
	})
}

// ParseHeader takes it off.
func (*nic) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// frame describes a packet for the card.
func (n *nic) frame(pkt *stack.PacketBuffer) inet.Frame {
	f := inet.Frame{Pieces: pkt.AsSlices()}
	g := &pkt.GSOOptions
	if g.Type == stack.GSONone || !g.NeedsCsum {
		return f
	}
	f.Partial = true
	f.Start = header.EthernetMinimumSize + g.L3HdrLen
	f.Offset = g.CsumOffset
	if pkt.Data().Size() > int(g.MSS) {
		f.Segment = g.MSS
		f.Header = f.Start + uint16(len(pkt.TransportHeader().Slice()))
		f.Protocol = inet.SegmentTCP4
		if g.Type == stack.GSOTCPv6 {
			f.Protocol = inet.SegmentTCP6
		}
	}
	return f
}

// batch is how many frames go to the card at once.
const batch = 64

// WritePackets sends packets. One that finds its queue full waits, as long as
// not too many do.
func (n *nic) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	packets := list.AsSlice()
	for done := 0; done < len(packets); {
		q := int(packets[done].Hash) % len(n.queues)
		end := done + 1
		for end < len(packets) && end-done < batch && int(packets[end].Hash)%len(n.queues) == q {
			end++
		}
		n.send(q, packets[done:end])
		done = end
	}
	return len(packets), nil
}

func (n *nic) send(k int, packets []*stack.PacketBuffer) {
	q := &n.queues[k]
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		packets = packets[n.transmit(k, packets):]
	}
	for _, pkt := range packets {
		if len(q.waiting) >= mostWaiting {
			n.i.TxDropped.Add(1)
			continue
		}
		q.waiting = append(q.waiting, pkt.IncRef())
	}
}

// transmit gives packets to the card and returns how many it took whole; of
// the next it took queue.part segments. The queue's mu is held.
func (n *nic) transmit(k int, packets []*stack.PacketBuffer) int {
	q := &n.queues[k]
	var frames [batch]inet.Frame
	var origin [batch]struct{ packet, segment int }
	total := 0
	for total < len(packets) {
		count, next, part := 0, total, q.part
		q.cutter.reset()
		for next < len(packets) && count < batch {
			pkt := packets[next]
			made, all := 1, true
			if n.cuts(pkt) {
				made, all = q.cutter.cut(pkt, part, frames[count:])
			} else {
				frames[count] = n.frame(pkt)
			}
			for i := range made {
				origin[count+i].packet, origin[count+i].segment = next, part+i
			}
			count += made
			if !all {
				part += made
				break
			}
			next, part = next+1, 0
		}
		bytes := uint64(0)
		for i := range frames[:count] {
			n.i.Tapped(&frames[i], true)
		}
		sent := n.link.Transmit(k, frames[:count])
		for i := range frames[:sent] {
			bytes += uint64(frames[i].Len())
		}
		n.i.TxPackets.Add(uint64(sent))
		n.i.TxBytes.Add(bytes)
		if sent < count {
			q.part = origin[sent].segment
			return origin[sent].packet
		}
		total, q.part = next, part
	}
	return total
}

// Room sends what waits for room.
func (n *nic) Room(k int) {
	q := &n.queues[k]
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return
	}
	sent := n.transmit(k, q.waiting)
	for _, pkt := range q.waiting[:sent] {
		pkt.DecRef()
	}
	left := copy(q.waiting, q.waiting[sent:])
	clear(q.waiting[left:])
	q.waiting = q.waiting[:left]
}

// Carrier has nothing to do: a packet without a carrier is lost like any other.
func (n *nic) Carrier(bool) {}

// Receive carries frames up. What a card has not merged is merged here, as far
// as it came at once.
func (n *nic) Receive(k int, frames []inet.Frame) {
	d := n.up.Load()
	g := &n.queues[k].gro
	if d != nil {
		g.Dispatcher = *d
	}
	for i := range frames {
		f := &frames[i]
		size := f.Len()
		n.i.RxPackets.Add(1)
		n.i.RxBytes.Add(uint64(size))
		n.i.Tapped(f, false)
		if d != nil && size >= header.EthernetMinimumSize {
			n.deliver(g, f, size)
		} else {
			n.i.RxDropped.Add(1)
		}
		if f.Done != nil {
			f.Done()
		}
	}
	if d != nil {
		g.Flush()
	}
}

func (n *nic) deliver(g *gro.GRO, f *inet.Frame, size int) {
	v := buffer.NewViewSize(size)
	p := v.AsSlice()
	for _, piece := range f.Pieces {
		p = p[copy(p, piece):]
	}
	if !f.Verified && !f.Partial && !sound(v.AsSlice()) {
		n.i.RxDropped.Add(1)
		v.Release()
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	defer pkt.DecRef()
	if !n.ParseHeader(pkt) {
		return
	}
	h := header.Ethernet(pkt.LinkHeader().Slice())
	switch dst := h.DestinationAddress(); {
	case dst == header.EthernetBroadcastAddress:
		pkt.PktType = tcpip.PacketBroadcast
	case header.IsMulticastEthernetAddress(dst):
		pkt.PktType = tcpip.PacketMulticast
	case dst == n.address:
		pkt.PktType = tcpip.PacketHost
	default:
		pkt.PktType = tcpip.PacketOtherHost
		return // the card may be promiscuous, we are not
	}
	pkt.NetworkProtocolNumber = h.Type()
	pkt.RXChecksumValidated = true
	g.Enqueue(pkt)
}
