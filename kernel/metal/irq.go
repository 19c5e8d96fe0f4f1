//go:build baremetal

package metal

import "sync/atomic"

// Device interrupts. Each line in use has a slot, a bit in pendingIRQ and a
// vector. The interrupt sets the bit; a goroutine of package cpu takes it and
// calls the handler: the one that was interrupted in ring 3, or the one that
// is about to enter ring 3 (Switch looks), or, when there is none, the reader
// of the interrupt descriptor, which wakes through the runtime's netpoller.

const (
	irqSlots     = 62
	pressureSlot = 62 // memory is nearly used up
	alarmSlot    = 63 // the alarm of package cpu; both are no interrupt lines
)

var (
	// pendingIRQ is one bit per slot that waits. Set in metal, taken by
	// TakeIRQs on any goroutine.
	pendingIRQ uint64

	irqLine  [irqSlots]uint32 // global system interrupt plus one, 0 for unused
	irqLevel [irqSlots]bool
)

// raiseIRQ notes that the slot's handler must run. From ring 3 the goroutine
// in Switch will see to it; otherwise whoever polls is told.
func raiseIRQ(c *percpu, slot uint) {
	setPending(slot)
	f := &files[IRQDescriptor]
	f.news = true
	if c.current != c.idle && current(c).frame.RIP == switchReturnPC {
		return
	}
	wakePoller()
}

// setPending sets the slot's bit. Unlike the rest it needs no lock.
func setPending(slot uint) {
	for {
		old := atomic.LoadUint64(&pendingIRQ)
		if old&(1<<slot) != 0 || atomic.CompareAndSwapUint64(&pendingIRQ, old, old|1<<slot) {
			return
		}
	}
}

// switchReturnPC is where a thread continues whose ring 3 was interrupted.
var switchReturnPC uint64

func irqWaiting() bool { return atomic.LoadUint64(&pendingIRQ) != 0 }

// announceIRQ wakes the reader of the interrupt descriptor.
func announceIRQ() bool {
	files[IRQDescriptor].news = true
	return wakePoller()
}

// deviceInterrupt handles a vector of a line. Level-triggered lines stay
// masked until their handler has run.
func deviceInterrupt(c *percpu, slot uint) {
	if irqLevel[slot] {
		maskLine(irqLine[slot]-1, true)
	}
	raiseIRQ(c, slot)
}

// kcallOpenIRQ routes a global system interrupt to a slot and returns it, or
// an errno.
func kcallOpenIRQ(gsi uint32) uint64 {
	free := -1
	for s := range irqSlots {
		if irqLine[s] == gsi+1 {
			return uint64(s)
		}
		if irqLine[s] == 0 && free < 0 {
			free = s
		}
	}
	if free < 0 {
		return errno(enospc)
	}
	level, ok := routeLine(gsi, vectorIRQ+uint32(free))
	if !ok {
		return errno(enodev)
	}
	irqLine[free] = gsi + 1
	irqLevel[free] = level
	maskLine(gsi, false)
	return uint64(free)
}

// kcallOpenMSI returns a slot for message-signalled interrupts, or an errno.
func kcallOpenMSI() uint64 {
	for s := range irqSlots {
		if irqLine[s] == 0 {
			irqLine[s] = ^uint32(0)
			return uint64(s)
		}
	}
	return errno(enospc)
}

// kcallHandledIRQ unmasks a level-triggered line after its handler has run.
func kcallHandledIRQ(slot uint) {
	if slot < irqSlots && irqLevel[slot] {
		maskLine(irqLine[slot]-1, false)
	}
}

// Kinds of interrupts, as Interrupts counts them.
const (
	TimerInterrupts = iota
	RescheduleInterrupts
	FlushInterrupts
	FetchInterrupts
	OtherInterrupts
)

func interruptKind(vector uint32) uint32 {
	return min(vector-vectorTimer, OtherInterrupts)
}

const (
	_ = uint(vectorReschedule - vectorTimer - RescheduleInterrupts)
	_ = uint(vectorFlush - vectorTimer - FlushInterrupts)
	_ = uint(vectorFetch - vectorTimer - FetchInterrupts)
)

// Interrupts is how many interrupts of a kind a CPU has taken.
func Interrupts(cpu, kind int) uint64 { return cpuAt(uint32(cpu)).taken[kind] }
