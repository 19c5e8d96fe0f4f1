package unix

import "unsafe"

// The raw calls of the tests need addresses that the wrappers do not take.
func unsafePointer(p []byte) uintptr    { return uintptr(unsafe.Pointer(&p[0])) }
func unsafePointer32(n *uint32) uintptr { return uintptr(unsafe.Pointer(n)) }
