// Package devfs is /dev: a tmpfs that comes with the nodes every program
// expects, and the memory devices behind some of them. Terminals are package
// tty's.
package devfs

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/random"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Register makes devtmpfs known and the memory devices openable.
func Register() {
	vfs.RegisterFS(&vfs.FSType{Name: "devtmpfs", NoDevice: true, Mount: mount})
	vfs.RegisterDevice(unix.S_IFCHR, memMajor, vfs.AnyMinor, openMemory)
}

// The numbers of devices are those of Linux's devices.txt.
const (
	memMajor = 1
	ttyMajor = 5
)

const (
	minorNull    = 3
	minorZero    = 5
	minorFull    = 7
	minorRandom  = 8
	minorURandom = 9
	minorKmsg    = 11
)

var devices = [...]struct {
	name         string
	mode         uint32
	major, minor uint32
}{
	{"null", 0o666, memMajor, minorNull},
	{"zero", 0o666, memMajor, minorZero},
	{"full", 0o666, memMajor, minorFull},
	{"random", 0o666, memMajor, minorRandom},
	{"urandom", 0o666, memMajor, minorURandom},
	{"kmsg", 0o600, memMajor, minorKmsg},
	{"tty", 0o666, ttyMajor, 0},
	{"console", 0o600, ttyMajor, 1},
	{"ptmx", 0o666, ttyMajor, 2},
}

var links = [...]struct{ name, target string }{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
}

var directories = [...]string{"pts", "shm", "mqueue"}

func mount(c vfs.Caller, _ string, _ uint32, data string) (*vfs.Superblock, error) {
	if data == "" {
		data = "mode=755"
	}
	sb, err := tmpfs.New(data)
	if err != nil {
		return nil, err
	}
	sb.Type, sb.Source = "devtmpfs", "devtmpfs"
	root := sb.Root
	root.DirMu.Lock()
	defer root.DirMu.Unlock()
	for i := range devices {
		d := &devices[i]
		if _, err := root.Ops.Mknod(c, root, d.name, unix.S_IFCHR|d.mode, unix.Mkdev(d.major, d.minor), 0, 0); err != nil {
			return nil, err
		}
	}
	for i := range links {
		if _, err := root.Ops.Symlink(c, root, links[i].name, links[i].target, 0, 0); err != nil {
			return nil, err
		}
	}
	for _, name := range directories {
		mode := uint32(0o755)
		if name != "pts" {
			mode = 0o1777
		}
		if _, err := root.Ops.Mkdir(c, root, name, unix.S_IFDIR|mode, 0, 0); err != nil {
			return nil, err
		}
	}
	return sb, nil
}

func openMemory(_ vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	switch unix.Minor(f.Inode.Attr().Rdev) {
	case minorNull:
		return null{}, nil
	case minorZero:
		return zero{}, nil
	case minorFull:
		return full{}, nil
	case minorRandom:
		return &entropy{ready: &always}, nil
	case minorURandom:
		return &entropy{}, nil
	case minorKmsg:
		return kmsg{}, nil
	}
	return nil, unix.ENXIO
}

// always is the queue of devices that can be polled but never change.
var always wait.Queue

// device is what the memory devices share: they can be read at any place.
type device struct{ vfs.BaseOps }

func (device) Seekable() bool { return true }

// Seek from the end: devices have none.
func (device) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, nil }

// null is /dev/null: always at its end, and takes everything.
type null struct{ device }

func (null) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) { return 0, nil }

func (null) Write(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	return b.Len(), off + int64(b.Len()), nil
}

// zero is /dev/zero.
type zero struct{ device }

func (zero) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	return b.Zero(b.Len())
}

func (zero) Write(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	return b.Len(), off + int64(b.Len()), nil
}

// Mmap gives anonymous memory: each mapping its own.
func (zero) Mmap(*vfs.File) (*mm.PageCache, error) { return mm.NewPageCache(nil), nil }

// full is /dev/full: zeros to read, no space to write.
type full struct{ device }

func (full) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	return b.Zero(b.Len())
}

func (full) Write(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, int64, error) {
	return 0, 0, unix.ENOSPC
}

// entropy is /dev/random and /dev/urandom, which differ in that only the
// first can be polled.
type entropy struct {
	device
	ready *wait.Queue
}

func (*entropy) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	var p [256]byte
	done := 0
	for b.Len() > 0 {
		n := min(b.Len(), len(p))
		random.Read(p[:n])
		n, err := b.CopyOut(p[:n])
		done += n
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
	}
	return done, nil
}

// Write takes entropy and does nothing with it: there is enough.
func (*entropy) Write(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	return b.Len(), off + int64(b.Len()), nil
}

func (e *entropy) Queue(*vfs.File) *wait.Queue { return e.ready }

// The requests of random(4).
const (
	rndGetEntCnt   = 0x80045200
	rndAddToEntCnt = 0x40045201
	rndGetPool     = 0x80085202
	rndAddEntropy  = 0x40085203
	rndZapEntCnt   = 0x5204
	rndClearPool   = 0x5206
	rndReseedCRNG  = 0x5207
)

func (*entropy) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	switch request {
	case rndGetEntCnt:
		return 0, c.AddressSpace().Store32(mm.Addr(arg), 256)
	case rndAddToEntCnt, rndAddEntropy, rndZapEntCnt, rndClearPool, rndReseedCRNG:
		if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
			return 0, unix.EPERM
		}
		return 0, nil
	}
	return 0, unix.EINVAL
}

// kmsg is /dev/kmsg: what is written goes to the serial port, with the
// kernel's own messages; there is nothing to read.
type kmsg struct{ vfs.BaseOps }

// maxLine is LOG_LINE_MAX of Linux.
const maxLine = 1024

func (kmsg) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) { return 0, unix.EAGAIN }

func (kmsg) Write(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n := b.Len()
	if n > maxLine {
		return 0, 0, unix.EINVAL
	}
	p := make([]byte, n, n+1)
	if _, err := b.CopyIn(p); err != nil {
		return 0, 0, err
	}
	if n > 0 && p[n-1] != '\n' {
		p = append(p, '\n')
	}
	cpu.WriteSerial(p)
	return n, 0, nil
}

func (kmsg) Poll(*vfs.File) wait.Events { return wait.Writable }

func (kmsg) Queue(*vfs.File) *wait.Queue { return &always }

func (kmsg) Seek(_ vfs.Caller, _ *vfs.File, _ int64, _ int) (int64, error) { return 0, nil }
