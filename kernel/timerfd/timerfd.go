// Package timerfd is timerfd_create(2): a timer whose expirations are read.
//
// A periodic timer runs in the kernel one expiration at a time: the rest are
// counted when somebody looks, so that an interval of a nanosecond costs no
// more than one of an hour.
//
// Locks: timer.mu, then clock's timers. The list of timers that are cancelled
// by setting the clock has a mutex of its own, taken before timer.mu.
package timerfd

import (
	"encoding/binary"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

const (
	absTime     = 1 // TFD_TIMER_ABSTIME
	cancelOnSet = 2 // TFD_TIMER_CANCEL_ON_SET
	setTicks    = 0x40085400
)

type timer struct {
	vfs.BaseOps
	clockID int32
	real    bool // follows settings of the real-time clock

	mu       sync.Mutex
	t        clock.Timer
	armed    bool  // due is meaningful and has not been counted
	due      int64 // on the timer's own clock
	interval int64
	ticks    uint64
	flags    int
	watched  bool // in the list of those cancelled by setting the clock
	canceled bool
	queue    wait.Queue
}

// New serves timerfd_create(2).
func New(c vfs.Caller, clockID int32, flags int) (*vfs.File, error) {
	if flags&^(unix.TFD_CLOEXEC|unix.TFD_NONBLOCK) != 0 {
		return nil, unix.EINVAL
	}
	t := &timer{clockID: clockID}
	switch clockID {
	case unix.CLOCK_REALTIME:
		t.real = true
	case unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME:
	case unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
		if !c.Cred().Has(unix.CAP_WAKE_ALARM) {
			return nil, unix.EPERM
		}
		t.real = clockID == unix.CLOCK_REALTIME_ALARM
	default:
		return nil, unix.EINVAL
	}
	t.t.Init(t.expired)
	return vfs.NewAnonFile("timerfd", 0o600, unix.O_RDWR|uint32(flags&unix.O_NONBLOCK), t), nil
}

func of(f *vfs.File) (*timer, error) {
	t, ok := f.Ops.(*timer)
	if !ok {
		return nil, unix.EINVAL
	}
	return t, nil
}

func (t *timer) now() int64 {
	if t.real {
		return clock.Realtime()
	}
	return clock.Now()
}

func (t *timer) start() {
	if t.real {
		t.t.StartReal(t.due, 0)
	} else {
		t.t.Start(t.due, 0)
	}
}

// expired is called by the clock. It counts one expiration; a call that comes
// late, after the timer was set anew, finds nothing due.
func (t *timer) expired(uint64) {
	t.mu.Lock()
	due := t.armed && t.now() >= t.due
	if due {
		t.armed = false
		t.ticks++
	}
	t.mu.Unlock()
	if due {
		t.queue.Notify(wait.In)
	}
}

// advance counts the expirations of an interval timer since the one that the
// clock reported, and starts it again.
func (t *timer) advance() {
	if t.armed || t.interval == 0 || t.due == 0 {
		return
	}
	missed := max(t.now()-t.due, 0) / t.interval
	t.ticks += uint64(missed)
	t.due += (missed + 1) * t.interval
	t.armed = true
	t.start()
}

// value is the setting as timerfd_gettime(2) shows it.
func (t *timer) value() unix.ItimerSpec {
	if t.ticks > 0 {
		t.advance()
	}
	v := unix.ItimerSpec{Interval: clock.Timespec(t.interval)}
	if t.armed {
		// An armed timer never shows zero, which would mean disarmed.
		v.Value = clock.Timespec(max(t.due-t.now(), 1))
	}
	return v
}

func valid(ts unix.Timespec) bool {
	return ts.Sec >= 0 && uint64(ts.Nsec) < uint64(clock.Second)
}

// Settime serves timerfd_settime(2) and returns the earlier setting.
func Settime(c vfs.Caller, f *vfs.File, flags int, v unix.ItimerSpec) (old unix.ItimerSpec, err error) {
	if flags&^(absTime|cancelOnSet) != 0 || !valid(v.Value) || !valid(v.Interval) {
		return old, unix.EINVAL
	}
	t, err := of(f)
	if err != nil {
		return old, err
	}
	if t.clockID >= unix.CLOCK_REALTIME_ALARM && !c.Cred().Has(unix.CAP_WAKE_ALARM) {
		return old, unix.EPERM
	}
	t.watch(t.real && flags&(absTime|cancelOnSet) == absTime|cancelOnSet)
	t.mu.Lock()
	defer t.mu.Unlock()
	old = t.value()
	t.t.Stop()
	t.flags, t.ticks, t.armed, t.canceled = flags, 0, false, false
	t.interval = clock.Nanoseconds(v.Interval)
	t.due = clock.Nanoseconds(v.Value)
	if t.due == 0 {
		t.interval = 0
		return old, nil
	}
	if flags&absTime == 0 {
		t.due = clock.Add(t.due, t.now())
	}
	t.armed = true
	t.start()
	return old, nil
}

// Gettime serves timerfd_gettime(2).
func Gettime(f *vfs.File) (unix.ItimerSpec, error) {
	t, err := of(f)
	if err != nil {
		return unix.ItimerSpec{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value(), nil
}

// Read returns the number of expirations since the last read.
func (t *timer) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	if b.Len() < 8 {
		return 0, unix.EINVAL
	}
	t.mu.Lock()
	if t.canceled {
		t.canceled, t.ticks = false, 0
		t.mu.Unlock()
		return 0, unix.ECANCELED
	}
	if t.ticks == 0 {
		t.mu.Unlock()
		return 0, unix.EAGAIN
	}
	t.advance()
	n := t.ticks
	t.ticks = 0
	t.mu.Unlock()
	var p [8]byte
	binary.NativeEndian.PutUint64(p[:], n)
	return b.CopyOut(p[:])
}

// Poll reports In when there are expirations to read.
func (t *timer) Poll(*vfs.File) wait.Events {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ticks > 0 {
		return wait.In
	}
	return 0
}

// Queue announces expirations.
func (t *timer) Queue(*vfs.File) *wait.Queue { return &t.queue }

// Ioctl serves TFD_IOC_SET_TICKS.
func (t *timer) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	if request != setTicks {
		return 0, unix.ENOTTY
	}
	n, err := c.AddressSpace().Load64(mm.Addr(arg))
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, unix.EINVAL
	}
	t.mu.Lock()
	t.ticks = n
	t.mu.Unlock()
	t.queue.Notify(wait.In)
	return 0, nil
}

