package netstack

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"husk/kernel/clock"
)

func TestClockAgreesWithTcpip(t *testing.T) {
	before := clock.Now()
	now := newClock().NowMonotonic()
	after := clock.Now()
	least, most := tcpip.MonotonicTime{}.Add(time.Duration(before)), tcpip.MonotonicTime{}.Add(time.Duration(after))
	if now.Before(least) || now.After(most) {
		t.Errorf("%v is not between %v and %v", now, least, most)
	}
	if d := now.Sub(tcpip.MonotonicTime{}); int64(d) < before || int64(d) > after {
		t.Errorf("%v since boot, %d to %d by the kernel's clock", d, before, after)
	}
}
