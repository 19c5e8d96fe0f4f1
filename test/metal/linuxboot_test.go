package metal

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// QEMU boots ELF kernels by PVH only. To test the Linux 64-bit protocol, by
// which Firecracker boots, a shim is added to the kernel: the PVH note leads
// to it, it enters 64-bit mode on page tables and a GDT of its own, as a
// monitor would prepare them, and jumps to the ELF entry with boot_params in
// RSI (Documentation/arch/x86/boot.rst, "64-bit boot protocol").

const shimBase = 0x60000 // code, GDT; then boot_params, PML4, PDPT, PD

func withShim(t *testing.T, kernel, cmdline string) string {
	t.Helper()
	in, err := elf.Open(kernel)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	le := binary.LittleEndian

	shim := make([]byte, 5*4096)
	code := shim[:0]
	emit := func(b ...byte) { code = append(code, b...) }
	imm := func(v uint32) { code = le.AppendUint32(code, v) }
	emit(0xfa, 0x0f, 0x20, 0xe0, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0) // CR4.PAE
	emit(0xb8)
	imm(shimBase + 0x2000)
	emit(0x0f, 0x22, 0xd8, 0xb9) // CR3
	imm(0xc0000080)
	emit(0x0f, 0x32, 0x0d) // EFER.LME
	imm(0x100)
	emit(0x0f, 0x30, 0xb8)
	imm(0x80000011)
	emit(0x0f, 0x22, 0xc0, 0x0f, 0x01, 0x15) // CR0; lgdt
	imm(shimBase + 0x820)
	emit(0xea)
	imm(shimBase + uint32(len(code)) + 6)
	emit(0x10, 0x00)
	emit(0xbe) // mov esi, boot_params
	imm(shimBase + 0x1000)
	emit(0xb8) // mov eax, entry
	imm(uint32(in.Entry))
	emit(0xff, 0xe0)
	le.PutUint64(shim[0x810:], 0x00af9b000000ffff)
	le.PutUint16(shim[0x820:], 3*8-1)
	le.PutUint32(shim[0x822:], shimBase+0x800)

	params := shim[0x1000:]
	ranges := [][2]uint64{{0, 0x9fc00}, {0x100000, 128<<20 - 0x100000}}
	params[0x1e8] = byte(len(ranges))
	for i, r := range ranges {
		e := params[0x2d0+20*i:]
		le.PutUint64(e, r[0])
		le.PutUint64(e[8:], r[1])
		le.PutUint32(e[16:], 1)
	}
	le.PutUint32(params[0x228:], shimBase+0x1800)
	copy(params[0x800:], cmdline)
	const module = "a boot module"
	le.PutUint32(params[0x218:], shimBase+0x1c00)
	le.PutUint32(params[0x21c:], uint32(len(module)))
	copy(params[0xc00:], module)
	le.PutUint64(shim[0x2000:], shimBase+0x3003)
	le.PutUint64(shim[0x3000:], shimBase+0x4003)
	for i := range uint64(512) {
		le.PutUint64(shim[0x4000+8*i:], i<<21|0x83)
	}

	note := []byte("\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x00\x06\x00\x00\x00\x00\x00")
	type part struct {
		typ   elf.ProgType
		paddr uint64
		memsz uint64
		data  []byte
	}
	parts := []part{{elf.PT_LOAD, shimBase, uint64(len(shim)), shim}, {elf.PT_NOTE, 0, uint64(len(note)), note}}
	for _, p := range in.Progs {
		if p.Type == elf.PT_LOAD {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part{elf.PT_LOAD, p.Paddr, p.Memsz, b})
		}
	}
	var out bytes.Buffer
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: 2, Machine: 62, Version: 1,
		Entry: in.Entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(parts)),
	}
	_ = binary.Write(&out, le, h)
	off := uint64(4096)
	for _, p := range parts {
		_ = binary.Write(&out, le, elf.Prog64{
			Type: uint32(p.typ), Flags: 7, Off: off, Vaddr: p.paddr, Paddr: p.paddr,
			Filesz: uint64(len(p.data)), Memsz: p.memsz, Align: 4,
		})
		off += (uint64(len(p.data)) + 4095) &^ 4095
	}
	for _, p := range parts {
		out.Write(make([]byte, -out.Len()&4095))
		out.Write(p.data)
	}
	path := filepath.Join(t.TempDir(), "linuxboot.elf")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLinuxBootProtocol(t *testing.T) {
	kernel := withShim(t, build(t, machinetest), "-test.v expect_module=13 expect_cpus=1")
	out, status := boot(t, kernel, "", "-M", "microvm,rtc=on,acpi=off", "-cpu", "max", "-m", "128")
	if status != passed {
		t.Errorf("status %d\n%s", status, out)
	}
	if !strings.Contains(out, "--- PASS: TestModules") {
		t.Error("the command line did not arrive")
	}
}

func TestModulesArrive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(file, []byte("a boot module"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, machine := range []string{"microvm,rtc=on", "q35"} {
		out, status := boot(t, build(t, machinetest), "-test.v -test.run=Modules expect_module=13", "-M", machine, "-cpu", "max", "-m", "64", "-initrd", file)
		if status != passed {
			t.Errorf("%s: status %d\n%s", machine, status, out)
		}
	}
}
