// Package vfstest offers a thread that is none: a vfs.Caller for tests of
// everything that stands on package vfs.
package vfstest

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Caller is a fake thread. The zero value is not ready: use New.
type Caller struct {
	wake        chan struct{}
	interrupted atomic.Bool
	cred        *cred.Cred
	fs          *vfs.FSContext

	memOnce sync.Once
	mem     *mm.AddressSpace

	mu      sync.Mutex
	signals []int
}

// New returns a fake thread of the superuser.
func New() *Caller {
	return &Caller{wake: make(chan struct{}, 1), cred: cred.Root(), fs: &vfs.FSContext{}}
}

// As returns a fake thread with the given credentials.
func As(c *cred.Cred) *Caller {
	t := New()
	t.cred = c
	return t
}

// Sleep parks until Wake, the deadline, or Interrupt.
func (t *Caller) Sleep(deadline int64) error {
	if t.interrupted.Load() {
		return abi.ErrRestartSys
	}
	var timeout <-chan time.Time
	if deadline != wait.NoDeadline {
		timer := time.NewTimer(time.Duration(deadline - clock.Now()))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-t.wake:
		if t.interrupted.Load() {
			return abi.ErrRestartSys
		}
		return nil
	case <-timeout:
		return unix.ETIMEDOUT
	}
}

// WakeFrom is Wake.
func (t *Caller) WakeFrom(any) { t.Wake() }

// Wake ends the current or next Sleep.
func (t *Caller) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Interrupt makes Sleep fail until Resume, as a pending signal does.
func (t *Caller) Interrupt() {
	t.interrupted.Store(true)
	t.Wake()
}

// Resume ends what Interrupt began.
func (t *Caller) Resume() { t.interrupted.Store(false) }

// Cred returns the credentials.
func (t *Caller) Cred() *cred.Cred { return t.cred }

// SetFS gives the thread a file-system context; without one it has no paths.
func (t *Caller) SetFS(fs *vfs.FSContext) { t.fs = fs }

// SetCred replaces the credentials.
func (t *Caller) SetCred(c *cred.Cred) { t.cred = c }

// FS returns the file-system context, an empty one by default.
func (t *Caller) FS() *vfs.FSContext { return t.fs }

// AddressSpace returns the thread's memory, made when first asked for.
func (t *Caller) AddressSpace() *mm.AddressSpace {
	t.memOnce.Do(func() { t.mem, _ = mm.NewAddressSpace() })
	return t.mem
}

// TGID is 1.
func (t *Caller) TGID() int { return 1 }

// FileSizeLimit is none.
func (t *Caller) FileSizeLimit() uint64 { return math.MaxUint64 }

// Raise records the signal.
func (t *Caller) Raise(sig int) {
	t.mu.Lock()
	t.signals = append(t.signals, sig)
	t.mu.Unlock()
}

// Raised returns the signals raised since it was last called.
func (t *Caller) Raised() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.signals
	t.signals = nil
	return s
}

// Read reads from f into p as read(2) does, waiting unless f is non-blocking.
func (t *Caller) Read(f *vfs.File, p []byte) (n int, err error) {
	try := func() bool {
		b := mm.KernelBuffer(p)
		n, err = f.Ops.Read(t, f, &b, -1)
		return err != unix.EAGAIN || f.NonBlock()
	}
	err = t.await(f, wait.In|wait.RdHup, try, &err)
	return n, err
}

// Write writes p to f as write(2) does, waiting unless f is non-blocking.
func (t *Caller) Write(f *vfs.File, p []byte) (done int, err error) {
	b := mm.KernelBuffer(p)
	try := func() bool {
		var n int
		n, _, err = f.Ops.Write(t, f, &b, -1)
		done += n
		return err != unix.EAGAIN || f.NonBlock()
	}
	err = t.await(f, wait.Out, try, &err)
	if done > 0 {
		err = nil
	}
	return done, err
}

func (t *Caller) await(f *vfs.File, ev wait.Events, try func() bool, result *error) error {
	if try() {
		return *result
	}
	if err := f.Ops.Queue(f).Until(t, ev, wait.NoDeadline, try); err != nil {
		return err
	}
	return *result
}

// In returns a fake thread of the superuser in a tree of files.
func In(fs *vfs.FSContext) *Caller {
	t := New()
	t.fs = fs
	return t
}
