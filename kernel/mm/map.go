package mm

import "golang.org/x/sys/unix"

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
	// MaxProt limits later mprotect (a file opened read-only, mapped
	// shared; a mount without exec). 0 means no limit.
	MaxProt int
	// Name overrides the name in /proc/self/maps ("[vdso]", "[stack]").
	Name string
	// MayLock and MayMapLow are the caller's CAP_IPC_LOCK, CAP_SYS_RAWIO.
	MayLock, MayMapLow bool
}

// knownMapFlags are the flags that MAP_SHARED_VALIDATE accepts
// (LEGACY_MAP_MASK).
const knownMapFlags = unix.MAP_SHARED | unix.MAP_PRIVATE | unix.MAP_FIXED | unix.MAP_ANONYMOUS |
	unix.MAP_DENYWRITE | unix.MAP_EXECUTABLE | unix.MAP_GROWSDOWN | unix.MAP_LOCKED |
	unix.MAP_NORESERVE | unix.MAP_POPULATE | unix.MAP_NONBLOCK | unix.MAP_STACK |
	unix.MAP_HUGETLB | unix.MAP_32BIT | unix.MAP_FIXED_NOREPLACE | 0x4000000 /* MAP_UNINITIALIZED */ |
	hugeMask<<hugeShift

const (
	hugeShift, hugeMask = unix.MAP_HUGE_SHIFT, unix.MAP_HUGE_MASK
	mapDroppable        = 0x08
)

// Map serves mmap(2). The checks come in Linux's order (do_mmap).
func (as *AddressSpace) Map(r MapRequest) (Addr, error) {
	if r.File == nil && r.Flags&unix.MAP_HUGETLB != 0 {
		switch r.Flags >> hugeShift & hugeMask {
		case 0, 21, 30: // the default, 2 MiB, 1 GiB: sizes that exist, none reserved
			if r.Len == 0 {
				return 0, unix.EINVAL
			}
			return 0, unix.ENOMEM
		}
		return 0, unix.EINVAL
	}
	if r.File != nil && r.Flags&unix.MAP_HUGETLB != 0 {
		return 0, unix.EINVAL
	}
	if r.Len == 0 || r.Offset&pageMask != 0 {
		return 0, unix.EINVAL
	}
	n := pages(r.Len)
	if n > uint64(userMax)>>PageShift || n == 0 {
		return 0, unix.ENOMEM
	}
	size := n << PageShift
	if r.Offset>>PageShift+n < r.Offset>>PageShift || r.Offset+size < r.Offset {
		return 0, unix.EOVERFLOW
	}
	fixed := r.Flags&(unix.MAP_FIXED|unix.MAP_FIXED_NOREPLACE) != 0
	if fixed {
		if uint64(r.Addr) > uint64(userMax)-size {
			return 0, unix.ENOMEM
		}
		if r.Addr&pageMask != 0 {
			return 0, unix.EINVAL
		}
		if r.Addr < MinAddr && !r.MayMapLow {
			return 0, unix.EPERM
		}
	}
	flags, cache, invalid := r.vmFlags() // reported once there is room
	if r.Flags&unix.MAP_LOCKED != 0 {
		if err := as.canLock(r.MayLock); err != nil {
			return 0, err
		}
		flags |= vmLocked
	}

	as.mu.Lock()
	flags |= as.lockFuture
	a, err := as.mapLocked(&r, size, flags, cache, fixed, invalid)
	as.unlock()
	if err != nil {
		return 0, err
	}
	locked := flags&vmLocked != 0 && flags&vmLockOnFault == 0
	if locked || r.Flags&(unix.MAP_POPULATE|unix.MAP_NONBLOCK) == unix.MAP_POPULATE {
		_ = as.populate(a, a+Addr(size), true)
	}
	return a, nil
}

