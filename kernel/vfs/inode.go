package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// Inode is a file system object: its attributes and its behaviour. File
// systems create inodes and keep Attr up to date; everybody else reads them
// through Stat.
type Inode struct {
	// FS is the file system instance, Ops the behaviour; both never change.
	FS  *Superblock
	Ops InodeOps
	// Ino is the inode number, unique and stable within FS: ld.so tells
	// libraries apart by it.
	Ino uint64

	// mu guards attr. Order: after directory locks (DirMu), a leaf otherwise.
	mu   sync.RWMutex
	attr Attr
	// mode, size and stale mirror parts of attr for readers without the
	// lock; they are stored with mu held for writing. stale says that the
	// access time is due by the rule of MS_RELATIME.
	mode  atomic.Uint32
	size  atomic.Int64
	stale atomic.Bool

	attached any // under mu; see Attached

	// refs counts what keeps the inode from being evicted beside its names:
	// open files, working directories, roots. evicted is a large negative.
	refs atomic.Int32

	// DirMu is Linux's i_rwsem: it serialises changes of a directory's
	// entries, and writes to and truncation of a regular file.
	// Two directories are locked ancestor first, then by address; see rename.
	DirMu sync.RWMutex

	// Cache is the home of a regular file's data, nil for other types.
	Cache *mm.PageCache

	locks  atomic.Pointer[lockList] // flock(2) and fcntl(2) locks; see lock.go
	watch  atomic.Pointer[watchSet] // inotify(7); see inotify.go
	writes atomic.Int32             // open for writing (ETXTBSY), negative: being executed
}

// Attr are the attributes of an inode that stat(2) shows.
type Attr struct {
	Mode                uint32 // type and permissions
	UID, GID            uint32
	Nlink               uint32
	Rdev                uint64
	Size                int64
	Blocks              int64 // in units of 512 bytes
	BlockSize           uint32
	Atime, Mtime, Ctime unix.Timespec
	Btime               unix.Timespec
}

// SetAttr says what of an inode is to be changed: the members whose bit is
// set in Valid, with permission already checked.
type SetAttr struct {
	Valid        SetMask
	Mode         uint32
	UID, GID     uint32
	Size         int64
	Atime, Mtime unix.Timespec
}

// SetMask is a set of attributes.
type SetMask uint8

// The attributes that can be set. Ctime follows every change.
const (
	SetMode SetMask = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime
	SetMtime
)

// InodeOps is the behaviour of an inode. Directory operations are called with
// the directory's DirMu held: for reading by Lookup, for writing by the
// others. Permissions, name lengths and existence have been checked.
// Embed BaseInode for the answers Linux gives where there is no method.
type InodeOps interface {
	// Lookup finds name; ENOENT when there is none (the dentry cache
	// remembers that, see Superblock.NoNegative).
	Lookup(c Caller, dir *Inode, name string) (*Inode, error)
	// Create makes a regular file, Mknod a special one or a socket, Mkdir a
	// directory, Symlink a symbolic link: owned by uid and gid.
	Create(c Caller, dir *Inode, name string, mode uint32, uid, gid uint32) (*Inode, error)
	Mknod(c Caller, dir *Inode, name string, mode uint32, rdev uint64, uid, gid uint32) (*Inode, error)
	Mkdir(c Caller, dir *Inode, name string, mode uint32, uid, gid uint32) (*Inode, error)
	Symlink(c Caller, dir *Inode, name, target string, uid, gid uint32) (*Inode, error)
	// Link adds a name to target.
	Link(c Caller, dir *Inode, name string, target *Inode) error
	Unlink(c Caller, dir *Inode, name string, target *Inode) error
	Rmdir(c Caller, dir *Inode, name string, target *Inode) error
	// Rename moves src to (newDir, newName), replacing dst (nil if none), or
	// exchanging the two with RENAME_EXCHANGE; RENAME_WHITEOUT as Linux.
	Rename(c Caller, dir *Inode, name string, src *Inode, newDir *Inode, newName string, dst *Inode, flags uint32) error
	// Readlink returns a symbolic link's target.
	Readlink(c Caller, i *Inode) (string, error)
	// Getattr refreshes what i.attr holds; most file systems do nothing.
	Getattr(c Caller, i *Inode) error
	Setattr(c Caller, i *Inode, s *SetAttr) error
	// Open returns the behaviour of a new open file. Truncation by O_TRUNC
	// and creation have been done.
	Open(c Caller, f *File) (FileOps, error)
	// Extended attributes, xattr(7): names are complete ("user.x").
	// ENODATA, EOPNOTSUPP, ERANGE as in the manual.
	Getxattr(c Caller, i *Inode, name string) ([]byte, error)
	Setxattr(c Caller, i *Inode, name string, value []byte, flags int) error
	Listxattr(c Caller, i *Inode) ([]string, error)
	Removexattr(c Caller, i *Inode, name string) error
	// Evict is called when the last link and the last reference are gone.
	Evict(i *Inode)
}

