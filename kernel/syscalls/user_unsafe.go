package syscalls

import (
	"unsafe"

	"husk/kernel/mm"
)

// bytesOf returns the memory of *v, for copying structures to and from user
// memory. T must be a plain structure of the ABI: no pointers, no padding
// that would leak.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// vecBytes is the memory of a scatter list: mm.IOVec has the layout of struct
// iovec.
func vecBytes(v []mm.IOVec) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), uintptr(len(v))*unsafe.Sizeof(v[0]))
}

// shortBytes is the memory of an array of unsigned short.
func shortBytes(v []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 2*len(v))
}
