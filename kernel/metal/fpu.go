//go:build baremetal

package metal

import "sync/atomic"

// Extended state (x87, AVX and up) stays in the registers of the CPU that ran
// the context last, which owns it until another context needs it there. The
// XMM registers and MXCSR are saved and loaded at every exit and entry, since
// the kernel's Go code uses them; it never touches the rest.
//
// A context's state is kept in an area of one page: an XSAVE image in
// standard format, and in the page's last words the mark of the CPU that has
// the live state. The mark is written by that CPU with interrupts off.

const areaMark = 4088

// areaDebug is where an area has the breakpoints of its context: DR0 to DR3 and
// DR7. Loading another context's extended state loads them, so that changing
// from context to context need not ask for them.
const areaDebug = 4040

// SetDebug sets the breakpoints of a context whose state is not live.
func SetDebug(area uintptr, addr *[4]uint64, control uint64) {
	*at[[4]uint64](area + areaDebug) = *addr
	*at[uint64](area + areaDebug + 32) = control
}

// HasDebug reports whether an area has breakpoints.
func HasDebug(area uintptr) bool { return *at[uint64](area + areaDebug + 32) != 0 }

// fetchFPU brings the area's state into memory, wherever it is live. With
// drop set, no CPU owns it afterwards.
func fetchFPU(c *percpu, area uintptr, drop bool) {
	for {
		mark := atomic.LoadUint32(at[uint32](area + areaMark))
		if mark == 0 {
			return
		}
		if mark == c.mark {
			saveLive(area)
			if drop {
				atomic.StoreUint32(at[uint32](area+areaMark), 0)
				c.fpuOwner = 0
			}
			return
		}
		// The other CPU saves and disowns it. It may be evicting the
		// state at this moment, which the mark then shows.
		o := cpuAt(mark - 1)
		atomic.StoreUintptr(&o.fetch, area)
		sendIPI(o.apicID, vectorFetch)
		for atomic.LoadUintptr(&o.fetch) == area {
			serveFlush(c)
			serveFetch(c)
			pause()
		}
	}
}

// kcallNewArea returns a zeroed page for an extended state, a kernel address.
func kcallNewArea() uint64 { return uint64(direct(kernelFrame())) }

// wide says that 256-bit registers may be borrowed, with interrupts off, to
// move memory: AVX is enabled on every CPU, and AVX-512 is not, whose upper
// halves such instructions clear.
var wide bool

// serveFetch answers another CPU's request for a state that lives here.
func serveFetch(c *percpu) {
	area := atomic.LoadUintptr(&c.fetch)
	if area == 0 {
		return
	}
	if c.fpuOwner == area {
		saveLive(area)
		c.fpuOwner = 0
		atomic.StoreUint32(at[uint32](area+areaMark), 0)
	}
	atomic.StoreUintptr(&c.fetch, 0)
}
