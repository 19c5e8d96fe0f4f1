package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/wait"
)

// File is an open file description (open(2), "Open file descriptions"): what
// descriptors, mappings and messages in flight refer to. It is reference
// counted so that its end can be noticed; memory itself belongs to the
// garbage collector.
type File struct {
	refs  atomic.Int64
	flags atomic.Uint32 // O_APPEND, O_NONBLOCK, O_DIRECT … as F_SETFL may change; access mode

	// Path is where it was opened; its Dentry is never nil (anonymous files
	// have one of a pseudo file system, as in Linux).
	Path Path
	// Inode is Path.Dentry's inode at the time of opening.
	Inode *Inode
	// Ops is the file's behaviour.
	Ops FileOps

	// PlainReader and PlainWriter are short ways to read and write, nil where
	// there is none. Whoever opens the file sets them.
	PlainReader, PlainWriter Plain
	Socket                   bool // Ops is a socket; set with them

	// pos is the file offset; posMu serialises the calls that use and move
	// it (Linux's f_pos_lock). Order: before inode locks.
	posMu sync.Mutex
	pos   int64

	watches  fileWatches // epoll; see FileWatch
	seekable bool        // Ops.Seekable, asked once
	timeouts Timeouts    // Ops, if it has any; asked once
	writer   bool        // counted in Inode.writes

	owner  atomic.Pointer[ownership] // F_SETOWN
	sig    atomic.Int32              // F_SETSIG
	async  atomic.Pointer[async]     // O_ASYNC, if it does something; under asyncSend
	dir    atomic.Pointer[dirNotify] // F_NOTIFY; under watchMu
	locked atomic.Bool               // flock or an OFD lock was ever taken
}

// FileOps is the behaviour of one open file. Embed BaseOps for the answers
// Linux gives where an operation makes no sense.
//
// Read and Write never block: when nothing can be done now they return
// unix.EAGAIN, and the generic layer waits on Queue for the events (In for
// Read, Out for Write) unless O_NONBLOCK is set. Regular files and others
// that are always ready return a nil Queue and never EAGAIN; they may wait
// for their device inside the call.
type FileOps interface {
	// Read copies data into b. off is the offset for seekable files (given
	// by the generic layer, which also advances the file's position by the
	// count) and -1 for streams. End of file is (0, nil).
	Read(c Caller, f *File, b *mm.Buffer, off int64) (int, error)
	// Write copies data from b. With O_APPEND the implementation writes at
	// the end; it returns the count and, through end, the new position.
	// A stream that took only a part because it is full returns that count
	// together with EAGAIN: a blocking write(2) then waits and goes on with
	// the rest, a non-blocking one returns the count. A count with a nil
	// error is the whole answer, even when it is short.
	Write(c Caller, f *File, b *mm.Buffer, off int64) (n int, end int64, err error)
	// Poll returns the events that hold now.
	Poll(f *File) wait.Events
	// Queue announces changes of Poll; nil when the file is always ready.
	Queue(f *File) *wait.Queue
	// Seekable says whether the file has offsets (lseek, pread).
	Seekable() bool
	// Seek serves lseek(2) beyond the generic SEEK_SET/CUR/END: it returns
	// the new position (SEEK_DATA, SEEK_HOLE, directories).
	Seek(c Caller, f *File, off int64, whence int) (int64, error)
	// Ioctl serves ioctl(2); ENOTTY when the request is unknown.
	Ioctl(c Caller, f *File, request uint32, arg uintptr) (uintptr, error)
	// ReadDir emits entries from position *pos on, advancing it, until emit
	// returns false or the directory ends. ENOTDIR for others.
	ReadDir(c Caller, f *File, pos *int64, emit func(Dirent) bool) error
	// Mmap returns the cache to map, ENODEV when it cannot be mapped.
	Mmap(f *File) (*mm.PageCache, error)
	// Sync serves fsync(2) and fdatasync(2).
	Sync(c Caller, f *File, dataOnly bool) error
	// Allocate serves fallocate(2).
	Allocate(c Caller, f *File, mode uint32, off, n int64) error
	// SetFlags is told of F_SETFL and FIONBIO changes, before they hold.
	SetFlags(f *File, flags uint32) error
	// Flush is called on every close(2) of a descriptor; its error is close's.
	Flush(c Caller, f *File) error
	// Release is called once, when the last reference is dropped.
	Release(f *File)
}

// Dirent is one directory entry as getdents64(2) returns it.
type Dirent struct {
	Name string
	Ino  uint64
	Type uint8 // DT_*
	Next int64 // position of the entry after this one (d_off)
}

// Timeouts is implemented by FileOps whose blocking calls give up after a
// time, in nanoseconds (SO_RCVTIMEO, SO_SNDTIMEO); zero is never.
type Timeouts interface {
	ReadTimeout() int64
	WriteTimeout() int64
}

// BaseOps gives the answers of a file that can do nothing. Linux: EINVAL for
// read and write without methods, ESPIPE for seeking streams, ENOTTY for ioctl.
type BaseOps struct{}

// The methods of BaseOps are documented at FileOps.
func (BaseOps) Read(Caller, *File, *mm.Buffer, int64) (int, error) { return 0, unix.EINVAL }

func (BaseOps) Write(Caller, *File, *mm.Buffer, int64) (int, int64, error) {
	return 0, 0, unix.EINVAL
}

func (BaseOps) Poll(*File) wait.Events                        { return wait.Readable | wait.Writable }
func (BaseOps) Queue(*File) *wait.Queue                       { return nil }
func (BaseOps) Seekable() bool                                { return false }
func (BaseOps) Seek(Caller, *File, int64, int) (int64, error) { return 0, unix.ESPIPE }
func (BaseOps) Ioctl(Caller, *File, uint32, uintptr) (uintptr, error) {
	return 0, unix.ENOTTY
}
func (BaseOps) ReadDir(Caller, *File, *int64, func(Dirent) bool) error { return unix.ENOTDIR }
func (BaseOps) Mmap(*File) (*mm.PageCache, error)                      { return nil, unix.ENODEV }
func (BaseOps) Sync(Caller, *File, bool) error                         { return unix.EINVAL }
func (BaseOps) Allocate(Caller, *File, uint32, int64, int64) error     { return unix.ENODEV }
func (BaseOps) SetFlags(*File, uint32) error                           { return nil }
func (BaseOps) Flush(Caller, *File) error                              { return nil }
func (BaseOps) Release(*File)                                          {}

// NewFile returns an open file with one reference.
func NewFile(p Path, flags uint32, ops FileOps) *File {
	f := &File{}
	f.init(p, flags, ops)
	return f
}

// NewAnonFile returns an open file of the anonymous-inode file system, whose
// link in /proc/self/fd reads "anon_inode:[name]" (or name itself when it
// contains a colon, as "pipe:[5]" does). mode is the inode's type and
// permission bits (S_IFIFO|0600, 0600 …). Files that share one inode, such as
// the two ends of a pipe, are made with NewAnonPath and NewFile.
func NewAnonFile(name string, mode uint32, flags uint32, ops FileOps) *File {
	return NewFile(NewAnonPath(name, mode), flags, ops)
}

// Flags returns the O_* flags, access mode included.
func (f *File) Flags() uint32 { return f.flags.Load() }

// NonBlock reports whether O_NONBLOCK is set.
func (f *File) NonBlock() bool { return f.flags.Load()&unix.O_NONBLOCK != 0 }
