package vfs

import (
	"math"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/wait"
)

// lockList holds the advisory locks of one inode. mu is a leaf but for
// deadlocks.mu, which comes after it.
type lockList struct {
	mu      sync.Mutex
	whole   []wholeLock  // flock(2)
	records []recordLock // fcntl(2), by owner and then start
	freed   wait.Queue   // announces that something was unlocked
}

// wholeLock is a lock of flock(2): it belongs to an open file description.
type wholeLock struct {
	file      *File
	exclusive bool
}

// recordLock is a lock of fcntl(2) on the bytes from start to end inclusive.
// Its owner is a descriptor table (POSIX locks) or an open file description.
type recordLock struct {
	owner      any
	write      bool
	start, end int64
	pid        int32
}

// deadlocks knows who waits for whom: only POSIX locks, whose owners have one
// thread of control each, can be told to be in a deadlock.
var deadlocks struct {
	mu      sync.Mutex
	waiting []waitFor
}

type waitFor struct {
	owner, holder any
	request       *int // identifies the call
}

func (i *Inode) lockList() *lockList {
	if l := i.locks.Load(); l != nil {
		return l
	}
	i.locks.CompareAndSwap(nil, &lockList{})
	return i.locks.Load()
}

// Flock serves flock(2); op is valid.
func (f *File) Flock(c Caller, op uint32) error {
	i := f.Inode
	if op&unix.LOCK_UN != 0 {
		if l := i.locks.Load(); l != nil {
			l.dropWhole(f)
		}
		return nil
	}
	l := i.lockList()
	f.locked.Store(true)
	exclusive := op&unix.LOCK_EX != 0
	try := func() error { return l.tryWhole(f, exclusive) }
	err := try()
	if err == unix.EAGAIN && op&unix.LOCK_NB == 0 {
		err = block(c, &l.freed, wait.In, 0, try)
	}
	return err
}

func (l *lockList) tryWhole(f *File, exclusive bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.whole {
		if l.whole[k].file == f {
			if l.whole[k].exclusive == exclusive {
				return nil
			}
			// A conversion gives the old lock up first (flock(2)).
			l.whole = slices.Delete(l.whole, k, k+1)
			l.freed.Notify(wait.In)
			break
		}
	}
	for _, o := range l.whole {
		if exclusive || o.exclusive {
			return unix.EAGAIN
		}
	}
	l.whole = append(l.whole, wholeLock{f, exclusive})
	return nil
}

func (l *lockList) dropWhole(f *File) {
	l.mu.Lock()
	n := len(l.whole)
	l.whole = slices.DeleteFunc(l.whole, func(o wholeLock) bool { return o.file == f })
	freed := len(l.whole) != n
	l.mu.Unlock()
	if freed {
		l.freed.Notify(wait.In)
	}
}

// releaseFileLocks ends the locks that belong to f, which is closed for good.
func (i *Inode) releaseFileLocks(f *File) {
	if l := i.locks.Load(); l != nil {
		l.dropWhole(f)
		l.dropOwner(f)
	}
}

// releasePosixLocks ends the POSIX locks of a table that closed a descriptor
// of the inode, whichever it was.
func (i *Inode) releasePosixLocks(t *FDTable) {
	if l := i.locks.Load(); l != nil {
		l.dropOwner(t)
	}
}

func (l *lockList) dropOwner(owner any) {
	l.mu.Lock()
	n := len(l.records)
	l.records = slices.DeleteFunc(l.records, func(r recordLock) bool { return r.owner == owner })
	freed := len(l.records) != n
	l.mu.Unlock()
	if freed {
		l.freed.Notify(wait.In)
	}
}

