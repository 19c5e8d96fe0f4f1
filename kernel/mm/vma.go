package mm

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// vmFlags are the properties of a VMA, with Linux's values (VM_* of
// include/linux/mm.h), so that they can be reported as they are.
type vmFlags uint32

const (
	vmRead        vmFlags = 0x1
	vmWrite       vmFlags = 0x2
	vmExec        vmFlags = 0x4
	vmShared      vmFlags = 0x8
	vmMayRead     vmFlags = 0x10
	vmMayWrite    vmFlags = 0x20
	vmMayExec     vmFlags = 0x40
	vmMayShare    vmFlags = 0x80
	vmGrowsDown   vmFlags = 0x100
	vmLocked      vmFlags = 0x2000
	vmSeqRead     vmFlags = 0x8000
	vmRandRead    vmFlags = 0x10000
	vmDontFork    vmFlags = 0x20000
	vmDontExpand  vmFlags = 0x40000
	vmLockOnFault vmFlags = 0x80000
	vmAccount     vmFlags = 0x100000
	vmNoReserve   vmFlags = 0x200000
	vmWipeOnFork  vmFlags = 0x2000000
	vmDontDump    vmFlags = 0x4000000
	vmHugePage    vmFlags = 0x20000000
	vmNoHugePage  vmFlags = 0x40000000

	vmAccess = vmRead | vmWrite | vmExec
)

func vmProt(prot int) vmFlags {
	return vmFlags(prot) & vmAccess // PROT_READ, WRITE, EXEC have the same bits
}

// VMA is a range of an address space with one set of properties. start, end,
// off and flags are guarded by AddressSpace.mu and, in a VMA that maps a cache, also
// by the cache's mapMu: writers hold both, readers either. The rest is guarded
// by AddressSpace.mu.
type VMA struct {
	start, end Addr
	flags      vmFlags
	pte        uint64 // the bits of a present, read-only entry; 0: no access
	off        uint64 // page of the cache that start maps; of anonymous memory where it was mapped, in pages
	as         *AddressSpace
	cache      *PageCache // nil: private anonymous memory
	file       Mappable   // nil: anonymous memory, shared or private
	name       string

	// ahead is the page after the last anonymous fault, shifted left by 8,
	// and the number of pages that fault mapped. Faults race on it freely.
	ahead atomic.Uint64

	prevMap, nextMap *VMA // of the cache's list, guarded by its mapMu
}

func (v *VMA) size() uint64 { return uint64(v.end - v.start) }

// page is the index in the cache of the page that a lies in.
func (v *VMA) page(a Addr) uint64 { return v.off + uint64(a-v.start)>>PageShift }

// changeFlags is setFlags for a VMA that is in use.
func (v *VMA) changeFlags(f vmFlags) {
	if v.cache != nil {
		v.cache.mapMu.Lock()
		defer v.cache.mapMu.Unlock()
	}
	v.setFlags(f)
}

// setFlags sets the flags and what follows from them.
func (v *VMA) setFlags(f vmFlags) {
	v.flags = f
	v.pte = 0
	if f&vmAccess != 0 {
		v.pte = ptePresent | pteUser | pteAccessed
		if f&vmExec == 0 {
			v.pte |= pteNoExec
		}
	}
}

// allows tells whether the access is permitted. The hardware cannot forbid
// reading what may be written or executed.
func (v *VMA) allows(access Access) bool {
	switch {
	case access&Write != 0 && v.flags&vmWrite == 0:
		return false
	case access&Exec != 0 && v.flags&vmExec == 0:
		return false
	}
	return v.flags&vmAccess != 0
}

// private tells whether writes stay in this address space.
func (v *VMA) private() bool { return v.flags&vmShared == 0 }

// guardStart is start less the gap that is kept below a growing stack.
func (v *VMA) guardStart() Addr {
	if v.flags&vmGrowsDown == 0 {
		return v.start
	}
	if v.start < stackGuardGap {
		return 0
	}
	return v.start - stackGuardGap
}

// stackGuardGap is what lies unmapped below a growing stack (Linux's
// stack_guard_gap, 256 pages).
const stackGuardGap = 256 << PageShift

// extends tells whether w could continue v, which ends where w starts.
func (v *VMA) extends(w *VMA) bool {
	return v.end == w.start && v.flags == w.flags && v.cache == w.cache && v.file == w.file &&
		v.name == w.name && v.off+v.size()>>PageShift == w.off
}

