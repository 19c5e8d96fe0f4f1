package mm

import "golang.org/x/sys/unix"

// IOVec is one element of a scatter list in user memory.
type IOVec struct {
	Base Addr
	Len  int
}

// Buffer is the memory that takes part in one I/O operation: a list of ranges
// of user memory or one slice of kernel memory. Copying advances it. It is
// owned by the system call that made it and used by one goroutine at a time.
//
// CopyOut and CopyIn copy as much as is possible; the error is EFAULT when a
// user page could not be reached, and then the count says how much was done
// before it, which most calls return instead of the error.
type Buffer struct {
	as     *AddressSpace // nil: kernel memory
	cur    IOVec
	rest   []IOVec
	kernel []byte
	held   *Held // of a buffer of one
	left   int
}

// Held is a buffer that collects pages of the page cache instead of copying
// them, so that who sends a file on copies it once. What is not in the cache
// is copied into memory of its own.
type Held struct {
	pieces [heldPages][]byte
	frames [heldPages]uint32 // with a reference each; 0: of own memory
	n      int
	next   int // the piece that is read next
	bytes  int
}

// heldPages is how many pieces a Held has room for.
const heldPages = 17

// Fill makes a Buffer to read into; own is memory for what is no page. Release
// gives the pages back.
func (h *Held) Fill(own []byte) Buffer { return Buffer{kernel: own, held: h, left: len(own)} }

// Drain makes a Buffer of what was read, from the beginning.
func (h *Held) Drain() Buffer {
	h.next = 0
	return Buffer{held: h, left: h.bytes}
}

// Release gives the pages back.
func (h *Held) Release() {
	for i := range h.n {
		if f := h.frames[i]; f != 0 {
			putFrame(f)
		}
		h.pieces[i], h.frames[i] = nil, 0
	}
	h.n, h.next, h.bytes = 0, 0, 0
}

// add takes a piece, and the caller's reference to its frame.
func (h *Held) add(p []byte, frame uint32) bool {
	if h.n == heldPages {
		return false
	}
	h.pieces[h.n], h.frames[h.n] = p, frame
	h.n++
	h.bytes += len(p)
	return true
}

// hold takes k bytes of a page that has a reference; false if b does not
// collect pages or is full.
func (b *Buffer) hold(frame uint32, at, k int) bool {
	if b.held == nil || !b.held.add(pageAt(frame)[at:at+k], frame) {
		return false
	}
	b.left -= k
	if b.kernel != nil {
		b.kernel = b.kernel[:max(len(b.kernel)-k, 0)]
	}
	return true
}

// UserBuffer makes a Buffer of one range of user memory.
func UserBuffer(as *AddressSpace, base Addr, n int) Buffer {
	return Buffer{as: as, cur: IOVec{base, n}, left: n}
}

// VecBuffer makes a Buffer of several ranges. vec is kept, not copied; the
// sum of its lengths must fit an int.
func VecBuffer(as *AddressSpace, vec []IOVec) Buffer {
	b := Buffer{as: as, rest: vec}
	for _, v := range vec {
		b.left += v.Len
	}
	b.next()
	return b
}

// KernelBuffer makes a Buffer of kernel memory.
func KernelBuffer(p []byte) Buffer { return Buffer{kernel: p, left: len(p)} }

// Len is the number of bytes that are left.
func (b *Buffer) Len() int { return b.left }

// Limit shortens what is left to at most n bytes.
func (b *Buffer) Limit(n int) {
	if n < b.left {
		b.left = n
	}
}

// CopyOut copies p into the buffer (what read(2) does) and advances. It
// returns less than len(p) only when the buffer is full (nil error) or a page
// is bad (EFAULT).
func (b *Buffer) CopyOut(p []byte) (int, error) {
	if b.short(len(p)) {
		as, a := b.as, b.cur.Base
		as.mu.RLock()
		if page, f := as.pin(a, needWrite); page != nil {
			copy(page[a&pageMask:], p)
			f.mu.Unlock()
			as.mu.RUnlock()
			b.step(len(p))
			return len(p), nil
		}
		as.mu.RUnlock()
	}
	return b.copyOut(p, false)
}

