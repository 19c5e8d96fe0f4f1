package virtio

import (
	"sync"
	"unsafe"

	"husk/kernel/cpu"
)

// Device registers and ring memory. Proof for the uses of unsafe below:
// ring memory comes from dmaAlloc, which hands out ranges of whole frames
// that are never freed, so slices over it stay valid and are inside one
// allocation; register addresses come from cpu.MapMMIO and offsets are
// constants or checked against the mapped size.

// dma is a bump allocator for ring memory: rings are small, many share a
// frame, and none is ever freed.
var dma struct {
	mu   sync.Mutex
	next cpu.PhysAddr
	left int
}

// dmaAlloc returns n zeroed bytes of physically contiguous memory.
func dmaAlloc(n, align int) (cpu.PhysAddr, bool) {
	dma.mu.Lock()
	defer dma.mu.Unlock()
	skip := int(-dma.next & cpu.PhysAddr(align-1))
	if dma.left < n+skip {
		frames := (n + cpu.PageSize - 1) / cpu.PageSize
		pa, ok := cpu.AllocContiguous(frames)
		if !ok {
			return 0, false
		}
		if rest := frames*cpu.PageSize - n; rest > dma.left {
			dma.next, dma.left = pa+cpu.PhysAddr(n), rest
		}
		return pa, true
	}
	pa := dma.next + cpu.PhysAddr(skip)
	dma.next += cpu.PhysAddr(n + skip)
	dma.left -= n + skip
	return pa, true
}

// bytesAt is physical memory as a slice, through the direct map.
func bytesAt(pa cpu.PhysAddr, n int) []byte {
	return unsafe.Slice((*byte)(cpu.Direct(pa)), n)
}

// PhysOf returns the physical address of memory in the direct map; it reports
// false for memory elsewhere (the Go heap), which a device cannot be given.
func PhysOf(p []byte) (cpu.PhysAddr, bool) {
	a := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	base := uintptr(cpu.Direct(0))
	end := base + uintptr(cpu.MaxFrame())*cpu.PageSize
	if a < base || a >= end || uintptr(len(p)) > end-a {
		return 0, false
	}
	return cpu.PhysAddr(a - base), true
}

// descriptor is one entry of a descriptor table (2.7.5).
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4
)

// usedElem is one entry of a used ring (2.7.8).
type usedElem struct {
	id  uint32
	len uint32
}

func descriptorsAt(pa cpu.PhysAddr, n int) []descriptor {
	return unsafe.Slice((*descriptor)(cpu.Direct(pa)), n)
}

func uint16sAt(pa cpu.PhysAddr, n int) []uint16 {
	return unsafe.Slice((*uint16)(cpu.Direct(pa)), n)
}

func usedAt(pa cpu.PhysAddr, n int) []usedElem {
	return unsafe.Slice((*usedElem)(cpu.Direct(pa)), n)
}

func wordAt(pa cpu.PhysAddr) *uint32 { return (*uint32)(cpu.Direct(pa)) }

// registers are a mapped range of device registers. The accessors are not
// inlined, so each is exactly one access of its width.
type registers struct {
	base uintptr
	size uintptr
}

func (r registers) at(off uintptr, width uintptr) unsafe.Pointer {
	if off+width > r.size || off+width < off {
		return unsafe.Pointer(&noRegister)
	}
	a := r.base + off
	return *(*unsafe.Pointer)(unsafe.Pointer(&a))
}

// noRegister takes the accesses that lie outside of a mapping.
var noRegister uint64

//go:noinline
func (r registers) read8(off uintptr) uint8 { return *(*uint8)(r.at(off, 1)) }

//go:noinline
func (r registers) read16(off uintptr) uint16 { return *(*uint16)(r.at(off, 2)) }

//go:noinline
func (r registers) read32(off uintptr) uint32 { return *(*uint32)(r.at(off, 4)) }

//go:noinline
func (r registers) write8(off uintptr, v uint8) { *(*uint8)(r.at(off, 1)) = v }

//go:noinline
func (r registers) write16(off uintptr, v uint16) { *(*uint16)(r.at(off, 2)) = v }

//go:noinline
func (r registers) write32(off uintptr, v uint32) { *(*uint32)(r.at(off, 4)) = v }
