// Package poll is poll(2) and select(2) over open files. It looks once
// without registering anywhere, which answers most calls, and only then adds
// a waiter to every file's queue.
package poll

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// FD is struct pollfd.
type FD struct {
	FD      int32
	Events  int16
	Revents int16
}

// Table finds the open file behind a descriptor; *vfs.FDTable does.
type Table interface {
	Get(fd int) (*vfs.File, error)
}

// Poll fills in Revents and returns how many of fds have any. It waits until
// one has or deadline passes (0: not at all); an interrupted wait returns the
// sleeper's error.
func Poll(c vfs.Caller, t Table, fds []FD, deadline int64) (int, error) {
	n := 0
	for i := range fds {
		fd := &fds[i]
		fd.Revents = 0
		if fd.FD < 0 {
			continue
		}
		f, err := t.Get(int(fd.FD))
		if err != nil {
			fd.Revents = unix.POLLNVAL
			n++
			continue
		}
		pollAs(c, f)
		fd.Revents = revents(f, fd.Events)
		f.Put()
		if fd.Revents != 0 {
			n++
		}
	}
	if n > 0 || deadline == 0 {
		return n, nil
	}
	w := newWatcher(c, len(fds))
	defer w.done()
	for i := range fds {
		if fds[i].FD < 0 {
			continue
		}
		f, err := t.Get(int(fds[i].FD))
		if err != nil {
			fds[i].Revents = unix.POLLNVAL
			n++
			continue
		}
		w.add(i, f, wait.Events(uint16(fds[i].Events)))
	}
	for {
		for i := range w.watches {
			it := &w.watches[i]
			fd := &fds[it.index]
			if fd.Revents = revents(it.file, fd.Events); fd.Revents != 0 {
				n++
			}
		}
		if n > 0 {
			return n, nil
		}
		if err := c.Sleep(deadline); err == unix.ETIMEDOUT {
			deadline = 0
		} else if err != nil {
			return 0, err
		} else {
			continue
		}
		// The time is up: what holds now is the answer.
		for i := range w.watches {
			it := &w.watches[i]
			fd := &fds[it.index]
			if fd.Revents = revents(it.file, fd.Events); fd.Revents != 0 {
				n++
			}
		}
		return n, nil
	}
}

func revents(f *vfs.File, events int16) int16 {
	return int16(f.Ops.Poll(f) & (wait.Events(uint16(events)) | wait.Err | wait.Hup))
}

// pollAs tells files whose readiness depends on who asks (signalfd).
func pollAs(c vfs.Caller, f *vfs.File) {
	if p, ok := f.Ops.(interface{ PollAs(vfs.Caller) }); ok {
		p.PollAs(c)
	}
}

// A watcher is the registrations of one call that waits.
type watcher struct {
	c       vfs.Caller
	watches []watch
}

type watch struct {
	waiter wait.Waiter
	index  int
	file   *vfs.File
	queue  *wait.Queue
}

func newWatcher(c vfs.Caller, most int) *watcher {
	return &watcher{c: c, watches: make([]watch, 0, most)}
}

// add takes over the caller's reference to f.
func (w *watcher) add(index int, f *vfs.File, mask wait.Events) {
	w.watches = append(w.watches, watch{index: index, file: f, queue: f.Ops.Queue(f)})
	it := &w.watches[len(w.watches)-1]
	if it.queue != nil {
		it.waiter = wait.Waiter{Mask: mask, Sleeper: w.c}
		it.queue.Add(&it.waiter)
	}
}

func (w *watcher) done() {
	for i := range w.watches {
		it := &w.watches[i]
		if it.queue != nil {
			it.queue.Remove(&it.waiter)
		}
		it.file.Put()
	}
}

// Sets are the three sets of select(2), bit n of word n/64 for descriptor n;
// a nil set is absent. All present sets have the same length.
type Sets struct{ In, Out, Except []uint64 }

// What makes a descriptor readable, writable and exceptional to select(2).
const (
	selectIn     = wait.In | wait.RdNorm | wait.RdBand | wait.Hup | wait.Err
	selectOut    = wait.Out | wait.WrNorm | wait.WrBand | wait.Err
	selectExcept = wait.Pri
)

// Select serves select(2) for descriptors below n: it replaces the sets by
// what is ready and returns how many bits they have. EBADF names a closed
// descriptor in a set; after an error the sets are unchanged.
func Select(c vfs.Caller, t Table, n int, s Sets, deadline int64) (int, error) {
	words := (n + 63) / 64
	got := Sets{}
	result := make([]uint64, 3*words)
	got.In, got.Out, got.Except = result[:words], result[words:2*words], result[2*words:]
	w := newWatcher(c, 0)
	defer w.done()
	for fd := range n {
		mask := s.mask(fd)
		if mask == 0 {
			continue
		}
		f, err := t.Get(fd)
		if err != nil {
			return 0, unix.EBADF
		}
		pollAs(c, f)
		w.watches = append(w.watches, watch{index: fd, file: f})
	}
	look := func() int {
		count := 0
		for i := range w.watches {
			it := &w.watches[i]
			count += got.note(it.index, s.mask(it.index), it.file.Ops.Poll(it.file))
		}
		return count
	}
	count := look()
	if count == 0 && deadline != 0 {
		for i := range w.watches {
			it := &w.watches[i]
			if it.queue = it.file.Ops.Queue(it.file); it.queue != nil {
				it.waiter = wait.Waiter{Mask: s.mask(it.index), Sleeper: c}
				it.queue.Add(&it.waiter)
			}
		}
		for count = look(); count == 0; count = look() {
			if err := c.Sleep(deadline); err == unix.ETIMEDOUT {
				count = look()
				break
			} else if err != nil {
				return 0, err
			}
		}
	}
	copy(s.In, got.In)
	copy(s.Out, got.Out)
	copy(s.Except, got.Except)
	return count, nil
}

func has(set []uint64, fd int) bool { return set != nil && set[fd/64]>>(fd%64)&1 != 0 }

func (s *Sets) mask(fd int) wait.Events {
	var m wait.Events
	if has(s.In, fd) {
		m |= selectIn
	}
	if has(s.Out, fd) {
		m |= selectOut
	}
	if has(s.Except, fd) {
		m |= selectExcept
	}
	return m
}

// note sets the bits of fd that were asked for with mask and hold in ev, and
// returns how many.
func (s *Sets) note(fd int, mask, ev wait.Events) int {
	n, bit := 0, uint64(1)<<(fd%64)
	if mask&wait.In != 0 && ev&selectIn != 0 {
		s.In[fd/64] |= bit
		n++
	}
	if mask&wait.Out != 0 && ev&selectOut != 0 {
		s.Out[fd/64] |= bit
		n++
	}
	if mask&wait.Pri != 0 && ev&selectExcept != 0 {
		s.Except[fd/64] |= bit
		n++
	}
	return n
}