// vmFlags makes VMA flags of the request, and finds the cache to map.
func (r *MapRequest) vmFlags() (vmFlags, *PageCache, error) {
	flags := vmProt(r.Prot) | vmMayRead | vmMayWrite | vmMayExec
	if r.MaxProt != 0 {
		flags &^= (vmMayRead | vmMayWrite | vmMayExec) &^ (vmProt(r.MaxProt) << 4)
	}
	if r.Flags&unix.MAP_GROWSDOWN != 0 {
		flags |= vmGrowsDown
	}
	if r.Flags&unix.MAP_NORESERVE != 0 && Overcommit.Load() != 2 {
		flags |= vmNoReserve
	}
	kind := r.Flags & unix.MAP_TYPE
	var cache *PageCache
	switch {
	case r.File == nil && kind == unix.MAP_SHARED:
		if flags&vmGrowsDown != 0 {
			return 0, nil, unix.EINVAL
		}
		flags |= vmShared | vmMayShare
		cache = newAnonymousCache(pages(r.Len) << PageShift)
	case r.File == nil && kind == unix.MAP_PRIVATE:
	case r.File == nil && kind == mapDroppable:
		// Droppable memory may be dropped at any time, which never is
		// also. It is wiped on fork and not dumped.
		if flags&vmGrowsDown != 0 {
			return 0, nil, unix.EINVAL
		}
		flags |= vmWipeOnFork | vmDontDump | vmNoReserve
	case r.File == nil:
		return 0, nil, unix.EINVAL
	case kind == unix.MAP_SHARED || kind == unix.MAP_SHARED_VALIDATE:
		if kind == unix.MAP_SHARED_VALIDATE && r.Flags&^knownMapFlags != 0 {
			return 0, nil, unix.EOPNOTSUPP // MAP_SYNC among them
		}
		flags |= vmShared | vmMayShare
	case kind != unix.MAP_PRIVATE:
		return 0, nil, unix.EINVAL
	}
	if r.File != nil {
		if cache = r.File.PageCache(); cache == nil {
			return 0, nil, unix.ENODEV
		}
		if flags&vmGrowsDown != 0 {
			return 0, nil, unix.EINVAL
		}
	}
	if flags&vmAccess&^(flags>>4) != 0 {
		if r.MaxProt != 0 && vmProt(r.Prot)&vmExec&^vmProt(r.MaxProt) != 0 {
			return 0, nil, unix.EPERM // a mount without exec
		}
		return 0, nil, unix.EACCES
	}
	return flags, cache, nil
}

// mapLocked places the mapping and enters it.
func (as *AddressSpace) mapLocked(r *MapRequest, size uint64, flags vmFlags, cache *PageCache, fixed bool, invalid error) (Addr, error) {
	if as.mapsFull(0) {
		return 0, unix.ENOMEM
	}
	n := size >> PageShift
	a := r.Addr
	if !fixed {
		var ok bool
		if a, ok = as.unmappedArea(r.Addr, size, r.Flags&unix.MAP_32BIT != 0); !ok {
			return 0, unix.ENOMEM
		}
	} else if r.Flags&unix.MAP_FIXED_NOREPLACE != 0 && as.overlaps(a, a+Addr(size)) {
		return 0, unix.EEXIST
	}
	if flags&vmLocked != 0 && !as.mayLock(n, r.MayLock) {
		return 0, unix.EAGAIN
	}
	if invalid != nil {
		return 0, invalid
	}
	if !as.mayExpand(flags, n) {
		// What a fixed mapping replaces does not count.
		if !fixed || !as.mayExpand(flags, n-min(n, as.mappedPages(a, a+Addr(size)))) {
			return 0, unix.ENOMEM
		}
	}
	if accountable(flags) {
		if !mayCommit(n, as.totalPages) {
			return 0, unix.ENOMEM
		}
		flags |= vmAccount
	} else if r.File == nil && cache != nil && flags&vmNoReserve == 0 {
		// Shared anonymous memory is committed for its cache's life.
		if !mayCommit(n, as.totalPages) {
			return 0, unix.ENOMEM
		}
		committed.Add(int64(n))
		cache.committed = int64(n)
	}
	if fixed && as.overlaps(a, a+Addr(size)) {
		if err := as.unmapLocked(a, a+Addr(size)); err != nil {
			return 0, err
		}
	}
	off := r.Offset >> PageShift
	if r.File == nil {
		off = 0
		if cache == nil {
			off = uint64(a) >> PageShift
		}
	}
	as.place(a, a+Addr(size), flags, cache, r.File, off, r.Name)
	return a, nil
}

// place enters a mapping of [start, end), which is free, by extending a
// neighbour if one continues it.
func (as *AddressSpace) place(start, end Addr, flags vmFlags, cache *PageCache, file Mappable, off uint64, name string) *VMA {
	n := uint64(end-start) >> PageShift
	as.account(flags, int64(n))
	i := as.index(start)
	if i > 0 {
		if v := as.vmas[i-1]; v.end == start && v.flags == flags && v.cache == cache && v.file == file &&
			v.off+v.size()>>PageShift == off && v.name == name {
			v.resize(v.start, end)
			as.mergeAt(i)
			return v
		}
	}
	if i < len(as.vmas) {
		if v := as.vmas[i]; v.start == end && v.flags == flags && v.cache == cache && v.file == file &&
			off+n == v.off && v.name == name {
			v.resize(start, v.end)
			return v
		}
	}
	v := as.newVMA()
	v.start, v.end, v.off, v.cache, v.file, v.name = start, end, off, cache, file, name
	v.setFlags(flags)
	if file != nil {
		file.Get()
	}
	v.link()
	as.insert(i, v)
	return v
}

