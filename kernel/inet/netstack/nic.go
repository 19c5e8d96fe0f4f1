package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

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
}

// queue is one queue of the card, and what found it full.
type queue struct {
	mu      sync.Mutex
	waiting []*stack.PacketBuffer
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
// A card that knows of received checksums has all of them settled before
// gVisor sees the packet (deliver): gVisor asks the card, not the packet.
func (n *nic) Capabilities() stack.LinkEndpointCapabilities {
	if n.offload.ReceiveChecksum {
		return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
	}
	return stack.CapabilityResolutionRequired
}

// SupportedGSO reports whether the card cuts TCP's trains, for which it has to
// sum as well.
func (n *nic) SupportedGSO() stack.SupportedGSO {
	if n.offload.SendChecksum && n.offload.TCP4 && n.offload.TCP6 {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// GSOMaxSize is the longest train, without its headers.
func (n *nic) GSOMaxSize() uint32 {
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

func (n *nic) send(q int, packets []*stack.PacketBuffer) {
	n.queues[q].mu.Lock()
	defer n.queues[q].mu.Unlock()
	w := &n.queues[q].waiting
	if len(*w) == 0 {
		packets = packets[n.transmit(q, packets):]
	}
	for _, pkt := range packets {
		if len(*w) >= mostWaiting {
			n.i.TxDropped.Add(1)
			continue
		}
		*w = append(*w, pkt.IncRef())
	}
}

// transmit gives packets to the card and returns how many it took. The
// queue's mu is held.
func (n *nic) transmit(q int, packets []*stack.PacketBuffer) int {
	var frames [batch]inet.Frame
	total := 0
	for total < len(packets) {
		k := min(len(packets)-total, batch)
		bytes := uint64(0)
		for i, pkt := range packets[total : total+k] {
			frames[i] = n.frame(pkt)
			n.i.Tapped(&frames[i], true)
		}
		sent := n.link.Transmit(q, frames[:k])
		for i := range frames[:sent] {
			bytes += uint64(frames[i].Len())
		}
		n.i.TxPackets.Add(uint64(sent))
		n.i.TxBytes.Add(bytes)
		total += sent
		if sent < k {
			break
		}
	}
	return total
}

// Room sends what waits for room.
func (n *nic) Room(q int) {
	n.queues[q].mu.Lock()
	defer n.queues[q].mu.Unlock()
	w := &n.queues[q].waiting
	if len(*w) == 0 {
		return
	}
	sent := n.transmit(q, *w)
	for _, pkt := range (*w)[:sent] {
		pkt.DecRef()
	}
	*w = append((*w)[:0], (*w)[sent:]...)
}

// Carrier has nothing to do: a packet without a carrier is lost like any other.
func (n *nic) Carrier(bool) {}

// Receive carries frames up.
func (n *nic) Receive(_ int, frames []inet.Frame) {
	d := n.up.Load()
	for i := range frames {
		f := &frames[i]
		size := f.Len()
		n.i.RxPackets.Add(1)
		n.i.RxBytes.Add(uint64(size))
		n.i.Tapped(f, false)
		if d != nil && size >= header.EthernetMinimumSize {
			n.deliver(*d, f, size)
		} else {
			n.i.RxDropped.Add(1)
		}
		if f.Done != nil {
			f.Done()
		}
	}
}

func (n *nic) deliver(d stack.NetworkDispatcher, f *inet.Frame, size int) {
	v := buffer.NewViewSize(size)
	p := v.AsSlice()
	for _, piece := range f.Pieces {
		p = p[copy(p, piece):]
	}
	if n.offload.ReceiveChecksum && !f.Verified && !f.Partial && !sound(v.AsSlice()) {
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
	d.DeliverNetworkPacket(h.Type(), pkt)
}
