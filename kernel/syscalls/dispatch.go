package syscalls

import (
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/task"
)

// Thread is the thread that makes the call. It wraps task.Thread so that the
// calls can be its methods.
type Thread struct{ *task.Thread }

// handler serves one call with its arguments in t's registers.
type handler func(t Thread) (uintptr, error)

// Tracer is told of calls when tracing is on; package trace implements it.
type Tracer interface {
	Enter(t *task.Thread, nr uint64)
	Exit(t *task.Thread, nr uint64, result uintptr, err error)
}

// tracer is set once, before the first thread runs.
var tracer Tracer

// SetTracer turns tracing on. It must be called before the first program runs.
func SetTracer(tr Tracer) { tracer = tr }

// unknown counts the calls without a handler, by number; the last element
// takes those past the table.
var unknown [tableSize + 1]atomic.Uint64

// OnUnknown is called the first time a call without a handler is made, with
// its name or "" and its number. It is set at boot.
var OnUnknown = func(name string, nr uint64) {}

// Handle serves the system call in t's registers and leaves the result, or
// the negated errno, in RAX. It is the task package's SyscallHandler.
func Handle(t *task.Thread) {
	nr := t.RAX
	if nr < tableSize {
		if h := table[nr]; h != nil {
			result, err := h(Thread{t})
			if err == nil {
				t.RAX = uint64(result)
				return
			}
			t.RAX = negated(err)
			return
		}
	}
	t.RAX = negated(unknownCall(nr))
}

// HandleWatched is Handle for a thread whose calls somebody may want to see:
// its tracer (ptrace(2)), its filter (seccomp(2)), the machine's strace.
func HandleWatched(t *task.Thread) {
	nr := t.RAX
	if t.Unhindered(nr) {
		Handle(t)
		return
	}
	t.RAX = negated(unix.ENOSYS)
	ok := t.SyscallEntry() && t.Filtered()
	if nr = t.OrigRAX; ok && nr != noCall {
		serveTraced(t, nr)
	}
	t.SyscallExit()
}

// noCall is the number that a tracer sets to have none made.
const noCall = ^uint64(0)

// serveTraced makes a call and tells the machine's strace, if there is one.
func serveTraced(t *task.Thread, nr uint64) {
	if tracer != nil {
		tracer.Enter(t, nr)
	}
	var result uintptr
	var err error
	if nr < tableSize && table[nr] != nil {
		result, err = table[nr](Thread{t})
	} else {
		err = unknownCall(nr)
	}
	if err != nil {
		t.RAX = negated(err)
	} else {
		t.RAX = uint64(result)
	}
	if tracer != nil {
		tracer.Exit(t, nr, result, err)
	}
}

// unknownCall counts a call that nothing serves and names it once.
func unknownCall(nr uint64) error {
	slot := min(nr, tableSize)
	if unknown[slot].Add(1) == 1 {
		name, _, _, _ := Describe(nr)
		OnUnknown(name, nr)
	}
	return unix.ENOSYS
}

// Describe returns the line of calls.txt for a number; the name is empty when
// there is none.
func Describe(nr uint64) (name, args, ret, classes string) {
	if nr >= tableSize || descriptionAt[nr] == 0 {
		return "", "", "", ""
	}
	text := descriptionText[descriptionAt[nr]-1:]
	var part [4]string
	for i := range part {
		part[i], text, _ = strings.Cut(text, "\n")
	}
	return part[0], part[1], part[2], part[3]
}

// negated is the value of RAX for an error. An error that is no errno is a
// defect of the kernel; the program sees EIO.
func negated(err error) uint64 {
	errno, ok := err.(unix.Errno)
	if !ok {
		errno = unix.EIO
	}
	return -uint64(errno)
}
