//go:build baremetal

package metal

// image describes the kernel in memory. cmd/mkkernel fills it in after the
// link; its type is repeated there.
var image = struct {
	magic                  uint64
	start, end             uint64
	textStart, textEnd     uint64
	demandStart, demandEnd uint64
	pml4, direct           uint64
	pclntab, text          uint64
	holeStart, holeEnd     uint64
	globalsScan, globals   uint64
}{magic: 0x6b73756834366b6d}

// imageBase is where physical address 0 would appear in the image's mapping.
const imageBase = 0xffffffff80000000
