package ipc

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// SemLimits are SEMMSL, SEMMNS, SEMOPM and SEMMNI: kernel.sem of /proc/sys,
// read and written with package atomic.
var SemLimits = [4]int64{32000, 1024000000, 500, 32000}

// The members of SemLimits.
const (
	semMsl = iota // semaphores in an array
	semMns        // in all arrays
	SemOpm        // operations of one call
	semMni        // arrays
)

const (
	semVMX  = 32767 // the highest value, and adjustment
	semUndo = 0x1000
)

// Commands of semctl(2).
const (
	SemGetPid  = 11
	SemGetVal  = 12
	SemGetAll  = 13
	SemGetNCnt = 14
	SemGetZCnt = 15
	SemSetVal  = 16
	SemSetAll  = 17
	SemStat    = 18
	SemInfo    = 19
	SemStatAny = 20
)

var sem struct {
	table
	total int64 // semaphores in all arrays
}

type semaphore struct{ value, pid int32 }

// semArray is a set of semaphores. sem.mu guards it.
type semArray struct {
	Perm
	sems         []semaphore
	otime, ctime int64
	waiting      []*semWaiter // in the order of arrival
	undos        []*undo
}

func (a *semArray) perm() *Perm { return &a.Perm }

// SemOp is struct sembuf.
type SemOp struct {
	Num  uint16
	Op   int16
	Flag int16
}

// semWaiter is a call that waits. sem.mu guards it but for done, which the
// caller reads without: what is written before done is set is visible then.
type semWaiter struct {
	sleeper  wait.Sleeper
	ops      []SemOp
	undo     *undo
	pid      int32
	blocking int // the operation that cannot be done
	done     atomic.Bool
	err      error
}

// finish ends the wait. sem.mu is held and w is off the list.
func (w *semWaiter) finish(err error) {
	w.err = err
	w.done.Store(true)
	w.sleeper.Wake()
}

// UndoList is the adjustments (SEM_UNDO) of a process, or of those that share
// them with CLONE_SYSVSEM. sem.mu guards it but for refs.
type UndoList struct {
	refs atomic.Int32
	list []*undo
}

// undo is the adjustments of one list to one array; array is nil once that is
// gone.
type undo struct {
	array *semArray
	adj   []int16
}

// NewUndoList returns an empty list with one reference.
func NewUndoList() *UndoList {
	u := new(UndoList)
	u.refs.Store(1)
	return u
}

// Get takes a reference.
func (u *UndoList) Get() *UndoList {
	u.refs.Add(1)
	return u
}

// Put drops a reference; the last makes the adjustments on behalf of pid.
func (u *UndoList) Put(pid int) {
	if u.refs.Add(-1) > 0 {
		return
	}
	sem.mu.Lock()
	defer sem.mu.Unlock()
	for _, un := range u.list {
		a := un.array
		if a == nil {
			continue
		}
		i := slices.Index(a.undos, un)
		a.undos = slices.Delete(a.undos, i, i+1)
		for n, d := range un.adj {
			if d != 0 {
				s := &a.sems[n]
				s.value = min(max(s.value+int32(d), 0), semVMX)
				s.pid = int32(pid)
			}
		}
		a.otime = seconds()
		a.update()
	}
	u.list = nil
}

// of returns the adjustments to an array, making them. sem.mu is held.
func (u *UndoList) of(a *semArray) (*undo, error) {
	for _, un := range u.list {
		if un.array == a {
			return un, nil
		}
	}
	if !cpu.KernelRoom(uint64(2 * len(a.sems))) {
		return nil, unix.ENOMEM
	}
	un := &undo{a, make([]int16, len(a.sems))}
	for i := 0; i < len(un.adj); i += 4096 / 2 {
		un.adj[i] = 0
	}
	a.undos = append(a.undos, un)
	i := slices.IndexFunc(u.list, func(o *undo) bool { return o.array == nil })
	if i < 0 {
		u.list = append(u.list, un)
	} else {
		u.list[i] = un
	}
	return un, nil
}

