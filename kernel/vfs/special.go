package vfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// An OpenFunc gives a special file its behaviour when it is opened: a FIFO,
// a device. It may block (a FIFO waits for its other end) and may replace
// what open(2) returns by failing.
type OpenFunc func(c Caller, f *File) (FileOps, error)

// Device numbers are split as Linux does; a minor of AnyMinor serves every
// minor of the major that has no opener of its own.
const AnyMinor = ^uint32(0)

// special is the registry of what opens special files. It is filled while
// the machine boots and read afterwards.
var special struct {
	mu   sync.RWMutex
	fifo OpenFunc
	dev  []deviceOpener
}

type deviceOpener struct {
	kind         uint32 // S_IFCHR or S_IFBLK
	major, minor uint32
	open         OpenFunc
}

// RegisterFIFO says who opens FIFOs.
func RegisterFIFO(open OpenFunc) {
	special.mu.Lock()
	special.fifo = open
	special.mu.Unlock()
}

// RegisterDevice says who opens the devices of a kind (S_IFCHR, S_IFBLK) and
// number. A later registration of the same number replaces the earlier one.
func RegisterDevice(kind, major, minor uint32, open OpenFunc) {
	special.mu.Lock()
	defer special.mu.Unlock()
	for i := range special.dev {
		d := &special.dev[i]
		if d.kind == kind && d.major == major && d.minor == minor {
			d.open = open
			return
		}
	}
	special.dev = append(special.dev, deviceOpener{kind, major, minor, open})
}

// Reopener is what may be attached to the inode of an anonymous FIFO that is no
// pipe(7): it serves open(2) through /proc/self/fd (/dev/stdout).
type Reopener interface {
	Reopen(c Caller, f *File) (FileOps, error)
}

// miscMajor is the major number of drivers that have one device each.
const miscMajor = 10

// OpenSpecial is the body of InodeOps.Open for FIFOs, devices and sockets,
// the same on every file system: ENXIO when nobody serves it.
func OpenSpecial(c Caller, f *File) (FileOps, error) {
	a := f.Inode.Attr()
	kind := a.Mode & unix.S_IFMT
	if r, ok := f.Inode.Attached(nil).(Reopener); ok {
		return r.Reopen(c, f)
	}
	open, none := OpenFunc(nil), unix.ENXIO
	special.mu.RLock()
	switch kind {
	case unix.S_IFIFO:
		open = special.fifo
	case unix.S_IFCHR, unix.S_IFBLK:
		major, minor := unix.Major(a.Rdev), unix.Minor(a.Rdev)
		if kind == unix.S_IFCHR && major == miscMajor {
			none = unix.ENODEV // a driver has the major number, for no such minor
		}
		for i := range special.dev {
			d := &special.dev[i]
			if d.kind != kind || d.major != major {
				continue
			}
			if d.minor == minor {
				open = d.open
				break
			}
			if d.minor == AnyMinor {
				open = d.open
			}
		}
	}
	special.mu.RUnlock()
	if open == nil {
		return nil, none
	}
	return open(c, f)
}

// Attached is the state that a special file's owner has hung on the inode: a
// FIFO's pipe, the socket bound to a path. make, when not nil, supplies it if
// there is none yet.
func (i *Inode) Attached(make func() any) any {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.attached == nil && make != nil {
		i.attached = make()
	}
	return i.attached
}

// Attach replaces the state that Attached returns.
func (i *Inode) Attach(v any) {
	i.mu.Lock()
	i.attached = v
	i.mu.Unlock()
}
