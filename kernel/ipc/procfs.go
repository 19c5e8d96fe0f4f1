package ipc

import "husk/kernel/mm"

// This file is what only /proc asks.

// SemArray and Queue are copies of what /proc/sysvipc shows of one object.
type (
	SemArray struct {
		Perm
		N            int
		Otime, Ctime int64
	}
	Queue struct {
		Perm
		Bytes, N            int64
		Lspid, Lrpid        int32
		Stime, Rtime, Ctime int64
	}
)

// Segments calls f with each segment and its resident bytes.
func Segments(f func(s Segment, resident uint64)) {
	shm.mu.Lock()
	defer shm.mu.Unlock()
	for _, o := range shm.slots {
		if s, ok := o.(*Segment); ok {
			f(*s, s.cache.Resident()*mm.PageSize)
		}
	}
}

// SemArrays calls f with each array.
func SemArrays(f func(SemArray)) {
	sem.mu.Lock()
	defer sem.mu.Unlock()
	for _, o := range sem.slots {
		if a, ok := o.(*semArray); ok {
			f(SemArray{a.Perm, len(a.sems), a.otime, a.ctime})
		}
	}
}

// Queues calls f with each message queue.
func Queues(f func(Queue)) {
	msg.mu.Lock()
	defer msg.mu.Unlock()
	for _, o := range msg.slots {
		if q, ok := o.(*queue); ok {
			f(Queue{q.Perm, q.bytes, int64(len(q.messages)), q.lspid, q.lrpid, q.stime, q.rtime, q.ctime})
		}
	}
}
