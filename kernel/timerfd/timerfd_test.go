package timerfd

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/vfs/vfstest"
)

func ms(n int64) unix.Timespec { return clock.Timespec(n * 1_000_000) }

func TestOneShotAndPeriod(t *testing.T) {
	c := vfstest.New()
	f, err := New(c, unix.CLOCK_MONOTONIC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Put()
	read := func() uint64 {
		p := make([]byte, 8)
		if n, err := c.Read(f, p); n != 8 || err != nil {
			t.Fatal(n, err)
		}
		return binary.LittleEndian.Uint64(p)
	}
	start := clock.Now()
	if _, err := Settime(c, f, 0, unix.ItimerSpec{Value: ms(10)}); err != nil {
		t.Fatal(err)
	}
	if f.Ops.Poll(f) != 0 {
		t.Fatal("ready before its time")
	}
	if n := read(); n != 1 || clock.Now()-start < 10_000_000 {
		t.Fatal("one shot", n, clock.Now()-start)
	}
	if v, _ := Gettime(f); v != (unix.ItimerSpec{}) {
		t.Fatal("expired timer shows", v)
	}
	Settime(c, f, 0, unix.ItimerSpec{Value: unix.Timespec{Nsec: 1}, Interval: ms(2)})
	time.Sleep(25 * time.Millisecond)
	if n := read(); n < 11 || n > 100 {
		t.Fatal("period: ", n)
	}
	old, _ := Settime(c, f, 0, unix.ItimerSpec{Value: ms(5000), Interval: ms(7)})
	if old.Interval != ms(2) || old.Value == (unix.Timespec{}) {
		t.Fatal("old value", old)
	}
	if v, _ := Gettime(f); v.Interval != ms(7) || v.Value.Sec != 4 {
		t.Fatal("remaining", v)
	}
	Settime(c, f, 1, unix.ItimerSpec{Value: ms(1)}) // long past
	if n := read(); n != 1 {
		t.Fatal("absolute", n)
	}
}

func TestErrors(t *testing.T) {
	c := vfstest.New()
	for _, id := range []int32{2, 3, 4, 5, 6, 10, 11, -1} {
		_, err := New(c, id, 0)
		fd, want := unix.TimerfdCreate(int(id), 0)
		if want == nil {
			unix.Close(fd)
		}
		if err != want {
			t.Errorf("clock %d: %v, Linux %v", id, err, want)
		}
	}
	f, _ := New(c, unix.CLOCK_REALTIME, unix.TFD_NONBLOCK)
	fd, _ := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK)
	defer unix.Close(fd)
	for _, v := range []unix.ItimerSpec{
		{Value: unix.Timespec{Nsec: 1e9}},
		{Value: unix.Timespec{Sec: -1}},
		{Interval: unix.Timespec{Nsec: -1}},
		{},
		{Value: unix.Timespec{Sec: 1 << 62}},
	} {
		for _, flags := range []int{0, 1, 2, 3, 4} {
			_, err := Settime(c, f, flags, v)
			if want := unix.TimerfdSettime(fd, flags, &v, nil); err != want {
				t.Errorf("settime %d %v: %v, Linux %v", flags, v, err, want)
			}
		}
	}
	if _, err := c.Read(f, make([]byte, 8)); err != unix.EAGAIN {
		t.Error(err)
	}
	if _, err := c.Read(f, make([]byte, 7)); err != unix.EINVAL {
		t.Error(err)
	}
	if _, err := c.Write(f, make([]byte, 8)); err != unix.EINVAL {
		t.Error(err)
	}
}

func TestSettingTheClockCancels(t *testing.T) {
	c := vfstest.New()
	f, _ := New(c, unix.CLOCK_REALTIME, 0)
	defer f.Put()
	Settime(c, f, 3, unix.ItimerSpec{Value: clock.Timespec(clock.Realtime() + 3600*clock.Second)})
	done := make(chan error)
	go func() {
		_, err := c.Read(f, make([]byte, 8))
		done <- err
	}()
	clock.StepRealtime(clock.Second)
	defer clock.StepRealtime(-clock.Second)
	if err := <-done; err != unix.ECANCELED {
		t.Fatal(err)
	}
}