// shortCopy is up to where a copy takes the short way.
const shortCopy = 512

// short reports whether n bytes lie in one page of user memory and are few:
// such copies are most of all, and are worth a way without loops.
func (b *Buffer) short(n int) bool {
	return n <= shortCopy && n <= b.cur.Len && n <= b.left && b.as != nil &&
		n <= PageSize-int(b.cur.Base&pageMask) && b.cur.Base < userMax
}

// step is advance for a range that is not left.
func (b *Buffer) step(n int) {
	b.cur.Base += Addr(n)
	b.cur.Len -= n
	b.left -= n
	if b.cur.Len == 0 && len(b.rest) > 0 {
		b.next()
	}
}

// copyOut is CopyOut; direct says that p is in the direct map.
func (b *Buffer) copyOut(p []byte, direct bool) (int, error) {
	if b.as == nil {
		n := copy(b.kernel[:b.left], p)
		if b.held != nil && n > 0 && !b.held.add(b.kernel[:n:n], 0) {
			b.left = 0 // full
			return 0, nil
		}
		b.kernel = b.kernel[n:]
		b.left -= n
		return n, nil
	}
	done := 0
	for done < len(p) && b.left > 0 {
		n := min(len(p)-done, b.left, b.cur.Len)
		m, err := b.as.copyOut(b.cur.Base, p[done:done+n], direct)
		b.advance(m)
		done += m
		if err != nil {
			return done, unix.EFAULT
		}
	}
	return done, nil
}

// CopyIn fills p from the buffer (what write(2) does) and advances.
func (b *Buffer) CopyIn(p []byte) (int, error) {
	if b.short(len(p)) {
		as, a := b.as, b.cur.Base
		as.mu.RLock()
		if page, f := as.pin(a, needRead); page != nil {
			copy(p, page[a&pageMask:])
			f.mu.Unlock()
			as.mu.RUnlock()
			b.step(len(p))
			return len(p), nil
		}
		as.mu.RUnlock()
	}
	return b.copyIn(p, false)
}

// copyIn is CopyIn; direct says that p is in the direct map.
func (b *Buffer) copyIn(p []byte, direct bool) (int, error) {
	if b.as == nil {
		if b.held != nil {
			return b.copyInHeld(p), nil
		}
		n := copy(p, b.kernel[:b.left])
		b.kernel = b.kernel[n:]
		b.left -= n
		return n, nil
	}
	done := 0
	for done < len(p) && b.left > 0 {
		n := min(len(p)-done, b.left, b.cur.Len)
		m, err := b.as.copyIn(p[done:done+n], b.cur.Base, direct)
		b.advance(m)
		done += m
		if err != nil {
			return done, unix.EFAULT
		}
	}
	return done, nil
}

// copyInHeld is CopyIn of a buffer that Drain made.
func (b *Buffer) copyInHeld(p []byte) int {
	h, done := b.held, 0
	for done < len(p) && b.left > 0 {
		for len(b.kernel) == 0 {
			b.kernel = h.pieces[h.next]
			h.next++
		}
		n := copy(p[done:], b.kernel[:min(len(b.kernel), b.left)])
		b.kernel = b.kernel[n:]
		b.left -= n
		done += n
	}
	return done
}

// Zero writes n zero bytes into the buffer and advances.
func (b *Buffer) Zero(n int) (int, error) {
	done := 0
	for done < n && b.left > 0 {
		m, err := b.CopyOut(zeros[:min(n-done, len(zeros))])
		done += m
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

var zeros [PageSize]byte

// advance steps over n bytes of the current range.
func (b *Buffer) advance(n int) {
	b.cur.Base += Addr(n)
	b.cur.Len -= n
	b.left -= n
	if b.cur.Len == 0 {
		b.next()
	}
}

// next steps to the next range that is not empty.
func (b *Buffer) next() {
	for b.cur.Len == 0 && len(b.rest) > 0 {
		b.cur, b.rest = b.rest[0], b.rest[1:]
	}
}
