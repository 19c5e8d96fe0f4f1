//go:build baremetal

package metal

import "unsafe"

// Frame is a thread's registers, in the order in which the entries push them.
type Frame struct {
	R15, R14, R13, R12, RBP, RBX, R11, R10, R9, R8 uint64
	RAX, RCX, RDX, RSI, RDI                        uint64
	Vector, Error                                  uint64
	RIP, CS, RFLAGS, RSP, SS                       uint64
}

const frameSize = unsafe.Sizeof(Frame{})

// maxThreads bounds the runtime's Ms, the idle threads included. The runtime
// makes one for each CPU, one for sysmon, and a few more while some are
// locked or in system calls, of which none here blocks for long.
const maxThreads = 96

type threadState uint8

const (
	threadFree threadState = iota
	threadReady
	threadRunning
	threadFutex // waits for a futex, maybe with a deadline
	threadSleep // nanosleep
	threadPoll  // epoll_pwait
	threadIdle  // a CPU's idle thread that does not run
)

// thread is an M of the runtime, or a CPU's idle thread. schedLock protects
// it; the frame belongs to the CPU that runs the thread. There are no kernel
// stacks: a thread that does not run is its frame.
type thread struct {
	xmm     [256]byte // valid when xmmLive
	frame   Frame
	fs      uintptr
	xmmLive uint32
	state   threadState
	cpu     uint32 // where it runs, or ran last

	mask, pending              uint64 // signals
	altStack, altSize, altFlag uintptr

	deadline  int64   // when to wake, 0 for never
	futex     uintptr // address waited for
	next      int32   // in the run queue or a futex bucket, -1 ends
	nextSleep int32   // in the list of sleepers, -1 ends
	_         [40]byte
}

const (
	_ = uint(unsafe.Offsetof(thread{}.fs) - 256 - 176)
	_ = uint(256 + 176 - unsafe.Offsetof(thread{}.fs))
	_ = uint(unsafe.Offsetof(thread{}.xmmLive) - 256 - 184)
	_ = uint(256 + 184 - unsafe.Offsetof(thread{}.xmmLive))
	// Interrupts push into frames, and the processor aligns stacks to 16.
	_ = -(unsafe.Sizeof(thread{}) % 16)
)

// threads is all threads; the first maxCPUs are idle threads. A thread's id
// is its index plus firstTID.
var threads [maxThreads]thread

const firstTID = 100

// schedLock protects threads, the run queue, futexes, files and timers.
var schedLock spinlock

// The run queue, shared by all CPUs.
var runHead, runTail int32 = -1, -1

// slice is how long a thread may run while others are ready. The runtime's
// threads rarely compete: there is one busy M a CPU, and sysmon.
const slice = 2_000_000

func current(c *percpu) *thread { return &threads[c.current] }

// setCurrent makes thread n the one that this CPU continues at the end of
// the entry in progress (assembly calls resume).
func (c *percpu) setCurrent(n int32) {
	t := &threads[n]
	t.state = threadRunning
	t.cpu = c.id
	c.current = n
	c.frameTop = addressOf(&t.frame) + frameSize
	c.setIST1(c.frameTop)
	c.sliceEnd = 0
}

func pushReady(n int32) {
	t := &threads[n]
	t.state = threadReady
	t.next = -1
	if runTail < 0 {
		runHead = n
	} else {
		threads[runTail].next = n
	}
	runTail = n
}

func pushReadyFront(n int32) {
	t := &threads[n]
	t.state = threadReady
	t.next = runHead
	if runHead < 0 {
		runTail = n
	}
	runHead = n
}

func popReady() int32 {
	n := runHead
	if n >= 0 {
		runHead = threads[n].next
		if runHead < 0 {
			runTail = -1
		}
	}
	return n
}

// wake makes a blocked thread ready with the given result of its call.
func wake(n int32, result uint64) {
	t := &threads[n]
	unsleep(n)
	t.frame.RAX = result
	pushReady(n)
	wakeCPU()
}

// wakeCPU finds a CPU for the threads in the run queue: an idle one that is
// not on its way already; else this CPU's thread is given a last slice.
func wakeCPU() {
	c := thisCPU()
	if c.current == c.idle && !c.waking {
		c.waking = true // it looks when it leaves metal
		return
	}
	for i := range ncpu {
		o := cpuAt(i)
		if o.current == o.idle && !o.waking && o.online == cpuOnline {
			o.waking = true
			sendIPI(o.apicID, vectorReschedule)
			return
		}
	}
	if c.sliceEnd == 0 {
		c.sliceEnd = Nanotime() + slice
		c.armTimer()
	}
}

// schedule picks the thread to run when the current one cannot go on.
func (c *percpu) schedule() {
	n := popReady()
	if n < 0 {
		c.sliceEnd = 0
		n = c.idle
		if irqWaiting() {
			// Interrupts that a goroutine was to notice on its way
			// to ring 3: there is none on this CPU any more.
			if announceIRQ() {
				n = popReady()
			}
		}
	}
	c.setCurrent(n)
	c.waking = false
	if n == c.idle {
		c.leaveRoot()
	}
	if runHead >= 0 && n != c.idle {
		wakeCPU()
	}
}

// newThread returns the index of a free thread, -1 if there is none.
func newThread() int32 {
	for n := int32(maxCPUs); n < maxThreads; n++ {
		if threads[n].state == threadFree {
			return n
		}
	}
	return -1
}

// makeIdle sets up the CPU's idle thread and makes it current.
func (c *percpu) makeIdle(s *exceptionStacks) {
	c.idle = int32(c.id)
	t := &threads[c.idle]
	t.fs = c.fakeFS
	t.mask = ^uint64(0)
	t.frame = Frame{
		RIP: uint64(idleLoopAddr()), CS: 0x10, SS: 0x18, RFLAGS: 0x202,
		RSP: uint64(top(&s.idle)),
	}
	c.setCurrent(c.idle)
}

// sysClone serves clone(2) as the runtime calls it.
func sysClone(c *percpu, f *Frame) uint64 {
	const settls = 0x80000
	n := newThread()
	if n < 0 {
		return errno(eagain)
	}
	t := &threads[n]
	parent := current(c)
	*t = thread{frame: *f, fs: parent.fs, mask: parent.mask}
	t.frame.RAX = 0
	t.frame.RSP = f.RSI
	if f.RDI&settls != 0 {
		t.fs = uintptr(f.R8)
	}
	t.altFlag = ssDisable
	pushReady(n)
	wakeCPU()
	return uint64(n) + firstTID
}

// sysExit ends the current thread. Nothing of its stack may be touched.
func sysExit(c *percpu) {
	t := current(c)
	t.state = threadFree
	c.schedule()
}

func sysYield(c *percpu) bool {
	if runHead < 0 {
		return false
	}
	pushReady(c.current)
	c.schedule()
	return true
}
