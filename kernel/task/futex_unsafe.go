package task

import "unsafe"

// objectWord is the address of the object that an interface points to. Go's
// collector does not move objects, so it identifies the object as long as the
// interface is held, which the key does.
func objectWord(o any) uint64 {
	return uint64((*[2]uintptr)(unsafe.Pointer(&o))[1])
}

// before orders the locks of buckets, which are elements of one array.
func before(a, b *futexBucket) bool {
	return uintptr(unsafe.Pointer(a)) < uintptr(unsafe.Pointer(b))
}
