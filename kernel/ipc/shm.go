package ipc

import (
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// The limits of shmget(2), kernel.shm* of /proc/sys; read and written with
// package atomic.
var (
	ShmMax       uint64 = 1<<64 - 1 - 1<<24 // bytes of a segment
	ShmAll       uint64 = 1<<64 - 1 - 1<<24 // pages of all
	ShmMni       int64  = 4096              // segments
	ShmRmidForce int64                      // a segment that nobody attaches goes
)

// Flags and commands of shm.h.
const (
	shmRdOnly    = 0o10000
	shmRnd       = 0o20000
	shmRemap     = 0o40000
	shmExec      = 0o100000
	shmHugeTLB   = 0o4000
	shmNoReserve = 0o10000

	ShmLock    = 11
	ShmUnlock  = 12
	ShmStat    = 13
	ShmInfo    = 14
	ShmStatAny = 15
)

var shm struct {
	table
	pages uint64 // of all segments
	dev   uint64 // of the file system that maps shows
}

// Segment is a shared memory segment. It is the file of its mappings.
type Segment struct {
	Perm
	cache *mm.PageCache
	name  string // what /proc/PID/maps shows

	Size                uint64
	Attached            int64 // mappings
	Cpid, Lpid          int32
	Atime, Dtime, Ctime int64
	reserved            bool // counted in Committed_AS
	locker              uint32
}

func (s *Segment) perm() *Perm { return &s.Perm }

func (s *Segment) pages() uint64 { return (s.Size + mm.PageSize - 1) / mm.PageSize }

// The methods below make Segment an mm.Mappable.

// PageCache is the segment's memory.
func (s *Segment) PageCache() *mm.PageCache { return s.cache }

// MapName is what /proc/PID/maps shows: a file that has no name any more.
func (s *Segment) MapName() string { return s.name }

// MapDev and MapIno identify it there.
func (s *Segment) MapDev() uint64 { return shm.dev }

// MapIno is the identifier.
func (s *Segment) MapIno() uint64 { return uint64(s.ID) }

// Get counts a mapping: an attachment, or a copy of one by fork.
func (s *Segment) Get() {
	shm.mu.Lock()
	s.Attached++
	s.Atime = seconds()
	shm.mu.Unlock()
}

// Put counts one mapping less and destroys the segment after the last one if
// it was removed.
func (s *Segment) Put() {
	shm.mu.Lock()
	s.Dtime = seconds()
	gone := s.detached()
	shm.mu.Unlock()
	if gone {
		s.free()
	}
}

// detached takes one attachment off and reports whether the segment is gone
// with it. shm.mu is held.
func (s *Segment) detached() bool {
	s.Attached--
	return s.destroyIfUnused(atomic.LoadInt64(&ShmRmidForce) != 0)
}

// destroyIfUnused takes a segment that nobody uses out of the table if it was
// removed or force says so. Its memory is to be freed without the lock.
func (s *Segment) destroyIfUnused(force bool) bool {
	if s.Attached > 0 || s.gone || s.Mode&modeDest == 0 && !force {
		return false
	}
	shm.remove(s)
	shm.pages -= s.pages()
	return true
}

// free gives the memory back.
func (s *Segment) free() {
	s.cache.Release()
	if s.reserved {
		mm.Uncommit(s.pages())
	}
}

// Shmget serves shmget(2).
func Shmget(c vfs.Caller, key int32, size uint64, flags uint32) (int, error) {
	return shm.create(c, key, flags, func(o object) error {
		if o.(*Segment).Size < size {
			return unix.EINVAL
		}
		return nil
	}, func() (object, error) { return newSegment(c, key, size, flags) })
}

// newSegment makes a segment that is in no table yet. shm.mu is held.
func newSegment(c vfs.Caller, key int32, size uint64, flags uint32) (object, error) {
	if size < 1 || size > atomic.LoadUint64(&ShmMax) {
		return nil, unix.EINVAL
	}
	s := &Segment{Size: size, Cpid: int32(c.TGID()), Ctime: seconds()}
	n := s.pages()
	if n == 0 || shm.pages+n < n || shm.pages+n > atomic.LoadUint64(&ShmAll) || int64(shm.inUse) >= atomic.LoadInt64(&ShmMni) {
		return nil, unix.ENOSPC
	}
	if flags&shmHugeTLB != 0 {
		return nil, hugeErrno(c, flags)
	}
	if flags&shmNoReserve == 0 {
		if !mm.Commit(n) {
			return nil, unix.ENOMEM
		}
		s.reserved = true
	}
	if shm.dev == 0 {
		shm.dev = vfs.AllocDev()
	}
	hex := strconv.FormatUint(uint64(uint32(key)), 16)
	s.name = "/SYSV" + "00000000"[len(hex):] + hex + " (deleted)"
	s.cache = mm.NewPageCache(nil)
	s.cache.Truncate(size)
	shm.pages += n
	return s, nil
}

// hugeErrno is why a segment of huge pages cannot be: there are none.
func hugeErrno(c vfs.Caller, flags uint32) error {
	switch flags >> 26 & 0x3f {
	case 0, 21, 30:
	default:
		return unix.EINVAL
	}
	if cr := c.Cred(); !cr.Has(unix.CAP_IPC_LOCK) && !inGroup(cr, 0) {
		return unix.EPERM
	}
	return unix.ENOMEM
}

// Shmat serves shmat(2).
func Shmat(c vfs.Caller, id int, addr mm.Addr, flags uint32) (mm.Addr, error) {
	if id < 0 {
		return 0, unix.EINVAL
	}
	r := mm.MapRequest{Prot: unix.PROT_READ | unix.PROT_WRITE, Flags: unix.MAP_SHARED}
	want := uint32(0o666)
	if addr%mm.PageSize != 0 {
		if flags&shmRnd == 0 {
			return 0, unix.EINVAL
		}
		addr -= addr % mm.PageSize
		if addr == 0 && flags&shmRemap != 0 {
			return 0, unix.EINVAL
		}
		r.Flags |= unix.MAP_FIXED
	} else if addr != 0 {
		r.Flags |= unix.MAP_FIXED
	} else if flags&shmRemap != 0 {
		return 0, unix.EINVAL
	}
	if r.Flags&unix.MAP_FIXED != 0 && flags&shmRemap == 0 {
		r.Flags ^= unix.MAP_FIXED | unix.MAP_FIXED_NOREPLACE
	}
	if flags&shmRdOnly != 0 {
		r.Prot, r.MaxProt, want = unix.PROT_READ, unix.PROT_READ|unix.PROT_EXEC, 0o444
	}
	if flags&shmExec != 0 {
		r.Prot |= unix.PROT_EXEC
		want |= 0o111
	}
	shm.mu.Lock()
	o, err := shm.find(id)
	if err == nil {
		err = o.perm().allows(c, want)
	}
	if err != nil {
		shm.mu.Unlock()
		return 0, err
	}
	s := o.(*Segment)
	s.Attached++ // for the time of the call
	shm.mu.Unlock()

	cr := c.Cred()
	r.Addr, r.Len, r.File = addr, s.Size, s
	r.MayLock, r.MayMapLow = cr.Has(unix.CAP_IPC_LOCK), cr.Has(unix.CAP_SYS_RAWIO)
	at, err := c.AddressSpace().Map(r)
	if err == unix.EEXIST {
		err = unix.EINVAL
	}
	shm.mu.Lock()
	if err == nil {
		s.Lpid = int32(c.TGID())
		c.AddressSpace().Attached.Store(true)
	}
	gone := s.detached()
	shm.mu.Unlock()
	if gone {
		s.free()
	}
	return at, err
}

// Shmdt serves shmdt(2).
func Shmdt(c vfs.Caller, addr mm.Addr) error {
	if addr%mm.PageSize != 0 {
		return unix.EINVAL
	}
	var s *Segment
	// The reference of the call's own keeps Lpid current when the segment
	// goes on.
	err := c.AddressSpace().Detach(addr, func(m mm.Mappable) (uint64, bool) {
		g, ok := m.(*Segment)
		if !ok {
			return 0, false
		}
		s = g
		return g.Size, true
	})
	if err == nil && s != nil {
		shm.mu.Lock()
		s.Lpid = int32(c.TGID())
		shm.mu.Unlock()
	}
	return err
}

// Leave notes that a process gives up its memory, and with it what segments it
// has attached.
func Leave(as *mm.AddressSpace, tgid int) {
	if !as.Attached.Load() {
		return
	}
	as.Files(func(m mm.Mappable) {
		if s, ok := m.(*Segment); ok {
			shm.mu.Lock()
			s.Lpid = int32(tgid)
			shm.mu.Unlock()
		}
	})
}

// ShmStatus serves IPC_STAT, SHM_STAT and SHM_STAT_ANY of shmctl(2).
func ShmStatus(c vfs.Caller, id int, byIndex, anybody bool, b *[ShmidSize]byte) (int, error) {
	shm.mu.Lock()
	defer shm.mu.Unlock()
	o, err := shm.named(c, id, byIndex, anybody)
	if err != nil {
		return 0, err
	}
	s := o.(*Segment)
	s.put(b[:])
	le.PutUint64(b[48:], s.Size)
	le.PutUint64(b[56:], uint64(s.Atime))
	le.PutUint64(b[64:], uint64(s.Dtime))
	le.PutUint64(b[72:], uint64(s.Ctime))
	le.PutUint32(b[80:], uint32(s.Cpid))
	le.PutUint32(b[84:], uint32(s.Lpid))
	le.PutUint64(b[88:], uint64(s.Attached))
	return int(s.ID), nil
}

// ShmSet serves IPC_SET.
func ShmSet(c vfs.Caller, id int, b *[ShmidSize]byte) error {
	shm.mu.Lock()
	defer shm.mu.Unlock()
	o, err := shm.find(id)
	if err != nil {
		return err
	}
	if err := o.perm().owned(c); err != nil {
		return err
	}
	if err := o.perm().set(b[:]); err != nil {
		return err
	}
	o.(*Segment).Ctime = seconds()
	return nil
}

// ShmRemove serves IPC_RMID: a segment that is in use goes with its last
// attachment.
func ShmRemove(c vfs.Caller, id int) error {
	shm.mu.Lock()
	o, err := shm.find(id)
	if err == nil {
		err = o.perm().owned(c)
	}
	if err != nil {
		shm.mu.Unlock()
		return err
	}
	s := o.(*Segment)
	s.Mode |= modeDest
	shm.unkey(s)
	gone := s.destroyIfUnused(false)
	shm.mu.Unlock()
	if gone {
		s.free()
	}
	return nil
}

// ShmLockSegment serves SHM_LOCK and SHM_UNLOCK. limit is RLIMIT_MEMLOCK of
// the caller. Nothing is ever swapped, so that only the mark is kept.
func ShmLockSegment(c vfs.Caller, id int, lock bool, limit uint64) error {
	shm.mu.Lock()
	defer shm.mu.Unlock()
	o, err := shm.find(id)
	if err != nil {
		return err
	}
	s, cr := o.(*Segment), c.Cred()
	capable := cr.Has(unix.CAP_IPC_LOCK)
	if !capable {
		if e := uint32(cr.EUID); e != s.UID && e != s.CUID {
			return unix.EPERM
		}
		if lock && limit == 0 {
			return unix.EPERM
		}
	}
	switch {
	case !lock:
		s.Mode &^= modeLocked
	case s.Mode&modeLocked == 0:
		if !capable && lockedBy(uint32(cr.UID))+s.pages() > limit/mm.PageSize {
			return unix.ENOMEM
		}
		s.Mode |= modeLocked
		s.locker = uint32(cr.UID)
	}
	return nil
}

// lockedBy counts the pages that a user has locked. shm.mu is held.
func lockedBy(uid uint32) (n uint64) {
	for _, o := range shm.slots {
		if s, ok := o.(*Segment); ok && s.Mode&modeLocked != 0 && s.locker == uid {
			n += s.pages()
		}
	}
	return n
}

// ShmLimits serves IPC_INFO: struct shminfo64.
func ShmLimits() (b [72]byte, highest int) {
	mni := uint64(atomic.LoadInt64(&ShmMni))
	le.PutUint64(b[0:], atomic.LoadUint64(&ShmMax))
	le.PutUint64(b[8:], 1)
	le.PutUint64(b[16:], mni)
	le.PutUint64(b[24:], mni)
	le.PutUint64(b[32:], atomic.LoadUint64(&ShmAll))
	shm.mu.Lock()
	defer shm.mu.Unlock()
	return b, shm.highest()
}

// ShmUsage serves SHM_INFO: struct shm_info.
func ShmUsage() (b [48]byte, highest int) {
	shm.mu.Lock()
	defer shm.mu.Unlock()
	var resident uint64
	for _, o := range shm.slots {
		if s, ok := o.(*Segment); ok {
			resident += s.cache.Resident()
		}
	}
	le.PutUint32(b[0:], uint32(shm.inUse))
	le.PutUint64(b[8:], shm.pages)
	le.PutUint64(b[16:], resident)
	return b, shm.highest()
}
