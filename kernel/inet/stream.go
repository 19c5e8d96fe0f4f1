package inet

import (
	"sync"

	"husk/kernel/mm"
)

// A stream is the bytes that a socket has received and nobody has read. It is
// guarded by the socket's mu.
type stream struct {
	head, tail *chunk
	spare      *chunk // an empty small one, for the next short message
	n          int    // bytes
	read       uint64 // position of the first of them in the connection

	urgent uint64 // position of the urgent byte
	urg    uint8
}

// The states of the urgent byte.
const (
	urgentNone = iota
	urgentValid
	urgentRead
)

// A chunk is a piece of memory with a part of a stream.
type chunk struct {
	next     *chunk
	off, end int
	data     []byte
}

// Two sizes of chunks: most messages are short, and much data is long.
const (
	smallChunk = 4096 - 64
	largeChunk = 64 << 10
)

var (
	smallChunks = sync.Pool{New: func() any { return &chunk{data: make([]byte, smallChunk)} }}
	largeChunks = sync.Pool{New: func() any { return &chunk{data: make([]byte, largeChunk)} }}
)

func newChunk(n int) *chunk {
	p := &smallChunks
	if n > smallChunk {
		p = &largeChunks
	}
	return p.Get().(*chunk)
}

func (c *chunk) free() {
	c.next, c.off, c.end = nil, 0, 0
	if len(c.data) == smallChunk {
		smallChunks.Put(c)
	} else {
		largeChunks.Put(c)
	}
}

// append copies at most n bytes of b behind the stream.
func (r *stream) append(b *mm.Buffer, n int) (int, error) {
	done := 0
	for done < n {
		c := r.tail
		fresh := c == nil || c.end == len(c.data)
		if fresh {
			c = newChunk(n - done)
		}
		k, err := b.CopyIn(c.data[c.end:min(len(c.data), c.end+n-done)])
		c.end += k
		switch {
		case !fresh:
		case k == 0:
			c.free()
		case r.tail == nil:
			r.head, r.tail = c, c
		default:
			r.tail.next, r.tail = c, c
		}
		done += k
		r.n += k
		if err != nil || k == 0 {
			return done, err
		}
	}
	return done, nil
}

// copyOut copies at most n bytes, from skip on, to b, and leaves them there.
func (r *stream) copyOut(b *mm.Buffer, skip, n int) (int, error) {
	done := 0
	for c := r.head; c != nil && done < n; c = c.next {
		have := c.end - c.off
		if skip >= have {
			skip -= have
			continue
		}
		k := min(n-done, have-skip)
		m, err := b.CopyOut(c.data[c.off+skip : c.off+skip+k])
		done += m
		if err != nil || m < k {
			return done, err
		}
		skip = 0
	}
	return done, nil
}

// at returns the byte at a distance from the first.
func (r *stream) at(i int) byte {
	c := r.head
	for i >= c.end-c.off {
		i -= c.end - c.off
		c = c.next
	}
	return c.data[c.off+i]
}

// take moves at most n bytes to b; without b it drops them.
func (r *stream) take(b *mm.Buffer, n int) (int, error) {
	done := 0
	var err error
	for c := r.head; c != nil && done < n; c = r.head {
		k := min(n-done, c.end-c.off)
		if b != nil {
			k, err = b.CopyOut(c.data[c.off : c.off+k])
		}
		done += k
		r.n -= k
		r.read += uint64(k)
		if c.off += k; c.off == c.end {
			if r.head = c.next; r.head == nil {
				r.tail = nil
			}
			c.free()
		}
		if err != nil || k == 0 {
			break
		}
	}
	if r.urg != urgentNone && r.read > r.urgent {
		r.urg = urgentNone
	}
	return done, err
}

// drop empties the stream.
func (r *stream) drop() {
	for c := r.head; c != nil; {
		next := c.next
		c.free()
		c = next
	}
	r.head, r.tail = nil, nil
	r.read += uint64(r.n)
	r.n = 0
}

// end is the position behind the last byte.
func (r *stream) end() uint64 { return r.read + uint64(r.n) }

// readable reports whether there are as many bytes as a reader wants: the
// urgent byte in front does not count for who does not read it in line.
func (r *stream) readable(lowat int, inline bool) bool {
	if r.n == 0 {
		return false
	}
	if r.urg != urgentNone && !inline && r.urgent == r.read {
		lowat++
	}
	return r.n >= lowat
}
