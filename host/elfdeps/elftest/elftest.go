// Package elftest makes ELF files for the tests of packages that read them.
package elftest

import (
	"bytes"
	"encoding/binary"
)

// StaticProgram is the smallest ELF file that is a static program for amd64:
// a header, and one segment, which is the file itself.
func StaticProgram() []byte {
	var b bytes.Buffer
	const size = uint64(64 + 56)
	for _, part := range []any{
		[16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1},
		uint16(2), uint16(62), uint32(1), // ET_EXEC, EM_X86_64, EV_CURRENT
		uint64(0x400000), uint64(64), uint64(0), // entry, program headers, no sections
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		uint32(1), uint32(5), // PT_LOAD, readable and executable
		uint64(0), uint64(0x400000), uint64(0x400000), size, size, uint64(0x1000),
	} {
		_ = binary.Write(&b, binary.LittleEndian, part) // a Buffer takes all
	}
	return b.Bytes()
}
