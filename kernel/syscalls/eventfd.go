package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/eventfd"
	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/signalfd"
	"husk/kernel/timerfd"
)

// eventfd makes a counter (eventfd(2)).
func (t Thread) eventfd(initval uint32) (int, error) { return t.eventfd2(initval, 0) }

// eventfd2 is eventfd with flags.
func (t Thread) eventfd2(initval uint32, flags int32) (int, error) {
	f, err := eventfd.New(initval, int(flags))
	if err != nil {
		return 0, err
	}
	return t.install(f, flags&unix.EFD_CLOEXEC != 0)
}

// timerfd_create makes a timer that is read (timerfd_create(2)).
func (t Thread) timerfd_create(clockid, flags int32) (int, error) {
	f, err := timerfd.New(t.Thread, clockid, int(flags))
	if err != nil {
		return 0, err
	}
	return t.install(f, flags&unix.TFD_CLOEXEC != 0)
}

// timerfd_settime sets it.
func (t Thread) timerfd_settime(fd, flags int32, newValue, oldValue mm.Addr) error {
	var v unix.ItimerSpec
	if err := t.timerfdSpecIn(newValue, &v); err != nil {
		return err
	}
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	old, err := timerfd.Settime(t.Thread, f, int(flags), v)
	if err != nil || oldValue == 0 {
		return err
	}
	return t.timerfdSpecOut(oldValue, &old)
}

// timerfd_gettime shows its setting.
func (t Thread) timerfd_gettime(fd int32, value mm.Addr) error {
	f, err := t.file(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	v, err := timerfd.Gettime(f)
	if err != nil {
		return err
	}
	return t.timerfdSpecOut(value, &v)
}

func (t Thread) timerfdSpecIn(a mm.Addr, v *unix.ItimerSpec) error {
	var b [32]byte
	if err := t.copyIn(b[:], a); err != nil {
		return err
	}
	v.Interval = unix.Timespec{Sec: int64(le.Uint64(b[:])), Nsec: int64(le.Uint64(b[8:]))}
	v.Value = unix.Timespec{Sec: int64(le.Uint64(b[16:])), Nsec: int64(le.Uint64(b[24:]))}
	return nil
}

func (t Thread) timerfdSpecOut(a mm.Addr, v *unix.ItimerSpec) error {
	var b [32]byte
	for i, n := range [4]int64{v.Interval.Sec, v.Interval.Nsec, v.Value.Sec, v.Value.Nsec} {
		le.PutUint64(b[8*i:], uint64(n))
	}
	return t.copyOut(a, b[:])
}

// signalfd makes or changes a descriptor of signals (signalfd(2)).
func (t Thread) signalfd(fd int32, mask mm.Addr, size uint64) (int, error) {
	return t.signalfd4(fd, mask, size, 0)
}

// signalfd4 is signalfd with flags.
func (t Thread) signalfd4(fd int32, mask mm.Addr, size uint64, flags int32) (int, error) {
	if size != 8 {
		return 0, unix.EINVAL
	}
	var b [8]byte
	if err := t.copyIn(b[:], mask); err != nil {
		return 0, err
	}
	if flags&^(unix.SFD_CLOEXEC|unix.SFD_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	set := le.Uint64(b[:])
	if fd == -1 {
		f, err := signalfd.New(t.Thread, set, int(flags))
		if err != nil {
			return 0, err
		}
		return t.install(f, flags&unix.SFD_CLOEXEC != 0)
	}
	f, err := t.file(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	return int(fd), signalfd.SetMask(f, set)
}

// The flags of memfd_create(2).
const (
	mfdHugeShift = 26
	mfdKnown     = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING | unix.MFD_HUGETLB | unix.MFD_NOEXEC_SEAL | unix.MFD_EXEC
	mfdNameMax   = 249
)

// memfd_create makes a file without a name that lives in memory.
func (t Thread) memfd_create(name mm.Addr, flags uint32) (int, error) {
	known := uint32(mfdKnown)
	if flags&unix.MFD_HUGETLB != 0 {
		known |= 0x3f << mfdHugeShift
	}
	if flags&^known != 0 || flags&(unix.MFD_EXEC|unix.MFD_NOEXEC_SEAL) == unix.MFD_EXEC|unix.MFD_NOEXEC_SEAL {
		return 0, unix.EINVAL
	}
	s, err := t.AddressSpace().CopyInString(name, mfdNameMax+1)
	if err != nil {
		if err == unix.ENAMETOOLONG {
			err = unix.EINVAL
		}
		return 0, err
	}
	if flags&unix.MFD_HUGETLB != 0 { // there are no huge pages in reserve
		return 0, unix.ENODEV
	}
	f := tmpfs.NewMemfd(t.Thread, s, flags&(unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL) != 0, flags&unix.MFD_NOEXEC_SEAL != 0)
	return t.install(f, flags&unix.MFD_CLOEXEC != 0)
}
