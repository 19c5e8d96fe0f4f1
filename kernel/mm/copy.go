package mm

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// pin finds the page of a and locks the table that maps it, so that the page
// stays. It returns nil, with nothing locked, when the page is not mapped for
// the access. mu is held for reading.
func (as *AddressSpace) pin(a Addr, need uint64) (*[PageSize]byte, *frame) {
	var p *uint64
	if w := as.near(a).Load(); w>>32 == uint64(a>>30)+1 {
		p = &tableAt(uint32(w))[a>>tableShift&511]
	} else if p = as.walk(a); p == nil {
		return nil, nil
	}
	for {
		e := load(p)
		if e&need != need {
			return nil, nil
		}
		n := pteFrame(e)
		f := frameAt(n)
		f.mu.Lock()
		// A thread of this address space may have unshared the table.
		if load(p) == e {
			if e = load(entryAt(n, a)); e&need == need {
				return pageAt(pteFrame(e)), f
			}
			f.mu.Unlock()
			return nil, nil
		}
		f.mu.Unlock()
	}
}

const (
	needRead  = ptePresent
	needWrite = ptePresent | pteWrite
)

// CopyOut copies p to user memory at a; CopyIn copies user memory at a to p.
// They return how many bytes were copied, and EFAULT if not all.
func (as *AddressSpace) CopyOut(a Addr, p []byte) (int, error) {
	if a < userMax && len(p) <= PageSize-int(a&pageMask) { // as nearly all are
		as.mu.RLock()
		if page, f := as.pin(a, needWrite); page != nil {
			copy(page[a&pageMask:], p)
			f.mu.Unlock()
			as.mu.RUnlock()
			return len(p), nil
		}
		as.mu.RUnlock()
	}
	return as.copyOut(a, p, false)
}

// directMin is how long a copy within the direct map is worth the special way.
const directMin = 1024

// copyOut is CopyOut; direct says that p is in the direct map.
func (as *AddressSpace) copyOut(a Addr, p []byte, direct bool) (int, error) {
	done := 0
	for done < len(p) {
		if a >= userMax {
			return done, unix.EFAULT
		}
		as.mu.RLock()
		page, f := as.pin(a, needWrite)
		if page == nil {
			as.mu.RUnlock()
			if as.Fault(a, Write) != nil {
				return done, unix.EFAULT
			}
			continue
		}
		n := min(PageSize-int(a&pageMask), len(p)-done)
		if direct && n >= directMin {
			copyApart(page[a&pageMask:][:n], p[done:][:n])
		} else {
			copy(page[a&pageMask:], p[done:])
		}
		f.mu.Unlock()
		as.mu.RUnlock()
		done += n
		a += Addr(n)
	}
	return done, nil
}

// CopyIn copies from user memory.
func (as *AddressSpace) CopyIn(p []byte, a Addr) (int, error) {
	if a < userMax && len(p) <= PageSize-int(a&pageMask) {
		as.mu.RLock()
		if page, f := as.pin(a, needRead); page != nil {
			copy(p, page[a&pageMask:])
			f.mu.Unlock()
			as.mu.RUnlock()
			return len(p), nil
		}
		as.mu.RUnlock()
	}
	return as.copyIn(p, a, false)
}

// copyIn is CopyIn; direct says that p is in the direct map.
func (as *AddressSpace) copyIn(p []byte, a Addr, direct bool) (int, error) {
	done := 0
	for done < len(p) {
		if a >= userMax {
			return done, unix.EFAULT
		}
		as.mu.RLock()
		page, f := as.pin(a, needRead)
		if page == nil {
			as.mu.RUnlock()
			if as.Fault(a, Read) != nil {
				return done, unix.EFAULT
			}
			continue
		}
		n := min(PageSize-int(a&pageMask), len(p)-done)
		if direct && n >= directMin {
			copyApart(p[done:][:n], page[a&pageMask:][:n])
		} else {
			copy(p[done:], page[a&pageMask:][:n])
		}
		f.mu.Unlock()
		as.mu.RUnlock()
		done += n
		a += Addr(n)
	}
	return done, nil
}

// copyApart copies within the direct map. A page that a program writes to the
// file that it maps is both sides at once.
func copyApart(dst, src []byte) {
	if overlap(dst, src) {
		copy(dst, src)
		return
	}
	cpu.CopyDirect(dst, src)
}

