package netstack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"husk/kernel/inet"
)

// A cutter makes frames of TCP's trains for a card that cannot. The way
// through the stack is then gone once for a train and not for each of its
// segments; their data is not copied. What it made lasts until reset.
type cutter struct {
	heads  [batch][mostHead]byte
	used   int
	pieces [][]byte
}

// mostHead is the longest Ethernet, IP and TCP header together; IPv6's
// extension headers are not what TCP sends.
const mostHead = header.EthernetMinimumSize + header.IPv4MaximumHeaderSize + header.TCPHeaderMaximumSize

func (c *cutter) reset() {
	c.used = 0
	clear(c.pieces)
	c.pieces = c.pieces[:0]
}

// cuts reports whether a packet is a train that the card cannot take, or one
// whose checksum it cannot make.
func (n *nic) cuts(pkt *stack.PacketBuffer) bool {
	g := &pkt.GSOOptions
	return g.Type != stack.GSONone && g.NeedsCsum && n.software &&
		len(pkt.LinkHeader().Slice())+len(pkt.NetworkHeader().Slice())+len(pkt.TransportHeader().Slice()) <= mostHead
}

// cut makes frames of the segments of a train from the first-th on, and says
// how many and whether they are all there are.
func (c *cutter) cut(pkt *stack.PacketBuffer, first int, frames []inet.Frame) (made int, all bool) {
	link, network, transport := pkt.LinkHeader().Slice(), pkt.NetworkHeader().Slice(), pkt.TransportHeader().Slice()
	head := len(link) + len(network) + len(transport)
	size := pkt.Data().Size()
	mss := int(pkt.GSOOptions.MSS)
	if mss == 0 {
		mss = max(size, 1)
	}
	views := pkt.AsSlices()
	skip := head + first*mss
	for at := first * mss; (at < size || at == 0) && made < len(frames); at += mss {
		n := min(mss, size-at)
		h := c.heads[c.used][:0]
		c.used++
		h = append(append(append(h, link...), network...), transport...)
		start := len(c.pieces)
		c.pieces = append(c.pieces, h)
		for left := n; left > 0; {
			for skip >= len(views[0]) {
				skip -= len(views[0])
				views = views[1:]
			}
			p := views[0][skip:min(skip+left, len(views[0]))]
			c.pieces = append(c.pieces, p)
			skip += len(p)
			left -= len(p)
		}
		pieces := c.pieces[start:len(c.pieces):len(c.pieces)]
		alter(h, len(link), len(network), at/mss, uint32(at), at+n == size, pieces[1:], n)
		frames[made] = inet.Frame{Pieces: pieces}
		made++
		if at+n >= size {
			return made, true
		}
	}
	return made, false
}

// alter makes the headers of a train those of its k-th segment, whose data is
// payload, n bytes from offset on.
func alter(h []byte, linkSize, networkSize, k int, offset uint32, last bool, payload [][]byte, n int) {
	ip, tcp := h[linkSize:linkSize+networkSize], header.TCP(h[linkSize+networkSize:])
	var src, dst tcpip.Address
	if ip[0]>>4 == 4 {
		v4 := header.IPv4(ip)
		v4.SetTotalLength(uint16(len(ip) + len(tcp) + n))
		v4.SetID(v4.ID() + uint16(k))
		v4.SetChecksum(0)
		v4.SetChecksum(^v4.CalculateChecksum())
		src, dst = v4.SourceAddress(), v4.DestinationAddress()
	} else {
		v6 := header.IPv6(ip)
		v6.SetPayloadLength(uint16(len(ip) - header.IPv6MinimumSize + len(tcp) + n))
		src, dst = v6.SourceAddress(), v6.DestinationAddress()
	}
	binary.BigEndian.PutUint32(tcp[header.TCPSeqNumOffset:], tcp.SequenceNumber()+offset)
	if !last {
		tcp.SetFlags(uint8(tcp.Flags() &^ (header.TCPFlagFin | header.TCPFlagPsh)))
	}
	tcp.SetChecksum(0)
	var sum checksum.Checksumer
	sum.Add(tcp)
	for _, p := range payload {
		sum.Add(p)
	}
	pseudo := header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp)+n))
	tcp.SetChecksum(^checksum.Combine(pseudo, sum.Checksum()))
}
