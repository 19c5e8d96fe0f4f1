package main

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/devfs"
	"husk/kernel/fs/erofs"
	"husk/kernel/fs/overlay"
	"husk/kernel/fs/p9"
	"husk/kernel/fs/proc"
	"husk/kernel/fs/pseudo"
	"husk/kernel/fs/sys"
	"husk/kernel/fs/tmpfs"
	"husk/kernel/inet"
	"husk/kernel/mqueue"
	"husk/kernel/netlink"
	"husk/kernel/pipe"
	"husk/kernel/socket"
	"husk/kernel/task"
	"husk/kernel/tty"
	unixsock "husk/kernel/unix"
	"husk/kernel/vfs"
)

// mountRoot mounts what the specification names as root, with a writable
// overlay above it.
func (m *machine) mountRoot() error {
	lower, err := m.open(m.spec.Root.Path)
	if err != nil {
		return wrap("mount the root "+strconv.Quote(m.spec.Root.Path), err)
	}
	sb, flags := lower, uint32(unix.MS_RDONLY)
	if !m.spec.Root.Readonly {
		flags = 0
		if sb, err = overlay.New(lower, ""); err != nil {
			return wrap("mount the overlay", err)
		}
	}
	tmpfs.Register()
	overlay.Register()
	ns := vfs.NewMountNamespace(sb, flags)
	m.init.SetFS(vfs.NewFSContext(ns.Root()))
	return nil
}

// open makes a file system of "erofs:N" or "9p:TAG".
func (m *machine) open(source string) (*vfs.Superblock, error) {
	kind, name, _ := strings.Cut(source, ":")
	switch kind {
	case "erofs":
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || n >= len(m.disks) {
			return nil, unix.ENODEV
		}
		return erofs.Mount(m.disks[n], "/dev/vd"+string(rune('a'+n)), vfs.AllocDev())
	case "9p":
		for _, s := range m.shares {
			if s.Tag() == name {
				return p9.Mount(s, name, true)
			}
		}
		return nil, unix.ENODEV
	}
	return nil, unix.EINVAL
}

// virtual are the file systems that every program expects.
var virtual = []struct {
	target, fstype, data string
	flags                uint32
}{
	{"/proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"/sys", "sysfs", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"/dev", "devtmpfs", "", unix.MS_NOSUID},
	{"/dev/pts", "devpts", "", unix.MS_NOSUID | unix.MS_NOEXEC},
	{"/dev/shm", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"/dev/mqueue", "mqueue", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
}

// registerDisks makes the disks visible in /proc and /sys. 254 is the major
// number that Linux usually gives to virtio disks.
func (m *machine) registerDisks() {
	for i, d := range m.disks {
		pseudo.RegisterDisk(pseudo.Disk{
			Name: "vd" + string(rune('a'+i)), Major: 254, Minor: uint32(i) * 16,
			Sectors: d.Size() / 512, ReadOnly: d.ReadOnly(),
		})
	}
}

// mountVirtual mounts them, and what else the specification asks for.
func (m *machine) mountVirtual() error {
	m.registerFilesystems()
	m.registerDisks()
	for _, v := range virtual {
		if err := m.mount(v.fstype, v.target, v.fstype, v.flags, v.data); err != nil && err != unix.ENODEV {
			return wrap("mount "+v.target, err)
		}
	}
	for _, s := range m.spec.Mounts {
		if err := m.mount(s.Source, s.Destination, s.Type, 0, strings.Join(s.Options, ",")); err != nil {
			return wrap("mount "+s.Destination, err)
		}
	}
	return nil
}

func (m *machine) mount(source, target, fstype string, flags uint32, data string) error {
	err := vfs.Mkdir(m.init, nil, target, 0o755)
	for i := 1; err == unix.ENOENT && i < len(target); i++ {
		// Directories above are missing as well: from the top, one by one.
		if n := strings.IndexByte(target[i:], '/'); n > 0 {
			i += n
			if e := vfs.Mkdir(m.init, nil, target[:i], 0o755); e != nil && e != unix.EEXIST {
				return e
			}
			continue
		}
		err = vfs.Mkdir(m.init, nil, target, 0o755)
		break
	}
	if err != nil && err != unix.EEXIST {
		return err
	}
	return vfs.MountCall(m.init, source, target, fstype, flags, data)
}

// registerFilesystems makes known what is mounted by name, and who opens the
// special files and the sockets that live in any file system.
func (m *machine) registerFilesystems() {
	devfs.Register()
	mqueue.Register()
	proc.Register()
	sys.Register()
	pipe.Register()
	unixsock.Register()
	inet.Register()
	netlink.Register()
	socket.SignalUrgent = task.SignalUrgent
	useStack()
	tty.Register()
	tty.SignalGroup, tty.HangupSession, tty.ReleaseSession = task.SignalGroup, task.HangupSession, task.ReleaseSession
	task.OnSessionEnd = func(_ *task.Session, t any) { tty.SessionEnded(t) }
}
