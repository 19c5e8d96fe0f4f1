//go:build baremetal

package metal

import (
	"sync/atomic"
	"unsafe"
)

// Starting the other processors (Intel SDM vol. 3, 9.4): INIT, then a startup
// IPI that names the page below 1 MiB where they begin in real mode.

// processor is the memory of a CPU that is started later.
type processor struct {
	cpu    percpu
	_      [pageSize - unsafe.Sizeof(percpu{})]byte
	stack  [16384]byte
	stacks exceptionStacks
}

// States of percpu.online.
const (
	cpuStarting  = 0
	cpuOnline    = 1
	cpuAbandoned = 2
)

// startTimeout is how long a processor may take to report. An emulator that
// shares one host CPU among many may take seconds.
const startTimeout = 5_000_000_000

// startProcessors starts what the firmware's tables name, one by one. Those
// that do not come are done without.
func startProcessors() {
	if machine.cpuCount <= 1 {
		return
	}
	page := trampolinePage()
	for _, id := range machine.apicIDs[:machine.cpuCount] {
		if id == cpu0.apicID || ncpu == maxCPUs {
			continue
		}
		pa := kcallAllocContiguous(uint64(unsafe.Sizeof(processor{})+pageSize-1) / pageSize)
		if pa == 0 {
			return
		}
		p := at[processor](direct(pa))
		c := &p.cpu
		c.init(ncpu)
		c.apicID = id
		c.stack = top(&p.stack)
		c.root = kernelRoot
		writeTrampoline(page, addressOf(c))
		if startProcessor(c, page) {
			ncpu++
		}
	}
}

func startProcessor(c *percpu, page uint64) bool {
	sendICR(c.apicID, icrInit|icrAssert)
	if !features.tcg && !features.kvm {
		spin(10_000_000)
	}
	for range 2 {
		sendICR(c.apicID, icrStartup|icrAssert|uint32(page>>12))
		for start := Nanotime(); Nanotime()-start < 200_000; pause() {
			if atomic.LoadUint32(&c.online) == cpuOnline {
				return true
			}
		}
	}
	for start := Nanotime(); Nanotime()-start < startTimeout; pause() {
		if atomic.LoadUint32(&c.online) == cpuOnline {
			return true
		}
	}
	return !atomic.CompareAndSwapUint32(&c.online, cpuStarting, cpuAbandoned)
}

func spin(ns int64) {
	for start := Nanotime(); Nanotime()-start < ns; {
		pause()
	}
}

// startAP brings up the processor that runs it, as far as its idle thread.
func startAP() {
	c := thisCPU()
	p := at[processor](addressOf(c))
	loadDescriptors(c, &p.stacks)
	enableFeatures(c)
	enableXSAVE(c)
	initAPIC(c)
	c.makeIdle(&p.stacks)
	if !atomic.CompareAndSwapUint32(&c.online, cpuStarting, cpuOnline) {
		haltForever()
	}
}

// trampolinePage returns four free pages below 640 KiB. All that lies there
// is what the boot loader left, of which only the command line still counts.
func trampolinePage() uint64 {
	const pages = 4 * pageSize
	page := uint64(0x8000)
	if boot.cmdline < page+pages && boot.cmdline+uint64(boot.cmdlineLen) >= page {
		page = 0x40000
	}
	return page
}

// writeTrampoline writes the code with which a processor gets from real mode
// to apEntry with the address of its percpu structure in BX, and behind it
// page tables that have the page itself mapped one to one.
func writeTrampoline(page uint64, cpu uintptr) {
	const (
		gdt    = 0x100
		gdtr   = 0x130
		pml4   = 0x1000
		flags  = ptePresent | pteWrite
		code32 = 0x20
		code64 = 0x60
	)
	zeroPage(direct(page))
	code := at[[pageSize]byte](direct(page))
	n := 0
	emit := func(bytes ...byte) {
		for _, b := range bytes {
			code[n] = b
			n++
		}
	}
	imm := func(v uint64, size int) {
		for i := range size {
			code[n] = byte(v >> (8 * i))
			n++
		}
	}

	emit(0xfa, 0xfc)                   // cli; cld
	emit(0x8c, 0xc8, 0x8e, 0xd8)       // mov ax, cs; mov ds, ax
	emit(0x66, 0x0f, 0x01, 0x16)       // lgdt [gdtr]
	imm(gdtr, 2)                       //
	emit(0x0f, 0x20, 0xc0, 0x0c, 0x01) // mov eax, cr0; or al, PE
	emit(0x0f, 0x22, 0xc0)             // mov cr0, eax
	emit(0x66, 0xea)                   // ljmp 8:code32
	imm(page+code32, 4)
	imm(0x08, 2)

	n = code32
	emit(0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8) // mov ax, 0x10; mov ds, ax
	emit(0x0f, 0x20, 0xe0, 0x0d)             // mov eax, cr4; or eax,
	imm(0x620, 4)                            // PAE|OSFXSR|OSXMMEXCPT
	emit(0x0f, 0x22, 0xe0)                   // mov cr4, eax
	emit(0xb9)                               // mov ecx, IA32_EFER
	imm(msrEFER, 4)
	emit(0x0f, 0x32, 0x0d) // rdmsr; or eax,
	imm(0x901, 4)          // NXE|LME|SCE
	emit(0x0f, 0x30, 0xb8) // wrmsr; mov eax,
	imm(page+pml4, 4)
	emit(0x0f, 0x22, 0xd8, 0xb8) // mov cr3, eax; mov eax,
	imm(0x80050033, 4)           // PG|AM|WP|NE|ET|MP|PE
	emit(0x0f, 0x22, 0xc0, 0xea) // mov cr0, eax; ljmp 0x18:code64
	imm(page+code64, 4)
	imm(0x18, 2)

	n = code64
	emit(0x48, 0xbb) // mov rbx, cpu
	imm(uint64(cpu), 8)
	emit(0x48, 0xb8) // mov rax, apEntry
	imm(uint64(apEntryAddr()), 8)
	emit(0xff, 0xe0) // jmp rax

	n = gdt
	imm(0, 8)
	imm(0x00cf9a000000ffff, 8) // 0x08: 32-bit code
	imm(0x00cf92000000ffff, 8) // 0x10: data
	imm(0x00af9a000000ffff, 8) // 0x18: 64-bit code
	n = gdtr
	imm(4*8-1, 2)
	imm(page+gdt, 4)

	tables := page + pml4
	*table(tables) = *table(kernelRoot)
	table(tables)[0] = tables + pageSize | flags
	zeroPage(direct(tables + pageSize))
	table(tables + pageSize)[0] = tables + 2*pageSize | flags
	zeroPage(direct(tables + 2*pageSize))
	table(tables + 2*pageSize)[0] = 0 | flags | pteLarge
}
