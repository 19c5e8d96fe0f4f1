package vfs

import "golang.org/x/sys/unix"

// The bits of F_NOTIFY, which x/sys lacks.
const (
	dnAccess    = 0x1
	dnModify    = 0x2
	dnCreate    = 0x4
	dnDelete    = 0x8
	dnRename    = 0x10
	dnAttrib    = 0x20
	dnMultishot = 0x80000000
)

// dirNotify is F_NOTIFY of fcntl(2): signals about changes in a directory to
// the owner of its open file. It is an inotify instance with one watch that
// passes events on instead of queueing them.
type dirNotify struct {
	in    Inotify
	async async
}

// dirEvents are the events of F_NOTIFY's bits.
var dirEvents = [...]struct{ dn, in uint32 }{
	{dnAccess, inAccess},
	{dnModify, inModify},
	{dnCreate, inCreate | unix.IN_MOVED_TO},
	{dnDelete, inDelete | unix.IN_MOVED_FROM},
	{dnRename, unix.IN_MOVED_FROM},
	{dnAttrib, inAttrib},
}

// Notify serves F_NOTIFY: what is asked for is added to what was, and nothing
// at all ends it.
func (f *File) Notify(bits uint32, fd int32, send func(IOSignal)) error {
	asyncSend.Lock()
	defer asyncSend.Unlock()
	watchMu.Lock()
	defer watchMu.Unlock()
	d := f.dir.Load()
	var mask uint32
	for _, e := range dirEvents {
		if bits&e.dn != 0 {
			mask |= e.in
		}
	}
	if mask == 0 {
		if d != nil {
			f.Unwatch(&d.async.watch)
			d.stop()
		}
		return nil
	}
	if bits&dnMultishot == 0 {
		mask |= inOneShot
	}
	if d != nil {
		if w := d.in.watches[0]; w != nil {
			old := w.mask.Load()
			w.mask.Store(old&^inOneShot | mask&(old|^uint32(inOneShot)))
			d.async.fd = fd
			return nil
		}
		f.Unwatch(&d.async.watch)
		d.stop()
	}
	if watching.Load() >= maxInotifyWatches {
		return unix.ENOMEM
	}
	d = &dirNotify{async: async{file: f, fd: fd, send: send}}
	d.async.watch.Gone = func(*FileWatch) {
		watchMu.Lock()
		d.stop()
		watchMu.Unlock()
	}
	d.in.dir = &d.async
	w := &watch{in: &d.in, inode: f.Inode}
	w.mask.Store(mask)
	d.in.watches = map[int]*watch{0: w}
	w.link()
	f.dir.Store(d)
	f.Watch(&d.async.watch)
	return nil
}

// stop ends the notification. watchMu is held.
func (d *dirNotify) stop() {
	if w := d.in.watches[0]; w != nil {
		w.unlink()
	}
	d.async.file.dir.Store(nil)
}
