package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// mostExtensions bounds the walk over IPv6's extension headers.
const mostExtensions = 8

// sound checks the checksums of a frame that the card has not checked: those
// of the IPv4 header, of TCP and of UDP. ICMP's are gVisor's affair, and so is
// everything that is malformed. Of a fragment only the header can be checked.
func sound(frame []byte) bool {
	packet := frame[header.EthernetMinimumSize:]
	switch header.Ethernet(frame).Type() {
	case header.IPv4ProtocolNumber:
		h := header.IPv4(packet)
		if len(packet) < header.IPv4MinimumSize || int(h.HeaderLength()) > len(packet) || h.HeaderLength() < header.IPv4MinimumSize ||
			int(h.TotalLength()) > len(packet) || h.TotalLength() < uint16(h.HeaderLength()) {
			return true
		}
		if !h.IsChecksumValid() {
			return false
		}
		if h.More() || h.FragmentOffset() != 0 {
			return true
		}
		return payloadSound(h.TransportProtocol(), h.SourceAddress(), h.DestinationAddress(), packet[h.HeaderLength():h.TotalLength()])
	case header.IPv6ProtocolNumber:
		h := header.IPv6(packet)
		if len(packet) < header.IPv6MinimumSize || int(h.PayloadLength()) > len(packet)-header.IPv6MinimumSize {
			return true
		}
		next, body := h.NextHeader(), packet[header.IPv6MinimumSize:][:h.PayloadLength()]
		for range mostExtensions {
			switch header.IPv6ExtensionHeaderIdentifier(next) {
			case header.IPv6HopByHopOptionsExtHdrIdentifier, header.IPv6RoutingExtHdrIdentifier, header.IPv6DestinationOptionsExtHdrIdentifier:
				if len(body) < 8 || len(body) < 8+8*int(body[1]) {
					return true
				}
				next, body = body[0], body[8+8*int(body[1]):]
				continue
			}
			break
		}
		return payloadSound(tcpip.TransportProtocolNumber(next), h.SourceAddress(), h.DestinationAddress(), body)
	}
	return true
}

func payloadSound(p tcpip.TransportProtocolNumber, src, dst tcpip.Address, body []byte) bool {
	switch p {
	case header.TCPProtocolNumber:
	case header.UDPProtocolNumber:
		if len(body) < header.UDPMinimumSize {
			return true
		}
		u := header.UDP(body)
		if u.Checksum() == 0 && src.Len() == header.IPv4AddressSize {
			return true // there is none
		}
		if n := int(u.Length()); n >= header.UDPMinimumSize && n <= len(body) {
			body = body[:n]
		}
	default:
		return true
	}
	return checksum.Checksum(body, header.PseudoHeaderChecksum(p, src, dst, uint16(len(body)))) == 0xffff
}