// index returns the position of the first VMA that ends above a.
func (as *AddressSpace) index(a Addr) int {
	lo, hi := 0, len(as.vmas)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if as.vmas[mid].end <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// find returns the VMA that a lies in, or nil. mu is held.
func (as *AddressSpace) find(a Addr) *VMA {
	if v := as.last.Load(); v != nil && v.start <= a && a < v.end {
		return v
	}
	i := as.index(a)
	if i == len(as.vmas) || as.vmas[i].start > a {
		return nil
	}
	v := as.vmas[i]
	as.last.Store(v)
	return v
}

// overlaps tells whether a VMA lies in [start, end).
func (as *AddressSpace) overlaps(start, end Addr) bool {
	i := as.index(start)
	return i < len(as.vmas) && as.vmas[i].start < end
}

// insert puts v at position i.
func (as *AddressSpace) insert(i int, v *VMA) {
	as.vmas = append(as.vmas, nil)
	copy(as.vmas[i+1:], as.vmas[i:])
	as.vmas[i] = v
}

// remove takes the VMAs [i, j) off the list. The caller has unlinked them.
func (as *AddressSpace) remove(i, j int) {
	n := copy(as.vmas[i:], as.vmas[j:])
	clear(as.vmas[i+n:])
	as.vmas = as.vmas[:i+n]
	as.last.Store(nil)
}

// resize moves the bounds of v; what it maps where does not change.
func (v *VMA) resize(start, end Addr) {
	if v.cache != nil {
		v.cache.mapMu.Lock()
		defer v.cache.mapMu.Unlock()
	}
	v.off += uint64(int64(start-v.start) >> PageShift)
	v.start, v.end = start, end
}

// split cuts the VMA at position i in two at a, which lies inside it.
func (as *AddressSpace) split(i int, a Addr) {
	v := as.vmas[i]
	w := v.clone(as)
	w.off += uint64(a-v.start) >> PageShift
	w.start = a
	w.link()
	v.resize(v.start, a)
	as.insert(i+1, w)
}

// clone returns a copy of v for as, not linked to the cache.
func (v *VMA) clone(as *AddressSpace) *VMA {
	return v.cloneTo(as.newVMA())
}

// cloneTo makes w, whose address space is set, a copy of v.
func (v *VMA) cloneTo(w *VMA) *VMA {
	w.start, w.end, w.flags, w.pte, w.off = v.start, v.end, v.flags, v.pte, v.off
	w.cache, w.file, w.name = v.cache, v.file, v.name
	if w.file != nil {
		w.file.Get()
	}
	return w
}

// link enters v in its cache's list of mappings, behind those that are there:
// fork relies on the order (rmap.go).
func (v *VMA) link() {
	c := v.cache
	if c == nil {
		return
	}
	c.mapMu.Lock()
	v.prevMap, v.nextMap = c.lastMap, nil
	if c.lastMap != nil {
		c.lastMap.nextMap = v
	} else {
		c.firstMap = v
	}
	c.lastMap = v
	c.mapMu.Unlock()
}

// unlink takes v off its cache's list. A cache that only mappings held, that
// of shared anonymous memory, goes with the last of them.
func (v *VMA) unlink() {
	c := v.cache
	if c == nil {
		return
	}
	c.mapMu.Lock()
	if v.prevMap != nil {
		v.prevMap.nextMap = v.nextMap
	} else {
		c.firstMap = v.nextMap
	}
	if v.nextMap != nil {
		v.nextMap.prevMap = v.prevMap
	} else {
		c.lastMap = v.prevMap
	}
	v.prevMap, v.nextMap = nil, nil
	last := c.firstMap == nil
	c.mapMu.Unlock()
	if last && c.ownedByMaps {
		committed.Add(-c.committed)
		c.Release()
	}
}

// discard unlinks v, which is off the list, and gives up its file once mu is
// released.
func (as *AddressSpace) discard(v *VMA) {
	v.unlink()
	if v.file != nil {
		as.drop = append(as.drop, v.file)
	}
	// With mu held for writing and v off its lists nobody can see it.
	v.cache, v.file, v.name = nil, nil, ""
	as.spare = v
}

// newVMA returns a VMA to be filled in.
func (as *AddressSpace) newVMA() *VMA {
	v := as.spare
	if v == nil {
		return &VMA{as: as}
	}
	as.spare = nil
	v.ahead.Store(0)
	return v
}

// unlock releases mu and then gives up the files of VMAs that went.
func (as *AddressSpace) unlock() {
	drop := as.drop
	as.drop = nil
	as.mu.Unlock()
	for _, f := range drop {
		f.Put()
	}
}

// mergeAt joins the VMA at position i with the one before it if they can be
// one, and tells whether it did.
func (as *AddressSpace) mergeAt(i int) bool {
	if i <= 0 || i >= len(as.vmas) || !as.vmas[i-1].extends(as.vmas[i]) {
		return false
	}
	v, w := as.vmas[i-1], as.vmas[i]
	v.resize(v.start, w.end)
	as.remove(i, i+1)
	as.discard(w)
	return true
}

// mergeRange joins what can be joined among the VMAs at positions i-1 to j.
func (as *AddressSpace) mergeRange(i, j int) {
	for k := min(j, len(as.vmas)-1); k >= max(i, 1); k-- {
		as.mergeAt(k)
	}
}

// carve splits VMAs so that [start, end) begins and ends at boundaries, and
// returns the positions [i, j) of those inside; ENOMEM past the map limit.
func (as *AddressSpace) carve(start, end Addr) (i, j int, err error) {
	i = as.index(start)
	if i < len(as.vmas) && as.vmas[i].start < start {
		if as.mapsFull(0) {
			return 0, 0, unix.ENOMEM
		}
		as.split(i, start)
		i++
	}
	for j = i; j < len(as.vmas) && as.vmas[j].end <= end; {
		j++
	}
	if j < len(as.vmas) && as.vmas[j].start < end {
		if as.mapsFull(0) {
			return 0, 0, unix.ENOMEM
		}
		as.split(j, end)
		j++
	}
	return i, j, nil
}

// maxMapCount is Linux's default vm.max_map_count.
const maxMapCount = 65530

// fewMaps is how many areas a space may have however short memory is.
const fewMaps = 1024

// mapsFull reports whether n more areas would be too many. as.mu is held.
func (as *AddressSpace) mapsFull(n int) bool {
	n += len(as.vmas)
	return n >= maxMapCount || n >= fewMaps && cpu.KernelShort()
}
