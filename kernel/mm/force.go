package mm

import "golang.org/x/sys/unix"

// This file is how a debugger reaches memory (ptrace(2), /proc/PID/mem): not as
// the program's access rights say but as the mapping could be made to allow.
// What is written to a private mapping stays in this address space.

// Peek fills p from memory at a, whatever its protection. It returns how many
// bytes were copied, and EFAULT if not all.
func (as *AddressSpace) Peek(a Addr, p []byte) (int, error) { return as.force(a, p, false) }

// Poke writes p to memory at a: private mappings may be read-only. It returns
// how many bytes were copied, and EFAULT if not all.
func (as *AddressSpace) Poke(a Addr, p []byte) (int, error) { return as.force(a, p, true) }

func (as *AddressSpace) force(a Addr, p []byte, write bool) (int, error) {
	done := 0
	for done < len(p) && a < userMax {
		chunk := p[done:][:min(PageSize-int(a&pageMask), len(p)-done)]
		n := 0
		if write {
			n, _ = as.CopyOut(a, chunk)
		} else {
			n, _ = as.CopyIn(chunk, a)
		}
		if n < len(chunk) && !as.forcePage(a+Addr(n), chunk[n:], write) {
			return done + n, unix.EFAULT
		}
		done += len(chunk)
		a += Addr(len(chunk))
	}
	if done < len(p) {
		return done, unix.EFAULT
	}
	return done, nil
}

// forcePage copies within one page that the program may not access so.
func (as *AddressSpace) forcePage(a Addr, p []byte, write bool) bool {
	for {
		as.mu.RLock()
		v := as.find(a)
		if v == nil || v.flags&vmMayRead == 0 || write && (!v.private() || v.flags&vmMayWrite == 0) {
			as.mu.RUnlock()
			return false
		}
		t, f := as.ownTable(a)
		if t == nil {
			as.mu.RUnlock()
			return false
		}
		e := &t[slot(a)]
		f.mu.Lock()
		if n := pteFrame(load(e)); holdsFrame(load(e)) && (!write || isAnon(n) && frames[n].refs.Load() == 1) {
			if at := pageAt(n)[a&pageMask:]; write {
				copy(at, p)
			} else {
				copy(p, at)
			}
			f.mu.Unlock()
			as.mu.RUnlock()
			return true
		}
		empty := load(e) == 0
		f.mu.Unlock()
		if empty && v.pte == 0 && !write && v.cache == nil {
			as.mu.RUnlock()
			clear(p) // never touched
			return true
		}
		// The fault makes a copy of the program's own and leaves it writable.
		o := faultAccErr
		if v.pte != 0 {
			o = as.faultIn(v, a, write, 1)
		}
		if o == faultDone && write {
			f.mu.Lock()
			if x := load(e); x&(ptePresent|pteWrite) == ptePresent|pteWrite && v.flags&vmWrite == 0 {
				store(e, x&^pteWrite)
				f.mu.Unlock()
				flushPage(as, a)
			} else {
				f.mu.Unlock()
			}
		}
		if o == faultFill {
			o = as.fillForFault(v, a) // releases mu
		} else {
			as.mu.RUnlock()
		}
		if o != faultDone && o != faultRetry {
			return false
		}
	}
}
