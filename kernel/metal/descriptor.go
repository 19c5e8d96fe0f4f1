//go:build baremetal

package metal

import "unsafe"

// Interrupt stack table slots. Slot 1 is not a stack but the frame of the
// current thread (setCurrent keeps it up to date).
const (
	istInterrupt = 1
	istException = 2
	istDebug     = 3
	istNMI       = 4
	istDouble    = 5
	istMachine   = 6
)

// Vectors of our own; devices have those from vectorIRQ on.
const (
	vectorIRQ        = 32
	vectorTimer      = 96
	vectorReschedule = 97
	vectorFlush      = 98
	vectorFetch      = 99
	vectorHalt       = 100
	vectorSpurious   = 103

	vectorCount = 104
)

// gate is one IDT entry (Intel SDM vol. 3, 6.14.1).
type gate struct{ lo, hi uint64 }

var idt [vectorCount]gate

func buildIDT() {
	base := vectorsAddr()
	for n := range uintptr(vectorCount) {
		var ist, dpl uint64 = istException, 0
		switch {
		case n >= 32:
			ist = istInterrupt
		case n == 1:
			ist = istDebug
		case n == 2:
			ist = istNMI
		case n == 8:
			ist = istDouble
		case n == 18:
			ist = istMachine
		case n == 3 || n == 4: // INT3 and INTO are for programs
			dpl = 3
		}
		addr := uint64(base + n*16)
		idt[n] = gate{
			lo: addr&0xffff | 0x10<<16 | ist<<32 | (0x8e|dpl<<5)<<40 | addr>>16&0xffff<<48,
			hi: addr >> 32,
		}
	}
}

// exceptionStacks is what a CPU needs beside its percpu structure: a stack
// per IST slot but the first. Those of paranoid entries carry the percpu
// structure's address above their top.
type exceptionStacks struct {
	exception [4096]byte
	debug     [2048]byte
	nmi       [2048]byte
	double    [2048]byte
	machine   [2048]byte
	idle      [512]byte
}

var exceptionStacks0 exceptionStacks

// loadDescriptors fills in the CPU's GDT and TSS and loads them.
func loadDescriptors(c *percpu, s *exceptionStacks) {
	tss := addressOf(&c.tss)
	c.gdt = [10]uint64{
		2: 0x00af9b000000ffff, // kernel code, 0x10
		3: 0x00cf93000000ffff, // kernel data, 0x18
		4: 0x00cf7b000000ffff, // 32-bit user code, 0x23: not present, see below
		5: 0x00cff3000000ffff, // user data, 0x2b
		6: 0x00affb000000ffff, // user code, 0x33
		8: 103 | uint64(tss)&0xffffff<<16 | 0x89<<40 | uint64(tss)>>24&0xff<<56,
		9: uint64(tss) >> 32,
	}
	// The numbers are Linux's, since programs see them. 32-bit code is not
	// offered: the descriptor's present bit is clear, a far jump faults.
	setTSS := func(off, v uintptr) {
		c.tss[off/4] = uint32(v)
		c.tss[off/4+1] = uint32(v >> 32)
	}
	setTSS(36+8*(istException-1), top(&s.exception))
	paranoid := func(ist uintptr, stack *[2048]byte) {
		t := top(stack) - 16
		*at[uintptr](t) = addressOf(c)
		setTSS(36+8*(ist-1), t)
	}
	paranoid(istDebug, &s.debug)
	paranoid(istNMI, &s.nmi)
	paranoid(istDouble, &s.double)
	paranoid(istMachine, &s.machine)
	c.tss[102/4] = 104 << 16 // no I/O permission map

	var gdtr, idtr [5]uint16
	setPointer(&gdtr, addressOf(&c.gdt), unsafe.Sizeof(c.gdt))
	setPointer(&idtr, addressOf(&idt), unsafe.Sizeof(idt))
	loadTables(addressOf(&gdtr), addressOf(&idtr))
}

func setPointer(p *[5]uint16, addr, size uintptr) {
	p[0] = uint16(size - 1)
	for i := range 4 {
		p[1+i] = uint16(addr >> (16 * i))
	}
}

func top[T any](s *T) uintptr { return (addressOf(s) + unsafe.Sizeof(*s)) &^ 15 }

// setIST1 makes the interrupt stack the frame that ends at addr.
func (c *percpu) setIST1(addr uintptr) {
	c.tss[36/4] = uint32(addr)
	c.tss[36/4+1] = uint32(addr >> 32)
}