// mappedPages counts the pages of VMAs in [start, end).
func (as *AddressSpace) mappedPages(start, end Addr) uint64 {
	var n uint64
	for i := as.index(start); i < len(as.vmas) && as.vmas[i].start < end; i++ {
		n += uint64(min(end, as.vmas[i].end)-max(start, as.vmas[i].start)) >> PageShift
	}
	return n
}

// notableSize is how much must be unmapped at once for the peak of residency
// to be taken before.
const notableSize = 4 << 20

// checkRange rounds n up and checks a range for munmap and its like: EINVAL.
func checkRange(a Addr, n uint64) (end Addr, err error) {
	if a&pageMask != 0 || a > userMax || n > uint64(userMax-a) || n == 0 {
		return 0, unix.EINVAL
	}
	return (a + Addr(n)).pageUp(), nil
}

// Unmap serves munmap(2).
func (as *AddressSpace) Unmap(a Addr, n uint64) error {
	end, err := checkRange(a, n)
	if err != nil {
		return err
	}
	as.mu.Lock()
	err = as.unmapLocked(a, end)
	as.unlock()
	return err
}

// unmapLocked removes all that is mapped in [start, end). mu is held for
// writing; nothing has changed when it fails.
func (as *AddressSpace) unmapLocked(start, end Addr) error {
	i := as.index(start)
	if i == len(as.vmas) || as.vmas[i].start >= end || start == end {
		return nil
	}
	if v := as.vmas[i]; v.start < start && v.end > end && as.mapsFull(0) {
		return unix.ENOMEM
	}
	if !as.ownEdges(start, end) {
		return unix.ENOMEM
	}
	if end-start >= notableSize {
		as.notePeak()
	}
	// Trim the first and the last instead of splitting them where possible.
	if v := as.vmas[i]; v.start < start {
		if v.end > end {
			as.split(i, end)
		}
		as.account(v.flags, -int64(min(v.end, end)-start)>>PageShift)
		v.resize(v.start, start)
		i++
	}
	j := i
	for j < len(as.vmas) && as.vmas[j].end <= end {
		v := as.vmas[j]
		as.account(v.flags, -int64(v.size()>>PageShift))
		as.discard(v)
		j++
	}
	if j < len(as.vmas) && as.vmas[j].start < end {
		v := as.vmas[j]
		as.account(v.flags, -int64(end-v.start)>>PageShift)
		v.resize(end, v.end)
	}
	if i < j {
		as.remove(i, j)
	}
	floor, ceil := Addr(0), userMax+PageSize
	if i > 0 {
		floor = as.vmas[i-1].end
	}
	if i < len(as.vmas) {
		ceil = as.vmas[i].start
	}
	as.zap(start, end, floor, ceil, false)
	as.freed(end)
	return nil
}

// RemapFile serves remap_file_pages(2): it maps [start, start+n) of a shared
// mapping to the file from page off on, as Linux emulates the call.
func (as *AddressSpace) RemapFile(start Addr, n uint64, prot int, off uint64, flags int) error {
	start = start.pageDown()
	n &^= pageMask
	if prot != 0 || n == 0 || uint64(start)+n < n || off+n>>PageShift < off {
		return unix.EINVAL
	}
	end := start + Addr(n)
	as.mu.Lock()
	i := as.index(start)
	if i == len(as.vmas) || as.vmas[i].start > start || as.vmas[i].private() {
		as.unlock()
		return unix.EINVAL
	}
	v := as.vmas[i]
	for w := v; w.end < end; {
		i++
		if i == len(as.vmas) || as.vmas[i].start != w.end || as.vmas[i].cache != v.cache || as.vmas[i].flags != v.flags {
			as.unlock()
			return unix.EINVAL
		}
		w = as.vmas[i]
	}
	file, cache, vf, name := v.file, v.cache, v.flags, v.name
	if file != nil {
		file.Get()
		as.drop = append(as.drop, file)
	}
	err := as.unmapLocked(start, end)
	if err == nil {
		as.place(start, end, vf, cache, file, off, name)
	}
	as.unlock()
	if err == nil && flags&unix.MAP_NONBLOCK == 0 {
		_ = as.populate(start, end, true)
	}
	return err
}
