package mm

import "golang.org/x/sys/unix"

// Commit counts n pages of shared memory as committed, as far as the policy of
// overcommitment allows; Uncommit takes them back.
func Commit(n uint64) bool {
	if !mayCommit(n, 0) {
		return false
	}
	committed.Add(int64(n))
	return true
}

// Uncommit is described at Commit.
func Uncommit(n uint64) { committed.Add(-int64(n)) }

// Detach serves shmdt(2): it unmaps the mapping that was made at a of a file
// that belongs to shared memory, of which segment tells the size. Parts of the
// mapping that have been replaced since stay.
func (as *AddressSpace) Detach(a Addr, segment func(Mappable) (uint64, bool)) error {
	as.mu.Lock()
	defer as.unlock()
	var file Mappable
	end := userMax
	for i := as.index(a); i < len(as.vmas) && as.vmas[i].start < end; {
		v := as.vmas[i]
		switch {
		case v.file == nil || v.start < a || v.off != uint64(v.start-a)>>PageShift:
		case file == nil:
			size, ok := segment(v.file)
			if !ok {
				break
			}
			file, end = v.file, a+Addr(pages(size)<<PageShift)
		}
		if file == nil || v.file != file || v.start < a || v.off != uint64(v.start-a)>>PageShift {
			i++
			continue
		}
		if err := as.unmapLocked(v.start, v.end); err != nil {
			return err
		}
		i = as.index(a)
	}
	if file == nil {
		return unix.EINVAL
	}
	return nil
}

// Files calls f for the file of each mapping that has one.
func (as *AddressSpace) Files(f func(Mappable)) {
	as.mu.RLock()
	defer as.mu.RUnlock()
	for _, v := range as.vmas {
		if v.file != nil {
			f(v.file)
		}
	}
}
