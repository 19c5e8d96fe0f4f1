package mm

import (
	"golang.org/x/sys/unix"
	"husk/kernel/cpu"
)

// AddressSpace is the memory of one process (Linux's mm_struct). Threads
// share it by reference; Fork copies it.
type AddressSpace struct {
	root cpu.PhysAddr
}

// NewAddressSpace returns an empty address space with one reference.
func NewAddressSpace() (*AddressSpace, error) { return nil, unix.ENOMEM }

// Get takes a reference (CLONE_VM), Put drops one; the last frees everything.
func (as *AddressSpace) Get() {}

// Put drops a reference.
func (as *AddressSpace) Put() {}

// Fork returns a copy-on-write copy with one reference.
func (as *AddressSpace) Fork() (*AddressSpace, error) { return nil, unix.ENOMEM }

// Root is the page-table root for cpu.Switch.
func (as *AddressSpace) Root() cpu.PhysAddr { return as.root }

// FaultError says how a fault could not be served: the signal to raise.
type FaultError struct {
	Signal unix.Signal // SIGSEGV, SIGBUS; SIGKILL when out of memory
	Code   int32       // si_code: SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR
	Addr   Addr
}

// Fault makes addr accessible, for the fault handler and for copying. It
// returns nil when the access may be retried, or why it may not.
func (as *AddressSpace) Fault(addr Addr, access Access) *FaultError {
	return &FaultError{unix.SIGSEGV, 1, addr}
}

// CopyOut copies p to user memory at a; CopyIn copies user memory at a to p.
// They return how many bytes were copied, and EFAULT if not all.
func (as *AddressSpace) CopyOut(a Addr, p []byte) (int, error) { return 0, unix.EFAULT }

// CopyIn copies from user memory.
func (as *AddressSpace) CopyIn(p []byte, a Addr) (int, error) { return 0, unix.EFAULT }

// CopyInString reads a NUL-terminated string of at most limit bytes without
// its NUL: EFAULT, or ENAMETOOLONG when there is no NUL within limit.
func (as *AddressSpace) CopyInString(a Addr, limit int) (string, error) { return "", unix.EFAULT }

// Load32, Store32, CompareAndSwap32 and Load64, Store64 are atomic accesses
// to aligned user words: EFAULT for a bad address, EINVAL if misaligned.
func (as *AddressSpace) Load32(a Addr) (uint32, error)  { return 0, unix.EFAULT }
func (as *AddressSpace) Store32(a Addr, v uint32) error { return unix.EFAULT }
func (as *AddressSpace) Load64(a Addr) (uint64, error)  { return 0, unix.EFAULT }
func (as *AddressSpace) Store64(a Addr, v uint64) error { return unix.EFAULT }
func (as *AddressSpace) CompareAndSwap32(a Addr, old, new uint32) (uint32, bool, error) {
	return 0, false, unix.EFAULT
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
	return FutexKey{as, uint64(a)}, nil
}

// Mappable is what mmap needs of an open file: *vfs.File implements it.
type Mappable interface {
	// PageCache is the home of the file's data; nil if it cannot be mapped.
	PageCache() *PageCache
	// MapName is the path that /proc/self/maps shows; MapDev and MapIno
	// identify the inode there.
	MapName() string
	MapDev() uint64
	MapIno() uint64
	// Get and Put keep the file alive while it is mapped.
	Get()
	Put()
}

// MapRequest is one mmap call, after the system call has checked the file's
// access mode. Prot and Flags are PROT_* and MAP_* as in mmap(2).
type MapRequest struct {
	Addr   Addr
	Len    uint64
	Prot   int
	Flags  int
	File   Mappable // nil: anonymous
	Offset uint64
	// MaxProt limits later mprotect (a file opened read-only, mapped shared).
	MaxProt int
	// Name overrides the name in /proc/self/maps ("[vdso]", "[stack]").
	Name string
}

// Map serves mmap(2).
func (as *AddressSpace) Map(r MapRequest) (Addr, error) { return 0, unix.ENOMEM }

// Unmap serves munmap(2).
func (as *AddressSpace) Unmap(a Addr, n uint64) error { return unix.ENOMEM }

// Protect serves mprotect(2).
func (as *AddressSpace) Protect(a Addr, n uint64, prot int) error { return unix.ENOMEM }

// SetBrk sets the heap's start (the loader's work); Brk serves brk(2).
func (as *AddressSpace) SetBrk(start Addr) {}

// Brk moves the program break and returns the resulting one.
func (as *AddressSpace) Brk(to Addr) Addr { return 0 }

// SetStack tells where the main thread's stack is, for growth and its limit.
func (as *AddressSpace) SetStack(top Addr, limit uint64) {}
