package syscalls

import (
	"math"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// put copies *v to user memory at a: EFAULT.
func put[T any](t Thread, a mm.Addr, v *T) error {
	_, err := t.AddressSpace().CopyOut(a, bytesOf(v))
	return err
}

// get copies *v from user memory at a: EFAULT.
func get[T any](t Thread, a mm.Addr, v *T) error {
	_, err := t.AddressSpace().CopyIn(bytesOf(v), a)
	return err
}

// path reads a path argument: EFAULT, ENAMETOOLONG.
func (t Thread) pathArg(a mm.Addr) (string, error) {
	return t.AddressSpace().CopyInString(a, unix.PathMax)
}

// start returns where the walk of path begins: nil for the working directory
// or an absolute path, else the place of dirfd, kept in at.
func (t Thread) start(dirfd int32, path string, at *vfs.Path) (*vfs.Path, error) {
	if dirfd == unix.AT_FDCWD || path != "" && path[0] == '/' {
		return nil, nil
	}
	f, err := t.Files().Get(int(dirfd))
	if err != nil {
		return nil, err
	}
	*at = f.Path
	f.Put()
	return at, nil
}

// lookup walks a path argument relative to dirfd.
func (t Thread) lookup(dirfd int32, pathname mm.Addr, flags vfs.LookupFlags) (vfs.Path, error) {
	path, err := t.pathArg(pathname)
	if err != nil {
		return vfs.Path{}, err
	}
	return t.lookupString(dirfd, path, flags)
}

func (t Thread) lookupString(dirfd int32, path string, flags vfs.LookupFlags) (vfs.Path, error) {
	var at vfs.Path
	start, err := t.start(dirfd, path, &at)
	if err != nil {
		return vfs.Path{}, err
	}
	return vfs.Lookup(t.Thread, start, path, flags)
}

// lookupAt is lookup with AT_* flags: known are those the call allows; with
// nofollow the last link is followed only if AT_SYMLINK_FOLLOW asks for it.
func (t Thread) lookupAt(dirfd int32, pathname mm.Addr, flags, known int32, nofollow bool) (vfs.Path, error) {
	if flags&^known != 0 {
		return vfs.Path{}, unix.EINVAL
	}
	var lf vfs.LookupFlags
	if nofollow {
		if flags&unix.AT_SYMLINK_FOLLOW != 0 {
			lf |= vfs.Follow
		}
	} else if flags&unix.AT_SYMLINK_NOFOLLOW == 0 {
		lf |= vfs.Follow
	}
	if flags&unix.AT_EMPTY_PATH != 0 {
		lf |= vfs.Empty
		if pathname == 0 { // Linux 6.11
			return t.lookupString(dirfd, "", lf)
		}
	}
	return t.lookup(dirfd, pathname, lf)
}

// file returns the open file of fd with a reference: EBADF, also for a file
// opened with O_PATH.
func (t Thread) file(fd int32) (*vfs.File, error) {
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return nil, err
	}
	if f.IsPath() {
		f.Put()
		return nil, unix.EBADF
	}
	return f, nil
}

// install puts f at the lowest free descriptor, taking over the reference.
func (t Thread) install(f *vfs.File, cloexec bool) (int, error) {
	fd, err := t.Files().Install(f, 0, cloexec, t.fdLimit())
	if err != nil {
		f.Put()
	}
	return fd, err
}

func (t Thread) fdLimit() uint64 { return t.Process.Limit(unix.RLIMIT_NOFILE) }

// userBuffer makes the buffer of read and write, which is the thread's own:
// EFAULT when the range does not lie in user space.
func (t Thread) userBuffer(a mm.Addr, n uint64) (*mm.Buffer, error) {
	if n > userTop || uint64(a) > userTop-n {
		return nil, unix.EFAULT
	}
	n = min(n, maxRW)
	t.IO = mm.UserBuffer(t.AddressSpace(), a, int(n))
	return &t.IO, nil
}

const (
	maxRW   = math.MaxInt32 &^ (mm.PageSize - 1) // MAX_RW_COUNT
	userTop = 1<<47 - mm.PageSize                // TASK_SIZE_MAX
	maxIOV  = 1024                               // UIO_MAXIOV
)

// vector reads the scatter list of readv(2) and its kin into the thread's
// buffer.
func (t Thread) vector(a mm.Addr, n int32) (*mm.Buffer, error) {
	if n < 0 || n > maxIOV {
		return nil, unix.EINVAL
	}
	vec := t.Vec[:]
	if int(n) > len(vec) {
		vec = make([]mm.IOVec, n)
	}
	vec = vec[:n]
	if n > 0 {
		if _, err := t.AddressSpace().CopyIn(vecBytes(vec), a); err != nil {
			return nil, unix.EFAULT
		}
	}
	total := 0
	for i := range vec {
		v := &vec[i]
		if v.Len < 0 {
			return nil, unix.EINVAL
		}
		if uint64(v.Base) > userTop-min(uint64(v.Len), userTop) {
			return nil, unix.EFAULT
		}
		v.Len = min(v.Len, maxRW-total)
		total += v.Len
	}
	t.IO = mm.VecBuffer(t.AddressSpace(), vec)
	return &t.IO, nil
}
