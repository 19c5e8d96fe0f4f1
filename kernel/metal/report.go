//go:build baremetal

package metal

import "sync/atomic"

// Statuses with which a dying kernel leaves through the debug-exit device.
// A Go panic ends in exit_group(2) and has status 2.
const StatusTrap = 0x7e

var dying uint32

// die reports that the kernel cannot go on and stops the machine. It trusts
// nothing: no locks, no allocation.
func die(reason string, value uint64, f *Frame) {
	if !atomic.CompareAndSwapUint32(&dying, 0, 1) {
		haltForever()
	}
	haltOthers()
	printString("\nhusk: kernel: ")
	printString(reason)
	printString(" (")
	printHex(value)
	printString(")\n")
	if f != nil {
		printFrame(f)
	}
	powerOff(StatusTrap)
}

func printFrame(f *Frame) {
	c := thisCPU()
	reg := func(name string, v uint64) {
		printString(name)
		printHex(v)
	}
	reg("vector ", f.Vector)
	reg(" error ", f.Error)
	reg(" cpu ", uint64(c.id))
	reg(" thread ", uint64(c.current))
	reg(" depth ", uint64(c.depth))
	reg("\nrip ", f.RIP)
	reg(" rsp ", f.RSP)
	reg(" rflags ", f.RFLAGS)
	reg("\nrax ", f.RAX)
	reg(" rbx ", f.RBX)
	reg(" rcx ", f.RCX)
	reg(" rdx ", f.RDX)
	reg("\nrsi ", f.RSI)
	reg(" rdi ", f.RDI)
	reg(" rbp ", f.RBP)
	reg(" r8 ", f.R8)
	reg("\nr9 ", f.R9)
	reg(" r10 ", f.R10)
	reg(" r11 ", f.R11)
	reg(" r12 ", f.R12)
	reg("\nr13 ", f.R13)
	reg(" r14 ", f.R14)
	reg(" r15 ", f.R15)
	printString("\n\n")
	printFunction(uintptr(f.RIP))
	printStack(uintptr(f.RSP))
}

// printStack prints every word on the stack that looks like a return address:
// without trust in frames there is no better backtrace.
func printStack(sp uintptr) {
	lines := 0
	for i := uintptr(0); i < 512 && lines < 32; i++ {
		p := (sp &^ 7) + i*8
		if !mapped(p) {
			return
		}
		if v := *at[uintptr](p); uint64(v) >= image.textStart && uint64(v) < image.textEnd {
			printFunction(v - 1)
			lines++
		}
	}
}

// mapped reports whether a kernel address can be read.
func mapped(p uintptr) bool {
	if p >= directBase && uint64(p-directBase) < directEnd {
		return true
	}
	if p < 1<<47 {
		return false
	}
	e := findEntry(p)
	return e != nil && *e&ptePresent != 0
}

func printFunction(pc uintptr) {
	if uint64(pc) < image.textStart || uint64(pc) >= image.textEnd {
		return
	}
	printString("\t")
	printHex(uint64(pc))
	if name, entry := functionAt(pc); name != 0 {
		printString(" ")
		for ; *at[byte](name) != 0; name++ {
			putc(*at[byte](name))
		}
		printString("+")
		printHex(uint64(pc - entry))
	}
	printString("\n")
}

// functionAt returns the address of the NUL-terminated name of the function
// that pc is in, and its entry, out of the runtime's tables
// (runtime/symtab.go): runtime.FuncForPC needs a g. The lint's tests check
// that this still agrees with the toolchain.
func functionAt(pc uintptr) (name, entry uintptr) {
	const go120magic = 0xfffffff1
	header := uintptr(image.pclntab)
	if header == 0 || *at[uint32](header) != go120magic {
		return 0, 0
	}
	word := func(n uintptr) uintptr { return *at[uintptr](header + 8 + n*8) }
	functions, names, table := word(0), header+word(3), header+word(7)
	if uint64(pc) < image.text {
		return 0, 0
	}
	off := uint32(uint64(pc) - image.text)
	lo, hi := uintptr(0), functions
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if *at[uint32](table + mid*8) <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	f := table + uintptr(*at[uint32](table + lo*8 + 4))
	return names + uintptr(*at[uint32](f + 4)), uintptr(image.text) + uintptr(*at[uint32](f))
}

func printString(s string) {
	for i := range len(s) {
		putc(s[i])
	}
}

func printHex(v uint64) {
	const digits = "0123456789abcdef"
	putc('0')
	putc('x')
	shift := 60
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		putc(digits[v>>shift&15])
	}
}

// exitGroup ends the machine as exit_group(2) ends a process.
func exitGroup(status uint8) {
	atomic.StoreUint32(&dying, 1)
	haltOthers()
	powerOff(status)
}

// debugExit is the port of QEMU's isa-debug-exit device: a byte v written to
// it ends QEMU with status 2v+1.
const debugExit = 0xf4

// powerOff stops the machine: by the debug-exit device where there is one,
// then by the keyboard controller's reset line (microvm, Firecracker), then
// by a triple fault, which resets every machine.
func powerOff(status uint8) {
	Out8(debugExit, status)
	Out8(0x64, 0xfe)
	for range 1000 {
		pause()
	}
	var none [5]uint16
	loadTables(addressOf(&none), addressOf(&none))
	haltForever()
}
