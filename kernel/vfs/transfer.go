package vfs

import (
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
)

// Vectored serves preadv2(2), pwritev2(2) and their simpler forms: pos of -1
// is the file's position.
func (f *File) Vectored(c Caller, b *mm.Buffer, pos int64, flags uint32, write bool) (int, error) {
	const known = rwfHiPri | rwfDSync | rwfSync | rwfNoWait | rwfAppend | rwfNoAppnd
	if flags&^known != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if flags&(rwfAppend|rwfNoAppnd) == rwfAppend|rwfNoAppnd {
		return 0, unix.EINVAL
	}
	if flags&rwfNoWait != 0 && f.Ops.Queue(f) != nil {
		// Only a file that can say "now or not at all" knows this flag; ours
		// that block all can.
		return f.nowait(c, b, pos, write)
	}
	if fs := f.Inode.FS; flags&rwfNoWait != 0 && fs != nil && fs.Type == "tmpfs" {
		return 0, unix.EOPNOTSUPP
	}
	if !write {
		if flags&(rwfAppend|rwfNoAppnd) != 0 {
			return 0, unix.EOPNOTSUPP
		}
		if pos < 0 {
			return f.Read(c, b)
		}
		return f.Pread(c, b, pos)
	}
	if flags&(rwfAppend|rwfNoAppnd) != 0 {
		return f.writeAs(c, b, pos, flags)
	}
	var n int
	var err error
	if pos < 0 {
		n, err = f.Write(c, b)
	} else {
		n, err = f.Pwrite(c, b, pos)
	}
	return f.syncAfter(c, n, err, flags)
}

func (f *File) syncAfter(c Caller, n int, err error, flags uint32) (int, error) {
	if n > 0 && flags&(rwfDSync|rwfSync) != 0 {
		if e := f.Ops.Sync(c, f, flags&rwfSync == 0); e != nil && e != unix.EINVAL {
			return 0, e
		}
	}
	return n, err
}

