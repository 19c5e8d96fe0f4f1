package vfs

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/wait"
)

// The events that hooks report; inotify(7).
const (
	inAccess       = unix.IN_ACCESS
	inModify       = unix.IN_MODIFY
	inAttrib       = unix.IN_ATTRIB
	inCloseWrite   = unix.IN_CLOSE_WRITE
	inCloseNoWrite = unix.IN_CLOSE_NOWRITE
	inOpen         = unix.IN_OPEN
	inCreate       = unix.IN_CREATE
	inDelete       = unix.IN_DELETE
	inIsDir        = unix.IN_ISDIR

	inExclUnlink = unix.IN_EXCL_UNLINK
	inOneShot    = unix.IN_ONESHOT
	inMaskAdd    = unix.IN_MASK_ADD
	inMaskCreate = unix.IN_MASK_CREATE

	inAlways = unix.IN_IGNORED | unix.IN_UNMOUNT | unix.IN_Q_OVERFLOW
)

// InotifyValid are the bits of inotify_add_watch(2), of which one must be set.
const InotifyValid = unix.IN_ALL_EVENTS | inAlways | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW |
	inExclUnlink | inMaskAdd | inMaskCreate | inIsDir | inOneShot

// The limits of /proc/sys/fs/inotify.
const (
	maxQueuedEvents   = 16384
	maxInotifies      = 128
	maxInotifyWatches = 65536
)

// watching counts all inotify watches there are: hooks look at it first.
var watching atomic.Int32

var inotifies atomic.Int32

// watchMu serialises changes of all watch lists; the lists themselves are
// replaced, never changed, so hooks read them without a lock. It comes before
// Inotify.mu.
var watchMu sync.Mutex

// watchSet is the watches of an inode: immutable once published.
type watchSet struct{ list []*watch }

// watched are all watches; under watchMu.
var watched map[*watch]struct{}

// watch is one watch. mask is changed by inotify_add_watch while hooks read it.
type watch struct {
	in    *Inotify
	wd    int
	inode *Inode
	mask  atomic.Uint32
}

// Inotify is the behaviour of an inotify instance.
type Inotify struct {
	BaseOps
	queue wait.Queue
	dir   *async // F_NOTIFY's: events go here instead of being queued

	watches map[int]*watch // under watchMu
	lastWD  int

	mu     sync.Mutex
	events []event
	bytes  int
	lost   bool // IN_Q_OVERFLOW is queued
}

type event struct {
	wd           int32
	mask, cookie uint32
	name         string
}

// size is what the event takes in read(2)'s buffer: the name is padded to a
// multiple of the structure's size.
func (e *event) size() int {
	if e.name == "" {
		return unix.SizeofInotifyEvent
	}
	return unix.SizeofInotifyEvent + (len(e.name)+unix.SizeofInotifyEvent)&^(unix.SizeofInotifyEvent-1)
}

// NewInotify returns the open file of inotify_init1(2): EMFILE when there are too many.
func NewInotify(flags uint32) (*File, error) {
	if inotifies.Add(1) > maxInotifies {
		inotifies.Add(-1)
		return nil, unix.EMFILE
	}
	return NewAnonFile("inotify", 0o600, unix.O_RDONLY|flags, &Inotify{watches: map[int]*watch{}}), nil
}

// fewWatches is how many watches and events an instance may have however short
// memory is.
const fewWatches = 64

// Add serves inotify_add_watch(2).
func (in *Inotify) Add(p Path, mask uint32) (int, error) {
	i := p.Inode()
	keep := mask & (unix.IN_ALL_EVENTS | inExclUnlink | inOneShot)
	watchMu.Lock()
	defer watchMu.Unlock()
	if set := i.watch.Load(); set != nil {
		for _, w := range set.list {
			if w.in != in {
				continue
			}
			if mask&inMaskCreate != 0 {
				return 0, unix.EEXIST
			}
			if mask&inMaskAdd != 0 {
				keep |= w.mask.Load()
			}
			w.mask.Store(keep)
			return w.wd, nil
		}
	}
	if watching.Load() >= maxInotifyWatches {
		return 0, unix.ENOSPC
	}
	if i.refs.Load() < 0 {
		return 0, unix.ENOENT
	}
	if len(in.watches) >= fewWatches && cpu.KernelShort() {
		return 0, unix.ENOMEM
	}
	in.lastWD++
	w := &watch{in: in, wd: in.lastWD, inode: i}
	w.mask.Store(keep)
	in.watches[w.wd] = w
	w.link()
	return w.wd, nil
}

