package netstack

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"

	"husk/kernel/clock"
)

// kernelClock is the stack's clock: its own but for the time since boot, which
// it asks for a dozen times a segment. To make it with tcpip's means takes
// 200 instructions each time.
type kernelClock struct{ tcpip.Clock }

func newClock() tcpip.Clock { return kernelClock{tcpip.NewStdClock()} }

// NowMonotonic implements tcpip.Clock.
func (kernelClock) NowMonotonic() tcpip.MonotonicTime {
	// A MonotonicTime is nanoseconds in an int64 and nothing else: the
	// compiler checks its size, TestClockAgreesWithTcpip the rest.
	now := clock.Now()
	return *(*tcpip.MonotonicTime)(unsafe.Pointer(&now))
}

const _ = -(unsafe.Sizeof(tcpip.MonotonicTime{}) - 8)
