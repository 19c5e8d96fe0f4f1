package metal

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func madt(entries ...[]byte) []byte {
	b := make([]byte, 44)
	copy(b, "APIC")
	return append(b, bytes.Join(entries, nil)...)
}

func TestMADT(t *testing.T) {
	le := binary.LittleEndian
	x2 := make([]byte, 16)
	x2[0], x2[1] = 9, 16
	le.PutUint32(x2[4:], 300)
	le.PutUint32(x2[8:], 1)
	var m machineInfo
	m.parseMADT(madt(
		[]byte{0, 8, 0, 7, 1, 0, 0, 0},                     // CPU 7, enabled
		[]byte{0, 8, 1, 8, 0, 0, 0, 0},                     // disabled
		[]byte{0, 8, 1, 9, 2, 0, 0, 0},                     // online capable
		[]byte{1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0}, // I/O APIC at GSI 24
		[]byte{2, 10, 0, 0, 2, 0, 0, 0, 0xd, 0},            // IRQ 0 is GSI 2, level
		x2, []byte{200, 3, 1}, []byte{1, 12},               // unknown, then cut off
	))
	if m.cpuCount != 3 || m.apicIDs[0] != 7 || m.apicIDs[1] != 9 || m.apicIDs[2] != 300 {
		t.Errorf("CPUs %v", m.apicIDs[:m.cpuCount])
	}
	if m.ioapicCount != 1 || m.ioapics[0].addr != 0xfec00000 || m.ioapics[0].first != 24 {
		t.Errorf("I/O APICs %v", m.ioapics[:m.ioapicCount])
	}
	if m.overrideCount != 1 || m.overrides[0].gsi != 2 || m.overrides[0].flags != 0xd {
		t.Errorf("overrides %v", m.overrides[:m.overrideCount])
	}
}

func TestMPTable(t *testing.T) {
	b := make([]byte, 44)
	copy(b, "PCMP")
	cpu := func(id, flags byte) []byte {
		e := make([]byte, 20)
		e[1], e[3] = id, flags
		return e
	}
	b = append(b, cpu(0, 3)...)
	b = append(b, cpu(1, 1)...)
	b = append(b, cpu(2, 0)...)
	b = append(b, 1, 0, 'I', 'S', 'A', ' ', ' ', ' ')
	b = append(b, 2, 3, 0x11, 1, 0, 0, 0xc0, 0xfe)
	binary.LittleEndian.PutUint16(b[4:], uint16(len(b)))
	var m machineInfo
	m.parseMP(b)
	if m.cpuCount != 2 || m.apicIDs[1] != 1 || m.ioapicCount != 1 || m.ioapics[0].addr != 0xfec00000 {
		t.Errorf("%+v", m)
	}
}

func FuzzTables(f *testing.F) {
	f.Add(madt([]byte{0, 8, 0, 7, 1, 0, 0, 0}))
	f.Add(append([]byte("PCMP\xff\xff"), make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m machineInfo
		m.parseMADT(b)
		m.parseMP(b)
	})
}
