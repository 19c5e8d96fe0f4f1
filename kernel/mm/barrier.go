package mm

import "sync"

// spaces is the list of all address spaces, for barriers that concern every
// CPU. mu comes before no other lock and is taken with none held.
var spaces struct {
	mu    sync.Mutex
	first *AddressSpace
}

func (as *AddressSpace) enlist() {
	spaces.mu.Lock()
	as.nextSpace = spaces.first
	if as.nextSpace != nil {
		as.nextSpace.prevSpace = as
	}
	spaces.first = as
	spaces.mu.Unlock()
}

func (as *AddressSpace) delist() {
	spaces.mu.Lock()
	if as.prevSpace != nil {
		as.prevSpace.nextSpace = as.nextSpace
	} else {
		spaces.first = as.nextSpace
	}
	if as.nextSpace != nil {
		as.nextSpace.prevSpace = as.prevSpace
	}
	as.prevSpace, as.nextSpace = nil, nil
	spaces.mu.Unlock()
}

// Barrier returns after every CPU that runs a thread of this address space
// has executed a full memory barrier and serialised its instruction stream
// (membarrier(2)): the interrupt that asks for a TLB flush does both. Page
// zero is where nothing is lost by flushing.
func (as *AddressSpace) Barrier() { flushPage(as, 0) }

// BarrierAll does so for the CPUs that run any program.
func BarrierAll() {
	spaces.mu.Lock()
	defer spaces.mu.Unlock()
	for as := spaces.first; as != nil; as = as.nextSpace {
		flushPage(as, 0)
	}
}
