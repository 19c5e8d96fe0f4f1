//go:build baremetal

package metal

import "math/bits"

// The clock is the TSC: nanoseconds = ((tsc - clockBase) * clockMult) >> 32.
// The three are set before the runtime starts and constant then.
var (
	clockBase  uint64
	clockMult  uint64
	clockEpoch int64 // nanoseconds since 1970 when the clock was zero
	tscHz      uint64
	apicHz     uint64 // of the LAPIC timer, undivided
)

// clockShift is the shift that Nanotime is written with.
const clockShift = 32

// Nanotime returns monotonic nanoseconds since boot.
func Nanotime() int64

func vdsoClockGettime()

// Clock returns how to make nanoseconds of the TSC, and whether it may be
// used everywhere: always here, for there is no other clock.
func Clock() (base, mult uint64, shift uint8) { return clockBase, clockMult, clockShift }

// initClock finds the TSC's frequency. A machine that tells it is believed;
// else it is measured against a timer of known rate.
func initClock() {
	if hz := commandNumber("tsc_hz="); hz != 0 {
		tscHz = hz
	} else {
		tscHz = reportedTSC()
	}
	if tscHz == 0 || apicHz == 0 {
		finishCalibration()
	}
	clockMult, _ = bits.Div64(1_000_000_000>>(64-clockShift), 1_000_000_000<<clockShift, tscHz)
	clockBase = rdtsc()
}

// reportedTSC returns the TSC's frequency if the processor or the hypervisor
// tells, else 0.
func reportedTSC() uint64 {
	if max, _, _, _ := cpuid(0x40000000, 0); (features.kvm || features.tcg) && max >= 0x40000010 && max < 0x40010000 {
		if khz, _, _, _ := cpuid(0x40000010, 0); khz != 0 {
			return uint64(khz) * 1000
		}
	}
	if features.kvm {
		if hz := kvmclockTSC(); hz != 0 {
			return hz
		}
	}
	if features.maxLeaf >= 0x15 {
		if den, num, crystal, _ := cpuid(0x15, 0); den != 0 && num != 0 && crystal != 0 {
			return uint64(crystal) * uint64(num) / uint64(den)
		}
	}
	return 0
}

// kvmclockTSC reads the TSC's frequency off KVM's paravirtual clock
// (Documentation/virt/kvm/x86/msr.rst), which is then turned off again.
func kvmclockTSC() uint64 {
	const (
		msrSystemTime = 0x4b564d01
		clocksource2  = 1 << 3
	)
	if a, _, _, _ := cpuid(0x40000001, 0); a&clocksource2 == 0 {
		return 0
	}
	pa := kernelFrame()
	wrmsr(msrSystemTime, pa|1)
	info := at[struct {
		version, pad uint32
		tsc, system  uint64
		mul          uint32
		shift        int8
		flags        uint8
		_            [2]uint8
	}](direct(pa))
	mul, shift := uint64(info.mul), info.shift
	wrmsr(msrSystemTime, 0)
	freeKernelFrame(pa)
	if mul == 0 {
		return 0
	}
	// ns = (tsc << shift) * mul >> 32, so Hz = 1e9 << 32 / mul >> shift.
	hz, _ := bits.Div64(1_000_000_000>>32, 1_000_000_000<<32&(1<<64-1), max(mul, 1))
	if shift < 0 {
		return hz << uint(-shift)
	}
	return hz >> uint(shift)
}

// The TSC is measured against the LAPIC timer of a hypervisor that is known
// to count nanoseconds, or, with the LAPIC timer itself, against channel 0 of
// the PIT (port 0x61 and channel 2 are not everywhere). The time that boot
// takes between the two samples serves as the window: only if it was shorter
// than that is there any waiting.
const (
	apicWindow = 5_000 // ns; boot takes longer but where it is counted
	pitWindow  = 2_400 // ticks, 2 ms
	pitHz      = 1_193_182
)

var firstSample struct {
	tsc     uint64
	counter uint32
	pit     uint16
}

// beginCalibration takes the first sample, as early as there is a LAPIC.
func beginCalibration() {
	s := &firstSample
	setAPICCounter(^uint32(0))
	if features.tcg || features.kvm {
		apicHz = 1_000_000_000
		s.tsc, s.counter = sampleAPIC()
		return
	}
	Out8(0x43, 0x34) // channel 0, both bytes, rate generator
	Out8(0x40, 0)
	Out8(0x40, 0)
	s.tsc, s.pit = samplePIT()
	s.counter = apicCounter()
}

