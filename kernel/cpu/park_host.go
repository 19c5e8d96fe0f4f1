//go:build !baremetal

package cpu

import (
	"sync"
	"sync/atomic"
)

// Parker is where a goroutine parks. It is not on a stack.
type Parker struct {
	once  sync.Once
	ready chan struct{}
}

// Park parks the calling goroutine, changing word from one value to another
// at the moment from which Ready works; it returns at once when word has
// another value.
func (p *Parker) Park(word *atomic.Uint32, from, to uint32) {
	p.once.Do(func() { p.ready = make(chan struct{}, 1) })
	if word.CompareAndSwap(from, to) {
		<-p.ready
	}
}

// Ready makes the goroutine that is parked go on. It is for the one who has
// changed the word from the value that says so.
func (p *Parker) Ready() { p.ready <- struct{}{} }
