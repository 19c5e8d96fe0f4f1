// Package signalfd is signalfd(2): pending signals read from a descriptor.
//
// A signalfd has no signals of its own: whoever reads or polls it sees those
// that are pending for itself. Read therefore waits on its own, and Poll
// without a caller speaks of the process that used the descriptor last.
package signalfd

import (
	"encoding/binary"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Info is the information of one signal, as siginfo_t carries it.
type Info struct {
	Signo, Errno, Code int32
	PID, UID           uint32
	FD, TID            int32
	Band, Overrun      uint32
	TrapNo             uint32
	Status             int32
	Int                int32
	Ptr                uint64
	Utime, Stime       uint64
	Addr               uint64
	AddrLSB            uint16
}

// Signals is what a signalfd needs of the thread that uses it: task.Thread
// implements it. Sets have bit n-1 for signal n.
type Signals interface {
	// TakeSignal removes one pending signal of set, the thread's own or its
	// process's; ok is false when there is none.
	TakeSignal(set uint64) (info Info, ok bool)
	// PendingSignals is the set pending for the thread or its process.
	PendingSignals() uint64
	// SignalQueue announces (with wait.In) every signal that becomes pending
	// for a thread of the process.
	SignalQueue() *wait.Queue
}

// infoSize is sizeof(struct signalfd_siginfo).
const infoSize = 128

type signalFD struct {
	vfs.BaseOps
	mask atomic.Uint64
	last atomic.Pointer[Signals]
	none wait.Queue // for callers without signals
}

// unblockable are the signals that a mask silently loses: SIGKILL, SIGSTOP.
const unblockable = 1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1)

// New makes a signalfd for the signals of mask. flags are SFD_*.
func New(c vfs.Caller, mask uint64, flags int) (*vfs.File, error) {
	if flags&^(unix.SFD_CLOEXEC|unix.SFD_NONBLOCK) != 0 {
		return nil, unix.EINVAL
	}
	s := new(signalFD)
	s.mask.Store(mask &^ unblockable)
	s.used(c)
	return vfs.NewAnonFile("signalfd", 0o600, unix.O_RDWR|uint32(flags&unix.O_NONBLOCK), s), nil
}

// SetMask serves signalfd(2) on an existing descriptor.
func SetMask(f *vfs.File, mask uint64) error {
	s, ok := f.Ops.(*signalFD)
	if !ok {
		return unix.EINVAL
	}
	s.mask.Store(mask &^ unblockable)
	s.Queue(f).Notify(wait.In)
	return nil
}

// used remembers c's signals and returns them, nil if it has none.
func (s *signalFD) used(c vfs.Caller) Signals {
	sig, ok := c.(Signals)
	if !ok {
		return nil
	}
	if old := s.last.Load(); old == nil || *old != sig {
		s.last.Store(&sig)
	}
	return sig
}

// Read returns as many pending signals as fit, waiting for the first.
func (s *signalFD) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	room := b.Len() / infoSize
	if room == 0 {
		return 0, unix.EINVAL
	}
	sig := s.used(c)
	if sig == nil {
		return 0, unix.EAGAIN
	}
	info, ok := sig.TakeSignal(s.mask.Load())
	if !ok {
		if f.NonBlock() {
			return 0, unix.EAGAIN
		}
		err := sig.SignalQueue().Until(c, wait.In, wait.NoDeadline, func() bool {
			info, ok = sig.TakeSignal(s.mask.Load())
			return ok
		})
		if err != nil {
			return 0, err
		}
	}
	done := 0
	for {
		p := info.encode()
		n, err := b.CopyOut(p[:])
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
		done += n
		if done/infoSize == room {
			return done, nil
		}
		if info, ok = sig.TakeSignal(s.mask.Load()); !ok {
			return done, nil
		}
	}
}

func (i *Info) encode() (p [infoSize]byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], uint32(i.Signo))
	le.PutUint32(p[4:], uint32(i.Errno))
	le.PutUint32(p[8:], uint32(i.Code))
	le.PutUint32(p[12:], i.PID)
	le.PutUint32(p[16:], i.UID)
	le.PutUint32(p[20:], uint32(i.FD))
	le.PutUint32(p[24:], uint32(i.TID))
	le.PutUint32(p[28:], i.Band)
	le.PutUint32(p[32:], i.Overrun)
	le.PutUint32(p[36:], i.TrapNo)
	le.PutUint32(p[40:], uint32(i.Status))
	le.PutUint32(p[44:], uint32(i.Int))
	le.PutUint64(p[48:], i.Ptr)
	le.PutUint64(p[56:], i.Utime)
	le.PutUint64(p[64:], i.Stime)
	le.PutUint64(p[72:], i.Addr)
	le.PutUint16(p[80:], i.AddrLSB)
	return p
}

// Poll speaks of the process that used the descriptor last.
func (s *signalFD) Poll(*vfs.File) wait.Events {
	if sig := s.last.Load(); sig != nil && (*sig).PendingSignals()&s.mask.Load() != 0 {
		return wait.In
	}
	return 0
}

// Queue is the signal queue of the process that used the descriptor last.
func (s *signalFD) Queue(*vfs.File) *wait.Queue {
	if sig := s.last.Load(); sig != nil {
		return (*sig).SignalQueue()
	}
	return &s.none
}

// PollAs makes c the process that Poll and Queue speak of. poll, select and
// epoll_ctl call it for the files that have it.
func (s *signalFD) PollAs(c vfs.Caller) { s.used(c) }

// Seek succeeds and does nothing, as in Linux.
func (s *signalFD) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, nil }

// FDInfo appends what /proc/PID/fdinfo shows.
func (s *signalFD) FDInfo(_ *vfs.File, b []byte) []byte {
	b = append(b, "sigmask:\t"...)
	hex := strconv.FormatUint(s.mask.Load(), 16)
	for range 16 - len(hex) {
		b = append(b, '0')
	}
	return append(append(b, hex...), '\n')
}
