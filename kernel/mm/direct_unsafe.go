package mm

import (
	"unsafe"

	"husk/kernel/cpu"
)

// All of the package's unsafe code is here. Its proof: a frame number that
// comes from the frame table, a page-table entry or a FrameStore names memory
// that the direct map covers, and the caller holds a reference to the frame
// or the lock that keeps one alive.

// table is one page of page-table entries.
type table [512]uint64

// tableAt returns the page table in frame n.
func tableAt(n uint32) *table {
	return (*table)(cpu.Direct(cpu.PhysAddr(n) << PageShift))
}

// entryAt returns the entry for a in the page table of the last level in
// frame n.
func entryAt(n uint32, a Addr) *uint64 {
	return (*uint64)(unsafe.Add(cpu.Direct(cpu.PhysAddr(n)<<PageShift), a>>(PageShift-3)&(511<<3)))
}

// frameAt is &frames[n] for a frame that is known to be ours.
func frameAt(n uint32) *frame {
	return (*frame)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(frames)), uintptr(n)*unsafe.Sizeof(frame{})))
}

// pageAt returns the contents of frame n.
func pageAt(n uint32) *[PageSize]byte {
	return (*[PageSize]byte)(cpu.Direct(cpu.PhysAddr(n) << PageShift))
}

// word32 and word64 return the aligned word at offset off of a page.
func word32(p *[PageSize]byte, off Addr) *uint32 {
	return (*uint32)(unsafe.Pointer(&p[off&pageMask&^3]))
}

func word64(p *[PageSize]byte, off Addr) *uint64 {
	return (*uint64)(unsafe.Pointer(&p[off&pageMask&^7]))
}

// bytesOf views v as bytes. T must hold no pointers and no padding that
// matters: the types of package unix and of package abi.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// bytesOfSlice views the elements of s as bytes.
func bytesOfSlice[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), uintptr(len(s))*unsafe.Sizeof(s[0]))
}

// stringOf makes a string of bytes that nobody will change.
func stringOf(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// overlap tells whether two slices share bytes. They are not empty.
func overlap(a, b []byte) bool {
	x, y := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return x < y+uintptr(len(b)) && y < x+uintptr(len(a))
}