// RecordLock serves fcntl(2)'s F_SETLK, F_SETLKW, F_GETLK and their OFD
// forms. files is the caller's table; stillOpen is asked after a lock was
// taken whether the descriptor is still the file's.
func (f *File) RecordLock(c Caller, files *FDTable, cmd int, fl *unix.Flock_t, stillOpen func() bool) error {
	ofd := cmd == unix.F_OFD_GETLK || cmd == unix.F_OFD_SETLK || cmd == unix.F_OFD_SETLKW
	get := cmd == unix.F_GETLK || cmd == unix.F_OFD_GETLK
	if get && fl.Type == unix.F_UNLCK && !ofd {
		return unix.EINVAL
	}
	r, err := f.recordRange(fl)
	if err != nil {
		return err
	}
	r.owner, r.pid = any(files), int32(c.TGID())
	if !get {
		switch {
		case fl.Type == unix.F_RDLCK && !f.readable(), fl.Type == unix.F_WRLCK && !f.writable():
			return unix.EBADF
		}
	}
	if ofd {
		if fl.Pid != 0 {
			return unix.EINVAL
		}
		r.owner, r.pid = any(f), -1
	}
	if get {
		f.Inode.getRecord(r, fl, fl.Type == unix.F_UNLCK)
		return nil
	}
	l := f.Inode.lockList()
	if fl.Type == unix.F_UNLCK {
		l.mu.Lock()
		l.setRecord(r, false)
		l.mu.Unlock()
		return nil
	}
	if ofd {
		f.locked.Store(true)
	}
	err = l.tryRecord(r, nil)
	if err == unix.EAGAIN && (cmd == unix.F_SETLKW || cmd == unix.F_OFD_SETLKW) {
		err = l.waitRecord(c, r, !ofd)
	}
	if err == nil && !stillOpen() {
		// Another thread closed the descriptor meanwhile and released what
		// there was then: this lock would be left behind.
		l.mu.Lock()
		l.setRecord(r, false)
		l.mu.Unlock()
		return unix.EBADF
	}
	return err
}

// recordRange converts the range of struct flock to absolute bytes.
func (f *File) recordRange(fl *unix.Flock_t) (r recordLock, err error) {
	switch fl.Type {
	case unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK:
	default:
		return r, unix.EINVAL
	}
	var base int64
	switch fl.Whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		base = f.Pos()
	case unix.SEEK_END:
		base = f.Inode.Size()
	default:
		return r, unix.EINVAL
	}
	if fl.Start > math.MaxInt64-base {
		return r, unix.EOVERFLOW
	}
	start := base + fl.Start
	if start < 0 {
		return r, unix.EINVAL
	}
	end := int64(math.MaxInt64)
	switch {
	case fl.Len > 0:
		if fl.Len-1 > math.MaxInt64-start {
			return r, unix.EOVERFLOW
		}
		end = start + fl.Len - 1
	case fl.Len < 0:
		if start+fl.Len < 0 {
			return r, unix.EINVAL
		}
		end = start - 1
		start += fl.Len
	}
	return recordLock{write: fl.Type == unix.F_WRLCK, start: start, end: end}, nil
}

