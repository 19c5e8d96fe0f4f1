package vfs

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// FDTable is what CLONE_FILES shares: descriptors, their files and their
// close-on-exec flags. Safe for concurrent use; Get is lock-free.
//
// Writers hold mu. Readers load the slots and then a slot; when the table
// grows, the old array keeps what it held, so a reader that still has it sees
// a state that was true when it looked.
type FDTable struct {
	refs  atomic.Int32
	slots atomic.Pointer[[]atomic.Pointer[File]]

	mu      sync.Mutex
	used    []uint64 // bitmap of descriptors in use
	cloexec []uint64 // bitmap of close-on-exec flags
	next    int      // no free descriptor lies below
}

const fdTableMin = 64

// fewFiles is how many descriptors a process may have however short memory is.
const fewFiles = 32

// maxFD is the size no table outgrows, whatever RLIMIT_NOFILE says (Linux's
// sysctl_nr_open).
const maxFD = 1 << 20

// NewFDTable returns an empty table with one reference.
func NewFDTable() *FDTable {
	t := &FDTable{}
	t.refs.Store(1)
	t.grow(fdTableMin)
	return t
}

// grow makes room for n descriptors. mu is held.
func (t *FDTable) grow(n int) {
	n = (n + 63) &^ 63
	slots := make([]atomic.Pointer[File], n)
	if old := t.slots.Load(); old != nil {
		n = max(n, min(2*len(*old), maxFD))
		slots = make([]atomic.Pointer[File], n)
		for i := range *old {
			slots[i].Store((*old)[i].Load())
		}
		for i := len(*old); i < n; i += 4096 / 8 { // so that the memory is there, and counted
			slots[i].Store(nil)
		}
	}
	words := make([]uint64, 2*(n/64))
	copy(words, t.used)
	copy(words[n/64:], t.cloexec)
	t.used, t.cloexec = words[:n/64:n/64], words[n/64:]
	t.slots.Store(&slots)
}

// Ref takes a reference (CLONE_FILES).
func (t *FDTable) Ref() *FDTable {
	t.refs.Add(1)
	return t
}

// Shared reports whether somebody else uses the table too.
func (t *FDTable) Shared() bool { return t.refs.Load() > 1 }

// Unref drops a reference; the last closes every descriptor.
func (t *FDTable) Unref(c Caller) {
	if t.refs.Add(-1) == 0 {
		t.CloseRange(c, 0, maxFD)
	}
}

// Get returns the open file with a reference the caller must Put, or EBADF.
func (t *FDTable) Get(fd int) (*File, error) {
	for {
		slots := *t.slots.Load()
		if uint(fd) >= uint(len(slots)) {
			return nil, unix.EBADF
		}
		f := slots[fd].Load()
		if f == nil {
			return nil, unix.EBADF
		}
		if f.tryGet() {
			return f, nil
		}
	}
}

// free returns the lowest free descriptor >= from, growing the table if need
// be; EMFILE at limit, ENFILE when the kernel has no memory for more files of a
// process that has many. mu is held.
func (t *FDTable) free(from int, limit uint64) (int, error) {
	fd := max(from, t.next)
	size := len(t.used) * 64
	for fd < size {
		w := ^t.used[fd/64] >> (fd % 64)
		if w != 0 {
			fd += bits.TrailingZeros64(w)
			break
		}
		fd = (fd/64 + 1) * 64
	}
	if uint64(fd) >= min(limit, maxFD) {
		return 0, unix.EMFILE
	}
	if fd >= fewFiles && cpu.KernelTight() {
		return 0, unix.ENFILE
	}
	if fd >= size {
		t.grow(fd + 1)
	}
	if from <= t.next {
		t.next = fd + 1
	}
	return fd, nil
}

func (t *FDTable) put(fd int, f *File, cloexec bool) {
	t.used[fd/64] |= 1 << (fd % 64)
	if cloexec {
		t.cloexec[fd/64] |= 1 << (fd % 64)
	} else {
		t.cloexec[fd/64] &^= 1 << (fd % 64)
	}
	(*t.slots.Load())[fd].Store(f)
}

// Install puts f (taking over the caller's reference) at the lowest free
// descriptor >= from and below limit: EMFILE, and then the reference stays
// the caller's.
func (t *FDTable) Install(f *File, from int, cloexec bool, limit uint64) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fd, err := t.free(from, limit)
	if err != nil {
		return 0, err
	}
	t.put(fd, f, cloexec)
	return fd, nil
}

// Install2 puts two files at the lowest free descriptors, or none (pipe,
// socketpair).
func (t *FDTable) Install2(f, g *File, cloexec bool, limit uint64) (int, int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, err := t.free(0, limit)
	if err != nil {
		return 0, 0, err
	}
	t.put(a, f, cloexec)
	b, err := t.free(0, limit)
	if err != nil {
		t.take(a)
		return 0, 0, err
	}
	t.put(b, g, cloexec)
	return a, b, nil
}

