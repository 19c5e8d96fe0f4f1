//go:build baremetal

package metal

import "sync/atomic"

// The files that the runtime and package os see: the serial port behind
// descriptors 0 to 2, the interrupt descriptor, and what the runtime's
// netpoller makes for itself. schedLock protects them.

type fileKind uint8

const (
	fileNone fileKind = iota
	fileSerial
	fileIRQ   // readable while an interrupt waits to be dispatched
	fileEvent // eventfd
	fileEpoll
)

type file struct {
	kind    fileKind
	polled  bool // registered with the epoll instance
	edge    bool // EPOLLET: announced once per event
	news    bool // something happened since it was last announced
	counter uint64
	events  uint32
	data    uint64
}

// IRQDescriptor is the descriptor that is readable while interrupts wait for
// package cpu to call their handlers.
const IRQDescriptor = 3

var files [16]file

func initFiles() {
	for fd := range 3 {
		files[fd].kind = fileSerial
	}
	files[IRQDescriptor].kind = fileIRQ
}

func fileAt(fd uint64) *file {
	if fd >= uint64(len(files)) || files[fd].kind == fileNone {
		return nil
	}
	return &files[fd]
}

func newFile(kind fileKind, counter uint64) uint64 {
	for fd := range files {
		if files[fd].kind == fileNone {
			files[fd] = file{kind: kind, counter: counter}
			return uint64(fd)
		}
	}
	return errno(emfile)
}

func (f *file) readable() bool {
	switch f.kind {
	case fileEvent:
		return f.counter != 0
	case fileIRQ:
		return atomic.LoadUint64(&pendingIRQ) != 0
	}
	return false
}

func sysRead(fd uint64, buf, n uintptr) uint64 {
	f := fileAt(fd)
	switch {
	case f == nil:
		return errno(ebadf)
	case f.kind == fileSerial:
		return 0
	case n < 8:
		return errno(einval)
	case !f.readable():
		return errno(eagain)
	}
	*at[uint64](buf) = max(f.counter, 1)
	f.counter = 0
	return 8
}

func sysWrite(fd uint64, buf, n uintptr) uint64 {
	f := fileAt(fd)
	switch {
	case f == nil:
		return errno(ebadf)
	case f.kind == fileSerial:
		for i := range n {
			putc(*at[byte](buf + i))
		}
		return uint64(n)
	case f.kind == fileEvent && n >= 8:
		f.counter += *at[uint64](buf)
		f.news = true
		wakePoller()
		return 8
	}
	return errno(einval)
}

func sysClose(fd uint64) uint64 {
	f := fileAt(fd)
	if f == nil {
		return errno(ebadf)
	}
	*f = file{}
	return 0
}

func sysFcntl(fd, cmd uint64) uint64 {
	const (
		getfl     = 3
		rdwr      = 2
		nonblock  = 0x800
		setfl     = 4
		getfd     = 1
		setfd     = 2
		fdCloexec = 1
	)
	f := fileAt(fd)
	if f == nil {
		return errno(ebadf)
	}
	switch cmd {
	case getfl:
		// O_NONBLOCK is what makes os.NewFile use the netpoller.
		if f.kind == fileIRQ {
			return rdwr | nonblock
		}
		return rdwr
	case getfd:
		return fdCloexec
	case setfl, setfd:
		return 0
	}
	return errno(einval)
}

// epollEvent is struct epoll_event, which is packed: 12 bytes.
type epollEvent struct {
	events uint32
	data   [2]uint32
}

const (
	epollIn = 1
	epollET = 1 << 31
)

func sysEpollCtl(op, fd uint64, event uintptr) uint64 {
	f := fileAt(fd)
	if f == nil {
		return errno(ebadf)
	}
	switch op {
	case 1, 3: // ADD, MOD
		if f.kind != fileEvent && f.kind != fileIRQ {
			return errno(eperm)
		}
		e := at[epollEvent](event)
		f.polled = true
		f.events = e.events
		f.edge = e.events&epollET != 0
		f.data = uint64(e.data[0]) | uint64(e.data[1])<<32
		f.news = f.readable()
	case 2: // DEL
		f.polled = false
	}
	return 0
}

// pollReady writes the events that are ready to buf and returns how many.
func pollReady(buf uintptr, size uint64) uint64 {
	n := uint64(0)
	for i := range files {
		f := &files[i]
		if !f.polled || f.events&epollIn == 0 || n == size || !f.readable() || (f.edge && !f.news) {
			continue
		}
		f.news = false
		*at[epollEvent](buf + uintptr(n)*12) = epollEvent{epollIn, [2]uint32{uint32(f.data), uint32(f.data >> 32)}}
		n++
	}
	return n
}

// sysEpollWait serves epoll_pwait without its signal mask. It reports whether
// the current thread blocked.
func sysEpollWait(c *percpu, f *Frame) bool {
	n := pollReady(uintptr(f.RSI), f.RDX)
	f.RAX = n
	timeout := int32(f.R10)
	if n != 0 || timeout == 0 {
		return false
	}
	t := current(c)
	t.state = threadPoll
	pollers++
	if timeout > 0 {
		c.sleepUntil(Nanotime() + int64(timeout)*1_000_000)
	}
	c.schedule()
	return true
}

// pollers counts threads that entered epoll_pwait to wait; it saves the
// search when there can be none.
var pollers uint32

// wakePoller wakes a thread that waits in epoll_pwait, if one does, with what
// is ready now. It reports whether it did.
func wakePoller() bool {
	if pollers == 0 {
		return false
	}
	left := pollers
	pollers = 0
	woke := false
	for n := int32(maxCPUs); n < maxThreads && left > 0; n++ {
		t := &threads[n]
		if t.state != threadPoll {
			continue
		}
		left--
		if !woke {
			if ready := pollReady(uintptr(t.frame.RSI), t.frame.RDX); ready != 0 {
				wake(n, ready)
				woke = true
				continue
			}
		}
		pollers++
	}
	return woke
}