// LinkFollower is implemented by InodeOps whose symbolic link leads straight
// to a place rather than through a path: /proc/self/fd/N, /proc/self/exe,
// /proc/self/cwd ("magic links", symlink(7)).
type LinkFollower interface {
	FollowLink(c Caller, i *Inode) (Path, error)
}

// Revalidator is implemented by InodeOps whose dentries may go stale
// (/proc/PID, a shared host directory); false drops the dentry. It is asked
// with or without the directory's DirMu held. An implementation that also has
// a method Dynamic() bool is only asked where that says true when the dentry
// is made.
type Revalidator interface {
	Revalidate(d *Dentry) bool
}

// Transient is implemented by InodeOps whose dentries may not be worth caching,
// since what they stand for comes and goes by itself (/proc/PID): each look-up
// makes inode and dentry anew, and the garbage collector takes them. Nothing
// can be mounted on them for others to find.
type Transient interface {
	Transient() bool
}

// BaseInode gives the answers of an inode that can do nothing. Linux: ENOTDIR
// for look-ups in a file, EPERM for creating in a directory without methods,
// EINVAL for readlink of others, EOPNOTSUPP for extended attributes.
type BaseInode struct{}

// The methods of BaseInode are documented at InodeOps.
func (BaseInode) Lookup(Caller, *Inode, string) (*Inode, error) { return nil, unix.ENOTDIR }

func (BaseInode) Create(Caller, *Inode, string, uint32, uint32, uint32) (*Inode, error) {
	return nil, unix.EACCES
}

func (BaseInode) Mknod(Caller, *Inode, string, uint32, uint64, uint32, uint32) (*Inode, error) {
	return nil, unix.EPERM
}

func (BaseInode) Mkdir(Caller, *Inode, string, uint32, uint32, uint32) (*Inode, error) {
	return nil, unix.EPERM
}

func (BaseInode) Symlink(Caller, *Inode, string, string, uint32, uint32) (*Inode, error) {
	return nil, unix.EPERM
}
func (BaseInode) Link(Caller, *Inode, string, *Inode) error   { return unix.EPERM }
func (BaseInode) Unlink(Caller, *Inode, string, *Inode) error { return unix.EPERM }
func (BaseInode) Rmdir(Caller, *Inode, string, *Inode) error  { return unix.EPERM }
func (BaseInode) Rename(Caller, *Inode, string, *Inode, *Inode, string, *Inode, uint32) error {
	return unix.EPERM
}
func (BaseInode) Readlink(Caller, *Inode) (string, error) { return "", unix.EINVAL }
func (BaseInode) Getattr(Caller, *Inode) error            { return nil }
func (BaseInode) Setattr(Caller, *Inode, *SetAttr) error  { return unix.EPERM }
func (BaseInode) Open(Caller, *File) (FileOps, error)     { return nil, unix.ENXIO }
func (BaseInode) Getxattr(Caller, *Inode, string) ([]byte, error) {
	return nil, unix.EOPNOTSUPP
}
func (BaseInode) Setxattr(Caller, *Inode, string, []byte, int) error { return unix.EOPNOTSUPP }
func (BaseInode) Listxattr(Caller, *Inode) ([]string, error)         { return nil, nil }
func (BaseInode) Removexattr(Caller, *Inode, string) error           { return unix.EOPNOTSUPP }
func (BaseInode) Evict(*Inode)                                       {}

// TmpfileMaker is implemented by directories that can make files without a
// name (O_TMPFILE). The inode has no links; Link may give it the first.
type TmpfileMaker interface {
	Tmpfile(c Caller, dir *Inode, mode uint32, uid, gid uint32) (*Inode, error)
}

// Forgetter is implemented by InodeOps that want to know when the dentry
// cache drops an inode that is neither open nor deleted: Forget may free what
// a later Lookup can bring back (cached pages, a 9p fid).
type Forgetter interface {
	Forget(i *Inode)
}

// Superblock is one mounted instance of a file system.
type Superblock struct {
	// Type is the name in /proc/mounts, Source its first column.
	Type, Source string
	// Dev is st_dev of its inodes; AllocDev gives unnamed ones.
	Dev uint64
	// Magic is statfs(2)'s f_type; Flags MS_* that the instance fixes.
	Magic int64
	Flags uint32
	// Root is the root directory's inode.
	Root *Inode
	// NoNegative forbids remembering names that do not exist (proc).
	NoNegative bool
	// MaxBytes is the largest file size; 0: the largest offset.
	MaxBytes int64
	// Statfs fills in what is known; nil: only Magic.
	Statfs func(*unix.Statfs_t)
	// Sync writes everything back; may be nil.
	Sync func() error
	// Options returns the instance's mount options as /proc/mounts shows
	// them after rw or ro (",size=4k"); may be nil.
	Options func() string
	// Remount takes new options; nil: only MS_RDONLY can change.
	Remount func(c Caller, flags uint32, data string) error
	// Release is called when the last mount is gone; may be nil.
	Release func()

	root     atomic.Pointer[Dentry] // of Root; see RootDentry
	readOnly atomic.Bool
	mounts   atomic.Int32
	renameMu sync.Mutex // renames across directories; Linux's s_vfs_rename_mutex
}
