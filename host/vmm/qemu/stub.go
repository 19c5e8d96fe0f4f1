package qemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"husk/host/vmm"
)

// stubStatus is QEMU's exit status after Stub.
const stubStatus = 0x20<<1 | 1

// stubCode writes 0x20 to the exit port.
var stubCode = []byte{
	0xb0, 0x20, // mov $0x20, %al
	0xe6, ExitPort, // out %al, $ExitPort
	0xf4, // hlt
}

// Stub is the smallest kernel: booted by PVH, it ends the machine at once.
// How long that takes is the floor under every start.
func Stub() []byte { return PVH(stubCode) }

// PVH wraps 32-bit code for address 0x100000 in an ELF file with the note
// that makes QEMU boot it by PVH.
func PVH(code []byte) []byte {
	const entry, header, segment, note = 0x100000, 64, 56, 20
	var b bytes.Buffer
	put := func(v ...any) {
		for _, v := range v {
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
	}
	b.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	put(uint16(2), uint16(62), uint32(1), uint64(entry), uint64(header), uint64(0), uint32(0)) // EXEC, x86-64
	put(uint16(header), uint16(segment), uint16(2), uint16(64), uint16(0), uint16(0))
	const noteAt = header + 2*segment
	const codeAt = noteAt + note + 4
	size := uint64(len(code))
	put(uint32(1), uint32(7), uint64(codeAt), uint64(entry), uint64(entry), size, size, uint64(4)) // LOAD
	put(uint32(4), uint32(4), uint64(noteAt), uint64(0), uint64(0), uint64(note), uint64(note), uint64(4))
	put(uint32(4), uint32(4), uint32(18)) // XEN_ELFNOTE_PHYS32_ENTRY
	b.WriteString("Xen\x00")
	put(uint32(entry), uint32(0))
	b.Write(code)
	return b.Bytes()
}

// Try boots the stub on the machine and gives the time from start to end.
func Try(machine, accel string, patience time.Duration) (time.Duration, error) {
	kernel, err := vmm.File("stub", bytes.NewReader(Stub()))
	if err != nil {
		return 0, err
	}
	defer kernel.Close()
	empty, err := vmm.File("spec", bytes.NewReader([]byte("{}")))
	if err != nil {
		return 0, err
	}
	defer empty.Close()
	ours, theirs, err := vmm.SocketPair("serial")
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	defer theirs.Close()
	start := time.Now()
	p, err := Start(&vmm.Machine{
		Type: machine, Accel: accel, Memory: 16 << 20, CPUs: 1,
		Kernel: kernel, Spec: empty, Serial: theirs,
	})
	if err != nil {
		return 0, err
	}
	late := time.AfterFunc(patience, p.Kill)
	defer late.Stop()
	status := p.ExitCode()
	took := time.Since(start)
	switch {
	case status == stubStatus:
		return took, nil
	case took >= patience:
		return took, fmt.Errorf("a test machine did not end within %v", patience)
	case p.Complaint() != "":
		return took, errors.New(p.Complaint())
	}
	return took, fmt.Errorf("a test machine ended with status %d", status)
}
