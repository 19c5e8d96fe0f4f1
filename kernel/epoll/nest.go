package epoll

import (
	"sync"

	"husk/kernel/vfs"
)

// nestMu makes the test for loops and the addition one step: without it two
// threads could close a loop from both sides.
var nestMu sync.Mutex

// mayWatch reports whether ep may watch inner: no loop, and no chain longer
// than maxNests. nestMu is held.
func (ep *Epoll) mayWatch(inner *Epoll) bool {
	down, loop := inner.depth(ep, 0)
	return !loop && down+1+ep.height(0) <= maxNests
}

// depth is the length of the longest chain of epolls below ep; loop says that
// one of them is target.
func (ep *Epoll) depth(target *Epoll, level int) (deepest int, loop bool) {
	if ep == target || level > maxNests {
		return 0, true
	}
	ep.mu.Lock()
	var inner []*Epoll
	for k := range ep.items {
		if e := Of(k.f); e != nil {
			inner = append(inner, e)
		}
	}
	ep.mu.Unlock()
	for _, e := range inner {
		d, l := e.depth(target, level+1)
		if l {
			return 0, true
		}
		deepest = max(deepest, d+1)
	}
	return deepest, false
}

// height is the length of the longest chain of epolls above ep.
func (ep *Epoll) height(level int) int {
	highest := 0
	if level > maxNests {
		return 0
	}
	for p := range ep.parents {
		highest = max(highest, p.height(level+1)+1)
	}
	return highest
}

// unnest notes that ep no longer watches f.
func (ep *Epoll) unnest(f *vfs.File) {
	inner := Of(f)
	if inner == nil {
		return
	}
	nestMu.Lock()
	if inner.parents[ep]--; inner.parents[ep] <= 0 {
		delete(inner.parents, ep)
	}
	nestMu.Unlock()
}
