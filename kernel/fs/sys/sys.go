// Package sys is sysfs: the machine's CPUs, its memory and its few devices in
// the places where programs look for them (sysfs(5)), as tables of entries
// over package pseudo. Nothing imports it but the kernel's main program.
package sys

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/fs/pseudo"
	"husk/kernel/vfs"
)

type text = pseudo.Text

// subject is what an entry is about: N is a CPU and M one of its caches, or Of a
// *device. Most entries are about neither.
type subject = pseudo.Subject

func devOf(s subject) *device { return s.Of.(*device) }

type (
	entry = pseudo.Entry
	dir   = pseudo.Dir
)

// Register makes sysfs known to mount(2).
func Register() {
	vfs.RegisterFS(&vfs.FSType{Name: "sysfs", NoDevice: true, Mount: mount})
}

const rootIno = 1

var tree = pseudo.Tree{DirMode: 0o755, FileSize: 4096}

func mount(c vfs.Caller, source string, flags uint32, data string) (*vfs.Superblock, error) {
	sb := &vfs.Superblock{
		Type: "sysfs", Source: source, Dev: vfs.AllocDev(), Magic: unix.SYSFS_MAGIC,
	}
	sb.Root = tree.Node(sb, rootIno, &root, subject{})
	return sb, nil
}

// online are the CPUs, all of which run.
func online() uint64 { return ^uint64(0) >> (64 - min(cpu.CPUs(), 64)) }

// dynamic is the inode number of the i-th name that a directory's List gives.
// Tables have fewer than 128 entries, and there are no more than 64 CPUs.
func dynamic(dir uint64, i int) uint64 { return pseudo.Ino(dir, 128+i) }

// numbered reads a name made of a prefix and a number below n.
func numbered(name, prefix string, n int) (int, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i >= 0 && i < n && strconv.Itoa(i) == digits
}

// listNumbered emits prefix0, prefix1 … as List does.
func listNumbered(prefix string, n int, kind uint8, dir uint64, pos int64, emit func(vfs.Dirent) bool) {
	for i := int(pos); i < n; i++ {
		if !emit(vfs.Dirent{Name: prefix + strconv.Itoa(i), Ino: dynamic(dir, i), Type: kind, Next: int64(i) + 1}) {
			return
		}
	}
}
