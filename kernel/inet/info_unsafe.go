package inet

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// infoBytes is the memory of t, whose layout is Linux's. Proof: TCPInfo is
// numbers only, and the slice is as long as it.
func infoBytes(t *unix.TCPInfo) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(t)), int(unsafe.Sizeof(*t)))
}

// cookie tells sockets apart (SO_COOKIE). Proof: the pointer is only compared.
func (s *sock) cookie() uint64 { return uint64(uintptr(unsafe.Pointer(s))) >> 6 }
