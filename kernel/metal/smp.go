//go:build baremetal

package metal

import "sync/atomic"

// TLB shootdown. One request is in flight at a time, under shootLock. Whoever
// it concerns has interrupts on, or waits for a lock and looks there.

var (
	shootLock  spinlock
	shootRoot  uint64 // 0: kernel addresses, on every CPU
	shootStart uintptr
	shootEnd   uintptr // 0: everything
)

// flushAll removes translations on every CPU that may have them.
func flushAll(root uint64, start, end uintptr) {
	c := thisCPU()
	if root == 0 || c.root == root {
		flushHere(c, root, start, end)
	}
	if ncpu == 1 {
		return
	}
	shootLock.lock()
	shootRoot, shootStart, shootEnd = root, start, end
	for i := range ncpu {
		o := cpuAt(i)
		if o == c || atomic.LoadUint32(&o.online) == 0 {
			continue
		}
		if root != 0 && atomic.LoadUint64(&o.root) != root {
			continue
		}
		atomic.StoreUint32(&o.flush, 1)
		sendIPI(o.apicID, vectorFlush)
	}
	for i := range ncpu {
		for o := cpuAt(i); atomic.LoadUint32(&o.flush) != 0 && o != c; {
			serveFetch(c)
			pause()
		}
	}
	shootLock.unlock()
}

// serveFlush does what another CPU asked this one to.
func serveFlush(c *percpu) {
	if atomic.LoadUint32(&c.flush) == 0 {
		return
	}
	if shootRoot == forget {
		if c.root == uint64(shootStart) {
			c.loadRoot(kernelRoot)
		}
	} else {
		flushHere(c, shootRoot, shootStart, shootEnd)
	}
	atomic.StoreUint32(&c.flush, 0)
}

// flushHere removes translations on this CPU.
func flushHere(c *percpu, root uint64, start, end uintptr) {
	const many = 64 * pageSize
	if root == 0 && (end == 0 || end-start > many) {
		// Global translations survive a load of CR3.
		cr4 := readCR4()
		writeCR4(cr4 &^ cr4PGE)
		writeCR4(cr4)
		return
	}
	if end == 0 || end-start > many {
		writeCR3(c.root)
		return
	}
	for ; start < end; start += pageSize {
		invlpg(start)
	}
}

func (c *percpu) loadRoot(root uint64) {
	atomic.StoreUint64(&c.root, root)
	writeCR3(root)
}

// leaveRoot makes a CPU that has nothing to do forget the address space that
// it ran last, so that nobody need wake it to flush its translations. The
// field is written last: until then it is still asked.
func (c *percpu) leaveRoot() {
	if ncpu > 1 && c.root != kernelRoot {
		writeCR3(kernelRoot)
		atomic.StoreUint64(&c.root, kernelRoot)
	}
}

// forget, as shootRoot, asks CPUs to leave the root that shootStart holds.
const forget = ^uint64(0)

// forgetRoot makes sure that no CPU has root in CR3.
func forgetRoot(c *percpu, root uint64) {
	if c.root == root {
		c.loadRoot(kernelRoot)
	}
	// Nobody enters it any more, so that one look is enough.
	elsewhere := false
	for i := range ncpu {
		elsewhere = elsewhere || atomic.LoadUint64(&cpuAt(i).root) == root
	}
	if !elsewhere {
		return
	}
	shootLock.lock()
	shootRoot, shootStart = forget, uintptr(root)
	for i := range ncpu {
		o := cpuAt(i)
		if o != c && atomic.LoadUint64(&o.root) == root {
			atomic.StoreUint32(&o.flush, 1)
			sendIPI(o.apicID, vectorFlush)
		}
	}
	for i := range ncpu {
		for o := cpuAt(i); atomic.LoadUint32(&o.flush) != 0 && o != c; {
			serveFetch(c)
			pause()
		}
	}
	shootLock.unlock()
}

// haltOthers stops the other CPUs, for good.
func haltOthers() {
	c := thisCPU()
	for i := range ncpu {
		if o := cpuAt(i); o != c && atomic.LoadUint32(&o.online) != 0 {
			const nmi = 4 << 8
			sendICR(o.apicID, nmi|icrAssert)
		}
	}
}
