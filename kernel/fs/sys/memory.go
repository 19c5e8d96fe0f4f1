package sys

import (
	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// Memory in blocks, as lsmem and chmem read it: all of it online, none to be
// taken off.

// memoryBlock is the size of a block: 128 MiB, as on small machines of Linux.
const memoryBlock = 128 << 20

var memoryDir = dir{Lookup: lookupMemory, List: listMemory, Links: countMemory, Entries: []entry{
	{Name: "auto_online_blocks", Mode: 0o644, Const: "offline\n"},
	{Name: "block_size_bytes", Const: "8000000\n"},
	{Name: "uevent", Mode: 0o644},
}}

var memoryEntry = entry{Dir: &dir{Entries: []entry{
	{Name: "node0", Const: "../../node/node0", Kind: pseudo.Link},
	{Name: "online", Mode: 0o644, Const: "1\n", Store: storeOnline},
	{Name: "phys_device", Const: "0\n"},
	{Name: "phys_index", Show: showMemoryIndex},
	{Name: "removable", Const: "0\n"},
	{Name: "state", Mode: 0o644, Const: "online\n"},
	{Name: "uevent", Mode: 0o644},
	{Name: "valid_zones", Const: "none\n"},
}}}

func countMemory(subject) int {
	return int((mm.Memory().Total<<mm.PageShift + memoryBlock - 1) / memoryBlock)
}

func lookupMemory(c vfs.Caller, d *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	i, ok := numbered(name, "memory", countMemory(s))
	if !ok {
		return nil, unix.ENOENT
	}
	return tree.Node(d.FS, dynamic(d.Ino, i), &memoryEntry, subject{N: i}), nil
}

func listMemory(c vfs.Caller, d *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	listNumbered("memory", countMemory(s), unix.DT_DIR, d.Ino, pos, emit)
	return nil
}

func showMemoryIndex(t *text, c vfs.Caller, s subject) error {
	t.X(uint64(s.N), 8)
	t.C('\n')
	return nil
}
