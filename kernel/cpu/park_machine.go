//go:build baremetal

package cpu

import (
	"sync/atomic"
	"unsafe"
)

// The runtime's own way to park a goroutine and to make it go on, which it
// keeps open to packages that schedule (proc.go, "go:linkname gopark"). It
// costs half of what a channel does. A test of metal/lint pins both.
//
//go:linkname gopark runtime.gopark
func gopark(unlock func(g, arg unsafe.Pointer) bool, arg unsafe.Pointer, reason, traceReason uint8, skip int)

//go:linkname goready runtime.goready
func goready(g unsafe.Pointer, skip int)

// Parker is where a goroutine parks. It is not on a stack.
type Parker struct {
	word     *atomic.Uint32
	from, to uint32
	g        uintptr // the runtime keeps all of them
}

// Park parks the calling goroutine, changing word from one value to another
// at the moment from which Ready works; it returns at once when word has
// another value.
func (p *Parker) Park(word *atomic.Uint32, from, to uint32) {
	p.word, p.from, p.to = word, from, to
	gopark(commitPark, unsafe.Pointer(p), 0, 0, 1)
}

// commitPark runs when the goroutine is off its stack.
//
//go:nosplit
func commitPark(g, arg unsafe.Pointer) bool {
	p := (*Parker)(arg)
	p.g = uintptr(g)
	return p.word.CompareAndSwap(p.from, p.to)
}

// Ready makes the goroutine that is parked go on. It is for the one who has
// changed the word from the value that says so.
func (p *Parker) Ready() {
	g := p.g
	goready(*(*unsafe.Pointer)(unsafe.Pointer(&g)), 1)
}
