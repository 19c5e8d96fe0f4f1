// Package seccomp is filters of system calls (seccomp(2)): classic BPF programs
// over a call's number and arguments, checked and run as Linux does. A filter
// never changes once it is made, and may be shared by threads.
package seccomp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/bpf"
)

// What a filter's result asks for; the lower half is data.
const (
	KillProcess = 0x80000000
	KillThread  = 0x00000000
	Trap        = 0x00030000
	Errno       = 0x00050000
	Notify      = 0x7fc00000
	Trace       = 0x7ff00000
	Log         = 0x7ffc0000
	Allow       = 0x7fff0000

	ActionMask = 0xffff0000
	DataMask   = 0x0000ffff
)

// Arch is AUDIT_ARCH_X86_64, the only one there is.
const Arch = 0xc000003e

// Data is struct seccomp_data.
type Data struct {
	NR   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// dataSize is the size of struct seccomp_data.
const dataSize = 64

const (
	maxInstructions = 4096  // BPF_MAXINSNS
	maxPath         = 32768 // MAX_INSNS_PER_PATH
	perFilter       = 4     // what each filter counts beside its instructions
	numbers         = 512   // calls whose fate is remembered
)

// Filter is a program with those that were installed before it, all of which
// run; or strict mode.
type Filter struct {
	prog   []bpf.Instruction
	prev   *Filter
	strict bool
	total  int // instructions of all, as Linux counts them
	count  int
	users  atomic.Int64 // threads, and filters on top that have users

	// Listener is who decides about calls with the result Notify, nil when
	// nobody does; OnUnused is called when the last user is gone. They are set
	// before the filter is used.
	Listener any
	OnUnused func()

	// known and allow say of which calls it is known whether they are allowed
	// whatever their arguments, and of which they are.
	known, allow [numbers / 64]atomic.Uint64
}

// Strict is the filter of SECCOMP_MODE_STRICT.
func Strict() *Filter { return &Filter{strict: true} }

// New makes a filter of a program, an array of struct sock_filter, on top of
// prev: EINVAL, ENOMEM.
func New(program []byte, prev *Filter) (*Filter, error) {
	n := len(program) / 8
	if n == 0 || n > maxInstructions {
		return nil, unix.EINVAL
	}
	f := &Filter{prog: bpf.Parse(program), prev: prev, total: n, count: 1}
	if !bpf.Valid(f.prog, loads) {
		return nil, unix.EINVAL
	}
	if prev != nil {
		f.total += prev.total + perFilter
		f.count += prev.count
	}
	if f.total > maxPath {
		return nil, unix.ENOMEM
	}
	return f, nil
}

// Use counts one more thread that has the filter, Drop one less.
func (f *Filter) Use() {
	for f != nil && f.users.Add(1) == 1 {
		f = f.prev
	}
}

// Drop is described at Use.
func (f *Filter) Drop() {
	for f != nil && f.users.Add(-1) == 0 {
		if f.OnUnused != nil {
			f.OnUnused()
		}
		f = f.prev
	}
}

// Unused reports whether no thread has the filter.
func (f *Filter) Unused() bool { return f.users.Load() == 0 }

// Listened reports whether f or a filter below it has a listener.
func (f *Filter) Listened() bool {
	for f != nil && f.Listener == nil {
		f = f.prev
	}
	return f != nil
}

// Strict reports whether f is strict mode.
func (f *Filter) Strict() bool { return f.strict }

// Count is how many programs run.
func (f *Filter) Count() int { return f.count }

// Program returns program number i, the first installed being 0, as struct
// sock_filter; nil when there is none.
func (f *Filter) Program(i int) []byte {
	for f != nil && f.count != i+1 {
		f = f.prev
	}
	if f == nil {
		return nil
	}
	return bpf.Bytes(f.prog)
}

// Descends reports whether f is g or was installed on top of it.
func (f *Filter) Descends(g *Filter) bool {
	for f != nil && f != g {
		f = f.prev
	}
	return f == g
}

// Allows reports whether the call is allowed whatever its arguments are.
func (f *Filter) Allows(nr uint64) bool {
	if nr >= numbers {
		return false
	}
	word, bit := nr/64, uint64(1)<<(nr%64)
	if f.allow[word].Load()&bit != 0 {
		return true
	}
	if f.known[word].Load()&bit != 0 {
		return false
	}
	all := !f.strict
	for g := f; g != nil && all; g = g.prev {
		all = alwaysAllows(g.prog, uint32(nr))
	}
	if all {
		f.allow[word].Or(bit)
	}
	f.known[word].Or(bit)
	return all
}

// Run returns the result that takes precedence among those of all programs, and
// the filter whose it is if it does not allow the call.
func (f *Filter) Run(d *Data) (result uint32, by *Filter) {
	if f.strict {
		switch d.NR {
		case unix.SYS_READ, unix.SYS_WRITE, unix.SYS_EXIT, unix.SYS_RT_SIGRETURN:
			return Allow, nil
		}
		return KillThread, f
	}
	result = Allow
	for ; f != nil; f = f.prev {
		if r := bpf.Run(f.prog, d); int32(r&ActionMask) < int32(result&ActionMask) {
			result, by = r, f
		}
	}
	return result, by
}
