package proc

import (
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/ipc"
	"husk/kernel/vfs"
)

// /proc/sysvipc and the settings of System V shared memory whose numbers are
// too large for a Knob.

// columns appends numbers, each after a blank and at least as wide as given.
func columns(t *text, widths string, values ...int64) {
	for i, v := range values {
		t.C(' ')
		t.DW(v, int(widths[i]-'0'))
	}
}

// ids appends key, identifier and permissions.
func ids(t *text, p *ipc.Perm) {
	t.DW(int64(p.Key), 10)
	t.C(' ')
	t.DW(int64(p.ID), 10)
	t.S("  ")
	t.SW(strconv.FormatUint(uint64(p.Mode), 8), 4)
}

func owners(t *text, p *ipc.Perm) {
	columns(t, "5555", int64(p.UID), int64(p.GID), int64(p.CUID), int64(p.CGID))
}

func times(t *text, values ...int64) {
	for _, v := range values {
		t.C(' ')
		t.DW(v, 10)
	}
}

func showShm(t *text, c vfs.Caller, _ none) error {
	t.S("       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n")
	ipc.Segments(func(s ipc.Segment, resident uint64) {
		ids(t, &s.Perm)
		t.C(' ')
		t.UW(s.Size, 21)
		columns(t, "55", int64(s.Cpid), int64(s.Lpid))
		t.C(' ')
		columns(t, "5", s.Attached)
		owners(t, &s.Perm)
		times(t, s.Atime, s.Dtime, s.Ctime)
		t.C(' ')
		t.UW(resident, 21)
		t.C(' ')
		t.UW(0, 21)
		t.C('\n')
	})
	return nil
}

func showSem(t *text, c vfs.Caller, _ none) error {
	t.S("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n")
	ipc.SemArrays(func(a ipc.SemArray) {
		ids(t, &a.Perm)
		times(t, int64(a.N))
		owners(t, &a.Perm)
		times(t, a.Otime, a.Ctime)
		t.C('\n')
	})
	return nil
}

func showMsg(t *text, c vfs.Caller, _ none) error {
	t.S("       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n")
	ipc.Queues(func(q ipc.Queue) {
		ids(t, &q.Perm)
		t.C(' ')
		times(t, q.Bytes, q.N)
		columns(t, "55", int64(q.Lspid), int64(q.Lrpid))
		owners(t, &q.Perm)
		times(t, q.Stime, q.Rtime, q.Ctime)
		t.C('\n')
	})
	return nil
}

func showLimit(t *text, at *uint64) error {
	t.U(atomic.LoadUint64(at))
	t.C('\n')
	return nil
}

func storeLimit(at *uint64, value string) error {
	v, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return unix.EINVAL
	}
	atomic.StoreUint64(at, v)
	return nil
}

func showShmMax(t *text, c vfs.Caller, _ none) error { return showLimit(t, &ipc.ShmMax) }
func showShmAll(t *text, c vfs.Caller, _ none) error { return showLimit(t, &ipc.ShmAll) }

func storeShmMax(c vfs.Caller, _ none, value string) error { return storeLimit(&ipc.ShmMax, value) }
func storeShmAll(c vfs.Caller, _ none, value string) error { return storeLimit(&ipc.ShmAll, value) }