// link puts a watch on its inode. watchMu is held.
func (w *watch) link() {
	var list []*watch
	if set := w.inode.watch.Load(); set != nil {
		list = set.list
	}
	w.inode.watch.Store(&watchSet{append(slices.Clone(list), w)})
	if watched == nil {
		watched = make(map[*watch]struct{})
	}
	watched[w] = struct{}{}
	watching.Add(1)
}

// Remove serves inotify_rm_watch(2).
func (in *Inotify) Remove(wd int) error {
	watchMu.Lock()
	w := in.watches[wd]
	if w == nil {
		watchMu.Unlock()
		return unix.EINVAL
	}
	w.unlink()
	watchMu.Unlock()
	in.add(event{wd: int32(wd), mask: unix.IN_IGNORED})
	return nil
}

// unlink takes a watch off its inode and its instance. watchMu is held.
func (w *watch) unlink() bool {
	if w.in.watches[w.wd] != w {
		return false
	}
	delete(w.in.watches, w.wd)
	delete(watched, w)
	list := slices.DeleteFunc(slices.Clone(w.inode.watch.Load().list), func(o *watch) bool { return o == w })
	if len(list) == 0 {
		w.inode.watch.Store(nil)
	} else {
		w.inode.watch.Store(&watchSet{list})
	}
	watching.Add(-1)
	return true
}

// Release ends the instance with its watches.
func (in *Inotify) Release(*File) {
	watchMu.Lock()
	for _, w := range in.watches {
		w.unlink()
	}
	watchMu.Unlock()
	inotifies.Add(-1)
}

// add queues an event, unless it equals the last one or there are too many.
func (in *Inotify) add(e event) {
	if in.dir != nil {
		if e.mask&inAlways == 0 {
			in.dir.happened(0, 1)
		}
		return
	}
	in.mu.Lock()
	if n := len(in.events); n > 0 && in.events[n-1] == e {
		in.mu.Unlock()
		return
	}
	if n := len(in.events); n >= maxQueuedEvents || n >= fewWatches && cpu.KernelShort() {
		if in.lost {
			in.mu.Unlock()
			return
		}
		in.lost = true
		e = event{wd: -1, mask: unix.IN_Q_OVERFLOW}
	}
	in.events = append(in.events, e)
	in.bytes += e.size()
	in.mu.Unlock()
	in.queue.Notify(wait.Readable)
}

// Read returns whole events: EINVAL when not even one fits.
func (in *Inotify) Read(c Caller, f *File, b *mm.Buffer, _ int64) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.events) == 0 {
		return 0, unix.EAGAIN
	}
	done := 0
	var buf [unix.SizeofInotifyEvent + 512]byte
	for len(in.events) > 0 {
		e := &in.events[0]
		n := e.size()
		if n > b.Len() {
			if done == 0 {
				return 0, unix.EINVAL
			}
			break
		}
		p := buf[:n]
		clear(p)
		binary.LittleEndian.PutUint32(p, uint32(e.wd))
		binary.LittleEndian.PutUint32(p[4:], e.mask)
		binary.LittleEndian.PutUint32(p[8:], e.cookie)
		binary.LittleEndian.PutUint32(p[12:], uint32(n-unix.SizeofInotifyEvent))
		copy(p[16:], e.name)
		m, err := b.CopyOut(p)
		if err != nil {
			if done > 0 {
				break
			}
			return 0, err
		}
		done += m
		in.bytes -= n
		if e.mask == unix.IN_Q_OVERFLOW {
			in.lost = false
		}
		in.events = in.events[1:]
	}
	if len(in.events) == 0 {
		in.events = nil
	}
	return done, nil
}

// Seek succeeds and does nothing, as on Linux.
func (in *Inotify) Seek(Caller, *File, int64, int) (int64, error) { return 0, nil }

// Poll reports whether events are queued.
func (in *Inotify) Poll(*File) wait.Events {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.events) > 0 {
		return wait.Readable
	}
	return 0
}

// Queue announces events.
func (in *Inotify) Queue(*File) *wait.Queue { return &in.queue }

// Ioctl serves FIONREAD.
func (in *Inotify) Ioctl(c Caller, f *File, request uint32, arg uintptr) (uintptr, error) {
	if request != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	in.mu.Lock()
	n := uint32(in.bytes)
	in.mu.Unlock()
	return 0, c.AddressSpace().Store32(mm.Addr(arg), n)
}