// Semget serves semget(2).
func Semget(c vfs.Caller, key int32, n int, flags uint32) (int, error) {
	if n < 0 || int64(n) > atomic.LoadInt64(&SemLimits[semMsl]) {
		return 0, unix.EINVAL
	}
	return sem.create(c, key, flags, func(o object) error {
		if n > len(o.(*semArray).sems) {
			return unix.EINVAL
		}
		return nil
	}, func() (object, error) {
		if n == 0 {
			return nil, unix.EINVAL
		}
		if sem.total+int64(n) > atomic.LoadInt64(&SemLimits[semMns]) || int64(sem.inUse) >= atomic.LoadInt64(&SemLimits[semMni]) {
			return nil, unix.ENOSPC
		}
		if !cpu.KernelRoom(uint64(8 * n)) {
			return nil, unix.ENOMEM
		}
		a := &semArray{sems: make([]semaphore, n), ctime: seconds()}
		for i := 0; i < n; i += 4096 / 8 { // so that the memory is there, and counted
			a.sems[i].pid = 0
		}
		sem.total += int64(n)
		return a, nil
	})
}

// Semop serves semop(2) and semtimedop(2). undos returns the caller's list
// when an operation asks for SEM_UNDO.
func Semop(c vfs.Caller, id int, ops []SemOp, deadline int64, undos func() *UndoList) error {
	alter, undoing, highest := false, false, 0
	for i := range ops {
		highest = max(highest, int(ops[i].Num))
		alter = alter || ops[i].Op != 0
		undoing = undoing || ops[i].Flag&semUndo != 0
	}
	sem.mu.Lock()
	o, err := sem.find(id)
	if err != nil {
		sem.mu.Unlock()
		return err
	}
	a := o.(*semArray)
	want := uint32(0o444)
	if alter {
		want = 0o222
	}
	var un *undo
	switch {
	case highest >= len(a.sems):
		err = unix.EFBIG
	default:
		err = a.allows(c, want)
	}
	if err == nil && undoing {
		un, err = undos().of(a)
	}
	if err != nil {
		sem.mu.Unlock()
		return err
	}
	w := semWaiter{sleeper: c, ops: ops, undo: un, pid: int32(c.TGID())}
	blocked, err := a.try(&w)
	if !blocked {
		if err == nil {
			a.otime = seconds()
			if alter {
				a.update()
			}
		}
		sem.mu.Unlock()
		return err
	}
	a.waiting = append(a.waiting, &w)
	sem.mu.Unlock()
	for !w.done.Load() {
		if err := c.Sleep(deadline); err != nil {
			return a.giveUp(&w, err)
		}
	}
	return w.err
}

// giveUp ends a wait that a signal or the deadline interrupted.
func (a *semArray) giveUp(w *semWaiter, why error) error {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	if w.done.Load() {
		return w.err
	}
	i := slices.Index(a.waiting, w)
	a.waiting = slices.Delete(a.waiting, i, i+1)
	if why == unix.ETIMEDOUT {
		return unix.EAGAIN
	}
	return unix.EINTR // never restarted, signal(7)
}

// try does all operations of w or none. blocked says that it has to wait, and
// w.blocking for which.
func (a *semArray) try(w *semWaiter) (blocked bool, err error) {
	for i := range w.ops {
		o := &w.ops[i]
		s := &a.sems[o.Num]
		v := s.value + int32(o.Op)
		switch {
		case v < 0 || o.Op == 0 && s.value != 0:
			a.takeBack(w, i)
			if o.Flag&ipcNoWait != 0 {
				return false, unix.EAGAIN
			}
			w.blocking = i
			return true, nil
		case v > semVMX:
			a.takeBack(w, i)
			return false, unix.ERANGE
		}
		if o.Flag&semUndo != 0 {
			d := int32(w.undo.adj[o.Num]) - int32(o.Op)
			if d < -semVMX-1 || d > semVMX {
				a.takeBack(w, i)
				return false, unix.ERANGE
			}
			w.undo.adj[o.Num] = int16(d)
		}
		s.value = v
	}
	for i := range w.ops {
		a.sems[w.ops[i].Num].pid = w.pid
	}
	return false, nil
}

// takeBack undoes the first n operations.
func (a *semArray) takeBack(w *semWaiter, n int) {
	for n--; n >= 0; n-- {
		o := &w.ops[n]
		a.sems[o.Num].value -= int32(o.Op)
		if o.Flag&semUndo != 0 {
			w.undo.adj[o.Num] += o.Op
		}
	}
}

// update lets those go on that now can, the first to come first.
func (a *semArray) update() {
	for i := 0; i < len(a.waiting); {
		w := a.waiting[i]
		blocked, err := a.try(w)
		if blocked {
			i++
			continue
		}
		a.waiting = slices.Delete(a.waiting, i, i+1)
		if err == nil {
			a.otime = seconds()
			i = 0 // what it changed may let others go on
		}
		w.finish(err)
	}
}