// getRecord tells of a lock that keeps r from being taken, if there is one;
// with own, of one that the owner itself has there.
func (i *Inode) getRecord(r recordLock, fl *unix.Flock_t, own bool) {
	l := i.locks.Load()
	if l == nil {
		fl.Type = unix.F_UNLCK
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.conflict(r)
	if own {
		k := slices.IndexFunc(l.records, func(o recordLock) bool {
			return o.owner == r.owner && o.start <= r.end && r.start <= o.end
		})
		if o = nil; k >= 0 {
			o = &l.records[k]
		}
	}
	if o == nil {
		fl.Type = unix.F_UNLCK
		return
	}
	*fl = unix.Flock_t{Type: unix.F_RDLCK, Whence: unix.SEEK_SET, Start: o.start, Pid: o.pid}
	if o.write {
		fl.Type = unix.F_WRLCK
	}
	if o.end != math.MaxInt64 {
		fl.Len = o.end - o.start + 1
	}
}

func (l *lockList) conflict(r recordLock) *recordLock {
	for k := range l.records {
		o := &l.records[k]
		if o.owner != r.owner && o.start <= r.end && r.start <= o.end && (o.write || r.write) {
			return o
		}
	}
	return nil
}

// fewRecords is how many locks a file may have however short memory is.
const fewRecords = 64

// tryRecord takes r, or returns EAGAIN; a waiter with a request is entered
// into the graph of who waits for whom, and told EDEADLK if that has a cycle.
func (l *lockList) tryRecord(r recordLock, request *int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.conflict(r); o != nil {
		if request != nil {
			if err := waitsFor(r.owner, o.owner, request); err != nil {
				return err
			}
		}
		return unix.EAGAIN
	}
	if len(l.records) >= fewRecords && cpu.KernelShort() {
		return unix.ENOLCK
	}
	l.setRecord(r, true)
	return nil
}

func (l *lockList) waitRecord(c Caller, r recordLock, detect bool) error {
	var request *int
	if detect {
		request = new(int)
		defer waitsNoMore(request)
	}
	return block(c, &l.freed, wait.In, 0, func() error { return l.tryRecord(r, request) })
}

// before reports whether a range that ends at end neither reaches nor touches
// one that begins at start.
func before(end, start int64) bool { return end != math.MaxInt64 && end+1 < start }

// maxChain bounds the search for a deadlock, as Linux does.
const maxChain = 10

func waitsFor(owner, holder any, request *int) error {
	deadlocks.mu.Lock()
	defer deadlocks.mu.Unlock()
	at := holder
	for range maxChain {
		if at == owner {
			return unix.EDEADLK
		}
		k := slices.IndexFunc(deadlocks.waiting, func(w waitFor) bool { return w.owner == at && w.request != request })
		if k < 0 {
			break
		}
		at = deadlocks.waiting[k].holder
	}
	k := slices.IndexFunc(deadlocks.waiting, func(w waitFor) bool { return w.request == request })
	if k < 0 {
		deadlocks.waiting = append(deadlocks.waiting, waitFor{owner, holder, request})
	} else {
		deadlocks.waiting[k].holder = holder
	}
	return nil
}

func waitsNoMore(request *int) {
	deadlocks.mu.Lock()
	deadlocks.waiting = slices.DeleteFunc(deadlocks.waiting, func(w waitFor) bool { return w.request == request })
	deadlocks.mu.Unlock()
}

// setRecord makes the owner's bytes from r.start to r.end locked as r says,
// or unlocked: pieces of its older locks are cut away, neighbours of the same
// kind are joined. The owner's locks stay together, in the order of their
// bytes. mu is held.
func (l *lockList) setRecord(r recordLock, lock bool) {
	// [from, to) are the owner's locks that overlap or touch r.
	from := slices.IndexFunc(l.records, func(o recordLock) bool { return o.owner == r.owner })
	if from < 0 {
		from = len(l.records)
	}
	for from < len(l.records) && l.records[from].owner == r.owner && before(l.records[from].end, r.start) {
		from++
	}
	to := from
	for to < len(l.records) && l.records[to].owner == r.owner && !before(r.end, l.records[to].start) {
		to++
	}
	var room [2][2]recordLock // what remains on either side: at most one that touches and one that is cut
	left, right := room[0][:0], room[1][:0]
	for _, o := range l.records[from:to] {
		if lock && o.write == r.write {
			r.start, r.end = min(r.start, o.start), max(r.end, o.end)
			continue
		}
		if o.start < r.start {
			cut := o
			cut.end = min(o.end, r.start-1)
			left = append(left, cut)
		}
		if o.end > r.end {
			cut := o
			cut.start = max(o.start, r.end+1)
			right = append(right, cut)
		}
	}
	var all [5]recordLock
	set := append(all[:0], left...)
	if lock {
		set = append(set, r)
	}
	l.records = slices.Replace(l.records, from, to, append(set, right...)...)
	l.freed.Notify(wait.In) // a weaker lock may let others in
}

// Lock is one line of /proc/locks.
type Lock struct {
	Kind       string // FLOCK, POSIX, OFDLCK
	Write      bool
	PID        int32
	Start, End int64
}

// Locks lists the advisory locks of the inode.
func (i *Inode) Locks() []Lock {
	l := i.locks.Load()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Lock
	for _, w := range l.whole {
		list = append(list, Lock{Kind: "FLOCK", Write: w.exclusive, PID: -1, End: math.MaxInt64})
	}
	for _, r := range l.records {
		kind := "POSIX"
		if _, ofd := r.owner.(*File); ofd {
			kind = "OFDLCK"
		}
		list = append(list, Lock{kind, r.write, r.pid, r.start, r.end})
	}
	return list
}
