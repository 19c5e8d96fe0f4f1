// Package task is processes and threads: the thread's loop around cpu.Switch,
// thread groups, signals, futexes, scheduling calls, limits, credentials,
// and waiting for children.
//
// A thread is a goroutine. It runs Thread.run: enter ring 3, come back with
// an event, serve it, deliver signals, enter again. System calls are served
// by the function that package syscalls installs with SetSyscallHandler, so
// that task does not import the layer above it.
//
// Lock order (outer first): futex bucket, tasks.mu (the pid table and the
// process tree), Process.mu, sigHandlers.mu, wait.Queue, clock. piOwners.mu is
// a leaf. Two Process.mu are never held together. User memory is reached with
// no lock held but a futex bucket's.
package task

import (
	"sync"
	"sync/atomic"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/ipc"
	"husk/kernel/loader"
	"husk/kernel/mm"
	"husk/kernel/seccomp"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Process is a thread group: what getpid(2) names. Parts that clone shares
// or copies by its flags hang off it by pointer.
type Process struct {
	tgid  int
	start int64 // monotonic time of creation

	// Guarded by tasks.mu.
	parent     *Process
	ppid       atomic.Int32 // parent's number, for those without the lock
	creator    *Thread      // thread of parent that made it, for __WNOTHREAD
	children   []*Process
	childIndex int // in parent.children
	tracing    int // how many threads its threads trace
	group      *Group
	groupIndex int // in group.members
	state      processState
	adopted    bool // orphan that the machine reaps because pid 1 may not know it
	execed     bool // has called execve since it was created (setpgid)
	exitSignal int  // sent to the parent at the end; 0: none, not for plain wait

	// childWait announces changes of children to wait4 and waitid; ended
	// announces the end of this process to pidfds.
	childWait wait.Queue
	ended     wait.Queue

	limits limits

	mu sync.Mutex // guards what follows; see the package comment

	threads []*Thread // in no order; the leader stays until it is reaped
	leader  *Thread
	live    int // threads that have not begun to exit

	mem *mm.AddressSpace // nil once the last thread is gone
	exe *vfs.File        // what /proc/PID/exe shows; nil with mem
	// program is what the loader said of it; immutable.
	program *loader.Program

	handlers  *sigHandlers
	shared    sigQueue    // process-wide pending signals
	sigWatch  wait.Queue  // signalfd: a signal has been queued
	turn      uint        // of the thread that takes the next profiling signal
	stop      stopState   // job control
	exiting   bool        // the whole group ends, with exitStatus
	execer    *Thread     // thread that waits for the others to end, to exec
	exitStats exitStats   // what remains of threads that are gone
	reaped    childStats  // what remains of children that were waited for
	itimer    [3]itimer   // real, virtual, prof
	posix     posixTimers // timer_create
	cpuLimit  cpuLimit    // RLIMIT_CPU

	exitStatus int       // as wait4 returns it, once exiting or a zombie
	dump       *coreDump // the core file that is being written
	crash      *Crash    // of the fatal signal, if its cause is known

	subreaper   atomic.Bool   // PR_SET_CHILD_SUBREAPER
	thpDisabled atomic.Bool   // PR_SET_THP_DISABLE
	mceKill     atomic.Uint32 // PR_MCE_KILL, exclusive or'ed with its default
	dumpable    atomic.Int32
	personality atomic.Uint32
	oomScoreAdj atomic.Int32
	oomTried    bool          // killed for its memory without avail (oom.mu)
	coreFilter  atomic.Uint32 // /proc/PID/coredump_filter, exclusive or'ed with its default
}

type processState uint8

const (
	alive  processState = iota
	zombie              // waits to be waited for
	dead                // has been waited for
)

// Thread is one schedulable thread (Linux's task_struct). Fields without a
// lock noted belong to the thread's own goroutine.
type Thread struct {
	cpu.Context

	// work is what must be done before ring 3 is entered again. Bits are set
	// by anybody and cleared by the thread itself.
	work atomic.Uint32

	mem *mm.AddressSpace // replaced by exec only

	calls   uint32                   // counts system calls, to sample their time
	path    atomic.Pointer[callPath] // how they are served
	watched atomic.Uint32            // why they take the long way: Watch…

	TID     int // changed by exec only, with tasks.mu and Process.mu held
	Process *Process

	// files and fs are shared or copied by clone's flags. The pointers are
	// replaced only by the thread itself, with Process.mu held, so that
	// others may read them under it.
	files *vfs.FDTable
	fs    *vfs.FSContext

	semUndo *ipc.UndoList // nil until it is needed

	cred atomic.Pointer[cred.Cred]
	user *user // the real user's counts; replaced with cred

	sleep  sleepState
	queued wait.Waiter // of the blocking call that is under way; see Waiter
	away   bool        // the thread has left a call; see Leave
	left   departure   // which
	recall wait.Waiter // what brings it back
	keeper *worker     // that waits while the thread is away, and goes on with it; nil for none
	next   *Thread     // to go on with when the thread waits; it was away and is woken
	time   cpuClock

	// IO and Vec are the buffer and a short scatter list of the read or write
	// in progress. They live here because what is passed to a file's
	// behaviour would otherwise be allocated for each call.
	IO  mm.Buffer
	Vec [8]mm.IOVec

	// Signals. blocked is written by the thread with Process.mu held, and
	// read by it without.
	pending   sigQueue // guarded by Process.mu
	blocked   SigSet
	savedMask SigSet // mask to return to; valid with workRestoreMask
	jobStop   bool   // has to take part in a group stop; guarded by Process.mu
	stopped   bool   // takes part in a group stop; guarded by Process.mu
	gone      bool   // has begun to exit; guarded by Process.mu
	altstack  AltStack
	fault     faultState // trap number and so on, for signal frames
	frame     []byte     // for signal frames that are not built in place
	restart   func(*Thread) (uintptr, error)

	exitCode int  // wait status of this thread; valid with workKill
	index    int  // in Process.threads, guarded by Process.mu
	unlisted bool // no longer in it

	clearTID   mm.Addr       // CLONE_CHILD_CLEARTID, set_tid_address
	robustList atomic.Uint64 // set_robust_list; others read it
	pi         piState
	waiter     futexWaiter // of the one futex the thread waits for
	futexWoken atomic.Bool // set by who wakes waiter
	vfork      *vforkWait  // of the parent that waits for this thread's exec or exit

	filter  atomic.Pointer[seccomp.Filter] // see seccomp.go
	pt      atomic.Pointer[ptrace]         // nil: not traced; see ptrace.go
	tracees []*Thread                      // what t traces, guarded by tasks.mu
	debug   *debugState                    // debug registers, set by the tracer
	// traceEventNr is what the tracer of the parent is told of the clone.
	traceEventNr uint8

	attr schedAttr // policy, nice, affinity; guarded by Process.mu

	name        atomic.Pointer[string]
	deathSignal atomic.Int32 // PR_SET_PDEATHSIG
	timerSlack  int64

	faults, voluntary, involuntary atomic.Int64 // for getrusage
}

// The bits of Thread.work.
const (
	workSignal      = 1 << iota // signals may be pending, or a job-control stop
	workKill                    // the thread must end
	workRestoreMask             // savedMask is to become the mask

	// workInterrupt is what makes an interruptible sleep end.
	workInterrupt = workSignal | workKill
)

// The methods below make Thread a vfs.Caller.

// AddressSpace is the thread's memory.
func (t *Thread) AddressSpace() *mm.AddressSpace { return t.mem }

// Cred returns the thread's credentials.
func (t *Thread) Cred() *cred.Cred { return t.cred.Load() }

// FS returns the thread's root, working directory and umask.
func (t *Thread) FS() *vfs.FSContext { return t.fs }

// Files returns the thread's descriptor table.
func (t *Thread) Files() *vfs.FDTable { return t.files }

// TGID is the number of the thread's process.
func (t *Thread) TGID() int { return t.Process.tgid }

// FileSizeLimit is RLIMIT_FSIZE.
func (t *Thread) FileSizeLimit() uint64 { return t.Process.Limit(RlimitFsize) }

// Waiter returns the thread's registration for blocking calls, nil when it is
// in use.
func (t *Thread) Waiter() *wait.Waiter {
	if t.queued.Registered() {
		return nil
	}
	return &t.queued
}

// SyscallHandler serves the system call whose registers are in t and leaves
// its result in t.RAX.
type SyscallHandler func(t *Thread)

// callPath is a way that system calls take. That each thread has its own spares
// those that nobody watches the question.
type callPath struct{ serve SyscallHandler }

var direct, watched callPath

// SetSyscallHandlers installs what serves system calls, before any thread runs:
// of threads that nobody watches, and of those with a tracer or a filter.
func SetSyscallHandlers(h, w SyscallHandler) { direct.serve, watched.serve = h, w }

// watch has the thread's calls take the long way. They stay there when the
// reason is gone.
func (t *Thread) watch(why uint32) {
	t.watched.Or(why)
	t.path.Store(&watched)
}

// Name is the thread's name, comm in /proc.
func (t *Thread) Name() string {
	if p := t.name.Load(); p != nil {
		return *p
	}
	return ""
}

// SetName sets the thread's name, cut to the 15 bytes that Linux keeps.
func (t *Thread) SetName(s string) {
	if len(s) > 15 {
		s = s[:15]
	}
	t.name.Store(&s)
}

// cpuClock is the CPU time of a thread in one word, so that others read it
// whole: nanoseconds shifted left by one, and bit 0 set while it runs; then
// the current time is to be added.
type cpuClock struct {
	word atomic.Int64
	// sys is the estimated part of it that was spent in the kernel.
	sys atomic.Int64
}

func (c *cpuClock) resume() { c.resumeAt(clock.Now()) }
func (c *cpuClock) pause()  { c.pauseAt(clock.Now()) }

func (c *cpuClock) resumeAt(now int64) { c.word.Store((c.word.Load()>>1-now)<<1 | 1) }
func (c *cpuClock) pauseAt(now int64)  { c.word.Store((c.word.Load()>>1 + now) << 1) }

// running says whether time passes now.
func (c *cpuClock) running() bool { return c.word.Load()&1 != 0 }

func (c *cpuClock) total() int64 {
	w := c.word.Load()
	if w&1 != 0 {
		return w>>1 + clock.Now()
	}
	return w >> 1
}

// split divides the total into user and system time.
func (c *cpuClock) split() (user, sys int64) {
	total := c.total()
	sys = min(c.sys.Load(), total)
	return total - sys, sys
}