// tell sends an event of an inode, or of the name in a directory, to those of
// its watches that want it.
func (s *watchSet) tell(ev, cookie uint32, name string, deleted bool) {
	for _, w := range s.list {
		mask := w.mask.Load()
		if mask&ev&^inIsDir == 0 || deleted && mask&inExclUnlink != 0 {
			continue
		}
		w.in.add(event{int32(w.wd), ev, cookie, name})
		if mask&inOneShot != 0 {
			watchMu.Lock()
			gone := w.unlink()
			watchMu.Unlock()
			if gone {
				w.in.add(event{wd: int32(w.wd), mask: unix.IN_IGNORED})
			}
		}
	}
}

// notify reports what was done through an open file.
func (f *File) notify(ev uint32) {
	if f.Inode != nil {
		notifyPlace(f.Path, ev, f.Path.Dentry.Deleted())
	}
}

// notifyIO is notify for reads and writes. Those of special files are told to
// the file's own watches only, so that a directory's do not spy on terminals.
func (f *File) notifyIO(ev uint32) {
	if f.Inode == nil {
		return
	}
	switch f.Inode.Type() {
	case unix.S_IFREG, unix.S_IFDIR:
		f.notify(ev)
	default:
		notifyInode(f.Inode, ev)
	}
}

// notifyPath reports an event of the inode at p to the watches of its
// directory, with its name, and to its own.
func notifyPath(p Path, ev uint32) { notifyPlace(p, ev, false) }

// notifyPlace is notifyPath; deleted tells of what is done through an open
// file whose name is gone, which IN_EXCL_UNLINK does not want to know.
func notifyPlace(p Path, ev uint32, deleted bool) {
	if watching.Load() == 0 {
		return
	}
	i := p.Dentry.Inode()
	if i == nil {
		return
	}
	if i.IsDir() {
		ev |= inIsDir
	}
	pl := p.Dentry.place.Load()
	if pl.parent != nil {
		if dir := pl.parent.Inode(); dir != nil {
			if set := dir.watch.Load(); set != nil {
				set.tell(ev, 0, pl.name, deleted)
			}
		}
	}
	if set := i.watch.Load(); set != nil {
		set.tell(ev, 0, "", deleted)
	}
}

// notifyDir reports that a name in dir came or went.
func notifyDir(dir *Inode, name string, ev uint32) {
	if watching.Load() == 0 {
		return
	}
	if set := dir.watch.Load(); set != nil {
		set.tell(ev, 0, string([]byte(name)), false)
	}
}

// notifyInode reports an event of the inode alone.
func notifyInode(i *Inode, ev uint32) {
	if watching.Load() == 0 {
		return
	}
	if set := i.watch.Load(); set != nil {
		if i.IsDir() && ev != unix.IN_MOVE_SELF { // which never had the flag
			ev |= inIsDir
		}
		set.tell(ev, 0, "", false)
	}
}

var moveCookies atomic.Uint32

// notifyMove reports a rename: both halves carry one cookie. replaced is what
// lost the new name, nil if nothing did.
func notifyMove(dir *Inode, name string, newDir *Inode, newName string, i, replaced *Inode) {
	if watching.Load() == 0 {
		return
	}
	var isDir uint32
	if i.IsDir() {
		isDir = inIsDir
	}
	cookie := moveCookies.Add(1)
	if set := dir.watch.Load(); set != nil {
		set.tell(unix.IN_MOVED_FROM|isDir, cookie, string([]byte(name)), false)
	}
	if set := newDir.watch.Load(); set != nil {
		set.tell(unix.IN_MOVED_TO|isDir, cookie, string([]byte(newName)), false)
	}
	if replaced != nil {
		notifyInode(replaced, inAttrib)
	}
	notifyInode(i, unix.IN_MOVE_SELF)
}

// forgetWatches ends the watches of an inode that is gone.
func (i *Inode) forgetWatches() { i.endWatches(unix.IN_DELETE_SELF) }

// endWatchesOf tells the watches of a file system that it was unmounted.
func endWatchesOf(sb *Superblock) {
	if watching.Load() == 0 {
		return
	}
	watchMu.Lock()
	var inodes []*Inode
	for w := range watched {
		if w.inode.FS == sb {
			inodes = append(inodes, w.inode)
		}
	}
	watchMu.Unlock()
	for _, i := range inodes {
		i.endWatches(unix.IN_UNMOUNT)
	}
}

func (i *Inode) endWatches(ev uint32) {
	set := i.watch.Load()
	if set == nil {
		return
	}
	for _, w := range set.list {
		if mask := w.mask.Load(); (mask|inAlways)&ev != 0 {
			w.in.add(event{wd: int32(w.wd), mask: ev})
		}
		watchMu.Lock()
		gone := w.unlink()
		watchMu.Unlock()
		if gone {
			w.in.add(event{wd: int32(w.wd), mask: unix.IN_IGNORED})
		}
	}
}