// Release stops the timer.
func (t *timer) Release(*vfs.File) {
	t.watch(false)
	t.mu.Lock()
	t.armed = false
	t.t.Stop()
	t.mu.Unlock()
}

// Seek succeeds and does nothing, as in Linux.
func (t *timer) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, nil }

// FDInfo appends what /proc/PID/fdinfo shows.
func (t *timer) FDInfo(_ *vfs.File, b []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b = append(b, "clockid: "...)
	b = strconv.AppendInt(b, int64(t.clockID), 10)
	b = append(b, "\nticks: "...)
	b = strconv.AppendUint(b, t.ticks, 10)
	b = append(b, "\nsettime flags: 0"...)
	b = strconv.AppendInt(b, int64(t.flags), 8)
	v := t.value()
	pair := func(name string, ts unix.Timespec) {
		b = append(b, name...)
		b = strconv.AppendInt(b, ts.Sec, 10)
		b = append(b, ", "...)
		b = strconv.AppendInt(b, ts.Nsec, 10)
		b = append(b, ")\n"...)
	}
	pair("\nit_value: (", v.Value)
	pair("it_interval: (", v.Interval)
	return b
}

// cancelable are the timers that a setting of the clock cancels. The hook is
// registered when the first appears.
var cancelable struct {
	mu     sync.Mutex
	hooked bool
	timers map[*timer]struct{}
}

func (t *timer) watch(on bool) {
	if on == t.isWatched() {
		return
	}
	cancelable.mu.Lock()
	hook := false
	if on {
		if cancelable.timers == nil {
			cancelable.timers = make(map[*timer]struct{})
		}
		cancelable.timers[t] = struct{}{}
		hook = !cancelable.hooked
		cancelable.hooked = true
	} else {
		delete(cancelable.timers, t)
	}
	t.mu.Lock()
	t.watched = on
	t.mu.Unlock()
	cancelable.mu.Unlock()
	if hook {
		clock.OnSet(cancelAll)
	}
}

func (t *timer) isWatched() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.watched
}

func cancelAll() {
	cancelable.mu.Lock()
	defer cancelable.mu.Unlock()
	for t := range cancelable.timers {
		t.mu.Lock()
		t.canceled = true
		t.ticks++
		t.mu.Unlock()
		t.queue.Notify(wait.In)
	}
}