// finishCalibration takes the second sample and does the sum.
func finishCalibration() {
	s := &firstSample
	if apicHz != 0 {
		for s.counter-apicCounter() < apicWindow {
			pause()
		}
		tsc, counter := sampleAPIC()
		setAPICCounter(0)
		tscHz = (tsc - s.tsc) * apicHz / uint64(s.counter-counter)
		return
	}
	ticks := func(now uint16) uint64 { return uint64(s.pit - now) }
	for range 1_000_000 { // a machine without a PIT must not hang here
		if _, now := readPIT(); ticks(now) >= pitWindow {
			break
		}
	}
	tsc, pit := samplePIT()
	counter := apicCounter()
	setAPICCounter(0)
	n := ticks(pit)
	if n < pitWindow || n > 60_000 {
		// No PIT either: a guess lets the machine run at least.
		n, tsc, counter = pitHz, s.tsc+1_000_000_000, s.counter-1_000_000_000
	}
	if tscHz == 0 {
		tscHz = (tsc - s.tsc) * pitHz / n
	}
	apicHz = uint64(s.counter-counter) * pitHz / n
}

// sampleAPIC returns the LAPIC timer's counter with the TSC at that moment:
// the read that took least time of several.
func sampleAPIC() (tsc uint64, counter uint32) {
	best := ^uint64(0)
	for range 8 {
		a := rdtsc()
		n := apicCounter()
		b := rdtsc()
		if b-a < best {
			best, tsc, counter = b-a, a+(b-a)/2, n
		}
	}
	return tsc, counter
}

func readPIT() (tsc uint64, count uint16) {
	Out8(0x43, 0) // latch channel 0
	lo := In8(0x40)
	return rdtsc(), uint16(lo) | uint16(In8(0x40))<<8
}

func samplePIT() (tsc uint64, count uint16) {
	best := ^uint64(0)
	for range 16 {
		a := rdtsc()
		_, n := readPIT()
		b := rdtsc()
		if b-a < best {
			best, tsc, count = b-a, a+(b-a)/2, n
		}
	}
	return tsc, count
}

// setTimer has this CPU's timer interrupt at monotonic time ns, or at once.
func setTimer(ns int64) {
	delta := max(ns-Nanotime(), 0)
	if features.tscDeadline && useDeadline {
		hi, lo := bits.Mul64(uint64(delta), tscHz)
		cycles, _ := bits.Div64(hi%1_000_000_000, lo, 1_000_000_000)
		wrmsr(msrTSCDeadline, rdtsc()+cycles+1)
		return
	}
	// The counter has 32 bits: a far deadline takes several interrupts.
	delta = min(delta, 2_000_000_000)
	setAPICCounter(uint32(min(uint64(delta)*apicHz/1_000_000_000+1, 1<<32-1)))
}

// BootTime returns the wall-clock time at which Nanotime was zero.
func BootTime() int64 { return clockEpoch }

// initEpoch reads the real-time clock (MC146818).
func initEpoch() {
	if s := commandNumber("epoch_ns="); s != 0 {
		clockEpoch = int64(s) - Nanotime()
		return
	}
	a := readRTC()
	for range 4 {
		b := readRTC()
		if a == b {
			break // not read across an update
		}
		a = b
	}
	if a.month == 0 || a.month > 12 || a.day == 0 || a.day > 31 {
		return // no clock
	}
	// The chip counts seconds. When the host started the monitor is nearer to
	// the truth, unless that was in an earlier second.
	now := max(a.unix()*1_000_000_000, int64(commandNumber("husk.launch_ns=")))
	clockEpoch = now - Nanotime()
}

type rtcTime struct{ second, minute, hour, day, month, year uint8 }

func readRTC() rtcTime {
	reg := func(n uint8) uint8 {
		Out8(0x70, n)
		return In8(0x71)
	}
	t := rtcTime{reg(0), reg(2), reg(4), reg(7), reg(8), reg(9)}
	b := reg(0xb)
	pm := t.hour & 0x80
	t.hour &= 0x7f
	if b&4 == 0 {
		for _, p := range []*uint8{&t.second, &t.minute, &t.hour, &t.day, &t.month, &t.year} {
			*p = *p>>4*10 + *p&15
		}
	}
	if b&2 == 0 && pm != 0 {
		t.hour = t.hour%12 + 12
	}
	return t
}

// unix returns the seconds since 1970; years count from 2000.
func (t rtcTime) unix() int64 {
	y, m := int64(t.year)+2000, int64(t.month)
	// Days since 1970-03-01 by Zeller's trick of starting years in March.
	if m <= 2 {
		y--
		m += 12
	}
	days := 365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + int64(t.day) - 1 - 719468
	return ((days*24+int64(t.hour))*60+int64(t.minute))*60 + int64(t.second)
}
