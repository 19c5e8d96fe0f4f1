package ipc

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs/vfstest"
	"husk/kernel/wait"
)

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIdentifiersAreNotReusedSoon(t *testing.T) {
	c := vfstest.New()
	seen := map[int]bool{}
	for range 300 {
		id, err := Msgget(c, unix.IPC_PRIVATE, 0o600)
		must(t, id, err)
		if seen[id] {
			t.Fatalf("%d was given twice", id)
		}
		seen[id] = true
		must(t, 0, MsgRemove(c, id))
		if err := MsgRemove(c, id); err != unix.EINVAL {
			t.Fatalf("removing %d again: %v", id, err)
		}
	}
}

func TestPermissionsAreThoseOfOwnerGroupAndOthers(t *testing.T) {
	owner, group, other := vfstest.As(cred.User(1, 1, nil)), vfstest.As(cred.User(2, 9, []cred.GID{1})), vfstest.As(cred.User(3, 3, nil))
	id, err := Semget(owner, unix.IPC_PRIVATE, 1, 0o640)
	must(t, id, err)
	up, zero := []SemOp{{0, 1, 0}}, []SemOp{{0, 0, ipcNoWait}}
	undos := func() *UndoList { return NewUndoList() }
	for _, e := range []struct {
		who  *vfstest.Caller
		ops  []SemOp
		want error
	}{{owner, zero, nil}, {group, zero, nil}, {other, zero, unix.EACCES}, {group, up, unix.EACCES}, {owner, up, nil}} {
		if err := Semop(e.who, id, e.ops, wait.NoDeadline, undos); err != e.want {
			t.Errorf("%v: %v, want %v", e.ops, err, e.want)
		}
	}
	if err := SemRemove(group, id); err != unix.EPERM {
		t.Errorf("removed by another: %v", err)
	}
	must(t, 0, SemRemove(owner, id))
}

// TestSemaphoresKeepCountUnderContention has callers take and give in pairs:
// no operation may be lost, and what ends in between is undone.
func TestSemaphoresKeepCountUnderContention(t *testing.T) {
	c := vfstest.New()
	id, err := Semget(c, unix.IPC_PRIVATE, 2, 0o600)
	must(t, id, err)
	must(t, 0, SemSetValues(c, id, 0, []uint16{3, 5}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			me, list := vfstest.New(), NewUndoList()
			undos := func() *UndoList { return list }
			for range 200 {
				if err := Semop(me, id, []SemOp{{0, -1, semUndo}, {1, -2, semUndo}}, wait.NoDeadline, undos); err != nil {
					t.Error(err)
				}
				if err := Semop(me, id, []SemOp{{1, 2, semUndo}, {0, 1, semUndo}}, wait.NoDeadline, undos); err != nil {
					t.Error(err)
				}
			}
			if err := Semop(me, id, []SemOp{{1, -1, semUndo}}, wait.NoDeadline, undos); err != nil {
				t.Error(err)
			}
			list.Put(i)
		}()
	}
	wg.Wait()
	v, err := SemGetValues(c, id)
	must(t, v, err)
	if v[0] != 3 || v[1] != 5 {
		t.Errorf("values %v, want 3 and 5", v)
	}
	must(t, 0, SemRemove(c, id))
}

func TestMessagesArriveOnceWhoeverWaits(t *testing.T) {
	c := vfstest.New()
	id, err := Msgget(c, unix.IPC_PRIVATE, 0o600)
	must(t, id, err)
	const senders, each = 4, 300
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[byte]int{}
	for s := range senders {
		wg.Add(2)
		go func() {
			defer wg.Done()
			me := vfstest.New()
			for range each {
				if err := Msgsnd(me, id, &Message{int64(s + 1), append(make([]byte, 999), byte(s))}, 0); err != nil {
					t.Error(err)
				}
			}
		}()
		go func() {
			defer wg.Done()
			me := vfstest.New()
			for range each {
				m, err := Msgrcv(me, id, 1000, -senders, 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got[m.Text[999]]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	for s := range senders {
		if got[byte(s)] != each {
			t.Errorf("%d messages of sender %d, want %d", got[byte(s)], s, each)
		}
	}
	must(t, 0, MsgRemove(c, id))
}

func TestSegmentLivesUntilTheLastDetach(t *testing.T) {
	c := vfstest.New()
	as := c.AddressSpace()
	id, err := Shmget(c, unix.IPC_PRIVATE, 3*mm.PageSize, 0o600)
	must(t, id, err)
	a, err := Shmat(c, id, 0, 0)
	must(t, a, err)
	child, err := as.Fork()
	must(t, child, err)
	must(t, 0, ShmRemove(c, id))
	var b [ShmidSize]byte
	_, err = ShmStatus(c, id, false, false, &b)
	must(t, 0, err)
	if n := le.Uint64(b[88:]); n != 2 || le.Uint32(b[20:])&modeDest == 0 {
		t.Errorf("%d attached, mode %o", n, le.Uint32(b[20:]))
	}
	must(t, 0, Shmdt(c, a))
	if err := Shmdt(c, a); err != unix.EINVAL {
		t.Errorf("detached twice: %v", err)
	}
	child.Put()
	if _, err := ShmStatus(c, id, false, false, &b); err != unix.EINVAL {
		t.Errorf("there is still a segment: %v", err)
	}
}
