package tmpfs

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// The seals of fcntl(2), F_ADD_SEALS.
const (
	sealSeal        = 0x01
	sealShrink      = 0x02
	sealGrow        = 0x04
	sealWrite       = 0x08
	sealFutureWrite = 0x10
	sealExec        = 0x20
	sealsKnown      = sealSeal | sealShrink | sealGrow | sealWrite | sealFutureWrite | sealExec
)

// memory is the instance behind memfd and shared anonymous objects: mounted
// nowhere, without limits.
var memory struct {
	once sync.Once
	fs   *filesystem
}

func internal() *filesystem {
	memory.once.Do(func() {
		memory.fs = newFilesystem(&options{set: map[string]bool{"size": true, "nr_inodes": true}})
		memory.fs.sb.Root = memory.fs.newNode(unix.S_IFDIR|0o1777, 0, 0, 0).inode
	})
	return memory.fs
}

// NewMemfd returns the open file of memfd_create(2): "/memfd:name (deleted)"
// in /proc, with read and write access. sealable is MFD_ALLOW_SEALING; noExec
// is MFD_NOEXEC_SEAL.
func NewMemfd(c vfs.Caller, name string, sealable, noExec bool) *vfs.File {
	mode := uint32(0o777)
	if noExec {
		mode = 0o666
	}
	cr := c.Cred()
	n := internal().newNode(unix.S_IFREG|mode, 0, uint32(cr.FSUID), uint32(cr.FSGID))
	n.inode.Update(func(a *vfs.Attr) { a.Nlink = 0 })
	switch {
	case noExec:
		n.seals.Store(sealExec)
	case sealable:
		n.seals.Store(0)
	}
	return vfs.NewFile(vfs.DeletedPath("memfd:"+name, n.inode), unix.O_RDWR|0o100000, regular{})
}

// Seals serves F_GET_SEALS.
func (n *node) Seals() uint32 { return n.seals.Load() }

// AddSeals serves F_ADD_SEALS of a file that is open for writing.
func (n *node) AddSeals(i *vfs.Inode, seals uint32) error {
	if seals&^sealsKnown != 0 {
		return unix.EINVAL
	}
	i.DirMu.Lock()
	defer i.DirMu.Unlock()
	old := n.seals.Load()
	if old&sealSeal != 0 {
		return unix.EPERM
	}
	if seals&sealWrite != 0 && old&sealWrite == 0 && vfs.SharedWritable(i) {
		return unix.EBUSY
	}
	if seals&sealExec != 0 && i.Mode()&0o111 != 0 {
		seals |= sealShrink | sealGrow | sealWrite | sealFutureWrite
	}
	n.seals.Store(old | seals)
	return nil
}
