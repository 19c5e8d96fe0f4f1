package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
)

var le = binary.LittleEndian

// copyIn fills p from user memory, whole or not at all.
func (t Thread) copyIn(p []byte, a mm.Addr) error {
	_, err := t.AddressSpace().CopyIn(p, a)
	return err
}

// copyOut writes p to user memory.
func (t Thread) copyOut(a mm.Addr, p []byte) error {
	_, err := t.AddressSpace().CopyOut(a, p)
	return err
}

// store32 writes an int or pid_t wherever it lies.
func (t Thread) store32(a mm.Addr, v uint32) error {
	var b [4]byte
	le.PutUint32(b[:], v)
	return t.copyOut(a, b[:])
}

// timespecIn reads a struct timespec and checks it.
func (t Thread) timespecIn(a mm.Addr) (ts unix.Timespec, err error) {
	var b [16]byte
	if err := t.copyIn(b[:], a); err != nil {
		return ts, err
	}
	ts = unix.Timespec{Sec: int64(le.Uint64(b[:])), Nsec: int64(le.Uint64(b[8:]))}
	if ts.Sec < 0 || ts.Nsec < 0 || ts.Nsec >= clock.Second {
		return ts, unix.EINVAL
	}
	return ts, nil
}

// timespecOut writes nanoseconds as a struct timespec.
func (t Thread) timespecOut(a mm.Addr, ns int64) error {
	ts := clock.Timespec(ns)
	var b [16]byte
	le.PutUint64(b[:], uint64(ts.Sec))
	le.PutUint64(b[8:], uint64(ts.Nsec))
	return t.copyOut(a, b[:])
}

// deadlineIn reads a relative timeout and returns the deadline; a null pointer
// is none.
func (t Thread) deadlineIn(a mm.Addr) (int64, error) {
	if a == 0 {
		return clock.Never, nil
	}
	ts, err := t.timespecIn(a)
	if err != nil {
		return 0, err
	}
	return clock.Add(clock.Now(), clock.Nanoseconds(ts)), nil
}

// timevalOut writes nanoseconds as a struct timeval.
func (t Thread) timevalOut(a mm.Addr, ns int64) error {
	var b [16]byte
	putTimeval(b[:], ns)
	return t.copyOut(a, b[:])
}

func putTimeval(b []byte, ns int64) {
	ts := clock.Timespec(ns)
	le.PutUint64(b, uint64(ts.Sec))
	le.PutUint64(b[8:], uint64(ts.Nsec/1000))
}

// timeval reads a struct timeval in b as nanoseconds.
func timeval(b []byte) (int64, error) {
	sec, usec := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if sec < 0 || usec < 0 || usec >= 1_000_000 {
		return 0, unix.EINVAL
	}
	return clock.Nanoseconds(unix.Timespec{Sec: sec, Nsec: usec * 1000}), nil
}
