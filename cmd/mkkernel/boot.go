package main

import (
	"debug/elf"
	"encoding/binary"
)

// bootSegment is the part of the image that the Go linker cannot make.
type bootSegment struct {
	segment
	pml4, direct      uint64 // physical
	linuxEntry        uint64 // physical
	noteOff, noteSize uint64
}

// Offsets in the first page of the boot segment.
const (
	gdtOff  = 0x800
	gdtrOff = 0x820
	noteOff = 0x840
)

// buildBoot makes the boot segment for the given program segments. entry is
// the virtual address at which the kernel starts, end where its image ends,
// extra what else shall lie in the segment, at extraAddress.
//
// Pages: trampolines, PML4, identity PDPT and PD, kernel PDPT and PD, one page
// table for each 2 MiB of the image, the extra bytes, then (zeroed by the
// loader, not in the file) a PDPT and a PD for the direct map.
func buildBoot(segments []segment, entry, end uint64, extra []byte) bootSegment {
	tables := (end - base + 1<<21 - 1) >> 21
	inFile := 6 + tables + roundUp(uint64(len(extra)))/pageSize
	size := (inFile + 2) * pageSize
	data := make([]byte, inFile*pageSize)
	le := binary.LittleEndian

	page := func(n uint64) uint64 { return bootPhys + n*pageSize }
	set := func(n, index, entry uint64) { le.PutUint64(data[n*pageSize+index*8:], entry) }
	const table = ptePresent | pteWrite

	set(1, 0, page(2)|table)
	set(1, 511, page(4)|table)
	set(2, 0, page(3)|table)
	set(3, 0, 0|table|pteLarge)
	set(4, 510, page(5)|table)
	for t := range tables {
		set(5, t, page(6+t)|table)
	}
	boot := segment{base + bootPhys, size, data, elf.PF_R | elf.PF_W}
	for _, s := range append([]segment{boot}, segments...) {
		flags := uint64(ptePresent | pteGlobal)
		if s.flags&elf.PF_W != 0 {
			flags |= pteWrite
		}
		if s.flags&elf.PF_X == 0 {
			flags |= pteNX
		}
		for va := s.vaddr; va < s.end(); va += pageSize {
			n := (va - base) / pageSize
			set(6+n/512, n%512, va-base|flags)
		}
	}

	copy(data[extraAddress(end)-base-bootPhys:], extra)

	const codeSegment64 = 0x00af9a000000ffff
	le.PutUint64(data[gdtOff+8:], codeSegment64)
	le.PutUint16(data[gdtrOff:], 2*8-1)
	le.PutUint32(data[gdtrOff+2:], bootPhys+gdtOff)

	code, linuxAt := trampoline(uint32(page(1)), bootPhys+gdtrOff, entry)
	copy(data, code)

	// The PVH note: type 18 (XEN_ELFNOTE_PHYS32_ENTRY) of "Xen". QEMU reads
	// the descriptor as a 64-bit word in a 64-bit file.
	note := data[noteOff:]
	le.PutUint32(note, 4)
	le.PutUint32(note[4:], 8)
	le.PutUint32(note[8:], 18)
	copy(note[12:], "Xen\x00")
	le.PutUint64(note[16:], bootPhys)

	return bootSegment{
		segment:    boot,
		pml4:       page(1),
		direct:     page(inFile),
		linuxEntry: bootPhys + linuxAt,
		noteOff:    noteOff,
		noteSize:   24,
	}
}

// extraAddress is the virtual address of the extra bytes of an image that ends
// at end.
func extraAddress(end uint64) uint64 {
	return base + bootPhys + (6+(end-base+1<<21-1)>>21)*pageSize
}

// trampoline returns the code at the start of the boot segment and the offset
// of its second entry point. It must be position-dependent machine code: Go's
// assembler has no 32-bit mode for this target.
//
// Entry 0, PVH: 32-bit protected mode without paging, start_info in EBX.
// Entry 1, Linux: 64-bit mode on the loader's page tables (which map this page
// one to one), boot_params in RSI.
// Both continue at the kernel's entry in 64-bit mode on the boot page tables,
// with the structure's physical address in RDI and the protocol (0 for PVH,
// 1 for Linux) in RSI.
func trampoline(pml4, gdtr uint32, entry uint64) (code []byte, linuxAt uint64) {
	var c []byte
	emit := func(b ...byte) { c = append(c, b...) }
	imm32 := func(v uint32) { c = binary.LittleEndian.AppendUint32(c, v) }

	pae := func() {
		emit(0x0f, 0x20, 0xe0) // mov eax, cr4
		emit(0x0d)             // or eax, PAE|OSFXSR|OSXMMEXCPT: Go uses SSE
		imm32(0x620)
		emit(0x0f, 0x22, 0xe0) // mov cr4, eax
	}
	efer := func() {
		emit(0xb9) // mov ecx, IA32_EFER
		imm32(0xc0000080)
		emit(0x0f, 0x32) // rdmsr
		emit(0x0d)       // or eax, NXE|LME|SCE
		imm32(0x901)
		emit(0x0f, 0x30) // wrmsr
	}
	paging := func() {
		emit(0xb8) // mov eax, pml4
		imm32(pml4)
		emit(0x0f, 0x22, 0xd8) // mov cr3, eax
		emit(0xb8)             // mov eax, PG|AM|WP|NE|ET|MP|PE
		imm32(0x80050033)
		emit(0x0f, 0x22, 0xc0) // mov cr0, eax
	}

	emit(0xfa, 0xfc)       // cli; cld
	emit(0x89, 0xdf)       // mov edi, ebx
	emit(0x31, 0xf6)       // xor esi, esi
	pae()                  // EFER.NXE before tables with NX bits are loaded
	efer()                 //
	paging()               //
	emit(0x0f, 0x01, 0x15) // lgdt [gdtr]
	imm32(gdtr)
	emit(0xea) // ljmp 8:long
	imm32(bootPhys + uint32(len(c)) + 6)
	emit(0x08, 0x00)

	long := len(c)
	emit(0x89, 0xff) // mov edi, edi: clear the upper half
	emit(0x48, 0xb8) // mov rax, entry
	c = binary.LittleEndian.AppendUint64(c, entry)
	emit(0xff, 0xe0) // jmp rax

	linuxAt = uint64(len(c))
	emit(0xfa, 0xfc)       // cli; cld
	emit(0x48, 0x89, 0xf7) // mov rdi, rsi
	emit(0xbe)             // mov esi, 1
	imm32(1)
	pae()
	efer()
	paging()
	emit(0xeb, byte(long-len(c)-2)) // jmp long
	return c, linuxAt
}
