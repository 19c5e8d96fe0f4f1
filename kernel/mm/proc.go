package mm

import "husk/kernel/cpu"

// VMAInfo is what /proc/PID/maps shows of a VMA.
type VMAInfo struct {
	Start, End        Addr
	Read, Write, Exec bool
	Shared            bool
	Offset            uint64 // in the file, bytes
	Dev, Ino          uint64
	Name              string // path or "[heap]"; empty for anonymous memory
	Flags             uint32 // VM_*, for VmFlags of smaps
}

// AppendVMAs appends all VMAs in the order of addresses.
func (as *AddressSpace) AppendVMAs(dst []VMAInfo) []VMAInfo {
	as.mu.RLock()
	defer as.mu.RUnlock()
	for _, v := range as.vmas {
		dst = append(dst, as.info(v))
	}
	return dst
}

// VMAAt returns the VMA that a lies in (crash reports, traces).
func (as *AddressSpace) VMAAt(a Addr) (VMAInfo, bool) {
	as.mu.RLock()
	defer as.mu.RUnlock()
	if v := as.find(a); v != nil {
		return as.info(v), true
	}
	return VMAInfo{}, false
}

func (as *AddressSpace) info(v *VMA) VMAInfo {
	m := VMAInfo{
		Start: v.start, End: v.end,
		Read: v.flags&vmRead != 0, Write: v.flags&vmWrite != 0, Exec: v.flags&vmExec != 0,
		Shared: v.flags&vmMayShare != 0, Name: v.name, Flags: uint32(v.flags),
	}
	switch {
	case v.file != nil:
		m.Offset, m.Dev, m.Ino = v.off<<PageShift, v.file.MapDev(), v.file.MapIno()
		if m.Name == "" {
			m.Name = v.file.MapName()
		}
	case m.Name != "":
	case v.cache != nil:
		m.Offset, m.Dev, m.Name = v.off<<PageShift, 1, "/dev/zero (deleted)"
	case v.start <= as.brk && v.end >= as.brkStart && as.brk > as.brkStart:
		m.Name = "[heap]"
	case v.start < as.stackTop && as.stackTop <= v.end:
		m.Name = "[stack]"
	}
	return m
}

// Usage is how much of a range is resident, in bytes (smaps(5)).
type Usage struct {
	Rss, Pss                   uint64
	SharedClean, SharedDirty   uint64
	PrivateClean, PrivateDirty uint64
	Anonymous                  uint64
	File, Shmem                uint64 // Rss by what the page belongs to
	Locked                     uint64 // part of Pss
}

// Usage measures [start, end).
func (as *AddressSpace) Usage(start, end Addr) Usage {
	as.mu.RLock()
	defer as.mu.RUnlock()
	var u Usage
	for i := as.index(start); i < len(as.vmas) && as.vmas[i].start < end; i++ {
		v := as.vmas[i]
		before := u.Pss
		as.usage(v, max(v.start, start), min(v.end, end), &u)
		if v.flags&vmLocked != 0 {
			u.Locked += u.Pss - before
		}
	}
	return u
}

func (as *AddressSpace) usage(v *VMA, start, end Addr, u *Usage) {
	for a := start; a < end; {
		p, at := as.nextTable(a, end)
		if p == nil {
			return
		}
		n := pteFrame(load(p))
		t, f := tableAt(n), &frames[n]
		stop := min(end, at&^(tableSpan-1)+tableSpan)
		sharers := uint64(max(f.refs.Load(), 1))
		f.mu.Lock()
		for i, last := slot(at), slot(stop-1); i <= last; i++ {
			e := load(&t[i])
			k := pteFrame(e)
			if !holdsFrame(e) || k == zeroFrame {
				continue
			}
			u.count(v, e, k, sharers)
		}
		f.mu.Unlock()
		a = stop
	}
}

// count adds the page of entry e, in frame n, which sharers address spaces
// see through the same table.
func (u *Usage) count(v *VMA, e uint64, n uint32, sharers uint64) {
	users := sharers
	isAnon := isAnon(n)
	if int(n) < len(frames) {
		refs := frames[n].refs.Load()
		if !isAnon {
			refs-- // the cache's
		}
		if refs > 1 && refs < forever {
			users += uint64(refs) - 1
		}
	}
	u.Rss += PageSize
	u.Pss += PageSize / users
	dirty := isAnon || e&(pteDirty|pteWrite) == pteDirty|pteWrite
	switch {
	case isAnon:
		u.Anonymous += PageSize
	case v.cache != nil && v.cache.store == nil:
		u.Shmem += PageSize
	default:
		u.File += PageSize
	}
	switch {
	case users > 1 && dirty:
		u.SharedDirty += PageSize
	case users > 1:
		u.SharedClean += PageSize
	case dirty:
		u.PrivateDirty += PageSize
	default:
		u.PrivateClean += PageSize
	}
}

