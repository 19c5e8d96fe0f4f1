package tmpfs

import (
	"sort"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// table is the names of a directory, in the order of their creation. Each has
// an offset that stays when others come and go, so that a reader of the
// directory sees every lasting name exactly once. The newest is listed first,
// as Linux does; a position in the directory is the offset of the name before
// it. DirMu guards the table.
type table struct {
	byName map[string]*entry
	list   []slot // ascending by offset
	next   int64
	holes  int
	// names counts the entries that are not whiteouts.
	names int
}

// slot is a place in the order; entry is nil when the name was removed.
type slot struct {
	offset int64
	entry  *entry
}

// entry is one name. A nil inode is a whiteout: the lower directory has the
// name, and it was removed.
type entry struct {
	name   string
	offset int64
	inode  *vfs.Inode
}

// startOfNames is the position after "." and ".."; offsets lie above it.
const startOfNames = 2

// lowerOffset is where the names of the lower directory begin.
const lowerOffset = int64(1) << 40

func (t *table) get(name string) *entry { return t.byName[name] }

func (t *table) add(name string, i *vfs.Inode) {
	if t.byName == nil {
		t.byName = make(map[string]*entry)
		t.next = startOfNames + 1
	}
	if old := t.byName[name]; old != nil { // a whiteout
		t.remove(name)
	}
	e := &entry{name: name, offset: t.next, inode: i}
	t.next++
	t.byName[name] = e
	t.list = append(t.list, slot{e.offset, e})
	if i != nil {
		t.names++
	}
}

func (t *table) remove(name string) {
	e := t.byName[name]
	if e == nil {
		return
	}
	delete(t.byName, name)
	if e.inode != nil {
		t.names--
	}
	t.list[t.index(e.offset)].entry = nil
	if t.holes++; t.holes > 16 && t.holes > len(t.list)/2 {
		kept := t.list[:0]
		for _, s := range t.list {
			if s.entry != nil {
				kept = append(kept, s)
			}
		}
		clear(t.list[len(kept):])
		t.list, t.holes = kept, 0
	}
}

// index returns the position in list of the first slot at or after offset.
func (t *table) index(offset int64) int {
	return sort.Search(len(t.list), func(i int) bool { return t.list[i].offset >= offset })
}

// directory is the behaviour of an open directory.
type directory struct{ vfs.BaseOps }

func (directory) Seekable() bool { return true }

func (directory) Read(vfs.Caller, *vfs.File, *mmBuffer, int64) (int, error) {
	return 0, unix.EISDIR
}

func (directory) Seek(vfs.Caller, *vfs.File, int64, int) (int64, error) { return 0, unix.EINVAL }

func (directory) Sync(vfs.Caller, *vfs.File, bool) error { return nil }

func (directory) ReadDir(c vfs.Caller, f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) error {
	f.Inode.DirMu.RLock()
	defer f.Inode.DirMu.RUnlock()
	_, err := readOwn(f, pos, emit)
	return err
}

// readOwn emits ".", ".." and the names of the table. It reports whether it
// came to their end. DirMu is held.
func readOwn(f *vfs.File, pos *int64, emit func(vfs.Dirent) bool) (bool, error) {
	n := f.Inode.Ops.(*node)
	if *pos == 0 {
		if !emit(vfs.Dirent{Name: ".", Ino: f.Inode.Ino, Type: unix.DT_DIR, Next: 1}) {
			return false, nil
		}
		*pos = 1
	}
	if *pos == 1 {
		ino := f.Inode.Ino
		if p := f.Path.Dentry.Parent(); p != nil {
			ino = p.Inode().Ino
		}
		if !emit(vfs.Dirent{Name: "..", Ino: ino, Type: unix.DT_DIR, Next: startOfNames}) {
			return false, nil
		}
		*pos = startOfNames
	}
	if *pos < lowerOffset {
		at := len(n.dir.list)
		if *pos > startOfNames {
			at = n.dir.index(*pos)
		}
		for at--; at >= 0; at-- {
			e := n.dir.list[at].entry
			if e == nil || e.inode == nil {
				continue
			}
			if !emit(vfs.Dirent{Name: e.name, Ino: e.inode.Ino, Type: e.inode.DType(), Next: e.offset}) {
				return false, nil
			}
			*pos = e.offset
		}
	}
	return true, nil
}