// InstallAt puts f (taking over the caller's reference) at fd, closing what
// was there (dup2, dup3): EBADF when fd is not below limit.
func (t *FDTable) InstallAt(c Caller, f *File, fd int, cloexec bool, limit uint64) error {
	if fd < 0 || uint64(fd) >= min(limit, maxFD) {
		return unix.EBADF
	}
	t.mu.Lock()
	if fd >= len(t.used)*64 {
		if fd >= fdTableMin*4 && !cpu.KernelRoom(uint64(fd)*8) {
			t.mu.Unlock()
			return unix.ENOMEM
		}
		t.grow(fd + 1)
	}
	old := (*t.slots.Load())[fd].Load()
	t.put(fd, f, cloexec)
	t.mu.Unlock()
	if old != nil {
		_ = old.closed(c, t) // dup2 does not report it
	}
	return nil
}

// take empties fd and returns what was there. mu is held.
func (t *FDTable) take(fd int) *File {
	slots := *t.slots.Load()
	if uint(fd) >= uint(len(slots)) {
		return nil
	}
	f := slots[fd].Load()
	if f != nil {
		slots[fd].Store(nil)
		t.used[fd/64] &^= 1 << (fd % 64)
		t.cloexec[fd/64] &^= 1 << (fd % 64)
		t.next = min(t.next, fd)
	}
	return f
}

// Close serves close(2).
func (t *FDTable) Close(c Caller, fd int) error {
	t.mu.Lock()
	f := t.take(fd)
	t.mu.Unlock()
	if f == nil {
		return unix.EBADF
	}
	return f.closed(c, t)
}

// closed is what follows when a descriptor of f has gone from t: POSIX locks
// of the table end, Flush has its say, the reference is dropped.
func (f *File) closed(c Caller, t *FDTable) error {
	var err error
	if f.flags.Load()&unix.O_PATH == 0 {
		err = f.Ops.Flush(c, f)
		if f.Inode != nil && f.Inode.locks.Load() != nil {
			f.Inode.releasePosixLocks(t)
		}
	}
	f.Put()
	return err
}

// CloseRange closes the descriptors from first to last.
func (t *FDTable) CloseRange(c Caller, first, last int) {
	for fd := first; fd <= last; fd++ {
		t.mu.Lock()
		fd = t.nextUsed(t.used, fd)
		var f *File
		if fd >= 0 && fd <= last {
			f = t.take(fd)
		}
		t.mu.Unlock()
		if f == nil {
			return
		}
		_ = f.closed(c, t)
	}
}

// CloexecRange sets the close-on-exec flag of the descriptors from first to last.
func (t *FDTable) CloexecRange(first, last int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for fd := t.nextUsed(t.used, first); fd >= 0 && fd <= last; fd = t.nextUsed(t.used, fd+1) {
		t.cloexec[fd/64] |= 1 << (fd % 64)
	}
}

// CloseOnExec closes what exec must close.
func (t *FDTable) CloseOnExec(c Caller) {
	for fd := 0; ; fd++ {
		t.mu.Lock()
		fd = t.nextUsed(t.cloexec, fd)
		var f *File
		if fd >= 0 {
			f = t.take(fd)
		}
		t.mu.Unlock()
		if fd < 0 {
			return
		}
		if f != nil {
			_ = f.closed(c, t)
		}
	}
}

// nextUsed returns the lowest set bit >= fd of a bitmap, or -1. mu is held.
func (t *FDTable) nextUsed(bitmap []uint64, fd int) int {
	for i := fd / 64; i < len(bitmap); i++ {
		w := bitmap[i]
		if i == fd/64 {
			w &= ^uint64(0) << (fd % 64)
		}
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// Cloexec returns fd's close-on-exec flag.
func (t *FDTable) Cloexec(fd int) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || fd >= len(t.used)*64 || t.used[fd/64]&(1<<(fd%64)) == 0 {
		return false, unix.EBADF
	}
	return t.cloexec[fd/64]&(1<<(fd%64)) != 0, nil
}

// SetCloexec changes fd's close-on-exec flag.
func (t *FDTable) SetCloexec(fd int, on bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || fd >= len(t.used)*64 || t.used[fd/64]&(1<<(fd%64)) == 0 {
		return unix.EBADF
	}
	if on {
		t.cloexec[fd/64] |= 1 << (fd % 64)
	} else {
		t.cloexec[fd/64] &^= 1 << (fd % 64)
	}
	return nil
}

// Clone returns a copy with one reference, for fork and unshare.
func (t *FDTable) Clone() *FDTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &FDTable{next: t.next}
	n.refs.Store(1)
	last := 0
	for i := len(t.used) - 1; i >= 0; i-- {
		if t.used[i] != 0 {
			last = i*64 + 63
			break
		}
	}
	n.grow(max(last+1, fdTableMin))
	copy(n.used, t.used)
	copy(n.cloexec, t.cloexec)
	from, to := *t.slots.Load(), *n.slots.Load()
	for fd := t.nextUsed(t.used, 0); fd >= 0; fd = t.nextUsed(t.used, fd+1) {
		f := from[fd].Load()
		f.Get()
		to[fd].Store(f)
	}
	return n
}

// Next returns the lowest descriptor in use that is >= fd, or -1:
// /proc/PID/fd is listed with it.
func (t *FDTable) Next(fd int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nextUsed(t.used, max(fd, 0))
}

// Count is the number of descriptors in use; Size the room in the table
// (FDSize in /proc/PID/status).
func (t *FDTable) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, w := range t.used {
		n += bits.OnesCount64(w)
	}
	return n
}

// Size is the number of descriptors there is room for.
func (t *FDTable) Size() int { return len(*t.slots.Load()) }
