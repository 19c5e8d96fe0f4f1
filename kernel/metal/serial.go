//go:build baremetal

package metal

// The first serial port, a 16550. It is for the kernel's own messages.
const (
	com1    = 0x3f8
	comLCR  = com1 + 3
	comLSR  = com1 + 5
	lsrTHRE = 0x20
)

func initSerial() {
	Out8(com1+1, 0)    // no interrupts
	Out8(comLCR, 0x80) // divisor
	Out8(com1, 1)      // 115200 baud
	Out8(com1+1, 0)
	Out8(comLCR, 3)    // 8n1
	Out8(com1+2, 0xc7) // FIFOs
	Out8(com1+4, 0x0b) // DTR, RTS, OUT2
}

func putc(b byte) {
	// A port that is not there reads as all ones, a dead one as zeros:
	// neither may hold up the kernel.
	for range 100_000 {
		if In8(comLSR)&lsrTHRE != 0 {
			break
		}
	}
	Out8(com1, b)
}