// Zero clears n bytes of user memory at a (what CopyOut of zeros does).
func (as *AddressSpace) Zero(a Addr, n int) (int, error) {
	done := 0
	for done < n {
		k, err := as.CopyOut(a+Addr(done), zeros[:min(n-done, PageSize)])
		done += k
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// CopyInString reads a NUL-terminated string of at most limit bytes without
// its NUL: EFAULT, or ENAMETOOLONG when there is no NUL within limit.
func (as *AddressSpace) CopyInString(a Addr, limit int) (string, error) {
	var text []byte
	for len(text) < limit {
		if a >= userMax {
			return "", unix.EFAULT
		}
		as.mu.RLock()
		page, f := as.pin(a, needRead)
		if page == nil {
			as.mu.RUnlock()
			if as.Fault(a, Read) != nil {
				return "", unix.EFAULT
			}
			continue
		}
		chunk := page[a&pageMask:]
		chunk = chunk[:min(len(chunk), limit-len(text))]
		end := indexNUL(chunk)
		if end >= 0 {
			chunk = chunk[:end]
		}
		if text == nil && end >= 0 {
			text = make([]byte, len(chunk))
			copy(text, chunk)
		} else {
			text = append(text, chunk...)
		}
		f.mu.Unlock()
		as.mu.RUnlock()
		if end >= 0 {
			return stringOf(text), nil
		}
		a += Addr(len(chunk))
	}
	return "", unix.ENAMETOOLONG
}

func indexNUL(p []byte) int {
	for i, b := range p {
		if b == 0 {
			return i
		}
	}
	return -1
}

// ReadStruct fills *v from user memory at a: EFAULT if it cannot all be read.
// T holds no pointers.
func ReadStruct[T any](as *AddressSpace, a Addr, v *T) error {
	_, err := as.CopyIn(bytesOf(v), a)
	return err
}

// WriteStruct stores *v in user memory at a.
func WriteStruct[T any](as *AddressSpace, a Addr, v *T) error {
	_, err := as.CopyOut(a, bytesOf(v))
	return err
}

// ReadSlice fills s from the array at a.
func ReadSlice[T any](as *AddressSpace, a Addr, s []T) error {
	_, err := as.CopyIn(bytesOfSlice(s), a)
	return err
}

// WriteSlice stores the elements of s at a.
func WriteSlice[T any](as *AddressSpace, a Addr, s []T) error {
	_, err := as.CopyOut(a, bytesOfSlice(s))
	return err
}

// Pinned is user memory that may be accessed in place until Unpin. Its holder
// must neither block nor use the address space.
type Pinned struct {
	B     []byte
	as    *AddressSpace
	frame *frame
}

// Pin makes n bytes at a accessible in place; ok is false, and nothing
// pinned, when they do not lie in one page or cannot be accessed so.
func (as *AddressSpace) Pin(a Addr, n int, access Access) (p Pinned, ok bool) {
	need := uint64(needRead)
	if access == Write {
		need = needWrite
	}
	for n <= PageSize-int(a&pageMask) && a < userMax {
		as.mu.RLock()
		if page, f := as.pin(a, need); page != nil {
			return Pinned{page[a&pageMask:][:n:n], as, f}, true
		}
		as.mu.RUnlock()
		if as.Fault(a, access) != nil {
			break
		}
	}
	return p, false
}

// Unpin ends what Pin began.
func (p *Pinned) Unpin() { p.as.unpin(p.frame) }

// pinWord is pin for a word of size bytes, faulting as needed. It returns
// with mu held for reading and the table locked, unless there is an error.
func (as *AddressSpace) pinWord(a Addr, size Addr, need uint64, access Access) (*[PageSize]byte, *frame, error) {
	if a&(size-1) != 0 {
		return nil, nil, unix.EINVAL
	}
	for {
		if a >= userMax {
			return nil, nil, unix.EFAULT
		}
		as.mu.RLock()
		if page, f := as.pin(a, need); page != nil {
			return page, f, nil
		}
		as.mu.RUnlock()
		if as.Fault(a, access) != nil {
			return nil, nil, unix.EFAULT
		}
	}
}

func (as *AddressSpace) unpin(f *frame) {
	f.mu.Unlock()
	as.mu.RUnlock()
}

// Load32, Store32, CompareAndSwap32 and Load64, Store64 are atomic accesses
// to aligned user words: EFAULT for a bad address, EINVAL if misaligned.
func (as *AddressSpace) Load32(a Addr) (uint32, error) {
	page, f, err := as.pinWord(a, 4, needRead, Read)
	if err != nil {
		return 0, err
	}
	v := atomic.LoadUint32(word32(page, a))
	as.unpin(f)
	return v, nil
}

// Store32 stores a word.
func (as *AddressSpace) Store32(a Addr, v uint32) error {
	page, f, err := as.pinWord(a, 4, needWrite, Write)
	if err != nil {
		return err
	}
	atomic.StoreUint32(word32(page, a), v)
	as.unpin(f)
	return nil
}

// Load64 loads a double word.
func (as *AddressSpace) Load64(a Addr) (uint64, error) {
	page, f, err := as.pinWord(a, 8, needRead, Read)
	if err != nil {
		return 0, err
	}
	v := atomic.LoadUint64(word64(page, a))
	as.unpin(f)
	return v, nil
}

// Store64 stores a double word.
func (as *AddressSpace) Store64(a Addr, v uint64) error {
	page, f, err := as.pinWord(a, 8, needWrite, Write)
	if err != nil {
		return err
	}
	atomic.StoreUint64(word64(page, a), v)
	as.unpin(f)
	return nil
}

// CompareAndSwap32 stores new if the word is old. It returns the word as it
// was and whether it was swapped.
func (as *AddressSpace) CompareAndSwap32(a Addr, old, new uint32) (uint32, bool, error) {
	page, f, err := as.pinWord(a, 4, needWrite, Write)
	if err != nil {
		return 0, false, err
	}
	defer as.unpin(f)
	p := word32(page, a)
	for {
		if atomic.CompareAndSwapUint32(p, old, new) {
			return old, true, nil
		}
		if v := atomic.LoadUint32(p); v != old {
			return v, false, nil
		}
	}
}

// FutexKey identifies the word at a across address spaces: by frame-owning
// object and offset when the mapping is shared, else by this address space
// and address (futex(2)).
type FutexKey struct {
	Object any
	Offset uint64
}

// FutexKey returns the key of the futex word at a; private skips the look-up.
func (as *AddressSpace) FutexKey(a Addr, private bool) (FutexKey, error) {
	if a >= userMax {
		return FutexKey{}, unix.EFAULT
	}
	if private {
		return FutexKey{as, uint64(a)}, nil
	}
	as.mu.RLock()
	defer as.mu.RUnlock()
	v := as.find(a)
	switch {
	case v == nil || v.flags&vmAccess == 0:
		return FutexKey{}, unix.EFAULT
	case v.private():
		return FutexKey{as, uint64(a)}, nil
	}
	return FutexKey{v.cache, v.page(a)<<PageShift | uint64(a&pageMask)}, nil
}
