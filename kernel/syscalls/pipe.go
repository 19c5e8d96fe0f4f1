package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/pipe"
	"husk/kernel/vfs"
)

// pipe makes a pipe (pipe(2)).
func (t Thread) pipe(pipefd mm.Addr) error { return t.pipe2(pipefd, 0) }

// pipe2 is pipe with flags.
func (t Thread) pipe2(pipefd mm.Addr, flags uint32) error {
	if flags&^(unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_DIRECT) != 0 {
		return unix.EINVAL
	}
	r, w := pipe.New(flags &^ unix.O_CLOEXEC)
	return t.installPair(pipefd, r, w, flags&unix.O_CLOEXEC != 0)
}

// installPair puts two files at free descriptors and writes those to a; on an
// error neither stays.
func (t Thread) installPair(a mm.Addr, f, g *vfs.File, cloexec bool) error {
	x, y, err := t.Files().Install2(f, g, cloexec, t.fdLimit())
	if err != nil {
		f.Put()
		g.Put()
		return err
	}
	var b [8]byte
	le.PutUint32(b[:], uint32(x))
	le.PutUint32(b[4:], uint32(y))
	if err := t.copyOut(a, b[:]); err != nil {
		_ = t.Files().Close(t.Thread, x)
		_ = t.Files().Close(t.Thread, y)
		return err
	}
	return nil
}
