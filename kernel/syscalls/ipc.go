package syscalls

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/ipc"
	"husk/kernel/mm"
	"husk/kernel/task"
)

// Commands that the control calls have in common (ipc.h).
const (
	ipcRMID = 0
	ipcSet  = 1
	ipcStat = 2
	ipcInfo = 3
)

// shmget returns a shared memory segment (shmget(2)).
func (t Thread) shmget(key int32, size uint64, flags uint32) (int, error) {
	return ipc.Shmget(t.Thread, key, size, flags)
}

// shmat maps one (shmop(2)).
func (t Thread) shmat(id int32, addr mm.Addr, flags uint32) (uintptr, error) {
	a, err := ipc.Shmat(t.Thread, int(id), addr, flags)
	return uintptr(a), err
}

// shmdt unmaps one (shmop(2)).
func (t Thread) shmdt(addr mm.Addr) error { return ipc.Shmdt(t.Thread, addr) }

// shmctl controls one (shmctl(2)).
func (t Thread) shmctl(id, cmd int32, buf mm.Addr) (int, error) {
	if cmd < 0 || id < 0 {
		return 0, unix.EINVAL
	}
	switch cmd {
	case ipcInfo:
		b, highest := ipc.ShmLimits()
		return highest, t.copyOut(buf, b[:])
	case ipc.ShmInfo:
		b, highest := ipc.ShmUsage()
		return highest, t.copyOut(buf, b[:])
	case ipcStat, ipc.ShmStat, ipc.ShmStatAny:
		var b [ipc.ShmidSize]byte
		got, err := ipc.ShmStatus(t.Thread, int(id), cmd != ipcStat, cmd == ipc.ShmStatAny, &b)
		if err == nil {
			err = t.copyOut(buf, b[:])
		}
		if cmd == ipcStat {
			got = 0
		}
		return got, err
	case ipcSet:
		var b [ipc.ShmidSize]byte
		if err := t.copyIn(b[:], buf); err != nil {
			return 0, err
		}
		return 0, ipc.ShmSet(t.Thread, int(id), &b)
	case ipcRMID:
		return 0, ipc.ShmRemove(t.Thread, int(id))
	case ipc.ShmLock, ipc.ShmUnlock:
		return 0, ipc.ShmLockSegment(t.Thread, int(id), cmd == ipc.ShmLock, t.Process.Limit(task.RlimitMemlock))
	}
	return 0, unix.EINVAL
}

// semget returns a set of semaphores (semget(2)).
func (t Thread) semget(key, n int32, flags uint32) (int, error) {
	return ipc.Semget(t.Thread, key, int(n), flags)
}

// semop operates on semaphores (semop(2)).
func (t Thread) semop(id int32, ops mm.Addr, n uint64) error {
	return t.semtimedop(id, ops, n, 0)
}

// semtimedop is semop with a timeout.
func (t Thread) semtimedop(id int32, ops mm.Addr, n uint64, timeout mm.Addr) error {
	deadline := clock.Never
	if timeout != 0 {
		var b [16]byte
		if err := t.copyIn(b[:], timeout); err != nil {
			return err
		}
	}
	if n < 1 || id < 0 {
		return unix.EINVAL
	}
	if n > uint64(atomic.LoadInt64(&ipc.SemLimits[ipc.SemOpm])) {
		return unix.E2BIG
	}
	var few [4]ipc.SemOp
	list := few[:]
	if n > uint64(len(few)) {
		if !cpu.KernelRoom(6 * n) {
			return unix.ENOMEM
		}
		list = make([]ipc.SemOp, n)
	}
	list = list[:n]
	var b [6]byte
	for i := range list {
		if err := t.copyIn(b[:], ops+mm.Addr(6*i)); err != nil {
			return err
		}
		list[i] = ipc.SemOp{Num: le.Uint16(b[:]), Op: int16(le.Uint16(b[2:])), Flag: int16(le.Uint16(b[4:]))}
	}
	deadline, err := t.deadlineIn(timeout)
	if err != nil {
		return err
	}
	return ipc.Semop(t.Thread, int(id), list, deadline, t.SemUndo)
}

