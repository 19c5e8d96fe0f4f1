package proc

import (
	"strconv"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/vfs"
)

// descriptor is the subject of /proc/PID/fd/N and fdinfo/N.
type descriptor struct {
	subject
	fd   int
	file *vfs.File // for comparison only: no reference is held
}

var (
	descriptorTree = pseudo.Tree{Alive: descriptorAlive, Owner: descriptorOwner, FixedMode: true}

	fdEntry     = pseudo.Entry{Special: &pseudo.Special{Mode: fdMode, Size: 64, Link: readFD, Go: followFD}}
	fdinfoEntry = pseudo.Entry{Show: showFDInfo}
)

func descriptorAlive(s subject) bool {
	d := s.Of.(*descriptor)
	f := d.get()
	if f == nil {
		return false
	}
	f.Put()
	return f == d.file
}

func descriptorOwner(s subject, mode uint32) (uid, gid uint32) {
	return owner(s.Of.(*descriptor).subject, mode)
}

// get returns the file with a reference, nil when it is closed.
func (d *descriptor) get() *vfs.File {
	t := thread(d.subject)
	files := t.FilesRef()
	if files == nil {
		return nil
	}
	defer files.Unref(t)
	f, err := files.Get(d.fd)
	if err != nil {
		return nil
	}
	return f
}

// fdMode shows how the file may be used by the permissions of its link.
func fdMode(s subject) uint32 {
	d := s.Of.(*descriptor)
	mode := uint32(unix.S_IFLNK)
	if d.file == nil || d.file.IsPath() {
		return mode
	}
	if d.file.Readable() {
		mode |= 0o500
	}
	if d.file.Writable() {
		mode |= 0o300
	}
	return mode
}

// find makes the descriptor of a name.
func find(s subject, name string) (*descriptor, error) {
	n, ok := number(name)
	if !ok {
		return nil, unix.ENOENT
	}
	d := &descriptor{subject: s, fd: n}
	f := d.get()
	if f == nil {
		return nil, unix.ENOENT
	}
	d.file = f
	f.Put()
	return d, nil
}

// fdIno is the number of a file in an fd or fdinfo directory.
func fdIno(dir *vfs.Inode, fd int) uint64 { return dir.Ino<<20 | uint64(fd) }

func lookupFD(c vfs.Caller, dir *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	if err := mayRead(c, s); err != nil {
		return nil, err
	}
	d, err := find(s, name)
	if err != nil {
		return nil, err
	}
	return descriptorTree.Node(dir.FS, fdIno(dir, d.fd), &fdEntry, subject{Of: d, N: d.fd}), nil
}

func lookupFDInfo(c vfs.Caller, dir *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	if err := mayRead(c, s); err != nil {
		return nil, err
	}
	d, err := find(s, name)
	if err != nil {
		return nil, err
	}
	return descriptorTree.Node(dir.FS, fdIno(dir, d.fd), &fdinfoEntry, subject{Of: d, N: d.fd}), nil
}

// countFDs is the size of the directory: the number of open descriptors.
func countFDs(s subject) int64 {
	t := thread(s)
	files := t.FilesRef()
	if files == nil {
		return 0
	}
	defer files.Unref(t)
	return int64(files.Count())
}

func listFDLinks(c vfs.Caller, dir *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	return listFDs(unix.DT_LNK, dir, s, pos, emit)
}

func listFDInfos(c vfs.Caller, dir *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	return listFDs(unix.DT_REG, dir, s, pos, emit)
}

func listFDs(kind uint8, dir *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	t := thread(s)
	files := t.FilesRef()
	if files == nil {
		return unix.ENOENT
	}
	defer files.Unref(t)
	for fd := files.Next(int(pos)); fd >= 0; fd = files.Next(fd + 1) {
		if !emit(vfs.Dirent{Name: strconv.Itoa(fd), Ino: fdIno(dir, fd), Type: kind, Next: int64(fd) + 1}) {
			break
		}
	}
	return nil
}

func readFD(c vfs.Caller, s subject) (string, error) {
	d := s.Of.(*descriptor)
	if err := mayRead(c, d.subject); err != nil {
		return "", err
	}
	f := d.get()
	if f == nil {
		return "", unix.ENOENT
	}
	defer f.Put()
	return f.Path.String(c.FS().Root()), nil
}

func followFD(c vfs.Caller, s subject) (vfs.Path, error) {
	d := s.Of.(*descriptor)
	if err := mayRead(c, d.subject); err != nil {
		return vfs.Path{}, err
	}
	f := d.get()
	if f == nil {
		return vfs.Path{}, unix.ENOENT
	}
	defer f.Put()
	return f.Path, nil
}

// informer is implemented by the vfs.FileOps of files with more to show in
// fdinfo than the position and the flags (eventfd, epoll, timerfd …).
type informer interface {
	AppendFDInfo(dst []byte) []byte
}

func showFDInfo(t *text, c vfs.Caller, s subject) error {
	d := s.Of.(*descriptor)
	f := d.get()
	if f == nil {
		return unix.ENOENT
	}
	defer f.Put()
	flags := uint64(f.Flags())
	if files := thread(d.subject).FilesRef(); files != nil {
		if on, err := files.Cloexec(d.fd); err == nil && on {
			flags |= unix.O_CLOEXEC
		}
		files.Unref(thread(d.subject))
	}
	t.S("pos:\t")
	t.D(f.Pos())
	t.S("\nflags:\t0")
	t.O(flags)
	t.S("\nmnt_id:\t")
	if m := f.Path.Mount; m != nil {
		t.I(m.ID)
	} else {
		t.I(anonMount)
	}
	t.S("\nino:\t")
	if f.Inode != nil {
		t.U(f.Inode.Ino)
	} else {
		t.C('0')
	}
	t.C('\n')
	if i, ok := f.Ops.(informer); ok {
		*t = i.AppendFDInfo(*t)
	}
	return nil
}

// anonMount stands for the number of the mount that anonymous files are on,
// which no list shows.
const anonMount = 15