// SemRemove serves IPC_RMID.
func SemRemove(c vfs.Caller, id int) error {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.find(id)
	if err == nil {
		err = o.perm().owned(c)
	}
	if err != nil {
		return err
	}
	a := o.(*semArray)
	sem.remove(a)
	sem.total -= int64(len(a.sems))
	for _, un := range a.undos {
		un.array, un.adj = nil, nil
	}
	a.undos = nil
	for _, w := range a.waiting {
		w.finish(unix.EIDRM)
	}
	a.waiting = nil
	return nil
}

// SemSet serves IPC_SET.
func SemSet(c vfs.Caller, id int, b *[SemidSize]byte) error {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.find(id)
	if err == nil {
		err = o.perm().owned(c)
	}
	if err == nil {
		err = o.perm().set(b[:])
	}
	if err == nil {
		o.(*semArray).ctime = seconds()
	}
	return err
}

// SemStatus serves IPC_STAT, SEM_STAT and SEM_STAT_ANY.
func SemStatus(c vfs.Caller, id int, byIndex, anybody bool, b *[SemidSize]byte) (int, error) {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.named(c, id, byIndex, anybody)
	if err != nil {
		return 0, err
	}
	a := o.(*semArray)
	a.put(b[:])
	le.PutUint64(b[48:], uint64(a.otime))
	le.PutUint64(b[64:], uint64(a.ctime))
	le.PutUint64(b[80:], uint64(len(a.sems)))
	return int(a.ID), nil
}

// SemInfos serves IPC_INFO, and with usage SEM_INFO: struct seminfo.
func SemInfos(usage bool) (b [40]byte, highest int) {
	msl, mns := atomic.LoadInt64(&SemLimits[semMsl]), atomic.LoadInt64(&SemLimits[semMns])
	opm, mni := atomic.LoadInt64(&SemLimits[SemOpm]), atomic.LoadInt64(&SemLimits[semMni])
	sem.mu.Lock()
	defer sem.mu.Unlock()
	usz, aem := int64(20), int64(semVMX)
	if usage {
		usz, aem = int64(sem.inUse), sem.total
	}
	for i, v := range [...]int64{mns, mni, mns, mns, msl, opm, opm, usz, semVMX, aem} {
		le.PutUint32(b[4*i:], uint32(v))
	}
	return b, sem.highest()
}

// SemGet serves GETVAL, GETPID, GETNCNT and GETZCNT.
func SemGet(c vfs.Caller, id, n, cmd int) (int, error) {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.named(c, id, false, false)
	if err != nil {
		return 0, err
	}
	a := o.(*semArray)
	if n < 0 || n >= len(a.sems) {
		return 0, unix.EINVAL
	}
	switch cmd {
	case SemGetVal:
		return int(a.sems[n].value), nil
	case SemGetPid:
		return int(a.sems[n].pid), nil
	}
	count := 0
	for _, w := range a.waiting {
		if o := &w.ops[w.blocking]; int(o.Num) == n && (o.Op == 0) == (cmd == SemGetZCnt) {
			count++
		}
	}
	return count, nil
}

// SemGetValues serves GETALL.
func SemGetValues(c vfs.Caller, id int) ([]uint16, error) {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.named(c, id, false, false)
	if err != nil {
		return nil, err
	}
	a := o.(*semArray)
	if !cpu.KernelRoom(uint64(4 * len(a.sems))) {
		return nil, unix.ENOMEM
	}
	v := make([]uint16, len(a.sems))
	for i := range v {
		v[i] = uint16(a.sems[i].value)
	}
	return v, nil
}

// SemCount is the number of semaphores of an array that c may change.
func SemCount(c vfs.Caller, id int) (int, error) {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.find(id)
	if err != nil {
		return 0, err
	}
	return len(o.(*semArray).sems), o.perm().allows(c, 0o222)
}

// SemSetValues serves SETALL, and SETVAL with a single value for n.
func SemSetValues(c vfs.Caller, id, n int, values []uint16) error {
	for _, v := range values {
		if v > semVMX {
			return unix.ERANGE
		}
	}
	sem.mu.Lock()
	defer sem.mu.Unlock()
	o, err := sem.find(id)
	if err != nil {
		return err
	}
	a := o.(*semArray)
	if n < 0 || n+len(values) > len(a.sems) {
		return unix.EINVAL
	}
	if err := a.allows(c, 0o222); err != nil {
		return err
	}
	for i, v := range values {
		s := &a.sems[n+i]
		s.value, s.pid = int32(v), int32(c.TGID())
		for _, un := range a.undos {
			un.adj[n+i] = 0
		}
	}
	a.ctime = seconds()
	a.update()
	return nil
}