// semctl controls a set of semaphores (semctl(2)).
func (t Thread) semctl(id, n, cmd int32, arg uint64) (int, error) {
	if id < 0 {
		return 0, unix.EINVAL
	}
	buf := mm.Addr(arg)
	switch cmd {
	case ipcInfo, ipc.SemInfo:
		b, highest := ipc.SemInfos(cmd == ipc.SemInfo)
		return highest, t.copyOut(buf, b[:])
	case ipcStat, ipc.SemStat, ipc.SemStatAny:
		var b [ipc.SemidSize]byte
		got, err := ipc.SemStatus(t.Thread, int(id), cmd != ipcStat, cmd == ipc.SemStatAny, &b)
		if err == nil {
			err = t.copyOut(buf, b[:])
		}
		if cmd == ipcStat {
			got = 0
		}
		return got, err
	case ipc.SemGetVal, ipc.SemGetPid, ipc.SemGetNCnt, ipc.SemGetZCnt:
		return ipc.SemGet(t.Thread, int(id), int(n), int(cmd))
	case ipc.SemGetAll:
		v, err := ipc.SemGetValues(t.Thread, int(id))
		if err != nil {
			return 0, err
		}
		return 0, t.copyOut(buf, shortBytes(v))
	case ipc.SemSetAll:
		n, err := ipc.SemCount(t.Thread, int(id))
		if err != nil {
			return 0, err
		}
		if !cpu.KernelRoom(uint64(4 * n)) {
			return 0, unix.ENOMEM
		}
		v := make([]uint16, n)
		if err := t.copyIn(shortBytes(v), buf); err != nil {
			return 0, err
		}
		return 0, ipc.SemSetValues(t.Thread, int(id), 0, v)
	case ipc.SemSetVal:
		v := int32(arg)
		if v < 0 || v > 32767 {
			return 0, unix.ERANGE
		}
		return 0, ipc.SemSetValues(t.Thread, int(id), int(n), []uint16{uint16(v)})
	case ipcSet:
		var b [ipc.SemidSize]byte
		if err := t.copyIn(b[:], buf); err != nil {
			return 0, err
		}
		return 0, ipc.SemSet(t.Thread, int(id), &b)
	case ipcRMID:
		return 0, ipc.SemRemove(t.Thread, int(id))
	}
	return 0, unix.EINVAL
}

// msgget returns a message queue (msgget(2)).
func (t Thread) msgget(key int32, flags uint32) (int, error) {
	return ipc.Msgget(t.Thread, key, flags)
}

// msgsnd sends a message (msgop(2)).
func (t Thread) msgsnd(id int32, p mm.Addr, size uint64, flags uint32) error {
	var b [8]byte
	if err := t.copyIn(b[:], p); err != nil {
		return err
	}
	m := ipc.Message{Type: int64(le.Uint64(b[:]))}
	if size > uint64(atomic.LoadInt64(&ipc.MsgMax)) || id < 0 || m.Type < 1 {
		return unix.EINVAL
	}
	if !ipc.Room(size) {
		return unix.ENOMEM
	}
	m.Text = make([]byte, size)
	if err := t.copyIn(m.Text, p+8); err != nil {
		return err
	}
	return ipc.Msgsnd(t.Thread, int(id), &m, flags)
}

// msgrcv receives one (msgop(2)).
func (t Thread) msgrcv(id int32, p mm.Addr, size uint64, kind int64, flags uint32) (int, error) {
	m, err := ipc.Msgrcv(t.Thread, int(id), size, kind, flags)
	if err != nil {
		return 0, err
	}
	var b [8]byte
	le.PutUint64(b[:], uint64(m.Type))
	n := min(size, uint64(len(m.Text)))
	if err := t.copyOut(p, b[:]); err != nil {
		return 0, err
	}
	return int(n), t.copyOut(p+8, m.Text[:n])
}

// msgctl controls a message queue (msgctl(2)).
func (t Thread) msgctl(id, cmd int32, buf mm.Addr) (int, error) {
	if id < 0 || cmd < 0 {
		return 0, unix.EINVAL
	}
	switch cmd {
	case ipcInfo, ipc.MsgInfo:
		b, highest := ipc.MsgInfos(cmd == ipc.MsgInfo)
		return highest, t.copyOut(buf, b[:])
	case ipcStat, ipc.MsgStat, ipc.MsgStatAny:
		var b [ipc.MsqidSize]byte
		got, err := ipc.MsgStatus(t.Thread, int(id), cmd != ipcStat, cmd == ipc.MsgStatAny, &b)
		if err == nil {
			err = t.copyOut(buf, b[:])
		}
		if cmd == ipcStat {
			got = 0
		}
		return got, err
	case ipcSet:
		var b [ipc.MsqidSize]byte
		if err := t.copyIn(b[:], buf); err != nil {
			return 0, err
		}
		return 0, ipc.MsgSet(t.Thread, int(id), &b)
	case ipcRMID:
		return 0, ipc.MsgRemove(t.Thread, int(id))
	}
	return 0, unix.EINVAL
}