// SpaceStat are the sizes of an address space in pages (statm, status, stat).
type SpaceStat struct {
	Total, Peak                 uint64
	Data, Stack, Text, Locked   uint64
	Resident, PeakResident      uint64
	RssAnon, RssFile, RssShmem  uint64
	PageTables                  uint64
	VMAs                        int
	Brk, BrkStart, StackTop     Addr
	SharedResident, CommittedAS uint64
}

// Stat measures the address space, page by page: for /proc, not for often.
func (as *AddressSpace) Stat() SpaceStat {
	u := as.Usage(0, userMax)
	peak := as.PeakResident()
	as.mu.RLock()
	defer as.mu.RUnlock()
	s := SpaceStat{
		Total: as.totalPages, Peak: as.peakVM, Data: as.dataPages, Stack: as.stackPages,
		Text: as.execPages, Locked: as.lockedPages,
		Resident: u.Rss >> PageShift, RssAnon: u.Anonymous >> PageShift,
		RssFile: u.File >> PageShift, RssShmem: u.Shmem >> PageShift,
		PageTables: uint64(as.nTables.Load()), VMAs: len(as.vmas),
		Brk: as.brk, BrkStart: as.brkStart, StackTop: as.stackTop,
	}
	s.SharedResident = s.RssFile + s.RssShmem
	s.PeakResident = max(peak, s.Resident)
	return s
}

// ResidentPages is the number of pages that are mapped, from the tables'
// counts: much less work than Stat.
func (as *AddressSpace) ResidentPages() uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.resident()
}

func (as *AddressSpace) resident() uint64 {
	var n uint64
	a := Addr(0)
	for _, v := range as.vmas {
		for a = max(a, v.start); a < v.end; {
			p, at := as.nextTable(a, v.end)
			if p == nil {
				break
			}
			f := &frames[pteFrame(load(p))]
			f.mu.Lock()
			n += uint64(f.flags)
			f.mu.Unlock()
			a = at&^(tableSpan-1) + tableSpan
		}
	}
	return n
}

// PeakResident is the highest ResidentPages seen: now, or before something
// large was unmapped (ru_maxrss, VmHWM).
func (as *AddressSpace) PeakResident() uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.notePeak()
}

// notePeak brings the peak up to date. mu is held.
func (as *AddressSpace) notePeak() uint64 {
	n := as.resident()
	for {
		peak := as.peakRSS.Load()
		if n <= peak {
			return peak
		}
		if as.peakRSS.CompareAndSwap(peak, n) {
			return n
		}
	}
}

// AppendPageMap appends the /proc/PID/pagemap words of n pages from a on:
// bit 63 present, 61 file or shared, 56 mapped once. Frame numbers are
// withheld, as from a reader without CAP_SYS_ADMIN.
func (as *AddressSpace) AppendPageMap(dst []uint64, a Addr, n int) []uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	for ; n > 0; n, a = n-1, a+PageSize {
		var w uint64
		p := as.pde(a)
		if p != nil && load(p) != 0 {
			if e := load(&tableAt(pteFrame(load(p)))[slot(a)]); holdsFrame(e) {
				w = 1 << 63
				k := pteFrame(e)
				if !isAnon(k) {
					w |= 1 << 61
				} else if frames[k].refs.Load() == 1 {
					w |= 1 << 56
				}
			}
		}
		dst = append(dst, w)
	}
	return dst
}

// MemInfo is the state of the machine's memory in pages (/proc/meminfo).
type MemInfo struct {
	Total, Free            uint64
	Cached                 uint64 // pages of files, Shmem among them
	Shmem                  uint64
	Anon                   uint64
	PageTables             uint64
	Committed, CommitLimit uint64
}

// Memory measures the machine's memory.
func Memory() MemInfo {
	total, free := cpu.FrameStats()
	spare := shardFree()
	m := MemInfo{
		Total:       uint64(total),
		Free:        uint64(free + spare),
		Shmem:       uint64(max(shmemPages.Load(), 0)),
		PageTables:  uint64(max(tableFrames.Load(), 0)),
		Committed:   uint64(max(committed.Load(), 0)),
		CommitLimit: commitLimit(),
	}
	m.Cached = uint64(max(filePages.Load(), 0)) + m.Shmem
	held := framesHeld.Load() - int64(spare) - int64(m.Cached) - int64(m.PageTables)
	m.Anon = uint64(max(held, 0))
	return m
}

// TablePages is the number of page tables.
func (as *AddressSpace) TablePages() uint64 { return uint64(max(as.nTables.Load(), 0)) }
