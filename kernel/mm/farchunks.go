package mm

import "slices"

// farChunks are the chunks of a cache that are too far apart for a slice, by
// index/64. A map finds one; keys, sorted when somebody asks, find the next.
// The cache's mu guards it.
type farChunks struct {
	byKey    map[uint64]*chunk
	keys     []uint64 // those of byKey, and some that are gone or twice
	unsorted bool
}

func (f *farChunks) at(k uint64) *chunk { return f.byKey[k] }

func (f *farChunks) add(k uint64, ch *chunk) {
	if f.byKey == nil {
		f.byKey = make(map[uint64]*chunk)
	}
	f.byKey[k] = ch
	if n := len(f.keys); n > 0 && f.keys[n-1] >= k {
		f.unsorted = true
	}
	f.keys = append(f.keys, k)
	f.compact()
}

func (f *farChunks) remove(k uint64) {
	delete(f.byKey, k)
	f.compact()
}

// compact forgets keys that are gone, when they are the greater part.
func (f *farChunks) compact() {
	if len(f.keys) <= 2*len(f.byKey)+chunkPages {
		return
	}
	if len(f.byKey) == 0 {
		*f = farChunks{}
		return
	}
	f.sort()
	f.keys = slices.DeleteFunc(slices.Compact(f.keys), func(k uint64) bool { return f.byKey[k] == nil })
}

func (f *farChunks) sort() {
	if f.unsorted {
		slices.Sort(f.keys)
		f.unsorted = false
	}
}

// next returns the first chunk whose key is k or more, or nil.
func (f *farChunks) next(k uint64) *chunk {
	if len(f.byKey) == 0 {
		return nil
	}
	f.sort()
	i, _ := slices.BinarySearch(f.keys, k)
	for _, k := range f.keys[i:] {
		if ch := f.byKey[k]; ch != nil {
			return ch
		}
	}
	return nil
}
