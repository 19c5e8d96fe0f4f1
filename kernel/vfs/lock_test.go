package vfs_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// TestRecordLocksSameAsLinux compares random OFD locks of three open files.
func TestRecordLocksSameAsLinux(t *testing.T) {
	real, err := os.CreateTemp("", "husk")
	if err != nil {
		t.Skip(err)
	}
	defer os.Remove(real.Name())
	defer real.Close()
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	var fds []int
	var files []*vfs.File
	for range 3 {
		fd, err := unix.Open(real.Name(), unix.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
		f, err := vfs.Open(h.c, "/f", unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Put()
		files = append(files, f)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for step := range 50000 {
		n := r.IntN(3)
		l := unix.Flock_t{
			Type: []int16{unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK}[r.IntN(3)], Whence: int16(r.IntN(4)),
			Start: int64(r.IntN(40)) - 3, Len: int64(r.IntN(20)) - 4,
		}
		if r.IntN(20) == 0 {
			l.Len = 0
		}
		if r.IntN(100) == 0 {
			l.Start = 1<<63 - 1 - int64(r.IntN(3))
		}
		cmd := []int{unix.F_OFD_SETLK, unix.F_OFD_SETLK, unix.F_OFD_GETLK}[r.IntN(3)]
		ours, theirs := l, l
		err := files[n].RecordLock(h.c, h.fds, cmd, &ours, func() bool { return true })
		want := unix.FcntlFlock(uintptr(fds[n]), cmd, &theirs)
		if err == nil {
			err = error(nil)
		}
		if fmt.Sprint(err) != fmt.Sprint(want) || cmd == unix.F_OFD_GETLK && (ours.Type != theirs.Type || ours.Type != unix.F_UNLCK && (ours.Start != theirs.Start || ours.Len != theirs.Len)) {
			t.Fatalf("step %d: file %d, cmd %d, %+v: %v %+v, Linux %v %+v", step, n, cmd, l, err, ours, want, theirs)
		}
	}
}

func TestPosixLockDeadlockIsFound(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	other := vfstest.New()
	other.SetFS(h.c.FS())
	tables := []*vfs.FDTable{vfs.NewFDTable(), vfs.NewFDTable()}
	var files []*vfs.File
	for range 2 {
		f, err := vfs.Open(h.c, "/f", unix.O_RDWR|unix.O_CREAT, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	yes := func() bool { return true }
	lock := func(c vfs.Caller, who int, cmd int, start int64) error {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: 1}
		return files[who].RecordLock(c, tables[who], cmd, &l, yes)
	}
	if lock(h.c, 0, unix.F_SETLK, 0) != nil || lock(other, 1, unix.F_SETLK, 1) != nil {
		t.Fatal("free locks were not granted")
	}
	done := make(chan error)
	go func() { done <- lock(h.c, 0, unix.F_SETLKW, 1) }()
	time.Sleep(20 * time.Millisecond)
	if err := lock(other, 1, unix.F_SETLKW, 0); err != unix.EDEADLK {
		t.Fatalf("the second half of a deadlock got %v", err)
	}
	// Closing any descriptor of the file ends the owner's locks.
	fd, err := tables[1].Install(files[1], 0, false, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := tables[1].Close(other, fd); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("the freed lock got %v", err)
	}
}

func TestFlockBlocksUntilReleased(t *testing.T) {
	sb, _ := tmpfs.New("")
	h := newHusk(t, sb)
	a, _ := vfs.Open(h.c, "/f", unix.O_RDWR|unix.O_CREAT, 0o600)
	b, _ := vfs.Open(h.c, "/f", unix.O_RDONLY, 0)
	if err := a.Flock(h.c, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := b.Flock(h.c, unix.LOCK_SH|unix.LOCK_NB); err != unix.EAGAIN {
		t.Fatalf("a shared lock beside an exclusive one: %v", err)
	}
	done := make(chan error)
	other := vfstest.New()
	go func() { done <- b.Flock(other, unix.LOCK_SH) }()
	time.Sleep(10 * time.Millisecond)
	a.Put() // closing releases
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
