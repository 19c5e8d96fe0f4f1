package vfs

import "sync"

// FileWatch is somebody who follows a file without keeping it open: epoll.
// It belongs to whoever registered it; its links belong to the file.
type FileWatch struct {
	// Gone is called once, without locks, when the last reference to the
	// file has been dropped and before it is released.
	Gone func(w *FileWatch)

	next, prev *FileWatch
	file       *File
}

// fileWatches is the list of a file's watches. mu is a leaf.
type fileWatches struct {
	mu   sync.Mutex
	head *FileWatch
}

// Watch registers w, which must not be registered anywhere. The caller holds
// a reference to the file.
func (f *File) Watch(w *FileWatch) {
	f.watches.mu.Lock()
	w.file, w.prev, w.next = f, nil, f.watches.head
	if w.next != nil {
		w.next.prev = w
	}
	f.watches.head = w
	f.watches.mu.Unlock()
}

// Unwatch takes w off the file; it is a no-op when w is not on it.
func (f *File) Unwatch(w *FileWatch) {
	f.watches.mu.Lock()
	if w.file == f {
		f.watches.unlink(w)
	}
	f.watches.mu.Unlock()
}

func (l *fileWatches) unlink(w *FileWatch) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.file, w.prev, w.next = nil, nil, nil
}

// gone tells all watches that the file's last reference is gone. Nobody can
// register any more.
func (l *fileWatches) gone() {
	for {
		l.mu.Lock()
		w := l.head
		if w == nil {
			l.mu.Unlock()
			return
		}
		l.unlink(w)
		l.mu.Unlock()
		w.Gone(w)
	}
}
