package netlink

import "strconv"

// lines appends those of /proc/net/netlink.
func lines(p []byte) []byte {
	column := func(n uint64, base, width int) {
		start := len(p)
		p = strconv.AppendUint(p, n, base)
		for len(p)-start < width {
			p = append(p, ' ')
		}
		p = append(p, ' ')
	}
	line := func(protocol int, port, groups uint32, cost int, drops uint32, inode uint64) {
		p = append(p, "0000000000000000 "...)
		column(uint64(protocol), 10, 3)
		column(uint64(port), 10, 10)
		for i := 28; i >= 0; i -= 4 {
			p = append(p, "0123456789abcdef"[groups>>i&15])
		}
		p = append(p, ' ')
		column(uint64(cost), 10, 8)
		column(0, 10, 8)
		p = append(p, "0        2        "...)
		column(uint64(drops), 10, 8)
		column(inode, 10, 8)
		p[len(p)-1] = '\n'
	}
	table.RLock()
	defer table.RUnlock()
	for n := range maxProtocol {
		if k := protocolOf(n); k == nil {
			continue
		} else if k.handle != nil {
			line(n, 0, 0, 0, 0, uint64(n)+1)
		}
		for _, s := range table.list {
			if s.Protocol == n {
				s.mu.Lock()
				cost, drops := s.cost, s.drops
				s.mu.Unlock()
				line(n, s.port, uint32(s.groups[0]), cost, drops, s.Inode.Load())
			}
		}
	}
	return p
}
