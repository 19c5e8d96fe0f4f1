package proc

import (
	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// mountOptions are the flags that a mount shows, in Linux's order.
var mountOptions = [...]struct {
	flag uint32
	name string
}{
	{unix.MS_NOSUID, ",nosuid"},
	{unix.MS_NODEV, ",nodev"},
	{unix.MS_NOEXEC, ",noexec"},
	{unix.MS_NOATIME, ",noatime"},
	{unix.MS_NODIRATIME, ",nodiratime"},
	{unix.MS_RELATIME, ",relatime"},
	{unix.MS_NOSYMFOLLOW, ",nosymfollow"},
}

// superOptions are those of a superblock.
var superOptions = [...]struct {
	flag uint32
	name string
}{
	{unix.MS_SYNCHRONOUS, ",sync"}, {unix.MS_DIRSYNC, ",dirsync"}, {unix.MS_MANDLOCK, ",mand"}, {unix.MS_LAZYTIME, ",lazytime"},
}

// blanks are escaped in the fields of mount tables.
const blanks = " \t\n\\#"

func rwOf(flags uint32) string {
	if flags&unix.MS_RDONLY != 0 {
		return "ro"
	}
	return "rw"
}

func mangleOr(t *text, s, instead string) {
	if s == "" {
		s = instead
	}
	t.Mangle(s, blanks)
}

// mountTable lists the mounts as the process sees them.
func mountTable(s subject) []vfs.MountInfo {
	fs := thread(s).FSRef()
	if fs == nil {
		return nil
	}
	defer fs.Put()
	root := fs.Root()
	if root.Mount == nil {
		return nil
	}
	return root.Mount.Namespace().List(root)
}

func renderMounts(t *text, s subject) error {
	list := mountTable(s)
	for i := range list {
		m := &list[i]
		mangleOr(t, m.Source, "none")
		t.C(' ')
		t.Mangle(m.Point, blanks)
		t.C(' ')
		t.Mangle(m.Type, blanks)
		t.C(' ')
		t.S(rwOf(m.Flags | m.SBFlags))
		for _, o := range superOptions {
			if m.SBFlags&o.flag != 0 {
				t.S(o.name)
			}
		}
		for _, o := range mountOptions {
			if m.Flags&o.flag != 0 {
				t.S(o.name)
			}
		}
		t.S(m.Options)
		t.S(" 0 0\n")
	}
	return nil
}

func renderMountinfo(t *text, s subject) error {
	list := mountTable(s)
	for i := range list {
		m := &list[i]
		t.I(m.ID)
		t.C(' ')
		t.I(m.Parent)
		t.C(' ')
		t.U(uint64(unix.Major(m.Dev)))
		t.C(':')
		t.U(uint64(unix.Minor(m.Dev)))
		t.C(' ')
		t.Mangle(m.Root, " \t\n\\")
		t.C(' ')
		t.Mangle(m.Point, " \t\n\\")
		t.C(' ')
		t.S(rwOf(m.Flags))
		for _, o := range mountOptions {
			if m.Flags&o.flag != 0 {
				t.S(o.name)
			}
		}
		if m.Shared != 0 {
			t.S(" shared:")
			t.I(m.Shared)
		}
		t.S(" - ")
		t.Mangle(m.Type, blanks)
		t.C(' ')
		mangleOr(t, m.Source, "none")
		t.C(' ')
		t.S(rwOf(m.SBFlags))
		for _, o := range superOptions {
			if m.SBFlags&o.flag != 0 {
				t.S(o.name)
			}
		}
		t.S(m.Options)
		t.C('\n')
	}
	return nil
}

func renderMountstats(t *text, s subject) error {
	list := mountTable(s)
	for i := range list {
		m := &list[i]
		if m.Source != "" {
			t.S("device ")
			t.Mangle(m.Source, blanks)
		} else {
			t.S("no device")
		}
		t.S(" mounted on ")
		t.Mangle(m.Point, blanks)
		t.S(" with fstype ")
		t.Mangle(m.Type, blanks)
		t.C('\n')
	}
	return nil
}

// mountsFile is an open table of mounts: poll(2) reports an exceptional
// condition when the mounts have changed since it was last asked (proc(5)).
type mountsFile struct {
	vfs.BaseOps
	text pseudo.Snapshot
	s    subject
	show func(*text, subject) error
	ns   *vfs.MountNamespace
	seq  uint64
}

func openMountTable(c vfs.Caller, s subject, show func(*text, subject) error) (vfs.FileOps, error) {
	fs := thread(s).FSRef()
	if fs == nil {
		return nil, unix.EINVAL
	}
	defer fs.Put()
	o := &mountsFile{s: s, show: show}
	if m := fs.Root().Mount; m != nil {
		o.ns = m.Namespace()
		o.seq = o.ns.Seq()
	}
	return o, nil
}

func openMounts(c vfs.Caller, s subject) (vfs.FileOps, error) {
	return openMountTable(c, s, renderMounts)
}

func openMountinfo(c vfs.Caller, s subject) (vfs.FileOps, error) {
	return openMountTable(c, s, renderMountinfo)
}

func openMountstats(c vfs.Caller, s subject) (vfs.FileOps, error) {
	return openMountTable(c, s, renderMountstats)
}

func (*mountsFile) Seekable() bool { return true }

func (o *mountsFile) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	return o.text.Read(b, off, func(t *text) error { return o.show(t, o.s) })
}

func (o *mountsFile) Poll(f *vfs.File) wait.Events {
	ev := wait.Readable
	if o.ns != nil && o.text.Changed(&o.seq, o.ns.Seq()) {
		ev |= wait.Err | wait.Pri
	}
	return ev
}

func (o *mountsFile) Queue(f *vfs.File) *wait.Queue {
	if o.ns == nil {
		return nil
	}
	return o.ns.Changed()
}
