package mqueue

import (
	"math"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// magic is MQUEUE_MAGIC.
const magic = 0x19800202

// shownSize is what stat(2) shows as the size of a queue.
const shownSize = 80

const nameMax = 255

// instance is the file system, made when it is first used.
var instance struct {
	once sync.Once
	sb   vfs.Superblock
	root directory
}

// superblock returns the one instance.
func superblock() *vfs.Superblock {
	s := &instance
	s.once.Do(func() {
		s.sb = vfs.Superblock{Type: "mqueue", Source: "mqueue", Dev: vfs.AllocDev(), Magic: magic}
		s.root.ino = 1
		now := vfs.Now()
		s.sb.Root = vfs.NewInode(&s.sb, 1, vfs.Attr{
			Mode: unix.S_IFDIR | unix.S_ISVTX | 0o777, Nlink: 2, BlockSize: mm.PageSize,
			Atime: now, Mtime: now, Ctime: now, Btime: now,
		}, &s.root)
	})
	return &s.sb
}

// Register makes the file system known to mount(2).
func Register() {
	vfs.RegisterFS(&vfs.FSType{Name: "mqueue", NoDevice: true, Mount: func(vfs.Caller, string, uint32, string) (*vfs.Superblock, error) {
		return superblock(), nil
	}})
}

// directory is the root. The inode's DirMu guards it.
type directory struct {
	vfs.BaseInode
	names  []string // in the order of creation
	inodes []*vfs.Inode
	ino    uint64 // given last
}

func (d *directory) Lookup(_ vfs.Caller, _ *vfs.Inode, name string) (*vfs.Inode, error) {
	if i := slices.Index(d.names, name); i >= 0 {
		return d.inodes[i], nil
	}
	return nil, unix.ENOENT
}

// creator is the caller of mq_open(2), with what open(2) has no argument for.
type creator struct {
	vfs.Caller
	attr  *Attr
	limit uint64
}

// Create makes a queue: for open(2), which knows no limit, one that is counted
// nowhere near it.
func (d *directory) Create(c vfs.Caller, dir *vfs.Inode, name string, mode, uid, gid uint32) (*vfs.Inode, error) {
	how := creator{limit: math.MaxInt64}
	if m, ok := c.(*creator); ok {
		how = *m
	}
	q, err := newQueue(c, how.attr, how.limit)
	if err != nil {
		return nil, err
	}
	d.ino++
	now := vfs.Now()
	i := vfs.NewInode(dir.FS, d.ino, vfs.Attr{
		Mode: mode, UID: uid, GID: gid, Nlink: 1, Size: shownSize, BlockSize: mm.PageSize,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}, q)
	d.names = append(d.names, strings.Clone(name))
	d.inodes = append(d.inodes, i)
	d.grown(dir, 20) // DIRENT_SIZE
	return i, nil
}

func (d *directory) grown(dir *vfs.Inode, n int64) {
	now := vfs.Now()
	dir.Update(func(a *vfs.Attr) {
		a.Size += n
		a.Atime, a.Mtime, a.Ctime = now, now, now
	})
}

func (d *directory) Unlink(_ vfs.Caller, dir *vfs.Inode, name string, target *vfs.Inode) error {
	i := slices.Index(d.names, name)
	if i < 0 {
		return unix.ENOENT
	}
	d.names = slices.Delete(d.names, i, i+1)
	d.inodes = slices.Delete(d.inodes, i, i+1)
	d.grown(dir, -20)
	target.Update(func(a *vfs.Attr) { a.Nlink--; a.Ctime = vfs.Now() })
	return nil
}

func (d *directory) Setattr(_ vfs.Caller, i *vfs.Inode, s *vfs.SetAttr) error {
	i.Apply(s)
	return nil
}

func (d *directory) Open(vfs.Caller, *vfs.File) (vfs.FileOps, error) {
	return openDirectory{dir: d}, nil
}

type openDirectory struct {
	vfs.BaseOps
	dir *directory
}

func (openDirectory) Seekable() bool { return true }

func (openDirectory) Seek(_ vfs.Caller, _ *vfs.File, off int64, whence int) (int64, error) {
	return 0, unix.EINVAL
}

func (openDirectory) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) {
	return 0, unix.EISDIR
}

func (o openDirectory) ReadDir(_ vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	f.Inode.DirMu.RLock()
	defer f.Inode.DirMu.RUnlock()
	for ; *pos < int64(len(o.dir.names))+2; *pos++ {
		e := vfs.Dirent{Name: ".", Ino: f.Inode.Ino, Type: unix.DT_DIR, Next: *pos + 1}
		switch *pos {
		case 0:
		case 1:
			e.Name = ".."
		default:
			e.Name, e.Ino, e.Type = o.dir.names[*pos-2], o.dir.inodes[*pos-2].Ino, unix.DT_REG
		}
		if !emit(e) {
			break
		}
	}
	return nil
}

// checkName is what mq_open(2) and mq_unlink(2) say to names that are none of
// files in one directory; the slash that begins a queue's name is the C
// library's matter.
func checkName(name string) error {
	switch {
	case name == "":
		return unix.ENOENT
	case name == ".", name == "..", strings.IndexByte(name, '/') >= 0:
		return unix.EACCES
	case len(name) > nameMax:
		return unix.ENAMETOOLONG
	}
	return nil
}

// Open serves mq_open(2). a may be nil; limit is RLIMIT_MSGQUEUE.
func Open(c vfs.Caller, name string, flags, mode uint32, a *Attr, limit uint64) (*vfs.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, m, err := vfs.CheckOpenFlags(uint64(flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_EXCL|unix.O_NONBLOCK)), mode, false)
	if err != nil {
		return nil, err
	}
	start := vfs.Path{Dentry: superblock().RootDentry()}
	by := c
	if flags&unix.O_CREAT != 0 {
		by = &creator{c, a, limit}
	}
	file, err := vfs.OpenAt(by, &start, name, f, m, 0)
	if err == nil && flags&unix.O_ACCMODE == unix.O_ACCMODE && flags&unix.O_CREAT == 0 {
		file.Put()
		return nil, unix.EINVAL
	}
	return file, err
}

// Unlink serves mq_unlink(2).
func Unlink(c vfs.Caller, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	start := vfs.Path{Dentry: superblock().RootDentry()}
	return vfs.Unlink(c, &start, name)
}
