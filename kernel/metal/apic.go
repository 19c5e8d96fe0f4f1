//go:build baremetal

package metal

// The local APIC (Intel SDM vol. 3, chapter 11), by MSRs where there is an
// x2APIC, else through its page.

const (
	msrAPICBase    = 0x1b
	msrX2APIC      = 0x800
	msrTSCDeadline = 0x6e0

	apicID        = 0x20
	apicTPR       = 0x80
	apicEOI       = 0xb0
	apicSpurious  = 0xf0
	apicICRLow    = 0x300
	apicICRHigh   = 0x310
	apicTimer     = 0x320
	apicLINT0     = 0x350
	apicLINT1     = 0x360
	apicErrorLVT  = 0x370
	apicInitial   = 0x380
	apicCurrent   = 0x390
	apicDivide    = 0x3e0
	apicESR       = 0x280
	lvtMasked     = 1 << 16
	lvtDeadline   = 2 << 17
	icrPending    = 1 << 12
	icrAssert     = 1 << 14
	icrInit       = 5 << 8
	icrStartup    = 6 << 8
	apicBaseX2    = 1 << 10
	apicBaseOn    = 1 << 11
	apicSoftwareO = 1 << 8
)

var (
	apicPage    uintptr // the mapped registers, xAPIC only
	x2apic      bool
	useDeadline bool
)

func apicRead(reg uint32) uint32 {
	if x2apic {
		return uint32(rdmsr(msrX2APIC + reg>>4))
	}
	return *at[uint32](apicPage + uintptr(reg))
}

func apicWrite(reg, v uint32) {
	if x2apic {
		wrmsr(msrX2APIC+reg>>4, uint64(v))
		return
	}
	mmioWrite(apicPage+uintptr(reg), v)
}

// The mask registers of the two 8259 interrupt controllers, where there are.
const (
	pic1Mask = 0x21
	pic2Mask = 0xa1
)

// initAPIC enables this CPU's local APIC; the first call maps it.
func initAPIC(c *percpu) {
	base := rdmsr(msrAPICBase)
	x2apic = features.x2apic
	if !x2apic && apicPage == 0 {
		apicPage = mapMMIO(base&pteAddr, pageSize)
	}
	// Firmware leaves the 8259s open, with vectors that are ours for
	// exceptions. Closed while LINT0 still lets them through, they take an
	// interrupt back that is already asserted; with LINT0 masked first, QEMU
	// keeps it and raises #GP for want of a vector once interrupts are on.
	Out8(pic1Mask, 0xff)
	Out8(pic2Mask, 0xff)
	// Two steps: x2APIC mode must not be entered from "disabled".
	base |= apicBaseOn
	wrmsr(msrAPICBase, base)
	if x2apic {
		wrmsr(msrAPICBase, base|apicBaseX2)
	}
	apicWrite(apicTPR, 0)
	apicWrite(apicSpurious, apicSoftwareO|vectorSpurious)
	apicWrite(apicLINT0, lvtMasked)
	apicWrite(apicLINT1, 4<<8) // NMI
	apicWrite(apicErrorLVT, lvtMasked)
	apicWrite(apicDivide, 0xb) // undivided
	id := apicRead(apicID)
	if !x2apic {
		id >>= 24
	}
	c.apicID = id
	useDeadline = features.tscDeadline && !features.tcg
	if useDeadline {
		apicWrite(apicTimer, vectorTimer|lvtDeadline)
	} else {
		apicWrite(apicTimer, vectorTimer)
	}
}

// setAPICCounter starts the timer's count down from n; 0 stops it.
func setAPICCounter(n uint32) { apicWrite(apicInitial, n) }

func apicCounter() uint32 { return apicRead(apicCurrent) }

func endOfInterrupt() { apicWrite(apicEOI, 0) }

func sendIPI(id, vector uint32) { sendICR(id, vector|icrAssert) }

func sendICR(id, low uint32) {
	if x2apic {
		wrmsr(msrX2APIC+apicICRLow>>4, uint64(id)<<32|uint64(low))
		return
	}
	for range 100_000 {
		if apicRead(apicICRLow)&icrPending == 0 {
			break
		}
	}
	apicWrite(apicICRHigh, id<<24)
	apicWrite(apicICRLow, low)
}
