package pseudo

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// maxStore is the most that one write passes on.
const maxStore = 4096

// Snapshot is the text that an open file is being read from.
type Snapshot struct {
	mu       sync.Mutex
	text     Text
	rendered bool
}

// Read copies out the text from off on. A read at the beginning renders it
// anew.
func (s *Snapshot) Read(b *mm.Buffer, off int64, render func(*Text) error) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off == 0 || !s.rendered {
		s.text = s.text[:0]
		if err := render(&s.text); err != nil {
			s.rendered = false
			return 0, err
		}
		s.rendered = true
	}
	if off >= int64(len(s.text)) {
		return 0, nil
	}
	return b.CopyOut(s.text[off:])
}

// Changed reports whether a counter differs from what was seen last, and notes
// what it is now.
func (s *Snapshot) Changed(seen *uint64, now uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := *seen != now
	*seen = now
	return changed
}

// file is an open file of text.
type file struct {
	vfs.BaseOps
	node *node
	text Snapshot
}

// Seekable implements vfs.FileOps.
func (*file) Seekable() bool { return true }

// Read implements vfs.FileOps.
func (o *file) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	return o.text.Read(b, off, func(t *Text) error { return o.node.render(t, c) })
}

func (n *node) render(t *Text, c vfs.Caller) error {
	if n.gone() {
		return unix.ESRCH
	}
	switch e := n.entry; {
	case e.Show != nil:
		return e.Show(t, c, n.subject)
	case e.Knob != nil:
		return e.Knob.show(t)
	default:
		t.S(e.Const)
	}
	return nil
}

// Write implements vfs.FileOps.
func (o *file) Write(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	e := o.node.entry
	if e.Store == nil && e.Knob == nil {
		return 0, 0, unix.EIO
	}
	if o.node.gone() {
		return 0, 0, unix.ESRCH
	}
	n := b.Len()
	text := make([]byte, min(n, maxStore))
	if _, err := b.CopyIn(text); err != nil {
		return 0, 0, err
	}
	var err error
	switch {
	case e.Store != nil:
		err = e.Store(c, o.node.subject, string(text))
	case off == 0: // kernel.sysctl_writes_strict: later parts are ignored
		err = e.Knob.store(string(text))
	}
	if err != nil {
		return 0, 0, err
	}
	return n, off + int64(n), nil
}
