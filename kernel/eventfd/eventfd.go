// Package eventfd is eventfd(2): a counter behind a descriptor.
//
// Locks: counter.mu is a leaf but for wait.Queue, which is notified without it.
package eventfd

import (
	"encoding/binary"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// The greatest value is never stored: a writer would have to block for ever.
const limit = math.MaxUint64 - 1

type counter struct {
	vfs.BaseOps
	semaphore bool
	id        uint64

	mu    sync.Mutex
	n     uint64
	queue wait.Queue
}

var ids atomic.Uint64

// New serves eventfd2(2): an open file that counts from initial. flags are
// EFD_*; EINVAL for unknown ones.
func New(initial uint32, flags int) (*vfs.File, error) {
	if flags&^(unix.EFD_SEMAPHORE|unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) != 0 {
		return nil, unix.EINVAL
	}
	e := &counter{semaphore: flags&unix.EFD_SEMAPHORE != 0, n: uint64(initial), id: ids.Add(1) - 1}
	return vfs.NewAnonFile("eventfd", 0o600, unix.O_RDWR|uint32(flags&unix.O_NONBLOCK), e), nil
}

// Read takes the counter, or 1 of it from a semaphore.
func (e *counter) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	if b.Len() < 8 {
		return 0, unix.EINVAL
	}
	e.mu.Lock()
	v := e.n
	if v == 0 {
		e.mu.Unlock()
		return 0, unix.EAGAIN
	}
	if e.semaphore {
		v = 1
	}
	e.n -= v
	e.mu.Unlock()
	e.queue.Notify(wait.Out)
	var p [8]byte
	binary.NativeEndian.PutUint64(p[:], v)
	return b.CopyOut(p[:])
}

// Write adds to the counter.
func (e *counter) Write(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	if b.Len() != 8 {
		return 0, 0, unix.EINVAL
	}
	var p [8]byte
	peek := *b // a write that has to wait finds its value again
	if _, err := peek.CopyIn(p[:]); err != nil {
		return 0, 0, err
	}
	v := binary.NativeEndian.Uint64(p[:])
	if v == math.MaxUint64 {
		return 0, 0, unix.EINVAL
	}
	e.mu.Lock()
	if v > limit-e.n {
		e.mu.Unlock()
		return 0, 0, unix.EAGAIN
	}
	e.n += v
	e.mu.Unlock()
	*b = peek
	e.queue.Notify(wait.In)
	return 8, 0, nil
}

// Poll reports In for a counter above 0 and Out while 1 can be added.
func (e *counter) Poll(*vfs.File) wait.Events {
	e.mu.Lock()
	n := e.n
	e.mu.Unlock()
	var ev wait.Events
	if n > 0 {
		ev |= wait.In
	}
	if n < limit {
		ev |= wait.Out
	}
	return ev
}

// Queue announces every change.
func (e *counter) Queue(*vfs.File) *wait.Queue { return &e.queue }

// Seek succeeds and does nothing, as in Linux.
func (e *counter) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, nil }

// FDInfo appends what /proc/PID/fdinfo shows.
func (e *counter) FDInfo(_ *vfs.File, b []byte) []byte {
	e.mu.Lock()
	n := e.n
	e.mu.Unlock()
	b = append(b, "eventfd-count: "...)
	hex := strconv.FormatUint(n, 16)
	for range 16 - len(hex) {
		b = append(b, ' ')
	}
	b = append(b, hex...)
	b = append(b, "\neventfd-id: "...)
	b = strconv.AppendUint(b, e.id, 10)
	b = append(b, "\neventfd-semaphore: "...)
	if e.semaphore {
		return append(b, "1\n"...)
	}
	return append(b, "0\n"...)
}
