//go:build baremetal

package metal

// trap handles an exception in ring 0. Page faults on memory that the kernel
// has promised are served; faults of Go code become signals, out of which the
// runtime makes panics; in metal itself nothing may fault.
func trap(f *Frame) {
	addr := readCR2()
	c := thisCPU()
	if c.inTrap != 0 {
		die("exception while handling an exception", uint64(addr), f)
	}
	c.inTrap = 1
	const present = 1
	faulting = addressOf(f)
	if f.Vector == 14 && f.Error&present == 0 && demand(addr) {
		c.inTrap = 0
		return
	}
	sig, code := uint32(0), int32(0)
	switch f.Vector {
	case 0: // #DE
		sig, code, addr = sigFPE, 1, uintptr(f.RIP)
	case 3: // #BP
		sig, code, addr = sigTRAP, 1, uintptr(f.RIP)
	case 6: // #UD
		sig, code, addr = sigILL, 2, uintptr(f.RIP)
	case 13: // #GP: a non-canonical address, most likely
		sig, code, addr = sigSEGV, 0x80, 0
	case 14:
		sig, code = sigSEGV, 1
	case 16, 19: // #MF, #XM
		sig, code, addr = sigFPE, 7, uintptr(f.RIP)
	case 17: // #AC
		sig, code, addr = sigBUS, 1, uintptr(f.RIP)
	}
	// Depth 1 is code that metal does not call: the runtime and above.
	if sig == 0 || c.depth != 1 || c.current == c.idle {
		die("unexpected exception in the kernel", uint64(readCR2()), f)
	}
	t := current(c)
	if t.mask&(1<<(sig-1)) != 0 {
		die("exception with its signal blocked", uint64(readCR2()), f)
	}
	xmm := at[[256]byte](addressOf(f) - 256)
	if !pushSignal(t, f, xmm, sig, code, addr) {
		die("exception before there are signal handlers", uint64(readCR2()), f)
	}
	c.inTrap = 0
}

// paranoid handles what may come at any time: see paranoidEntry.
func paranoid(f *Frame) {
	switch f.Vector {
	case 1:
		// A debug exception in ring 0 can only be a leftover of ring 3.
	case 2:
		if dying != 0 {
			haltForever()
		}
		// No device here sends NMIs; a stray one is not worth dying for.
	case 8:
		die("double fault", 0, f)
	case 18:
		die("machine check", 0, f)
	}
}