func (f *File) nowait(c Caller, b *mm.Buffer, pos int64, write bool) (n int, err error) {
	if !f.seekable {
		if pos >= 0 {
			return 0, unix.ESPIPE
		}
	} else if pos < 0 {
		pos = f.Pos()
	}
	if write {
		n, _, err = f.Ops.Write(c, f, b, pos)
	} else {
		n, err = f.Ops.Read(c, f, b, pos)
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// writeAs writes with O_APPEND on or off for this one call: through another
// open file of the same inode, since the flag is the file's.
func (f *File) writeAs(c Caller, b *mm.Buffer, pos int64, flags uint32) (int, error) {
	if !f.writable() {
		return 0, unix.EBADF
	}
	g := &File{Path: f.Path, Inode: f.Inode, Ops: f.Ops, seekable: f.seekable}
	fl := f.flags.Load() &^ unix.O_APPEND
	if flags&rwfAppend != 0 {
		fl |= unix.O_APPEND
	}
	g.flags.Store(fl)
	var n int
	var err error
	switch {
	case !f.seekable:
		n, err = g.Write(c, b)
	case pos >= 0:
		n, err = g.Pwrite(c, b, pos)
	default:
		f.posMu.Lock()
		g.pos = f.pos
		n, err = g.Write(c, b)
		f.pos = g.pos
		f.posMu.Unlock()
	}
	return f.syncAfter(c, n, err, flags)
}

// transferChunk is the size of the buffers that sendfile and copy_file_range
// copy through.
const transferChunk = 64 << 10

var holders = sync.Pool{New: func() any { return new(mm.Held) }}

var chunks = sync.Pool{New: func() any { return new([transferChunk]byte) }}

// SendFile serves sendfile(2): it copies up to n bytes from in, at *off or
// with *off < 0 at its position, to out. *off is advanced.
func SendFile(c Caller, out, in *File, off *int64, n uint64) (int, error) {
	if !in.readable() || !out.writable() {
		return 0, unix.EBADF
	}
	if *off >= 0 && !in.seekable {
		return 0, unix.ESPIPE
	}
	if in.Inode.IsDir() || !in.seekable && in.Inode.Type() != unix.S_IFIFO && in.Inode.Type() != unix.S_IFCHR {
		return 0, unix.EINVAL
	}
	if out.flags.Load()&unix.O_APPEND != 0 {
		return 0, unix.EINVAL
	}
	n = min(n, maxIO)
	buf := chunks.Get().(*[transferChunk]byte)
	defer chunks.Put(buf)
	pages := holders.Get().(*mm.Held)
	defer holders.Put(pages)
	done := 0
	for uint64(done) < n {
		b := mm.KernelBuffer(buf[:min(n-uint64(done), transferChunk)])
		// A stream takes a file's pages as they are.
		hold := in.seekable && !out.seekable
		if hold {
			b = pages.Fill(buf[:min(n-uint64(done), transferChunk)])
		}
		var k int
		var err error
		if *off >= 0 {
			k, err = in.Pread(c, &b, *off)
		} else {
			k, err = in.Read(c, &b)
		}
		if err != nil || k == 0 {
			pages.Release()
			if done > 0 {
				err = nil
			}
			return done, err
		}
		b = mm.KernelBuffer(buf[:k])
		if hold {
			b = pages.Drain()
		}
		w, err := out.Write(c, &b)
		pages.Release()
		if *off >= 0 {
			*off += int64(w)
		} else if w < k && in.seekable { // give back what was read too far
			in.posMu.Lock()
			in.pos -= int64(k - w)
			in.posMu.Unlock()
		}
		done += w
		if err != nil || w < k {
			if done > 0 {
				err = nil
			}
			return done, err
		}
	}
	return done, nil
}

// CopyFileRange serves copy_file_range(2). useIn and useOut say whether the
// offsets are given or those of the files; both are advanced.
func CopyFileRange(c Caller, in *File, useIn bool, offIn *int64, out *File, useOut bool, offOut *int64, n uint64) (int, error) {
	if !useIn {
		*offIn = in.Pos()
	}
	if !useOut {
		*offOut = out.Pos()
	}
	switch {
	case in.Inode.IsDir() || out.Inode.IsDir():
		return 0, unix.EISDIR
	case in.Inode.Type() != unix.S_IFREG || out.Inode.Type() != unix.S_IFREG:
		return 0, unix.EINVAL
	case !in.readable() || !out.writable() || out.flags.Load()&unix.O_APPEND != 0:
		return 0, unix.EBADF
	case uint64(*offIn)+n < n || uint64(*offOut)+n < n: // negative offsets too
		return 0, unix.EOVERFLOW
	}
	size := in.Inode.Size()
	if *offIn >= size {
		return 0, nil
	}
	n = min(n, uint64(size-*offIn), maxIO)
	if in.Inode == out.Inode && *offOut+int64(n) > *offIn && *offOut < *offIn+int64(n) {
		return 0, unix.EINVAL
	}
	buf := chunks.Get().(*[transferChunk]byte)
	defer chunks.Put(buf)
	done := 0
	var err error
	for uint64(done) < n {
		b := mm.KernelBuffer(buf[:min(n-uint64(done), transferChunk)])
		var k int
		if k, err = in.Pread(c, &b, *offIn); err != nil || k == 0 {
			break
		}
		b = mm.KernelBuffer(buf[:k])
		if k, err = out.Pwrite(c, &b, *offOut); k == 0 {
			break
		}
		*offIn += int64(k)
		*offOut += int64(k)
		done += k
		if err != nil {
			break
		}
	}
	if !useIn {
		in.setPos(*offIn)
	}
	if !useOut {
		out.setPos(*offOut)
	}
	if done > 0 {
		err = nil
	}
	return done, err
}

func (f *File) setPos(n int64) {
	f.posMu.Lock()
	f.pos = n
	f.posMu.Unlock()
}

// Advise serves posix_fadvise(2).
func (f *File) Advise(off, n int64, advice int32) error {
	if f.Inode.Type() == unix.S_IFIFO {
		return unix.ESPIPE
	}
	if n < 0 {
		return unix.EINVAL
	}
	switch advice {
	case unix.FADV_NORMAL, unix.FADV_RANDOM, unix.FADV_SEQUENTIAL, unix.FADV_NOREUSE:
	case unix.FADV_WILLNEED, unix.FADV_DONTNEED:
		cache := f.PageCache()
		if cache == nil || off < 0 {
			return nil
		}
		if n == 0 {
			n = math.MaxInt64 - off
		}
		if advice == unix.FADV_WILLNEED {
			cache.WillNeed(uint64(off), uint64(n))
		} else {
			cache.Drop(uint64(off), uint64(n))
		}
	default:
		return unix.EINVAL
	}
	return nil
}

// Sealer is implemented by InodeOps whose files can be sealed (memfd).
type Sealer interface {
	Seals() uint32
	AddSeals(i *Inode, seals uint32) error
}

// Owns reports whether cr owns i or may act as its owner (CAP_FOWNER).
func Owns(cr *cred.Cred, i *Inode) bool { return owns(cr, i) }

// WithCred is c with other credentials, for one check (access(2)).
func WithCred(c Caller, cr *cred.Cred) Caller { return &otherCred{c, cr} }

type otherCred struct {
	Caller
	cred *cred.Cred
}

func (o *otherCred) Cred() *cred.Cred { return o.cred }

// FindDev returns the mounted superblock with a device number, nil if none.
func (ns *MountNamespace) FindDev(dev uint64) *Superblock {
	mountMu.Lock()
	defer mountMu.Unlock()
	for _, m := range ns.mounts {
		if m.SB.Dev == dev {
			return m.SB
		}
	}
	return nil
}

// SyncAll writes every mounted file system back.
func (ns *MountNamespace) SyncAll() {
	mountMu.Lock()
	var list []*Superblock
	for _, m := range ns.mounts {
		if m.SB.Sync != nil {
			list = append(list, m.SB)
		}
	}
	mountMu.Unlock()
	for _, sb := range list {
		_ = sb.Sync()
	}
}
