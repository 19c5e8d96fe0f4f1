package proc

import (
	"math"

	"golang.org/x/sys/unix"

	"husk/kernel/socket"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// OpenFiles calls f once for each inode that some process has open, with one of
// its files. The references are dropped afterwards.
func OpenFiles(f func(*vfs.File)) {
	var files []*vfs.File
	seen := map[*vfs.Inode]bool{}
	for _, p := range task.Processes() {
		t := p.Leader()
		table := t.FilesRef()
		for _, o := range p.Threads() {
			if table != nil {
				break
			}
			t, table = o, o.FilesRef() // the leader has ended before the others
		}
		if table == nil {
			continue
		}
		for fd := table.Next(0); fd >= 0; fd = table.Next(fd + 1) {
			file, err := table.Get(fd)
			if err != nil {
				continue
			}
			if file.Inode == nil || seen[file.Inode] {
				file.Put()
				continue
			}
			seen[file.Inode] = true
			files = append(files, file)
		}
		table.Unref(t)
	}
	for _, file := range files {
		f(file)
		file.Put()
	}
}

// showLocks renders /proc/locks, proc_locks(5).
func showLocks(t *text, c vfs.Caller, _ none) error {
	n := 0
	OpenFiles(func(f *vfs.File) {
		for _, l := range f.Inode.Locks() {
			n++
			t.I(n)
			t.S(": ")
			t.S(l.Kind)
			if l.Kind == "POSIX" || l.Kind == "FLOCK" {
				t.C(' ')
			}
			t.S(" ADVISORY  ")
			if l.Write {
				t.S("WRITE ")
			} else {
				t.S("READ  ")
			}
			t.D(int64(l.PID))
			t.C(' ')
			dev := f.Inode.Dev()
			t.X(uint64(unix.Major(dev)), 2)
			t.C(':')
			t.X(uint64(unix.Minor(dev)), 2)
			t.C(':')
			t.U(f.Inode.Ino)
			t.C(' ')
			t.D(l.Start)
			if l.End == math.MaxInt64 {
				t.S(" EOF\n")
			} else {
				t.C(' ')
				t.D(l.End)
				t.C('\n')
			}
		}
	})
	return nil
}

// showNetUnix renders /proc/net/unix: the sockets that have a descriptor.
func showNetUnix(t *text, c vfs.Caller, _ subject) error {
	t.S(headUnix)
	OpenFiles(func(f *vfs.File) {
		s, ok := f.Ops.(socket.Socket)
		if !ok || s.Common().Domain != unix.AF_UNIX {
			return
		}
		o := s.Common()
		flags, state, refs := uint64(0), uint64(1), uint64(2) // SS_UNCONNECTED
		const acceptCon, connected = 1 << 16, 3
		if o.Listening.Load() {
			flags = acceptCon
		} else if _, err := s.PeerName(); err == nil {
			state, refs = connected, 3
		}
		t.S("0000000000000000: ")
		t.X(refs, 8)
		t.S(" 00000000 ")
		t.X(flags, 8)
		t.C(' ')
		t.X(uint64(o.Type), 4)
		t.C(' ')
		t.X(state, 2)
		t.C(' ')
		t.UW(f.Inode.Ino, 5)
		if name, err := s.Name(); err == nil && len(name) > 2 {
			t.C(' ')
			abstract := name[2] == 0
			for _, ch := range name[2:] {
				switch {
				case ch != 0:
					t.C(ch)
				case abstract:
					t.C('@')
				}
			}
		}
		t.C('\n')
	})
	return nil
}
