package clock

import (
	"sync"

	"husk/kernel/cpu"
)

// Timer calls a function at a deadline, once or periodically. The zero value
// must be given its function with Init before it is started. All methods may
// be called from any goroutine and with any lock held but the timers' own.
type Timer struct {
	f func(expirations uint64)

	// Guarded by timers.mu.
	due    int64 // monotonic
	period int64
	at     int  // index in the heap plus one; 0 when not armed
	real   bool // due follows settings of real time
}

// NewTimer returns a stopped timer that will call f.
func NewTimer(f func(expirations uint64)) *Timer { return &Timer{f: f} }

// Init sets the function of a timer that was never started. f runs on the
// timer goroutine without a lock held, must not block, and is told how often
// the timer has expired since its last call: more than once when a periodic
// timer fell behind.
func (t *Timer) Init(f func(expirations uint64)) { t.f = f }

// Start arms the timer for a monotonic deadline, replacing an earlier setting.
// A period above 0 re-arms it each time. A deadline of Never leaves it stopped.
func (t *Timer) Start(deadline, period int64) { timers.start(t, deadline, period, false) }

// StartReal arms the timer for a deadline on the real-time clock, which moves
// when that clock is set.
func (t *Timer) StartReal(deadline, period int64) { timers.start(t, deadline, period, true) }

// Stop disarms the timer and reports whether it was armed. Its function may
// still be running, or be about to, when Stop returns.
func (t *Timer) Stop() bool {
	timers.mu.Lock()
	armed := t.at != 0
	if armed {
		timers.remove(t.at - 1)
	}
	timers.mu.Unlock()
	return armed
}

// Remaining returns the time until the next expiry, 0 when disarmed and at
// least 1 when armed, and the period.
func (t *Timer) Remaining() (left, period int64) {
	timers.mu.Lock()
	defer timers.mu.Unlock()
	if t.at == 0 {
		return 0, t.period
	}
	return max(t.due-Now(), 1), t.period
}

// heap is a binary heap of armed timers ordered by due time. The due times
// stand beside the pointers so that sifting stays within the slice.
type heap struct {
	mu      sync.Mutex
	e       []entry
	alarm   int64 // what SetAlarm was last told and has not happened; Never if none
	running bool  // the goroutine exists
	serving bool  // the goroutine is at work and will set the alarm itself
	offset  int64 // RealtimeOffset that real timers' due times assume
}

type entry struct {
	due int64
	t   *Timer
}

var timers = heap{alarm: Never}

func (h *heap) start(t *Timer, deadline, period int64, real bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		h.running = true
		h.offset = RealtimeOffset()
		go h.serve()
	}
	if t.at != 0 {
		h.remove(t.at - 1)
	}
	t.period, t.real = period, real
	if deadline == Never {
		return
	}
	if real {
		deadline -= h.offset
	}
	t.due = deadline
	h.e = append(h.e, entry{deadline, t})
	h.up(len(h.e) - 1)
	h.arm()
}

// arm makes the machine's alarm go off in time for the first timer.
func (h *heap) arm() {
	if h.serving || len(h.e) == 0 || h.e[0].due >= h.alarm {
		return
	}
	h.alarm = h.e[0].due
	cpu.SetAlarm(h.alarm)
}

// serve is the timer goroutine. It lives as long as the machine.
func (h *heap) serve() {
	for {
		cpu.WaitAlarm()
		h.mu.Lock()
		h.serving, h.alarm = true, Never
		for len(h.e) > 0 {
			now := Now()
			t := h.e[0].t
			if t.due > now {
				break
			}
			n := uint64(1)
			if t.period > 0 {
				late := (now - t.due) / t.period
				n += uint64(late)
				t.due = Add(t.due, (late+1)*t.period)
				h.e[0].due = t.due
				h.down(0)
			} else {
				h.remove(0)
			}
			f := t.f
			h.mu.Unlock()
			f(n)
			h.mu.Lock()
		}
		h.serving = false
		h.arm()
		h.mu.Unlock()
	}
}

// rebase moves the real timers after real time was set.
func (h *heap) rebase() {
	h.mu.Lock()
	defer h.mu.Unlock()
	offset := RealtimeOffset()
	delta := offset - h.offset
	h.offset = offset
	for i := range h.e {
		if t := h.e[i].t; t.real {
			t.due -= delta
			h.e[i].due = t.due
		}
	}
	for i := len(h.e)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	h.arm()
}

func (h *heap) remove(i int) {
	h.e[i].t.at = 0
	last := len(h.e) - 1
	moved := h.e[last]
	h.e[last] = entry{}
	h.e = h.e[:last]
	if i == last {
		return
	}
	h.e[i] = moved
	moved.t.at = i + 1
	if !h.down(i) {
		h.up(i)
	}
}

func (h *heap) up(i int) {
	x := h.e[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h.e[parent].due <= x.due {
			break
		}
		h.e[i] = h.e[parent]
		h.e[i].t.at = i + 1
		i = parent
	}
	h.e[i] = x
	x.t.at = i + 1
}

// down sifts element i towards the leaves and reports whether it moved.
func (h *heap) down(i int) bool {
	x, from := h.e[i], i
	for {
		c := 2*i + 1
		if c >= len(h.e) {
			break
		}
		if r := c + 1; r < len(h.e) && h.e[r].due < h.e[c].due {
			c = r
		}
		if h.e[c].due >= x.due {
			break
		}
		h.e[i] = h.e[c]
		h.e[i].t.at = i + 1
		i = c
	}
	h.e[i] = x
	x.t.at = i + 1
	return i != from
}
